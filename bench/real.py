"""Play scenarios with real clients: guards take turns, each with a swarm of its own that was never greedy before.

A client that was greedy has requested megabytes ahead and has grown sockets; for minutes it receives less than it is
sent. So the second guard of one swarm looks worse, qBittorrent's own pool included. The bytes due in a phase are the
lesser of the cap and of the bytes that clients take with no limit at all. These are measured first, with another swarm,
unless some torrent always takes all it can get.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import msgspec

from bench.figures import SETTLED_WITHIN_S, Run, TrackerFigures, run_figures
from bench.guards import Guard, Hiring, Qguardarr, pool, qguardarr
from bench.process import BenchError, MachineUsage
from lab.clients import Client
from lab.demand import Demand, OnOff
from lab.measure import Span, measure, worst_window
from lab.rig import Outcome, Rig
from lab.scenario import Phase, Scenario

GUARDS: Final[Mapping[str, Hiring]] = {"global": pool, "qguardarr": qguardarr}

_QUIET: Final = 20_000.0
"""Bytes/s that each client wants of each torrent before a guard comes."""
_QUIET_S: Final = 4.0
_FLOWING_WITHIN_S: Final = 60.0
_SLOTS: Final = 20
"""qBittorrent's default of `max_uploads`."""
_SLOTS_EACH: Final = 4
"""qBittorrent's default of `max_uploads_per_torrent`."""
_LOOK_EVERY_S: Final = 0.5

Taken = Mapping[str, Sequence[float]]
"""Bytes/s that clients take in each phase with no limit at all, or the cap if that is surely less; by tracker."""


@dataclass(frozen=True)
class Late:
    """One phase of a tracker from 10 s after its beginning on; in short ones, the later half."""

    utilisation: float
    """Use of the cap by the count of the clients."""
    sent: float
    """The same by qBittorrent's own count, over the whole phase."""
    sent_worst_10s: float
    """÷ cap, by qBittorrent's own count."""


@dataclass(frozen=True)
class Played:
    """A run under one guard."""

    run: Run
    late: Mapping[str, tuple[Late, ...]]
    """Each phase, by tracker."""


def play(
    scenario: Scenario, version: str, hirings: Mapping[str, Hiring], raw: Path | None = None
) -> tuple[Played, ...]:
    """Play the scenario under each guard in turn. `raw`: file for all counts of all clients."""
    played: list[Played] = []
    counts: list[dict[str, object]] = []
    taken = _taken(scenario, version)
    for name, hire in hirings.items():
        with _flowing(scenario, version) as rig, hire(rig) as guard:
            run, outcome = _play_one(rig, guard, taken)
            counts.append({"guard": name, "started": outcome.started, "spans": outcome.spans, **_counts(rig)})
        played.append(Played(run, {tracker: tuple(_late(outcome, tracker)) for tracker in outcome.spans}))
        print(*lines(played[-1], played[:-1]), sep="\n", flush=True)
    if raw is not None:
        raw.write_bytes(msgspec.json.encode({"scenario": scenario.name, "version": version, "runs": counts}))
    return tuple(played)


@contextlib.contextmanager
def _flowing(scenario: Scenario, version: str) -> Iterator[Rig]:
    """A rig whose clients all take a little already."""
    with Rig(scenario, version) as rig:
        rig.set_phase(_quiet(scenario))
        _wait_until_flowing(rig)
        yield rig


def lines(played: Played, before: Sequence[Played]) -> Iterator[str]:
    """A run as a table; beside qBittorrent's own pool, if that was played before."""
    run = played.run
    pools = [other for other in before if other.run.guard == "ideal pool"]
    yield f"{run.scenario}, qBittorrent {run.version}, {run.guard} (machine {run.machine_percent:.0f} % busy)"
    yield (
        "  tracker  phase    due MB/s   util  after 10 s  ÷ pool  settled s   10 s   60 s  "
        "sent: util  10 s  calls/min  steady  limits/min"
    )
    for tracker in run.trackers:
        beside = pools[0].late[tracker.name] if pools else None
        yield from _rows(tracker, played.late[tracker.name], beside)
    if (daemon := run.daemon) is not None:
        yield f"  daemon: {daemon.calls_per_min:.1f} writing calls/min, {daemon.changes_per_min:.1f} limits/min"


def _rows(tracker: TrackerFigures, lates: Sequence[Late], beside: Sequence[Late] | None) -> Iterator[str]:
    for number, (phase, late) in enumerate(zip(tracker.phases, lates, strict=True)):
        minutes = phase.length_s / 60
        steady_minutes = max(phase.length_s - SETTLED_WITHIN_S, 1.0) / 60
        calls, steady = phase.calls / minutes, phase.steady_calls / steady_minutes
        ratio = "" if beside is None else f"{late.utilisation / beside[number].utilisation:.3f}"
        yield (
            f"  {tracker.name:<8} {number + 1:>2} {phase.length_s:>3.0f} s {min(phase.cap, phase.wanted) / 1e6:>9.2f} "
            f"{phase.utilisation:>6.3f} {late.utilisation:>11.3f} {ratio:>7} {_or_never(phase.settling_s, 1):>10} "
            f"{phase.worst_10s:>6.3f} {phase.worst_60s:>6.3f} {late.sent:>11.3f} {late.sent_worst_10s:>5.3f} "
            f"{calls:>10.1f} {steady:>7.1f} {phase.changes / minutes:>11.1f}"
        )


def _settled_start(span: Span) -> float:
    """Return when quota saved in the phase before is spent: after 10 s, or half of a short phase."""
    return span.start + min(SETTLED_WITHIN_S, (span.end - span.start) / 2)


