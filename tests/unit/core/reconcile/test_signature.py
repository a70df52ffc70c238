"""The mark on limits that we write."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from qguardarr.core.model import MAX_LIMIT, UNLIMITED
from qguardarr.core.reconcile.signature import MARKED_FROM, looks_like_ours, marked, may_be_ours
from tests.support.guard_loop import KB, MB, Guard, policy_of, torrents_of, tracker

LIMITS = st.one_of(st.integers(1, 50_000), st.integers(1, MAX_LIMIT), st.just(UNLIMITED))


@given(LIMITS)
def test_a_mark_costs_little_and_never_raises_a_limit(limit: int) -> None:
    assert marked(limit) <= limit
    assert limit - marked(limit) <= 0.004 * limit


@given(st.integers(MARKED_FROM + 15, MAX_LIMIT))
def test_what_is_marked_is_recognised_and_stays_as_it_is(limit: int) -> None:
    assert looks_like_ours(marked(limit))
    assert marked(marked(limit)) == marked(limit)


@given(LIMITS, LIMITS)
def test_marking_keeps_the_order_of_limits(one: int, other: int) -> None:
    assert marked(min(one, other)) <= marked(max(one, other))


@given(st.integers(1, 2**20), st.sampled_from([2, 10, 1000, 1024]))
def test_no_even_number_looks_like_ours(count: int, unit: int) -> None:
    assert not looks_like_ours(count * unit)


def test_neither_small_limits_nor_none_look_like_ours() -> None:
    assert not any(map(looks_like_ours, (1, 11, 27, 2_043, UNLIMITED)))
    assert (marked(1), marked(4_000), marked(UNLIMITED)) == (1, 4_000, UNLIMITED)


def test_a_limit_without_a_mark_may_have_been_computed() -> None:
    assert may_be_ours(123_457)
    assert not any(map(may_be_ours, (500 * 1024, 500_000, UNLIMITED)))


def test_all_limits_that_are_written_carry_it(guard: Guard) -> None:
    guarded = guard(policy_of(tracker("t1", MB)), torrents_of("t1", [float("inf"), 300 * KB, 20 * KB, 0, 0]))
    guarded.run(60)
    written = {limit for _, limit, _ in guarded.sim.writes}
    assert written
    assert all(map(looks_like_ours, written))


def test_originals_bounds_and_limits_of_the_configuration_are_exact(guard: Guard) -> None:
    torrents = torrents_of("t1", [float("inf"), float("inf"), 0])
    torrents[0].limit = 100_000
    guarded = guard(policy_of(tracker("t1", MB), idle_limit=12_345), torrents)
    guarded.run(60)
    assert torrents[0].limit == 100_000, "it wants more than its person allows"
    assert torrents[2].limit == 12_345
    assert looks_like_ours(torrents[1].limit)
    guarded.adopt(policy_of(tracker("t1", UNLIMITED)))
    guarded.run(20)
    assert [torrent.limit for torrent in torrents] == [100_000, UNLIMITED, UNLIMITED]
