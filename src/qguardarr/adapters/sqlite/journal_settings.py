"""Single values that the journal keeps in its table of settings."""

from __future__ import annotations

import sqlite3
from typing import Final

from qguardarr.adapters.sqlite.journal_schema import next_id

PAUSED: Final = "paused"
"""Why a person paused the guard; absent while it is not paused."""
FOREIGN: Final = "foreign"
"""Which limits other programs set."""
CONFIGURATION: Final = "configuration"
"""Digest of the policy that all limits in force follow from."""
COPY: Final = "copy"
"""Name of the journal, a space, and the revision of its originals: see `journal_recovery`."""
_HOLD: Final = "hold"
"""Why nothing may be written: the journal is an empty one where another should be."""
OLDER: Final = "older"
"""Present in a journal that is older than the last one in use: it does not know torrents that came since."""
_BEGUN: Final = "begun"
"""When a person said that the limits in force count as originals, Unix time."""


def get(db: sqlite3.Connection, name: str) -> str | None:
    """Return a setting; None if it is absent."""
    row = db.execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchone()
    return None if row is None else str(row[0])


def of_instance(name: str, instance: str) -> str:
    """Return the name under which a setting of one qBittorrent is kept."""
    return f"{name} {instance}" if instance else name


def put(db: sqlite3.Connection, name: str, value: str | None) -> None:
    """Keep a setting; None removes it."""
    if value is None:
        db.execute("DELETE FROM settings WHERE name = ?", (name,))
    else:
        db.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (name, value))


def hold(db: sqlite3.Connection, reason: str) -> None:
    """Note in an empty journal that it stands where another should be."""
    if not has_begun(db) and get(db, COPY) is None:
        db.execute("INSERT OR IGNORE INTO settings VALUES (?, ?)", (_HOLD, reason))


def holding(db: sqlite3.Connection) -> str:
    """Return why the journal must not be used; empty if it may."""
    return get(db, _HOLD) or ""


def end_hold(db: sqlite3.Connection) -> None:
    """Allow the journal to be used: what it lacked came back."""
    put(db, _HOLD, None)


def begin_anew(db: sqlite3.Connection, at: float) -> None:
    """Note that a person said, at this Unix time, that limits in force count as originals."""
    put(db, _HOLD, None)
    put(db, OLDER, None)
    put(db, _BEGUN, str(at))


def has_begun(db: sqlite3.Connection) -> bool:
    """Tell whether anything was ever written with this journal, or a person said that nothing was before.

    False for an older journal in the place of the last one in use.
    """
    return get(db, OLDER) is None and (next_id(db) > 1 or get(db, _BEGUN) is not None)
