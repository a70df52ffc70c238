"""Sections about time: windows of schedules, quotas, and the texts in them."""

from __future__ import annotations

import contextlib
import re
from datetime import datetime
from fractions import Fraction
from typing import Annotated, Final, Self

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, model_validator

from qguardarr.config.fields import Rate, Section, Speed, Whole
from qguardarr.core import timed
from qguardarr.core.timed import EVERY_DAY, MINUTES_A_DAY, Window, clock_words, days_words
from qguardarr.core.units import SpeedError, limit_or_minus_one, parse_speed
from qguardarr.errors import InvalidValue
from qguardarr.zones import zone_of

_CLOCK: Final = re.compile(r"([01]?\d|2[0-4]):([0-5]\d)")
_AMOUNT: Final = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)\s*([kKMGTP]?)(i?)B")
_LENGTH: Final = re.compile(r"\d{1,6}[smhd]")
_MOST_BYTES: Final = 10**18
_TRICKLE: Final = 10_000
NAMED_PERIODS: Final = ("hour", "day", "week", "month")
_THEN_HINT: Final = "write a speed such as '10 kB/s', 'stop-raising' or 'unlimited'"
_DAYS_HINT: Final = "write 'daily', a range such as 'mon-fri', or days such as 'sat,sun'"


def _days(value: object) -> object:
    if isinstance(value, list | tuple):
        value = ",".join(map(str, value))
    if not isinstance(value, str):
        raise InvalidValue("is not a set of days", _DAYS_HINT)
    found = 0
    for part in value.lower().replace(" ", "").split(","):
        first, dash, last = part.partition("-")
        start, end = _day_of(first), _day_of(last) if dash else None
        if part == "daily":
            found |= EVERY_DAY
        elif start is not None and (end is not None or not dash):
            length = 0 if end is None else (end - start) % 7
            for day in range(start, start + length + 1):
                found |= 1 << day % 7
        else:
            raise InvalidValue("is not a set of days", _DAYS_HINT)
    return found


def _day_of(text: str) -> int | None:
    """Return the number of a day (Monday is 0) by its name or the first three letters of it; None if it is none."""
    names = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
    return next((number for number, name in enumerate(names) if text in (name, name[:3])), None)


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


def _bytes_words(amount: int) -> str:
    return f"{amount} B"


def _amount(value: object) -> object:
    match = _AMOUNT.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise InvalidValue("is not an amount of bytes", "write '500 GB', '2 TB' or '200 GiB'")
    number, prefix, binary = match.groups()
    amount = int(Fraction(number) * (1024 if binary else 1000) ** " kMGTP".index(prefix.replace("K", "k") or " "))
    if not 1 <= amount <= _MOST_BYTES:
        raise InvalidValue("must be from 1 B to 1000 PB")
    return amount


def _period(value: object) -> object:
    if isinstance(value, str) and (value in NAMED_PERIODS or (_LENGTH.fullmatch(value) and length_of(value) >= 1)):
        return value
    raise InvalidValue("is not a period", "write hour, day, week, month, or a length such as '10m', '12h', '30d'")


def length_of(text: str) -> int:
    """Return a length such as `10m`, in seconds."""
    return int(text[:-1]) * {"s": 1, "m": 60, "h": 3600, "d": 86_400}[text[-1]]


def _then(value: object) -> object:
    if value == "stop-raising":
        return None
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        try:
            return parse_speed(value)
        except SpeedError as error:
            if isinstance(value, str) and not value[:1].isdigit():
                raise InvalidValue(f"{value!r} is not known here", _THEN_HINT) from error
            raise
    raise InvalidValue("is not known here", _THEN_HINT)


def _starts(value: object) -> object:
    if value is None or (isinstance(value, int | str) and not isinstance(value, bool)):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    raise InvalidValue("is no start of a period", 'put a date or a time in quotes, such as "2026-11-30T18:00"')


def _then_words(value: int | None) -> int | str:
    return "stop-raising" if value is None else limit_or_minus_one(value)


Amount = Annotated[int, BeforeValidator(_amount), PlainSerializer(_bytes_words)]
Period = Annotated[str, BeforeValidator(_period)]
Then = Annotated[int | None, BeforeValidator(_then), PlainSerializer(_then_words)]
Starts = Annotated[int | str | None, BeforeValidator(_starts)]
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


class Quota(Section):
    """Bytes that may be uploaded in each period. Those sent while Qguardarr was off count as well."""

    bytes: Amount
    """Amount of a period, as text: `500 GB`, `2 TiB`. No default."""
    per: Period
    """Length of a period: `hour`, `day`, `week`, `month`, or a number of `s`, `m`, `h`, `d` such as `10m`. No
    default."""
    starts: Starts = None
    """Where in it a period begins. month: day of the month, 1 … 31 (a shorter month: its last day). week: `mon` …
    `sun`. day: time of day, as "06:00". A number of days or less: a local time, as "2026-11-30T18:00". Default: the
    1st, Monday, midnight; for a length, 1970-01-01 in UTC."""
    pace: bool = False
    """Spread what is left over the time that is left: the cap follows. What was saved is released over a thirtieth of
    the period, up to the cap of the file. Default false: all may be used at once."""
    then: Then = _TRICKLE
    """What counts when all is used up: a cap, `stop-raising` (limits stay as they are), or `unlimited` (the cap of the
    file). Default 10000, in bytes/s."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        _ = self.starts_number
        return self

    @property
    def starts_number(self) -> int:
        """Return `starts` as the core reads it; see `core.timed.Quota`."""
        starts = self.starts
        match self.per:
            case "month":
                if starts is None or (isinstance(starts, int) and not isinstance(starts, bool) and 1 <= starts <= 31):
                    return starts or 1
                hint = "write a day of the month, 1 to 31"
            case "week":
                number = _day_of(str(starts).lower())
                if starts is None or number is not None:
                    return (number or 0) * MINUTES_A_DAY
                hint = "write a day, such as mon"
            case "day":
                match = _CLOCK.fullmatch(starts) if isinstance(starts, str) else None
                if starts is None or (match and match[1] != "24"):
                    return 0 if match is None else int(match[1]) * 60 + int(match[2])
                hint = 'write a time of day in quotes, such as "06:00"'
            case "hour":
                if starts is None:
                    return 0
                hint = "remove it: an hour begins with the hour"
            case _:
                if starts is None:
                    return 0
                with contextlib.suppress(ValueError, OverflowError, OSError):
                    return int(datetime.fromisoformat(str(starts)).timestamp())
                hint = 'write a local time in quotes, such as "2026-11-30T18:00"'
        raise InvalidValue("'starts' does not fit 'per'", hint)


def quota_of(section: Quota | None) -> timed.Quota | None:
    """Return a quota as the core reads it."""
    if section is None:
        return None
    named = section.per in NAMED_PERIODS
    return timed.Quota(
        bytes=section.bytes,
        per=section.per if named else "every",
        starts=section.starts_number,
        length_s=0 if named else length_of(section.per),
        pace=section.pace,
        then=section.then,
    )


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
