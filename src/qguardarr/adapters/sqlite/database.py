"""A SQLite file of ours: made, recognised, migrated, written in transactions, copied; or refused untouched.

Driver: the standard library's `sqlite3`. It is maintained with CPython, costs no dependency and 3.6 MB of private
memory, and both callers block by design, so that an asynchronous or pooling driver would only add threads.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from itertools import chain
from pathlib import Path
from typing import Final, NamedTuple

from qguardarr.adapters.sqlite.connections import connect, copy_parts, transaction
from qguardarr.adapters.sqlite.side_files import make_private
from qguardarr.errors import QguardarrError

MAGIC: Final = b"SQLite format 3\0"
_APPLICATION_ID: Final = slice(68, 72)
"""Place in a file's header (sqlite.org/fileformat.html, 1.3)."""
_CACHE_KIB: Final = 256
"""Pages that a connection keeps in memory; more of them make a batch of ten thousand changes no faster."""
_WAL_LIMIT_BYTES: Final = 4 * 1024 * 1024
_VACUUM_PAGES: Final = 500
_VACUUM_STEPS: Final = 10
"""At most 20 MB a call: a large backlog is worked off over several calls, so that nobody waits long."""

Migration = tuple[str, ...]
"""Statements that bring a file from one version to the next."""


BeforeMigration = Callable[[Path, int], None]
"""Is given the path of a file, to which nobody writes now, and its version."""


class Format(NamedTuple):
    """A kind of file of ours."""

    name: str
    """As messages call it: `journal`."""
    application_id: int
    """In the file's header: tells it from files of other programs, and from our other ones."""
    migrations: Sequence[Migration]
    """Number n brings a file from version n - 1 to n. Released ones are never edited; new ones are added at the end."""
    busy_timeout_s: float
    """How long a statement waits for another process."""
    error: type[QguardarrError]
    """Class of the errors that people see."""
    foreign: str = "it is a database of another program; choose another path"
    """Message for a database that is not ours."""
    hints: Mapping[int, str] = {}
    """Advice by SQLite's error code, where it differs from `HINTS`."""

    def failure(self, error: Exception, path: Path) -> QguardarrError:
        """Return the error to raise for what went wrong with the file at `path`."""
        return self.error(f"{self.name} {path}: {explain(error, self)}")


class WrongFile(Exception):
    """A database of another program, or of a newer Qguardarr. It was not changed."""


FAILURES: Final = (sqlite3.Error, WrongFile, OSError, OverflowError, ValueError)
"""Whatever SQLite, the disk, or a value that SQLite cannot hold may raise."""

HINTS: Final = {
    sqlite3.SQLITE_FULL: "the disk is full; free some space",
    sqlite3.SQLITE_IOERR: "the disk cannot be read or written; check it for space, quota and faults",
    sqlite3.SQLITE_READONLY: "it cannot be written; give this user write permission for the file and its folder",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened; check that path and folder exist and that this user may write there",
    sqlite3.SQLITE_BUSY: "another program keeps it locked; close whatever else has it open",
    sqlite3.SQLITE_CORRUPT: "it is damaged",
    sqlite3.SQLITE_NOTADB: "it is damaged",
}
"""Meaning of an error to a person, by SQLite's error code."""


