"""Where the journal is, and whether the file there can be one. Nothing here opens a file that may be in use."""

from __future__ import annotations

import enum
import errno
import os
import sqlite3
import stat
import time
from collections.abc import Iterable
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from qguardarr.adapters.sqlite.originals import SUFFIX, private_file, sync_folder
from qguardarr.errors import JournalError

MAGIC: Final = b"SQLite format 3\0"
APPLICATION_ID: Final = 0x51677264
"""Spells "Qgrd" in the file header: tells our files from those of other programs."""
_OWNER: Final = slice(68, 72)
"""Where a header has it."""
SIGNPOST: Final = b"Qguardarr: the journal has moved to "
"""Begins the text that stands where a journal was: a version that does not know it refuses it as no journal."""
SIGNS: Final = (".status.json", ".store", SUFFIX, "-wal")
"""Files beside the journal that only a daemon makes, or SQLite for one."""
ASIDE: Final = ".unusable-"
_MOVED_TO, _COMING_FROM = "moved_to", "coming_from"
"""Settings in files of an early version, which moved its journal while in use; the values are paths."""
_BUSY_TIMEOUT_S: Final = 5.0


class Found(enum.Enum):
    """What is at the journal's path."""

    NOTHING = "it is not there"
    EMPTY = "it is empty"
    BROKEN_LINK = "it is a symbolic link that leads nowhere"
    NO_DATABASE = "it is no database"
    DATABASE = "it is a database"


