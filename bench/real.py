"""Real clients: the guards of one run take turns with the same qBittorrent and the same swarm, so that they compare.

What is due in a phase is the lesser of the cap and what the clients take with no limit at all, which is measured first
wherever no torrent takes all it can get.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from bench.figures import Run, TrackerFigures, run_figures
from bench.guards import Guard, Hiring, Qguardarr, pool, qguardarr
from bench.process import MachineUsage
from lab.measure import measure
from lab.rig import Outcome, Rig
from lab.scenario import Phase, Scenario

NONE: Final = "none"
GUARDS: Final[Mapping[str, Hiring]] = {"global": pool, "qguardarr": qguardarr}

_QUIET: Final = 20_000.0
"""Bytes/s that each client wants of each torrent between two guards."""
_QUIET_S: Final = 8.0
_CONNECT_S: Final = 20.0
"""Until all clients have found qBittorrent: Transmission takes ten seconds."""
_WARM_UP_S: Final = 10.0
"""What was saved up under the phase before is spent by then."""


@dataclass(frozen=True)
class Taken:
    """What clients take of a tracker in each phase with no limit at all, bytes/s; `inf` = more than is due."""

    by_phase: Mapping[str, tuple[float, ...]]
    """By tracker."""


def play(scenario: Scenario, version: str, hirings: Mapping[str, Hiring], raw: Path | None = None) -> tuple[Run, ...]:
    """Play the scenario under each guard in turn. `raw`: file for all counts of all clients."""
    runs: list[Run] = []
    counts: list[dict[str, object]] = []
    with Rig(scenario, version) as rig:
        rig.set_phase(_quiet(scenario))
        time.sleep(_CONNECT_S)
        taken = _measure_taken(rig)
        for name, hire in hirings.items():
            _calm_down(rig)
            with hire(rig) as guard:
                run, outcome = _play_one(rig, guard, taken)
            runs.append(run)
            print(*lines(run, runs), sep="\n", flush=True)
            counts.append({"guard": name, "started": outcome.started, **_raw(outcome)})
        if raw is not None:
            raw.write_text(json.dumps({"scenario": scenario.name, "version": version, "runs": counts, **_series(rig)}))
    return tuple(runs)


def lines(run: Run, runs: Sequence[Run]) -> Iterator[str]:
    """A run as a table; beside qBittorrent's own pool, if that was played before."""
    pools = [other for other in runs if other.guard == "ideal pool" and other is not run]
    yield f"{run.scenario}, qBittorrent {run.version}, {run.guard} (machine {run.machine_percent:.0f} % busy)"
    yield (
        "  tracker  phase    due MB/s   util  ÷ pool  settled s   10 s settled   10 s   60 s  "
        "calls/min  steady  limits/min"
    )
    for number, tracker in enumerate(run.trackers):
        beside = pools[0].trackers[number] if pools else None
        yield from _rows(tracker, beside)
    if (daemon := run.daemon) is not None:
        yield f"  daemon: {daemon.calls_per_min:.1f} writing calls/min, {daemon.changes_per_min:.1f} limits/min"


def _rows(tracker: TrackerFigures, beside: TrackerFigures | None) -> Iterator[str]:
    for number, phase in enumerate(tracker.phases):
        minutes = phase.length_s / 60
        steady_minutes = max(phase.length_s - 10.0, 1.0) / 60
        calls, steady = phase.calls / minutes, phase.steady_calls / steady_minutes
        ratio = "" if beside is None else f"{phase.utilisation / beside.phases[number].utilisation:.3f}"
        yield (
            f"  {tracker.name:<8} {number + 1:>2} {phase.length_s:>3.0f} s {min(phase.cap, phase.wanted) / 1e6:>9.2f} "
            f"{phase.utilisation:>6.3f} {ratio:>7} {_or_never(phase.settling_s, 1):>10} "
            f"{_or_never(phase.settled_worst_10s, 3):>14} {phase.worst_10s:>6.3f} {phase.worst_60s:>6.3f} "
            f"{calls:>10.1f} {steady:>7.1f} {phase.changes / minutes:>11.1f}"
        )


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


def _measure_taken(rig: Rig) -> Taken:
    """Play, with no limit at all, the phases in which nobody takes all there is."""
    scenario = rig.scenario
    by_phase: dict[str, list[float]] = {tracker.name: [] for tracker in scenario.trackers}
    for phase in scenario.phases:
        bounded = [name for name, found in by_phase.items() if not _greedy(phase, name, scenario)]
        if bounded:
            outcome = rig.run(scenario=replace(scenario, phases=(_without_greed(phase, scenario),), events=()))
        for name, found in by_phase.items():
            if name in bounded:
                span = outcome.spans[name][0]
                found.append(outcome.curves[name].mean_rate(span.start + _WARM_UP_S, span.end))
            else:
                found.append(math.inf)
    return Taken({name: tuple(found) for name, found in by_phase.items()})


def _greedy(phase: Phase, tracker: str, scenario: Scenario) -> bool:
    return any(None in phase.demands_of(client)[tracker] for client in scenario.clients)


def _without_greed(phase: Phase, scenario: Scenario) -> Phase:
    """With torrents that take all there is replaced by such that take the whole cap."""
    caps = {tracker.name: tracker.cap for tracker in scenario.trackers}
    return replace(
        phase,
        demands={
            name: tuple(caps[name] if demand is None else demand for demand in demands)
            for name, demands in phase.demands.items()
        },
    )


def _with_due(outcome: Outcome, taken: Taken, scenario: Scenario) -> Outcome:
    """The outcome measured against what clients take; spans and phases must be the same."""
    spans = {
        name: tuple(replace(span, wanted=wanted) for span, wanted in zip(found, taken.by_phase[name], strict=True))
        for name, found in outcome.spans.items()
    }
    measures = {name: measure(outcome.curves[name], spans[name], scenario.settled_at) for name in spans}
    return replace(outcome, spans=spans, measures=measures)


def _calm_down(rig: Rig) -> None:
    """No limits, and little wanted."""
    web = rig.qbittorrent.web
    web.set_global_upload_limit(0)
    web.set_upload_limit(0, [t.info_hash for torrents in rig.torrents.values() for t in torrents])
    rig.set_phase(_quiet(rig.scenario))
    time.sleep(_QUIET_S)


def _quiet(scenario: Scenario) -> Phase:
    return Phase(_QUIET_S, {tracker.name: (_QUIET,) * tracker.torrents for tracker in scenario.trackers})


def _raw(outcome: Outcome) -> dict[str, object]:
    return {
        "spans": {name: [[s.start, s.end, s.cap, s.wanted] for s in spans] for name, spans in outcome.spans.items()}
    }


def _series(rig: Rig) -> dict[str, object]:
    names = {t.info_hash: t.name for torrents in rig.torrents.values() for t in torrents}
    return {"received": {names[info_hash]: by_whom for info_hash, by_whom in rig.series().items()}}
