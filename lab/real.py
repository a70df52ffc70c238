"""Scenarios with real clients as data. Each client downloads every torrent with the demand of the phase."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Final

from lab.demand import Demand, OnOff
from lab.scenario import GREEDY, KB, MB, Phase, RestartGuard, Scenario, TrackerSpec

CLIENTS: Final = ("aria2", "transmission", "qbittorrent", "rtorrent")

_LEAST: Final = 10.0 * KB
_MOST: Final = 600.0 * KB
_SPREAD: Final = 1.2
"""Of the logarithm of a lognormal demand."""
_WANTED_OVER_CAP: Final = 1.4
"""Demands of the lognormal phase ÷ cap."""


def real_four(phase_s: float = 60.0) -> Scenario:
    """One tracker of four torrents: all greedy; one of four; lognormal demands; another one."""
    return _four("real_four", (TrackerSpec("t1", 1 * MB, 4, peers=0),), phase_s)


def real_four_two(phase_s: float = 60.0) -> Scenario:
    """`real_four` for two trackers side by side."""
    trackers = (TrackerSpec("t1", 2 * MB, 4, peers=0), TrackerSpec("t2", 1 * MB, 4, peers=0))
    return _four("real_four_two", trackers, phase_s)


def real_one_hungry(phase_s: float = 60.0) -> Scenario:
    """One of four torrents is greedy, then another one."""
    trackers = (TrackerSpec("t1", 1 * MB, 4, peers=0),)
    phases = (_one_greedy(trackers, 0, 20.0 * KB, phase_s), _one_greedy(trackers, 2, 15.0 * KB, phase_s))
    return Scenario("real_one_hungry", trackers, phases, clients=CLIENTS)


def real_short(phase_s: float = 30.0) -> Scenario:
    """One of four torrents is greedy, for the length of a test."""
    trackers = (TrackerSpec("t1", 1 * MB, 4, peers=0),)
    return Scenario("real_short", trackers, (_one_greedy(trackers, 1, 20.0 * KB, phase_s),), clients=CLIENTS)


def real_mixed(phase_s: float = 60.0) -> Scenario:
    """Lab peers, which pull smoothly, beside real clients on the same torrents: all greedy, then one of four."""
    trackers = (TrackerSpec("t1", 1 * MB, 4, peers=2),)
    greedy = Phase(phase_s, {"t1": (GREEDY,) * 4})
    return Scenario("real_mixed", trackers, (greedy, _one_greedy(trackers, 1, 20.0 * KB, phase_s)), clients=CLIENTS)


def real_both_ways(phase_s: float = 40.0) -> Scenario:
    """Two of four torrents are still being downloaded while they are uploaded: all greedy, then one of those two."""
    trackers = (TrackerSpec("t1", 1 * MB, 4, peers=0, downloading=2),)
    greedy = Phase(phase_s, {"t1": (GREEDY,) * 4})
    return Scenario("real_both_ways", trackers, (greedy, _one_greedy(trackers, 0, 20.0 * KB, phase_s)), clients=CLIENTS)


def real_slots(phase_s: float = 60.0) -> Scenario:
    """Upload slots are scarce: 48 connections that want 20 kB/s each, and qBittorrent has 20 slots in all."""
    trackers = (TrackerSpec("t1", 1 * MB, 12, peers=0),)
    return Scenario("real_slots", trackers, (Phase(phase_s, {"t1": (20.0 * KB,) * 12}),), clients=CLIENTS)


def real_on_off(phase_s: float = 60.0) -> Scenario:
    """Two greedy torrents, two on and off, as fast as clients can be told to: 15 and 60 s."""
    trackers = (TrackerSpec("t1", 1 * MB, 4, peers=0),)
    demands = (GREEDY, 100.0 * KB, OnOff(GREEDY, 15.0, 0.4), OnOff(GREEDY, 60.0, 0.5))
    return Scenario("real_on_off", trackers, (Phase(phase_s, {"t1": demands}),), clients=CLIENTS)


def real_restart(phase_s: float = 40.0) -> Scenario:
    """The guard is restarted while one of four torrents is greedy."""
    trackers = (TrackerSpec("t1", 1 * MB, 4, peers=0),)
    phase = _one_greedy(trackers, 0, 20.0 * KB, 2 * phase_s)
    return Scenario("real_restart", trackers, (phase,), events=(RestartGuard(phase_s),), clients=CLIENTS)


def _four(name: str, trackers: tuple[TrackerSpec, ...], phase_s: float) -> Scenario:
    phases = (
        Phase(phase_s, {tracker.name: (GREEDY,) * tracker.torrents for tracker in trackers}),
        _one_greedy(trackers, 0, 20.0 * KB, phase_s),
        _lognormal(trackers, phase_s, seed=1),
        _one_greedy(trackers, 2, 15.0 * KB, phase_s),
    )
    return Scenario(name, trackers, phases, clients=CLIENTS)


def _one_greedy(trackers: tuple[TrackerSpec, ...], greedy: int, lazy: Demand, phase_s: float) -> Phase:
    return Phase(phase_s, {t.name: tuple(GREEDY if n == greedy else lazy for n in range(t.torrents)) for t in trackers})


def _lognormal(trackers: tuple[TrackerSpec, ...], phase_s: float, seed: int) -> Phase:
    """Each client wants something else of each torrent; all together somewhat more than the cap."""
    dice = random.Random(seed)
    demands: dict[str, dict[str, tuple[Demand, ...]]] = {client: {} for client in CLIENTS}
    for tracker in trackers:
        assert tracker.cap is not None
        raw = [[dice.lognormvariate(0.0, _SPREAD) for _ in range(tracker.torrents)] for _ in CLIENTS]
        scale = _WANTED_OVER_CAP * tracker.cap / sum(map(sum, raw))
        for client, values in zip(CLIENTS, raw, strict=True):
            demands[client][tracker.name] = tuple(min(max(scale * value, _LEAST), _MOST) for value in values)
    return Phase(phase_s, {tracker.name: (_LEAST,) * tracker.torrents for tracker in trackers}, of_clients=demands)


REAL: Final[Mapping[str, Callable[..., Scenario]]] = {
    builder.__name__: builder
    for builder in (
        real_four,
        real_four_two,
        real_one_hungry,
        real_short,
        real_mixed,
        real_both_ways,
        real_slots,
        real_on_off,
        real_restart,
    )
}
