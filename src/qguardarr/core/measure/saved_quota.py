"""Make torrents lose the quota that libtorrent saved under an earlier, higher limit.

A torrent that flows below its limit has 1 … 1.5 s of that limit in its bucket. When the limit is lowered the bucket
keeps that, for hours if the torrent is idle: all that it holds beyond a second of the *present* limit is sent without
waiting. Neither a lower limit, nor none, nor stop and start empties it. libtorrent cuts a bucket down, to three seconds
of the limit in force, only at a tick (each 0.5 s) at which a request waits for quota; and a request waits only if the
bucket holds less than a second of the limit (`bandwidth_channel::need_queueing`, `update_quota`).

So a bucket is flushed by two writes: a limit far above what it holds, so that the torrent's next request waits, and
FLUSH_GAP_S later the limit that it is to have. The first frees nothing: a torrent with saved quota is held back by
nothing anyway, and requests that wait are served at the next tick, when mostly the second limit is in force. Flushed
are torrents that are seen to send more than their limits allow, and those that flow when a person's own high limit is
lowered for the first time. An idle torrent makes no request: it keeps its saved quota until it wakes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

import msgspec

from qguardarr.core.measure.overrun import OVERRUN_S
from qguardarr.core.measure.rate_estimator import RateEstimator
from qguardarr.core.model import MAX_LIMIT, UNLIMITED

FLUSH_GAP_S: Final = 0.2
"""Time between the two writes: long enough for each torrent to make a request, shorter than a tick (0.5 s), which
starts again. Of five torrents of 1 MB/s each on 5.1.0, all were flushed after 0.1 and 0.2 s, none after 0.02 s."""
OTHER_GAP_S: Final = 0.4
"""FLUSH_GAP_S of every other flush. A flush fails if a tick comes just before its second write. Reads follow refreshes,
every 1.5 s, so the next try would meet a tick at the same place (seen on 5.3.0: five times the cap for 20 s)."""
FLUSH_RAISE: Final = 4
"""The first limit ÷ the earlier one: more than 1.5 (in the bucket) + 2 (added by a tick in between), so that requests
still wait after such a tick."""
FAILED_GROWTH: Final = 7 / 3
"""Factor by which the bucket may have grown, 3.5 ÷ 1.5, when such a tick came and no request after it."""
SAVED_S: Final = 1.5
"""Most that a bucket holds while its torrent flows below the limit, in seconds of the limit: the torrent waits for a
tick when the bucket holds less than one, and gets half of one at a tick."""
WORTH_S: Final = 1.0
"""Saved quota that is worth two writes for each torrent, in seconds of the tracker's cap."""
FLOWS: Final = 10_000
"""A torrent below this rate, bytes/s, may well make no request between two writes."""
FLUSH_MOST: Final = 50
"""Most torrents flushed in a cycle: each costs qBittorrent two files."""
AGAIN_S: Final = 3.0
"""Time until a flush without effect is tried again; doubled from the third time on."""
AGAIN_MOST_S: Final = 60.0
"""Longest time until a flush is tried again."""
UNKNOWN_S: Final = 10.0
"""A torrent that runs above its limit for this long, beyond all that its known limits explain, had a higher limit
before we came, and is taken to hold as many bytes as it sends in this time. A torrent that was unlimited before flows
on for less (1–2 s, then a tail of up to 8 s)."""
SHOWN_S: Final = 10.0
"""Time for which a torrent that ran above its limit is reported: a flush ends that within a cycle or two."""
PAY_LEAST: Final = 0.2
"""Part of the cap that is left to torrents that keep to their limits: cuts by more than a factor of six silence a
torrent for ten seconds."""


class Saver(Protocol):
    """A torrent as this module sees it: a `registry.TorrentState`."""

    @property
    def original(self) -> int: ...
    @property
    def current(self) -> int: ...
    @property
    def highest(self) -> int: ...
    @property
    def estimator(self) -> RateEstimator | None: ...


