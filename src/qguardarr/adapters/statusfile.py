"""Publish the daemon's status in a small file beside the journal, and hold the lock that says it is alive."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec
import structlog

from qguardarr.adapters.sqlite.side_files import FileLock
from qguardarr.engine.status import Status
from qguardarr.errors import Busy, JournalError
from qguardarr.features.feature import Feature
from qguardarr.smallfile import read_small, replace_file

_LOCK_SUFFIX: Final = ".daemon"
_MOST_BYTES: Final = 16 * 1024 * 1024
"""Of status: some 100 bytes for each rule are usual."""
_START_TIMEOUT_S: Final = 1.0
"""A command that looks whether a daemon runs holds its lock for a moment."""

log = structlog.get_logger("qguardarr.daemon")


def status_path(database_path: Path) -> Path:
    """Return the path at which the daemon with this journal publishes."""
    return database_path.with_name(database_path.name + ".status.json")


class StatusFile(Feature):
    """Publish each status for other processes."""

    name = "status file"

    def __init__(self, path: Path) -> None:
        self._path = path
        self._problem = ""

    def on_cycle(self, status: Status) -> None:
        self.write(status)

    def problems(self) -> Iterable[str]:
        return filter(None, [self._problem])

    def write(self, status: Status) -> None:
        """Publish a status. A failure is a problem until a later one succeeds."""
        try:
            replace_file(self._path, msgspec.json.encode(status))
        except OSError as error:
            if not self._problem:
                log.warning("status_not_written", file=str(self._path), reason=error.strerror)
            reason = error.strerror or "unknown reason"
            self._problem = f"`qguardarr status` sees old figures: {self._path} cannot be written: {reason}"
        else:
            self._problem = ""


def read_status(path: Path) -> Status | None:
    """Return the last published status; None if there is none, or if another version wrote it."""
    try:
        return msgspec.json.decode(read_small(path, _MOST_BYTES), type=Status)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
    except OSError as error:
        raise JournalError(f"status {path}: cannot be read: {error.strerror or 'unknown reason'}") from None


def published_line(path: Path) -> int:
    """Return the number of the newest line of history when the status was written, by any version; 0 if unknown."""
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        return msgspec.json.decode(path.read_bytes(), type=_Line).journal_line
    return 0


class _Line(msgspec.Struct):
    journal_line: int = 0


@contextmanager
def only_daemon(database_path: Path) -> Iterator[None]:
    """Hold the lock of the one daemon of this journal. `Busy` if there is another."""
    try:
        database_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise JournalError(
            f"its folder cannot be made: {error.strerror}",
            place=f"journal {database_path}",
            hint=f"make that possible for user {os.geteuid()}, or set rollback.database_path "
            "(QGUARDARR__ROLLBACK__DATABASE_PATH) to a place that can be written and outlives restarts",
        ) from None
    held = contextlib.ExitStack()
    try:
        held.enter_context(FileLock(_lock_path(database_path)).held(_START_TIMEOUT_S))
    except Busy:
        known = read_status(status_path(database_path))
        pid = f" (pid {known.pid})" if known is not None else ""
        raise Busy(
            f"another Qguardarr{pid} runs with the journal {database_path}; stop it first, or give each "
            "qBittorrent a configuration with a rollback.database_path of its own"
        ) from None
    with held:
        yield


def daemon_runs(database_path: Path) -> bool:
    """Return whether a daemon with this journal is alive."""
    try:
        descriptor = os.open(_lock_path(database_path), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise JournalError(f"lock {_lock_path(database_path)}: cannot be read: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _lock_path(database_path: Path) -> Path:
    return database_path.with_name(database_path.name + _LOCK_SUFFIX)
