"""The guard beside others that set limits, in virtual time."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from qguardarr.core.model import UNLIMITED
from qguardarr.engine.controller import Controller
from qguardarr.engine.rollback import rollback
from tests.support.guard_loop import KB, MB, Guard, Guarded, SimClock, hash_of, policy_of, torrents_of, tracker
from tests.support.simulator import SimTorrent

GREEDY = math.inf
T1 = tracker("t1", MB)
BEGIN_S = 60.3


def sixty(hungry: int = 10) -> list[SimTorrent]:
    """Of which 48 have a limit of their person's."""
    torrents = torrents_of("t1", [GREEDY] * hungry + [0.0] * (60 - hungry))
    for i, torrent in enumerate(torrents):
        if i % 5:
            torrent.limit = 300 * KB + 1000 * i
    return torrents


def meddle(guarded: Guarded, limit: int, *, every_s: float, hashes: Sequence[str] | None = None) -> None:
    """A program sets one value again and again."""

    def run() -> None:
        for name in hashes or list(guarded.sim.torrents):
            guarded.sim.set_by_hand(name, limit)
        guarded.sim.at(guarded.sim.now + every_s, run)

    guarded.sim.at(BEGIN_S, run)


def originals(guarded: Guarded) -> dict[str, int]:
    return {name: record.original for name, record in guarded.journal.touched().items()}


@pytest.mark.parametrize("every_s", [20.0, 60.0])
@pytest.mark.parametrize("limit", [UNLIMITED, 2 * MB])
def test_a_program_that_sets_all_to_one_value_costs_no_original(guard: Guard, limit: int, every_s: float) -> None:
    """Regression: 48 of 60 originals were replaced, and a rollback "restored" the program's value."""
    guarded = guard(policy_of(T1), sixty())
    before = guarded.limits()
    meddle(guarded, limit, every_s=every_s)
    snapshot = guarded.run_until(240)
    assert "another program sets upload limits: " in snapshot.foreign
    assert snapshot.set_by_hand == 0
    assert originals(guarded).items() <= before.items()
    guarded.sim.script.clear()
    for name in before:
        guarded.sim.set_by_hand(name, limit)  # once more, just before
    report = rollback(guarded.sim, guarded.journal)
    assert (report.by_hand, guarded.limits()) == ({}, before)


def test_its_value_is_written_over_at_the_next_look(guard: Guard) -> None:
    guarded = guard(policy_of(T1), sixty())
    meddle(guarded, UNLIMITED, every_s=60.0)
    guarded.run_until(BEGIN_S + 2 * 2.0)
    assert UNLIMITED not in guarded.limits().values()
    writes = sum(len(who) for at, _, who in guarded.sim.writes if at >= BEGIN_S)
    guarded.run_until(BEGIN_S + 55.0)
    assert sum(len(who) for at, _, who in guarded.sim.writes if at >= BEGIN_S) <= 2 * writes, "and not again and again"


def test_its_value_is_no_upper_bound(guard: Guard) -> None:
    guarded = guard(policy_of(T1), torrents_of("t1", [GREEDY] + [0.0] * 19))
    meddle(guarded, 20 * KB, every_s=30.0)
    guarded.run_until(BEGIN_S + 60.0)
    assert guarded.rate("t1", BEGIN_S + 10, BEGIN_S + 30) > 0.6 * MB


def test_the_setting_can_say_that_all_are_a_persons_or_none(guard: Guard) -> None:
    for mode, kept in (("person", False), ("ignore", True)):
        guarded = guard(policy_of(T1, foreign_limits=mode), sixty())
        before = guarded.limits()
        meddle(guarded, 2 * MB, every_s=1000.0)
        snapshot = guarded.run_until(100)
        assert snapshot.foreign == ""
        assert (originals(guarded).items() <= before.items()) is kept
        guarded.journal.close()


def test_a_handful_set_by_a_person_stays(guard: Guard) -> None:
    guarded = guard(policy_of(T1), sixty(hungry=5))
    chosen = [hash_of(f"t1{n}") for n in (1, 2, 3, 4)]
    for name in chosen:
        guarded.sim.at(BEGIN_S, lambda name=name: guarded.sim.set_by_hand(name, 30 * KB))  # type: ignore[misc]
    snapshot = guarded.run_until(200)
    assert (snapshot.set_by_hand, snapshot.foreign) == (4, "")
    assert all(guarded.sim.torrents[name].limit <= 30 * KB for name in chosen)
    rollback(guarded.sim, guarded.journal)
    assert all(guarded.sim.torrents[name].limit == 30 * KB for name in chosen)