class Overrun(msgspec.Struct, frozen=True):
    """Torrents of a tracker that run above their own limits, now or within the last SHOWN_S seconds."""

    torrents: int = 0
    rate: float = 0.0
    """Bytes/s above their limits now, together."""
    earlier: int = 0
    """Highest of their known earlier limits, bytes/s; 0 if none is known."""
    left_s: float = 0.0
    """How long they may go on unless a flush ends it, seconds; `math.inf` if that is not known."""


def overrun(members: Iterable[Saver]) -> Overrun:
    """Return the report about a tracker's torrents."""
    found = [m for m in members if (e := m.estimator) is not None and e.last_at - e.overrun.seen_at <= SHOWN_S]
    if not found:
        return Overrun()
    return Overrun(
        torrents=len(found),
        rate=above_limits(m.estimator for m in found if m.estimator is not None),
        earlier=max(m.highest for m in found),
        left_s=max(seconds_left(m) for m in found),
    )


def saved_bytes(member: Saver) -> float:
    """Return the most bytes that its bucket may still hold; `math.inf` if no known limit explains what it sends."""
    estimator = member.estimator
    if estimator is None:
        return SAVED_S * member.highest
    left = SAVED_S * member.highest * FAILED_GROWTH**estimator.overrun.flushes - estimator.overrun.spent
    if left <= 0.0 and estimator.last_at - estimator.overrun.counted_from >= UNKNOWN_S:
        return math.inf
    return max(0.0, left)


def seconds_left(member: Saver) -> float:
    """Return how long a torrent may stay above its limit at its present rate, seconds; `math.inf` if unknown."""
    estimator = member.estimator
    if estimator is None or estimator.latest <= estimator.limit:
        return 0.0
    return saved_bytes(member) / (estimator.latest - estimator.limit)


def above_limits(estimators: Iterable[RateEstimator]) -> float:
    """Return the bytes/s by which torrents run above their limits."""
    return math.fsum(max(0.0, estimator.latest - estimator.limit) for estimator in estimators if estimator.overruns)


def left_to_others(capacity: float, above: float) -> float:
    """Return the part of a capacity that may be shared while some torrents run `above` bytes/s above their limits."""
    return max(PAY_LEAST * capacity, capacity - above)


def flush_limits(members: Sequence[Saver], limits: Sequence[int], cap: float) -> dict[int, int]:
    """Return which of a tracker's torrents to flush now: index in `members` to the limit to write first, bytes/s.

    These are torrents that run above their limits, and those that flow below a person's limit when that is lowered for
    the first time.

    Args:
        limits: limit that each is to have, bytes/s or UNLIMITED.
        cap: cap of the tracker, bytes/s.
    """
    found = [
        (estimator.latest, i, member, estimator)
        for i, member in enumerate(members)
        if (estimator := member.estimator) is not None and estimator.last_at >= estimator.overrun.flush_after
        if limits[i] <= member.current and (estimator.overruns or _saves(member, estimator, limits[i]))
    ]
    worth = math.fsum(saved_bytes(member) for _, _, member, _ in found)
    if worth <= WORTH_S * cap:
        return {}
    found.sort(key=lambda each: -each[0])
    return {i: _first_limit(member, estimator) for _, i, member, estimator in found[:FLUSH_MOST]}


def _saves(member: Saver, estimator: RateEstimator, limit: int) -> bool:
    """Whether a person's limit is about to be lowered, and the bucket holds much that a flush is likely to empty."""
    by_hand = member.current == member.original < UNLIMITED and not estimator.backlogged
    return by_hand and estimator.latest >= FLOWS and SAVED_S * member.original > OVERRUN_S * limit


def _first_limit(member: Saver, estimator: RateEstimator) -> int:
    highest = float(member.highest)
    if math.isinf(saved_bytes(member)):
        highest = max(highest, UNKNOWN_S * estimator.latest)
    return int(min(MAX_LIMIT, FLUSH_RAISE * highest * FAILED_GROWTH**estimator.overrun.flushes))
