"""Boost and hush."""

from __future__ import annotations

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qguardarr.core.caps.chain import Cap, cap_in_force, next_change, with_caps
from qguardarr.core.caps.scaled import ALL, Order, scaled
from qguardarr.core.model import UNLIMITED
from tests.support.guard_loop import MB, policy_of, tracker

NOW = 1_700_000_000.0
POLICY = policy_of(tracker("a", 10 * MB), tracker("b", 5 * MB), uplink=12 * MB)
HUSH = Order("hush", NOW + 60, 0.1)
BOOST = Order("boost", NOW + 60, 2.0)


def in_force(orders: dict[str, Order], now: float = NOW) -> tuple[list[int], int]:
    policy = with_caps(POLICY, [scaled(orders, POLICY.uplink)], now)
    return [group.cap for group in policy.classes], policy.uplink


def test_a_hush_of_all_takes_every_cap_and_the_line_to_a_tenth_until_it_ends() -> None:
    assert in_force({ALL: HUSH}) == ([MB, MB // 2, UNLIMITED], 12 * MB // 10)
    assert in_force({ALL: HUSH}, NOW + 60) == ([10 * MB, 5 * MB, UNLIMITED], 12 * MB)
    assert next_change(POLICY, [scaled({ALL: HUSH}, POLICY.uplink)], NOW) == NOW + 60


def test_a_boost_goes_no_further_than_the_line() -> None:
    assert in_force({ALL: BOOST}) == ([12 * MB, 10 * MB, UNLIMITED], 12 * MB)


def test_a_hush_may_name_a_speed_for_the_line() -> None:
    assert in_force({ALL: Order("hush", NOW + 60, 1.0, 300_000)}) == ([10 * MB, 5 * MB, UNLIMITED], 300_000)


def test_a_groups_own_order_counts_before_that_for_all() -> None:
    assert in_force({ALL: HUSH, "b": BOOST})[0] == [MB, 10 * MB, UNLIMITED]
    assert in_force({"": HUSH}) == ([10 * MB, 5 * MB, UNLIMITED], 12 * MB // 10)


def test_it_says_so() -> None:
    assert cap_in_force(tracker("a", MB), [scaled({"a": HUSH}, UNLIMITED)], NOW) == Cap(
        MB // 10, "hush", NOW + 60, priority=5
    )


@pytest.mark.parametrize(("kind", "factor"), [("boost", 0.5), ("boost", 1000.0), ("hush", 2.0), ("hush", 0.0)])
def test_factors_that_mean_nothing_are_refused(kind: Literal["boost", "hush"], factor: float) -> None:
    with pytest.raises(ValueError, match="not a factor"):
        Order(kind, NOW, factor)


@given(cap=st.integers(1, UNLIMITED), uplink=st.integers(1, UNLIMITED), factor=st.floats(0.001, 1.0))
def test_a_hush_never_raises_and_a_boost_never_lowers(cap: int, uplink: int, factor: float) -> None:
    group = tracker("a", cap)
    assert 1 <= cap_in_force(group, [scaled({ALL: Order("hush", NOW + 1, factor)}, uplink)], NOW).ceiling <= cap
    boosted = cap_in_force(
        group, [scaled({ALL: Order("boost", NOW + 1, 1 / factor if factor > 0.01 else 9)}, uplink)], NOW
    )
    assert cap <= boosted.ceiling <= max(cap, uplink)
