"""A restart in the middle of it: the daemon after it goes on where the one before it was."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from qguardarr.adapters.sqlite.store import SqliteStore
from qguardarr.core.reconcile.decide import TrackerReport
from qguardarr.core.reconcile.recollection import memory_of
from qguardarr.features.learning import LearntMemory
from tests.support.guard_loop import KB, MB, Guarded, hash_of, policy_of, torrents_of, tracker

GREEDY = math.inf
CAP = 1 * MB
SEEDS = range(1, 7)
ONE_OF_FOUR = (GREEDY, 20.0 * KB, 20.0 * KB, 20.0 * KB)
MIXED = (GREEDY, GREEDY, 20.0 * KB, 200.0 * KB)
"""What one of them takes is a good part of the cap: a rate that is off by a half is a tenth of it."""


class Restarting:
    """A guarded simulation whose daemon keeps what it has learnt, as the real one does."""

    def __init__(self, folder: Path, demands: tuple[float, ...], *, strategy: str = "equal", seed: int) -> None:
        policy = policy_of(tracker("t1", CAP), strategy=strategy)
        self.guarded = Guarded(folder, policy, torrents_of("t1", demands), seed=seed)
        self.path = folder / "journal.db.store"
        self._begin()

    def _begin(self) -> None:
        sim = self.guarded.sim
        self.store = SqliteStore(self.path)
        self.learning = LearntMemory(
            self.guarded.controller.registry, self.store, wall_clock=lambda: 1e9 + sim.now, monotonic=lambda: sim.now
        )
        self.learning.start()

    def save(self) -> None:
        """As happens each minute."""
        self.learning.save_beside()
        assert self.learning.saving is not None
        self.learning.saving.join()

    def restart(self, *, away_s: float, killed: bool = False) -> float:
        """End the daemon, in good order or not, and start again after a while; when it began, seconds."""
        if not killed:
            self.learning.close()
        self.store.close()
        self.guarded.sim.run_until(self.guarded.sim.now + away_s)
        self.guarded.restart_daemon()
        self._begin()
        return self.guarded.sim.now

    def report(self) -> TrackerReport:
        """What the last cycle found of the tracker."""
        decided = self.guarded.controller.decided
        assert decided is not None
        return decided.trackers[0]

    def close(self) -> None:
        self.store.close()
        self.guarded.journal.close()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("strategy", ["equal", "weighted"])
@pytest.mark.parametrize("demands", [ONE_OF_FOUR, MIXED])
def test_the_first_decision_after_a_restart_is_the_last_one_before_it(
    tmp_path: Path, demands: tuple[float, ...], strategy: str, seed: int
) -> None:
    run = Restarting(tmp_path, demands, strategy=strategy, seed=seed)
    run.guarded.run(60)
    before, limits, learnt = run.report(), run.guarded.limits(), memory_of(run.guarded.controller.registry, 0.0)
    run.restart(away_s=2.3)
    run.guarded.controller.cycle()
    after = run.report()
    assert (after.hungry, after.active) == (before.hungry, before.active)
    assert after.hungry == demands.count(GREEDY)
    assert after.level == pytest.approx(before.level, rel=0.02)
    assert run.guarded.limits() == limits
    assert [t.weight for t in memory_of(run.guarded.controller.registry, 0.0).torrents] == [
        t.weight for t in learnt.torrents
    ]
    assert run.guarded.controller.registry.uploads.meters[0].limiter_yield == learnt.trackers[0].gain
    run.close()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("killed", "old_s", "away_s"), [(False, 0.0, 2.3), (False, 0.0, 20.0), (True, 30.0, 2.3)])
@pytest.mark.parametrize("demands", [ONE_OF_FOUR, MIXED])
def test_a_restart_costs_nothing_of_the_cap(
    tmp_path: Path, demands: tuple[float, ...], killed: bool, old_s: float, away_s: float, seed: int
) -> None:
    """Killed, too: what was written some time ago is used."""
    run = Restarting(tmp_path, demands, seed=seed)
    run.guarded.run(60)
    if killed:
        run.save()
        run.guarded.run(old_s)
    at = run.restart(away_s=away_s, killed=killed)
    run.guarded.run(15)
    for since in range(0, 14, 2):
        assert 0.95 * CAP <= run.guarded.rate("t1", at + since, at + since + 2) <= 1.06 * CAP
    assert run.guarded.writes_in(at, at + 15) <= 3
    run.close()


@pytest.mark.parametrize("seed", SEEDS)
def test_demand_that_moved_while_it_was_away_is_followed_as_ever(tmp_path: Path, seed: int) -> None:
    """What was learnt is a beginning, not a belief."""
    run = Restarting(tmp_path, ONE_OF_FOUR, seed=seed)
    run.guarded.run(60)
    torrents = run.guarded.sim.torrents
    for n, demand in enumerate((20.0 * KB, GREEDY, 20.0 * KB, 20.0 * KB)):
        run.guarded.sim.at(61.0, lambda n=n, demand=demand: setattr(torrents[hash_of(f"t1{n}")], "demand", demand))  # type: ignore[misc]
    at = run.restart(away_s=5.0)
    run.guarded.run(40)
    assert run.guarded.rate("t1", at + 12, at + 40) >= 0.95 * CAP
    assert run.guarded.rate("t1", at, at + 40) <= 1.02 * CAP
    run.close()


def test_two_restarts_in_a_row_lose_nothing(tmp_path: Path) -> None:
    run = Restarting(tmp_path, MIXED, seed=1)
    run.guarded.run(60)
    before = run.report()
    for _ in range(4):
        run.restart(away_s=1.0)
        run.guarded.cycle()
    assert (run.report().hungry, run.report().active) == (before.hungry, before.active)
    at = run.guarded.sim.now
    run.guarded.run(10)
    assert run.guarded.rate("t1", at, at + 10) >= 0.97 * CAP
    run.close()


def test_a_damaged_store_costs_what_was_learnt_and_nothing_else(tmp_path: Path) -> None:
    run = Restarting(tmp_path, ONE_OF_FOUR, seed=1)
    run.guarded.run(60)
    run.restart(away_s=1.0)
    run.store.close()
    run.path.write_bytes(b"rubbish" * 999)
    at = run.restart(away_s=1.0, killed=True)
    assert run.guarded.run(60).problem == ""
    assert run.guarded.rate("t1", at + 10, at + 60) >= 0.95 * CAP
    run.close()