def test_a_few_that_a_program_sets_again_and_again_get_their_originals_back(guard: Guard) -> None:
    guarded = guard(policy_of(T1), sixty(hungry=5))
    before = guarded.limits()
    meddle(guarded, 900 * KB, every_s=40.0, hashes=[hash_of(f"t1{n}") for n in (1, 2, 3, 4)])
    guarded.run_until(100)
    assert originals(guarded)[hash_of("t11")] == 900 * KB, "it looks like a person's at first"
    snapshot = guarded.run_until(240)
    assert "4 torrents to 900 kB/s" in snapshot.foreign
    assert originals(guarded).items() <= before.items()


def test_what_a_program_set_while_no_daemon_ran_is_not_learnt(guard: Guard) -> None:
    guarded = guard(policy_of(T1), sixty())
    before = guarded.limits()
    guarded.run(60)
    for name in before:
        guarded.sim.set_by_hand(name, 2 * MB)
    guarded.sim.run_until(guarded.sim.now + 30)
    guarded.restart_daemon()
    assert "torrents to 2 MB/s" in guarded.run(20).foreign
    rollback(guarded.sim, guarded.journal)
    assert guarded.limits() == before


def test_one_false_answer_costs_nothing(guard: Guard) -> None:
    """A server shows one value for all, and then the truth again."""
    guarded = guard(policy_of(T1), sixty())
    before = guarded.limits()
    guarded.run(60)
    truth = guarded.limits()
    for torrent in guarded.sim.torrents.values():
        torrent.shown_limit = 123 * 1024
    guarded.sim.request_full()
    guarded.controller.cycle()
    for name, limit in truth.items():
        guarded.sim.torrents[name].shown_limit = limit
    guarded.run(60)
    assert originals(guarded).items() <= before.items()
    rollback(guarded.sim, guarded.journal)
    assert guarded.limits() == before


def test_a_program_is_remembered_over_a_restart(guard: Guard) -> None:
    guarded = guard(policy_of(T1), sixty())
    before = guarded.limits()
    meddle(guarded, 2 * MB, every_s=30.0)
    guarded.run_until(150)
    guarded.sim.script.clear()
    guarded.restart_daemon()
    guarded.run(20)
    guarded.sim.set_by_hand(hash_of("t11"), 2 * MB)
    guarded.run(20)
    assert originals(guarded).items() <= before.items()
    guarded.sim.set_by_hand(hash_of("t11"), 2 * MB)
    assert rollback(guarded.sim, guarded.journal, wall_clock=lambda: 1e9 + guarded.sim.now).by_hand == {}
    assert guarded.limits() == before


