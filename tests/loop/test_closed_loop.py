"""The guard against a simulated qBittorrent in virtual time: is the cap held, is it used, and at what price?

The bounds are those of the lab on real ones where the simulation reaches them, else what it reaches now, with some
slack; `DONE_WHEN` says what is aimed at. A phase counts as settled from 10 s after its start.
"""

from __future__ import annotations

import functools
import math
import random
from pathlib import Path
from typing import Any

import pytest

from lab.measure import Span, worst_window
from qguardarr.core.model import UNLIMITED
from qguardarr.core.policy import Policy
from tests.support.guard_loop import (
    KB,
    MB,
    Guarded,
    Outcome,
    Phase,
    bursty,
    greedy_clients,
    hash_of,
    outcome,
    policy_of,
    script_phases,
    torrents_of,
    tracker,
    truth,
)
from tests.support.simulator import Bursty, SimTorrent

GREEDY = math.inf
CAP = 1 * MB
SEEDS = [1, 2, 3, 4, 5]
DONE_WHEN = {"utilisation": 0.97, "settled_worst_10s": 1.10, "settling_s": 10.0, "mean": 1.01, "wake_worst_10s": 1.3}


def held(
    folder: Path, policy: Policy, phases: dict[str, list[Phase]], end: float, **sim: Any
) -> tuple[Guarded, dict[str, Outcome]]:
    """Run phases of demand on each tracker, all idle before; what came of it, by tracker."""
    torrents = [t for name, first in phases.items() for t in torrents_of(name, [0.0] * len(first[0].demands))]
    guarded = Guarded(folder, policy, torrents, **sim)
    for name, its_phases in phases.items():
        script_phases(guarded.sim, name, its_phases)
    snapshot = guarded.run_until(end)
    guarded.journal.close()
    assert snapshot.problem == ""
    assert snapshot.flushed == 0, "no torrent had saved quota to lose"
    caps = {rule.id: rule.cap for rule in policy.classes}
    for _, limit, hashes in guarded.sim.writes:
        assert limit < UNLIMITED, f"{len(hashes)} torrents of capped trackers were set free"
    return guarded, {name: outcome(guarded, name, caps[name], its, end) for name, its in phases.items()}


def one(folder: Path, demands: list[list[float]], *, cap: float = CAP, seconds: float = 60.0, **sim: Any) -> Outcome:
    """One tracker; a phase for each list of demands, `seconds` long, after 20 s of quiet."""
    phases = [Phase(20.0 + seconds * i, each) for i, each in enumerate(demands)]
    policy = policy_of(tracker("t1", int(cap)))
    return held(folder, policy, {"t1": phases}, 20.0 + seconds * len(demands), **sim)[1]["t1"]


def lazy(count: int) -> list[float]:
    return [30.0 * KB] * count


@pytest.mark.parametrize("seed", SEEDS)
def test_one_hungry_torrent_among_nine_lazy_ones_gets_the_rest_of_the_cap(tmp_path: Path, seed: int) -> None:
    result = one(tmp_path, [[GREEDY, *lazy(9)]], seconds=90, seed=seed)
    assert min(result.floors) >= 0.97, result
    assert max(result.tops) <= 1.10, result
    assert result.slowest <= 12, result
    assert result.mean <= 1.01, result
    assert result.calls_per_minute <= 8, result


@pytest.mark.parametrize("seed", SEEDS)
def test_the_cap_follows_the_hungry_torrent_when_it_changes(tmp_path: Path, seed: int) -> None:
    demands = [[GREEDY, *lazy(9)], [*lazy(5), GREEDY, *lazy(4)], [*lazy(9), GREEDY]]
    result = one(tmp_path, demands, seed=seed)
    assert min(result.floors) >= 0.95, result
    assert max(result.tops) <= 1.10, result
    assert result.slowest <= 12, result
    assert result.mean <= 1.01, result
    assert result.calls_per_minute <= 8, result


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("deep_cuts", [False, True])
def test_all_greedy(tmp_path: Path, seed: int, deep_cuts: bool) -> None:
    result = one(tmp_path, [[GREEDY] * 10], seconds=90, seed=seed, deep_cuts=deep_cuts)
    assert min(result.floors) >= 0.97, result
    assert max(result.tops) <= 1.10, result
    assert result.slowest <= 10, result
    assert result.mean <= 1.01, result
    assert result.calls_per_minute <= 6, result


