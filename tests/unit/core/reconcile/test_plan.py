"""Changes become writes: grouped, ordered, bounded, refused."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qguardarr.core.model import UNLIMITED, Change
from qguardarr.core.reconcile.plan import IMPLAUSIBLE_COUNT, Plan, make_plan, refuse_if_unsafe
from qguardarr.errors import UnsafePlan
from tests.support.guard_loop import hash_of

few = settings(max_examples=50, deadline=None)
limit = st.one_of(st.just(UNLIMITED), st.integers(1, 10), st.integers(1, 10**8))


@st.composite
def some_changes(draw: st.DrawFn) -> list[Change]:
    pairs = draw(st.lists(st.tuples(limit, limit), max_size=40))
    return [Change(hash_of(i), old, new, UNLIMITED, "why") for i, (old, new) in enumerate(pairs)]


def is_cut(change: Change) -> bool:
    return change.new < change.old


@few
@given(some_changes(), st.integers(0, 60))
def test_decreases_go_before_increases(changes: list[Change], max_calls: int) -> None:
    kinds = [is_cut(change) for change in make_plan(changes, max_calls=max_calls).changes]
    assert kinds == sorted(kinds, reverse=True)


@few
@given(some_changes(), st.integers(0, 60))
def test_one_call_for_each_value_and_direction(changes: list[Change], max_calls: int) -> None:
    plan = make_plan(changes, max_calls=max_calls)
    calls = [(write.limit, is_cut(write.changes[0])) for write in plan.writes]
    assert len(calls) == len(set(calls))
    for write in plan.writes:
        assert {change.new for change in write.changes} == {write.limit}
        assert len({is_cut(change) for change in write.changes}) == 1


@few
@given(some_changes(), st.integers(0, 60))
def test_at_most_so_many_calls_and_the_rest_waits(changes: list[Change], max_calls: int) -> None:
    plan = make_plan(changes, max_calls=max_calls)
    assert len(plan.writes) <= max_calls
    real = [change for change in changes if change.new != change.old]
    assert len(plan.changes) + plan.deferred == len(real)
    assert {c.hash for c in plan.changes} <= {c.hash for c in real}


@few
@given(some_changes(), st.integers(0, 60))
def test_nothing_is_raised_while_a_decrease_waits(changes: list[Change], max_calls: int) -> None:
    plan = make_plan(changes, max_calls=max_calls)
    waiting = {c.hash for c in changes if is_cut(c)} - {c.hash for c in plan.changes}
    assert not waiting or all(is_cut(change) for change in plan.changes)


@few
@given(some_changes())
def test_the_order_of_the_changes_does_not_matter_to_what_is_written(changes: list[Change]) -> None:
    def content(plan: Plan) -> set[tuple[int, frozenset[str]]]:
        return {(write.limit, frozenset(c.hash for c in write.changes)) for write in plan.writes}

    assert content(make_plan(changes, max_calls=99)) == content(make_plan(changes[::-1], max_calls=99))


def test_where_calls_are_few_the_largest_decrease_goes_first() -> None:
    small = Change(hash_of(1), 2_000, 1_000, UNLIMITED, "")
    large = Change(hash_of(2), 9_000_000, 5_000, UNLIMITED, "")
    assert make_plan([small, large], max_calls=1).changes == [large]


def lifts(count: int) -> Plan:
    return make_plan([Change(hash_of(i), 1000, UNLIMITED, UNLIMITED, "") for i in range(count)], max_calls=9)


def test_lifting_most_limits_at_once_is_refused() -> None:
    """Regression: an outage was read as "no torrents", and then uncapped everything."""
    with pytest.raises(UnsafePlan, match="60 of 100"):
        refuse_if_unsafe(lifts(60), limited=lambda: 100)


@pytest.mark.parametrize(("count", "limited"), [(IMPLAUSIBLE_COUNT, IMPLAUSIBLE_COUNT), (30, 3000), (0, 0)])
def test_lifting_a_few_or_a_small_share_is_not(count: int, limited: int) -> None:
    refuse_if_unsafe(lifts(count), limited=lambda: limited)


def test_raising_limits_is_no_lifting() -> None:
    plan = make_plan([Change(hash_of(i), 1000, 2000, UNLIMITED, "") for i in range(500)], max_calls=9)
    refuse_if_unsafe(plan, limited=lambda: 500)


@few
@given(some_changes(), st.integers(0, 60))
def test_a_plan_is_its_decreases_and_then_its_increases(changes: list[Change], max_calls: int) -> None:
    plan = make_plan(changes, max_calls=max_calls)
    assert (*plan.cuts().writes, *plan.raises().writes) == plan.writes
    assert all(map(is_cut, plan.cuts().changes))
    assert not any(map(is_cut, plan.raises().changes))
    waiting = {c.hash for c in changes if is_cut(c)} - {c.hash for c in plan.changes}
    assert plan.cuts_wait or not waiting