def test_ours_as_a_dialog_in_kib_sets_it_is_ours(guard: Guard) -> None:
    guarded = guard(policy_of(T1), sixty())
    guarded.run(60)
    name = hash_of("t159")
    guarded.sim.set_by_hand(name, guarded.sim.torrents[name].limit // 1024 * 1024)
    assert guarded.run(20).set_by_hand == 0
    assert originals(guarded)[name] == 300 * KB + 59_000


def test_others_restoring_originals_are_no_program(guard: Guard) -> None:
    guarded = guard(policy_of(T1), sixty())
    guarded.run(60)
    other = guarded.open_journal()
    rollback(guarded.sim, other)
    other.set_paused(None)
    other.close()
    assert guarded.run(30).foreign == ""


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_writes_that_qbittorrent_lost_are_no_program(guard: Guard, seed: int) -> None:
    guarded = guard(policy_of(T1), sixty(), seed=seed)
    before = guarded.limits()
    guarded.controller.cycle()
    guarded.sim.restart()
    guarded.run(60)
    assert guarded.controller.snapshot.foreign == ""
    assert originals(guarded).items() <= before.items()


class TestAnotherQguardarr:
    @pytest.mark.parametrize("other_cap", [MB, 2 * MB])
    def test_two_hold_the_lower_cap_and_do_not_write_at_full_speed(self, guard: Guard, other_cap: int) -> None:
        """Each has a journal of its own with the true originals, and new demands every half minute."""
        guarded = guard(policy_of(T1), sixty())
        before = guarded.limits()
        guarded.run(30)
        rollback(guarded.sim, guarded.journal)
        guarded.run(4)
        guarded.journal.set_paused(None)
        folder = guarded.path.parent / "other"
        folder.mkdir()
        other = Guarded(folder, policy_of(tracker("t1", other_cap)), [])
        second = Controller(guarded.sim, other.journal, other.policy, SimClock(guarded.sim), wall_clock=lambda: 1e9)
        for controller in (second, guarded.controller) * 150:
            for n, torrent in enumerate(guarded.sim.torrents.values()):
                torrent.demand = GREEDY if n // 10 == int(guarded.sim.now / 30) % 6 else 0.0
            guarded.sim.request_full()
            controller.cycle()
            guarded.sim.run_until(guarded.sim.now + 1.0)
        assert "another Qguardarr sets upload limits" in guarded.controller.snapshot.foreign
        assert originals(guarded).items() <= before.items()
        assert {n: r.original for n, r in other.journal.touched().items()}.items() <= before.items()
        other.journal.close()
        rate = guarded.rate("t1", 90, 330)
        assert rate <= 1.05 * MB
        assert guarded.writes_in(90, 330) <= 4 * 40


class TestHybrids:
    @pytest.mark.parametrize("told", [True, False])
    def test_a_torrent_whose_id_changes_keeps_its_original(self, guard: Guard, told: bool) -> None:
        """Regression: our limit was taken for its original. 5.1 does not say that the old id is gone."""
        torrents = torrents_of("t1", [GREEDY] * 3, downloading=True)
        torrents[0].limit = 700 * KB
        guarded = guard(policy_of(T1), torrents)
        before = {hash_of("v2"): 700 * KB, hash_of("t11"): UNLIMITED, hash_of("t12"): UNLIMITED}
        guarded.sim.at(30.0, lambda: guarded.sim.metadata_arrives(hash_of("t10"), hash_of("v2"), told=told))
        guarded.run(90)
        assert originals(guarded) == before
        assert set(guarded.originals()) == set(before)
        rollback(guarded.sim, guarded.journal)
        assert guarded.limits() == before

    def test_also_while_no_daemon_ran(self, guard: Guard) -> None:
        guarded = guard(policy_of(T1), torrents_of("t1", [0.0, 0.0, 0.0], downloading=True))
        guarded.run(20)
        guarded.sim.metadata_arrives(hash_of("t10"), hash_of("v2"), told=True)
        guarded.restart_daemon()
        guarded.run(20)
        rollback(guarded.sim, guarded.journal)
        assert set(guarded.limits().values()) == {UNLIMITED}

    def test_a_rollback_without_a_daemon_finds_it_by_its_new_id(self, guard: Guard) -> None:
        torrents = torrents_of("t1", [0.0] * 3, downloading=True)
        torrents[0].limit = 700 * KB
        guarded = guard(policy_of(T1), torrents)
        guarded.run(20)
        guarded.sim.metadata_arrives(hash_of("t10"), hash_of("v2"), told=True)
        report = rollback(guarded.sim, guarded.journal)
        assert report.gone == ()
        assert guarded.limits() == {hash_of("v2"): 700 * KB, hash_of("t11"): UNLIMITED, hash_of("t12"): UNLIMITED}
        assert guarded.journal.touched() == {}

    def test_a_program_that_set_a_limit_meanwhile_does_not_hide_it(self, guard: Guard) -> None:
        guarded = guard(policy_of(T1), torrents_of("t1", [0.0] * 12, downloading=True, limit=700 * KB))
        guarded.run(20)
        for name in guarded.limits():
            guarded.sim.set_by_hand(name, 100 * KB)
        guarded.sim.metadata_arrives(hash_of("t10"), hash_of("v2"), told=True)
        guarded.restart_daemon()
        guarded.run(20)
        assert originals(guarded)[hash_of("v2")] == 700 * KB

    def test_a_stranger_with_a_limit_is_no_hybrid(self, guard: Guard) -> None:
        guarded = guard(policy_of(T1), torrents_of("t1", [0.0, 0.0]))
        guarded.run(20)
        guarded.sim.add(SimTorrent(hash_of("n"), "http://t1.example.org/announce", limit=400 * KB))
        guarded.run(20)
        assert originals(guarded)[hash_of("n")] == 400 * KB
        assert len(originals(guarded)) == 3
