"""SQLite files of ours: made, recognised, migrated, or refused untouched. And what SQLite's errors mean to a person."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

CACHE_KIB: Final = 256
"""Pages that a connection keeps in memory; more of them make a batch of ten thousand changes no faster."""
WAL_LIMIT_BYTES: Final = 4 * 1024 * 1024
_MAGIC: Final = b"SQLite format 3\0"
_VACUUM_PAGES: Final = 500
_VACUUM_STEPS: Final = 10

Migration = tuple[str, ...]


class Format(NamedTuple):
    """A kind of file of ours."""

    application_id: int
    """In the file's header: tells it from those of other programs, and from our other ones."""
    migrations: Sequence[Migration]
    """Number n brings a file from version n - 1 to n. Released ones are never edited; new ones are added at the end."""


class WrongFile(Exception):
    """A database of another program, or of a newer Qguardarr. It was not changed."""


class NotADatabase(Exception):
    """Not an SQLite file: overwritten, cut short, or another program's. It was not changed."""


def open_database(
    path: Path, kind: Format, *, busy_timeout_s: float, synchronous: str = "NORMAL"
) -> sqlite3.Connection:
    """A connection in autocommit mode, for any thread; file (mode 0600) and folder are made if missing.

    `busy_timeout_s`: how long a statement waits for another process. Raises `sqlite3.Error`, OSError, `WrongFile`,
    `NotADatabase`.
    """
    make_file(path)
    _refuse_other_formats(path)
    connection = sqlite3.connect(path, timeout=busy_timeout_s, isolation_level=None, check_same_thread=False)
    try:
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        _migrate(connection, kind)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT_BYTES}")
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        connection.execute("PRAGMA temp_store = MEMORY")
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """All or nothing."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield db
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")


def give_back_space(db: sqlite3.Connection) -> None:
    """Shrink the file by free pages: some of them, the others at the next call."""
    for _ in range(_VACUUM_STEPS):
        if db.execute("PRAGMA freelist_count").fetchone()[0] == 0:
            break
        db.executescript(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})")  # `execute` would free one page and stop
    db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()  # waits for nobody


def is_damage(error: Exception) -> bool:
    """Whether what the file holds cannot be read any more."""
    return isinstance(error, NotADatabase) or _error_code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


MENDS: Final = {
    sqlite3.SQLITE_FULL: "the disk is full; free some space",
    sqlite3.SQLITE_IOERR: "the disk cannot be read or written; check it for space, quota and faults",
    sqlite3.SQLITE_READONLY: "it cannot be written; give this user write permission for the file and its folder",
    sqlite3.SQLITE_PERM: "access is denied; give this user write permission for the file and its folder",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened; check that path and folder exist and that this user may write there",
    sqlite3.SQLITE_BUSY: "another program keeps it locked; close whatever else has it open",
    sqlite3.SQLITE_LOCKED: "another program keeps it locked; close whatever else has it open",
    sqlite3.SQLITE_CORRUPT: "it is damaged",
    sqlite3.SQLITE_NOTADB: "it is damaged",
}


def mend(error: Exception, mends: Mapping[int, str] = MENDS) -> str:
    """What went wrong, and what a person can do about it, in words. `mends`: by SQLite's error code."""
    if isinstance(error, WrongFile | NotADatabase):
        return str(error)
    if isinstance(error, sqlite3.Error):
        return f"{mends.get(_error_code(error), 'see the cause')} ({error})"
    if isinstance(error, OSError):
        return f"check the path, its permissions and the disk ({error.strerror or error})"
    return str(error)


def _error_code(error: Exception) -> int:
    """Extended codes carry the plain one in their low byte. Errors of the module itself have none: 0."""
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF


def make_file(path: Path) -> None:
    """Nobody else may read it: torrents and burstinesses are private. SQLite gives its side files the same mode."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


def _refuse_other_formats(path: Path) -> None:
    """Before SQLite sees the file, which would take what is shorter than a header for an empty database."""
    with path.open("rb") as file:
        magic = file.read(len(_MAGIC))
    if magic and magic != _MAGIC:
        raise NotADatabase("it is damaged, or not a file of Qguardarr")


def _migrate(connection: sqlite3.Connection, kind: Format) -> None:
    if _version(connection, kind) == len(kind.migrations):
        return
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # heeded by an empty file only
    connection.execute("BEGIN EXCLUSIVE")
    try:
        version = _version(connection, kind)  # again: another process may have done it meanwhile
        for statements in kind.migrations[version:]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {kind.application_id}")
        connection.execute(f"PRAGMA user_version = {len(kind.migrations)}")
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _version(connection: sqlite3.Connection, kind: Format) -> int:
    """0 for an empty file. Raises `WrongFile` for what is not ours or too new."""
    owner = connection.execute("PRAGMA application_id").fetchone()[0]
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    empty = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
    if owner != kind.application_id and not (empty and owner == 0 and version == 0):
        raise WrongFile("it is a database of another program; move it away")
    if version > len(kind.migrations):
        raise WrongFile(
            f"written by a newer Qguardarr (format {version}, this one knows {len(kind.migrations)}); "
            "install that version again, or move the file away"
        )
    return version