@pytest.mark.parametrize("seed", SEEDS)
def test_twenty_parked_torrents_that_wake_at_once_do_not_break_the_cap(tmp_path: Path, seed: int) -> None:
    result = one(tmp_path, [[GREEDY] * 20], seconds=90, seed=seed)
    assert result.measured.worst_10s <= 1.3, result
    assert min(result.floors) >= 0.96, result
    assert result.mean <= 1.01, result


@pytest.mark.parametrize("seed", SEEDS[:3])
def test_twenty_of_three_hundred_wake_at_once(tmp_path: Path, seed: int) -> None:
    result = one(tmp_path, [[GREEDY] * 20 + [0.0] * 280], cap=5 * MB, seconds=90, seed=seed)
    assert result.measured.worst_10s <= 1.3, result
    assert min(result.floors) >= 0.97, result


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.slow
def test_random_demands_of_a_hundred_torrents_that_change_each_minute(tmp_path: Path, seed: int) -> None:
    rng = random.Random(100 + seed)
    choices = [0.0, 0.0, 5.0 * KB, 20.0 * KB, 100.0 * KB, 400.0 * KB, GREEDY]
    phases = {
        name: [Phase(40.0 + 60.0 * k, [rng.choice(choices) for _ in range(34)]) for k in range(4)]
        for name in ("t1", "t2", "t3")
    }
    policy = policy_of(tracker("t1", 2 * MB), tracker("t2", 4 * MB), tracker("t3", 8 * MB))
    _, results = held(tmp_path, policy, phases, 280.0, seed=seed)
    for result in results.values():
        assert min(result.floors) >= 0.9, result
        assert max(result.tops) <= 1.15, result
        assert result.mean <= 1.01, result
        assert result.calls_per_minute <= 25, result
        assert result.changed / (34 * result.seconds / 60) <= 3.5, result


@pytest.mark.parametrize("seed", SEEDS)
def test_an_idle_tracker_lends_and_takes_back(tmp_path: Path, seed: int) -> None:
    policy = policy_of(tracker("t1", CAP), tracker("t2", CAP), strategy="soft")
    phases = {"t1": [Phase(20.0, [GREEDY] * 3)], "t2": [Phase(80.0, [GREEDY] * 3)]}
    guarded, results = held(tmp_path, policy, phases, 160.0, seed=seed)
    lent, taken = guarded.rate("t1", 45, 80), guarded.rate("t1", 95, 160)
    assert lent == pytest.approx(1.5 * CAP, rel=0.06)
    assert taken == pytest.approx(CAP, rel=0.06)
    assert min(results["t2"].floors) >= 0.94, results["t2"]
    assert results["t2"].slowest <= 25, results["t2"]
    assert worst_window(truth(guarded.sim), [Span(20, 160, 2 * CAP, math.inf)], 10.0) <= 1.25
    assert guarded.rate("", 20, 160) <= 1.01 * 2 * CAP


@pytest.mark.parametrize("seed", SEEDS[:3])
def test_a_hungry_torrent_of_few_peers_under_a_small_cap(tmp_path: Path, seed: int) -> None:
    """Lumps of blocks are no bursts."""
    result = one(tmp_path, [[GREEDY] * 3], cap=60 * KB, seconds=240, seed=seed)
    assert min(result.floors) >= 0.9, result
    assert result.measured.worst_60s <= 1.15, result
    assert result.calls_per_minute <= 8, result


@pytest.mark.parametrize("interval_s", [0.5, 1.0, 3.0, 5.0, 10.0])
def test_other_intervals_hold_the_cap_too(tmp_path: Path, interval_s: float) -> None:
    policy = policy_of(tracker("t1", CAP), interval_s=interval_s)
    _, results = held(tmp_path, policy, {"t1": [Phase(20.0, [GREEDY, GREEDY, *lazy(8)])]}, 200.0)
    curve_from = 20.0 + 5 * interval_s + 10
    assert results["t1"].mean <= 1.02, results["t1"]
    assert results["t1"].measured.worst_60s <= 1.10, results["t1"]
    assert results["t1"].floors[0] >= 0.9, (curve_from, results["t1"])


