"""Quota saved under high limits set by hand is found, counted, flushed and reported (simulator)."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from lab.measure import Span, worst_window
from qguardarr.core.measure.rate_estimator import RateEstimator
from qguardarr.core.measure.saved_quota import FLUSH_GAP_S
from qguardarr.core.model import UNLIMITED, Change
from qguardarr.core.reconcile import active_limits
from qguardarr.core.reconcile.plan import make_plan
from qguardarr.core.reconcile.signature import looks_like_ours
from qguardarr.engine import writer
from qguardarr.engine.rollback import rollback
from qguardarr.engine.status import State
from qguardarr.engine.torrent_list import TorrentQuery
from qguardarr.errors import Unreachable
from tests.support import samples
from tests.support.guard_loop import (
    KB,
    MB,
    Guarded,
    SimClock,
    hash_of,
    policy_of,
    state_of,
    torrents_of,
    tracker,
    truth,
)
from tests.support.simulator import SimQBittorrent, SimTorrent

MIB = 2**20
CAP = 1 * MB
SEEDS = [1, 2, 3, 4, 5]


def limited_by_hand(count: int, limit: int, demand: float) -> list[SimTorrent]:
    return torrents_of("t1", [demand] * count, limit=limit)


def want(guarded: Guarded, at: float, demand: float) -> None:
    """Have all torrents want `demand` bytes/s from `at` on."""
    for torrent in guarded.sim.torrents.values():
        guarded.sim.at(at, functools.partial(setattr, torrent, "demand", demand))


def flowing(folder: Path, seed: int = 1) -> Guarded:
    """Ten torrents that flow below 10 MiB/s set by hand, for a minute; then the guard comes, and they turn greedy."""
    guarded = Guarded(folder, policy_of(tracker("t1", CAP)), limited_by_hand(10, 10 * MIB, 50 * KB), seed=seed)
    guarded.sim.run_until(60.0)
    want(guarded, 70.0, 1 * MB)
    return guarded


def woken(folder: Path, seed: int = 1) -> Guarded:
    """Twenty torrents that flowed below 10 MiB/s, were parked by the guard while idle, and wake together."""
    guarded = Guarded(folder, policy_of(tracker("t1", CAP)), limited_by_hand(20, 10 * MIB, 300 * KB), seed=seed)
    guarded.sim.run_until(30.0)
    want(guarded, 30.0, 0.0)
    want(guarded, 120.0, 1 * MB)
    guarded.sim.run_until(80.0)
    return guarded


def worst_10s(guarded: Guarded, start: float, end: float) -> float:
    return worst_window(truth(guarded.sim), [Span(start, end, CAP, math.inf)], 10.0)


def without_flushes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(active_limits, "flush_limits", lambda *_: {})


@pytest.mark.parametrize("seed", SEEDS)
def test_quota_saved_while_flowing_is_flushed(tmp_path: Path, seed: int) -> None:
    guarded = flowing(tmp_path, seed)
    guarded.run_until(160.0)
    guarded.journal.close()
    assert guarded.rate("t1", 70, 80) <= 4 * CAP
    assert worst_10s(guarded, 80, 160) <= 1.2
    assert guarded.rate("t1", 100, 160) == pytest.approx(CAP, rel=0.05)
    assert guarded.sim.changed <= 60


@pytest.mark.parametrize("seed", SEEDS)
def test_quota_of_parked_torrents_is_flushed_when_they_wake(tmp_path: Path, seed: int) -> None:
    guarded = woken(tmp_path, seed)
    guarded.run_until(220.0)
    guarded.journal.close()
    # Twenty times the cap until it is seen, after 1.6 s at most, and flushed, a refresh and 0.2 s later; then the cap.
    assert guarded.rate("t1", 120, 130) <= 7.4 * CAP
    assert worst_10s(guarded, 132, 220) <= 1.2
    assert guarded.rate("t1", 160, 220) == pytest.approx(CAP, rel=0.05)
    assert guarded.sim.changed <= 200


def test_a_torrent_heeds_its_limit_only_once_it_is_seen_to() -> None:
    estimator, sent = RateEstimator(0.0, 0, 20 * KB), 0

    def refreshes(count: int, rate: int) -> RateEstimator:
        nonlocal sent
        for _ in range(count):
            sent += rate * 2
            estimator.measure(estimator.last_at + 2.0, sent, 4)
        return estimator

    assert refreshes(3, 500 * KB).overruns
    estimator.overrun.flush(estimator.last_at + 0.3, again_s=3.0, again_most_s=60.0)
    assert estimator.overrun.flushes == 1
    for _ in range(3):
        assert not refreshes(1, 500 * KB).heeds_limit, "the flush failed"
    assert refreshes(8, 20 * KB).heeds_limit


@pytest.mark.parametrize("late", [0.0, 0.3, 0.6, 0.9, 1.2, 1.5])
def test_a_flush_without_effect_is_soon_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late: float
) -> None:
    monkeypatch.setattr(writer, "FLUSH_GAP_S", 0.0)  # the first flush is too short
    guarded = Guarded(tmp_path, policy_of(tracker("t1", CAP)), limited_by_hand(10, 10 * MIB, 300 * KB))
    guarded.sim.run_until(30.0)
    want(guarded, 30.0, 0.0)
    want(guarded, 120.0 + late, 500 * KB)
    guarded.sim.run_until(80.0)
    with capture_logs() as lines:
        guarded.run_until(160.0)
    guarded.journal.close()
    assert 2 <= [line["event"] for line in lines].count("saved_quota_flushed") <= 3
    assert guarded.rate("t1", 122, 126) > 3 * CAP
    assert worst_10s(guarded, 132, 160) <= 1.5


def test_the_simulator_shows_the_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_flushes(monkeypatch)
    guarded = woken(tmp_path)
    guarded.run_until(140.0)
    guarded.journal.close()
    assert guarded.rate("t1", 120, 135) > 10 * CAP


def test_others_pay_at_once_for_one_that_runs_above_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_flushes(monkeypatch)
    torrents = [*limited_by_hand(1, 20 * MIB, 50 * KB), *torrents_of("t1-other", [math.inf] * 5)]
    guarded = Guarded(tmp_path, policy_of(tracker("t1", CAP)), torrents)
    guarded.sim.run_until(60.0)
    guarded.sim.at(90.0, functools.partial(setattr, torrents[0], "demand", 0.7 * MB))
    guarded.run_until(120.0)
    guarded.journal.close()
    assert torrents[0].limit < 0.3 * MB
    assert sum(torrents[0].uploads[-40:]) / 20 == pytest.approx(0.7 * MB, rel=0.1), "it heeds no limit"
    assert guarded.rate("t1", 100, 120) <= 1.1 * CAP


def test_what_runs_above_its_limit_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_flushes(monkeypatch)
    guarded = woken(tmp_path)
    snapshot = guarded.run_until(126.0)
    assert snapshot.trackers[0].above_limits == 20
    assert snapshot.trackers[0].above_limits_rate > CAP
    (words,) = snapshot.overruns
    assert "20 torrents run above their own limits" in words
    assert "limits of up to 10.5 MB/s" in words
    registry = guarded.controller.registry
    row = TorrentQuery(registry, samples.Names().of).one(hash_of("t10"))
    assert row is not None
    reason = row.reason
    assert reason.startswith("runs above its limit of ")
    assert "quota saved under its earlier limit of 10.5 MB/s, for at most " in reason
    guarded.run_until(170.0)
    guarded.journal.close()
    assert guarded.controller.snapshot.overruns == ()


def test_an_answer_that_is_older_than_a_flush_is_no_news(tmp_path: Path) -> None:
    guarded = Guarded(tmp_path, policy_of(tracker("t1", CAP)), limited_by_hand(10, 10 * MIB, 300 * KB))
    guarded.sim.run_until(60.0)
    while not guarded.cycle().flushed:
        assert guarded.sim.now < 90.0, "nothing was flushed"
    member = state_of(guarded.controller.registry, hash_of("t10"))
    assert (member.previous, member.current) == (10 * MIB, guarded.limit("t10"))
    guarded.journal.close()


class HintedClock(SimClock):
    """Every wait is ended early by a hint."""

    def wait(self, seconds: float) -> bool:
        super().wait(min(seconds, 0.03))
        return True


class Cut:
    """A qBittorrent that gives no answer to the write after a flush's first one."""

    def __init__(self, sim: SimQBittorrent) -> None:
        self.sim = sim
        self.cut = False
        self.armed = True

    def set_upload_limit(self, limit: int, hashes: Sequence[str]) -> None:
        if self.cut:
            self.cut = False
            raise Unreachable("connection reset")
        self.cut = self.armed and limit > 10 * MIB
        self.armed = self.armed and not self.cut
        self.sim.set_upload_limit(limit, hashes)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sim, name)


