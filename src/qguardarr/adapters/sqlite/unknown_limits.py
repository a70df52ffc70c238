"""Torrents of which the journal does not know which limits we wrote, since a newer journal was lost.

Any limit but the original then counts as ours, until a read of qBittorrent tells which one is in force.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Final

from qguardarr.adapters.sqlite.journal_schema import APPLIED, next_id, to_hash

ANY: Final = -1
"""Stands for any limit among the values that may be in force by our hand."""


def mark_unknown(db: sqlite3.Connection, torrent: int) -> None:
    """Note that we may have written any limit to the torrent with this row id."""
    _mark(db, "id = ?", torrent)


def mark_all_unknown(db: sqlite3.Connection) -> None:
    """Note that of all torrents whose original is not restored."""
    _mark(db, "restored_at IS NULL AND ? IS NULL", None)


def is_unknown(db: sqlite3.Connection, instance: str, key: bytes | str) -> bool:
    """Tell whether we may have written any limit to this torrent."""
    row = db.execute(
        """SELECT 1 FROM in_force
        WHERE torrent = (SELECT id FROM torrents WHERE instance = ? AND hash = ? AND restored_at IS NULL)
        AND value = ? AND superseded_at IS NULL""",
        (instance, key, ANY),
    ).fetchone()
    return row is not None


def has_unknown(db: sqlite3.Connection) -> bool:
    """Tell whether there is any such torrent."""
    return bool(db.execute("SELECT EXISTS (SELECT 1 FROM in_force WHERE value = ?)", (ANY,)).fetchone()[0])


def clear_unknown(db: sqlite3.Connection, instance: str, key: bytes | str) -> None:
    """Note that a torrent has its original back, so that no limit of ours is in force."""
    db.execute(
        "DELETE FROM in_force WHERE torrent = (SELECT id FROM torrents WHERE instance = ? AND hash = ?) AND value = ?",
        (instance, key, ANY),
    )


def resolve_unknown(db: sqlite3.Connection, instance: str, limit_of: Callable[[str], int | None], at: float) -> None:
    """Take the limits in force (bytes/s by hash, read at Unix time `at`) for the ones that we wrote."""
    rows = db.execute(
        """SELECT id, hash, original FROM torrents JOIN in_force ON torrent = id
        WHERE instance = ? AND value = ? AND restored_at IS NULL""",
        (instance, ANY),
    ).fetchall()
    for id_, key, original in rows:
        limit = limit_of(to_hash(key))
        if limit is None:
            continue
        db.execute("DELETE FROM in_force WHERE torrent = ? AND value = ?", (id_, ANY))
        if limit == original:
            continue
        line = db.execute(
            """INSERT INTO changes (at, torrent, old, new, own, status, reason)
            VALUES (?, ?, ?, ?, 1, ?, 'found in force after the journal was lost')""",
            (at, id_, original, limit, APPLIED),
        ).lastrowid
        db.execute("INSERT OR REPLACE INTO in_force VALUES (?, ?, ?, NULL)", (id_, limit, line))


def _mark(db: sqlite3.Connection, which: str, value: int | None) -> None:
    db.execute(
        f"""INSERT INTO in_force (torrent, value, change) SELECT id, {ANY}, ? FROM torrents WHERE {which}
        ON CONFLICT DO UPDATE SET change = excluded.change, superseded_at = NULL""",  # noqa: S608 # our own literals
        (next_id(db) - 1, value),
    )
