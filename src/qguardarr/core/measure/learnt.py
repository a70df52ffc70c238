"""Rates and demands of torrents and trackers, in a form that outlives a restart.

`recollection.memory_of` gives a `Memory`, `encode` makes two small byte strings of it (the head changes all the time,
the torrents seldom do), `decode` reads them back, and `recollection.recall` has a registry go on from there. All of it
may be lost without harm: entries that cannot be read, are too old or make no sense are left out.

Fields may be added and dropped at will: unknown ones are ignored, missing ones take their defaults. `VERSION` changes
when a field changes its meaning.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from qguardarr.core.model import UNLIMITED

VERSION: Final = 1
MOST: Final = 5_000
"""Torrents that are kept, those first that moved last: some 500 KB."""
OLDEST_S: Final = 86_400.0
"""Older entries are not recalled, seconds: demand changes with the time of day."""
MUCH: Final = 0.25
"""A mean that differs by more than this part, and by more than LITTLE, has changed much."""
LITTLE: Final = 16 * 1024
"""Bytes/s: a block a second."""
FEW: Final = 0.05
"""Share of the torrents that may have changed much without another write: of thousands, some always have."""
_MOST_NUMBER: Final = 2**53


class Learnt(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One torrent. 0 (of `hungry`: False) stands for unknown."""

    hash: str
    at: float = 0.0
    """When it last moved; seconds of Unix time, in the registry of the monotonic clock."""
    limit: int = 0
    """Limit in force under which this was learnt, bytes/s or UNLIMITED."""
    rate: int = 0
    """Payload over the last seconds, bytes/s."""
    lump: int = 0
    """Bytes that come at once under a small limit."""
    weight: float = 0.0
    """Sticky weight of the `weighted` strategy."""
    hungry: bool = False
    """Its limit held it back."""
    lasting: bool = False
    """It did so for good."""
    mean: int = 0
    """Payload over the long run, bytes/s."""
    spread: int = 0
    """Mean absolute difference of its rate from that, bytes/s."""
    use: float = 0.0
    """Payload ÷ limit, over the long run."""
    burst: int = 0
    """Bytes of its largest burst."""


class LearntTracker(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One tracker."""

    id: str
    gain: float = 1.0
    """Payload that comes of limits that hold torrents back ÷ the limits."""
    level: float = 1.0
    """What it might use ÷ its cap: more than 1 while it borrowed."""


class Memory(msgspec.Struct, frozen=True):
    """All that outlives a restart. Times are seconds of Unix time."""

    torrents: Sequence[Learnt] = ()
    trackers: Sequence[LearntTracker] = ()
    copied_at: float = 0.0
    """When qBittorrent last copied its counters (see `refresh_clock`); 0.0 if unknown."""


class _Head(msgspec.Struct, frozen=True, omit_defaults=True):
    version: int = 0
    at: float = 0.0
    torrents_at: float = 0.0
    copied_at: float = 0.0
    trackers: tuple[LearntTracker, ...] = ()


HEAD: Final = "head"
TORRENTS: Final = "torrents"


def encode(memory: Memory, now: float, torrents_at: float | None = None) -> dict[str, bytes]:
    """Return the parts to keep at Unix time `now`, without the torrents if these were kept at `torrents_at` already."""
    parts = {}
    if torrents_at is None:
        torrents_at = now
        torrents = memory.torrents
        if len(torrents) > MOST:
            torrents = heapq.nlargest(MOST, torrents, key=lambda learnt: learnt.at)
        parts[TORRENTS] = msgspec.msgpack.encode(torrents)
    head = _Head(VERSION, now, torrents_at, memory.copied_at, tuple(memory.trackers))
    parts[HEAD] = msgspec.msgpack.encode(head)
    return parts


def decode(parts: Mapping[str, bytes], now: float) -> Memory:
    """Return all of `parts` that can be used at Unix time `now`."""
    try:
        head = msgspec.msgpack.decode(parts.get(HEAD, b""), type=_Head)
        torrents = msgspec.msgpack.decode(parts.get(TORRENTS, b"\x90"), type=list[Learnt])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError):
        return Memory()
    later = head.at - head.torrents_at  # what was not written again was still so when the head was
    if head.version != VERSION or not 0.0 <= now - head.at < OLDEST_S or not later >= 0.0:
        return Memory()
    sound = (learnt for learnt in torrents[:MOST] if _is_sound(learnt))
    moved = (msgspec.structs.replace(learnt, at=min(head.at, learnt.at + later)) for learnt in sound)
    return Memory(
        [learnt for learnt in moved if now - learnt.at < OLDEST_S],
        [tracker for tracker in head.trackers if 0.0 < tracker.gain < 10.0 and 0.0 < tracker.level < 1e6],
        head.copied_at if head.copied_at <= head.at else 0.0,
    )


def changed_much(before: Sequence[Learnt], now: Sequence[Learnt]) -> bool:
    """Return whether the torrents have changed enough to be written again."""
    known = {learnt.hash: learnt for learnt in before}
    others = len(known.keys() - {learnt.hash for learnt in now})
    for learnt in now:
        then = known.get(learnt.hash)
        others += then is None or _differs(then, learnt)
    return others > FEW * len(now)


def _differs(before: Learnt, now: Learnt) -> bool:
    off = abs(before.mean - now.mean)
    return before.lasting != now.lasting or before.limit != now.limit or off > max(LITTLE, MUCH * before.mean)


def _is_sound(learnt: Learnt) -> bool:
    """Return whether these are values that may have been learnt; False for anything that is no number."""
    return (
        1 <= learnt.limit <= UNLIMITED
        and 0.0 <= learnt.at <= _MOST_NUMBER
        and all(
            0 <= number <= _MOST_NUMBER
            for number in (learnt.rate, learnt.lump, learnt.mean, learnt.spread, learnt.burst)
        )
        and all(0.0 <= ratio <= 1e3 for ratio in (learnt.use, learnt.weight))
    )
