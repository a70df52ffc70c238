"""Usage by hour, day and month, out of the store on disk."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from qguardarr.adapters.sqlite.store import SqliteStore
from qguardarr.engine.calendar import hour_of, hours_between
from qguardarr.engine.feature_ports import Counted, UsageRow
from qguardarr.engine.usage import Step, as_csv, this_month, usage

BERLIN, KATHMANDU = ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Kathmandu")


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    made = SqliteStore(tmp_path / "q.db.store")
    for moment, bytes_ in (
        ("2026-10-31T23:59+01:00", 1),
        ("2026-11-01T00:00+01:00", 10),
        ("2026-11-01T00:59+01:00", 20),
        ("2026-11-30T12:00+01:00", 300),
    ):
        hour, day = hour_of(at(moment), BERLIN)
        rows = [UsageRow(group, hour, day, bytes_) for group in ("a", "")]
        made.add_usage(Counted("", float(at(moment)), rows, {"a": bytes_}))
    yield made
    made.close()


def test_days_months_and_hours_are_local(store: SqliteStore) -> None:
    first, last = date(2026, 11, 1), date(2026, 11, 30)
    days = [(row.start, row.bytes) for row in usage(store, "a", first, last, "day", BERLIN)]
    assert days == [("2026-11-01", 30), ("2026-11-30", 300)]
    months = usage(store, "a", date(2026, 1, 1), last, "month", BERLIN)
    assert [(row.start, row.at, row.bytes) for row in months] == [
        ("2026-10", at("2026-10-01T00:00+02:00"), 1),
        ("2026-11", at("2026-11-01T00:00+01:00"), 330),
    ]
    hours = [(row.start, row.bytes) for row in usage(store, "a", first, first, "hour", BERLIN)]
    assert hours == [("2026-11-01T00:00+01:00", 30)]


def test_the_line_has_an_empty_id_and_none_is_all_groups(store: SqliteStore) -> None:
    first, last = date(2026, 11, 1), date(2026, 11, 30)
    assert {row.group for row in usage(store, "", first, last, "day", BERLIN)} == {""}
    assert {row.group for row in usage(store, None, first, last, "day", BERLIN)} == {"", "a"}


def test_csv_is_one_that_no_spreadsheet_computes_with(store: SqliteStore) -> None:
    store.add_usage(Counted("", 1.0, [UsageRow('=cmd|"x"', 0, "2026-11-30", 5)], {}))
    lines = list(as_csv(usage(store, None, date(2026, 11, 30), date(2026, 11, 30), "day", BERLIN)))
    assert lines == [
        "group,start,bytes\r\n",
        '"line",2026-11-30,300\r\n',
        '"\'=cmd|""x""",2026-11-30,5\r\n',
        '"a",2026-11-30,300\r\n',
    ]


def test_hours_older_than_ninety_days_go_and_days_stay(store: SqliteStore) -> None:
    store.thin(at("2027-02-15T00:00+01:00"))
    assert [row.bytes for row in store.usage_hours("a", 0.0, 1e11)] == [300]
    assert len(store.usage_days("a", "0000", "9999")) == 3


def test_a_copy_and_what_was_counted_up_to_it_are_kept_together(store: SqliteStore) -> None:
    assert store.counted_since_copy("") is None
    store.copy_counters(Counted("", 50.0, [], {"a": 7}), [b"x", b"y"])
    store.add_usage(Counted("", 60.0, [], {"a": 3}))
    found = store.counted_since_copy("")
    assert found is not None
    assert (found.copied_at, found.counted_until, dict(found.bytes)) == (50.0, 60.0, {"a": 3})
    assert (store.counters("", 1), store.counters("", 2), store.counters("other", 1)) == (b"y", b"", b"")


def test_hours_of_a_zone_with_an_odd_offset() -> None:
    moment = at("2026-11-30T12:20+05:45")
    assert hour_of(moment, KATHMANDU) == (at("2026-11-30T12:00+05:45"), "2026-11-30")
    parts = list(hours_between(moment, moment + 5400, KATHMANDU))
    assert [(b - a) for _, _, a, b in parts] == [2400, 3000]
    assert [hour for hour, _, _, _ in parts] == [at("2026-11-30T12:00+05:45"), at("2026-11-30T13:00+05:45")]


def test_the_clock_that_goes_back_has_the_same_hour_twice_and_loses_nothing() -> None:
    start, end = at("2027-10-31T01:00+02:00"), at("2027-10-31T05:00+01:00")
    parts = list(hours_between(start, end, BERLIN))
    assert sum(b - a for _, _, a, b in parts) == end - start == 5 * 3600
    assert {day for _, day, _, _ in parts} == {"2027-10-31"}


def test_this_month() -> None:
    assert this_month(at("2026-12-01T00:30+01:00"), BERLIN) == (date(2026, 12, 1), date(2026, 12, 1))


@pytest.mark.parametrize("zone", [None, BERLIN, ZoneInfo("Pacific/Auckland"), ZoneInfo("America/Los_Angeles")])
@pytest.mark.parametrize("step", ["hour", "day", "month"])
def test_any_days_may_be_asked_for(store: SqliteStore, zone: ZoneInfo | None, step: Step) -> None:
    assert sum(row.bytes for row in usage(store, "a", date.min, date.max, step, zone)) == 331
    assert usage(store, "a", date.max, date.max, step, zone) == []


def test_counters_go_to_another_name_of_an_instance_unless_that_has_some(store: SqliteStore) -> None:
    store.copy_counters(Counted("old", 50.0, [], {}), [b"x"])
    store.add_usage(Counted("old", 60.0, [], {"a": 3}))
    store.rename_instance("old", "new")
    found = store.counted_since_copy("new")
    assert found is not None
    assert (found.copied_at, dict(found.bytes), store.counters("new", 0)) == (50.0, {"a": 3}, b"x")
    assert store.counted_since_copy("old") is None
    store.copy_counters(Counted("old", 70.0, [], {}), [b"y"])
    store.rename_instance("old", "new")
    assert store.counters("new", 0) == b"x"
