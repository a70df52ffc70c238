"""Helpers for tests of the guard in virtual time: policies, a loop over the simulator, ground truth measured."""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from lab.measure import STEP_S, Curve, Span, TrackerMeasure, measure
from qguardarr.adapters.sqlite.journal import SqliteJournal
from qguardarr.core.caps.chain import with_caps
from qguardarr.core.model import UNLIMITED, ParentGroup, TrackerClass
from qguardarr.core.policy import Policy
from qguardarr.core.reconcile.registry import TorrentRegistry
from qguardarr.core.reconcile.torrent_table import TorrentState
from qguardarr.core.select.pattern import Backtrack
from qguardarr.engine.controller import Controller
from qguardarr.engine.ports import Clock, Journal, TorrentClient
from qguardarr.engine.status import Snapshot
from tests.support.simulator import TICK_S, Bursty, SimQBittorrent, SimTorrent

KB, MB = 1_000, 1_000_000


def hash_of(name: object) -> str:
    """A torrent's id, the same each time."""
    return hashlib.sha1(str(name).encode()).hexdigest()


def url_of(tracker: str) -> str:
    return f"http://{tracker}.example.org/announce"


def tracker(name: str, cap: int, priority: int = 5, **more: Any) -> TrackerClass:
    """A rule for the torrents of `url_of(name)`. `more`: other fields."""
    return TrackerClass(name, name, name, cap, priority, **more)


def policy_of(*trackers: TrackerClass, **changes: Any) -> Policy:
    """The defaults of the configuration, with these tracker rules before an unlimited catch-all."""
    values: dict[str, Any] = {
        "classes": (*trackers, TrackerClass("rest", "rest", ".*", UNLIMITED, 1)),
        "match_mode": "first",
        "strategy": "equal",
        "interval_s": 2.0,
        "uplink": UNLIMITED,
        "active_threshold": 10_240,
        "max_managed": 1000,
        "max_calls_per_cycle": 500,
        "differential_threshold": 0.2,
        "rollout_percentage": 100,
        "inventory_s": 1800.0,
        "borrow_threshold_ratio": 0.9,
        "max_borrow_fraction": 0.5,
        "smoothing_alpha": 0.4,
        "min_effective_delta": 0.1,
        "idle_limit": "auto",
        "respect_manual_limits": True,
        "foreign_limits": "auto",
        "unlimit_idle": False,
        "dry_run": False,
    }
    return Policy(**(values | changes))


def tree_of(groups: Sequence[TrackerClass], parents: Sequence[ParentGroup], **changes: Any) -> Policy:
    """A policy in force with parents, else as `policy_of`."""
    return with_caps(policy_of(*groups, parents=tuple(parents), **changes), [], 0.0)


def state_of(registry: TorrentRegistry, hash_: str) -> TorrentState:
    """A torrent that the registry must know."""
    found = registry.get(hash_)
    assert found is not None, hash_
    return found


def torrents_of(tracker: str, demands: Iterable[float], **values: Any) -> list[SimTorrent]:
    """One torrent for each demand (bytes/s), named after the tracker and numbered from 0."""
    return [SimTorrent(hash_of(f"{tracker}{i}"), url_of(tracker), demand, **values) for i, demand in enumerate(demands)]


class SimClock:
    """`Clock` on the simulation's time."""

    def __init__(self, sim: SimQBittorrent) -> None:
        self._sim = sim

    def monotonic(self) -> float:
        return self._sim.now

    def wait(self, seconds: float) -> bool:
        self._sim.run_until(self._sim.now + seconds)
        return False

    def wake(self) -> None:
        """Nobody waits: time is virtual."""


class Guarded:
    """A simulated qBittorrent, a journal on disk and a controller that guards it."""

    def __init__(
        self,
        folder: Path,
        policy: Policy,
        torrents: Sequence[SimTorrent],
        *,
        client: Callable[[SimQBittorrent], TorrentClient] | None = None,
        clock: Callable[[SimQBittorrent], Clock] = SimClock,
        backtrack: Backtrack | None = None,
        **sim: Any,
    ) -> None:
        self.sim = SimQBittorrent(torrents, **sim)
        self.path = folder / "journal.db"
        self.policy = policy
        self.backtrack = backtrack
        self.clock = clock(self.sim)
        self.client = client(self.sim) if client else self.sim
        self.journal: Journal = self.open_journal()
        self.controller = self.new_controller()

    def open_journal(self) -> SqliteJournal:
        return SqliteJournal(self.path, now=lambda: 1e9 + self.sim.now)

    def new_controller(self) -> Controller:
        self.controller = Controller(
            self.client,
            self.journal,
            self.policy,
            self.clock,
            wall_clock=lambda: 1e9 + self.sim.now,
            backtrack=self.backtrack,
        )
        return self.controller

    def restart_daemon(self) -> None:
        """The daemon was killed: all that is left of it is the journal."""
        self.journal.close()
        self.restart_daemon_with(self.open_journal())

    def restart_daemon_with(self, journal: Journal) -> None:
        """Another daemon, with this journal."""
        self.journal = journal
        self.sim.request_full()  # a new session
        self.new_controller()

    def adopt(self, policy: Policy) -> None:
        self.policy = policy
        self.controller.adopt_policy(policy)

    def cycle(self) -> Snapshot:
        """A cycle now, then time passes until the next."""
        snapshot = self.controller.cycle()
        self.sim.run_until(self.sim.now + self.controller.rest_s(self.sim.now))
        return snapshot

    def run_until(self, until: float) -> Snapshot:
        """Cycles up to that time, seconds; the last one's snapshot."""
        while self.sim.now < until:
            snapshot = self.cycle()
        return snapshot

    def run(self, seconds: float) -> Snapshot:
        return self.run_until(self.sim.now + seconds)

    def limits(self, tracker: str = "") -> dict[str, int]:
        """Limits in force, by hash."""
        return {t.hash: t.limit for t in self.sim.torrents.values() if tracker in t.url}

    def limit(self, name: str) -> int:
        return self.sim.torrents[hash_of(name)].limit

    def originals(self) -> dict[str, int]:
        """Limits that count as the persons', by hash."""
        return {state.torrent.hash: state.original for state in self.controller.registry.states()}

    def rate(self, tracker: str, start: float, end: float) -> float:
        """True bytes/s of a tracker's torrents between two times."""
        return truth(self.sim, tracker).mean_rate(start, end)

    def writes_in(self, start: float, end: float) -> int:
        """Limit-writing calls between two times."""
        return sum(1 for at, _, _ in self.sim.writes if start <= at < end)


