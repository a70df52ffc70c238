"""Sections about time: windows of schedules, and the texts in them."""

from __future__ import annotations

import re
from typing import Annotated, Final, Self

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, model_validator

from qguardarr.config.fields import Rate, Section, Speed, Whole
from qguardarr.core.timed import DAYS, EVERY_DAY, MINUTES_A_DAY, Window, clock_words, days_words
from qguardarr.errors import InvalidValue
from qguardarr.zones import zone_of

_CLOCK: Final = re.compile(r"([01]?\d|2[0-4]):([0-5]\d)")
_DAYS_HINT: Final = "write 'daily', a range such as 'mon-fri', or days such as 'sat,sun'"


def _days(value: object) -> object:
    if isinstance(value, list | tuple):
        value = ",".join(map(str, value))
    if not isinstance(value, str):
        raise InvalidValue("is not a set of days", _DAYS_HINT)
    found = 0
    for part in value.lower().replace(" ", "").split(","):
        first, dash, last = part.partition("-")
        if part == "daily":
            found |= EVERY_DAY
        elif first[:3] in DAYS and (not dash or last[:3] in DAYS):
            start = DAYS.index(first[:3])
            length = (DAYS.index(last[:3]) - start) % 7 if dash else 0
            for day in range(start, start + length + 1):
                found |= 1 << day % 7
        else:
            raise InvalidValue("is not a set of days", _DAYS_HINT)
    return found


def _time_of_day(value: object) -> object:
    match = _CLOCK.fullmatch(value.strip()) if isinstance(value, str) else None
    minute = int(match[1]) * 60 + int(match[2]) if match else MINUTES_A_DAY + 1
    if minute > MINUTES_A_DAY:
        raise InvalidValue("is not a time of day", 'write it in quotes, from "00:00" to "24:00"')
    return minute


def time_zone(value: str) -> str:
    """Return the IANA name of a time zone that this machine knows; empty for its own."""
    try:
        zone_of(value)
    except ValueError:
        raise InvalidValue(
            "is no time zone that this machine knows",
            "write an IANA name, such as Europe/Berlin; a machine without any needs the package tzdata",
        ) from None
    return value


Days = Annotated[int, BeforeValidator(_days), PlainSerializer(days_words)]
TimeOfDay = Annotated[int, BeforeValidator(_time_of_day), PlainSerializer(clock_words)]
TimeZone = Annotated[str, AfterValidator(time_zone)]


class LineWindow(Section):
    """A part of the week in which the line has another speed. The first window that holds counts."""

    days: Days = EVERY_DAY
    """Days on which it begins: `daily`, a range such as `mon-fri`, or days such as `sat,sun`. Default daily."""
    from_: TimeOfDay = Field(default=0, alias="from")
    """Time of day at which it begins, in quotes. It holds whenever a clock shows a time in it: clocks that are changed
    make it longer or shorter. Default "00:00"."""
    to: TimeOfDay = MINUTES_A_DAY
    """Time of day at which it ends. Not after `from`: on the next day. Default "24:00"."""
    cap: Speed
    """Speed of the line in it, bytes/s or text. No default."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        _refuse_empty(self)
        return self


class GroupWindow(Section):
    """A part of the week in which other numbers count. The first window that holds counts."""

    days: Days = EVERY_DAY
    """Days on which it begins: `daily`, a range such as `mon-fri`, or days such as `sat,sun`. Default daily."""
    from_: TimeOfDay = Field(default=0, alias="from")
    """Time of day at which it begins, in quotes. It holds whenever a clock shows a time in it: clocks that are changed
    make it longer or shorter. Default "00:00"."""
    to: TimeOfDay = MINUTES_A_DAY
    """Time of day at which it ends. Not after `from`: on the next day. Default "24:00"."""
    cap: Speed | None = None
    """Cap in it, bytes/s or text. Default: that of the group."""
    rate: Rate | None = None
    """Speed in it that the group always gets while it wants it, as its `rate`. Default: that of the group."""
    priority: Annotated[Whole, Field(ge=1, le=10)] | None = None
    """Priority in it, 1 … 10. Default: that of the group."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        _refuse_empty(self)
        if self.cap is None and self.rate is None and self.priority is None:
            raise InvalidValue("changes nothing", "add a cap, such as 'cap: 2 MB/s', a rate, or a priority")
        return self


def _refuse_empty(window: LineWindow | GroupWindow) -> None:
    if window.from_ % MINUTES_A_DAY == window.to:
        hint = "write 'from: \"00:00\"' and 'to: \"24:00\"' for whole days"
        raise InvalidValue("begins and ends at the same time", hint)


def windows_of(sections: tuple[LineWindow, ...] | tuple[GroupWindow, ...]) -> tuple[Window, ...]:
    """Return windows as the core reads them."""
    return tuple(
        Window(
            days=each.days,
            start=each.from_ % MINUTES_A_DAY,
            end=each.to or MINUTES_A_DAY,
            cap=each.cap,
            rate=each.rate if isinstance(each, GroupWindow) else None,
            priority=each.priority if isinstance(each, GroupWindow) else None,
        )
        for each in sections
    )
