"""Keep a complete list of torrents as rows of bytes while it is read and taken in."""

from __future__ import annotations

import struct
from collections.abc import ItemsView, Iterator, MutableMapping
from typing import Final

from qguardarr.core.model import Labels, Torrent, packed_activity, unpacked_activity
from qguardarr.core.reconcile.rows import KEY_BYTES, Rows

_ROW: Final = struct.Struct(f"<{KEY_BYTES}sBIQIIIIIIIHfQIQ")
"""Key; activity; upload limit, bytes sent, leechers, those of the swarm, seconds of activity; the digest of the URLs,
their number; the number of the labels; where the name stands, and its length; ratio, size, time when added, all bytes
ever sent."""


class PackedTorrents(MutableMapping[str, Torrent]):
    """Torrents by hash, 96 bytes each, where objects in a dictionary take 450: each is built when it is looked at.

    Announce URLs and labels are kept once for all torrents that share them.
    """

    def __init__(self) -> None:
        self._rows = Rows(_ROW.size)
        self._urls: dict[tuple[str, ...], int] = {}
        self._urls_by_number: list[tuple[str, ...]] = []
        self._labels: dict[Labels, int] = {}
        self._labels_by_number: list[Labels] = []
        self._names = bytearray()
        """Names one after another, if they are shown."""

    def __setitem__(self, hash_: str, torrent: Torrent) -> None:
        key = bytes.fromhex(hash_)
        slot = self._rows.find(key)
        if slot < 0:
            slot = self._rows.add(key)
        number = self._urls.setdefault(torrent.urls, len(self._urls_by_number))
        if number == len(self._urls_by_number):
            self._urls_by_number.append(torrent.urls)
        labels = self._labels.setdefault(torrent.labels, len(self._labels_by_number))
        if labels == len(self._labels_by_number):
            self._labels_by_number.append(torrent.labels)
        name = torrent.name.encode(errors="surrogatepass")
        name_at = len(self._names)
        self._names += name
        _ROW.pack_into(
            self._rows.data,
            slot * _ROW.size,
            key,
            packed_activity(torrent),
            torrent.up_limit,
            torrent.uploaded,
            torrent.leechers,
            torrent.swarm_leechers,
            torrent.active_s,
            torrent.urls_digest,
            number,
            labels,
            name_at,
            len(name),
            torrent.ratio,
            torrent.size,
            torrent.added_on,
            torrent.uploaded_ever,
        )

    def __getitem__(self, hash_: str) -> Torrent:
        slot = self._slot(hash_)
        if slot < 0:
            raise KeyError(hash_)
        return self._at(slot)

    def __delitem__(self, hash_: str) -> None:
        slot = self._slot(hash_)
        if slot < 0:
            raise KeyError(hash_)
        self._rows.remove(slot)

    def __contains__(self, hash_: object) -> bool:
        return isinstance(hash_, str) and self._slot(hash_) >= 0

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[str]:
        return (self._rows.key(slot).hex() for slot in self._rows.slots())

    def items(self) -> ItemsView[str, Torrent]:
        """Return all torrents with their hashes; faster than to look each up."""
        return _Items(self)

    def each(self) -> Iterator[Torrent]:
        """Yield all torrents."""
        return map(self._at, self._rows.slots())

    def _slot(self, hash_: str) -> int:
        try:
            return self._rows.find(bytes.fromhex(hash_))
        except ValueError:
            return -1

    def _at(self, slot: int) -> Torrent:
        row = _ROW.unpack_from(self._rows.data, slot * _ROW.size)
        key, activity, up_limit, uploaded, leechers, swarm_leechers, active_s, digest, number = row[:9]
        labels, name_at, name_bytes, ratio, size, added_on, uploaded_ever = row[9:]
        shown, downloading = unpacked_activity(activity)
        return Torrent(
            key.hex(),
            self._urls_by_number[number],
            shown,
            up_limit,
            uploaded,
            leechers,
            swarm_leechers,
            downloading,
            active_s,
            digest,
            self._labels_by_number[labels],
            ratio,
            size,
            added_on,
            uploaded_ever,
            self._names[name_at : name_at + name_bytes].decode(errors="surrogatepass"),
        )


class _Items(ItemsView[str, Torrent]):
    _mapping: PackedTorrents

    def __iter__(self) -> Iterator[tuple[str, Torrent]]:
        return ((torrent.hash, torrent) for torrent in self._mapping.each())
