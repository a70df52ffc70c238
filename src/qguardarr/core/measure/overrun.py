"""Notice torrents that send more than their limits let through: they spend quota saved under an earlier limit.

Module `saved_quota` says where that quota comes from and makes torrents lose it.
"""

from __future__ import annotations

import math
from typing import Final

from qguardarr.core.model import UNLIMITED

OVERRUN_S: Final = 3.0
"""A torrent runs above its limit once it sent this much more than the limit lets through, in seconds of the limit, and
two steps of its counter: a bucket that was filled under the limit in force holds no more (qBittorrent's own clip)."""
OVER: Final = 1.1
"""It does so now if the newest refresh shows more than its limit times this."""
FADE_S: Final = 30.0
"""Time constant at which excess bytes are forgotten: a limit that yields 2 % more than it says is no overrun."""
SPENT_S: Final = 1.4
"""After a cut bytes are not counted for this long: the lag of the cut, and a second of quota that each peer has."""
LEAST_EXCESS_S: Final = 10.0
"""Most bytes below its limit that a backlogged torrent may have to its credit, in seconds of the limit: libtorrent
silences it for up to this long after a deep cut, and then sends all that it was allowed meanwhile."""


class OverrunWatch:
    """Bytes that one torrent sent beyond its limit, and the flushes of its bucket. Times in monotonic seconds."""

    __slots__ = ("counted_from", "excess", "flush_after", "flushes", "seen_at", "spent")

    def __init__(self, at: float) -> None:
        self.excess = 0.0
        """Bytes sent beyond what the limit lets through, fading; negative in the silence after a deep cut."""
        self.spent = 0.0
        """Bytes beyond the limit since it began to run above it."""
        self.counted_from = at
        """Bytes sent before this time are not counted."""
        self.seen_at = -math.inf
        """Time of the last refresh that showed it above its limit."""
        self.flushes = 0
        """Flushes of its bucket without lasting effect (see `saved_quota`)."""
        self.flush_after = -math.inf
        """It is not to be flushed (again) before this time."""

    def is_over(self, rate: float, limit: int, step: int) -> bool:
        """Whether a torrent that sends `rate` bytes/s spends saved quota. `step`: bytes of a step of its counter."""
        return limit < UNLIMITED and rate > OVER * limit and self.excess > _tolerated(limit, step)

    def count(self, at: float, rate: float, elapsed: float, *, limit: int, step: int, backlogged: bool) -> None:
        """Take in that it sent `rate` bytes/s for `elapsed` seconds until `at`."""
        if limit >= UNLIMITED or at - elapsed < self.counted_from - 0.01:
            return
        least = -LEAST_EXCESS_S * limit if backlogged else 0.0
        excess = self.excess * math.exp(-elapsed / FADE_S) + (rate - limit) * elapsed
        self.excess = max(min(least, self.excess), min(excess, 2.0 * _tolerated(limit, step)))
        self.spent = self.spent + max(0.0, rate - limit) * elapsed if self.excess > 0.0 else 0.0
        if self.is_over(rate, limit, step):
            self.seen_at = at

    def relimit(self, at: float, *, cut: bool, over: bool) -> None:
        """Take in that its limit changes at `at`. `over`: whether it runs above the limit that ends."""
        if cut:
            self.counted_from = at + SPENT_S
        if not over:
            self.excess = min(0.0, self.excess)

    def flush(self, at: float, *, again_s: float, again_most_s: float) -> None:
        """Begin again: its bucket is being flushed at `at`.

        Args:
            again_s: earliest time until the next flush, seconds; doubled each time from the third on.
            again_most_s: longest such time, seconds.
        """
        self.excess = self.spent = 0.0
        self.counted_from = at + SPENT_S
        self.flush_after = at + min(again_most_s, again_s * 2.0 ** max(0, self.flushes - 1))
        self.flushes += 1


def _tolerated(limit: int, step: int) -> float:
    return OVERRUN_S * limit + 2 * step
