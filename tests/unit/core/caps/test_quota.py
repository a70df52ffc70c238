"""Quotas: paced, used up, and forecast. Pure functions, and a group that uses all it may."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence

import msgspec
import pytest
from hypothesis import given, settings
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
    assert cap(0, 29.9) == Cap(10 * MB, "configured", START + 30 * DAY_S, priority=5, holds_all=True)


def test_until_it_is_known_what_was_used_while_off_nothing_counts_as_saved() -> None:
    seen = msgspec.structs.replace(allowance(100 * GB, 9), settled=False)
    assert paced(MONTH, seen) == pytest.approx(500 * GB / (30 * DAY_S), rel=1e-5)
    over = msgspec.structs.replace(allowance(400 * GB, 9), settled=False)
    assert paced(MONTH, over) == pytest.approx(100 * GB / (21 * DAY_S), rel=1e-5)


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


COPY_S, STEP_S = 1.5, 0.1


class Slow:
    """A group of a qBittorrent whose counters come late, under a cap that takes effect late and is not met exactly."""

    def __init__(self, quota: Quota, length: float, dice: random.Random, cap: int = 100 * MB) -> None:
        self.quota, self.length, self.dice = quota, length, dice
        self.group = msgspec.structs.replace(tracker("a", cap), quota=quota)
        self.sent, self.now, self.bias = 0.0, 0.0, dice.uniform(0.97, 1.03)
        self._past = [0.0]
        self._counts = [(0.0, 0)]
        self._cap: float = 0
        self._due: list[tuple[float, int]] = []
        self._look_at = self._copy_at = 0.0

    def run(self, demand: Callable[[float], float], off: Sequence[tuple[float, float]] = ()) -> float:
        """Upload for the whole period, and return the part of the quota that was. `off`: when nobody looks."""
        while self.now < self.length - 1e-6:
            is_off = any(start <= self.now < end for start, end in off)
            if is_off:
                self._counts = self._counts[-1:]
            elif self.now >= self._copy_at:
                self._copy()
            if self.now >= self._look_at and not is_off:
                self._look()
            while self._due and self._due[0][0] <= self.now:
                self._cap = self._due.pop(0)[1]
            self.sent += min(demand(self.now), self._cap * self.bias) * STEP_S
            self._past.append(self.sent)
            self.now += STEP_S
        return self.sent / self.quota.bytes

    def _copy(self) -> None:
        self._copy_at = self.now + COPY_S
        old = self._past[max(0, len(self._past) - 1 - round(self.dice.uniform(0.0, 1.0) / STEP_S))]
        self._counts.append((self.now, max(self._counts[-1][1], int(old))))
        while len(self._counts) > 2 and self.now - self._counts[1][0] >= 4.0:
            self._counts.pop(0)

    def _look(self) -> None:
        (first_at, first), (at, used) = self._counts[0], self._counts[-1]
        rate = (used - first) / (at - first_at) if at > first_at else 0.0
        seen = Allowance(0.0, self.length, used, self.now, True, self.now - at, rate)
        found = cap_in_force(self.group, [within_quota({"a": seen})], self.now)
        self._due.append((self.now + self.dice.uniform(0.1, 0.6), found.ceiling))
        self._look_at = min(seen.look_again_at(self.quota), self.now + 10.0)


@settings(max_examples=60)
@given(
    length=st.sampled_from([45.0, 60.0, 120.0, 600.0]),
    bytes_=st.integers(10**7, 10**10),
    demand=st.lists(st.sampled_from([0.0, 0.3, 1.0, math.inf]), min_size=1, max_size=20),
    seed=st.integers(0, 1000),
)
def test_a_paced_quota_is_never_exceeded_however_late_counters_and_caps_are(
    length: float, bytes_: int, demand: list[float], seed: int
) -> None:
    """`demand`: in parts of the even rate, changing over the period."""
    slow = Slow(Quota(bytes=bytes_, per="every", pace=True, then=1), length, random.Random(seed))
    used = slow.run(lambda at: demand[int(at / length * len(demand))] * bytes_ / length)
    assert used <= 1.0


@settings(max_examples=60)
@given(
    length=st.sampled_from([60.0, 120.0, 600.0]),
    demand=st.lists(st.floats(0.8, 3), min_size=1, max_size=20),
    off=st.lists(st.floats(0, 0.8), max_size=2),
    seed=st.integers(0, 1000),
)
def test_a_group_that_takes_all_it_may_ends_within_two_per_cent(
    length: float, demand: list[float], off: list[float], seed: int
) -> None:
    """`demand`: in parts of the even rate, changing over the first half; all it can get after that."""
    bytes_ = int(length * MB)
    slow = Slow(Quota(bytes=bytes_, per="every", pace=True, then=1), length, random.Random(seed))
    used = slow.run(
        lambda at: demand[int(at / length * 2 * len(demand))] * MB if at < length / 2 else math.inf,
        [(part * length, part * length + 3.0) for part in off],
    )
    assert 0.98 <= used <= 1.0


@pytest.mark.parametrize("seed", range(5))
def test_without_pace_the_last_bytes_are_let_through_slowly(seed: int) -> None:
    slow = Slow(Quota(bytes=60 * MB, per="every", then=1), 60.0, random.Random(seed), cap=4 * MB)
    assert 0.98 <= slow.run(lambda _at: math.inf) <= 1.0


def test_the_forecast_is_a_straight_line() -> None:
    assert allowance(100 * GB, 10).forecast() == 300 * GB
    assert allowance(0, 0.1).forecast() is None
    assert math.isclose(allowance(500 * GB, 30).forecast() or 0, 500 * GB)
