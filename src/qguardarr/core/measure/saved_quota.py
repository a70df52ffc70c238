"""Quota that libtorrent saved under an earlier, higher limit, and how a torrent is made to lose it.

A torrent that flows below its limit has 1 … 1.5 s of that limit in its bucket. When the limit is lowered the bucket
keeps that, for hours if the torrent is idle: whatever it holds beyond a second of the *present* limit is sent without
waiting. Neither a lower limit, nor none, nor stop and start empties it. libtorrent cuts a bucket down, to three seconds
of the limit in force, only at a tick (each 0.5 s) at which a request waits for quota; and a request waits only if the
bucket holds less than a second of the limit (`bandwidth_channel::need_queueing`, `update_quota`).

So a bucket is flushed by two writes: a limit far above what it holds, so that the torrent's next request waits, and
FLUSH_GAP_S later the limit that it is to have. The first frees nothing: a torrent with saved quota is held back by
nothing anyway, and what waits is served at the next tick, when mostly the second limit is in force. Flushed are
torrents that are seen to send more than their limits allow, and those that flow when a person's own high limit is
lowered for the first time. An idle one makes no request: it keeps what it saved until it wakes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

import msgspec

from qguardarr.core.measure.rate_estimator import OVERRUN_S, RateEstimator
from qguardarr.core.model import MAX_LIMIT, UNLIMITED

FLUSH_GAP_S: Final = 0.2
"""Between the two writes, seconds: so long that each torrent makes a request, shorter than a tick (0.5 s), which begins
anew. Five of 1 MB/s each on 5.1.0: all were flushed after 0.1 and 0.2, none after 0.02."""
OTHER_GAP_S: Final = 0.4
"""… and every other time. A flush fails if a tick comes just before its second write. Reads follow refreshes, every
1.5 s, so that the next try would meet a tick at the same place."""
FLUSH_RAISE: Final = 4
"""The first limit ÷ the earlier one: above 1.5 (what the bucket may hold) + 2 (what a tick in between adds), so that
requests go on to wait after such a tick."""
FAILED_GROWTH: Final = 7 / 3
"""What the bucket may hold grows by this factor, 3.5 ÷ 1.5, when such a tick came and no request after it."""
SAVED_S: Final = 1.5
"""Most that a bucket holds while its torrent flows below the limit, in seconds of the limit: it waits for a tick when
it has less than one, and gets half of one at a tick."""
WORTH_S: Final = 1.0
"""Saved quota that is worth two writes for each torrent, in seconds of the tracker's cap."""
FLOWS: Final = 10_000
"""A torrent of less than this, bytes/s, may well make no request between two writes."""
FLUSH_MOST: Final = 50
"""Torrents flushed in a cycle: each costs qBittorrent two files."""
AGAIN_S: Final = 3.0
"""A flush is tried again after this, if it was without effect, seconds; from the third time on after twice as long …"""
AGAIN_MOST_S: Final = 60.0
"""… up to this."""
UNKNOWN_S: Final = 10.0
"""A torrent that runs above its limit for this long, seconds, though no limit that is known of it explains that, had a
higher one before we came: what flows on when an unlimited one gets a limit ends sooner. It is taken to hold as much as
it sends in this time."""
SHOWN_S: Final = 10.0
"""What runs above its limit is told of for so long, seconds: a flush ends it within a cycle or two."""
PAY_LEAST: Final = 0.2
"""Of the cap this is left to the torrents that keep to their limits. Cuts by more than a factor of six silence a
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
    """Torrents of a tracker that run above their own limits, now or within the last SHOWN_S."""

    torrents: int = 0
    rate: float = 0.0
    """By how much they do so now, together, bytes/s."""
    earlier: int = 0
    """Highest earlier limit of theirs that is known, bytes/s; 0 if none is."""
    left_s: float = 0.0
    """How long they may go on unless a flush ends it, seconds; `math.inf` if that is not known."""


def overrun(members: Iterable[Saver]) -> Overrun:
    """What is to be told of a tracker's torrents."""
    found = [m for m in members if (f := m.estimator) is not None and f.last_at - f.overran_at <= SHOWN_S]
    if not found:
        return Overrun()
    return Overrun(
        torrents=len(found),
        rate=above_limits(m.estimator for m in found if m.estimator is not None),
        earlier=max(m.highest for m in found),
        left_s=max(seconds_left(m) for m in found),
    )


def saved_bytes(member: Saver) -> float:
    """Most that its bucket may still hold; `math.inf` if it holds more than any limit that is known explains."""
    estimator = member.estimator
    if estimator is None:
        return SAVED_S * member.highest
    left = SAVED_S * member.highest * FAILED_GROWTH**estimator.flushes - estimator.spent
    if left <= 0.0 and estimator.last_at - estimator.counted_from >= UNKNOWN_S:
        return math.inf
    return max(0.0, left)


def seconds_left(member: Saver) -> float:
    """How long a torrent may go on to run above its limit, at its present rate; `math.inf` if that is not known."""
    estimator = member.estimator
    if estimator is None or estimator.latest <= estimator.limit:
        return 0.0
    return saved_bytes(member) / (estimator.latest - estimator.limit)


def above_limits(estimators: Iterable[RateEstimator]) -> float:
    """Bytes/s by which torrents run above their limits."""
    return math.fsum(max(0.0, estimator.latest - estimator.limit) for estimator in estimators if estimator.overruns)


def left_to_others(capacity: float, above: float) -> float:
    """What of a capacity may be shared out while some run `above` bytes/s above their limits."""
    return max(PAY_LEAST * capacity, capacity - above)


def flush_limits(members: Sequence[Saver], limits: Sequence[int], cap: float) -> dict[int, int]:
    """Which of a tracker's torrents to flush now: their places in `members`, and the limit to write first (bytes/s).

    Those that run above their limits; and those that flow below a person's limit when it is lowered for the first time.

    Args:
        limits: what each is to have, bytes/s or UNLIMITED.
        cap: the tracker's, bytes/s.
    """
    found = [
        (estimator.latest, i, member, estimator)
        for i, member in enumerate(members)
        if (estimator := member.estimator) is not None and estimator.last_at >= estimator.flush_after
        if limits[i] <= member.current and (estimator.overruns or _saves(member, estimator, limits[i]))
    ]
    worth = math.fsum(saved_bytes(member) for _, _, member, _ in found)
    if worth <= WORTH_S * cap:
        return {}
    found.sort(key=lambda each: -each[0])
    return {i: _first_limit(member, estimator) for _, i, member, estimator in found[:FLUSH_MOST]}


def _saves(member: Saver, estimator: RateEstimator, limit: int) -> bool:
    """Whether the bucket of a torrent whose own limit is about to be lowered holds much, and a request is likely to
    come between two writes."""
    by_hand = member.current == member.original < UNLIMITED and not estimator.hungry
    return by_hand and estimator.latest >= FLOWS and SAVED_S * member.original > OVERRUN_S * limit


def _first_limit(member: Saver, estimator: RateEstimator) -> int:
    highest = float(member.highest)
    if math.isinf(saved_bytes(member)):
        highest = max(highest, UNKNOWN_S * estimator.latest)
    return int(min(MAX_LIMIT, FLUSH_RAISE * highest * FAILED_GROWTH**estimator.flushes))
