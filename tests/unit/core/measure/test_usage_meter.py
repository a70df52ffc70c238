"""What a tracker may and wants to upload, as a mean over the same time as its rate."""

from __future__ import annotations

import math

import pytest

from qguardarr.core.measure.usage_meter import UsageMeter


def expecting(*rates: float, every_s: float = 2.0) -> UsageMeter:
    meter = UsageMeter()
    for number, rate in enumerate(rates):
        meter.expect(number * every_s, rate)
    return meter


def test_demand_that_fell_counts_for_the_time_that_it_lasted() -> None:
    meter = expecting(*[4e6] * 15, *[1e6] * 16)  # 30 s, then 30 s
    assert meter.due_rate(60.0) == pytest.approx(2.5e6)
    assert meter.due_rate(10.0) == pytest.approx(1e6)


def test_window_begins_between_two_cycles() -> None:
    assert expecting(4e6, 1e6, 1e6, every_s=10.0).due_rate(15.0) == pytest.approx((4e6 * 5 + 1e6 * 10) / 15)


def test_first_cycle_and_none() -> None:
    assert UsageMeter().due_rate(60.0) == 0.0
    assert expecting(3e6).due_rate(60.0) == 3e6


def test_without_a_cap_nothing_is_due() -> None:
    meter = expecting(4e6, 4e6, math.inf)
    assert meter.due_rate(60.0) == 0.0


def test_old_times_are_forgotten_and_a_clock_may_be_set_back() -> None:
    meter = expecting(*[1e6] * 100)
    assert len(meter.due) <= 39
    meter.expect(50.0, 2e6)
    assert all(at <= 50.0 for at, _ in meter.due)
    assert meter.due_rate(60.0) <= 2e6
