"""Turn local times into Unix time: windows of schedules, and periods of quotas.

A window holds whenever a clock on the wall shows a time in it. So a local time that does not exist (clocks go forward)
counts as the moment at which they do, and a stretch that comes twice (clocks go back) counts both times.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta, tzinfo
from typing import Final

from qguardarr.core.caps.schedule import Segment
from qguardarr.core.timed import MINUTES_A_DAY, Window, clock_words, days_words
from qguardarr.core.units import format_speed

_LOOK_EVERY_S: Final = 3 * 3600
"""Two changes of the clocks are further apart than this."""


def timeline(windows: Sequence[Window], zone: tzinfo, start: float, end: float) -> tuple[Segment, ...]:
    """Return which window counts from `start` to `end` (Unix time): the first of those that hold.

    Neighbours differ; the first segment begins at `start`.
    """
    segments: list[Segment] = []
    for at in sorted({start, *_candidates(windows, zone, start, end)}):
        local = datetime.fromtimestamp(at, zone)
        weekday, minute = local.weekday(), local.hour * 60 + local.minute
        window = next((each for each in windows if each.holds(weekday, minute)), None)
        if not segments or segments[-1].window != window:
            segments.append(Segment(at, window, "" if window is None else words(window)))
    return tuple(segments)


def words(window: Window) -> str:
    """Return a window in words: `schedule: mon-fri 08:00 to 18:00`, and what it guarantees."""
    rate = "" if window.rate is None else f", rate {format_speed(window.rate)}"
    return f"schedule: {days_words(window.days)} {clock_words(window.start)} to {clock_words(window.end)}{rate}"


def instants(day: date, minute: int, zone: tzinfo) -> Iterator[float]:
    """Yield the Unix times at which a clock shows this minute of a day: one, or two where an hour comes twice.

    For a local time that does not exist: where it would be by the clock before the change, and by the one after it.
    """
    at = datetime.combine(day, time(), zone) + timedelta(minutes=minute)
    yield at.timestamp()
    yield at.replace(fold=1).timestamp()


def _candidates(windows: Sequence[Window], zone: tzinfo, start: float, end: float) -> Iterator[float]:
    """Yield all times at which another window may begin to count."""
    minutes = {0} | {window.start for window in windows} | {window.end % MINUTES_A_DAY for window in windows}
    day = datetime.fromtimestamp(start, zone).date() - timedelta(days=1)
    last = datetime.fromtimestamp(end, zone).date()
    while day <= last:
        for minute in minutes:
            yield from (at for at in instants(day, minute, zone) if start < at < end)
        day += timedelta(days=1)
    yield from _clock_changes(zone, start, end)


def _clock_changes(zone: tzinfo, start: float, end: float) -> Iterator[float]:
    """Yield the times at which the clocks are changed, to the second."""
    at = int(start)
    while at < end:
        later = min(at + _LOOK_EVERY_S, int(end) + 1)
        if _offset(zone, at) != _offset(zone, later):
            low, high = at, later
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if _offset(zone, middle) == _offset(zone, at) else (low, middle)
            if start < high < end:
                yield float(high)
        at = later


def _offset(zone: tzinfo, at: float) -> timedelta | None:
    return datetime.fromtimestamp(at, zone).utcoffset()