@pytest.mark.parametrize("killed", [False, True])
def test_a_flush_that_is_cut_in_two_is_finished_and_forgets_no_original(tmp_path: Path, killed: bool) -> None:
    torrents = limited_by_hand(10, 10 * MIB, 300 * KB)
    guarded = Guarded(tmp_path, policy_of(tracker("t1", CAP)), torrents, client=Cut)
    guarded.sim.run_until(60.0)
    while guarded.cycle().state is not State.FAILING:
        assert guarded.sim.now < 90.0, "nothing was flushed"
    assert min(guarded.limits().values()) > 10 * MIB
    if killed:
        guarded.restart_daemon()
    guarded.run(20.0)
    assert sum(guarded.limits().values()) <= 1.6 * CAP
    assert {touched.original for touched in guarded.journal.touched().values()} == {10 * MIB}
    guarded.journal.close()


@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize("dry_run", [False, True])
def test_a_flush_that_is_cut_in_two_is_finished_even_if_nothing_is_to_be_written_then(
    tmp_path: Path, dry_run: bool, killed: bool
) -> None:
    """Else the torrents would keep four times what their person allows for as long as the pause lasts."""
    guarded = Guarded(
        tmp_path, policy_of(tracker("t1", CAP)), limited_by_hand(10, 10 * MIB, 300 * KB), client=Cut
    )  # fmt: skip
    guarded.sim.run_until(60.0)
    while guarded.cycle().state is not State.FAILING:
        assert guarded.sim.now < 90.0, "nothing was flushed"
    assert min(guarded.limits().values()) > 10 * MIB
    if dry_run:
        guarded.adopt(policy_of(tracker("t1", CAP), dry_run=True))
    else:
        guarded.journal.set_paused("by hand")
    if killed:
        guarded.restart_daemon()
    guarded.run(10.0)
    assert max(guarded.limits().values()) <= 10 * MIB
    writes = len(guarded.sim.writes)
    guarded.run(10.0)
    assert len(guarded.sim.writes) == writes, "that is all it writes"
    guarded.journal.close()


