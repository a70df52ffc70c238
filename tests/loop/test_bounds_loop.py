"""Bounds of single torrents in virtual time: beside a cap, and without one."""

from __future__ import annotations

import math

import msgspec
import pytest

from qguardarr.core.model import UNLIMITED, Overspeed, Tier, TrackerClass
from qguardarr.core.policy import Policy
from qguardarr.core.reconcile.signature import marked
from qguardarr.engine.rollback import rollback
from tests.support.guard_loop import KB, MB, Guard, Guarded, hash_of, policy_of, torrents_of, tracker

GREEDY = math.inf
RULE = Overspeed(MB)
STEADY = marked(RULE.steady)


def guarded_by(rule: Overspeed | None, cap: int = UNLIMITED, **changes: object) -> Policy:
    group: TrackerClass = msgspec.structs.replace(tracker("t1", cap), overspeed=rule)
    return policy_of(group, **changes)


def reason(guarded: Guarded, name: str) -> str:
    return next(e.reason for e in guarded.journal.history() if e.hash == hash_of(name))


def test_what_a_bounded_torrent_cannot_take_goes_to_the_others(guard: Guard) -> None:
    torrents = torrents_of("t1", [GREEDY, GREEDY])
    torrents[0].limit = MB
    guarded = guard(guarded_by(Overspeed(8 * MB), 10 * MB), torrents)
    guarded.run(60)
    assert guarded.rate("t1", 30, 60) == pytest.approx(7.6 * MB + MB, rel=0.03)
    assert guarded.limit("t10") == MB
    assert guarded.limit("t11") == marked(7_600_000)
    assert reason(guarded, "t11") == "site's overspeed rule: 7.6 MB/s; wants more"


def test_in_a_group_without_a_cap_only_those_that_need_it_get_a_limit(guard: Guard) -> None:
    torrents = torrents_of("t1", [GREEDY, 50 * KB, 0.0, 0.0, 0.0])
    torrents[3].limit, torrents[4].stopped = 300 * KB, True
    guarded = guard(guarded_by(RULE), torrents)
    snapshot = guarded.run(30)
    assert [guarded.limit(f"t1{i}") for i in range(5)] == [STEADY, STEADY, STEADY, 300 * KB, UNLIMITED]
    assert snapshot.limited == 3
    assert set(guarded.originals().values()) == {UNLIMITED, 300 * KB}
    assert guarded.rate("t1", 10, 30) == pytest.approx(STEADY + 50 * KB, rel=0.03)
    writes = guarded.sim.changed
    guarded.run(120)
    assert guarded.sim.changed == writes, "nothing more is written"
    rollback(guarded.sim, guarded.journal)
    assert [guarded.limit(f"t1{i}") for i in range(5)] == [UNLIMITED] * 3 + [300 * KB, UNLIMITED]


def test_a_guard_that_is_taken_off_gives_all_limits_back_without_a_refusal(guard: Guard) -> None:
    guarded = guard(guarded_by(RULE), torrents_of("t1", [GREEDY] * 10 + [0.0] * 50))
    assert guarded.run(30).limited == 60
    guarded.adopt(guarded_by(None))
    snapshot = guarded.run(30)
    assert (snapshot.problem, snapshot.limited) == ("", 0)
    assert set(guarded.limits().values()) == {UNLIMITED}


def test_a_cap_that_is_taken_off_leaves_the_guard_in_force(guard: Guard) -> None:
    torrents = torrents_of("t1", [GREEDY] * 2 + [0.0] * 50)
    torrents[5].limit = 700 * KB
    guarded = guard(guarded_by(RULE, MB), torrents)
    guarded.run(30)
    assert max(guarded.limits().values()) < STEADY
    guarded.adopt(guarded_by(RULE))
    snapshot = guarded.run(30)
    assert snapshot.problem == ""
    assert sorted(set(guarded.limits().values())) == [700 * KB, STEADY]


def test_a_rollout_leaves_out_torrents_of_a_group_without_a_cap(guard: Guard) -> None:
    guarded = guard(guarded_by(RULE, rollout_percentage=50), torrents_of("t1", [GREEDY] * 20 + [0.0] * 20))
    guarded.run(20)
    manages = guarded.controller.registry.manages
    assert all(limit == (STEADY if manages(h) else UNLIMITED) for h, limit in guarded.limits().items())
    guarded.adopt(guarded_by(RULE, rollout_percentage=1))
    assert guarded.run(20).problem == ""
    assert all(limit == (STEADY if manages(h) else UNLIMITED) for h, limit in guarded.limits().items())


