"""Work out what each torrent of a tracker is expected to use of the cap.

Rates, caps and limits are bytes/s.

Constants name what halving (× ½) or doubling (× 2) them does in the closed-loop scenarios (ARCHITECTURE.md, "Tests").
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import msgspec

from qguardarr.core.allocate.water_filling import water_level
from qguardarr.core.measure.burstiness import Backlog
from qguardarr.core.model import UNLIMITED

OVERCOMMIT: Final = 0.5
"""Limits of a tracker's active torrents may sum to the cap times 1 + this: not all wake at once. × ½: up to 2 % of the
cap unused beside clients that burst, and twice the calls where upload slots are scarce; × 2: 0.15 × the cap more in the
worst 10 s after clients turned lazy."""
GROWTH: Final = 8.0
"""Largest factor by which a torrent of unknown demand is raised at once while others want the same bytes.
× ½ or × 2: a tenth fewer calls with sixty torrents, within noise."""
FIRST_STEP: Final = 0.05
"""Part of the cap that such a torrent may be raised to in any case. × 2: 1.4 % of the cap unused where upload slots are
scarce; × ½: a third fewer calls there."""
SURPLUS: Final = 0.2
"""Part of the cap: new bursts that together take more than this beyond the means of their torrents count at their
newest rates. Ten seconds bear 1.0 s of the cap, and it takes 4 s to see such bursts and to end them. × ½: 4 % of
the cap unused with torrents on and off every 15 s; × 2: 0.07 × the cap more in the worst 10 s."""


class Demand(msgspec.Struct, gc=False):
    """One active torrent while a cap is divided."""

    rate: float
    """Newest rate of one with a lasting backlog, mean rate of all others, bytes/s."""
    backlog: Backlog
    current: int
    """Limit in force, bytes/s or UNLIMITED."""
    bound: int
    """Never to be given more, bytes/s or UNLIMITED."""
    demand_bound: float
    """Most that a backlogged one may want, bytes/s; `math.inf` if unknown."""
    weight: float
    observed: bool
    """Whether the limit in force has been watched for long enough to show its effect."""
    latest: float = 0.0
    """Rate between the two newest refreshes, bytes/s."""
    bursty: bool = False
    """Whether it is known for bursts, of whatever size."""
    doubt: float = 0.0
    """Mean difference between its rate and the expected one, bytes/s."""
    expected: float = 0.0
    """Out: bytes/s that it is expected to use."""
    limit: int = 0
    """Out: limit to have, bytes/s or UNLIMITED; equal to `current` where a write is not worth it."""

    @property
    def lasting(self) -> bool:
        """Whether it is backlogged for good, and so shares the cap with its like."""
        return self.backlog is Backlog.LASTING

    @property
    def bursting(self) -> bool:
        """Whether its limit holds it back, as far as is known for a burst only."""
        return self.backlog.bursting


def level_with_bursts(demands: Sequence[Demand], capacity: float, overcommit: float) -> float:
    """Fill in `expected` of each and return the water level, bytes/s for each unit of weight.

    A torrent whose limit holds it back for a burst is expected to take its mean. It counts as backlogged for good where
    that costs nobody anything (bursty ones last), or where all that burst might take more than limits may promise.
    """
    level = _level(demands, capacity)
    bursting = [d for d in demands if d.bursting]
    new = [d for d in bursting if d.backlog is Backlog.NEW_BURST]
    if level == math.inf and (steady := [d for d in bursting if not d.bursty]):
        level = _level_if_lasting(steady, demands, capacity)
    unused = max(0.0, capacity - math.fsum(d.expected for d in demands)) if level == math.inf else 0.0
    if sum(max(0.0, d.current - d.rate) for d in bursting if not d.lasting) > overcommit * capacity + unused:
        level = _level_if_lasting(bursting, demands, capacity)
    elif level < math.inf and sum(max(0.0, d.latest - d.rate) for d in new if not d.lasting) > SURPLUS * capacity:
        for demand in new:
            demand.rate = max(demand.rate, demand.latest)
        level = _level(demands, capacity)
    return level


def level_if_greedy(demands: Sequence[Demand], capacity: float) -> float:
    """Return the level if all with a lasting backlog took whatever they can get.

    Known bounds of demand may be out of date. Up to this level they hold nobody back, and they never take limits off.
    """
    bounds = [d.bound if d.bound < UNLIMITED else math.inf for d in demands]
    wanted = [bound if d.lasting else min(d.rate, bound) for d, bound in zip(demands, bounds, strict=True)]
    return water_level(wanted, [d.weight for d in demands], capacity)


def _level_if_lasting(some: Sequence[Demand], demands: Sequence[Demand], capacity: float) -> float:
    """Count `some` as backlogged for good and return the level."""
    for demand in some:
        demand.backlog = Backlog.LASTING
    return _level(demands, capacity)


def _level(demands: Sequence[Demand], capacity: float) -> float:
    """Fill in `expected`, lower `bound` of those that rise in steps, and return the level."""
    wanted = [
        min(d.demand_bound if d.lasting else d.rate, d.bound if d.bound < UNLIMITED else math.inf) for d in demands
    ]
    weights = [d.weight for d in demands]
    level = water_level(wanted, weights, capacity)
    if level < math.inf:
        # Newcomers of unknown demand rise in steps while others could use the bytes, and those others get what the
        # newcomers may not use yet. Where nobody else wants it, newcomers get it at once.
        rising = [d.lasting and d.current < UNLIMITED and _next_step(d, capacity) < level * d.weight for d in demands]
        if any(rising):
            for i, demand in enumerate(demands):
                if rising[i]:
                    wanted[i] = min(wanted[i], 2.0 * demand.current)
            stepped = water_level(wanted, weights, capacity)
            if stepped < math.inf:
                steps = {i: _next_step(demands[i], capacity) - wanted[i] for i in range(len(demands)) if rising[i]}
                part = min(1.0, OVERCOMMIT * capacity / max(1.0, math.fsum(steps.values())))
                for i, step in steps.items():
                    demands[i].bound = min(demands[i].bound, max(1, int(wanted[i] + part * step)))
                level = stepped
    for demand, want in zip(demands, wanted, strict=True):
        demand.expected = min(want, level * demand.weight)
        if demand.expected == math.inf:
            demand.expected = demand.rate
    return level


def _next_step(demand: Demand, capacity: float) -> float:
    """Return the most that a backlogged torrent of unknown demand is raised to at once."""
    return max(GROWTH * demand.current if demand.observed else float(demand.current), FIRST_STEP * capacity)
