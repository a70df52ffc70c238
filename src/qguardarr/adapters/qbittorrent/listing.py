"""All torrents one after the other, with their announce URLs, for questions of people. Nothing of them is kept."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from qguardarr.adapters.qbittorrent.stream import array_items
from qguardarr.adapters.qbittorrent.wire import Urls
from qguardarr.engine.ports import ListedTorrent


class ListedRow(msgspec.Struct, gc=False):
    """The fields that are read of a torrent."""

    hash: str
    magnet_uri: str = ""
    tracker: str = ""
    upspeed: int = 0


def listed(chunks: Iterator[bytes], urls: Urls) -> Iterator[ListedTorrent]:
    """Yield the torrents of an answer of `torrents/info` while it arrives."""
    for row in array_items(chunks):
        found = msgspec.convert(row, ListedRow)
        yield ListedTorrent(found.hash, urls.of(found.magnet_uri, found.tracker), max(0, found.upspeed))
