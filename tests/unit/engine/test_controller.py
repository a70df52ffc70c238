"""The control loop in virtual time: what fails, what is lost, what comes back."""

from __future__ import annotations

import math
import random
import re
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from qguardarr.core.model import UNLIMITED, Labels, Selector, TrackerClass
from qguardarr.core.reconcile.signature import marked
from qguardarr.core.reconcile.uploads import FEW
from qguardarr.engine.rollback import reset, rollback
from qguardarr.engine.status import Snapshot, State
from qguardarr.engine.writer import DRY_RUN_LINES
from qguardarr.errors import AuthRejected, Banned, JournalError, Refused, SearchFailed, Unreachable
from tests.support.guard_loop import KB, MB, Guard, Guarded, hash_of, policy_of, torrents_of, tracker, url_of
from tests.support.simulator import SimTorrent

GREEDY = math.inf
CAP = 1 * MB
T1 = tracker("t1", CAP)


def some(tracker: str = "t1") -> list[SimTorrent]:
    """Torrents of every kind, one with a limit of its person's."""
    torrents = torrents_of(tracker, [GREEDY, 100 * KB, 20 * KB, 0, 0, GREEDY])
    torrents[5].limit = 150 * KB
    return torrents


def originals_of(guarded: Guarded) -> dict[str, int]:
    return guarded.limits()


class BrokenJournal:
    """A journal whose chosen methods fail, as on a full disk."""

    def __init__(self, journal: Any, *broken: str) -> None:
        self._journal, self.broken = journal, set(broken)

    def __getattr__(self, name: str) -> Any:
        if name in self.broken:
            raise_ = JournalError("disk full")

            def fail(*args: object, **kwargs: object) -> None:
                raise raise_

            return fail
        return getattr(self._journal, name)


