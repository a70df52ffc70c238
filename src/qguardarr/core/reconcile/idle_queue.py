"""Which idle torrents have to be looked at, since something about their limits may have changed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from qguardarr.core.reconcile.rows import SlotQueue
from qguardarr.core.reconcile.torrent_table import TorrentState, TorrentTable


class IdleQueue:
    """Torrents to look at in order, and those among them that were added lately."""

    def __init__(self, table: TorrentTable) -> None:
        self._table = table
        self._dirty = SlotQueue(table.rows)
        self._new: dict[str, None] = {}
        """Torrents that were added since the last settled plan."""

    def newcomers(self) -> Iterator[TorrentState]:
        """Yield the torrents that were added since the last settled plan, after the first complete list."""
        return (state for hash_ in self._new if (state := self._table.get(hash_)) is not None)

    def dirty(self) -> Iterator[TorrentState]:
        """Yield the torrents that have to be looked at. Mark none clean before that has ended."""
        return map(self._table.at, self._dirty)

    def add_newcomer(self, hash_: str) -> None:
        """Have a torrent that was added looked at before all others."""
        self._new[hash_] = None

    def forget(self, hash_: str) -> None:
        """Forget a torrent; before the table does."""
        self._dirty.discard(self._table.slot(hash_))
        self._new.pop(hash_, None)

    def mark_dirty(self, hash_: str) -> None:
        """Have the limit of a torrent looked at while it is idle."""
        if (slot := self._table.slot(hash_)) >= 0:
            self._dirty.add(slot)

    def mark_all_dirty(self) -> None:
        """Have all torrents looked at, those with leechers first."""
        self._dirty.replace(self._by_leechers(self._table.rows.slots()))

    def mark_rules_dirty(self, rules: Collection[int]) -> None:
        """Have the torrents of these rules looked at, those with leechers first."""
        if rules:
            for slot in self._by_leechers(s for s in self._table.rows.slots() if self._table.rule_at(s) in rules):
                self._dirty.add(slot)

    def mark_clean(self, slot: int) -> None:
        """Have the torrent in this slot left alone until something changes: its limit is as it should be."""
        self._dirty.discard(slot)

    def postpone(self, hashes: Iterable[str]) -> None:
        """Have these torrents looked at after all others: their changes were refused."""
        self._dirty.move_to_end(self._slots(hashes))

    def settle_newcomers(self) -> None:
        """Have the torrents that were added looked at as all others, but first: a plan for them was carried out."""
        if self._new:
            self._dirty.move_to_front(self._slots(self._new))
            self._new = {}

    def _slots(self, hashes: Iterable[str]) -> Iterator[int]:
        return (slot for hash_ in hashes if (slot := self._table.slot(hash_)) >= 0)

    def _by_leechers(self, slots: Iterable[int]) -> list[int]:
        return sorted(slots, key=lambda slot: -self._table.leechers_at(slot))
