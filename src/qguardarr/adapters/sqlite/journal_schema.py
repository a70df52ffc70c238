"""The journal's tables, with its settings, and torrents' hashes as they are kept in them."""

from __future__ import annotations

import sqlite3
from typing import Final

from qguardarr.adapters.sqlite.database import Format, Migration
from qguardarr.errors import JournalError

STATUSES: Final = ("intended", "applied", "failed", "restored", "adopted")
INTENDED, APPLIED, FAILED, RESTORED, ADOPTED = range(len(STATUSES))

ANY: Final = -1
"""Stands for any limit among the values in force, if a newer journal was lost and nobody knows which ones we wrote. Any
limit but the original then counts as ours, until a read of qBittorrent tells which one is in force."""

UNSYNCED_S: Final = 600.0
"""How long before a restoring a write of ours counts as one that may come back with it, seconds. A crash of qBittorrent
loses changes that it has not saved: one second's worth, but minutes' after a large batch on a slow disk."""

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
    (  # 3: two qBittorrents may have the same torrent. Built again, as SQLite cannot take a UNIQUE off a column.
        # instance: name of the qBittorrent, empty for the only one.
        """CREATE TABLE torrents_by_instance (
            id INTEGER PRIMARY KEY,
            instance TEXT NOT NULL DEFAULT '',
            hash BLOB NOT NULL,
            original INTEGER NOT NULL,
            restored_at REAL,
            missing_since REAL,
            missing_until REAL,
            UNIQUE (instance, hash)
        )""",
        """INSERT INTO torrents_by_instance (id, hash, original, restored_at, missing_since, missing_until)
        SELECT id, hash, original, restored_at, missing_since, missing_until FROM torrents""",
        "DROP TABLE torrents",
        "ALTER TABLE torrents_by_instance RENAME TO torrents",
    ),
)

JOURNAL: Final = Format(
    "journal",
    0x51677264,  # "Qgrd"
    MIGRATIONS,
    busy_timeout_s=5.0,  # our own writes take milliseconds; those of a person's `sqlite3` shell may not
    error=JournalError,
    foreign="it belongs to the earlier Qguardarr or to another program, and was not touched. If the earlier Qguardarr "
    "has limits in force, let it roll them back first (POST /rollback) and stop it; then set rollback.database_path to "
    "a new file",
    hints={
        sqlite3.SQLITE_CORRUPT: "it is damaged, and so is its second copy, or there is none; `qguardarr restore FILE` "
        "puts a backup in its place; without one, `qguardarr begin-anew` (originals are lost)",
        sqlite3.SQLITE_NOTADB: "it is not a journal of Qguardarr; choose another path",
    },
)


def next_id(db: sqlite3.Connection) -> int:
    """Return the id that the next line of history will have."""
    row = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'changes'").fetchone()
    return 1 if row is None else int(row[0]) + 1


def touched_count(db: sqlite3.Connection) -> int:
    """Count the torrents, of all instances, that have an original to restore."""
    count: int = db.execute("SELECT count(*) FROM torrents WHERE restored_at IS NULL").fetchone()[0]
    return count


def to_key(digits: str) -> bytes | str:
    """Return a torrent's hash as it is kept: 20 bytes instead of 40 digits, or text if that would not come back."""
    try:
        key = bytes.fromhex(digits)
    except ValueError:
        return digits
    return key if key.hex() == digits else digits


def to_hash(key: bytes | str) -> str:
    """Return the hash for a key; the inverse of `to_key`."""
    return key.hex() if isinstance(key, bytes) else key


# -- settings ---------------------------------------------------------------------------------------------------------

PAUSED: Final = "paused"
"""Why a person paused the guard; absent while it is not paused."""
FOREIGN: Final = "foreign"
"""Which limits other programs set."""
CONFIGURATION: Final = "configuration"
"""Digest of the policy that all limits in force follow from."""
IN_USE: Final = "in use"
"""What each of several qBittorrents uses of the caps."""
COPY: Final = "copy"
"""Name of the journal, a space, and the revision of its originals: see `journal_recovery`."""
HOLD: Final = "hold"
"""Why nothing may be written: the journal is an empty one where another should be."""
OLDER: Final = "older"
"""Present in a journal that is older than the last one in use: it does not know torrents that came since."""
BEGUN: Final = "begun"
"""When a person said that the limits in force count as originals, Unix time."""


def get_setting(db: sqlite3.Connection, name: str) -> str | None:
    """Return a setting; None if it is absent."""
    row = db.execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchone()
    return None if row is None else str(row[0])


def own_setting(name: str, instance: str) -> str:
    """Return the name under which a setting of one qBittorrent is kept."""
    return f"{name} {instance}" if instance else name


def put_setting(db: sqlite3.Connection, name: str, value: str | None) -> None:
    """Keep a setting; None removes it."""
    if value is None:
        db.execute("DELETE FROM settings WHERE name = ?", (name,))
    else:
        db.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (name, value))