@pytest.mark.parametrize("refresh_s", [0.5, 1.5, 3.0])
@pytest.mark.parametrize("slip_s", [0.0, 0.1])
def test_other_refreshes_and_timers_that_slip(tmp_path: Path, refresh_s: float, slip_s: float) -> None:
    result = one(tmp_path, [[GREEDY, *lazy(9)]], seconds=180, seed=2, refresh_s=refresh_s, refresh_slip_s=slip_s)
    assert min(result.floors) >= 0.85, result
    assert result.mean <= 1.03, result


@pytest.mark.parametrize(
    ("cap", "demands"),
    [
        (200 * KB, [GREEDY] * 20 + [3 * KB] * 20),
        (130 * KB, [GREEDY] * 10 + [20 * KB] * 10),
        (1 * MB, [GREEDY] * 200),
    ],
)
@pytest.mark.slow
def test_shares_smaller_than_a_lump_are_held_and_left_alone(tmp_path: Path, cap: int, demands: list[float]) -> None:
    """Regression: each lump looked like a jump of the rate, so that who was once taken for content stayed so for ever:
    up to 2.3 times the cap, and every limit rewritten several times a minute."""
    torrents = torrents_of("t1", [0.0] * len(demands), leechers=4)
    guarded = Guarded(tmp_path, policy_of(tracker("t1", cap)), torrents)
    dice = random.Random(1)
    for torrent, demand in zip(torrents, demands, strict=True):
        guarded.sim.at(dice.uniform(1, 100), functools.partial(setattr, torrent, "demand", demand))
    guarded.run(600)
    guarded.journal.close()
    assert guarded.rate("t1", 400, 600) == pytest.approx(cap, rel=0.05)
    assert guarded.writes_in(400, 600) <= 10


def test_who_waits_for_a_lump_is_not_set_free(tmp_path: Path) -> None:
    """Regression: with `auto_unlimit_on_inactive` a torrent that moved nothing for half a minute got its limit taken
    off, though the limit was why: up to two thousand times the cap."""
    policy = policy_of(tracker("t1", 50 * KB), unlimit_idle=True)
    guarded = Guarded(tmp_path, policy, torrents_of("t1", [GREEDY] * 40, leechers=4))
    guarded.run(900)
    guarded.journal.close()
    assert guarded.rate("t1", 300, 900) <= 2 * 50 * KB  # aimed at: 1.0
    assert not [hashes for at, limit, hashes in guarded.sim.writes if at > 300 and limit >= UNLIMITED]


@pytest.mark.parametrize("max_managed", [200, 5000])
@pytest.mark.slow
def test_a_thousand_greedy_torrents_under_a_small_cap(tmp_path: Path, max_managed: int) -> None:
    """Regression: a floor per torrent; limits summed to 4.9 times the cap. Each gets less than counts as active."""
    policy = policy_of(tracker("t1", 1 * MB), max_managed=max_managed)
    guarded = Guarded(tmp_path, policy, torrents_of("t1", [GREEDY] * 1000, leechers=1))
    guarded.run(240)
    guarded.journal.close()
    assert sum(guarded.limits().values()) <= 1.6 * MB  # aimed at: 1.0
    # All lumps come at the same time, so single minutes tell nothing. Aimed at: 1.0.
    assert 0.7 * MB <= guarded.rate("t1", 60, 240) <= 1.3 * MB


@pytest.mark.parametrize("seed", SEEDS)
def test_a_cap_that_a_person_lowers_and_raises_is_held_at_once(tmp_path: Path, seed: int) -> None:
    guarded = Guarded(tmp_path, policy_of(tracker("t1", 10 * MB)), torrents_of("t1", [GREEDY] * 10), seed=seed)
    guarded.run_until(60.0)
    guarded.adopt(policy_of(tracker("t1", 2 * MB)))
    guarded.run_until(120.0)
    guarded.adopt(policy_of(tracker("t1", 10 * MB)))
    guarded.run_until(180.0)
    guarded.journal.close()
    lowered, raised = Span(66.0, 120.0, 2 * MB, math.inf), Span(126.0, 180.0, 10 * MB, math.inf)
    for span in (lowered, raised):
        assert worst_window(truth(guarded.sim), [span], 10.0) <= 1.05
        assert truth(guarded.sim).mean_rate(span.start, span.end) >= 0.97 * span.cap
    assert guarded.writes_in(60, 180) <= 8


