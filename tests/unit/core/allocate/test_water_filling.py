"""Properties of weighted max-min fairness, stated over plain numbers."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qguardarr.core.allocate.water_filling import shares, water_level

few = settings(max_examples=50, deadline=None)
demands_and_weights = st.lists(
    st.tuples(st.one_of(st.floats(0, 1e9), st.just(math.inf)), st.floats(0.1, 10)), min_size=1, max_size=15
)
capacities = st.floats(0, 1e9)


def split(pairs: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [demand for demand, _ in pairs], [weight for _, weight in pairs]


@few
@given(demands_and_weights, capacities)
def test_no_one_gets_more_than_it_wants_and_all_together_no_more_than_there_is(
    pairs: list[tuple[float, float]], capacity: float
) -> None:
    demands, weights = split(pairs)
    got = shares(demands, weights, capacity)
    assert all(0 <= g <= d for g, d in zip(got, demands, strict=True))
    assert math.fsum(got) <= capacity * (1 + 1e-9) + 1e-6


@few
@given(demands_and_weights, capacities)
def test_nothing_that_is_wanted_is_wasted(pairs: list[tuple[float, float]], capacity: float) -> None:
    demands, weights = split(pairs)
    got = shares(demands, weights, capacity)
    assert math.fsum(got) == pytest.approx(min(capacity, math.fsum(demands)), rel=1e-6, abs=1e-3)


@few
@given(demands_and_weights, capacities, st.randoms(use_true_random=False))
def test_the_order_does_not_matter(pairs: list[tuple[float, float]], capacity: float, rng: random.Random) -> None:
    shuffled = list(pairs)
    rng.shuffle(shuffled)
    level = water_level(*split(pairs), capacity)
    assert water_level(*split(shuffled), capacity) == pytest.approx(level, rel=1e-6, abs=1e-6)


@few
@given(demands_and_weights, capacities, st.floats(0.01, 100))
def test_only_the_ratio_of_weights_matters(pairs: list[tuple[float, float]], capacity: float, factor: float) -> None:
    demands, weights = split(pairs)
    scaled = shares(demands, [factor * w for w in weights], capacity)
    assert scaled == pytest.approx(shares(demands, weights, capacity), rel=1e-6, abs=1e-3)


@few
@given(demands_and_weights, capacities, capacities)
def test_more_capacity_takes_from_no_one(pairs: list[tuple[float, float]], one: float, other: float) -> None:
    demands, weights = split(pairs)
    less = shares(demands, weights, min(one, other))
    more = shares(demands, weights, max(one, other))
    assert all(m >= s * (1 - 1e-9) - 1e-6 for s, m in zip(less, more, strict=True))


@few
@given(demands_and_weights, capacities)
def test_whoever_gets_less_than_it_wants_gets_as_much_for_its_weight_as_anyone(
    pairs: list[tuple[float, float]], capacity: float
) -> None:
    demands, weights = split(pairs)
    got = shares(demands, weights, capacity)
    most = max(g / w for g, w in zip(got, weights, strict=True))
    for demand, weight, share in zip(demands, weights, got, strict=True):
        if share < demand * (1 - 1e-9):
            assert share / weight >= most * (1 - 1e-9)


@few
@given(demands_and_weights)
def test_the_level_is_infinite_where_all_demands_fit(pairs: list[tuple[float, float]]) -> None:
    demands, weights = split([(min(demand, 1e9), weight) for demand, weight in pairs])
    assert water_level(demands, weights, 1.001 * sum(demands) + 1.0) == math.inf


def test_the_rest_of_quiet_ones_goes_to_the_backlogged_by_weight() -> None:
    assert shares([10, math.inf, math.inf], [1, 1, 2], 100) == [10, 30, 60]


def test_nobody_at_all() -> None:
    assert shares([], [], 100) == []
    assert water_level([], [], 100) == math.inf


def test_nothing_to_share() -> None:
    assert shares([5, math.inf], [1, 1], 0) == [0, 0]