class TestFailures:
    def test_a_search_that_fails_lifts_no_limit(self, guard: Guard) -> None:
        """Regression: no answer counted as "no match", so torrents went to a rule without a cap, and stayed there."""
        works = True

        def search(pattern: str, text: str) -> bool:
            if not works:
                raise SearchFailed("no answer")
            return re.search(pattern, text) is not None

        rule = msgspec.structs.replace(T1, pattern="(?<!x)t1")
        guarded = guard(policy_of(rule), some(), backtrack=search)
        originals = originals_of(guarded)
        assert guarded.run(30).state is State.HOLDING
        limits = guarded.limits()
        assert limits != originals
        works = False
        guarded.restart_daemon()
        snapshot = guarded.run(30)
        assert (snapshot.state, snapshot.torrents, guarded.limits()) == (State.HOLDING, 0, limits)
        assert guarded.controller.registry.selection.undecided() == len(limits)
        works = True
        snapshot = guarded.cycle()
        assert (snapshot.torrents, guarded.controller.registry.selection.undecided()) == (len(limits), 0)
        guarded.run(30)
        assert guarded.rate("t1", 70, 90) <= 1.05 * CAP
        assert rollback(guarded.sim, guarded.journal).complete
        assert guarded.limits() == originals

    @pytest.mark.parametrize("method", ["intend", "paused", "recall", "generation", "exclusive"])
    def test_a_journal_that_fails_stops_all_writing(self, guard: Guard, method: str) -> None:
        """Regression: the journal's failure was ignored and limits were written anyway."""
        guarded = guard(policy_of(T1), some())
        broken = BrokenJournal(guarded.journal, method)
        guarded.journal = broken
        guarded.new_controller()
        snapshot = guarded.run(10)
        assert guarded.sim.calls == 0
        assert snapshot.state is State.FAILING
        assert "disk full" in snapshot.problem
        broken.broken.clear()
        snapshot = guarded.run(20)
        assert snapshot.state is State.HOLDING
        assert guarded.sim.calls > 0

    def test_a_restart_never_has_the_whole_journal_in_memory(self, guard: Guard) -> None:
        """Regression: 27,000 torrents at once took 5 MB more than there may be."""
        guarded = guard(policy_of(T1), some())
        guarded.run(20)
        before, asked, journal = guarded.limits(), list[object](), guarded.journal

        class Listening(BrokenJournal):
            def touched(self, hashes: object = None) -> object:
                asked.append(hashes)
                return journal.touched(hashes)  # type: ignore[arg-type]

        guarded.journal = Listening(journal, "none")
        guarded.new_controller()
        assert guarded.run(10).state is State.HOLDING
        assert None not in asked
        assert guarded.limits() == pytest.approx(before, rel=0.05)

    def test_a_journal_that_fails_only_afterwards_is_known_to_be_behind(self, guard: Guard) -> None:
        """The intent is on disk: what was written can be undone."""
        guarded = guard(policy_of(T1), some())
        before = originals_of(guarded)
        broken = BrokenJournal(guarded.journal, "applied")
        guarded.journal = broken
        guarded.new_controller()
        assert guarded.cycle().state is State.FAILING
        broken.broken.clear()
        assert rollback(guarded.sim, guarded.journal).complete
        assert guarded.limits() == before

    @pytest.mark.parametrize("error", [Unreachable("away"), Banned("banned"), AuthRejected("wrong"), Refused("404")])
    def test_a_read_that_fails_writes_nothing(self, guard: Guard, error: Any) -> None:
        guarded = guard(policy_of(T1), some())
        guarded.run(6)
        calls, limits = guarded.sim.calls, guarded.limits()
        guarded.sim.read_faults = [error] * 5
        snapshot = guarded.run(10)
        assert (guarded.sim.calls, guarded.limits()) == (calls, limits)
        assert snapshot.state is State.FAILING
        assert str(error) in snapshot.problem
        assert guarded.run(4).state is State.HOLDING

    def test_an_outage_lifts_nothing(self, guard: Guard) -> None:
        """Regression: an outage was read as "no torrents", and then uncapped everything."""
        guarded = guard(policy_of(T1), some())
        guarded.run(30)
        limited = guarded.controller.snapshot.limited
        guarded.sim.down_until = guarded.sim.now + 60
        guarded.run(80)
        assert UNLIMITED not in guarded.limits().values()
        assert guarded.controller.snapshot.limited == limited
        assert all(limit < UNLIMITED for _, limit, _ in guarded.sim.writes)

    def test_a_failure_is_dated_from_its_beginning_and_over_when_it_is_over(self, guard: Guard) -> None:
        """Regression: health never left "degraded"."""
        guarded = guard(policy_of(T1), some())
        guarded.run(4)
        since = guarded.sim.now
        guarded.sim.read_faults = [Unreachable("away")] * 3
        assert guarded.run(6).problem_since == pytest.approx(1e9 + since)
        snapshot = guarded.cycle()
        assert (snapshot.state, snapshot.problem, snapshot.problem_since) == (State.HOLDING, "", 0.0)

    def test_a_defect_of_ours_does_not_end_the_loop(self, guard: Guard) -> None:
        guarded = guard(policy_of(T1), some())
        guarded.sim.read_faults = [ZeroDivisionError()]  # type: ignore[list-item]
        assert "ZeroDivisionError" in guarded.cycle().problem
        assert guarded.cycle().state is State.HOLDING

    @pytest.mark.parametrize("fault", ["lost", "unanswered", "refused"])
    def test_a_write_without_a_good_answer_is_made_up_for(self, guard: Guard, fault: str) -> None:
        guarded = guard(policy_of(T1), some())
        before = originals_of(guarded)
        guarded.sim.write_faults = [fault]
        assert guarded.cycle().state is State.FAILING
        snapshot = guarded.run(40)
        assert snapshot.state is State.HOLDING
        assert UNLIMITED not in guarded.limits().values()
        assert guarded.rate("t1", 20, 40) <= 1.1 * CAP
        assert {h: t.original for h, t in guarded.journal.touched().items()}.items() <= before.items()
        assert rollback(guarded.sim, guarded.journal).complete
        assert guarded.limits() == before

    def test_answers_lost_all_the_time_leave_the_originals_known(self, guard: Guard) -> None:
        guarded = guard(policy_of(T1), some())
        before = originals_of(guarded)
        rng = random.Random(3)
        guarded.sim.write_faults = rng.choices(["ok", "lost", "unanswered"], k=200)
        guarded.sim.read_faults = rng.choices([None, None, Unreachable("away")], k=200)
        guarded.run(120)
        guarded.sim.write_faults, guarded.sim.read_faults = [], []
        guarded.run(20)
        assert rollback(guarded.sim, guarded.journal).complete
        assert guarded.limits() == before