def look(path: Path) -> Found:
    """What is there. `JournalError` for what cannot be looked at, and for what is no file.

    Opens the file, so not for one that this process has open already.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise JournalError(f"journal {path}: it is no regular file; choose another path")
        if status.st_size == 0:
            return Found.EMPTY
        with path.open("rb") as file:
            head = file.read(len(SIGNPOST))
    except FileNotFoundError:
        return Found.BROKEN_LINK if path.is_symlink() else Found.NOTHING
    except NotADirectoryError:
        raise unreadable(path, f"{path.parent} is no folder") from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            return Found.BROKEN_LINK
        raise unreadable(path, error.strerror or "unknown reason") from None
    if head == SIGNPOST:
        return Found.NOTHING
    return Found.DATABASE if head.startswith(MAGIC) else Found.NO_DATABASE


def unreadable(path: Path, reason: str) -> JournalError:
    """The error for a place that cannot be looked at."""
    return JournalError(
        f"journal {path}: it cannot be looked at: {reason}. hint: check the path and its permissions: run this as "
        "the user who runs Qguardarr, or give this user access to the file and its folder"
    )


def signs_of(path: Path) -> list[Path]:
    """Files that say that a journal was here."""
    beside = (path.with_name(path.name + suffix) for suffix in SIGNS)
    return [file for file in beside if file.is_file() and file.stat().st_size > 0]


def lost(path: Path, found: Found, signs: Iterable[object]) -> JournalError:
    """The error for a journal that should be there."""
    return JournalError(
        f"journal {path}: {found.value}, but {', '.join(map(str, signs))} says that Qguardarr ran with it. Limits in "
        "force may be ours, and the originals are not known, so nothing is written. hint: bring the file back, or "
        "`qguardarr restore FILE` from a backup; or, if the limits in force are to count as your own from now on, "
        "`qguardarr begin-anew`"
    )


def put_aside(path: Path) -> Path | None:
    """Rename what is at `path`, with SQLite's files beside it, which a new database would take for its own.

    The new name; None if there was nothing but an empty file, which stays.
    """
    files = [file for suffix in ("-shm", "-wal", "-journal", "") if os.path.lexists(file := _beside(path, suffix))]
    if not files or (files == [path] and look(path) is Found.EMPTY):
        return None
    stamp = time.strftime("%Y%m%d-%H%M%S")
    number, aside = 0, path.with_name(f"{path.name}{ASIDE}{stamp}")
    while os.path.lexists(aside):
        number += 1
        aside = path.with_name(f"{path.name}{ASIDE}{stamp}-{number}")
    for file in files:
        file.rename(_beside(aside, file.name.removeprefix(path.name)))
    return aside


def in_use(path: Path, former: Iterable[Path]) -> Path:
    """The path of the journal: `path`, or one of the `former` places if only there is one. `JournalError` for two.

    A journal that this version has opened (it has a second copy beside it) belongs to whoever names that place.
    """
    if _has_copy(path):
        return path
    found = look(path)
    here = found not in (Found.NOTHING, Found.EMPTY)
    others = {spot(place): place for place in former if spot(place) != spot(path)}
    there = []
    for place in others.values():
        try:
            if not _has_copy(place) and look(place) is Found.DATABASE and _is_ours(place):
                there.append(place)
        except JournalError:
            if not here:
                raise
    if found is Found.DATABASE:
        there = [place for place in there if not is_same(path, place)]
    if len(there) + here > 1:
        places = [str(path)] * here + [str(place) for place in there]
        raise JournalError(
            f"journal: there are several, at {' and '.join(places)}. Relative paths start at the folder of the "
            f"configuration now, so that {path} is meant. hint: keep the one that the last Qguardarr used (`ls -l` "
            f"shows when each was written), put it at {path}, and move the other away"
        )
    return there[0] if there else path


def leave_signpost(old: Path, new: Path) -> None:
    """Put a text that says where to in the place of a journal that has moved. Raises OSError."""
    text = old.with_name(old.name + ".new")
    with os.fdopen(private_file(text, old, os.O_WRONLY | os.O_TRUNC), "wb") as file:
        file.write(SIGNPOST + f"{new}\n".encode())
        file.flush()
        os.fsync(file.fileno())
    text.replace(old)
    sync_folder(old.parent)


def finish_moves(path: Path, former: Iterable[Path]) -> None:
    """Leave a signpost where a move was interrupted just before that: the same journal is at two places."""
    for place in former:
        if spot(place) != spot(path):
            with suppress(OSError, JournalError):
                if look(place) is Found.DATABASE and is_same(path, place):
                    leave_signpost(place, path)


def is_same(one: Path, other: Path) -> bool:
    """Whether two files are one, or equal byte for byte: a move that was interrupted."""
    if one.stat().st_size != other.stat().st_size:
        return False
    if os.path.samestat(one.stat(), other.stat()):
        return True
    with one.open("rb") as first, other.open("rb") as second:
        while part := first.read(1 << 20):
            if part != second.read(1 << 20):
                return False
    return True


def spot(path: Path) -> Path:
    """One for each file, however its path is spelled."""
    return Path(os.path.realpath(path.parent)) / path.name


def settle_marks(db: sqlite3.Connection, path: Path) -> None:
    """Refuse a file that an early version moved elsewhere, or whose copy it never completed. `JournalError`."""
    origin = _marks(db).get(_COMING_FROM)
    if origin is not None and _marks_at(Path(origin)).get(_MOVED_TO) == str(spot(path)):
        db.execute("DELETE FROM settings WHERE name = ?", (_COMING_FROM,))
    for place in _marks(db).values():
        raise JournalError(
            f"journal {path}: the journal is at {place}. hint: stop Qguardarr and put that file here, or name it in "
            "rollback.database_path"
        )


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _has_copy(path: Path) -> bool:
    try:
        return path.with_name(path.name + SUFFIX).stat().st_size > 0
    except OSError as error:
        if error.errno == errno.EACCES:
            raise unreadable(path, error.strerror or "unknown reason") from None
        return False


def _is_ours(path: Path) -> bool:
    """Whether a database is one of this program. `JournalError` for one of the earlier Qguardarr."""
    with path.open("rb") as file:
        owner = file.read(_OWNER.stop)[_OWNER]
    if owner == bytes(4):
        raise JournalError(
            f"journal {path}: it belongs to the earlier Qguardarr or to another program, and was not touched. If the "
            "earlier Qguardarr has limits in force, let it roll them back first (POST /rollback) and stop it; then set "
            "rollback.database_path to the name of a new file, for example data/qguardarr.db, or move this one away"
        )
    return owner == APPLICATION_ID.to_bytes(4, "big")


def _marks(db: sqlite3.Connection) -> dict[str, str]:
    return dict(db.execute("SELECT name, value FROM settings WHERE name IN (?, ?)", (_MOVED_TO, _COMING_FROM)))


def _marks_at(path: Path) -> dict[str, str]:
    """Of a file that may be none of ours, or none at all."""
    uri = path.absolute().as_uri() + "?mode=rw"
    with suppress(sqlite3.Error, OSError), closing(sqlite3.connect(uri, uri=True, timeout=_BUSY_TIMEOUT_S)) as db:
        return _marks(db)
    return {}
