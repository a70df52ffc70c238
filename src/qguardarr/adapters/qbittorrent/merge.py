"""Decode an answer about torrents, and merge it with what was known of them.

The result is kept apart, and given away only when the answer has arrived whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, MutableMapping
from itertools import chain
from typing import Any, Final

import msgspec

from qguardarr.adapters.http import CHUNK_BYTES
from qguardarr.adapters.qbittorrent.packed_torrents import PackedTorrents
from qguardarr.adapters.qbittorrent.stream import GarbledError, array_items, object_items
from qguardarr.adapters.qbittorrent.wire import Maindata, TorrentDelta, Urls, merged
from qguardarr.core.model import Torrent
from qguardarr.engine.ports import Known

WHOLE_BYTES: Final = 6 * 1024 * 1024
"""Partial answers up to this size are decoded in one piece, which is quicker; larger ones are streamed."""
WHOLE_FULL_BYTES: Final = 1024 * 1024
"""The same for complete lists."""

HASH: Final = re.compile(r"[0-9a-f]{40}")
_KEPT: Final = frozenset({"rid", "full_update", "torrents_removed", "server_state"})
_maindata: Final = msgspec.json.Decoder(Maindata)
_rows: Final = msgspec.json.Decoder(list[TorrentDelta])


class Merge:
    """One answer while it arrives."""

    def __init__(self, known: Known, urls: Urls, *, full: bool, names: bool = False) -> None:
        """`full`: a complete list is expected, which is packed. `names`: with names."""
        self._known, self._urls, self._full, self._names = known, urls, full, names
        self.seen: MutableMapping[str, Torrent] = PackedTorrents() if full else {}
        """All torrents that the answer names."""
        self._unchanged: set[str] = set()
        """Hashes of those that are as they were."""
        self.incomplete = False
        """Whether the answer changes a torrent that was never described, so that an earlier answer was lost."""

    def maindata(self, chunks: Iterator[bytes]) -> Maindata:
        """Take in an answer of `sync/maindata`. Return what it says besides torrents."""
        head, is_whole = self._head(chunks)
        if is_whole:
            main = _maindata.decode(head)
            for torrent_hash, delta in main.torrents.items():
                self.add(torrent_hash, delta)
        else:
            kept: dict[str, Any] = {}
            for key, name, value in object_items(chain(_pieces(head), chunks), split="torrents", keep=_KEPT):
                if key == "torrents":
                    self.add(name, msgspec.convert(value, TorrentDelta))
                else:
                    kept[key] = value
            main = msgspec.convert(kept, Maindata)
        if main.full_update and self.incomplete:
            raise GarbledError("torrents without their fields")
        return main

    def rows(self, chunks: Iterator[bytes]) -> None:
        """Take in an answer of `torrents/info`."""
        head, is_whole = self._head(chunks)
        rows: Iterable[TorrentDelta]
        if is_whole:
            rows = _rows.decode(head)
        else:
            rows = (msgspec.convert(row, TorrentDelta) for row in array_items(chain(_pieces(head), chunks)))
        for row in rows:
            if row.hash is msgspec.UNSET:
                raise GarbledError("a torrent without its hash")
            self.add(row.hash, row)

    def add(self, torrent_hash: str, delta: TorrentDelta) -> None:
        """Take in one torrent. GarbledError if its id is no hash."""
        previous = self._known(torrent_hash)
        if previous is None and not HASH.fullmatch(torrent_hash):
            raise GarbledError("a torrent whose id is no hash")
        torrent = merged(previous, torrent_hash, delta, self._urls, names=self._names)
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

    def _head(self, chunks: Iterator[bytes]) -> tuple[bytearray, bool]:
        """Return the beginning of an answer, and whether that is all of it and small enough to decode in one piece."""
        most_bytes = WHOLE_FULL_BYTES if self._full else WHOLE_BYTES
        head = bytearray()
        for chunk in chunks:
            head += chunk
            if len(head) > most_bytes:
                return head, False
        return head, True


def _pieces(head: bytearray) -> Iterator[bytes]:
    for start in range(0, len(head), CHUNK_BYTES):
        yield bytes(head[start : start + CHUNK_BYTES])
