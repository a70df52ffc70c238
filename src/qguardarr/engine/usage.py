"""What groups uploaded, by hour, day or month of the configured time zone, for the API and the command line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta, tzinfo
from typing import Final, Literal

import msgspec

from qguardarr.engine.calendar import instants
from qguardarr.engine.feature_ports import UsageStore

Step = Literal["hour", "day", "month"]

_SIGNS: Final = frozenset("=+-@\t\r")
"""A spreadsheet takes a text that begins so for a formula."""

_FIRST: Final = date(1970, 1, 2)
_LAST: Final = date(9999, 12, 29)
"""Hours of days outside of these are no Unix times in every zone."""


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes that a group uploaded in an hour, a day or a month."""

    group: str
    """Its id; empty: the whole line, with all that is unlimited."""
    start: str
    """Where the stretch begins, as local time: `2026-11-30T18:00+01:00`, `2026-11-30`, or `2026-11`."""
    at: float
    """The same as Unix seconds."""
    bytes: int
    """Payload bytes, also those sent while Qguardarr was off."""


def this_month(now: float, zone: tzinfo | None) -> tuple[date, date]:
    """Return the first day of the local month of a Unix time, and the present day."""
    today = datetime.fromtimestamp(now, zone).date()
    return today.replace(day=1), today


def usage(
    store: UsageStore, group: str | None, first: date, last: date, step: Step, zone: tzinfo | None
) -> list[Usage]:
    """Return the usage of a group (None: of all) from one local day to another, both included, by group and time.

    Stretches without any are left out. Raises `StoreError`.
    """
    if step == "hour":
        start, end = _midnight(max(first, _FIRST), zone), _midnight(min(last, _LAST) + timedelta(days=1), zone)
        return [
            Usage(group=row.group, start=_local(row.hour, zone), at=row.hour, bytes=row.bytes)
            for row in store.usage_hours(group, start, end)
        ]
    rows = store.usage_days(group, first.isoformat(), last.isoformat(), months=step == "month")
    return [
        Usage(group=row.group, start=row.day, at=_midnight(_first_day(row.day), zone), bytes=row.bytes) for row in rows
    ]


def as_csv(rows: Sequence[Usage]) -> Iterator[str]:
    """Yield usage as lines of CSV, with a head."""
    yield "group,start,bytes\r\n"
    for row in rows:
        group = row.group or "line"
        if group[0] in _SIGNS:
            group = f"'{group}"
        yield f'"{group.replace(chr(34), chr(34) * 2)}",{row.start},{row.bytes}\r\n'


def _first_day(day: str) -> date:
    return date.fromisoformat(day if len(day) > len("2026-11") else f"{day}-01")


def _midnight(day: date, zone: tzinfo | None) -> float:
    if zone is None:
        return datetime.combine(day, time()).timestamp()
    return min(instants(day, 0, zone))


def _local(at: float, zone: tzinfo | None) -> str:
    return datetime.fromtimestamp(at, zone).astimezone(zone).isoformat(timespec="minutes")