class TestRestarts:
    @pytest.mark.parametrize("seed", range(4))
    def test_qbittorrent_crashes_and_loses_what_it_had_not_saved(self, guard: Guard, seed: int) -> None:
        guarded = guard(policy_of(T1), some(), seed=seed)
        before = originals_of(guarded)
        for at in (0.3, 20.3, 40.9):
            guarded.sim.at(at, lambda: guarded.sim.restart(down_s=3.0))
        guarded.run(90)
        assert UNLIMITED not in guarded.limits().values()
        assert guarded.rate("t1", 60, 90) == pytest.approx(CAP, rel=0.06)
        assert guarded.limits()[hash_of("t15")] <= 150 * KB
        assert rollback(guarded.sim, guarded.journal).complete
        assert guarded.limits() == before

    def test_counters_that_begin_at_zero_again_are_no_reason_to_write(self, guard: Guard) -> None:
        guarded = guard(policy_of(T1), torrents_of("t1", [GREEDY] * 4))
        guarded.run(60)
        calls = guarded.sim.calls
        guarded.sim.restart(down_s=2.0)
        guarded.run(40)
        assert guarded.sim.calls - calls <= 6
        assert all(t.rate_10s <= 1.1 * CAP for t in guarded.controller.snapshot.trackers[:1])

    @pytest.mark.parametrize("seed", range(6))
    def test_the_daemon_killed_at_any_time_goes_on_from_the_journal(self, guard: Guard, seed: int) -> None:
        rng = random.Random(seed)
        guarded = guard(policy_of(T1), some(), seed=seed)
        before = originals_of(guarded)
        for _ in range(5):
            guarded.run_until(guarded.sim.now + rng.uniform(1, 15))
            if rng.random() < 0.5:
                guarded.sim.write_faults = [rng.choice(["lost", "unanswered"])]
                guarded.cycle()
            if rng.random() < 0.3:
                guarded.sim.restart(down_s=rng.uniform(0.5, 4))
            guarded.sim.write_faults = []
            guarded.restart_daemon()
        guarded.run(60)
        touched = guarded.journal.touched()
        assert {h: t.original for h, t in touched.items()}.items() <= before.items()
        assert not {h for h, limit in guarded.limits().items() if limit != before[h]} - set(touched)
        assert guarded.rate("t1", guarded.sim.now - 30, guarded.sim.now) == pytest.approx(CAP, rel=0.06)
        assert rollback(guarded.sim, guarded.journal).complete
        assert guarded.limits() == before

    def test_a_daemon_that_starts_again_takes_its_own_limits_for_its_own(self, guard: Guard) -> None:
        """Regression: rollback restored the newest old value instead of the original."""
        guarded = guard(policy_of(T1), some())
        before = originals_of(guarded)
        for _ in range(4):
            guarded.run(20)
            guarded.restart_daemon()
        guarded.run(10)
        assert guarded.originals() == before

    def test_what_a_person_set_while_no_daemon_ran_is_the_persons(self, guard: Guard) -> None:
        guarded = guard(policy_of(T1), some())
        guarded.run(30)
        guarded.sim.set_by_hand(hash_of("t10"), 66 * KB)
        guarded.sim.run_until(guarded.sim.now + 10)
        guarded.restart_daemon()
        guarded.run(30)
        assert guarded.limit("t10") <= 66 * KB
        rollback(guarded.sim, guarded.journal)
        assert guarded.limit("t10") == 66 * KB

    def test_a_full_restart_of_both_at_once(self, guard: Guard) -> None:
        guarded = guard(policy_of(T1), some())
        before = originals_of(guarded)
        guarded.cycle()
        guarded.sim.restart(down_s=5.0)
        guarded.restart_daemon()
        guarded.run(60)
        assert guarded.rate("t1", 30, 60) == pytest.approx(CAP, rel=0.06)
        rollback(guarded.sim, guarded.journal)
        assert guarded.limits() == before