Guard = Callable[..., Guarded]
"""Makes a `Guarded` of a policy and torrents; what else it takes goes to the simulator (the fixture `guard`)."""


def truth(sim: SimQBittorrent, tracker: str = "") -> Curve:
    """All that a tracker's torrents sent, as `lab.measure` wants it."""
    steps = round(TICK_S / STEP_S)
    ticks = [sum(parts) for parts in zip(*(t.uploads for t in sim.torrents.values() if tracker in t.url), strict=True)]
    totals = [0.0]
    for sent in ticks:
        before = totals[-1]
        totals.extend(before + sent * (k + 1) / steps for k in range(steps))
    return Curve(0.0, tuple(totals))


@dataclass
class Phase:
    """Demands (bytes/s) of a tracker's torrents in order, from `start` on."""

    start: float
    demands: Sequence[float]


def bursty(mean: float, size: float, count: int, dice: random.Random) -> list[Bursty]:
    """So many real clients, each of which takes `mean` bytes/s in bursts of about `size` bytes, at times of its own."""
    sizes = [size * dice.uniform(0.5, 1.5) for _ in range(count)]
    return [Bursty(mean, each, due=dice.uniform(0.0, each)) for each in sizes]


def greedy_clients(count: int) -> list[Bursty]:
    """So many clients that take all they can get."""
    return [Bursty(math.inf, 0.0) for _ in range(count)]


@dataclass
class Outcome:
    """How a tracker was held over a run."""

    measured: TrackerMeasure
    seconds: float
    calls: int
    changed: int
    floors: list[float]
    """Of each phase, utilisation from 10 s after its start."""
    tops: list[float]
    """Of each phase, worst 10 s window ÷ cap from 10 s after its start."""

    @property
    def calls_per_minute(self) -> float:
        return 60 * self.calls / self.seconds

    @property
    def mean(self) -> float:
        return self.measured.mean_over_cap

    @property
    def slowest(self) -> float:
        """Longest settling of the phases, seconds; infinite if one never settled."""
        return max(math.inf if s.settling_s is None else s.settling_s for s in self.measured.spans)

    def __str__(self) -> str:
        settled = ", ".join("never" if s.settling_s is None else f"{s.settling_s:.1f}" for s in self.measured.spans)
        return (
            f"mean {self.mean:.3f}  10s {self.measured.worst_10s:.3f}  60s {self.measured.worst_60s:.3f}  "
            f"use {' '.join(f'{u:.3f}' for u in self.floors)}  top {' '.join(f'{u:.3f}' for u in self.tops)}  "
            f"settled [{settled}]  calls/min {self.calls_per_minute:.1f}  changed {self.changed}"
        )


def script_phases(sim: SimQBittorrent, tracker: str, phases: Sequence[Phase]) -> None:
    """Change the demands of a tracker's torrents at the start of each phase."""
    torrents = [t for t in sim.torrents.values() if tracker in t.url]

    def change(demands: Sequence[float]) -> None:
        for torrent, demand in zip(torrents, demands, strict=True):
            torrent.demand = demand

    for phase in phases:
        sim.at(phase.start, lambda demands=phase.demands: change(demands))  # type: ignore[misc]


def outcome(guarded: Guarded, tracker: str, cap: float, phases: Sequence[Phase], end: float) -> Outcome:
    """Measure what happened from the first phase's start to `end`."""
    curve = truth(guarded.sim, tracker)
    starts = [phase.start for phase in phases] + [end]
    spans = [
        Span(start, stop, cap, math.fsum(phase.demands))
        for phase, (start, stop) in zip(phases, pairwise(starts), strict=True)
    ]
    settled = [Span(min(s.start + 10.0, s.end - 10.0), s.end, s.cap, s.wanted) for s in spans]
    hashes = {t.hash for t in guarded.sim.torrents.values() if tracker in t.url}
    writes = [(at, sum(h in hashes for h in who)) for at, _, who in guarded.sim.writes if starts[0] <= at < end]
    measured = [measure(curve, [span]) for span in settled]
    return Outcome(
        measured=measure(curve, spans),
        seconds=end - starts[0],
        calls=sum(1 for _, count in writes if count),
        changed=sum(count for _, count in writes),
        floors=[curve.mean_rate(s.start, s.end) / s.due for s in settled],
        tops=[m.worst_10s for m in measured],
    )
