"""Local times become Unix times: compared with a clock on the wall, minute by minute."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from qguardarr.core.caps.schedule import Segment
from qguardarr.core.timed import Quota, Window
from qguardarr.engine.calendar import period_of, timeline

ZONES = (
    *("Europe/Berlin", "America/New_York", "America/St_Johns", "Australia/Lord_Howe", "Asia/Kathmandu"),
    *("Africa/Casablanca", "America/Santiago", "UTC"),
)
"""Half-hour offsets, a change of the clocks by half an hour, one at midnight, several a year, none."""
DAY_S = 86_400
YEARS = int(datetime(2023, 1, 1, tzinfo=UTC).timestamp()), int(datetime(2037, 1, 1, tzinfo=UTC).timestamp())
BERLIN = ZoneInfo("Europe/Berlin")

minutes = st.one_of(st.sampled_from([0, 60, 90, 120, 150, 180, 1439]), st.integers(0, 1439))
windows = st.lists(
    st.builds(Window, days=st.integers(1, 127), start=minutes, end=minutes.map(lambda minute: minute or 1440)),
    min_size=1,
    max_size=3,
).filter(lambda some: all(window.start != window.end for window in some))


def on_the_wall(some: list[Window], zone: ZoneInfo, at: float) -> Window | None:
    """The window that a person would name who looks at the clock."""
    local = datetime.fromtimestamp(at, zone)
    return next((each for each in some if each.holds(local.weekday(), local.hour * 60 + local.minute)), None)


def agrees(some: list[Window], zone: ZoneInfo, start: int, end: int) -> bool:
    segments = timeline(some, zone, start, end)
    place = 0
    for at in range(start, end, 60):
        while place + 1 < len(segments) and segments[place + 1].start <= at:
            place += 1
        if segments[place].window != on_the_wall(some, zone, at):
            return False
    return True


@settings(max_examples=60, deadline=None)
@given(some=windows, name=st.sampled_from(ZONES), week=st.integers(0, (YEARS[1] - YEARS[0]) // (7 * DAY_S)))
@example(some=[Window(start=150, end=180)], name="Europe/Berlin", week=12)
def test_any_week_of_fourteen_years(some: list[Window], name: str, week: int) -> None:
    start = YEARS[0] + week * 7 * DAY_S
    assert agrees(some, ZoneInfo(name), start, start + 8 * DAY_S)


@pytest.mark.parametrize("name", ZONES)
def test_all_changes_of_the_clocks_in_three_years(name: str) -> None:
    """With windows that begin and end in the hours that do not exist or come twice."""
    zone = ZoneInfo(name)
    some = [Window(start=1410, end=30), Window(start=90, end=150), Window(days=0b100_0000, start=150, end=1440)]
    for day in range(YEARS[0], YEARS[0] + 3 * 366 * DAY_S, DAY_S):
        if datetime.fromtimestamp(day, zone).utcoffset() != datetime.fromtimestamp(day + DAY_S, zone).utcoffset():
            assert agrees(some, zone, day - DAY_S, day + 2 * DAY_S)


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def test_a_window_over_midnight_belongs_to_the_day_on_which_it_begins() -> None:
    friday = Window(days=1 << 4, start=22 * 60, end=6 * 60, cap=1000)
    found = timeline([friday], BERLIN, at("2026-11-27T00:00+01:00"), at("2026-11-30T00:00+01:00"))
    words = "schedule: fri 22:00 to 06:00"
    assert found == (
        Segment(at("2026-11-27T00:00+01:00"), None),
        Segment(at("2026-11-27T22:00+01:00"), friday, words),
        Segment(at("2026-11-28T06:00+01:00"), None),
    )


def test_the_first_window_that_holds_counts() -> None:
    noon, day = Window(start=720, end=780), Window(days=0b1_1111, start=480, end=1080)
    found = timeline([noon, day], BERLIN, at("2026-11-30T00:00+01:00"), at("2026-12-01T00:00+01:00"))
    assert [segment.window for segment in found] == [None, day, noon, day, None]


def test_a_time_that_does_not_exist_begins_when_the_clocks_go_forward() -> None:
    """28 March 2027: after 01:59:59 comes 03:00:00."""
    window = Window(start=150, end=240)
    _, begins, ends = timeline([window], BERLIN, at("2027-03-28T00:00+01:00"), at("2027-03-28T12:00+02:00"))
    assert (begins.start, ends.start) == (at("2027-03-28T03:00+02:00"), at("2027-03-28T04:00+02:00"))


def test_a_time_that_comes_twice_holds_twice() -> None:
    """31 October 2027: after 02:59:59 comes 02:00:00."""
    window = Window(start=135, end=150)
    found = timeline([window], BERLIN, at("2027-10-31T00:00+02:00"), at("2027-10-31T12:00+01:00"))
    assert [segment.start for segment in found[1:]] == [
        *(at("2027-10-31T02:15+02:00"), at("2027-10-31T02:30+02:00")),
        *(at("2027-10-31T02:15+01:00"), at("2027-10-31T02:30+01:00")),
    ]


@pytest.mark.parametrize(
    ("per", "starts", "now", "start", "end"),
    [
        ("month", 1, "2026-11-30T18:00+01:00", "2026-11-01T00:00+01:00", "2026-12-01T00:00+01:00"),
        ("month", 15, "2026-11-14T23:59+01:00", "2026-10-15T00:00+02:00", "2026-11-15T00:00+01:00"),
        ("month", 31, "2027-02-28T12:00+01:00", "2027-02-28T00:00+01:00", "2027-03-31T00:00+02:00"),
        ("week", 1440, "2026-11-30T18:00+01:00", "2026-11-24T00:00+01:00", "2026-12-01T00:00+01:00"),
        ("day", 390, "2026-11-30T06:29+01:00", "2026-11-29T06:30+01:00", "2026-11-30T06:30+01:00"),
        ("day", 150, "2027-03-28T03:10+02:00", "2027-03-28T03:30+02:00", "2027-03-29T02:30+02:00"),
        ("hour", 0, "2026-11-30T18:59+01:00", "2026-11-30T18:00+01:00", "2026-11-30T19:00+01:00"),
    ],
)
def test_periods_of_quotas(per: str, starts: int, now: str, start: str, end: str) -> None:
    found = period_of(Quota(bytes=1, per=per, starts=starts), BERLIN, at(now))
    if per == "day" and starts == 150:  # 02:30 does not exist on that day: by the clock before the change, or after
        assert found[0] <= at(now) < found[1] <= at(end)
        return
    assert found == (at(start), at(end))


@given(
    per=st.sampled_from(["hour", "day", "week", "month", "every"]),
    starts=st.integers(1, 28),
    now=st.floats(*YEARS),
    name=st.sampled_from(ZONES),
)
def test_periods_follow_one_another_without_a_gap(per: str, starts: int, now: float, name: str) -> None:
    quota = Quota(bytes=1, per=per, starts=0 if per == "hour" else starts, length_s=700)
    start, end = period_of(quota, ZoneInfo(name), now)
    assert start <= now < end
    assert period_of(quota, ZoneInfo(name), start) == (start, end)
    if per != "hour":  # one in which the clocks go back by half an hour is longer
        assert period_of(quota, ZoneInfo(name), end)[0] == end
