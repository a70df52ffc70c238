"""What one answer says about torrents, merged with what was known of them.

An answer is merged aside and given away only when it has arrived whole.
"""

from __future__ import annotations

import re
from collections.abc import MutableMapping
from typing import Final

from qguardarr.adapters.qbittorrent.packed_torrents import PackedTorrents
from qguardarr.adapters.qbittorrent.stream import GarbledError
from qguardarr.adapters.qbittorrent.wire import TorrentDelta, Urls, merged
from qguardarr.core.model import Torrent
from qguardarr.engine.ports import Known

HASH: Final = re.compile(r"[0-9a-f]{40}")


class Merge:
    """One answer while it arrives."""

    def __init__(self, known: Known, urls: Urls, *, full: bool) -> None:
        """`full`: a complete list is expected, which is packed."""
        self._known, self._urls, self._full = known, urls, full
        self.seen: MutableMapping[str, Torrent] = PackedTorrents() if full else {}
        """All torrents that the answer names."""
        self._unchanged: set[str] = set()
        """Hashes of those that are as they were."""
        self.incomplete = False
        """The answer changes a torrent that was never described: some answer before was lost."""

    def add(self, torrent_hash: str, delta: TorrentDelta) -> None:
        """Take in what the answer says about one torrent. GarbledError if its id is none."""
        previous = self._known(torrent_hash)
        if previous is None and not HASH.fullmatch(torrent_hash):
            raise GarbledError("a torrent whose id is no hash")
        torrent = merged(previous, torrent_hash, delta, self._urls)
        if torrent is None:
            self.incomplete = True
            return
        self.seen[torrent.hash] = torrent
        if torrent is previous and not self._full:
            self._unchanged.add(torrent.hash)

    def changed(self) -> dict[str, Torrent]:
        """Return the torrents that are new or differ from what was known."""
        if not self._unchanged:
            return dict(self.seen)
        return {name: torrent for name, torrent in self.seen.items() if name not in self._unchanged}
