"""Torrents that cost nothing: sparse files of zeros, and the .torrent and .fastresume files that describe them.

All files of one size are links to one, so that thousands need no space, and no disk waits when peers begin to read.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

Bencodable = int | bytes | str | list["Bencodable"] | dict[str, "Bencodable"]

DEFAULT_SIZE: Final = 16 * 2**20
"""Bytes. Peers ask for the same blocks again and again; the files stay in the page cache, so small is good."""

PIECE_BYTES: Final = 256 * 2**10


def bencode(value: Bencodable) -> bytes:
    """`value` in the encoding of .torrent files."""
    match value:
        case int():
            return b"i%de" % value
        case bytes():
            return b"%d:%s" % (len(value), value)
        case str():
            return bencode(value.encode())
        case list():
            return b"l" + b"".join(map(bencode, value)) + b"e"
        case dict():
            pairs = sorted((key.encode(), item) for key, item in value.items())
            return b"d" + b"".join(bencode(key) + bencode(item) for key, item in pairs) + b"e"


@dataclass(frozen=True)
class LabTorrent:
    """A torrent of one file of zeros."""

    name: str
    size: int
    """Bytes."""
    announce_urls: tuple[str, ...]
    """One tier each."""
    info_hash: str
    """40 hex digits."""
    metainfo: bytes
    """The .torrent file."""

    def create_file(self, folder: Path) -> None:
        """Make the (sparse) file of the payload in `folder`, unless it is there."""
        zeros = folder / f".zeros-{self.size}"
        if not zeros.exists():
            with zeros.open("wb") as file:
                file.truncate(self.size)
        with contextlib.suppress(FileExistsError):
            (folder / self.name).hardlink_to(zeros)

    def resume_data(self, folder: Path) -> bytes:
        """A .fastresume file for it: complete in `folder`, started, not rechecked."""
        pieces = _piece_count(self.size)
        resume: dict[str, Bencodable] = {
            "file-format": "libtorrent resume file",
            "file-version": 1,
            "info-hash": bytes.fromhex(self.info_hash),
            "name": self.name,
            "save_path": str(folder),
            "pieces": b"\x01" * pieces,
            "trackers": [[url] for url in self.announce_urls],
            "auto_managed": 1,
            "paused": 0,
            "seed_mode": 0,
            "added_time": 1_700_000_000,
            "completed_time": 1_700_000_000,
            "qBt-savePath": str(folder),
            "qBt-name": "",
            "qBt-category": "",
            "qBt-tags": [],
            "qBt-seedStatus": 1,
            "qBt-contentLayout": "Original",
            "qBt-firstLastPiecePriority": 0,
            "qBt-ratioLimit": -2000,
            "qBt-seedingTimeLimit": -2,
            "qBt-inactiveSeedingTimeLimit": -2,
        }
        return bencode(resume)


def make_torrent(name: str, announce_urls: Sequence[str], size: int = DEFAULT_SIZE) -> LabTorrent:
    """A torrent called `name` (names make info hashes differ), `size` bytes of zeros."""
    info: Bencodable = {
        "length": size,
        "name": name,
        "piece length": PIECE_BYTES,
        "pieces": _zero_hashes(size),
        "private": 1,
    }
    encoded = bencode(info)
    metainfo: dict[str, Bencodable] = {"announce-list": [[url] for url in announce_urls]}
    if announce_urls:
        metainfo["announce"] = announce_urls[0]
    head = bencode(metainfo)
    return LabTorrent(
        name=name,
        size=size,
        announce_urls=tuple(announce_urls),
        info_hash=hashlib.sha1(encoded, usedforsecurity=False).hexdigest(),
        metainfo=head[:-1] + b"4:info" + encoded + b"e",
    )


def make_hybrid(name: str, announce_urls: Sequence[str], size: int = PIECE_BYTES) -> LabTorrent:
    """A torrent of v1 and v2 metadata (BEP 52) of one piece; `info_hash` is that of v1.

    qBittorrent's id of it is the first 40 digits of that of v2, see `hybrid_id`.
    """
    if not 0 < size <= PIECE_BYTES:
        raise ValueError(f"a hybrid torrent of the lab has one piece: 1 … {PIECE_BYTES} bytes, not {size}")
    tree: Bencodable = {name: {"": {"length": size, "pieces root": _merkle_root_of_zeros(size)}}}
    info: Bencodable = {
        "file tree": tree,
        "length": size,
        "meta version": 2,
        "name": name,
        "piece length": PIECE_BYTES,
        "pieces": _zero_hashes(size),
    }
    encoded = bencode(info)
    head = bencode({"announce-list": [[url] for url in announce_urls]})
    return LabTorrent(
        name=name,
        size=size,
        announce_urls=tuple(announce_urls),
        info_hash=hashlib.sha1(encoded, usedforsecurity=False).hexdigest(),
        metainfo=head[:-1] + b"4:info" + encoded + _NO_LAYERS,
    )


def hybrid_id(torrent: LabTorrent) -> str:
    """qBittorrent's id of a torrent of `make_hybrid`."""
    start = torrent.metainfo.index(b"4:info") + len(b"4:info")
    return hashlib.sha256(torrent.metainfo[start : -len(_NO_LAYERS)]).hexdigest()[:40]


_NO_LAYERS: Final = b"12:piece layersdee"
_BLOCK_BYTES: Final = 16 * 2**10


def _merkle_root_of_zeros(size: int) -> bytes:
    """Root of the tree of SHA-256 over blocks of 16 KiB, filled up to a power of two with zeros."""
    whole, rest = divmod(size, _BLOCK_BYTES)
    layer = [hashlib.sha256(bytes(_BLOCK_BYTES)).digest()] * whole
    layer += [hashlib.sha256(bytes(rest)).digest()] * bool(rest)
    while len(layer) & (len(layer) - 1):
        layer.append(bytes(32))
    while len(layer) > 1:
        layer = [hashlib.sha256(layer[i] + layer[i + 1]).digest() for i in range(0, len(layer), 2)]
    return layer[0]


def _piece_count(size: int) -> int:
    return -(-size // PIECE_BYTES)


@cache
def _zero_hashes(size: int) -> bytes:
    """SHA-1 of every piece of a file of zeros."""
    whole, rest = divmod(size, PIECE_BYTES)
    hashes = hashlib.sha1(bytes(PIECE_BYTES), usedforsecurity=False).digest() * whole
    return hashes + (hashlib.sha1(bytes(rest), usedforsecurity=False).digest() if rest else b"")