def _late(outcome: Outcome, tracker: str) -> Iterator[Late]:
    sent, received = outcome.sent[tracker], outcome.curves[tracker]
    for span in outcome.spans[tracker]:
        late = replace(span, start=_settled_start(span))
        yield Late(
            utilisation=received.mean_rate(late.start, late.end) / span.due,
            sent=sent.mean_rate(span.start, span.end) / span.due,
            sent_worst_10s=worst_window(sent, [late], 10.0),
        )


def _wait_until_flowing(rig: Rig) -> None:
    """Wait until each client has received something of each torrent, which takes Transmission up to twenty seconds. If
    there are fewer upload slots than connections, some may never: then wait until all are connected."""
    connections = [len(rig.clients) + spec.peers for spec in rig.scenario.trackers for _ in range(spec.torrents)]
    scarce = max(connections) > _SLOTS_EACH or sum(connections) > _SLOTS

    def ready(client: Client) -> bool:
        return all((client.connected() if scarce else client.counts()).values())

    deadline = time.monotonic() + _FLOWING_WITHIN_S
    while waiting := [name for name, client in rig.clients.items() if not ready(client)]:
        if time.monotonic() > deadline:
            raise BenchError(f"{', '.join(waiting)}: not all torrents flow within {_FLOWING_WITHIN_S:.0f} s")
        time.sleep(_LOOK_EVERY_S)


def _or_never(value: float | None, digits: int) -> str:
    return "never" if value is None else f"{value:.{digits}f}"


def _play_one(rig: Rig, guard: Guard, taken: Taken) -> tuple[Run, Outcome]:
    daemon = guard if isinstance(guard, Qguardarr) else None
    machine = MachineUsage.now()
    outcome = rig.run(on_cap=guard.set_cap, on_restart=daemon.restart if daemon else None)
    busy = MachineUsage.now().percent_since(machine)
    if daemon is not None:
        daemon.note_end()
    outcome = _with_due(outcome, taken, rig.scenario)
    return run_figures(rig.scenario, rig.version, guard.name, outcome, daemon, busy), outcome


def _taken(scenario: Scenario, version: str) -> Taken:
    """Measure what clients take with no limit at all, unless some torrent always takes all it can."""
    caps = _caps(scenario)
    if all(_greedy(phase, name, scenario) for phase in scenario.phases for name in caps):
        return {name: [cap] * len(scenario.phases) for name, cap in caps.items()}
    with _flowing(scenario, version) as rig:
        return _measure_taken(rig)


def _measure_taken(rig: Rig) -> Taken:
    """Play, with no limit at all, the phases in which nobody takes all there is."""
    scenario = rig.scenario
    caps = _caps(scenario)
    by_phase: dict[str, list[float]] = {name: [] for name in caps}
    for phase in scenario.phases:
        bounded = [name for name, found in by_phase.items() if not _greedy(phase, name, scenario)]
        if bounded:
            outcome = rig.run(scenario=replace(scenario, phases=(_without_greed(phase, scenario),), events=()))
        for name, found in by_phase.items():
            if name in bounded:
                span = outcome.spans[name][0]
                found.append(outcome.curves[name].mean_rate(_settled_start(span), span.end))
            else:
                found.append(caps[name])
    return by_phase


def _greedy(phase: Phase, tracker: str, scenario: Scenario) -> bool:
    return any(None in phase.demands_of(client)[tracker] for client in scenario.clients)


def _without_greed(phase: Phase, scenario: Scenario) -> Phase:
    """With the whole cap wanted where all there is was wanted."""
    caps = _caps(scenario)

    def bounded(demands: Mapping[str, tuple[Demand, ...]]) -> dict[str, tuple[Demand, ...]]:
        return {
            tracker: tuple(_bounded(demand, caps[tracker]) for demand in those) for tracker, those in demands.items()
        }

    of_clients = {client: bounded(demands) for client, demands in phase.of_clients.items()}
    return replace(phase, demands=bounded(phase.demands), of_clients=of_clients)


def _caps(scenario: Scenario) -> dict[str, float]:
    """Return bytes/s by tracker."""
    return {tracker.name: math.inf if tracker.cap is None else float(tracker.cap) for tracker in scenario.trackers}


def _bounded(demand: Demand, most: float) -> Demand:
    match demand:
        case None:
            return most
        case OnOff(on=None):
            return replace(demand, on=most)
    return demand


def _with_due(outcome: Outcome, taken: Taken, scenario: Scenario) -> Outcome:
    """The outcome measured against what clients take; spans and phases must be the same."""
    spans = {
        name: tuple(replace(span, wanted=wanted) for span, wanted in zip(found, taken[name], strict=True))
        for name, found in outcome.spans.items()
    }
    measures = {name: measure(outcome.curves[name], spans[name], scenario.settled_at) for name in spans}
    return replace(outcome, spans=spans, measures=measures)


def _quiet(scenario: Scenario) -> Phase:
    return Phase(_QUIET_S, {tracker.name: (_QUIET,) * tracker.torrents for tracker in scenario.trackers})


def _counts(rig: Rig) -> dict[str, object]:
    """Of each torrent by name: what each client received, and what qBittorrent sent."""
    names = {t.info_hash: t.name for torrents in rig.torrents.values() for t in torrents}
    return {
        "received": {names[info_hash]: by_whom for info_hash, by_whom in rig.series().items()},
        "sent": {name: rig.sent.series(info_hash) if rig.sent else [] for info_hash, name in names.items()},
    }
