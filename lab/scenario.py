"""Scenarios as data: trackers with caps, torrents, phases of demand, events. Rates in bytes/s, times in seconds."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from lab.demand import Bursty, Demand, OnOff, Plain
from lab.measure import SETTLED_UTILISATION

GREEDY: Final[Plain] = None
"""Takes all it can get."""

IDLE: Final[Plain] = 0.0
"""Takes nothing."""

_BURSTS: Final = (32_768, 200_000, 500_000)
"""Bytes, as measured (docs/measurements.md, "Real clients, observed")."""

MB: Final = 1_000_000
KB: Final = 1_000


@dataclass(frozen=True)
class TrackerSpec:
    """A tracker, its cap, and its torrents."""

    name: str
    cap: int | None
    """Bytes/s for all its torrents together; None = unlimited."""
    torrents: int
    priority: int = 5
    """1 … 10, as in the daemon's configuration."""
    peers: int = 4
    """Connections of each torrent, by the lab's own peers; 0 = none."""
    downloading: int = 0
    """Number of its torrents, the first ones, that qBittorrent itself still downloads while it uploads them. Only with
    real clients: the lab's own peers ask for pieces that it may not have."""


@dataclass(frozen=True)
class Phase:
    """A stretch of steady demand."""

    duration_s: float
    demands: Mapping[str, tuple[Demand, ...]]
    """One demand for each torrent, by tracker."""
    allowed: Mapping[str, int] = field(default_factory=dict)
    """Bytes/s that a tracker may use in this phase, where that is not its cap (because it borrows)."""
    of_clients: Mapping[str, Mapping[str, tuple[Demand, ...]]] = field(default_factory=dict)
    """Demands of a real client where they are not `demands`; by client, then by tracker."""

    def demands_of(self, client: str) -> Mapping[str, tuple[Demand, ...]]:
        """Return the demands of a real client for each torrent, by tracker."""
        return {**self.demands, **self.of_clients.get(client, {})}


@dataclass(frozen=True)
class SetCap:
    """A person changes a cap; the guard is told."""

    at_s: float
    """Since the start of the run."""
    tracker: str
    cap: int | None


@dataclass(frozen=True)
class KillQBittorrent:
    """SIGKILL."""

    at_s: float
    """Since the start of the run."""


@dataclass(frozen=True)
class StartQBittorrent:
    """Start it again, on the same profile and ports."""

    at_s: float
    """Since the start of the run."""


@dataclass(frozen=True)
class RestartGuard:
    """The guard that holds the caps is ended and started again."""

    at_s: float
    """Since the start of the run."""


Event = SetCap | KillQBittorrent | StartQBittorrent | RestartGuard


@dataclass(frozen=True)
class Scenario:
    """Events and demands of a run."""

    name: str
    trackers: tuple[TrackerSpec, ...]
    phases: tuple[Phase, ...]
    strategy: str = "equal"
    """`global.allocation_strategy` of the daemon."""
    settings: Mapping[str, object] = field(default_factory=dict)
    """Other settings of the daemon's `global` section."""
    events: tuple[Event, ...] = ()
    """In order of time."""
    by_hand: Mapping[str, int] = field(default_factory=dict)
    """Upload limit (bytes/s) that a person gave each of its torrents before all else; by tracker."""
    before: tuple[Phase, ...] = ()
    """Played before the guard comes, and not measured."""
    settled_at: float = SETTLED_UTILISATION
    """Part of the bytes due from which on the rate counts as right."""
    clients: tuple[str, ...] = ()
    """Families of real clients (`lab.clients`) that download every torrent, each with the demand of the phase. With
    them, qBittorrent has its makers' settings, and all is in a namespace (`lab.namespace`)."""

    @property
    def duration_s(self) -> float:
        return sum(phase.duration_s for phase in self.phases)

    def __post_init__(self) -> None:
        sizes = {tracker.name: tracker.torrents for tracker in self.trackers}
        for phase in (*self.before, *self.phases):
            if {name: len(demands) for name, demands in phase.demands.items()} != sizes:
                raise ValueError(f"{self.name}: a phase needs one demand for each torrent of each tracker")
        if list(self.events) != sorted(self.events, key=lambda event: event.at_s):
            raise ValueError(f"{self.name}: events out of order")


