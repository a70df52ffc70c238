"""Questions to a journal about torrents, the limits that we wrote, and its settings."""

from __future__ import annotations

import copy
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from itertools import groupby
from typing import Any, Final, Self

from qguardarr.adapters.sqlite.journal_schema import (
    ANY,
    BEGUN,
    CONFIGURATION,
    FOREIGN,
    HOLD,
    IN_USE,
    OLDER,
    PAUSED,
    STATUSES,
    UNSYNCED_S,
    get_setting,
    next_id,
    own_setting,
    to_hash,
    to_key,
    touched_count,
)
from qguardarr.adapters.sqlite.shared_database import SharedDatabase
from qguardarr.adapters.sqlite.side_files import Reserve
from qguardarr.engine.ports import HistoryEntry, HistoryFilter, Touched

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

_WROTE: Final = """
SELECT EXISTS (SELECT 1 FROM changes WHERE torrent = torrents.id AND new = ? AND own = 1) OR restored_at IS NULL
    AND EXISTS (SELECT 1 FROM in_force WHERE torrent = torrents.id AND value = ? AND superseded_at IS NULL)
FROM torrents WHERE instance = ? AND hash = ?
"""


class JournalReader:
    """The part of `Journal` of `engine.ports`, which describes the methods, that writes nothing."""

    def __init__(self, file: SharedDatabase) -> None:
        self.file: SharedDatabase = file
        self.instance = ""
        """Name of the qBittorrent whose torrents this handle knows; see `of`."""
        self._of_all = False
        self._reserve = Reserve(file.path)

    def of_all(self) -> Self:
        """Return this journal with the history of all qBittorrents."""
        other = copy.copy(self)
        other._of_all = True  # noqa: SLF001 # our own
        return other

    def of(self, instance: str) -> Self:
        """Return this journal as it knows the torrents of one qBittorrent: a torrent's key is (instance, hash).

        Changes, which name their own, go to any; the pause and the state of the file count for all. The file stays open
        until this handle is closed.
        """
        other = copy.copy(self)
        other.instance = instance
        return other

    # -- torrents -----------------------------------------------------------------------------------------------------

    def touched(self, hashes: Collection[str] | None = None) -> dict[str, Touched]:
        with self.file.reading() as db:
            return {found.hash: found for found in self._find(db, _TOUCHED, hashes)}

    def recall(self, hashes: Collection[str] | None = None) -> Iterator[tuple[Touched, bool]]:
        with self.file.reading() as db:
            for found in self._find(db, _RESTORED_LATELY, hashes, UNSYNCED_S):
                yield found, False
            for found in self._find(db, _TOUCHED, hashes):
                yield found, True

    def originals(self) -> int:
        """Return how many torrents, of all instances, have an original to restore."""
        with self.file.reading() as db:
            return touched_count(db)

    def instances(self) -> dict[str, int]:
        """Return the names of the qBittorrents that have torrents to restore, and how many these are."""
        query = "SELECT instance, count(*) FROM torrents WHERE restored_at IS NULL GROUP BY instance"
        with self.file.reading() as db:
            return dict(db.execute(query).fetchall())

    def recently_restored(self) -> dict[str, Touched]:
        with self.file.reading() as db:
            return {found.hash: found for found in self._find(db, _RESTORED_LATELY, None, UNSYNCED_S)}

    def wrote(self, hash: str, limit: int) -> bool:  # noqa: A002 # the port's name
        with self.file.reading() as db:
            row = db.execute(_WROTE, (limit, ANY, self.instance, to_key(hash))).fetchone()
        return row is not None and bool(row[0])

    # -- history ------------------------------------------------------------------------------------------------------

    def touched_at(self, hashes: Sequence[str]) -> dict[str, float]:
        first = """SELECT at FROM changes WHERE id = (
            SELECT min(id) FROM changes WHERE torrent = (
                SELECT id FROM torrents WHERE instance = ? AND hash = ? AND restored_at IS NULL))"""
        with self.file.reading() as db:
            found = {name: db.execute(first, (self.instance, to_key(name))).fetchone() for name in hashes}
        return {name: row[0] for name, row in found.items() if row is not None}

    def history(
        self,
        *,
        hash: str | None = None,  # noqa: A002 # the port's name
        limit: int = 100,
        before_id: int | None = None,
        wanted: HistoryFilter = HistoryFilter(),  # noqa: B008 # frozen
    ) -> list[HistoryEntry]:
        instance = self.instance if wanted.instance is None and not self._of_all else wanted.instance
        of_it, its = ("1", []) if instance is None else ("instance = ?", [instance])
        conditions, values = [f"+{of_it}"], list[Any](its)
        if hash is not None:
            conditions.append(f"torrent IN (SELECT id FROM torrents WHERE {of_it} AND hash = ?)")  # noqa: S608 # ours
            values += (*its, to_key(hash))
        if before_id is not None:
            conditions.append("changes.id < ?")
            values.append(before_id)
        if wanted.hash_prefix:
            its_hashes = f"SELECT id FROM torrents WHERE {of_it} AND hash BETWEEN ? AND ?"  # noqa: S608 # ours
            conditions.append(f"torrent IN ({its_hashes})")
            values += (*its, *_between(wanted.hash_prefix))
        if wanted.status:
            conditions.append("status = ?")
            values.append(STATUSES.index(wanted.status))
        bounds = [("changes.id >= ?", wanted.start), ("changes.id < ?", wanted.end)]
        conditions += [condition for condition, at in bounds if at is not None]
        query = f"""SELECT changes.id, at, hash, old, new, status, reason, instance
            FROM changes JOIN torrents ON torrents.id = torrent
            WHERE {" AND ".join(conditions)} ORDER BY changes.id DESC LIMIT ?"""  # noqa: S608 # our own literals
        with self.file.reading() as db:
            values += [_first_line(db, at) for _, at in bounds if at is not None]
            return [
                HistoryEntry(line, at, to_hash(key), old, new, STATUSES[status], reason, instance)
                for line, at, key, old, new, status, reason, instance in db.execute(query, (*values, max(0, limit)))
            ]

    def hashes(self, prefix: str, *, limit: int) -> list[str]:
        """Return torrents in history whose hash begins with these digits, `limit` of them at most."""
        try:
            least, most = _between(prefix)
        except ValueError:
            return []
        instance = "" if self._of_all else "instance = :instance AND "
        query = f"""SELECT DISTINCT hash FROM torrents WHERE {instance}hash BETWEEN :least AND :most
            ORDER BY hash LIMIT :limit"""  # noqa: S608 # our own literals
        values = {"instance": self.instance, "least": least, "most": most, "limit": limit}
        with self.file.reading() as db:
            return [to_hash(key) for (key,) in db.execute(query, values)]

    # -- settings -----------------------------------------------------------------------------------------------------

    def paused(self) -> str | None:
        with self.file.reading() as db:
            reason = get_setting(db, PAUSED)
            return self._reserve.paused() if reason is None else reason

    def foreign(self) -> str:
        return self._setting(self._own(FOREIGN))

    def configuration(self) -> str:
        return self._setting(self._own(CONFIGURATION))

    def in_use(self) -> str:
        return self._setting(self._own(IN_USE))

    def holding(self) -> str:
        return self._setting(HOLD)

    def has_begun(self) -> bool:
        """Tell whether anything was ever written with this journal, or a person said that nothing was before.

        False for an older journal in the place of the last one in use.
        """
        with self.file.reading() as db:
            return get_setting(db, OLDER) is None and (next_id(db) > 1 or get_setting(db, BEGUN) is not None)

    def close(self) -> None:
        """Let go of the file. May be called twice."""
        self.file.close()

    def _own(self, name: str) -> str:
        """Return the name under which a setting of one qBittorrent is kept."""
        return own_setting(name, self.instance)

    def _setting(self, name: str) -> str:
        with self.file.reading() as db:
            return get_setting(db, name) or ""

    def _find(
        self, db: sqlite3.Connection, query: str, hashes: Collection[str] | None, *values: float
    ) -> Iterator[Touched]:
        """Yield what a query finds, one by one; of these torrents alone if `hashes` are given."""
        if hashes is None:
            # The plus keeps SQLite from the index, by which it would have to sort all that it finds.
            yield from _each(db, query.format(which="+instance = ?"), *values, self.instance)
        else:
            one = query.format(which="instance = ? AND hash = ?")
            for name in hashes:
                yield from _each(db, one, *values, self.instance, to_key(name))


