"""Quotas: paced, used up, and forecast. Pure functions, and a group that uses all it may."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qguardarr.core.caps.chain import Cap, cap_in_force
from qguardarr.core.caps.quota import Allowance, paced, within_quota, words
from qguardarr.core.model import UNLIMITED
from qguardarr.core.timed import Quota
from tests.support.guard_loop import MB, tracker

GB, DAY_S = 10**9, 86_400.0
START = 1_700_000_000.0
MONTH = Quota(bytes=500 * GB, per="month", pace=True, then=10_000)
GROUP = msgspec.structs.replace(tracker("a", 10 * MB), quota=MONTH)


def allowance(used: float, day: float, length: float = 30.0) -> Allowance:
    return Allowance(START, START + length * DAY_S, int(used), START + day * DAY_S)


def cap(used: float, day: float, **changes: object) -> Cap:
    group = msgspec.structs.replace(GROUP, quota=msgspec.structs.replace(MONTH, **changes))
    return cap_in_force(group, [within_quota({"a": allowance(used, day)})], START + day * DAY_S)


def test_what_is_left_is_spread_over_the_time_that_is_left() -> None:
    found = cap(400 * GB, 20)
    assert found.ceiling == pytest.approx(100 * GB / (10 * DAY_S), rel=0.01)
    assert found.reason == "quota: 400 of 500 GB used, 10 days left"
    assert found.until == START + 30 * DAY_S


def test_what_was_saved_is_released_over_a_day_and_never_above_the_cap() -> None:
    even = 500 * GB / (30 * DAY_S)
    assert cap(100 * GB, 9).ceiling == pytest.approx(even + 50 * GB / DAY_S, rel=0.01)
    assert cap(0, 29.9) == Cap(10 * MB, "configured", START + 30 * DAY_S, priority=5)


def test_until_it_is_known_what_was_used_while_off_nothing_counts_as_saved() -> None:
    seen = msgspec.structs.replace(allowance(100 * GB, 9), settled=False)
    assert paced(MONTH, seen) == pytest.approx(500 * GB / (30 * DAY_S))
    over = msgspec.structs.replace(allowance(400 * GB, 9), settled=False)
    assert paced(MONTH, over) == pytest.approx(100 * GB / (21 * DAY_S))


@pytest.mark.parametrize(("then", "ceiling", "may_rise"), [(10_000, 10_000, True), (None, 10 * MB, False)])
def test_when_all_is_used_up(then: int | None, ceiling: int, may_rise: bool) -> None:
    found = cap(500 * GB, 20, then=then)
    assert (found.ceiling, found.may_rise) == (ceiling, may_rise)
    assert found.reason == "quota: 500 of 500 GB used, 10 days left"
    assert cap(500 * GB, 20, then=UNLIMITED).ceiling == 10 * MB


def test_without_pace_the_cap_holds_until_all_is_used_up() -> None:
    assert cap(499 * GB, 1, pace=False).ceiling == 10 * MB
    assert cap(500 * GB, 1, pace=False).ceiling == 10_000


def test_after_its_period_it_does_nothing() -> None:
    assert cap(500 * GB, 30) == Cap(10 * MB, priority=5)


amounts = st.integers(1, 10**16)


@given(bytes_=amounts, used=amounts, part=st.floats(0, 0.999), length=st.floats(60, 400 * DAY_S), ceiling=amounts)
def test_a_paced_cap_is_a_limit_and_never_above_the_one_of_the_file(
    bytes_: int, used: int, part: float, length: float, ceiling: int
) -> None:
    group = msgspec.structs.replace(
        tracker("a", min(ceiling, UNLIMITED)), quota=Quota(bytes=bytes_, per="every", pace=True, then=5)
    )
    seen = Allowance(START, START + length, used, START + part * length)
    found = cap_in_force(group, [within_quota({"a": seen})], seen.at)
    assert 1 <= found.ceiling <= min(ceiling, UNLIMITED)
    assert seen.at < seen.look_again_at(group.quota or MONTH) <= seen.end
    assert words(group.quota or MONTH, seen).startswith("quota: ")


@given(bytes_=st.integers(10**6, 10**16), part=st.floats(0, 0.99), saved=st.floats(0, 1))
def test_saved_bytes_never_slow_down_and_wasted_ones_never_speed_up(bytes_: int, part: float, saved: float) -> None:
    quota, length = Quota(bytes=bytes_, per="every", pace=True), 30 * DAY_S
    even, planned = bytes_ / length, bytes_ * part
    ahead = Allowance(START, START + length, int(planned * (1 - saved)), START + part * length)
    behind = Allowance(START, START + length, int(planned + (bytes_ - planned) * saved), START + part * length)
    assert paced(quota, ahead) >= even * 0.999
    assert paced(quota, behind) <= even * 1.001


@given(
    length=st.sampled_from([60.0, 600.0, 3600.0, DAY_S, 30 * DAY_S]),
    bytes_=st.integers(10**7, 10**13),
    demand=st.lists(st.floats(0, 3), min_size=1, max_size=20),
)
def test_a_group_that_takes_all_it_may_ends_within_two_per_cent(
    length: float, bytes_: int, demand: list[float]
) -> None:
    """`demand`: in parts of the even rate, changing over the first half; all it can get after that."""
    quota = Quota(bytes=bytes_, per="every", pace=True, then=1)
    now, used = 0.0, 0.0
    while now < length - 1e-6:
        seen = Allowance(0.0, length, int(used), now)
        rate = paced(quota, seen)
        if now < length / 2:
            rate = min(rate, demand[int(now / length * 2 * len(demand))] * bytes_ / length)
        until = min(length, seen.look_again_at(quota) if not seen.is_used_up(quota) else length)
        used, now = used + (0.0 if seen.is_used_up(quota) else rate * (until - now)), until
    assert used == pytest.approx(bytes_, rel=0.02)


def test_the_forecast_is_a_straight_line() -> None:
    assert allowance(100 * GB, 10).forecast() == 300 * GB
    assert allowance(0, 0.1).forecast() is None
    assert math.isclose(allowance(500 * GB, 30).forecast() or 0, 500 * GB)