def test_a_flush_that_is_cut_in_two_is_not_finished_after_a_rollback(tmp_path: Path) -> None:
    """What the daemon read before another process restored originals shows the high limits all the same."""
    guarded = Guarded(tmp_path, policy_of(tracker("t1", CAP)), limited_by_hand(10, 10 * MIB, 300 * KB), client=Cut)
    guarded.sim.run_until(60.0)
    while guarded.cycle().state is not State.FAILING:
        assert guarded.sim.now < 90.0, "nothing was flushed"
    guarded.run(0.1)
    with closing(guarded.open_journal()) as other:
        assert rollback(guarded.sim, other).complete
    guarded.run(10.0)
    assert set(guarded.limits().values()) == {10 * MIB}
    guarded.journal.close()


def test_a_killed_flush_is_not_finished_after_a_rollback_by_what_an_old_answer_shows(tmp_path: Path) -> None:
    """Regression: a maindata answer of 5.x, even a complete one, shows limits as they were at the last refresh. Cycles
    that came before the next one wrote the flush's low limit over the originals that a rollback had just verified."""
    guarded = Guarded(tmp_path, policy_of(tracker("t1", CAP)), limited_by_hand(10, 10 * MIB, 300 * KB), client=Cut)
    guarded.sim.run_until(60.0)
    while guarded.cycle().state is not State.FAILING:
        assert guarded.sim.now < 90.0, "nothing was flushed"
    high = min(guarded.limits().values())
    assert high > 10 * MIB
    guarded.sim.run_until(guarded.sim.refreshed_at + guarded.sim.refresh_s + 0.1)
    guarded.restart_daemon()
    guarded.controller.cycle()
    assert set(guarded.limits().values()) == {high}, "torrents that upload when it comes are measured first"
    with closing(guarded.open_journal()) as other:
        assert rollback(guarded.sim, other).complete
    for _ in range(3):
        guarded.controller.cycle()
        assert {m.torrent.up_limit for m in guarded.controller.registry.states()} == {high}, "an old answer"
    assert set(guarded.limits().values()) == {10 * MIB}
    guarded.run(10.0)
    assert set(guarded.limits().values()) == {10 * MIB}
    assert guarded.controller.snapshot.foreign == ""
    guarded.journal.close()


