"""Where the journal is, and whether the file there can be one. For files that this process does not have open."""

from __future__ import annotations

import enum
import errno
import os
import shlex
import stat
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from qguardarr.adapters.sqlite.database import MAGIC, application_id
from qguardarr.adapters.sqlite.journal_schema import JOURNAL
from qguardarr.adapters.sqlite.originals import SUFFIX
from qguardarr.adapters.sqlite.side_files import beside, files_of, rename_database
from qguardarr.errors import JournalError

SIGNS: Final = (".status.json", ".store", SUFFIX, "-wal")
"""Files beside the journal that say that a daemon ran with it."""
ASIDE: Final = ".unusable-"
"""In the new name of a file that could not be used."""


class Found(enum.Enum):
    """State of the journal's path."""

    NOTHING = "it is not there"
    EMPTY = "it is empty"
    BROKEN_LINK = "it is a symbolic link that leads nowhere"
    NO_DATABASE = "it is no database"
    DATABASE = "it is a database"


def look(path: Path) -> Found:
    """Look at `path`. Raises `JournalError` if that cannot be read, or is no regular file.

    Closing the file gives up all locks that this process has on it: do not call it for a file that is open here.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise JournalError(f"journal {path}: it is no regular file; choose another path")
        if status.st_size == 0:
            return Found.EMPTY
        with path.open("rb") as file:
            head = file.read(len(MAGIC))
    except FileNotFoundError:
        return Found.BROKEN_LINK if path.is_symlink() else Found.NOTHING
    except NotADirectoryError:
        raise unreadable(path, f"{path.parent} is no folder") from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            return Found.BROKEN_LINK
        raise unreadable(path, error.strerror or "unknown reason") from None
    return Found.DATABASE if head == MAGIC else Found.NO_DATABASE


def unreadable(path: Path, reason: str) -> JournalError:
    """Return the error for a place that cannot be looked at."""
    return JournalError(
        f"it cannot be read: {reason}",
        place=f"journal {path}",
        hint="check the path and its permissions: run this as the user who runs Qguardarr, or give this user access to "
        "the file and its folder",
    )


def signs_of(path: Path) -> list[Path]:
    """Return the files that say that a journal was here."""
    signs = (beside(path, suffix) for suffix in SIGNS)
    return [file for file in signs if file.is_file() and file.stat().st_size > 0]


def lost(path: Path, found: Found, signs: Iterable[object]) -> JournalError:
    """Return the error for a journal that should be there, as `signs` say."""
    return JournalError(
        f"{found.value}, but {', '.join(map(str, signs))} says that Qguardarr ran with it. Limits in force may be "
        "ours, and the originals are not known, so nothing is written",
        place=f"journal {path}",
        hint="bring the file back, or `qguardarr restore FILE` from a backup; or, if the limits in force are to count "
        "as your own from now on, `qguardarr begin-anew`",
    )


def put_aside(path: Path) -> Path | None:
    """Rename the file at `path`, with SQLite's files beside it, which a new database would take for its own.

    Return the new name; None if there was nothing but an empty file, which stays.
    """
    files = files_of(path)
    if not files or (files == [path] and look(path) is Found.EMPTY):
        return None
    stamp = time.strftime("%Y%m%d-%H%M%S")
    number, aside = 0, path.with_name(f"{path.name}{ASIDE}{stamp}")
    while os.path.lexists(aside):
        number += 1
        aside = path.with_name(f"{path.name}{ASIDE}{stamp}-{number}")
    rename_database(path, aside)
    return aside


def refuse_left_behind(path: Path, former: Iterable[Path]) -> None:
    """Raise `JournalError` if an earlier version left its journal at one of the `former` places instead of at `path`.

    A journal with a second copy beside it is none of those: a present version has opened it, so a configuration names
    its place.
    """
    if _has_copy(path):
        return
    is_here = look(path) is Found.DATABASE
    for place in former:
        try:
            if resolved(place) == resolved(path) or _has_copy(place) or look(place) is not Found.DATABASE:
                continue
            is_ours = application_id(place) == JOURNAL.application_id
        except JournalError:
            if is_here:
                continue
            raise
        if is_ours:
            raise _left_behind(place, path, is_here=is_here)
        if not is_here:
            raise JournalError(f"journal {place}: {JOURNAL.foreign}, for example {path}")


def _left_behind(place: Path, path: Path, *, is_here: bool) -> JournalError:
    old, new, names = shlex.quote(str(place.parent)), shlex.quote(str(path.parent)), f"{shlex.quote(place.name)}*"
    if (place.parent / "api.key").exists() and not (path.parent / "api.key").exists():
        names += " api.key"
    choice = f"there is another one at {path}: keep the one that was in use last (`ls -l`). " if is_here else ""
    return JournalError(
        "an earlier version kept it here. Relative paths start at the folder of the configuration now, so that "
        f"{path} is meant",
        place=f"journal {place}",
        hint=f"{choice}stop Qguardarr, then `mkdir -p {new} && cd {old} && mv {names} {new}`; or set "
        f"rollback.database_path to {place}",
    )


def resolved(path: Path) -> Path:
    """Return the one spelling of a path by which two can be compared; links among its folders are followed."""
    return Path(os.path.realpath(path.parent)) / path.name


def _has_copy(path: Path) -> bool:
    try:
        return beside(path, SUFFIX).stat().st_size > 0
    except OSError as error:
        if error.errno == errno.EACCES:
            raise unreadable(path, error.strerror or "unknown reason") from None
        return False
