"""Play closed-loop scenarios in virtual time, with constants of the core overridden.

    python -m bench.loop                                              # all scenarios, one seed
    python -m bench.loop four slots --seeds 3
    python -m bench.loop trickle --set measure.burstiness.SLOW_S=4    # compare with the line without --set

Printed for each scenario: `use`, bytes sent ÷ bytes that clients would have taken of the cap with no limit at all, from
10 s after each change on; `first`, the same over the first 10 s; `worst 10 s` ÷ cap; limit-writing calls a minute; and
a digest of all writes, which is the same for the same behaviour.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import math
import random
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import qguardarr.core.reconcile.decide  # noqa: F401 (so that every module of the core is loaded)
from lab.measure import Curve, Span, worst_window
from tests.support.guard_loop import Guarded, bursty, greedy_clients, policy_of, torrents_of, tracker, truth
from tests.support.simulator import Bursty, SimQBittorrent, SimTorrent

MB: Final = 1_000_000
GREEDY: Final = math.inf
START_S: Final = 20.0

Action = Callable[[Sequence[SimTorrent]], None]


class Scenario(NamedTuple):
    """Torrents of one tracker, and changes of what their peers want."""

    torrents: int
    peers: int
    cap: int
    end_s: float
    script: Sequence[tuple[float, Action]]
    changes: Sequence[float]
    """Times from which use is measured, seconds."""


def _clients(means: Sequence[float], size: float, peers: int, seed: int) -> Action:
    """Give each torrent real clients of its mean demand, in bursts of about `size` bytes."""

    def act(torrents: Sequence[SimTorrent]) -> None:
        dice = random.Random(seed)
        for torrent, mean in zip(torrents, means, strict=True):
            none: list[Bursty] = []
            torrent.clients = (
                greedy_clients(peers) if mean == GREEDY else bursty(mean, size, peers, dice) if mean else none
            )

    return act


def _demands(demands: Sequence[float]) -> Action:
    def act(torrents: Sequence[SimTorrent]) -> None:
        for torrent, demand in zip(torrents, demands, strict=False):
            torrent.demand = demand

    return act


def four(seed: int, size: float = 60e3) -> Scenario:
    """Four torrents of three real clients each: all greedy, one greedy, lognormal demands, another one greedy."""
    dice = random.Random(seed)
    spread = [20e3 * math.exp(dice.gauss(1.2, 1.2)) for _ in range(4)]
    phases = [[GREEDY] * 4, [GREEDY, 20e3, 20e3, 20e3], spread, [15e3, 15e3, GREEDY, 15e3]]
    script = [(START_S + 60 * k, _clients(phase, size, 3, 100 * seed + k)) for k, phase in enumerate(phases)]
    return Scenario(4, 3, MB, 260.0, script, [at for at, _ in script])


def onoff(seed: int, period_s: float, duty: float) -> Scenario:
    """Four greedy torrents beside four that are greedy for a part (`duty`) of each period."""
    dice, end_s = random.Random(seed), START_S + max(120.0, 3 * period_s)
    script: list[tuple[float, Action]] = [(START_S, _demands([GREEDY] * 4))]
    for i in range(4, 8):
        at = START_S + dice.uniform(0, period_s)
        while at < end_s:
            length = period_s * dice.uniform(0.8, 1.2)
            script.append((at, lambda torrents, i=i: setattr(torrents[i], "demand", GREEDY)))  # type: ignore[misc]
            script.append((at + duty * length, lambda torrents, i=i: setattr(torrents[i], "demand", 0.0)))  # type: ignore[misc]
            at += length
    return Scenario(8, 3, MB, end_s, script, [START_S])


def slots(seed: int) -> Scenario:
    """Twelve torrents whose real clients want half of the cap together, as with scarce upload slots."""
    return Scenario(12, 4, MB, 200.0, [(START_S, _clients([10e3] * 12, 200e3, 4, seed))], [START_S])


def trickle(seed: int) -> Scenario:
    """Forty torrents that trickle in bursts beside three greedy ones."""
    script = [(START_S, _demands([GREEDY] * 3)), (START_S, _clients([0.0] * 3 + [5e3] * 40, 60e3, 1, seed))]
    return Scenario(43, 2, MB, 200.0, script, [START_S])


def churn(seed: int) -> Scenario:
    """Sixty torrents whose demands change at random each minute."""
    dice = random.Random(7 * seed)
    kinds = [0.0, 0.0, 5e3, 2e4, 1e5, 4e5, GREEDY]
    script = [(START_S + 60 * k, _demands([dice.choice(kinds) for _ in range(60)])) for k in range(4)]
    return Scenario(60, 3, 3 * MB, 260.0, script, [at for at, _ in script])


def wake(_seed: int) -> Scenario:
    """Twenty of eighty torrents wake at once, beside one that is greedy."""
    script = [(START_S, _demands([GREEDY])), (60.0, _demands([GREEDY] * 20))]
    return Scenario(80, 4, MB, 140.0, script, [START_S, 60.0])


def move(_seed: int) -> Scenario:
    """One greedy torrent among nine lazy ones, and another one each 40 s."""
    phases = [[GREEDY if n == k else 3e4 for n in range(10)] for k in (0, 5, 9)]
    script = [(START_S + 40 * k, _demands(phase)) for k, phase in enumerate(phases)]
    return Scenario(10, 4, MB, 140.0, script, [at for at, _ in script])


SCENARIOS: Final[dict[str, Callable[[int], Scenario]]] = {
    "four": four,
    "four_large_bursts": lambda seed: four(seed, 150e3),
    "onoff_2s": lambda seed: onoff(seed, 2.0, 0.8),
    "onoff_15s": lambda seed: onoff(seed, 15.0, 0.5),
    "onoff_60s": lambda seed: onoff(seed, 60.0, 0.3),
    "slots": slots,
    "trickle": trickle,
    "churn": churn,
    "wake": wake,
    "move": move,
}


def play(scenario: Scenario, seed: int) -> str:
    """Play a scenario with and without the guard; returns the figures as a line."""
    free = SimQBittorrent(torrents_of("t1", [0.0] * scenario.torrents, leechers=scenario.peers), seed=seed)
    _follow(free, scenario)
    free.run_until(scenario.end_s)
    wanted = truth(free)
    torrents = torrents_of("t1", [0.0] * scenario.torrents, leechers=scenario.peers)
    with tempfile.TemporaryDirectory() as folder:
        guarded = Guarded(Path(folder), policy_of(tracker("t1", scenario.cap)), torrents, seed=seed)
        _follow(guarded.sim, scenario)
        guarded.run_until(scenario.end_s)
        guarded.journal.close()
    sent, ends = truth(guarded.sim), [*scenario.changes[1:], scenario.end_s]
    use = [_use(sent, wanted, scenario.cap, start + 10, end) for start, end in zip(scenario.changes, ends, strict=True)]
    first = [_use(sent, wanted, scenario.cap, start, start + 10) for start in scenario.changes]
    worst = worst_window(sent, [Span(START_S, scenario.end_s, scenario.cap, GREEDY)], 10.0)
    calls = 60 * guarded.writes_in(START_S, scenario.end_s) / (scenario.end_s - START_S)
    digest = hashlib.sha256(repr(guarded.sim.writes).encode()).hexdigest()[:12]
    return (
        f"use {_mean(use):.3f} (least {min(use):.3f})  first {_mean(first):.2f}  worst 10 s {worst:.2f}  "
        f"calls/min {calls:5.1f}  {digest}"
    )


def override(settings: Iterable[str]) -> None:
    """Set constants, each given as `measure.burstiness.SLOW_S=4`, wherever the core has imported them."""
    for setting in settings:
        place, value = setting.split("=")
        module, name = place.rsplit(".", 1)
        before = getattr(importlib.import_module(f"qguardarr.core.{module}"), name)
        for loaded in [m for key, m in sys.modules.items() if key.startswith("qguardarr.core.")]:
            if vars(loaded).get(name) == before:
                setattr(loaded, name, type(before)(float(value)))


def _follow(sim: SimQBittorrent, scenario: Scenario) -> None:
    torrents = list(sim.torrents.values())
    for at, action in scenario.script:
        sim.at(at, lambda action=action: action(torrents))  # type: ignore[misc]


def _use(sent: Curve, wanted: Curve, cap: float, start: float, end: float) -> float:
    """Return the bytes sent ÷ the bytes due, second by second the lesser of the cap and what clients would take."""
    seconds = [start + k for k in range(int(end - start))]
    due = sum(min(cap, wanted.mean_rate(at, at + 1)) for at in seconds)
    return sum(sent.mean_rate(at, at + 1) for at in seconds) / due


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "scenarios", nargs="*", metavar="SCENARIO", help=f"all, if none is named: {', '.join(SCENARIOS)}"
    )
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], metavar="MODULE.NAME=VALUE", help="override a constant")
    chosen = parser.parse_args()
    if unknown := set(chosen.scenarios) - SCENARIOS.keys():
        parser.error(f"unknown: {', '.join(sorted(unknown))}; choose from {', '.join(SCENARIOS)}")
    override(chosen.set)
    for name in chosen.scenarios or SCENARIOS:
        for seed in range(1, chosen.seeds + 1):
            print(f"{name:18} {seed}  {play(SCENARIOS[name](seed), seed)}", flush=True)


if __name__ == "__main__":
    main()
