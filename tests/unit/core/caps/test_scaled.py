"""Boost and hush."""

from __future__ import annotations

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qguardarr.core.caps.chain import Cap, Modifier, cap_in_force, next_change, with_caps
from qguardarr.core.caps.scaled import ALL, Order, boosted, hushed
from qguardarr.core.model import UNLIMITED
from tests.support.guard_loop import MB, policy_of, tracker

NOW = 1_700_000_000.0
POLICY = policy_of(tracker("a", 10 * MB), tracker("b", 5 * MB), uplink=12 * MB)
HUSH = Order("hush", NOW + 60, 0.1)
BOOST = Order("boost", NOW + 60, 2.0)


def in_order(orders: dict[str, Order], uplink: int = POLICY.uplink) -> list[Modifier]:
    return [boosted(orders, uplink), hushed(orders)]


def in_force(orders: dict[str, Order], now: float = NOW) -> tuple[list[int], int]:
    policy = with_caps(POLICY, in_order(orders), now)
    return [group.cap for group in policy.classes], policy.uplink


def test_a_hush_of_all_takes_every_cap_and_the_line_to_a_tenth_until_it_ends() -> None:
    assert in_force({ALL: HUSH}) == ([MB, MB // 2, 12 * MB // 10], 12 * MB // 10)  # one has no cap by itself
    assert in_force({ALL: HUSH}, NOW + 60) == ([10 * MB, 5 * MB, UNLIMITED], 12 * MB)
    assert next_change(POLICY, in_order({ALL: HUSH}), NOW) == NOW + 60


def test_a_boost_goes_no_further_than_the_line() -> None:
    assert in_force({ALL: BOOST}) == ([12 * MB, 10 * MB, UNLIMITED], 12 * MB)


def test_a_hush_may_name_a_speed_for_the_line() -> None:
    assert in_force({ALL: Order("hush", NOW + 60, 1.0, 300_000)}) == ([10 * MB, 5 * MB, 300_000], 300_000)


def test_a_groups_own_order_counts_before_that_for_all() -> None:
    assert in_force({ALL: BOOST, "b": HUSH})[0] == [12 * MB, MB // 2, UNLIMITED]
    assert in_force({"": HUSH}) == ([10 * MB, 5 * MB, 12 * MB // 10], 12 * MB // 10)
    assert in_force({"b": HUSH})[0] == [10 * MB, MB // 2, UNLIMITED]


def test_a_hush_of_all_counts_before_a_groups_own_boost() -> None:
    longer = Order("boost", NOW + 90, 2.0)
    assert in_force({ALL: HUSH, "b": longer})[0] == [MB, MB // 2, 12 * MB // 10]
    assert in_force({ALL: HUSH, "b": longer}, NOW + 60)[0] == [10 * MB, 10 * MB, UNLIMITED]
    assert in_force({ALL: HUSH, "b": Order("boost", NOW, 2.0)})[0][1] == MB // 2, "one that is over hides nothing"


def test_it_says_so() -> None:
    assert cap_in_force(tracker("a", MB), in_order({"a": HUSH}), NOW) == Cap(
        MB // 10, "hush", NOW + 60, priority=5, holds_all=True
    )


@pytest.mark.parametrize(("kind", "factor"), [("boost", 0.5), ("boost", 1000.0), ("hush", 2.0), ("hush", 0.0)])
def test_factors_that_mean_nothing_are_refused(kind: Literal["boost", "hush"], factor: float) -> None:
    with pytest.raises(ValueError, match="not a factor"):
        Order(kind, NOW, factor)


@given(cap=st.integers(1, UNLIMITED), uplink=st.integers(1, UNLIMITED), factor=st.floats(0.001, 1.0))
def test_a_hush_never_raises_and_a_boost_never_lowers(cap: int, uplink: int, factor: float) -> None:
    group = tracker("a", cap)
    assert 1 <= cap_in_force(group, in_order({ALL: Order("hush", NOW + 1, factor)}), NOW).ceiling <= cap
    boost = Order("boost", NOW + 1, 1 / factor if factor > 0.01 else 9)
    assert cap <= cap_in_force(group, in_order({ALL: boost}, uplink), NOW).ceiling <= max(cap, uplink)