def test_a_limit_that_a_person_sets_meanwhile_is_the_original_and_counts_if_it_is_lower(guard: Guard) -> None:
    guarded = guard(guarded_by(RULE), torrents_of("t1", [GREEDY, GREEDY, 0.0]))
    guarded.run(10)
    guarded.sim.set_by_hand(hash_of("t10"), 200 * KB)
    guarded.sim.set_by_hand(hash_of("t11"), 5 * MB)
    guarded.sim.set_by_hand(hash_of("t12"), UNLIMITED)
    guarded.run(10)
    assert [guarded.limit(f"t1{i}") for i in range(3)] == [200 * KB, STEADY, STEADY]
    assert [guarded.originals()[hash_of(f"t1{i}")] for i in range(3)] == [200 * KB, 5 * MB, UNLIMITED]


@pytest.mark.parametrize("changes", [{"unlimit_idle": True}, {"idle_limit": None}])
@pytest.mark.parametrize("cap", [UNLIMITED, 4 * MB])
def test_idle_torrents_are_bounded_whatever_else_is_done_with_them(
    guard: Guard, changes: dict[str, object], cap: int
) -> None:
    torrents = torrents_of("t1", [0.0] * 5)
    torrents[1].limit = 100 * KB
    guarded = guard(guarded_by(RULE, cap, **changes), torrents)
    guarded.run(20)
    assert [guarded.limit(f"t1{i}") for i in range(3)] == [STEADY, 100 * KB, STEADY]


def test_a_dry_run_writes_nothing(guard: Guard) -> None:
    guarded = guard(guarded_by(RULE, dry_run=True), torrents_of("t1", [GREEDY, 0.0]))
    snapshot = guarded.run(20)
    assert (snapshot.planned > 0, guarded.sim.changed) == (True, 0)


def test_a_new_torrent_is_limited_at_first_sight(guard: Guard) -> None:
    guarded = guard(guarded_by(RULE), torrents_of("t1", [0.0]))
    guarded.run(20)
    (new,) = torrents_of("t1x", [GREEDY], downloading=True)
    guarded.sim.add(new)
    guarded.cycle()
    assert new.limit == STEADY


def test_a_flush_never_goes_above_the_guard(guard: Guard) -> None:
    """The first write of a flush is a high limit, under which a torrent could send all that for a moment."""
    torrents = torrents_of("t1", [600 * KB] * 4, limit=8 * MB)
    guarded = guard(guarded_by(RULE, 500 * KB), torrents)
    guarded.run(60)
    assert max(limit for at, limit, _ in guarded.sim.writes) <= STEADY


def test_a_tier_begins_and_ends_and_small_steps_of_the_ratio_write_nothing(guard: Guard) -> None:
    torrents = torrents_of("t1", [GREEDY, GREEDY, 0.0])
    torrents[2].ratio = 5.0
    group = msgspec.structs.replace(tracker("t1", 2 * MB), tiers=(Tier(100 * KB, above_ratio=2.0),))
    guarded = guard(policy_of(group), torrents)
    guarded.run(60)
    writes = guarded.sim.changed
    for hundredths in range(100, 200, 5):
        torrents[0].ratio = hundredths / 100
        guarded.run(4)
    assert guarded.sim.changed == writes
    torrents[0].ratio = 2.0
    guarded.run(30)
    assert guarded.limit("t10") == marked(100 * KB)
    assert reason(guarded, "t10") == "above ratio 2: 100 kB/s; wants more"
    assert guarded.limit("t11") > 1.5 * MB, "the other one gets what it leaves"
    assert guarded.limit("t12") <= 100 * KB
    torrents[0].ratio = 1.0  # it was downloaded again
    guarded.run(30)
    assert guarded.limit("t10") > 0.8 * MB


def test_an_age_is_reached_by_idle_torrents_too(guard: Guard) -> None:
    torrents = torrents_of("t1", [0.0, 0.0, 0.0])
    hour_s = 3600
    for torrent, hours in zip(torrents, (1, 9, 11), strict=True):
        torrent.added_on = 10**9 - hours * hour_s
    group = msgspec.structs.replace(tracker("t1", UNLIMITED), tiers=(Tier(100 * KB, above_age_s=10.0 * hour_s),))
    guarded = guard(policy_of(group, interval_s=60.0), torrents)
    guarded.run(20)
    assert [guarded.limit(f"t1{i}") for i in range(3)] == [UNLIMITED, UNLIMITED, marked(100 * KB)]
    guarded.run(1.6 * hour_s)
    assert [guarded.limit(f"t1{i}") for i in range(3)] == [UNLIMITED, marked(100 * KB), marked(100 * KB)]
