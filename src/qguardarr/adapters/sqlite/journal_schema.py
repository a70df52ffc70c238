"""The journal's file: made, recognised, migrated, or refused untouched. Also what SQLite's errors mean to a person."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from qguardarr.adapters.sqlite.database import MENDS, make_file, mend
from qguardarr.adapters.sqlite.journal_place import APPLICATION_ID, refuse_moved
from qguardarr.errors import JournalError

BUSY_TIMEOUT_S: Final = 5.0
"""How long a write waits for one of another process. Ours take milliseconds; a person's `sqlite3` shell may not."""

CACHE_KIB: Final = 256
"""Pages that a connection keeps in memory; more of them make a batch of ten thousand changes no faster."""
WAL_LIMIT_BYTES: Final = 4 * 1024 * 1024

STATUSES: Final = ("intended", "applied", "failed", "restored", "adopted")
INTENDED, APPLIED, FAILED, RESTORED, ADOPTED = range(len(STATUSES))

Migration = tuple[str, ...]

MIGRATIONS: Final[tuple[Migration, ...]] = (
    (  # 1
        # Every torrent that has an original to restore, was restored lately, or has lines in `changes`.
        # Touched: restored_at is null. hash: 20 bytes (text if it is not plain lower-case hex).
        """CREATE TABLE torrents (
            id INTEGER PRIMARY KEY,
            hash BLOB NOT NULL UNIQUE,
            original INTEGER NOT NULL,
            restored_at REAL,
            missing_since REAL
        )""",
        # History. status: an index of STATUSES. own: `new` was ours, and not the person's own value put back.
        # AUTOINCREMENT: an id is never used twice, so that paging and late results cannot meet the wrong line.
        """CREATE TABLE changes (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            at REAL NOT NULL,
            torrent INTEGER NOT NULL,
            old INTEGER NOT NULL,
            new INTEGER NOT NULL,
            own INTEGER NOT NULL,
            status INTEGER NOT NULL,
            reason TEXT NOT NULL
        )""",
        "CREATE INDEX changes_by_torrent ON changes (torrent, new, own)",
        # Values that may be in force by our hand: the last applied, and what was intended since. Superseded ones stay
        # for a while: they may come back when qBittorrent crashes.
        """CREATE TABLE in_force (
            torrent INTEGER NOT NULL,
            value INTEGER NOT NULL,
            change INTEGER NOT NULL,
            superseded_at REAL,
            PRIMARY KEY (torrent, value)
        ) WITHOUT ROWID""",
        "CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    ),
    (  # 2: missing_since alone does not tell a torrent that nobody has looked for since from one that stayed away.
        "ALTER TABLE torrents ADD COLUMN missing_until REAL",
        "UPDATE torrents SET missing_until = missing_since",
    ),
)
"""Number n brings a file from version n - 1 to n. Released ones are never edited; new ones are added at the end."""


def open_database(
    path: Path, migrations: Sequence[Migration] = MIGRATIONS, *, in_use: bool = False
) -> sqlite3.Connection:
    """A connection to the journal at `path`, in autocommit mode; file and folder are made if missing.

    `in_use`: this process may have the file open already, so it must be touched by SQLite alone. Closing any descriptor
    of a file gives up all POSIX locks that the process has on it (sqlite.org/howtocorrupt.html, 2.2): another process
    would then take itself for the last one, and delete the write-ahead log under us.

    Raises `JournalError` if it cannot be opened, is not a journal, or is of a newer version; then it was not changed.
    """
    connection: sqlite3.Connection | None = None
    try:
        if not in_use:
            make_file(path)
            _refuse_other_formats(path)
        connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        # EXTRA while still in rollback mode, so that a new journal's very existence survives a power cut.
        connection.execute("PRAGMA synchronous = EXTRA")
        migrate(connection, path, migrations)
        refuse_moved(connection, path)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT_BYTES}")
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        connection.execute("PRAGMA temp_store = MEMORY")
    except JournalError:
        _close(connection)
        raise
    except (sqlite3.Error, OSError) as error:
        _close(connection)
        raise explained(error, path) from error
    return connection


def explained(error: Exception, path: Path) -> JournalError:
    """What went wrong with the journal at `path`, and its mend, in words."""
    return JournalError(f"journal {path}: {mend(error, _MENDS)}")


_MENDS: Final = MENDS | {
    sqlite3.SQLITE_CORRUPT: "it is damaged, and so is its second copy, or there is none; "
    "`qguardarr restore FILE` puts a backup in its place; without one, `qguardarr begin-anew` (originals are lost)",
    sqlite3.SQLITE_NOTADB: "it is not a journal of Qguardarr; choose another path",
}


def next_id(db: sqlite3.Connection) -> int:
    """Id of the next line of history."""
    row = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'changes'").fetchone()
    return 1 if row is None else int(row[0]) + 1


def to_key(digits: str) -> bytes | str:
    """A torrent's hash as kept: 20 bytes instead of 40 digits. What would not come back the same is kept as text."""
    try:
        key = bytes.fromhex(digits)
    except ValueError:
        return digits
    return key if key.hex() == digits else digits


def to_hash(key: bytes | str) -> str:
    """Inverse of `to_key`."""
    return key.hex() if isinstance(key, bytes) else key


def _refuse_other_formats(path: Path) -> None:
    """Before SQLite sees the file, which would take what is shorter than a header for an empty database."""
    with path.open("rb") as file:
        magic = file.read(16)
    if magic and magic != b"SQLite format 3\0":
        raise JournalError(f"journal {path}: it is not a journal of Qguardarr; choose another path")


def migrate(connection: sqlite3.Connection, path: Path, migrations: Sequence[Migration]) -> None:
    """Bring a file to the present format; an empty one becomes an empty journal. `JournalError` if it is none."""
    if _version(connection, path, newest=len(migrations)) == len(migrations):
        return
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # heeded by an empty file only
    connection.execute("BEGIN EXCLUSIVE")
    try:
        # Read again: another process may have done it meanwhile.
        version = _version(connection, path, newest=len(migrations))
        for statements in migrations[version:]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(migrations)}")
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _version(connection: sqlite3.Connection, path: Path, *, newest: int) -> int:
    """0 for an empty file. Raises `JournalError` for what is not ours or too new."""
    owner = connection.execute("PRAGMA application_id").fetchone()[0]
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    empty = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
    if owner != APPLICATION_ID and not (empty and owner == 0 and version == 0):
        raise JournalError(
            f"journal {path}: it is a database of another program or of an early Qguardarr; choose another path"
        )
    if version > newest:
        raise JournalError(
            f"journal {path}: written by a newer Qguardarr (format {version}, this one knows {newest}); "
            "install that version again, or choose another path after a rollback with it"
        )
    return version


def _close(connection: sqlite3.Connection | None) -> None:
    if connection is not None:
        connection.close()
