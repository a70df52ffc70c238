"""Every torrent as it was shown last, and what an answer changes about it.

An answer is merged aside (`Merge`) and becomes the store only when it has arrived whole.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from qguardarr.adapters.qbittorrent.wire import TorrentDelta, Urls, merged
from qguardarr.core.model import Activity, Torrent


class Merge:
    """One answer on its way into the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.seen: dict[str, Torrent] = {}
        """All torrents that the answer names."""
        self.changed: dict[str, Torrent] = {}
        """Those of them that are new or differ."""
        self.incomplete = False
        """The answer changes a torrent that was never described: some answer before was lost."""

    def add(self, torrent_hash: str, delta: TorrentDelta) -> None:
        """Take in what the answer says about one torrent."""
        previous = self._store.torrents.get(torrent_hash)
        torrent = merged(previous, torrent_hash, delta, self._store.urls)
        if torrent is None:
            self.incomplete = True
            return
        self.seen[torrent.hash] = torrent
        if torrent is not previous:
            self.changed[torrent.hash] = torrent


class Store:
    """All torrents by hash."""

    def __init__(self) -> None:
        self.torrents: dict[str, Torrent] = {}
        self.urls = Urls()
        self._active: frozenset[str] = frozenset()
        """Hashes in the last answer of the active ones."""

    def replace(self, merge: Merge) -> dict[str, Torrent]:
        """A complete list arrived; a copy of it, to be given away."""
        self.torrents = merge.seen
        self._active = frozenset(h for h, torrent in merge.seen.items() if torrent.activity is Activity.ACTIVE)
        return dict(merge.seen)

    def update(self, merge: Merge, removed: Iterable[str]) -> tuple[dict[str, Torrent], frozenset[str]]:
        """A partial answer arrived: what changed, and what is gone."""
        gone = frozenset(removed)
        self.torrents.update(merge.changed)
        for torrent_hash in gone:
            self.torrents.pop(torrent_hash, None)
            merge.changed.pop(torrent_hash, None)
        return merge.changed, gone

    def update_active(self, merge: Merge, absent: Iterable[str]) -> tuple[dict[str, Torrent], frozenset[str]]:
        """The active ones were listed, and some others asked for, of which some do not exist (`absent`).

        What changed, with those that are active no longer, now idle; and what is gone.
        """
        gone = frozenset(absent) & self.torrents.keys()
        for torrent_hash in gone:
            del self.torrents[torrent_hash]
        changed = merge.changed
        for torrent_hash in self._active - merge.seen.keys():
            torrent = self.torrents.get(torrent_hash)
            if torrent is not None and torrent.activity is Activity.ACTIVE:
                changed[torrent_hash] = msgspec.structs.replace(torrent, activity=Activity.IDLE, active_s=0)
        self._active = frozenset(merge.seen)
        self.torrents.update(changed)
        return changed, gone
