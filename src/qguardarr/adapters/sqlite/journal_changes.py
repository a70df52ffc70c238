"""Statements that note what was intended, written, restored, or set by a person. Times: Unix seconds."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from qguardarr.adapters.sqlite.journal_schema import (
    ADOPTED,
    APPLIED,
    FAILED,
    INTENDED,
    RESTORED,
    next_id,
    to_key,
)
from qguardarr.adapters.sqlite.unknown_limits import clear_unknown, has_unknown
from qguardarr.core.model import Change

UNSYNCED_S: Final = 600.0
"""How long before a restoring a write of ours counts as one that may come back with it, seconds. qBittorrent loses what
it has not saved when it crashes: one second's worth, but minutes' after a large batch on a slow disk."""

_TOUCH: Final = """
INSERT INTO torrents (instance, hash, original) VALUES (?1, ?2, ?3)
ON CONFLICT (instance, hash) DO UPDATE SET
    original = CASE WHEN restored_at IS NULL
        OR EXISTS (SELECT 1 FROM in_force WHERE torrent = torrents.id AND value = excluded.original
            AND coalesce(superseded_at, restored_at) >= restored_at - ?4)
        THEN original ELSE excluded.original END,
    restored_at = NULL, missing_since = NULL
WHERE restored_at IS NOT NULL OR missing_since IS NOT NULL
"""

_SUPERSEDE: Final = """
UPDATE in_force SET superseded_at = ?2
WHERE torrent = (SELECT torrent FROM changes WHERE id = ?1) AND change < ?1 AND superseded_at IS NULL
"""

_LIMIT_BEFORE: Final = """coalesce(
    (SELECT new FROM changes WHERE changes.id = (SELECT max(id) FROM changes WHERE torrent = torrents.id)),
    (SELECT value FROM in_force WHERE torrent = torrents.id ORDER BY change DESC LIMIT 1),
    original
)"""
"""The limit before a new line of history: the one of the line before it, as far as history goes back."""


def intend(db: sqlite3.Connection, changes: Sequence[Change], at: float) -> range:
    """Note originals (of torrents that are not touched) and intents. Return the ids of the lines."""
    first = next_id(db)
    ids = range(first, first + len(changes))
    keyed = [((change.instance, to_key(change.hash)), change) for change in changes]
    db.executemany(_TOUCH, ((*key, change.original, UNSYNCED_S) for key, change in keyed))
    db.executemany(
        """INSERT INTO changes
        SELECT ?, ?, id, ?, ?, original <> ?, ?, ? FROM torrents WHERE instance = ? AND hash = ?""",
        (
            (line, at, change.old, change.new, change.new, INTENDED, change.reason, *key)
            for line, (key, change) in zip(ids, keyed, strict=True)
        ),
    )
    db.execute(
        """INSERT INTO in_force (torrent, value, change)
        SELECT torrent, new, max(id) FROM changes NOT INDEXED WHERE id >= ? GROUP BY torrent, new
        ON CONFLICT DO UPDATE SET change = excluded.change, superseded_at = NULL""",
        (first,),
    )
    return ids


def note_applied(db: sqlite3.Connection, ids: Sequence[int], at: float) -> None:
    """Note that these writes succeeded: all values intended before them are superseded."""
    db.executemany("UPDATE changes SET status = ? WHERE id = ?", ((APPLIED, line) for line in ids))
    db.executemany(_SUPERSEDE, ((line, at) for line in ids))
    db.executemany(
        "DELETE FROM in_force WHERE torrent = (SELECT torrent FROM changes WHERE id = ?) AND superseded_at < ?",
        ((line, at - UNSYNCED_S) for line in ids),
    )


def note_failed(db: sqlite3.Connection, ids: Sequence[int]) -> None:
    """Note that these writes failed; their values may be in force all the same."""
    db.executemany("UPDATE changes SET status = ? WHERE id = ?", ((FAILED, line) for line in ids))


def adopt(db: sqlite3.Connection, instance: str, originals: Mapping[str, int], reason: str, at: float) -> None:
    """Make these limits the originals of torrents that are touched; the others are left out."""
    find = "SELECT id FROM torrents WHERE instance = ? AND hash = ? AND restored_at IS NULL"
    found = ((db.execute(find, (instance, to_key(name))).fetchone(), limit) for name, limit in originals.items())
    rows = [(row[0], limit) for row, limit in found if row is not None]
    db.executemany(
        f"""INSERT INTO changes (at, torrent, old, new, own, status, reason)
        SELECT ?3, id, {_LIMIT_BEFORE}, ?2, 0, ?4, ?5 FROM torrents WHERE id = ?1""",  # noqa: S608 # our own literals
        ((torrent, limit, at, ADOPTED, reason) for torrent, limit in rows),
    )
    # The old and the new original are a person's values: should one of them be in force later, then not by us.
    db.executemany(
        """DELETE FROM in_force
        WHERE torrent = ?1 AND value IN (?2, (SELECT original FROM torrents WHERE id = ?1))""",
        rows,
    )
    db.executemany("UPDATE changes SET own = 0 WHERE torrent = ? AND new = ? AND own = 1", rows)
    db.executemany("UPDATE torrents SET original = ?2 WHERE id = ?1", rows)


def note_restored(db: sqlite3.Connection, instance: str, hashes: Collection[str], at: float) -> None:
    """Note that these torrents have their originals back."""
    keys = [(instance, to_key(torrent)) for torrent in hashes]
    db.executemany(
        f"""INSERT INTO changes (at, torrent, old, new, own, status, reason)
        SELECT ?, id, {_LIMIT_BEFORE}, original, 0, ?, 'original restored'
        FROM torrents WHERE instance = ? AND hash = ?""",  # noqa: S608 # our own literals
        ((at, RESTORED, *key) for key in keys),
    )
    db.executemany(
        """DELETE FROM in_force
        WHERE (torrent, value) = (SELECT id, original FROM torrents WHERE instance = ? AND hash = ?)""",
        keys,
    )
    db.executemany(
        "UPDATE torrents SET restored_at = ?, missing_since = NULL WHERE instance = ? AND hash = ?",
        ((at, *key) for key in keys),
    )
    if has_unknown(db):
        for key in keys:
            clear_unknown(db, *key)


def rename(db: sqlite3.Connection, instance: str, old: str, new: str) -> None:
    """Give all that is known of the torrent `old` to `new`."""
    find = "SELECT id FROM torrents WHERE instance = ? AND hash = ?"
    (kept,) = db.execute(find, (instance, to_key(old))).fetchone() or (None,)
    (other,) = db.execute(find, (instance, to_key(new))).fetchone() or (None,)
    if kept is None:
        return
    if other is not None:  # taken for another torrent for a while: the older one's original is the true one
        db.execute("UPDATE changes SET torrent = ? WHERE torrent = ?", (kept, other))
        db.execute("UPDATE OR IGNORE in_force SET torrent = ? WHERE torrent = ?", (kept, other))
        db.execute("DELETE FROM in_force WHERE torrent = ?", (other,))
        db.execute("DELETE FROM torrents WHERE id = ?", (other,))
    db.execute(
        "UPDATE torrents SET hash = ?, missing_since = NULL, missing_until = NULL WHERE id = ?", (to_key(new), kept)
    )


def note_missing(db: sqlite3.Connection, instance: str, hashes: Collection[str], at: float) -> None:
    """Note that this qBittorrent lacks exactly these of its touched torrents."""
    gone = {to_key(torrent) for torrent in hashes}
    noted = db.execute("SELECT hash FROM torrents WHERE instance = ? AND missing_since IS NOT NULL", (instance,))
    db.executemany(
        "UPDATE torrents SET missing_since = NULL WHERE instance = ? AND hash = ?",
        [(instance, key) for (key,) in noted if key not in gone],
    )
    db.executemany(
        """UPDATE torrents SET missing_since = coalesce(missing_since, ?1), missing_until = ?1
        WHERE instance = ?2 AND hash = ?3 AND restored_at IS NULL""",
        ((at, instance, key) for key in gone),
    )
