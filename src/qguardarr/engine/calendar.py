"""Turn local times into Unix time: windows of schedules, and periods of quotas.

A window holds whenever a clock on the wall shows a time in it. So a local time that does not exist (clocks go forward)
counts as the moment at which they do, and a stretch that comes twice (clocks go back) counts both times.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta, tzinfo
from typing import Final

from qguardarr.core.caps.schedule import Segment
from qguardarr.core.timed import MINUTES_A_DAY, Quota, Window, clock_words, days_words
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


def instants(day: date, minute: int, zone: tzinfo | None) -> Iterator[float]:
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


def hour_of(at: float, zone: tzinfo | None) -> tuple[int, str]:
    """Return the start (Unix time) of the local hour of a Unix time, and the local day, as `2026-11-30`.

    `zone`: None for this machine's.
    """
    local = datetime.fromtimestamp(at, zone)
    return int(at) - local.minute * 60 - local.second, local.date().isoformat()


def hours_between(start: float, end: float, zone: tzinfo | None) -> Iterator[tuple[int, str, float, float]]:
    """Yield the local hours of a stretch: their start and day (see `hour_of`), and the part of each that is in it."""
    while start < end:
        hour, day = hour_of(start, zone)
        upto = min(end, float(hour + 3600))
        if upto <= start:
            upto = end
        yield hour, day, start, upto
        start = upto


def period_of(quota: Quota, zone: tzinfo | None, now: float) -> tuple[float, float]:
    """Return start and end (Unix time) of the period of a quota that a Unix time falls into."""
    if quota.per == "every":
        start = quota.starts + (now - quota.starts) // quota.length_s * quota.length_s
        return start, start + quota.length_s
    if quota.per == "hour":
        start = hour_of(now - quota.starts * 60, zone)[0] + quota.starts * 60.0
        return start, start + 3600.0
    today = datetime.fromtimestamp(now, zone).date()
    starts = sorted({_period_start(quota, today + timedelta(days=days), zone) for days in range(-32, 33)})
    begun = max(at for at in starts if at <= now)
    return begun, min(at for at in starts if at > now)


def _period_start(quota: Quota, day: date, zone: tzinfo | None) -> float:
    """Return the start of the period that begins in the same month, week or day as a day does."""
    minute = 0
    if quota.per == "month":
        last = (day.replace(day=1) + timedelta(days=31)).replace(day=1) - timedelta(days=1)
        day = day.replace(day=min(quota.starts, last.day))
    elif quota.per == "week":
        day += timedelta(days=quota.starts // MINUTES_A_DAY - day.weekday())
    else:
        minute = quota.starts
    return min(instants(day, minute, zone))