class Database:
    """A connection to one file. Any thread may use it; callers see to it that only one does at a time."""

    def __init__(self, connection: sqlite3.Connection, format_: Format) -> None:
        """Wrap a connection in autocommit mode; use `open` or `in_memory` instead."""
        self.connection = connection
        self._format = format_

    @classmethod
    def open(
        cls,
        path: Path,
        format_: Format,
        *,
        in_use: bool = False,
        durable: bool = False,
        before_migration: BeforeMigration | None = None,
    ) -> Database:
        """Open the file at `path` and bring it to the present version; file (mode 0600) and folder are made if missing.

        `in_use`: this process may have the file open already, so that SQLite alone may touch it. Closing any descriptor
        of a file gives up all POSIX locks that the process has on it (sqlite.org/howtocorrupt.html, 2.2): another
        process would then take itself for the last one, and delete the write-ahead log under us.
        `durable`: sync a new file before this returns, so that its very existence survives a power cut.
        `before_migration`: called before a file of an earlier version is changed; if it raises, nothing is.

        Raises `FAILURES`.
        """
        if not in_use:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            make_private(path)
            _refuse_other_formats(path, format_)
        connection = connect(path, timeout_s=format_.busy_timeout_s)
        try:
            # EXTRA works in the rollback mode of a new file, before WAL is set.
            connection.execute(f"PRAGMA synchronous = {'EXTRA' if durable else 'NORMAL'}")
            migrate(connection, format_, path, before_migration)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA journal_size_limit = {_WAL_LIMIT_BYTES}")
            connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            connection.execute("PRAGMA temp_store = MEMORY")
        except BaseException:
            connection.close()
            raise
        return cls(connection, format_)

    @classmethod
    def in_memory(
        cls,
        source: Path | None,
        format_: Format,
        *,
        with_log: bool = False,
        without_rows_of: Collection[str] = (),
    ) -> Database:
        """Copy the readable part of `source` (None: nothing) without writing anywhere, and migrate the copy.

        Without `with_log` the write-ahead log is left out: on a full disk there may be no room to read it.
        `without_rows_of`: tables that stay empty. Raises as `open` does.
        """
        connection = connect(":memory:")
        try:
            if source is not None:
                with closing(connect(source, "?mode=ro" if with_log else "?mode=ro&immutable=1")) as file:
                    if without_rows_of:
                        copy_parts(file, connection, without_rows_of)
                    else:
                        file.backup(connection)
                if connection.execute("PRAGMA application_id").fetchone()[0] != format_.application_id:
                    raise WrongFile(format_.foreign)
            migrate(connection, format_)
        except BaseException:
            connection.close()
            raise
        return cls(connection, format_)

    @contextmanager
    def transaction(self, *, sync: bool = False) -> Iterator[sqlite3.Connection]:
        """Do all or nothing. `sync`: on disk for good before this ends, with all that was written before."""
        self.connection.execute(f"PRAGMA synchronous = {'FULL' if sync else 'NORMAL'}")
        with transaction(self.connection):
            yield self.connection

    def check(self) -> None:
        """Raise `sqlite3.DatabaseError` (SQLITE_CORRUPT) if not all of the file can be read."""
        found = self.connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise _damage(found, sqlite3.SQLITE_CORRUPT)

    def merge_log(self) -> None:
        """Move the write-ahead log to the main file, which is then complete by itself. Waits for nobody."""
        self.connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def give_back_space(self) -> None:
        """Shrink the file by its free pages: some of them, the others at the next call."""
        for _ in range(_VACUUM_STEPS):
            if self.connection.execute("PRAGMA freelist_count").fetchone()[0] == 0:
                break
            # `execute` would free one page and stop.
            self.connection.executescript(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})")
        self.merge_log()

    def into_one_file(self) -> None:
        """End the write-ahead log, so that the main file is all there is. Nobody else may have it open."""
        self.connection.execute("PRAGMA journal_mode = DELETE").fetchall()

    def close(self) -> None:
        """Let go of the file. May be called twice."""
        self.connection.close()


def application_id(path: Path) -> int | None:
    """Return the owner that the header of a database names; None if the file is no database. Raises OSError."""
    with path.open("rb") as file:
        header = file.read(_APPLICATION_ID.stop)
    return int.from_bytes(header[_APPLICATION_ID], "big") if header.startswith(MAGIC) else None


def is_older(path: Path, format_: Format) -> bool:
    """Tell whether a database is of an earlier format, which opening it would change; False if it cannot be read.

    Reads by SQLite: the file's header may be older than its log.
    """
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.Error:
        return False
    return 0 < version < len(format_.migrations)


def is_damage(error: BaseException | None) -> bool:
    """Tell whether an error means that the file's content cannot be read any more."""
    return _error_code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def explain(error: Exception, format_: Format) -> str:
    """Return the meaning of an error, with advice to a person."""
    if isinstance(error, sqlite3.Error):
        return f"{(HINTS | dict(format_.hints)).get(_error_code(error), 'see the cause')} ({error})"
    if isinstance(error, OSError):
        return f"check the path, its permissions and the disk ({error.strerror or error})"
    return str(error)


def _error_code(error: BaseException | None) -> int:
    """Extended codes carry the plain one in their low byte. Errors of the module itself have none: 0."""
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF


def _refuse_other_formats(path: Path, format_: Format) -> None:
    """Look before SQLite does, which takes a file shorter than a header for an empty database."""
    if path.stat().st_size and application_id(path) is None:
        raise _damage(f"no {format_.name} of Qguardarr", sqlite3.SQLITE_NOTADB)


def _damage(text: str, code: int) -> sqlite3.DatabaseError:
    error = sqlite3.DatabaseError(text)
    error.sqlite_errorcode = code
    return error


def migrate(
    connection: sqlite3.Connection,
    format_: Format,
    path: Path | None = None,
    before_migration: BeforeMigration | None = None,
) -> None:
    """Bring a database (at `path`) to the present version; an empty one becomes one of ours. Raises `WrongFile`."""
    if _version(connection, format_) == len(format_.migrations):
        return
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # heeded by an empty file only
    with transaction(connection):
        version = _version(connection, format_)  # again: another process may have done it meanwhile
        if path is not None and before_migration is not None and 0 < version < len(format_.migrations):
            before_migration(path, version)
        for statement in chain.from_iterable(format_.migrations[version:]):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {format_.application_id}")
        connection.execute(f"PRAGMA user_version = {len(format_.migrations)}")


def _version(connection: sqlite3.Connection, format_: Format) -> int:
    """Return 0 for an empty file. Raises `WrongFile` for a file that is not ours or too new."""
    owner = connection.execute("PRAGMA application_id").fetchone()[0]
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    is_empty = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
    if owner != format_.application_id and not (is_empty and owner == 0 and version == 0):
        raise WrongFile(format_.foreign)
    if version > len(format_.migrations):
        raise WrongFile(
            f"written by a newer Qguardarr (format {version}, this one knows {len(format_.migrations)}); "
            "install that version again, or choose another path after a rollback with it"
        )
    return version
