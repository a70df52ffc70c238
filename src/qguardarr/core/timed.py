"""What the user wants over time: windows of a schedule, and quotas. Plain values of the configuration, no calendar."""

from __future__ import annotations

from typing import Final

import msgspec

MINUTES_A_DAY: Final = 1440
EVERY_DAY: Final = 0b111_1111
DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of some days of the week in which other numbers count. What is None stays as it is."""

    days: int = EVERY_DAY
    """One bit for each day on which it begins: 1 is Monday, 64 is Sunday."""
    start: int = 0
    """Minutes after midnight, 0 … 1439."""
    end: int = MINUTES_A_DAY
    """Minutes after midnight, 1 … 1440. Not after `start`: on the next day."""
    cap: int | None = None
    """Ceiling, bytes/s or UNLIMITED."""
    rate: int | None = None
    """Guaranteed rate, bytes/s."""
    priority: int | None = None
    """1 … 10."""

    def holds(self, weekday: int, minute: int) -> bool:
        """Return whether a clock on the wall shows a time in it. `weekday`: 0 is Monday; `minute`: since midnight."""
        if self.start < self.end:
            return bool(self.days >> weekday & 1) and self.start <= minute < self.end
        began_today, began_yesterday = self.days >> weekday & 1, self.days >> (weekday - 1) % 7 & 1
        return bool(began_today and minute >= self.start) or bool(began_yesterday and minute < self.end)


class Quota(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes that may be uploaded in each period, and what happens when they are."""

    bytes: int
    per: str
    """`hour`, `day`, `week`, `month`; or `every`, with `length_s`."""
    starts: int = 0
    """Where in it a period begins. hour: minute. day: minute after midnight. week: minute after Monday 0:00. month: day
    of the month, from 1 (a shorter month: its last day). every: Unix time at which one begins, seconds."""
    length_s: int = 0
    """`every`: seconds."""
    pace: bool = False
    """Spread what is left over the time that is left."""
    then: int | None = None
    """Ceiling when all is used up, bytes/s or UNLIMITED; None: limits stay as they are, and none is raised."""


def days_words(days: int) -> str:
    """Return a set of days as the configuration has it: `mon-fri`, `sat,sun`, `daily`."""
    if days == EVERY_DAY:
        return "daily"
    runs: list[list[int]] = []
    for day in range(7):
        if days >> day & 1:
            if runs and runs[-1][-1] == day - 1:
                runs[-1].append(day)
            else:
                runs.append([day])
    return ",".join(
        f"{DAYS[run[0]]}-{DAYS[run[-1]]}" if len(run) > 2 else ",".join(DAYS[day] for day in run) for run in runs
    )


def clock_words(minute: int) -> str:
    """Return a time of day, given in minutes after midnight, as `08:00`."""
    return f"{minute // 60:02}:{minute % 60:02}"