@pytest.mark.parametrize("seed", SEEDS)
def test_torrents_of_one_peer_and_of_twenty_get_the_same(tmp_path: Path, seed: int) -> None:
    torrents = torrents_of("t1", [GREEDY] * 6)
    for i, torrent in enumerate(torrents):
        torrent.leechers = 20 if i % 2 else 1
    guarded = Guarded(tmp_path, policy_of(tracker("t1", CAP)), torrents, seed=seed)
    guarded.run_until(90.0)
    guarded.journal.close()
    assert guarded.rate("t1", 30, 90) == pytest.approx(CAP, rel=0.03)
    sent = [sum(t.uploads[60:]) for t in torrents]
    assert min(sent) >= 0.9 * max(sent)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_torrent_that_goes_on_and_off_neither_breaks_the_cap_nor_wastes_it(tmp_path: Path, seed: int) -> None:
    on, off = [GREEDY] * 5 + lazy(5), [GREEDY] * 3 + [0.0] * 2 + lazy(5)
    slow = one(tmp_path, [on, off] * 4, seconds=20, seed=seed)
    assert slow.measured.worst_10s <= 1.17, slow
    assert slow.measured.worst_60s <= 1.03, slow
    assert slow.mean >= 0.93, slow
    (tmp_path / "quick").mkdir()
    quick = one(tmp_path / "quick", [on, off] * 10, seconds=6, seed=seed)
    assert quick.measured.worst_10s <= 1.15, quick
    assert quick.measured.worst_60s <= 1.03, quick
    assert quick.mean >= 0.92, quick


@pytest.mark.parametrize("seed", SEEDS)
def test_demands_that_grow_together_do_not_pass_the_cap(tmp_path: Path, seed: int) -> None:
    """Regression: each had room, so all went over their shares until their limits showed it."""
    result = one(tmp_path, [[(10 + 25 * k) * KB] * 10 for k in range(13)], seconds=5, seed=seed)
    assert result.measured.worst_10s <= 1.3, result


@pytest.mark.parametrize("seed", SEEDS[:3])
def test_one_of_two_hundred_idle_torrents_that_wakes_is_served_within_seconds(tmp_path: Path, seed: int) -> None:
    """Regression: all parked limits summed to half the cap; its first blocks took ten seconds."""
    turns = [[GREEDY if i == k else 0.0 for i in range(200)] for k in range(3)]
    result = one(tmp_path, turns, cap=2 * MB, seconds=40, seed=seed)
    assert result.slowest <= 13.5, result
    assert min(result.floors) >= 0.9, result
    assert result.measured.worst_60s <= 1.0, result


@pytest.mark.parametrize("seed", SEEDS[:3])
def test_fifty_of_two_hundred_wake_at_once(tmp_path: Path, seed: int) -> None:
    waking = [[GREEDY] + [0.0] * 199, [GREEDY] * 50 + [0.0] * 150]
    result = one(tmp_path, waking, cap=2 * MB, seconds=60, seed=seed)
    assert result.measured.worst_10s <= 1.3, result
    assert min(result.floors) >= 0.95, result


@pytest.mark.parametrize("cap", [CAP, 20 * MB])
def test_caps_found_already_exceeded_are_held_soon(tmp_path: Path, cap: int) -> None:
    """The guard starts while everything uploads without limits."""
    guarded = Guarded(tmp_path, policy_of(tracker("t1", cap)), torrents_of("t1", [5.0 * MB] * 10), seed=3)
    guarded.sim.run_until(60.0)
    guarded.run_until(160.0)
    guarded.journal.close()
    assert guarded.rate("t1", 80, 160) <= 1.1 * cap
    assert guarded.rate("t1", 100, 160) >= 0.95 * cap
    assert hash_of("t10") in guarded.limits()


