"""Measure how well caps are held on a real qBittorrent, by the daemon, an ideal pool and an equal split.

    python bench/hold.py one_hungry lend --version all --json figures.json
    python bench/hold.py                       # lists the scenarios
    python bench/hold.py all --check           # exit code 1 if one of the issue's bounds is missed
    python -m bench.hold real_four --guard global --guard qguardarr --raw counts.json     # real clients: bench/real.py

Ratios: `util` is bytes ÷ bytes due (the lesser of cap and demand), `settled` the same from when the tracker had
settled (lab/measure.py says what that means), `10 s` and `60 s` the worst window of that length ÷ cap.
"""

from __future__ import annotations

import argparse
import functools
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import real
from bench.figures import PhaseFigures, Run, TrackerFigures, missed_bounds, run_figures
from bench.guards import Hiring, Qguardarr, equal_split, pool, qguardarr
from bench.process import MachineUsage
from lab import namespace
from lab.real import REAL
from lab.rig import Rig
from lab.scenario import BUILT_IN, Scenario
from lab.versions import VERSIONS

_EXACT: Final = 3


def play(scenario: Scenario, version: str, hire: Hiring) -> Run:
    """Play a scenario on a rig of its own under the guard that `hire` sets to work."""
    with Rig(scenario, version) as rig, hire(rig) as guard:
        machine = MachineUsage.now()
        outcome = rig.run(on_cap=guard.set_cap)
        busy = MachineUsage.now().percent_since(machine)
        daemon = guard if isinstance(guard, Qguardarr) else None
        if daemon is not None:
            daemon.note_end()
        return run_figures(scenario, version, guard.name, outcome, daemon, busy)


def yardsticks(scenario: Scenario) -> tuple[Hiring, ...]:
    """Return the guards to compare the daemon with: a global limit is no yardstick for several trackers."""
    return (pool, equal_split) if len(scenario.trackers) == 1 else (equal_split,)


def lines(run: Run) -> Iterator[str]:
    """A run as a table."""
    yield (
        f"{run.scenario}, qBittorrent {run.version}, {run.guard}, {run.duration_s:.0f} s "
        f"(machine {run.machine_percent:.0f} % busy)"
    )
    yield (
        "  tracker   phase    cap MB/s  wants   util  settled  settling s   10 s   60 s  settled 10 s  calls  changes"
    )
    for tracker in run.trackers:
        for number, phase in enumerate(tracker.phases, 1):
            yield f"  {tracker.name:<9} {number:>2} {phase.length_s:>3.0f} s {_phase_columns(phase)}"
        yield (
            f"  {tracker.name:<9} all   : util {tracker.utilisation:.3f}, mean ÷ cap {tracker.mean_over_cap:.3f}, "
            f"worst 10 s {tracker.worst_10s:.3f}, 60 s {tracker.worst_60s:.3f}; "
            f"{tracker.calls_per_min:.1f} calls/min ({tracker.steady_calls_per_min:.1f} once steady), "
            f"{tracker.changes_per_min:.1f} changes/min ({tracker.changes_per_active_min:.2f} per active torrent)"
        )
    if (daemon := run.daemon) is not None:
        yield (
            f"  daemon: {daemon.reads_per_min:.1f} reads/min ({daemon.reads} in {daemon.cycles} cycles), "
            f"{daemon.calls_per_min:.1f} calls/min, {daemon.changes_per_min:.1f} changed limits/min "
            f"({daemon.changes_per_active_min:.2f} per active torrent), CPU {daemon.cpu_percent:.1f} %, "
            f"RSS {daemon.rss_bytes / 2**20:.1f} MiB (peak {daemon.peak_rss_bytes / 2**20:.1f}), "
            f"{daemon.received_per_min / 1000:.0f} kB/min received"
        )


def comparison(ours: Run, others: Sequence[Run]) -> Iterator[str]:
    """The daemon beside the yardsticks: their value, and ours ÷ theirs."""
    yield f"{ours.scenario}, qBittorrent {ours.version}: {ours.guard} beside the yardsticks (ours ÷ theirs)"
    for number, tracker in enumerate(ours.trackers):
        for title, value in _compared(tracker):
            beside = (_beside(value, dict(_compared(other.trackers[number]))[title], other.guard) for other in others)
            yield f"  {tracker.name:<9} {title:<13} {value:6.3f}   " + "   ".join(beside)


