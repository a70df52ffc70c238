"""Meter what a tracker's torrents upload together: rates over windows, time over the cap, debt, yield of limits."""

from __future__ import annotations

import itertools
import math
from collections import deque
from typing import Final

from qguardarr.core.model import UNLIMITED

METER_S: Final = 75.0
"""How far back usage is kept: rates over the last minute are shown."""
DEBT_CLIP_S: Final = 6.0
"""Most bytes over the cap that are remembered to be paid back, in seconds of the cap."""
CREDIT_CLIP_S: Final = 10.0
"""Most unused bytes that count against bytes over the cap, in seconds of the cap. After a deep cut qBittorrent is
silent for up to ten seconds and then sends at once all that it was allowed meanwhile. × ½ or × 2: only noise."""
CREDIT_S: Final = 30.0
"""Time constant at which unused bytes are forgotten. × ½ or × 2: only noise."""
LACK_CLIP_S: Final = 0.5
"""Most bytes that are remembered to be made up for, in seconds of the cap. With 1.0, beside real clients, ten seconds
went up to 1.13 × the cap after each change of demand (bench/hold.py real_four, all versions). × ½: 1.4 % of the cap
unused with torrents on and off every 15 s."""
YIELD_S: Final = 180.0
"""Time constant at which the yield is learnt. × ½ or × 2 changes nothing but noise in the closed-loop scenarios."""
YIELD_WINDOW_S: Final = 3.5
"""Shortest window of a rate that the yield is learnt from. × ½ or × 2: as above."""
YIELD_MOST: Final = 0.04
"""Largest difference of the yield from 1 that is believed. Measured are 1.02, and 0.97 where qBittorrent charges TCP
overhead."""
YIELD_NOISE: Final = 0.04
"""Samples further off than YIELD_MOST and this come from saved quota or a slow rise, and are ignored. × ½ or × 2: only
noise."""


class UsageMeter:
    """Usage of one tracker: its torrents together, over the last minute or so."""

    __slots__ = ("debt", "due", "lack", "limiter_yield", "over_s", "samples", "total")

    def __init__(self) -> None:
        self.samples: deque[tuple[float, float]] = deque()
        """Times in monotonic seconds, and `total` then; oldest first."""
        self.total = 0.0
        """Bytes since the start."""
        self.debt = 0.0
        """Bytes uploaded over the cap and not yet paid back; negative for the little credit there may be."""
        self.limiter_yield = 1.0
        """Payload that comes of a limit that holds a torrent back ÷ the limit: 0.96 … 1.04, by version and settings."""
        self.lack = 0.0
        """Bytes that backlogged torrents left of the cap of late; negative: bytes beyond it."""
        self.due: deque[tuple[float, float]] = deque()
        """Times in seconds, and the bytes/s that were wanted and allowed from then on; oldest first."""
        self.over_s = 0.0
        """Seconds since the start in which the rate over the last 10 s was above 1.02 × the cap."""

    def add(self, at: float, moved: int, cap: float, *, wanted: bool = False) -> None:
        """Take in that `moved` bytes were uploaded until `at`.

        Args:
            cap: bytes/s; `math.inf`, or UNLIMITED and above, for none.
            wanted: whether some torrent is backlogged.
        """
        if self.samples and cap < UNLIMITED:
            elapsed = at - self.samples[-1][0]
            if self.debt < 0:
                self.debt *= math.exp(-elapsed / CREDIT_S)
            self.debt += moved - cap * elapsed
            lack = self.lack + cap * elapsed - moved if wanted else 0.0
            self.lack = max(-LACK_CLIP_S * cap, min(LACK_CLIP_S * cap, lack))
            self.debt = max(-CREDIT_CLIP_S * cap, min(DEBT_CLIP_S * cap, self.debt))
        else:
            elapsed = 0.0
            self.debt = self.lack = 0.0
        self.total += moved
        self.samples.append((at, self.total))
        while at - self.samples[0][0] > METER_S:
            self.samples.popleft()
        if cap < UNLIMITED and self.rate(10.0) > 1.02 * cap:
            self.over_s += elapsed

    def expect(self, at: float, rate: float) -> None:
        """Take in that `rate` bytes/s are wanted and allowed from `at` on; `math.inf` for no cap."""
        if not math.isfinite(rate):
            self.due.clear()
            return
        self.due.append((at, rate))
        while not 0 <= at - self.due[0][0] <= METER_S:  # the clock may be set back
            self.due.popleft()

    def due_rate(self, window_s: float) -> float:
        """Return the mean bytes/s that were wanted and allowed over the last `window_s` seconds, as far as known."""
        total = 0.0
        seen_s = 0.0
        for (at, rate), (until, _) in zip(self.due, itertools.islice(self.due, 1, None), strict=False):
            length_s = until - max(at, self.due[-1][0] - window_s)
            if length_s > 0:
                total += rate * length_s
                seen_s += length_s
        return total / seen_s if seen_s > 0 else self.due[-1][1] if self.due else 0.0

    def learn_yield(self, rate: float, limits: float, elapsed: float) -> None:
        """Learn from torrents that their limits hold back: `rate` bytes/s together under `limits` bytes/s in sum."""
        if limits > 0 and elapsed > 0 and abs(rate / limits - 1) <= YIELD_MOST + YIELD_NOISE:
            self.recall(self.limiter_yield + min(1.0, elapsed / YIELD_S) * (rate / limits - self.limiter_yield))

    def recall(self, limiter_yield: float) -> None:
        """Go on from a yield that was learnt before."""
        self.limiter_yield = max(1 - YIELD_MOST, min(1 + YIELD_MOST, limiter_yield))

    def rate(self, window_s: float) -> float:
        """Return the mean bytes/s over the last `window_s` seconds, or as much as was seen; 0.0 before two samples."""
        if len(self.samples) < 2:
            return 0.0
        end_at, end = self.samples[-1]
        start_at, start = self.samples[0]
        for at, total in reversed(self.samples):
            start_at, start = at, total
            if end_at - at >= window_s:
                break
        return (end - start) / (end_at - start_at) if end_at > start_at else 0.0
