"""When qBittorrent took the counters that an answer shows.

qBittorrent copies the counters once every refresh (1.5 s by default), and a reader does not know how old the copy is:
over a 2 s cycle that is an error of up to ±75 %. All counters are copied at one instant, though, and the copies come
regularly. `RefreshClock` therefore works out *when* the copy was taken, and every rate is bytes between two copies
over the time between them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Final

SOON_S: Final = 0.1
"""An answer is asked for so long after a copy is expected: the estimate is about as good."""
AGAIN_S: Final = 0.2
"""… and again after this long when the copy was late."""
LATE_S: Final = 0.15
"""A copy later than this showed nothing new."""
TRUSTED_S: Final = 60.0
"""Where the copies fall is known for so long without a new one, seconds."""
LEARN_REFRESHES: Final = 10
"""The refresh timer's slip is worked out over one to three times as many refreshes."""
RECALLED_S: Final = 0.03
"""A copy that is known from before a restart was taken so much earlier or later at most, seconds."""
MOST_COUNTERS: Final = 50
"""So many torrents' counters of activity tell as much as all."""
MOST_RATES: Final = 300
"""So do so many torrents' bytes."""


class RefreshClock:
    """Works out when qBittorrent took the counters that an answer shows.

    A copy is at most one refresh old when it is read, younger than the answer before that did not show it, and whole
    refreshes after the last one (measured: 1.500 s ± 5 ms, more on a server so busy that its timer slips, which is
    learnt). How many refreshes, the torrents' own counters of seconds tell, or else the bytes of those whose rate is
    known. Each answer narrows the span of time in which the copy may have been taken; its middle is the estimate.
    """

    __slots__ = ("_anchor", "_count", "_doubt", "_earliest", "_latest", "_slip", "at")

    def __init__(self) -> None:
        self.at: float | None = None
        """Estimated time of the last copy, on the reader's monotonic clock, seconds."""
        self._earliest = self._latest = 0.0
        self._slip = 1.0
        """Real refresh period ÷ nominal."""
        self._anchor = self._doubt = 0.0
        self._count = 0
        """Refreshes since the copy taken at `_anchor` ± `_doubt` seconds: their mean length is the period."""

    def advance(
        self,
        read_at: float,
        refresh_s: float,
        *,
        counted_s: float | None,
        implied_s: float | None,
        not_before: float | None = None,
    ) -> float:
        """Take note of an answer that shows a new copy.

        Args:
            read_at: when the answer arrived, seconds, monotonic.
            refresh_s: qBittorrent's refresh interval, seconds.
            counted_s: seconds since the last copy by the torrents' own counters, ± 1 s; None if there are none.
            implied_s: seconds since the last copy as the torrents' bytes imply; None if they imply nothing.
            not_before: when an answer was read that showed an older copy for certain, seconds; None if unknown.

        Returns:
            Estimated time of this copy, seconds, monotonic.
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
            """Seconds between when the copy may have been taken and when the n-th after the last one was due."""
            return max(0.0, self._earliest + n * period - latest, earliest - self._latest - n * period)

        def doubt(n: int) -> float:
            off = misfit(n) + 0.01 * abs(last + n * period - middle)
            if counted_s is not None:
                off += abs(n * period - counted_s)
            if implied_s is not None:
                off += 0.6 * abs(n * period - implied_s)
            return off

        counts = range(1, int((read_at - last) / period) + 3)
        if counted_s is None and implied_s is None and sum(1 for n in counts if misfit(n) == 0.0) != 1:
            return self._begin(earliest, latest)  # no telling which
        count = min(counts, key=doubt)
        spread = 0.004 * count * period
        low = max(earliest, min(self._earliest + count * period - spread, latest))
        high = min(latest, max(self._latest + count * period + 2 * spread, earliest))
        at = self._between(low, max(low, high))
        self._learn_slip(at, count, refresh_s)
        return at

    def recall(self, at: float) -> None:
        """Go on from a copy that was taken at `at` (monotonic seconds) before a restart: the others follow from it."""
        self._begin(at - RECALLED_S, at + RECALLED_S)

    def next_look(self, now: float, due: float, refresh_s: float) -> float:
        """When to read again: right after the last copy that is expected before `due` (or SOON_S later, so that a
        whole number of refreshes is one); `due` if no one knows. Monotonic seconds."""
        if self.at is None or not 0 <= now - self.at < TRUSTED_S:
            return due
        period = refresh_s * self._slip
        first = self.at + period + SOON_S
        if 0 <= now - first < LATE_S:
            return min(due, now + AGAIN_S)
        last = first + (due + SOON_S - first) // period * period
        return last if last > now else due

    def _learn_slip(self, at: float, count: int, refresh_s: float) -> None:
        """The period is at least what is left of the time since the anchor when both ends are as far off as may be."""
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
    """Seconds between two copies by the torrents' own counters of activity, ± 1 s: the median of what each has counted.

    Args:
        steps: whole seconds that each torrent counted from one copy to the next. None is returned if there are none.
    """
    few = sorted(itertools.islice(steps, MOST_COUNTERS))
    return (few[(len(few) - 1) // 2] + few[len(few) // 2]) / 2 if few else None


def implied_s(moved: Iterable[tuple[float, float]]) -> float | None:
    """Seconds between two copies as bytes imply: the median of bytes ÷ rate, weighted by rate.

    Args:
        moved: of each torrent the bytes that it uploaded from one copy to the next, and its rate in bytes/s as known
            before. None is returned if there are none.
    """
    ratios = sorted((bytes_ / rate, rate) for bytes_, rate in itertools.islice(moved, MOST_RATES))
    half = sum(rate for _, rate in ratios) / 2
    totals = itertools.accumulate(rate for _, rate in ratios)
    return next((ratio for (ratio, _), total in zip(ratios, totals, strict=True) if total >= half), None)