def _phase_columns(phase: PhaseFigures) -> str:
    wants = "more" if math.isinf(phase.wanted) else f"{phase.wanted / 1e6:.2f}"
    return (
        f"{phase.cap / 1e6:>10.2f} {wants:>6} {phase.utilisation:>6.3f} {_or_never(phase.settled_utilisation):>8} "
        f"{_or_never(phase.settling_s, 1):>11} {phase.worst_10s:>6.3f} {phase.worst_60s:>6.3f} "
        f"{_or_never(phase.settled_worst_10s):>13} {phase.calls:>6} {phase.changes:>8}"
    )


def _or_never(value: float | None, digits: int = _EXACT) -> str:
    return "never" if value is None else f"{value:.{digits}f}"


def _compared(tracker: TrackerFigures) -> tuple[tuple[str, float], ...]:
    return (
        ("utilisation", tracker.utilisation),
        ("mean ÷ cap", tracker.mean_over_cap),
        ("worst 10 s", tracker.worst_10s),
        ("worst 60 s", tracker.worst_60s),
    )


def _beside(ours: float, theirs: float, name: str) -> str:
    ratio = ours / theirs if theirs else math.inf
    return f"{name} {theirs:.3f} ({ratio:.3f})"


def _measure(scenario: Scenario, version: str, options: argparse.Namespace) -> tuple[Run, ...]:
    hirings: list[Hiring] = [functools.partial(qguardarr, interval_s=options.interval)]
    if not options.no_yardsticks:
        hirings += yardsticks(scenario)
    runs = []
    for hire in hirings:
        runs.append(play(scenario, version, hire))
        print(*lines(runs[-1]), sep="\n", flush=True)
    if len(runs) > 1:
        print(*comparison(runs[0], runs[1:]), sep="\n")
    print(flush=True)
    return tuple(runs)


def _measure_real(name: str, version: str, options: argparse.Namespace) -> tuple[real.Played, ...]:
    """The daemon first, as elsewhere; by default it is played last."""
    scenario = REAL[name]() if options.phase is None else REAL[name](options.phase)
    chosen = options.guard or list(real.GUARDS)
    hirings = {guard: real.GUARDS[guard] for guard in chosen}
    if len(scenario.trackers) > 1:
        hirings.pop("global", None)  # no measure for several trackers
    played = real.play(scenario, version, hirings, options.raw)
    print(flush=True)
    return tuple(sorted(played, key=lambda each: each.run.guard != "qguardarr"))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0],
        epilog=f"Scenarios: {', '.join(BUILT_IN)}. With real clients: {', '.join(REAL)}",
    )
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help="what happens; `all` for each")
    parser.add_argument("--version", default="5.1.0", choices=(*VERSIONS, "all"), help="of qBittorrent")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    parser.add_argument("--no-yardsticks", action="store_true", help="the daemon only")
    parser.add_argument("--interval", type=float, metavar="S", help="the daemon's update_interval")
    parser.add_argument("--check", action="store_true", help="fail if one of the issue's bounds is missed")
    parser.add_argument(
        "--guard",
        action="append",
        choices=list(real.GUARDS),
        help="real clients only: who holds the caps (default: all)",
    )
    parser.add_argument("--phase", type=float, metavar="S", help="real clients only: length of each phase")
    parser.add_argument("--small-buffers", action="store_true", help="real clients only: see lab/namespace.py")
    parser.add_argument("--raw", type=Path, metavar="FILE", help="real clients only: write all that they counted there")
    options = parser.parse_args(arguments)
    if options.scenarios == ["all"]:
        options.scenarios = list(BUILT_IN)
    unknown = [name for name in options.scenarios if name not in BUILT_IN and name not in REAL]
    if unknown or not options.scenarios:
        parser.error(f"no scenario {unknown or 'named'}; there are: {', '.join((*BUILT_IN, *REAL))}")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print; exit code 1 only with `--check`."""
    options = _options(arguments)
    if any(name in REAL for name in options.scenarios) and not namespace.inside():
        words = sys.argv[1:] if arguments is None else arguments
        namespace.enter("bench.hold", words, small_buffers=options.small_buffers)
    versions = VERSIONS if options.version == "all" else (options.version,)
    runs: list[Run | real.Played] = []
    missed: list[str] = []
    for name in options.scenarios:
        for version in versions:
            if name in REAL:
                runs += _measure_real(name, version, options)
                continue
            found = _measure(BUILT_IN[name](), version, options)
            runs += found
            missed += [f"{name} on {version}: {words}" for words in missed_bounds(found[0])]
    if options.json is not None:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(runs)))
    if options.check:
        print(*(f"MISSED {words}" for words in missed), sep="\n")
        print(f"{len(missed)} bounds missed" if missed else "all bounds kept")
    return 1 if options.check and missed else 0


if __name__ == "__main__":
    sys.exit(main())
