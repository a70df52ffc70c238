"""Compute the figures of a run, and tell whether they are good enough. Rates in bytes/s, times in seconds."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bench.guards import Qguardarr
from lab.measure import SETTLED_OVERSHOOT, SETTLED_UTILISATION, Curve, Span, SpanMeasure, TrackerMeasure, worst_window
from lab.rig import Outcome
from lab.scenario import Scenario
from qguardarr.engine.ports import HistoryEntry

SETTLED_WITHIN_S: Final = 10.0
MEAN_MOST: Final = 1.01
WAKE_MOST: Final = 1.3
STEADY_CALLS_MOST: Final = 6.0
SHIFTING_CALLS_MOST: Final = 20.0
CHANGES_MOST: Final = 3.0
READS_MOST: Final = 1.1
"""Reads per cycle: before qBittorrent 4.6 the global limit takes one of its own twice a minute."""

_MINUTE_S: Final = 60.0
_WAKING: Final = frozenset({"wake", "wake_beside_hungry", "mass_wake"})
_SHIFTING: Final = frozenset({"random_demands_100"})
_BROKEN: Final = frozenset({"restart"})
"""Runs that measure the effect of qBittorrent's absence."""


@dataclass(frozen=True)
class PhaseFigures:
    """One tracker while neither its cap nor its demand changes."""

    start_s: float
    """Since the start of the run."""
    length_s: float
    cap: float
    wanted: float
    """`inf`: more than there is."""
    utilisation: float
    settled_utilisation: float | None
    settling_s: float | None
    """None: never."""
    worst_10s: float
    """÷ cap, whole windows in the phase."""
    worst_60s: float
    settled_worst_10s: float | None
    calls: int
    """Calls that wrote limits of this tracker."""
    steady_calls: int
    """Those calls later than 10 s after the phase began."""
    changes: int
    """Limits changed."""


@dataclass(frozen=True)
class TrackerFigures:
    """One tracker over a run."""

    name: str
    phases: tuple[PhaseFigures, ...]
    utilisation: float
    """All bytes ÷ all that was due."""
    mean_over_cap: float
    worst_10s: float
    worst_60s: float
    calls_per_min: float
    """That wrote limits of this tracker."""
    steady_calls_per_min: float
    """The same over the time later than 10 s after each phase began."""
    changes_per_min: float
    changes_per_active_min: float
    """Limits changed for each torrent with a demand, per minute."""


@dataclass(frozen=True)
class DaemonFigures:
    """Resources that the daemon used."""

    cycles: int
    reads: int
    reads_per_min: float
    calls_per_min: float
    """That wrote limits, all trackers together."""
    changes_per_min: float
    changes_per_active_min: float
    cpu_percent: float
    """Of one core."""
    rss_bytes: int
    peak_rss_bytes: int
    received_per_min: float
    """Bytes from qBittorrent, compressed."""


@dataclass(frozen=True)
class Run:
    """A scenario played under one guard."""

    scenario: str
    version: str
    guard: str
    duration_s: float
    machine_percent: float
    """Load of the whole machine, percent of all cores: the lab's own peers and all else that runs."""
    trackers: tuple[TrackerFigures, ...]
    daemon: DaemonFigures | None


class _Writes:
    """The daemon's writes during a run, on the run's clock."""

    def __init__(self, history: Sequence[HistoryEntry], trackers: Mapping[str, str], started: float) -> None:
        """`trackers`: by info hash. `started`: CLOCK_MONOTONIC seconds."""
        offset = time.time() - time.monotonic() + started
        self._lines: dict[str, list[tuple[float, int, bool]]] = {name: [] for name in trackers.values()}
        for entry in history:
            if entry.at >= offset and entry.hash in trackers:
                self._lines[trackers[entry.hash]].append((entry.at - offset, entry.new, entry.new > entry.old))

    def between(self, tracker: str, start_s: float, end_s: float) -> tuple[int, int]:
        """Return calls and changed limits: raises (or cuts) to one limit at one time went into one call."""
        lines = [line for line in self._lines[tracker] if start_s <= line[0] < end_s]
        return len(set(lines)), len(lines)


def run_figures(
    scenario: Scenario, version: str, name: str, outcome: Outcome, guard: Qguardarr | None, machine_percent: float
) -> Run:
    """Return all figures of a run. `guard`: the daemon, if it held the caps."""
    owners = {t: n for n, torrents in outcome.info_hashes.items() for t in torrents}
    writes = _Writes(guard.history if guard else (), owners, outcome.started)
    active = _mean_active(scenario)
    capped = [tracker.name for tracker in scenario.trackers if tracker.cap is not None]
    return Run(
        scenario=scenario.name,
        version=version,
        guard=name,
        duration_s=scenario.duration_s,
        machine_percent=machine_percent,
        trackers=tuple(
            _tracker(n, outcome.measures[n], outcome.curves[n], outcome.started, writes, active[n]) for n in capped
        ),
        daemon=_daemon(guard, sum(active[n] for n in capped)) if guard else None,
    )


def missed_bounds(run: Run) -> Iterator[str]:
    """Yield each bound that the run misses, in words."""
    for tracker in run.trackers:
        if run.scenario not in _BROKEN:
            yield from _missed_by(tracker, run.scenario)
    if run.daemon is not None and run.daemon.reads > READS_MOST * run.daemon.cycles:
        yield f"{run.daemon.reads} reads in {run.daemon.cycles} cycles"


