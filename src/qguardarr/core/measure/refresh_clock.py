"""Work out when qBittorrent refreshed the counters that an answer shows.

qBittorrent refreshes all counters at one instant, once every refresh interval (1.5 s by default), and a reader does not
know how old they are: over a 2 s cycle that is an error of up to ±75 %. `RefreshClock` therefore works out *when* they
were refreshed, and every rate is bytes between two refreshes over the time between them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Final

SOON_S: Final = 0.1
"""An answer is asked for this long after a refresh is expected: the estimate is about as good. In the simulator 0.05
makes a third more calls where upload slots are scarce, and 0.2 a tenth more with 60 torrents."""
AGAIN_S: Final = 0.2
"""It is asked for once more after this if the refresh was late. Halved or doubled, no scenario changes."""
LATE_S: Final = 0.15
"""An answer at most this long after the first one was due is one that came too early
(test_a_refresh_that_was_late_is_looked_for_once_more)."""
TRUSTED_S: Final = 60.0
"""Time without a new refresh for which the clock is believed."""
LEARN_REFRESHES: Final = 10
"""The slip of the refresh timer is learnt over one to three times this number of refreshes
(test_a_timer_that_slips_is_learnt)."""
RECALLED_S: Final = 0.03
"""Error of a refresh that is known from before a restart, seconds."""
MOST_COUNTERS: Final = 50
"""Torrents whose counters of activity are asked for the time between two refreshes: more tell no more."""
MOST_RATES: Final = 300
"""Torrents whose bytes are asked for it."""


class RefreshClock:
    """Works out when qBittorrent refreshed the counters that an answer shows.

    Counters are at most one refresh old when they are read, younger than the last answer that did not show them, and
    whole refreshes apart (measured: 1.500 s ± 5 ms, more on a server so busy that its timer slips, which is learnt).
    How many refreshes lie between two answers follows from the torrents' own counters of seconds, or else from the
    bytes of those whose rate is known. Each answer narrows the span of time in which the refresh may have happened; its
    middle is the estimate.
    """

    __slots__ = ("_anchor", "_count", "_doubt", "_earliest", "_latest", "_slip", "at")

    def __init__(self) -> None:
        self.at: float | None = None
        """Estimated time of the last refresh, on the reader's monotonic clock, seconds; None before the first."""
        self._earliest = self._latest = 0.0
        """Span in which the last refresh happened."""
        self._slip = 1.0
        """Real refresh period ÷ nominal."""
        self._anchor = self._doubt = 0.0
        self._count = 0
        """Refreshes since the one at `_anchor` ± `_doubt` seconds: their mean length is the period."""

    def advance(
        self,
        read_at: float,
        refresh_s: float,
        *,
        counted_s: float | None,
        implied_s: float | None,
        not_before: float | None = None,
    ) -> float:
        """Take in an answer that shows new counters.

        Args:
            read_at: time at which the answer arrived, monotonic seconds.
            refresh_s: qBittorrent's refresh interval, seconds.
            counted_s: seconds since the last refresh by the torrents' own counters, ± 1 s; None if there are none.
            implied_s: seconds since the last refresh as the torrents' bytes imply; None if they imply nothing.
            not_before: time of an answer that certainly showed older counters, monotonic seconds; None if unknown.

        Returns:
            Estimated time of the refresh, monotonic seconds.
        """
        period = refresh_s * self._slip
        earliest, latest = read_at - 1.02 * period, read_at
        if not_before is not None:
            earliest = max(earliest, min(not_before, latest))
        last = self.at
        if last is None or not 0 < read_at - last < TRUSTED_S:
            return self._begin(earliest, latest)
        middle = (earliest + latest) / 2

        def misfit(n: int) -> float:
            """Return by how much the n-th refresh after the last one falls out of the span in question, seconds."""
            return max(0.0, self._earliest + n * period - latest, earliest - self._latest - n * period)

        def doubt(n: int) -> float:
            """Return how badly n refreshes agree with all that is known, seconds."""
            off = misfit(n) + 0.01 * abs(last + n * period - middle)
            if counted_s is not None:
                off += abs(n * period - counted_s)
            if implied_s is not None:
                off += 0.6 * abs(n * period - implied_s)
            return off

        counts = range(1, int((read_at - last) / period) + 3)
        if counted_s is None and implied_s is None and sum(1 for n in counts if misfit(n) == 0.0) != 1:
            return self._begin(earliest, latest)  # it may be any of several
        count = min(counts, key=doubt)
        spread = 0.004 * count * period
        low = max(earliest, min(self._earliest + count * period - spread, latest))
        high = min(latest, max(self._latest + count * period + 2 * spread, earliest))
        at = self._between(low, max(low, high))
        self._learn_slip(at, count, refresh_s)
        return at

    def recall(self, at: float) -> None:
        """Go on from a refresh at `at` (monotonic seconds), before a restart: the others follow from it."""
        self._begin(at - RECALLED_S, at + RECALLED_S)

    def next_look(self, now: float, due: float, refresh_s: float) -> float:
        """Return when to read again: right after the last refresh that is expected before `due`; else `due`.

        It may be SOON_S after `due`, so that a whole number of refreshes is one. All times in monotonic seconds.
        """
        if self.at is None or not 0 <= now - self.at < TRUSTED_S:
            return due
        period = refresh_s * self._slip
        first = self.at + period + SOON_S
        if 0 <= now - first < LATE_S:
            return min(due, now + AGAIN_S)
        last = first + (due + SOON_S - first) // period * period
        return last if last > now else due

    def _learn_slip(self, at: float, count: int, refresh_s: float) -> None:
        """Learn the least period that agrees with the time since the anchor, given the doubt about both ends."""
        self._count += count
        elapsed = at - self._anchor
        if self._count >= LEARN_REFRESHES:
            doubt = (self._latest - self._earliest) / 2
            seen = (elapsed - self._doubt - doubt) / (self._count * refresh_s) - 1.0
            self._slip = 1.0 + max(0.0, min(1.0, seen))
            if self._count >= 3 * LEARN_REFRESHES:
                self._anchor, self._doubt, self._count = at, doubt, 0

    def _begin(self, earliest: float, latest: float) -> float:
        self._anchor, self._doubt, self._count = (earliest + latest) / 2, (latest - earliest) / 2, 0
        return self._between(earliest, latest)

    def _between(self, earliest: float, latest: float) -> float:
        self._earliest, self._latest = earliest, latest
        self.at = (earliest + latest) / 2
        return self.at


def counted_s(steps: Iterable[int]) -> float | None:
    """Return the seconds between two refreshes by the torrents' own counters of activity, ± 1 s: the median.

    Args:
        steps: whole seconds that each torrent counted from one refresh to the next. None is returned if there are none.
    """
    few = sorted(itertools.islice(steps, MOST_COUNTERS))
    return (few[(len(few) - 1) // 2] + few[len(few) // 2]) / 2 if few else None


def implied_s(moved: Iterable[tuple[float, float]]) -> float | None:
    """Return the seconds between two refreshes as bytes imply: the median of bytes ÷ rate, weighted by rate.

    Args:
        moved: for each torrent the bytes that it uploaded from one refresh to the next, and its rate in bytes/s as
            known before. None is returned if there are none.
    """
    ratios = sorted((bytes_ / rate, rate) for bytes_, rate in itertools.islice(moved, MOST_RATES))
    half = sum(rate for _, rate in ratios) / 2
    totals = itertools.accumulate(rate for _, rate in ratios)
    return next((ratio for (ratio, _), total in zip(ratios, totals, strict=True) if total >= half), None)
