"""Exit codes, and how errors become one line on stderr and a code."""

from __future__ import annotations

import contextlib
import enum
import sys

from qguardarr.errors import Busy, ClientError, ConfigError, JournalError, QguardarrError
from qguardarr.printable import printable


class Exit(enum.IntEnum):
    """Exit codes of the commands."""

    OK = 0
    INCOMPLETE = 1
    """Not all that was asked for could be done; of `status`: no daemon runs, or something is wrong."""
    CONFIG = 2
    """The configuration or the command line is faulty."""
    QBITTORRENT = 3
    """qBittorrent cannot be reached, or refuses."""
    JOURNAL = 4
    """The journal cannot be read or written."""
    BUSY = 5
    """Another Qguardarr is at work."""
    DEFECT = 70
    """A defect of Qguardarr."""
    INTERRUPTED = 130
    """Ctrl-C."""


HELP = (
    "Exit codes: 0 done; 1 not all could be done; 2 configuration or command line faulty; "
    "3 qBittorrent unreachable or refusing; 4 journal unreadable or unwritable; 5 another Qguardarr at work; "
    "70 a defect; 130 interrupted."
)


def report(error: QguardarrError) -> Exit:
    """Print an error on stderr, each of a configuration on a line of its own, and return the exit code for it."""
    faults = error.faults if isinstance(error, ConfigError) else (error,)
    for line in map(str, faults):
        with contextlib.suppress(OSError):  # the exit code still tells
            print(f"qguardarr: {printable(line or type(error).__name__)}", file=sys.stderr)
    match error:
        case ConfigError():
            return Exit.CONFIG
        case ClientError():
            return Exit.QBITTORRENT
        case JournalError():
            return Exit.JOURNAL
        case Busy():
            return Exit.BUSY
        case _:
            return Exit.INCOMPLETE