def _between(prefix: str) -> tuple[bytes, bytes]:
    """Return the least and the greatest key of hashes that begin with these digits. Raises ValueError."""
    least, most = (bytes.fromhex(prefix.ljust(_HASH_DIGITS, digit)) for digit in "0f")
    return least, most


def _first_line(db: sqlite3.Connection, at: float) -> int:
    """Return the number of the first line of that Unix time or later, or the next one to come.

    Lines are written in order, so that twenty looks find it among a million. Where a clock was set back, it is one of
    several that would do.
    """
    low, high = (db.execute("SELECT coalesce(min(id), 1) FROM changes").fetchone()[0], next_id(db))
    while low < high:
        middle = (low + high) // 2
        row = db.execute("SELECT id, at FROM changes WHERE id >= ? ORDER BY id LIMIT 1", (middle,)).fetchone()
        if row is None or row[1] >= at:
            high = middle
        else:
            low = row[0] + 1
    return int(low)


def _each(db: sqlite3.Connection, query: str, *values: float | bytes | str) -> Iterator[Touched]:
    rows = db.execute(query, values)
    for (key, original), group in groupby(rows, key=lambda row: (row[0], row[1])):
        written = tuple(row[2] for row in group if row[2] not in (None, ANY))
        yield Touched(to_hash(key), original, written)
