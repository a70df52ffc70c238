"""Estimate a torrent's mean rate, and tell whether it is backlogged for good or for a burst.

Real clients take little in bursts: one that is limited to 20 kB/s asks for some hundred kilobytes at once, and then for
nothing for ten seconds. During the burst its limit holds it back, and yet it does not want a larger share. So each
torrent counts at its mean, and as backlogged for good only once its demand has lasted.

Constants name what halving (× ½) or doubling (× 2) them does in the closed-loop scenarios (ARCHITECTURE.md, "Tests").
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable
from typing import Final

from qguardarr.core.measure.learnt import Learnt

MEMORY_S: Final = 15.0
"""Time constant of a mean: a burst and the silence after it (see docs/measurements.md, "Real clients, observed").
× ½: 60 % more calls where upload slots are scarce; × 2: a third fewer, and 1 % of the cap unused."""
LASTING: Final = 0.85
"""A torrent whose mean use of its limit is this or more is backlogged for good. Clients that are never sated use 0.9 …
1.0 of a limit. × ½: twice the calls; 1: up to 17 % of the cap unused."""
BRIEF: Final = 0.7
"""One whose mean use is less than this no longer is. × ½: 2 % of the cap unused beside clients that burst."""
FREE_S: Final = 4.0
"""Nor is one that its limit has not held back for this long. × ½ or × 2: up to 40 % more calls where demand changes
every second."""
STEADY: Final = 0.95
"""One that is backlogged for good and uses this much of its limit leaves nothing in doubt: the rest is noise.
× ½: a fifth more calls where demand changes every second."""
RAISED_S: Final = 3.0
"""Time after a raise in which clients may still be on their way to the new rate."""
RISING: Final = 0.9
"""They are if the rate is no less than this part of the one before. RISING or RAISED_S × ½: 15 % more calls where
upload slots are scarce."""
RELEASED: Final = 0.8
"""Part of the way to its newest rate that the mean moves when a lasting backlog ends: until then its limit decided
how much it took. × ½: 1.6 % of the cap unused with torrents on and off every 15 s."""
LEAST_SAMPLE_S: Final = 0.9
"""Shortest sample: a rate over less is noise. × 2 (a sample takes two refreshes): 1 % of the cap unused."""
LONGEST_SAMPLE_S: Final = 15.0
"""A sample ends after this, even if the limit has not let two steps of the counter through: a guard that no scenario
reaches."""
SLOW_S: Final = 8.0
"""Where a limit takes longer for two steps of the counter, use of the limit shows too late to be waited for, and the
mean does not count. With 6 a greedy torrent beside 29 on-off ones left 40 % of the cap unused; with 4, forty
that trickle cost five times the calls; × 2: nothing."""
LONGEST_BURST_S: Final = 30.0
"""Demand that lasts longer is no burst. × ½: 15 % more calls with torrents on for 18 s of 60; × 2: nothing."""
REPEATED: Final = 2.0
"""A burst counts as a known one until it has moved this many times the largest one. × ½: 1 % of the cap unused; × 2:
nothing."""
BURSTY: Final = 2
"""A torrent that had this many bursts in a row is bursty. 4: a third more calls where upload slots are scarce; 1: half
of them, and 0.03 × the cap more in the worst 10 s."""
FADING: Final = 0.8
"""Part of its largest burst that is remembered from one to the next. × ½ or × 2: nothing."""


class Backlog(enum.Enum):
    """Whether a torrent is backlogged, that is, uses its limit and would send more; and if so, for how long."""

    NONE = enum.auto()
    """It sends less than its limit lets through."""
    KNOWN_BURST = enum.auto()
    """For a burst, so far no larger than those that it is known for."""
    NEW_BURST = enum.auto()
    """For a burst, as far as is known."""
    LASTING = enum.auto()
    """For good."""

    @property
    def bursting(self) -> bool:
        """Whether it is backlogged, but not for good."""
        return self is Backlog.KNOWN_BURST or self is Backlog.NEW_BURST


def combined(doubts: Iterable[float]) -> float:
    """Return the doubt about a sum, from the doubt about each of its parts: they are independent."""
    return math.sqrt(math.fsum(doubt**2 for doubt in doubts))


class Smoothed:
    """A mean that follows at once a change that lasts, and leaves alone one that comes and goes.

    Exponential smoothing with an adaptive response rate (D. W. Trigg and A. G. Leach, *Operational Research Quarterly*
    18, 1967): the gain is the mean error ÷ the mean absolute error. Errors of one sign bring it to 1, changing ones to
    0.
    """

    __slots__ = ("error", "level", "spread")

    def __init__(self) -> None:
        self.level = -1.0
        """The mean; negative before the first sample."""
        self.error = 0.0
        """Mean error."""
        self.spread = 0.0
        """Mean absolute error."""

    def add(self, sample: float, elapsed: float) -> None:
        """Take in `sample`, ≥ 0, the mean of the last `elapsed` seconds."""
        if self.level < 0.0:
            self.level = sample
            return
        off = sample - self.level
        part = 1.0 - math.exp(-elapsed / MEMORY_S)
        self.error += part * (off - self.error)
        self.spread += part * (abs(off) - self.spread)
        if self.spread > 0.0:
            self.level += min(1.0, abs(self.error) / self.spread) * off


class Burstiness:
    """Mean rate of a torrent, mean use of its limits, and its bursts. Times in seconds, rates in bytes/s."""

    __slots__ = (
        "_allowed",
        "_at",
        "_before",
        "_bursts",
        "_bytes",
        "_effective_at",
        "_effective_bytes",
        "_free_s",
        "_known",
        "_newest",
        "_run_bytes",
        "_run_s",
        "_silent_until",
        "burst",
        "lasting",
        "mean",
        "raised_at",
        "slow",
        "use",
    )

    def __init__(self, at: float, uploaded: float, limit: int) -> None:
        self.lasting = False
        """Whether it is backlogged for good."""
        self.slow = False
        """Whether use of its limit shows too late; see SLOW_S."""
        self.mean = Smoothed()
        """Mean of its rate."""
        self.use = Smoothed()
        """Mean of its rate ÷ its limit, at most 1."""
        self.burst = 0.0
        """Bytes of its largest burst of late, that is, of bytes that it moved while its limit held it back."""
        self.raised_at = -math.inf
        """Time at which the newest raise took effect."""
        self._known = False
        """Whether the present burst is no larger than could be expected."""
        self._run_bytes = self._run_s = 0.0
        """Bytes and seconds of the present burst."""
        self._bursts = 0
        """Bursts in a row."""
        self._free_s = 0.0
        """Seconds since its limit held it back."""
        self._effective_at = at
        """Time at which the newest limit takes effect."""
        self._effective_bytes, self._before = 0.0, limit
        """Bytes that limits let through until then, and the limit before the newest."""
        self._at, self._bytes, self._allowed = at, uploaded, 0.0
        """Start of the present sample, and the counters at it; `math.inf` while a silence lasts."""
        self._silent_until = -math.inf
        self._newest = 0.0
        """Rate of the newest sample."""

    @property
    def bursty(self) -> bool:
        """Whether it is known for bursts, of whatever size."""
        return self._bursts >= BURSTY

    def begin(self, at: float, uploaded: float, limit: int) -> None:
        """Begin a sample again: bytes sent before `at` tell nothing."""
        self._at, self._bytes, self._allowed = at, uploaded, self._allowed_until(at, limit)

    def skip(self, until: float) -> None:
        """Ignore bytes sent before `until`, since a deep cut silences the torrent. The next sample begins after it."""
        self._at, self._silent_until = math.inf, until

    def relimit(self, before: int, limit: int, at: float) -> None:
        """Take in that a limit was written that takes effect at `at`."""
        if at > self._effective_at:  # else the limit before was written over before it took effect
            self._effective_bytes, self._effective_at, self._before = self._allowed_until(at, before), at, before
        if limit > before:
            self.raised_at = at

    def sample(self, at: float, uploaded: float, limit: int, step: int) -> None:
        """Take in a refresh of the counter. `step`: bytes by which the counter moves at a time."""
        if self._at == math.inf and at >= self._silent_until:
            self.begin(at, uploaded, limit)
        elapsed, allowed = at - self._at, self._allowed_until(at, limit) - self._allowed
        if elapsed < LEAST_SAMPLE_S or allowed <= 0.0 or (allowed < 2 * step and elapsed < LONGEST_SAMPLE_S):
            return
        moved = max(0.0, uploaded - self._bytes)
        self.begin(at, uploaded, limit)
        rate, use = moved / elapsed, min(1.0, moved / allowed)
        rising = at - self.raised_at < RAISED_S and rate >= RISING * self._newest
        self._newest = rate
        self.mean.add(rate, elapsed)
        if use >= self.use.level or not rising:
            self.use.add(use, elapsed)

    def judge(self, moved: float, elapsed: float, *, held_back: bool, slow: bool, bearable: float) -> None:
        """Decide whether it is backlogged for good.

        Args:
            moved: bytes in the last `elapsed` seconds.
            held_back: whether its limit holds it back now.
            slow: whether use of its limit cannot be known for seconds (see SLOW_S).
            bearable: bytes of a burst that its tracker's cap can bear, beside the torrent's mean rate.
        """
        self._free_s = 0.0 if held_back else self._free_s + elapsed
        if held_back:
            self._run_bytes += moved
            self._run_s += elapsed
        elif self._run_s > 0.0:
            brief = self._run_s <= LONGEST_BURST_S
            self._bursts = self._bursts + 1 if brief else 0
            small = brief and self._run_bytes <= bearable
            self.burst = max(self._run_bytes, FADING * self.burst) if small else 0.0
            self._run_bytes = self._run_s = 0.0
        self._known = self._run_bytes < min(REPEATED * self.burst, bearable) and self._run_s < LONGEST_BURST_S
        self.slow = slow
        if slow:
            self.lasting = held_back
        elif held_back and not self._known and not 0.0 <= self.use.level < LASTING:
            self.lasting = True
        elif self.lasting and (self.use.level < BRIEF or self._free_s > FREE_S):
            self.lasting = False
            if self.mean.level >= 0.0:
                self.mean.level += RELEASED * (self._newest - self.mean.level)

    def backlog(self, held_back: bool) -> Backlog:
        """Return the torrent's backlog. `held_back`: whether its limit holds it back now."""
        if self.lasting:
            return Backlog.LASTING
        if not held_back:
            return Backlog.NONE
        return Backlog.KNOWN_BURST if self._known else Backlog.NEW_BURST

    def doubt(self, limit: int) -> float:
        """Return the mean difference between its rate and the expected one, bytes/s, under `limit`."""
        if self.slow:
            return 0.0
        if self.lasting:
            return self.use.spread * limit if self.use.level < STEADY else 0.0
        return self.mean.spread

    def recall(self, learnt: Learnt) -> None:
        """Go on from what was known before a restart."""
        self.lasting, self.burst = learnt.lasting, float(learnt.burst)
        self.mean.level, self.mean.spread = float(learnt.mean), float(learnt.spread)
        self.use.level = learnt.use or -1.0  # 0: unknown

    def _allowed_until(self, at: float, limit: int) -> float:
        """Return the bytes that its limits let through until `at`, counted from a fixed moment on."""
        return self._effective_bytes + (at - self._effective_at) * (limit if at >= self._effective_at else self._before)
