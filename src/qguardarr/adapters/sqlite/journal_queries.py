"""Questions to the journal: which torrents are touched, which limits we wrote, and what happened."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from itertools import groupby
from typing import Any, Final

from qguardarr.adapters.sqlite.journal_changes import UNSYNCED_S
from qguardarr.adapters.sqlite.journal_schema import STATUSES, to_hash, to_key
from qguardarr.adapters.sqlite.unknown_limits import ANY, is_unknown
from qguardarr.engine.ports import HistoryEntry, Touched

_HASH_DIGITS: Final = 40

_TOUCHED: Final = """
SELECT hash, original, value FROM torrents LEFT JOIN in_force ON torrent = id AND superseded_at IS NULL
WHERE {which} AND restored_at IS NULL ORDER BY id, change DESC
"""

_RESTORED_LATELY: Final = """
SELECT hash, original, value FROM torrents
LEFT JOIN in_force ON torrent = id AND coalesce(superseded_at, restored_at) >= restored_at - ?
WHERE {which} AND restored_at IS NOT NULL ORDER BY id, change DESC
"""


def touched(db: sqlite3.Connection, instance: str, hashes: Collection[str] | None = None) -> Iterator[Touched]:
    """Yield the torrents whose original is not restored, or those of these alone, one by one."""
    return _of(db, _TOUCHED, hashes, instance)


def recently_restored(
    db: sqlite3.Connection, instance: str, hashes: Collection[str] | None = None
) -> Iterator[Touched]:
    """Yield restored torrents, or those of these alone, as far as history goes back.

    `written` may come back if the restoring got lost.
    """
    return _of(db, _RESTORED_LATELY, hashes, UNSYNCED_S, instance)


def touched_at(db: sqlite3.Connection, instance: str, hashes: Sequence[str]) -> dict[str, float]:
    """Return when touched torrents were first written to, as far as history goes back; Unix time."""
    first = """SELECT at FROM changes WHERE id = (
        SELECT min(id) FROM changes WHERE torrent = (
            SELECT id FROM torrents WHERE instance = ? AND hash = ? AND restored_at IS NULL))"""
    found = {name: db.execute(first, (instance, to_key(name))).fetchone() for name in hashes}
    return {name: row[0] for name, row in found.items() if row is not None}


def wrote(db: sqlite3.Connection, instance: str, torrent: str, limit: int) -> bool:
    """Tell whether we may have written this limit, other than to put the person's own value back."""
    found = db.execute(
        """SELECT 1 FROM changes WHERE torrent = (SELECT id FROM torrents WHERE instance = ? AND hash = ?)
        AND new = ? AND own = 1 LIMIT 1""",
        (instance, to_key(torrent), limit),
    ).fetchone()
    return found is not None or is_unknown(db, instance, to_key(torrent))


def history(
    db: sqlite3.Connection, instance: str, torrent: str | None, limit: int, before_id: int | None
) -> list[HistoryEntry]:
    """Return lines of history, newest first; see `Journal.history`."""
    conditions, values = ["+instance = ?"], list[Any]([instance])
    if torrent is not None:
        conditions.append("torrent = (SELECT id FROM torrents WHERE instance = ? AND hash = ?)")
        values += (instance, to_key(torrent))
    if before_id is not None:
        conditions.append("changes.id < ?")
        values.append(before_id)
    rows = db.execute(
        f"""SELECT changes.id, at, hash, old, new, status, reason FROM changes
        JOIN torrents ON torrents.id = torrent
        WHERE {" AND ".join(conditions)} ORDER BY changes.id DESC LIMIT ?""",  # noqa: S608 # our own literals
        (*values, max(0, limit)),
    )
    return [
        HistoryEntry(line, at, to_hash(key), old, new, STATUSES[status], reason)
        for line, at, key, old, new, status, reason in rows
    ]


def hashes(db: sqlite3.Connection, instance: str, prefix: str, limit: int) -> list[str]:
    """Return torrents in history whose hash begins with these digits, `limit` of them at most."""
    try:
        least, most = (bytes.fromhex(prefix.ljust(_HASH_DIGITS, digit)) for digit in "0f")
    except ValueError:
        return []
    query = "SELECT hash FROM torrents WHERE instance = ? AND hash BETWEEN ? AND ? ORDER BY hash LIMIT ?"
    return [to_hash(key) for (key,) in db.execute(query, (instance, least, most, limit))]


def _of(db: sqlite3.Connection, query: str, hashes: Collection[str] | None, *values: float | str) -> Iterator[Touched]:
    """Yield what a query finds, of these torrents alone if `hashes` are given."""
    if hashes is None:
        # The plus keeps SQLite from the index, by which it would have to sort all that it finds.
        yield from _each(db, query.format(which="+instance = ?"), *values)
    else:
        one = query.format(which="instance = ? AND hash = ?")
        for name in hashes:
            yield from _each(db, one, *values, to_key(name))


def _each(db: sqlite3.Connection, query: str, *values: float | bytes | str) -> Iterator[Touched]:
    rows = db.execute(query, values)
    for (key, original), group in groupby(rows, key=lambda row: (row[0], row[1])):
        written = tuple(row[2] for row in group if row[2] not in (None, ANY))
        yield Touched(to_hash(key), original, written)