def one_hungry(phase_s: float = 60.0) -> Scenario:
    """One greedy torrent among nine lazy ones."""
    demands = {"t1": (GREEDY, *(20.0 * KB,) * 9)}
    return Scenario("one_hungry", (TrackerSpec("t1", 1 * MB, 10),), (Phase(phase_s, demands),))


def hungry_moves(phase_s: float = 40.0) -> Scenario:
    """The one greedy torrent is another one in each phase."""

    def hungry(index: int) -> Phase:
        return Phase(phase_s, {"t1": tuple(GREEDY if n == index else 20.0 * KB for n in range(10))})

    return Scenario("hungry_moves", (TrackerSpec("t1", 1 * MB, 10),), (hungry(0), hungry(4), hungry(9)))


def all_greedy(phase_s: float = 60.0) -> Scenario:
    """Ten torrents take all they can get."""
    return Scenario("all_greedy", (TrackerSpec("t1", 1 * MB, 10),), (Phase(phase_s, {"t1": (GREEDY,) * 10}),))


def random_demands(phase_s: float = 60.0, phases: int = 4, seed: int = 1) -> Scenario:
    """Wide random demands over three trackers: one starved, one about right, one with room to spare."""
    trackers = (TrackerSpec("t1", 1 * MB, 30), TrackerSpec("t2", 3 * MB, 30), TrackerSpec("t3", 8 * MB, 30))
    return Scenario("random_demands", trackers, _random_phases(trackers, phase_s, phases, seed))


def random_demands_100(phase_s: float = 60.0, phases: int = 4, seed: int = 1) -> Scenario:
    """100 active torrents of one tracker, with wide random demands."""
    trackers = (TrackerSpec("t1", 5 * MB, 100, peers=2),)
    return Scenario("random_demands_100", trackers, _random_phases(trackers, phase_s, phases, seed))