class TestPausing:
    def test_rolled_back_in_the_middle_then_resumed(self, guard: Guard) -> None:
        guarded = guard(policy_of(T1), some())
        before = originals_of(guarded)
        guarded.run(30)
        assert rollback(guarded.sim, guarded.journal).complete
        calls = guarded.sim.calls
        snapshot = guarded.run(30)
        assert snapshot.state is State.PAUSED
        assert guarded.limits() == before
        assert guarded.sim.calls == calls
        guarded.restart_daemon()
        assert guarded.run(10).state is State.PAUSED
        assert guarded.limits() == before
        guarded.journal.set_paused(None)
        assert guarded.run(40).state is State.HOLDING
        assert guarded.rate("t1", guarded.sim.now - 20, guarded.sim.now) == pytest.approx(CAP, rel=0.06)
        assert rollback(guarded.sim, guarded.journal).complete
        assert guarded.limits() == before

    def test_rolled_back_by_another_process_between_two_cycles(self, guard: Guard) -> None:
        guarded = guard(policy_of(T1), some())
        before = originals_of(guarded)
        guarded.run(20)
        guarded.controller.cycle()
        other = guarded.open_journal()
        assert rollback(guarded.sim, other).complete
        other.set_paused(None)
        other.close()
        guarded.run(40)
        assert guarded.originals() == before
        assert UNLIMITED not in guarded.limits().values()
        rollback(guarded.sim, guarded.journal)
        assert guarded.limits() == before

    def test_paused_writes_nothing_and_goes_on_measuring(self, guard: Guard) -> None:
        guarded = guard(policy_of(T1), some())
        guarded.journal.set_paused("holiday")
        snapshot = guarded.run(30)
        assert guarded.sim.calls == 0
        assert (snapshot.state, snapshot.problem) == (State.PAUSED, "holiday")
        assert snapshot.trackers[0].rate_10s > CAP

    def test_dry_run_decides_and_writes_nothing(self, guard: Guard) -> None:
        guarded = guard(policy_of(T1, dry_run=True), some())
        snapshot = guarded.run(20)
        assert guarded.sim.calls == 0
        assert guarded.journal.touched() == {}
        assert snapshot.state is State.OBSERVING
        assert snapshot.planned > 0

    def test_a_dry_run_logs_what_it_would_do_once(self, guard: Guard) -> None:
        """Regression: it logged nothing, and one had to know of the file."""
        guarded = guard(policy_of(T1, dry_run=True), torrents_of("t1", [0.0] * 3))
        with capture_logs() as lines:
            guarded.run(30)
        told = [line for line in lines if line["event"] == "would_change"]
        assert sorted(line["torrent"] for line in told) == sorted(guarded.limits())
        assert {(line["old"], line["new"]) for line in told} == {(None, marked(CAP // 10))}
        assert all("idle on t1" in line["reason"] for line in told)

    def test_of_many_it_names_some(self, guard: Guard) -> None:
        guarded = guard(policy_of(T1, dry_run=True), torrents_of("t1", [0.0] * 50))
        with capture_logs() as lines:
            guarded.cycle()
        assert len([line for line in lines if line["event"] == "would_change"]) == DRY_RUN_LINES
        assert [line["torrents"] for line in lines if line["event"] == "would_change_more"] == [30]

    def test_what_went_over_the_cap_in_a_dry_run_is_not_paid_back(self, guard: Guard) -> None:
        guarded = guard(policy_of(T1, dry_run=True), some())
        snapshot = guarded.run(20)
        assert snapshot.trackers[0].rate_10s > CAP
        assert snapshot.trackers[0].debt_bytes == 0
        guarded.controller.adopt_policy(policy_of(T1))
        assert guarded.run(20).trackers[0].debt_bytes > 0, "from here on it is ours"

    def test_from_dry_run_to_live_works_at_once(self, guard: Guard) -> None:
        """Regression: dry-run to live by hot reload wrote nothing."""
        guarded = guard(policy_of(T1, dry_run=True), some())
        guarded.run(20)
        guarded.adopt(policy_of(T1))
        guarded.cycle()
        assert guarded.sim.calls > 0
        guarded.run(30)
        assert guarded.rate("t1", 35, 50) <= 1.1 * CAP

    def test_a_preview_writes_nothing_and_shows_what_comes(self, guard: Guard) -> None:
        guarded = guard(policy_of(T1), some())
        guarded.run(20)
        guarded.sim.at(20.5, lambda: setattr(guarded.sim.torrents[hash_of("t13")], "demand", GREEDY))
        guarded.sim.run_until(25.0)
        calls = guarded.sim.calls
        planned = guarded.controller.preview().plan
        assert guarded.sim.calls == calls
        guarded.controller.cycle()
        written = [(limit, set(hashes)) for at, limit, hashes in guarded.sim.writes if at == guarded.sim.now]
        assert written == [(write.limit, {c.hash for c in write.changes}) for write in planned.writes]


class TestPolicy:
    def test_a_lowered_cap_applies_at_the_next_cycle(self, guard: Guard) -> None:
        """Regression: a deadband that refuses decreases; lowering a cap from 10 to 8 never applied."""
        guarded = guard(policy_of(tracker("t1", 10 * MB)), torrents_of("t1", [GREEDY] * 5))
        guarded.run(40)
        guarded.adopt(policy_of(tracker("t1", 8 * MB)))
        guarded.cycle()
        assert sum(guarded.limits().values()) <= 8.1 * MB

    @pytest.mark.parametrize("cap", [9.5 * MB, 9 * MB, 5 * MB, 1 * MB])
    def test_by_however_much(self, guard: Guard, cap: float) -> None:
        guarded = guard(policy_of(tracker("t1", 10 * MB)), torrents_of("t1", [GREEDY] * 5))
        guarded.run(40)
        guarded.adopt(policy_of(tracker("t1", int(cap))))
        guarded.cycle()
        assert sum(guarded.limits().values()) <= 1.05 * cap

    def test_a_raised_cap_is_used_soon(self, guard: Guard) -> None:
        guarded = guard(policy_of(T1), torrents_of("t1", [GREEDY] * 5))
        guarded.run(40)
        guarded.adopt(policy_of(tracker("t1", 3 * MB)))
        guarded.run(40)
        assert guarded.rate("t1", 60, 80) == pytest.approx(3 * MB, rel=0.06)

    def test_a_cap_taken_off_gives_many_torrents_back_though_that_looks_implausible(self, guard: Guard) -> None:
        """The person asked for it."""
        guarded = guard(policy_of(T1), torrents_of("t1", [0] * 60))
        guarded.run(20)
        guarded.adopt(policy_of(tracker("t1", UNLIMITED)))
        snapshot = guarded.run(20)
        assert snapshot.state is State.HOLDING
        assert set(guarded.limits().values()) == {UNLIMITED}

    def test_an_implausible_lifting_is_refused_and_reported(self, guard: Guard) -> None:
        guarded = guard(policy_of(T1), torrents_of("t1", [0] * 60))
        guarded.run(20)
        before, calls = guarded.limits(), guarded.sim.calls
        for torrent in guarded.sim.torrents.values():
            torrent.url = url_of("t9")  # as if a defect had put them all under the unlimited rule
        snapshot = guarded.cycle()
        assert (snapshot.state, snapshot.problem_kind) == (State.HOLDING, "UnsafePlan")
        assert "60 of 60" in snapshot.problem
        assert (guarded.limits(), guarded.sim.calls) == (before, calls)
        guarded.sim.add(SimTorrent(hash_of("n"), url_of("t1"), GREEDY))
        guarded.run(40)
        assert guarded.rate("t1", 40, 60) == pytest.approx(CAP, rel=0.06), "and all else goes on"
        for torrent in guarded.sim.torrents.values():
            torrent.url = url_of("t1")
        assert guarded.cycle().problem == ""

    def test_a_label_that_somebody_gives_lifts_limits_however_many(self, guard: Guard) -> None:
        films = TrackerClass("films", "films", "", UNLIMITED, 1, where=Selector(category=("films",)))
        guarded = guard(policy_of(films, T1), torrents_of("t1", [0] * 60))
        guarded.run(20)
        torrents = list(guarded.sim.torrents.values())
        for torrent in torrents[:50]:
            torrent.labels = Labels("films", ("new",), None)
        snapshot = guarded.run(10)
        assert (snapshot.state, snapshot.problem) == (State.HOLDING, "")
        limits = [torrent.limit for torrent in torrents]
        assert set(limits[:50]) == {UNLIMITED}
        assert max(limits[50:]) < UNLIMITED

    def test_labels_that_are_lost_lift_no_limits_until_a_person_says_so(self, guard: Guard) -> None:
        """A fault of qBittorrent may lose them: as lost announce URLs, they are no wish of anybody."""
        slow = TrackerClass("slow", "slow", "", CAP, 1, where=Selector(tags=("slow",)))
        torrents = torrents_of("t9", [0] * 60, labels=Labels("films", ("slow",), None))
        guarded = guard(policy_of(slow), torrents)
        guarded.run(20)
        before = guarded.limits()
        for torrent in torrents:
            torrent.labels = Labels("", (), None)
        snapshot = guarded.run(20)
        assert (snapshot.state, snapshot.problem_kind) == (State.HOLDING, "UnsafePlan")
        assert "qguardarr reset" in snapshot.problem
        assert guarded.limits() == before
        for torrent in torrents[:5]:
            torrent.labels = Labels("films", (), None)  # one label came back, but not the one that counts
        assert guarded.run(6).problem_kind == "UnsafePlan"
        assert not reset(guarded.sim, guarded.journal).failed
        snapshot = guarded.run(10)
        assert (snapshot.state, snapshot.problem) == (State.HOLDING, "")
        assert set(guarded.limits().values()) == {UNLIMITED}

    def test_a_label_given_once_lets_no_later_fault_through(self, guard: Guard) -> None:
        gold = TrackerClass("gold", "gold", "", UNLIMITED, 1, where=Selector(tags=("gold",)))
        torrents = torrents_of("t1", [0] * 60)
        guarded = guard(policy_of(gold, T1), torrents)
        guarded.run(20)
        for labels in (Labels("", ("gold",), None), Labels("", (), None)):
            for torrent in torrents:
                torrent.labels = labels
            guarded.run(10)
        before = guarded.limits()
        assert max(before.values()) < UNLIMITED
        for torrent in torrents:
            torrent.url = url_of("t9")
        assert guarded.run(10).problem_kind == "UnsafePlan"
        assert guarded.limits() == before

    @pytest.mark.parametrize("restarted", [False, True])
    def test_another_cap_does_not_let_an_implausible_lifting_through(self, guard: Guard, restarted: bool) -> None:
        guarded = guard(policy_of(T1), torrents_of("t1", [0] * 60))
        guarded.run(20)
        before = guarded.limits()
        guarded.adopt(policy_of(tracker("t1", CAP // 4)))
        for torrent in guarded.sim.torrents.values():
            torrent.url = url_of("t9")  # as if a defect had put them all under the unlimited rule
        if restarted:
            guarded.restart_daemon()
        snapshot = guarded.run(10)
        assert (snapshot.state, snapshot.problem_kind) == (State.HOLDING, "UnsafePlan")
        assert guarded.limits() == before

    def test_taking_one_cap_off_lifts_its_limits_at_once_and_no_others(self, guard: Guard) -> None:
        t2 = tracker("t2", CAP)
        guarded = guard(policy_of(T1, t2), torrents_of("t1", [0] * 80) + torrents_of("t2", [0] * 60))
        guarded.run(20)
        before = guarded.limits("t2")
        guarded.adopt(policy_of(tracker("t1", UNLIMITED), t2))
        for torrent in guarded.sim.torrents.values():
            if "t2" in torrent.url:
                torrent.url = url_of("nowhere")  # a defect
        snapshot = guarded.run(10)
        assert set(guarded.limits("t1").values()) == {UNLIMITED}
        assert {h: guarded.limits()[h] for h in before} == before
        assert snapshot.problem_kind == "UnsafePlan"
        assert "60 of 60" in snapshot.problem

    @pytest.mark.parametrize("count", [30, 300])
    def test_a_cap_taken_off_while_it_was_stopped_is_no_implausible_plan(self, guard: Guard, count: int) -> None:
        guarded = guard(policy_of(T1), torrents_of("t1", [0] * count))
        guarded.run(60)
        guarded.policy = policy_of(tracker("t1", UNLIMITED))
        guarded.restart_daemon()
        guarded.cycle()
        guarded.restart_daemon()
        snapshot = guarded.run(40)
        assert (snapshot.state, snapshot.problem) == (State.HOLDING, "")
        assert set(guarded.limits().values()) == {UNLIMITED}

    def test_few_calls_go_to_decreases_first(self, guard: Guard) -> None:
        guarded = guard(policy_of(T1, max_calls_per_cycle=1), some())
        calls = 0
        for _ in range(40):
            guarded.cycle()
            assert guarded.sim.calls - calls <= 1
            calls = guarded.sim.calls
        assert sum(t.limit for t in guarded.sim.torrents.values() if t.demand) <= 2 * CAP
        assert guarded.rate("t1", 40, 80) <= 1.1 * CAP


class TestCalls:
    def test_steady_demand_means_almost_no_writes(self, guard: Guard) -> None:
        guarded = guard(policy_of(T1), torrents_of("t1", [GREEDY, GREEDY, 50 * KB, 20 * KB, 0, 0]))
        guarded.run(120)
        calls = guarded.sim.calls
        guarded.run(180)
        assert guarded.sim.calls - calls <= 18

    def test_nothing_uploads_nothing_is_written(self, guard: Guard) -> None:
        guarded = guard(policy_of(T1), torrents_of("t1", [0] * 30))
        guarded.run(60)
        calls = guarded.sim.calls
        guarded.run(300)
        assert guarded.sim.calls == calls

    def test_an_unlimited_tracker_costs_no_call(self, guard: Guard) -> None:
        guarded = guard(policy_of(T1), torrents_of("free", [GREEDY, 50 * KB, 0]))
        guarded.run(60)
        assert guarded.sim.calls == 0

    def test_one_read_a_cycle(self, guard: Guard) -> None:
        """Regression: one tracker call per torrent with pauses of 100 ms."""
        guarded = guard(policy_of(T1), torrents_of("t1", [GREEDY] * 50))
        snapshot = guarded.run(60)
        assert guarded.sim.reads == snapshot.cycle
        assert guarded.sim.reads <= 60

    @pytest.mark.parametrize(("interval_s", "period_s"), [(1.0, 1.0), (2.0, 1.5), (3.0, 3.0), (5.0, 4.5), (10.0, 9.0)])
    def test_reads_fall_right_after_the_last_copy_within_the_interval(
        self, guard: Guard, interval_s: float, period_s: float
    ) -> None:
        guarded = guard(policy_of(T1, interval_s=interval_s), torrents_of("t1", [GREEDY]))
        guarded.run(120)
        ages = []
        reads = guarded.sim.reads
        for _ in range(40):
            ages.append(guarded.sim.now - guarded.sim.refreshed_at)
            guarded.cycle()
        assert guarded.sim.reads - reads == 40
        assert guarded.sim.now - 120 <= 41 * interval_s
        if interval_s >= guarded.sim.refresh_s:
            assert statistics.median(ages) < 0.3
            assert (guarded.sim.now - 120) / 40 == pytest.approx(period_s, rel=0.1)

    def test_where_many_torrents_upload_reads_keep_to_the_interval(self, guard: Guard) -> None:
        """A read is work for qBittorrent, and for us."""
        guarded = guard(policy_of(T1), torrents_of("t1", [5 * KB] * (FEW + 1)))
        guarded.run(60)
        reads = guarded.sim.reads
        guarded.run(60)
        assert guarded.sim.reads - reads == 30

    def test_a_failing_qbittorrent_is_not_asked_more_often(self, guard: Guard) -> None:
        guarded = guard(policy_of(T1), torrents_of("t1", [GREEDY]))
        guarded.run(30)
        reads = guarded.sim.reads
        guarded.sim.down_until = guarded.sim.now + 60
        guarded.run(60)
        assert guarded.sim.reads - reads == 30

    def test_torrents_of_one_value_share_one_call(self, guard: Guard) -> None:
        guarded = guard(policy_of(T1), torrents_of("t1", [0] * 50))
        guarded.cycle()
        assert guarded.sim.calls == 1
        assert guarded.sim.changed == 50

    def test_a_late_cycle_is_not_made_up_for(self, guard: Guard) -> None:
        guarded = guard(policy_of(T1), some())
        observe = guarded.sim.observe

        def slow(hints: Any = (), known: Any = None, *, names: bool = False) -> Any:
            guarded.sim.run_until(guarded.sim.now + 7.0)
            return observe(hints, known, names=names)

        guarded.sim.observe = slow  # type: ignore[method-assign]
        pictures: list[Snapshot] = []
        guarded.controller.run(lambda: guarded.sim.now >= 70.0, pictures.append)
        assert len(pictures) == 10
        assert pictures[-1].cycle_s == pytest.approx(7.0)


class TestComingAndGoing:
    def test_deleted_torrents_are_forgotten_and_their_share_is_used(self, guard: Guard) -> None:
        guarded = guard(policy_of(T1), torrents_of("t1", [GREEDY] * 4))
        guarded.run(40)
        for i in range(3):
            guarded.sim.remove(hash_of(f"t1{i}"))
        snapshot = guarded.run(40)
        assert snapshot.torrents == 1
        assert guarded.limit("t13") == pytest.approx(CAP, rel=0.05)

    def test_a_deleted_torrent_that_comes_back_keeps_its_original(self, guard: Guard) -> None:
        guarded = guard(policy_of(T1), some())
        guarded.run(20)
        torrent = guarded.sim.remove(hash_of("t15"))
        guarded.run(10)
        guarded.restart_daemon()
        guarded.run(4)
        guarded.sim.torrents[torrent.hash] = torrent
        torrent.uploads += [0.0] * (len(guarded.sim.torrents[hash_of("t10")].uploads) - len(torrent.uploads))
        guarded.run(20)
        rollback(guarded.sim, guarded.journal)
        assert torrent.limit == 150 * KB

    @pytest.mark.parametrize("limits", [(20 * KB, 300 * KB), (UNLIMITED, 30 * KB), (20 * KB, UNLIMITED)])
    def test_a_limit_set_by_hand_twice(self, guard: Guard, limits: tuple[int, ...]) -> None:
        """Regression: a rollback restored the first of them."""
        guarded = guard(policy_of(T1), torrents_of("t1", [GREEDY, 0, 0]))
        guarded.run(60)
        for limit in limits:
            guarded.sim.set_by_hand(hash_of("t11"), limit)
            guarded.run(60)
        assert guarded.limit("t11") <= limits[-1]
        rollback(guarded.sim, guarded.journal)
        assert guarded.limit("t11") == limits[-1]

    @pytest.mark.parametrize("method", ["paused", "adopt", "exclusive", "generation"])
    def test_what_was_read_while_the_journal_failed_is_read_again(self, guard: Guard, method: str) -> None:
        guarded = guard(policy_of(T1), torrents_of("t1", [GREEDY, *[0] * 5]))
        broken = guarded.journal = BrokenJournal(guarded.journal)
        guarded.new_controller()
        guarded.run(60)
        guarded.sim.set_by_hand(hash_of("t13"), 20 * KB)
        new, gone = guarded.sim.add(SimTorrent(hash_of("n"), url_of("t1"), 0.0)), guarded.sim.remove(hash_of("t14"))
        broken.broken.add(method)
        guarded.run(4)
        broken.broken.clear()
        guarded.run(30)
        assert new.limit < UNLIMITED
        assert gone.hash not in guarded.controller.registry
        guarded.adopt(policy_of(tracker("t1", 100 * KB)))
        guarded.run(30)
        rollback(guarded.sim, guarded.journal)
        assert guarded.limit("t13") == 20 * KB

    def test_the_first_list_is_read_again_if_the_lock_was_held(self, guard: Guard) -> None:
        guarded = guard(policy_of(T1), torrents_of("t1", [0] * 5))
        broken = guarded.journal = BrokenJournal(guarded.journal, "exclusive")
        guarded.new_controller()
        guarded.cycle()
        broken.broken.clear()
        assert guarded.run(20).torrents == 5
        assert max(guarded.limits().values()) < UNLIMITED

    @pytest.mark.parametrize("added_with", ["our limit", "no limit", "a limit of its person's"])
    def test_a_deleted_torrent_that_is_added_again(self, guard: Guard, added_with: str) -> None:
        torrents = some()
        torrents[4].limit = 900 * KB
        guarded = guard(policy_of(T1), torrents)
        guarded.run(20)
        torrent = guarded.sim.remove(hash_of("t14"))
        ours = torrent.limit
        assert ours < 900 * KB
        guarded.run(10)
        torrent.limit = {"our limit": ours, "no limit": UNLIMITED}.get(added_with, 170 * KB)
        wanted = 900 * KB if added_with == "our limit" else torrent.limit
        guarded.sim.torrents[torrent.hash] = torrent
        torrent.uploads += [0.0] * (len(guarded.sim.torrents[hash_of("t10")].uploads) - len(torrent.uploads))
        guarded.run(20)
        assert torrent.limit < UNLIMITED
        rollback(guarded.sim, guarded.journal)
        assert torrent.limit == wanted

    def test_many_added_at_once_are_limited_at_first_sight(self, guard: Guard) -> None:
        guarded = guard(policy_of(T1), torrents_of("t1", [0] * 5))
        guarded.run(20)
        added = [guarded.sim.add(SimTorrent(hash_of(f"n{i}"), url_of("t1"), 0.0)) for i in range(200)]
        guarded.cycle()
        assert all(torrent.limit < UNLIMITED for torrent in added)

    def test_one_added_with_a_limit_keeps_it_as_its_bound(self, guard: Guard) -> None:
        guarded = guard(policy_of(T1), torrents_of("t1", [0] * 2))
        guarded.run(20)
        added = guarded.sim.add(SimTorrent(hash_of("n"), url_of("t1"), GREEDY, limit=40 * KB))
        guarded.run(30)
        assert added.limit <= 40 * KB
        assert rollback(guarded.sim, guarded.journal).complete
        assert added.limit == 40 * KB


def test_every_write_was_journalled_before(tmp_path: Path) -> None:
    """Journal the intention, act, settle."""

    class Watching:
        """Looks into the journal at each write."""

        def __init__(self, sim: Any) -> None:
            self.sim, self.seen = sim, 0

        def __getattr__(self, name: str) -> Any:
            return getattr(self.sim, name)

        def set_upload_limit(self, limit: int, hashes: Sequence[str]) -> None:
            touched = guarded.journal.touched()
            assert all(limit in touched[h].written or limit == touched[h].original for h in hashes)
            self.seen += 1
            self.sim.set_upload_limit(limit, hashes)

    guarded = Guarded(tmp_path, policy_of(T1), some(), client=Watching)
    snapshot = guarded.run(60)
    assert snapshot.problem == ""
    assert guarded.client.seen > 2  # type: ignore[attr-defined]
    guarded.journal.close()