def test_a_hint_does_not_shorten_the_time_between_the_writes_of_a_flush(tmp_path: Path) -> None:
    torrents = limited_by_hand(10, 10 * MIB, 300 * KB)
    guarded = Guarded(tmp_path, policy_of(tracker("t1", CAP)), torrents, clock=HintedClock)
    guarded.sim.run_until(60.0)
    while not guarded.cycle().flushed:
        assert guarded.sim.now < 90.0, "nothing was flushed"
    guarded.journal.close()
    raised = next(at for at, limit, _ in guarded.sim.writes if limit > 10 * MIB)
    lowered = next(at for at, limit, _ in guarded.sim.writes if at >= raised and limit < 10 * MIB)
    assert lowered - raised >= FLUSH_GAP_S - 1e-6


def test_limits_of_a_flush_carry_the_mark(tmp_path: Path) -> None:
    """Another Qguardarr may read them, and must not take them for a person's."""
    guarded = flowing(tmp_path)
    guarded.run_until(90.0)
    guarded.journal.close()
    high = [limit for _, limit, _ in guarded.sim.writes if limit > 10 * MIB]
    assert high
    assert all(looks_like_ours(limit) for limit in high)


limits = st.integers(1, 10**8)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.integers(0, 9), limits, max_size=10), st.sets(st.integers(0, 9)), st.integers(1, 25))
def test_what_a_flush_raises_ends_at_the_limit_decided(lower: dict[int, int], raised: set[int], calls: int) -> None:
    had, high = 2 * 10**8, 8 * 10**8
    changes = [Change(hash_of(i), had, limit, UNLIMITED, "why") for i, limit in lower.items()]
    flushes = [Change(hash_of(i), had, high, UNLIMITED, "why") for i in raised]
    plan = make_plan(changes, max_calls=calls, flushes=flushes)
    assert len(plan.flushes) + len(plan.lowers) + len(plan.writes) <= calls
    in_force = {hash_of(i): had for i in range(10)}
    for change in plan.steps:
        in_force[change.hash] = change.new
    decided = {hash_of(i): had for i in range(10)} | {change.hash: change.new for change in plan.changes}
    assert in_force == decided
    assert {c.hash for w in plan.flushes for c in w.changes} in (set(), {hash_of(i) for i in raised})
