"""Find what was uploaded meanwhile, from two copies of qBittorrent's all-time counters.

A copy is kept as bytes in PARTS parts, a record for each torrent. 30,000 torrents take half a megabyte, and comparing
part by part never holds more than a sixty-fourth of them as objects.
"""

from __future__ import annotations

import itertools
import mmap
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

PARTS: Final = 64
KEY_BYTES: Final = 8
"""Of a torrent's hash. Two of 30,000 torrents share them once in 10¹⁰ cases."""
SKEW_S: Final = 300.0
"""qBittorrent's clock may differ from ours by this much."""

_SHOWN: Final = struct.Struct(f"<{KEY_BYTES}sHIQ")
_KEPT: Final = struct.Struct(f"<{KEY_BYTES}sQ")


class Counters:
    """The all-time counters of one qBittorrent's torrents, as read just now.

    They are in memory of their own, which goes back to the system: they are needed every ten minutes for a moment.
    """

    def __init__(self, keys: Iterable[bytes | bytearray]) -> None:
        """`keys`: the hashes of all torrents that are to be added."""
        sizes = [0] * PARTS
        for key in keys:
            sizes[key[0] % PARTS] += _SHOWN.size
        self._starts = list(itertools.accumulate(sizes, initial=0))
        self._ends = self._starts[:-1]
        self._memory = mmap.mmap(-1, max(1, self._starts[-1]))

    def add(self, key: bytes, rule: int, added_on: int, uploaded: int) -> None:
        """Add a torrent. `added_on`: Unix time; `uploaded`: payload bytes since it was added."""
        part = key[0] % PARTS
        _SHOWN.pack_into(self._memory, self._ends[part], key[:KEY_BYTES], rule, max(0, added_on), max(0, uploaded))
        self._ends[part] += _SHOWN.size

    def part(self, number: int) -> bytes:
        """Return a part as it is kept."""
        return b"".join(_KEPT.pack(key, uploaded) for key, _, _, uploaded in self._shown(number))

    def _shown(self, number: int) -> Iterator[tuple[bytes, int, int, int]]:
        return _SHOWN.iter_unpack(self._memory[self._starts[number] : self._ends[number]])

    def since(self, number: int, before: bytes, before_at: float, sent: list[int]) -> None:
        """Add to `sent`, by rule, what the torrents of a part have uploaded since the copy `before` of the same part.

        `before_at`: Unix time of that copy. Of a torrent that it lacks all counts if it was added since, and nothing
        if it was not: it was elsewhere, and its counter came with it. A counter that fell (qBittorrent lost some) has
        sent nothing; neither has a torrent of which only a piece was kept.
        """
        known = dict(_KEPT.iter_unpack(before[: len(before) // _KEPT.size * _KEPT.size]))
        for key, rule, added_on, uploaded in self._shown(number):
            was = known.get(key)
            if was is not None:
                sent[rule] += max(0, uploaded - was)
            elif added_on >= before_at - SKEW_S:
                sent[rule] += uploaded


def missed(sent: Mapping[str, int], counted: Mapping[str, int]) -> dict[str, int]:
    """Return the bytes of each group that were sent and not counted.

    Never more in all than was sent beyond what was counted: a torrent that changed its group counts once.
    """
    total = max(0, sum(sent.values()) - sum(counted.values()))
    lacking = {group: sent_ - counted.get(group, 0) for group, sent_ in sent.items() if sent_ > counted.get(group, 0)}
    lack = sum(lacking.values())
    return lacking if lack <= total else {group: bytes_ * total // lack for group, bytes_ in lacking.items()}


def spread(bytes_: int, stretches: Sequence[tuple[float, float]]) -> list[int]:
    """Divide bytes over stretches of time, (start, end), in proportion to their lengths."""
    length = sum(end - start for start, end in stretches)
    shares, passed, given = [], 0.0, 0
    for start, end in stretches:
        passed += end - start
        upto = round(bytes_ * passed / length) if length > 0 else bytes_
        shares.append(upto - given)
        given = upto
    return shares