def _missed_by(tracker: TrackerFigures, scenario: str) -> Iterator[str]:
    name = tracker.name
    if scenario in _WAKING:
        if tracker.worst_10s > WAKE_MOST:
            yield f"{name}: worst 10 s {tracker.worst_10s:.3f} > {WAKE_MOST}"
        return
    if scenario in _SHIFTING:
        if tracker.calls_per_min > SHIFTING_CALLS_MOST:
            yield f"{name}: {tracker.calls_per_min:.1f} calls a minute > {SHIFTING_CALLS_MOST:.0f}"
        if tracker.changes_per_active_min > CHANGES_MOST:
            yield f"{name}: {tracker.changes_per_active_min:.1f} changes per active torrent and minute > {CHANGES_MOST}"
    elif tracker.steady_calls_per_min > STEADY_CALLS_MOST:
        yield f"{name}: {tracker.steady_calls_per_min:.1f} calls a minute once steady > {STEADY_CALLS_MOST:.0f}"
    if tracker.mean_over_cap > MEAN_MOST:
        yield f"{name}: whole-run mean {tracker.mean_over_cap:.3f} > {MEAN_MOST}"
    for number, phase in enumerate(tracker.phases, 1):
        yield from (f"{name} phase {number}: {words}" for words in _missed_in(phase))


def _missed_in(phase: PhaseFigures) -> Iterator[str]:
    if phase.settling_s is None or phase.settling_s > SETTLED_WITHIN_S:
        yield f"settled {'never' if phase.settling_s is None else f'after {phase.settling_s:.1f} s'}"
    if phase.settled_utilisation is not None and phase.settled_utilisation < SETTLED_UTILISATION:
        yield f"settled utilisation {phase.settled_utilisation:.3f} < {SETTLED_UTILISATION}"
    if phase.settled_worst_10s is not None and phase.settled_worst_10s > SETTLED_OVERSHOOT:
        yield f"worst 10 s once settled {phase.settled_worst_10s:.3f} > {SETTLED_OVERSHOOT}"


def _tracker(
    name: str, measure: TrackerMeasure, curve: Curve, started: float, writes: _Writes, active: float
) -> TrackerFigures:
    phases = tuple(_phase(name, span, curve, started, writes) for span in measure.spans)
    minutes = sum(phase.length_s for phase in phases) / _MINUTE_S
    steady_minutes = sum(max(0.0, phase.length_s - SETTLED_WITHIN_S) for phase in phases) / _MINUTE_S
    calls, changes = writes.between(name, 0.0, math.inf)
    due = sum(one.span.due * (one.span.end - one.span.start) for one in measure.spans)
    came = sum(one.mean_rate * (one.span.end - one.span.start) for one in measure.spans)
    return TrackerFigures(
        name=name,
        phases=phases,
        utilisation=came / due if due else 1.0,
        mean_over_cap=measure.mean_over_cap,
        worst_10s=measure.worst_10s,
        worst_60s=measure.worst_60s,
        calls_per_min=calls / minutes,
        steady_calls_per_min=sum(phase.steady_calls for phase in phases) / steady_minutes if steady_minutes else 0.0,
        changes_per_min=changes / minutes,
        changes_per_active_min=changes / minutes / active if active else 0.0,
    )


def _phase(name: str, measure: SpanMeasure, curve: Curve, started: float, writes: _Writes) -> PhaseFigures:
    span: Span = measure.span
    start_s, end_s = span.start - started, span.end - started
    calls, changes = writes.between(name, start_s, end_s)
    return PhaseFigures(
        start_s=start_s,
        length_s=end_s - start_s,
        cap=span.cap,
        wanted=span.wanted,
        utilisation=measure.utilisation,
        settled_utilisation=measure.settled_utilisation,
        settling_s=measure.settling_s,
        worst_10s=worst_window(curve, [span], 10.0),
        worst_60s=worst_window(curve, [span], 60.0),
        settled_worst_10s=measure.settled_worst_10s,
        calls=calls,
        steady_calls=writes.between(name, start_s + SETTLED_WITHIN_S, end_s)[0],
        changes=changes,
    )


def _daemon(guard: Qguardarr, active: float) -> DaemonFigures:
    (status_before, before), (status, after) = guard.before, guard.after
    minutes = (after.at - before.at) / _MINUTE_S
    reads = status.reads - status_before.reads
    changes_per_min = (status.written_limits - status_before.written_limits) / minutes
    return DaemonFigures(
        cycles=status.cycle - status_before.cycle,
        reads=reads,
        reads_per_min=reads / minutes,
        calls_per_min=(status.written_calls - status_before.written_calls) / minutes,
        changes_per_min=changes_per_min,
        changes_per_active_min=changes_per_min / active if active else 0.0,
        cpu_percent=after.cpu_percent_since(before),
        rss_bytes=after.rss_bytes,
        peak_rss_bytes=after.peak_rss_bytes,
        received_per_min=(status.bytes_received - status_before.bytes_received) / minutes,
    )


def _mean_active(scenario: Scenario) -> dict[str, float]:
    """Return the mean number of torrents with a demand over the run, by tracker."""
    return {
        tracker.name: sum(
            phase.duration_s * sum(demand != 0 for demand in phase.demands[tracker.name]) for phase in scenario.phases
        )
        / scenario.duration_s
        for tracker in scenario.trackers
    }