def clients_in_turn(folder: Path, seed: int, phases: list[list[list[Bursty]]], *, leechers: int = 3) -> Guarded:
    """Torrents whose clients are replaced every minute from 20 s on; `phases` has the clients of each torrent."""
    torrents = torrents_of("t1", [0.0] * len(phases[0]), leechers=leechers)
    guarded = Guarded(folder, policy_of(tracker("t1", CAP)), torrents, seed=seed)

    def change(clients: list[list[Bursty]]) -> None:
        for torrent, its in zip(torrents, clients, strict=True):
            torrent.clients = its

    for k, phase in enumerate(phases):
        guarded.sim.at(20.0 + 60.0 * k, functools.partial(change, phase))
    assert guarded.run_until(20.0 + 60.0 * len(phases)).problem == ""
    guarded.journal.close()
    return guarded


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("size", [60 * KB, 150 * KB])
def test_one_hungry_torrent_beside_clients_that_take_little_in_bursts(tmp_path: Path, seed: int, size: int) -> None:
    """Regression: each burst was taken for a wish for an equal share: 0.65 … 0.75 of the cap, forty calls a minute."""
    dice = random.Random(seed)
    first = [greedy_clients(3), *(bursty(20.0 * KB, size, 3, dice) for _ in range(3))]
    then = [*(bursty(15.0 * KB, size, 3, dice) for _ in range(3)), greedy_clients(3)]
    guarded = clients_in_turn(tmp_path, seed, [first, then])
    for start in (35.0, 95.0):
        assert guarded.rate("t1", start, start + 45.0) >= 0.95 * CAP
        span = Span(start, start + 45.0, CAP, math.inf)
        assert worst_window(truth(guarded.sim), [span], 10.0) <= 1.15
        assert guarded.writes_in(start, start + 45.0) <= 18 * 45 / 60


@pytest.mark.parametrize("seed", SEEDS)
def test_demands_of_all_sizes_in_bursts(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    means = [[20.0 * KB * math.exp(dice.gauss(1.2, 1.2)) for _ in range(4)] for _ in range(2)]
    guarded = clients_in_turn(tmp_path, seed, [[bursty(mean, 150 * KB, 3, dice) for mean in phase] for phase in means])
    for start, phase in zip((35.0, 95.0), means, strict=True):
        due = min(CAP, 3 * sum(phase))
        assert guarded.rate("t1", start, start + 45.0) >= 0.9 * due
        assert guarded.rate("t1", start, start + 45.0) <= 1.02 * CAP


@pytest.mark.parametrize("seed", SEEDS[:3])
@pytest.mark.parametrize(
    ("period_s", "duty"), [(2.0, 0.2), (2.0, 0.8), (5.0, 0.5), (15.0, 0.1), (15.0, 0.5), (60.0, 0.8)]
)
def test_half_of_the_torrents_go_on_and_off(tmp_path: Path, seed: int, period_s: float, duty: float) -> None:
    dice = random.Random(seed)
    torrents = torrents_of("t1", [0.0] * 8, leechers=3)
    guarded = Guarded(tmp_path, policy_of(tracker("t1", CAP)), torrents, seed=seed)

    def switch(torrent: SimTorrent, demand: float, at: float) -> None:
        guarded.sim.at(at, functools.partial(setattr, torrent, "demand", demand))

    end = 20.0 + max(120.0, 3 * period_s)
    for torrent in torrents[:4]:
        switch(torrent, GREEDY, 20.0)
    for torrent in torrents[4:]:
        at = 20.0 + dice.uniform(0.0, period_s)
        while at < end:
            period = period_s * dice.uniform(0.8, 1.2)
            switch(torrent, GREEDY, at)
            switch(torrent, 0.0, at + duty * period)
            at += period
    guarded.run_until(end)
    guarded.journal.close()
    assert guarded.rate("t1", 35.0, end) >= (0.97 if period_s >= 15.0 else 0.95) * CAP
    assert guarded.rate("t1", 35.0, end) <= 1.02 * CAP
    assert worst_window(truth(guarded.sim), [Span(35.0, end, CAP, math.inf)], 10.0) <= 1.2


@pytest.mark.parametrize("seed", SEEDS[:3])
def test_forty_that_trickle_in_bursts_beside_three_hungry_ones(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    trickling = [bursty(5.0 * KB, 60 * KB, 1, dice) for _ in range(40)]
    clients = [*(greedy_clients(2) for _ in range(3)), *trickling]
    guarded = clients_in_turn(tmp_path, seed, [clients] * 3, leechers=2)
    assert guarded.rate("t1", 40.0, 200.0) >= 0.95 * CAP
    assert guarded.rate("t1", 40.0, 200.0) <= 1.02 * CAP
    assert guarded.writes_in(40.0, 200.0) <= 45 * 160 / 60