def lend(phase_s: float = 40.0) -> Scenario:
    """`lender` is idle and lends, wakes and takes back, and lends again. A borrower may use 1.5 × its cap."""
    trackers = (TrackerSpec("borrower", 1 * MB, 5), TrackerSpec("lender", 1 * MB, 5))
    lending = Phase(phase_s, {"borrower": (GREEDY,) * 5, "lender": (IDLE,) * 5}, allowed={"borrower": 1 * MB + MB // 2})
    reclaimed = Phase(phase_s, {"borrower": (GREEDY,) * 5, "lender": (GREEDY,) * 5})
    settings = {"max_borrow_fraction": 0.5}
    return Scenario("lend", trackers, (lending, reclaimed, lending), strategy="soft", settings=settings)


def wake(phase_s: float = 40.0) -> Scenario:
    """Twenty parked torrents wake at once, and nothing else runs."""
    phases = (Phase(phase_s / 2, {"t1": (IDLE,) * 20}), Phase(phase_s, {"t1": (GREEDY,) * 20}))
    return Scenario("wake", (TrackerSpec("t1", 1 * MB, 20),), phases)


def wake_beside_hungry(phase_s: float = 40.0) -> Scenario:
    """Twenty parked torrents wake at once while a greedy one has the whole cap."""
    phases = (
        Phase(phase_s / 2, {"t1": (GREEDY, *(IDLE,) * 20)}),
        Phase(phase_s, {"t1": (GREEDY,) * 21}),
    )
    return Scenario("wake_beside_hungry", (TrackerSpec("t1", 1 * MB, 21),), phases)


def saved_flowing(phase_s: float = 60.0) -> Scenario:
    """Ten torrents flow below 10 MiB/s set by hand when the guard comes; then they want three times the cap.
    Each has saved up to 1.5 s of its old limit."""
    modest = {"t1": (50.0 * KB,) * 10}
    return Scenario(
        "saved_flowing",
        (TrackerSpec("t1", 1 * MB, 10),),
        (Phase(10.0, modest), Phase(phase_s, {"t1": (300.0 * KB,) * 10})),
        by_hand={"t1": 10 * 2**20},
        before=(Phase(20.0, modest),),
    )


def saved_parked(phase_s: float = 60.0) -> Scenario:
    """Twenty torrents flowed below 10 MiB/s set by hand, went idle, were parked by the guard, and wake at once.
    They want ten times the cap: more would be gone before anybody could see it."""
    idle = {"t1": (IDLE,) * 20}
    return Scenario(
        "saved_parked",
        (TrackerSpec("t1", 1 * MB, 20),),
        (Phase(10.0, idle), Phase(phase_s, {"t1": (500.0 * KB,) * 20})),
        by_hand={"t1": 10 * 2**20},
        before=(Phase(10.0, {"t1": (300.0 * KB,) * 20}), Phase(3.0, idle)),
    )


def saved_huge(phase_s: float = 60.0) -> Scenario:
    """One torrent flows below 2 GB/s set by hand when the guard comes; then it wants four times the cap, beside three
    lazy ones."""
    lazy = (20.0 * KB,) * 3
    return Scenario(
        "saved_huge",
        (TrackerSpec("t1", 1 * MB, 4),),
        (Phase(10.0, {"t1": (100.0 * KB, *lazy)}), Phase(phase_s, {"t1": (4.0 * MB, *lazy)})),
        by_hand={"t1": 2_000_000_000},
        before=(Phase(8.0, {"t1": (100.0 * KB, *lazy)}),),
    )


def mass_wake(phase_s: float = 40.0) -> Scenario:
    """Sixty parked torrents wake at once."""
    phases = (Phase(phase_s / 2, {"t1": (IDLE,) * 60}), Phase(phase_s, {"t1": (GREEDY,) * 60}))
    return Scenario("mass_wake", (TrackerSpec("t1", 1 * MB, 60, peers=2),), phases)


def restart(phase_s: float = 40.0, away_s: float = 5.0) -> Scenario:
    """qBittorrent is killed and started again while one torrent is greedy and nine are lazy."""
    demands = {"t1": (GREEDY, *(20.0 * KB,) * 9)}
    events = (KillQBittorrent(phase_s), StartQBittorrent(phase_s + away_s))
    length_s = 2 * phase_s + away_s
    return Scenario("restart", (TrackerSpec("t1", 1 * MB, 10),), (Phase(length_s, demands),), events=events)


def new_cap(phase_s: float = 40.0) -> Scenario:
    """A person halves the cap, and later doubles it."""
    demands = {"t1": (GREEDY, GREEDY, *(20.0 * KB,) * 8)}
    events = (SetCap(phase_s, "t1", 1 * MB), SetCap(2 * phase_s, "t1", 2 * MB))
    return Scenario("new_cap", (TrackerSpec("t1", 2 * MB, 10),), (Phase(3 * phase_s, demands),), events=events)


def busy_small(phase_s: float = 90.0, seed: int = 1) -> Scenario:
    """300 torrents with small demands that add up to a little more than the cap."""
    dice = random.Random(seed)
    demands = {"t1": tuple(dice.uniform(5 * KB, 17 * KB) for _ in range(300))}
    return Scenario("busy_small", (TrackerSpec("t1", 3 * MB, 300, peers=1),), (Phase(phase_s, demands),))


def multi(phase_s: float = 20.0) -> Scenario:
    """Three trackers, lazy torrents and a few greedy ones, which are others in each phase."""
    trackers = tuple(TrackerSpec(name, cap, 10) for name, cap in (("t1", 1 * MB), ("t2", 2 * MB), ("t3", 4 * MB)))

    def shifted(phase: int) -> Phase:
        demands: dict[str, tuple[Demand, ...]] = {}
        for number, tracker in enumerate(trackers):
            greedy = {(3 * phase + number + step) % tracker.torrents for step in range(number + 1)}
            demands[tracker.name] = tuple(GREEDY if n in greedy else 20.0 * KB for n in range(tracker.torrents))
        return Phase(phase_s, demands)

    return Scenario("multi", trackers, tuple(shifted(phase) for phase in range(5)))


def on_off(phase_s: float = 60.0) -> Scenario:
    """Half of twelve torrents switch on and off, beside one greedy and five lazy ones.

    Periods are 2, 5, 15 and 60 s, duties 5 to 80 %.
    """
    switching = (
        OnOff(GREEDY, 2.0, 0.05),
        OnOff(GREEDY, 2.0, 0.5),
        OnOff(GREEDY, 5.0, 0.2, 1.0),
        OnOff(300.0 * KB, 5.0, 0.8),
        OnOff(GREEDY, 15.0, 0.3, 4.0),
        OnOff(GREEDY, 60.0, 0.5),
    )
    demands = {"t1": (GREEDY, *(20.0 * KB,) * 5, *switching)}
    return Scenario("on_off", (TrackerSpec("t1", 1 * MB, 12),), (Phase(phase_s, demands),))


def on_off_slow(phase_s: float = 120.0) -> Scenario:
    """`on_off` with periods of 15 and 60 s only."""
    switching = tuple(
        OnOff(GREEDY, period_s, duty, offset_s)
        for period_s, duty, offset_s in (
            (15.0, 0.05, 2.0),
            (15.0, 0.3, 7.0),
            (15.0, 0.8, 0.0),
            (60.0, 0.2, 5.0),
            (60.0, 0.5, 30.0),
            (60.0, 0.8, 50.0),
        )
    )
    demands = {"t1": (GREEDY, *(20.0 * KB,) * 5, *switching)}
    return Scenario("on_off_slow", (TrackerSpec("t1", 1 * MB, 12),), (Phase(phase_s, demands),))


def trickle(phase_s: float = 60.0, seed: int = 1) -> Scenario:
    """Forty torrents trickle in bursts, as real clients do under a limit of their own, beside three greedy ones."""
    dice = random.Random(seed)
    trickling = tuple(Bursty(dice.uniform(5 * KB, 20 * KB), dice.choice(_BURSTS)) for _ in range(40))
    demands = {"t1": (*(GREEDY,) * 3, *trickling)}
    return Scenario("trickle", (TrackerSpec("t1", 2 * MB, 43, peers=1),), (Phase(phase_s, demands),))


BUILT_IN: Final[Mapping[str, Callable[[], Scenario]]] = {
    builder.__name__: builder
    for builder in (
        one_hungry,
        hungry_moves,
        all_greedy,
        random_demands,
        random_demands_100,
        lend,
        wake,
        wake_beside_hungry,
        saved_flowing,
        saved_parked,
        saved_huge,
        mass_wake,
        restart,
        new_cap,
        busy_small,
        multi,
        on_off,
        on_off_slow,
        trickle,
    )
}


def _random_phases(trackers: tuple[TrackerSpec, ...], phase_s: float, phases: int, seed: int) -> tuple[Phase, ...]:
    """Demands log-uniform between 2 kB/s and 1 MB/s, new in each phase."""
    dice = random.Random(seed)

    def demand() -> float:
        return math.exp(dice.uniform(math.log(2 * KB), math.log(1 * MB)))

    return tuple(
        Phase(phase_s, {tracker.name: tuple(demand() for _ in range(tracker.torrents)) for tracker in trackers})
        for _ in range(phases)
    )
