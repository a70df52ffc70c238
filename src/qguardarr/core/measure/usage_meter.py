"""What a tracker's torrents uploaded together: rates over windows, time over the cap, debt, and what limits yield."""

from __future__ import annotations

import math
from collections import deque
from typing import Final

from qguardarr.core.model import UNLIMITED

METER_S: Final = 75.0
"""How far back a tracker's usage is kept."""
DEBT_CLIP_S: Final = 6.0
"""Most bytes over the cap that are remembered to be paid back, in seconds of the cap."""
GAIN_S: Final = 180.0
"""Time constant of what is learnt about the gain."""
GAIN_WINDOW_S: Final = 3.5
"""Rates over less are not asked about the gain."""
GAIN_MOST: Final = 0.04
"""A gain further from 1 than this is not believed …"""
GAIN_NOISE: Final = 0.04
"""… and a sample further off than this besides is what quota saved up, or a slow rise, does: no gain at all."""
CREDIT_CLIP_S: Final = 10.0
"""Most unused bytes that count against bytes over the cap, in seconds of the cap: after a deep cut qBittorrent is
silent for up to ten seconds and then sends what it was allowed meanwhile in one go."""
LACK_CLIP_S: Final = 0.5
"""Most bytes that are remembered to be made up for, in seconds of the cap."""
CREDIT_S: Final = 30.0
"""Time constant at which unused bytes are forgotten."""


class UsageMeter:
    """What a tracker's torrents uploaded together, over the last minute or so."""

    __slots__ = ("debt", "gain", "lack", "over_s", "samples", "total")

    def __init__(self) -> None:
        self.samples: deque[tuple[float, float]] = deque()
        self.total = 0.0
        self.debt = 0.0
        """Bytes uploaded over the cap and not yet paid back; negative for the little credit there may be."""
        self.gain = 1.0
        """Payload that comes of a limit that holds a torrent back, ÷ the limit: 1.02 … 0.96, by version and setting."""
        self.lack = 0.0
        """Bytes that the cap would have let through while somebody wanted them, of late; negative: bytes beyond it."""
        self.over_s = 0.0
        """Seconds in which the rate over the last 10 s was above 1.02 × the cap, since the start."""

    def add(self, at: float, moved: int, cap: float, *, wanted: bool = False) -> None:
        """`moved` bytes until `at`, under a cap of `cap` bytes/s (`math.inf` or UNLIMITED and above for none).

        `wanted`: some torrent's limit holds it back.
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

    def learn_gain(self, rate: float, limits: float, elapsed: float) -> None:
        """Torrents that their limits hold back upload `rate` bytes/s together, under `limits` bytes/s in sum."""
        if limits > 0 and elapsed > 0 and abs(rate / limits - 1) <= GAIN_MOST + GAIN_NOISE:
            self.gain += min(1.0, elapsed / GAIN_S) * (rate / limits - self.gain)
            self.gain = max(1 - GAIN_MOST, min(1 + GAIN_MOST, self.gain))

    def recall(self, gain: float) -> None:
        """Go on from a gain that was learnt before a restart."""
        self.gain = max(1 - GAIN_MOST, min(1 + GAIN_MOST, gain))

    def rate(self, window_s: float) -> float:
        """Mean bytes/s over the last `window_s` seconds, or as much of them as was seen; 0.0 before two samples."""
        if len(self.samples) < 2:
            return 0.0
        end_at, end = self.samples[-1]
        start_at, start = self.samples[0]
        for at, total in reversed(self.samples):
            start_at, start = at, total
            if end_at - at >= window_s:
                break
        return (end - start) / (end_at - start_at) if end_at > start_at else 0.0
