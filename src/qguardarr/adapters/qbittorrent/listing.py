"""Torrents with their announce URLs, for questions of people. Nothing of them is kept.

They are read in pieces. Before each the connection is free for a moment, so that a cycle waits for one piece at most.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

import msgspec

from qguardarr.adapters.qbittorrent.stream import GarbledError, array_items
from qguardarr.adapters.qbittorrent.wire import TorrentDelta, Urls, described
from qguardarr.engine.ports import ListedTorrent
from qguardarr.errors import Unreachable

PIECE: Final = 500
"""Torrents of one request. qBittorrent takes a tenth of a second to write them."""
BREAK_S: Final = 0.005
"""Pause before each request: a lock is not fair, and whoever lets go of it and takes it again gets it first."""
LONGEST_S: Final = 60.0
"""All requests of one list together; 30,000 torrents take about 8 s."""


class ListedRow(TorrentDelta, gc=False, kw_only=True):
    """The fields that are read of a torrent."""

    hash: str
    upspeed: int = 0


def rows(chunks: Iterator[bytes], urls: Urls) -> list[ListedTorrent]:
    """Return the torrents of an answer of `torrents/info`. Raises `Unreachable` if it is none."""
    try:
        found = (msgspec.convert(row, ListedRow) for row in array_items(chunks))
        return [_listed(row, urls) for row in found]
    except (msgspec.DecodeError, msgspec.ValidationError, GarbledError, RecursionError) as error:
        raise Unreachable(f"qBittorrent's answer could not be understood ({error})") from None


def _listed(row: ListedRow, urls: Urls) -> ListedTorrent:
    about = described(row, urls)
    return ListedTorrent(row.hash, about.urls, max(0, row.upspeed), msgspec.structs.replace(about, urls=()))


def in_pieces(
    hashes: Iterable[str],
    read: Callable[[Sequence[str]], list[ListedTorrent]],
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[ListedTorrent]:
    """Yield what `read` returns for one small piece after the other. Raises `Unreachable` if that takes too long."""
    left, until = iter(hashes), clock() + LONGEST_S
    while piece := list(itertools.islice(left, PIECE)):
        if clock() >= until:
            raise Unreachable("qBittorrent takes too long to list its torrents")
        time.sleep(BREAK_S)
        yield from read(piece)
