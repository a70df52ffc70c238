"""What a torrent does in the mean, and whether it wants more than its limit for good or for a burst.

Real clients take little in bursts: one that is limited to 20 kB/s asks for some hundred kilobytes at once, and then for
nothing for ten seconds. Meanwhile its limit holds it back, and yet it does not want a larger share. So each torrent is
counted at its mean, and as wanting more only once its demand has lasted.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable
from typing import Final

from qguardarr.core.measure.learnt import Learnt

MEMORY_S: Final = 15.0
"""Time constant of a mean, seconds: a burst and the silence after it (see ARCHITECTURE.md, "What real clients do")."""
LASTING: Final = 0.85
"""A torrent that uses so much of what its limit lets through, in the mean, wants more for good; …"""
BRIEF: Final = 0.7
"""… and one that uses less than this does no longer. (Clients that are never sated use 0.9 … 1.0 of a limit.)"""
FREE_S: Final = 4.0
"""Nor does one that its limit has not held back for so long, seconds."""
STEADY: Final = 0.95
"""Who wants more for good and uses so much of its limit leaves nothing in doubt: what is left is noise."""
RAISED_S: Final = 3.0
"""For so long after a raise clients may still be on their way to the new rate, seconds."""
RISING: Final = 0.9
"""… and they are if the rate is no less than this part of the one before."""
RELEASED: Final = 0.8
"""What it took while its limit held it back was its limit, and no burstiness: its mean moves by this part of the way
to what it takes when it wants no more."""
LEAST_SAMPLE_S: Final = 0.9
"""A rate over less is noise."""
LONGEST_SAMPLE_S: Final = 15.0
"""A sample ends after so long, even if the limit has not let two lumps through."""
SLOW_S: Final = 8.0
"""Under a limit that takes longer for two lumps, how much of it is used shows too late to be waited for."""
LONGEST_BURST_S: Final = 30.0
"""What lasts longer is no burst."""
REPEATED: Final = 2.0
"""A torrent that is known for bursts is taken to have another one until it has moved so many times its largest."""
FICKLE: Final = 2
"""A torrent that had so many bursts in a row is taken to have another one."""
FADING: Final = 0.8
"""Part of its largest burst that is remembered from one to the next."""


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
    """A mean that follows at once what lasts, and leaves alone what comes and goes.

    Exponential smoothing with an adaptive response rate (D. W. Trigg and A. G. Leach, *Operational Research Quarterly*
    18, 1967): the gain is the mean error ÷ the mean absolute error. Errors of one sign bring it to 1, changing ones to
    0.
    """

    __slots__ = ("error", "level", "spread")

    def __init__(self) -> None:
        self.level = -1.0
        """The mean; less than 0 before the first sample."""
        self.error = 0.0
        self.spread = 0.0
        """Mean absolute error."""

    def add(self, sample: float, elapsed: float) -> None:
        """Take in the mean of the last `elapsed` seconds, ≥ 0."""
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
    """A torrent's mean rate, how much of its limits it uses, and its bursts. Times in seconds, rates in bytes/s."""

    __slots__ = (
        "_allowed",
        "_at",
        "_bursts",
        "_bytes",
        "_free_s",
        "_newest",
        "_run_bytes",
        "_run_s",
        "_silent_until",
        "_turn_allowed",
        "_turn_at",
        "_turn_from",
        "burst",
        "lasting",
        "mean",
        "raised_at",
        "slow",
        "use",
        "usual",
    )

    def __init__(self, at: float, uploaded: float, limit: int) -> None:
        self.lasting = False
        """It wants more than its limit for good."""
        self.slow = False
        """How much of its limit it uses shows too late: see SLOW_S."""
        self.mean = Smoothed()
        """Of its rate."""
        self.use = Smoothed()
        """Of its rate ÷ its limit, at most 1."""
        self.burst = 0.0
        """Bytes of its largest burst of late: what it moved while its limit held it back."""
        self.usual = False
        """What it has moved of the present one is no more than could be expected."""
        self._run_bytes = self._run_s = 0.0
        self._bursts = 0
        """How many of them there were in a row."""
        self._free_s = 0.0
        """Seconds since its limit held it back."""
        self._turn_at = at
        """When the newest limit takes effect."""
        self._turn_allowed, self._turn_from = 0.0, limit
        """Bytes that had been allowed by then, and the limit before it."""
        self._at, self._bytes, self._allowed = at, uploaded, 0.0
        """The beginning of the present sample; `math.inf` while it waits for …"""
        self._silent_until = -math.inf
        self._newest = 0.0
        """Rate of the newest sample."""
        self.raised_at = -math.inf
        """When the newest raise took effect."""

    def begin(self, at: float, uploaded: float, limit: int) -> None:
        """Begin a sample anew: what was sent before `at` tells nothing."""
        self._at, self._bytes, self._allowed = at, uploaded, self._allowed_until(at, limit)

    def skip(self, until: float) -> None:
        """What is sent before `until` tells nothing: a deep cut silences a torrent. The next sample begins after it."""
        self._at, self._silent_until = math.inf, until

    def relimit(self, before: int, limit: int, at: float) -> None:
        """A limit was written that takes effect at `at`."""
        if at > self._turn_at:  # else the limit before was written over before it took effect
            self._turn_allowed, self._turn_at, self._turn_from = self._allowed_until(at, before), at, before
        if limit > before:
            self.raised_at = at

    def sample(self, at: float, uploaded: float, limit: int, lump: int) -> None:
        """Take in a copy of the counter. `lump`: bytes that come at once."""
        if self._at == math.inf and at >= self._silent_until:
            self.begin(at, uploaded, limit)
        elapsed, allowed = at - self._at, self._allowed_until(at, limit) - self._allowed
        if elapsed < LEAST_SAMPLE_S or allowed <= 0.0 or (allowed < 2 * lump and elapsed < LONGEST_SAMPLE_S):
            return
        moved = max(0.0, uploaded - self._bytes)
        self.begin(at, uploaded, limit)
        rate, use = moved / elapsed, min(1.0, moved / allowed)
        rising = at - self.raised_at < RAISED_S and rate >= RISING * self._newest
        self._newest = rate
        self.mean.add(rate, elapsed)
        if use >= self.use.level or not rising:
            self.use.add(use, elapsed)

    def judge(self, moved: float, elapsed: float, *, held_back: bool, slow: bool, trifle: float) -> None:
        """Decide whether it wants more for good.

        Args:
            moved: bytes in the last `elapsed` seconds.
            held_back: its limit holds it back now.
            slow: how much of its limit is used cannot be known for seconds (see SLOW_S).
            trifle: bytes of a burst that its tracker's cap can bear, beside what it takes in the mean.
        """
        self._free_s = 0.0 if held_back else self._free_s + elapsed
        if held_back:
            self._run_bytes += moved
            self._run_s += elapsed
        elif self._run_s > 0.0:
            brief = self._run_s <= LONGEST_BURST_S
            self._bursts = self._bursts + 1 if brief else 0
            small = brief and self._run_bytes <= trifle
            self.burst = max(self._run_bytes, FADING * self.burst) if small else 0.0
            self._run_bytes = self._run_s = 0.0
        known = min(REPEATED * self.burst, trifle)
        self.usual = self._run_bytes < known and self._run_s < LONGEST_BURST_S
        self.slow = slow
        if slow:
            self.lasting = held_back
        elif held_back and not self.usual and not 0.0 <= self.use.level < LASTING:
            self.lasting = True
        elif self.lasting and (self.use.level < BRIEF or self._free_s > FREE_S):
            self.lasting = False
            if self.mean.level >= 0.0:
                self.mean.level += RELEASED * (self._newest - self.mean.level)

    def recall(self, learnt: Learnt) -> None:
        """Go on from what was known before a restart."""
        self.lasting, self.burst = learnt.lasting, float(learnt.burst)
        self.mean.level, self.mean.spread = float(learnt.mean), float(learnt.spread)
        self.use.level = learnt.use or -1.0  # 0: unknown

    def backlog(self, held_back: bool) -> Backlog:
        """Return the torrent's backlog. `held_back`: whether its limit holds it back now."""
        if self.lasting:
            return Backlog.LASTING
        if not held_back:
            return Backlog.NONE
        return Backlog.KNOWN_BURST if self.usual else Backlog.NEW_BURST

    @property
    def fickle(self) -> bool:
        """It is known for bursts, of whatever size."""
        return self._bursts >= FICKLE

    def doubt(self, limit: int) -> float:
        """Bytes/s by which its rate differs from what it is expected to be, in the mean."""
        if self.slow:
            return 0.0
        if self.lasting:
            return self.use.spread * limit if self.use.level < STEADY else 0.0
        return self.mean.spread

    def _allowed_until(self, at: float, limit: int) -> float:
        """Bytes that its limits let through until then, counted from some moment on."""
        return self._turn_allowed + (at - self._turn_at) * (limit if at >= self._turn_at else self._turn_from)
