"""Change a cap by the time of day and the day of the week. The engine works out what that means in Unix time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence

import msgspec

from qguardarr.core.caps.chain import Cap, Group, Modifier
from qguardarr.core.timed import Window


class Segment(msgspec.Struct, frozen=True):
    """A stretch of time in which the same window of a schedule counts."""

    start: float
    """Unix time at which it begins, seconds; it ends where the next one begins."""
    window: Window | None
    """None: no window holds, so that the configuration counts."""
    reason: str = ""
    """In words, for a person."""


def scheduled(timelines: Mapping[str, Sequence[Segment]]) -> Modifier:
    """Return the modifier for schedules by group id. Segments in order; before the first one nothing is changed."""

    def modify(group: Group, cap: Cap, now: float) -> Cap:
        segments = timelines.get(group.id, ())
        place = bisect_right(segments, now, key=lambda segment: segment.start)
        until = segments[place].start if place < len(segments) else None
        if place == 0 or (window := segments[place - 1].window) is None:
            return msgspec.structs.replace(cap, until=earlier(cap.until, until))
        return Cap(
            ceiling=cap.ceiling if window.cap is None else window.cap,
            reason=segments[place - 1].reason,
            until=earlier(cap.until, until),
            rate=cap.rate if window.rate is None else window.rate,
            priority=cap.priority if window.priority is None else window.priority,
        )

    return modify


def earlier(one: float | None, other: float | None) -> float | None:
    """Return the earlier of two times; None if both are."""
    return min((at for at in (one, other) if at is not None), default=None)
