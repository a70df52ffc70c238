"""Divide a tracker's cap among its active torrents.

Plain numbers in, plain numbers out. Rates, caps and limits are bytes/s.

Constants name what halving (× ½) or doubling (× 2) them does in the closed-loop scenarios (ARCHITECTURE.md, "Tests").
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from qguardarr.core.allocate.demand import GROWTH, OVERCOMMIT, Demand, level_if_greedy, level_with_bursts
from qguardarr.core.allocate.headroom import HEADROOM, MUCH_ROOMIER, SPARE, Headroom, promised
from qguardarr.core.measure.burstiness import combined
from qguardarr.core.units import as_limit

BEYOND: Final = 1.02
"""A torrent that takes this factor more than its share is held to it, whether its limit holds it back yet or not.
× ½ (everybody from half a share on): 40 % more calls with torrents on and off; × 2 (never): 2 % of the cap unused."""
NUDGE: Final = 0.1
"""Torrents among many may get this part more or less than their shares (no more than half of the differential
threshold), so that a small correction takes few writes (half as many files where ten or more share). × ½: a quarter
fewer calls where demand changes every second; × 2: nothing."""
NUDGED_LEAST: Final = 8192
"""Least share that may be nudged, bytes/s: use of a smaller one shows late. × ½ or × 2: nothing."""
DEADBAND: Final = 0.01
"""Part of the cap that limits may exceed or strand before they are written again. × ½: up to 40 % more calls; × 2: a
quarter fewer, and 1 % of the cap unused with torrents on and off every 15 s."""
DOUBT: Final = 0.5
"""Part of what is in doubt about the torrents that is added to the deadband: limits do not follow each burst.
× ½: 30–80 % more calls; × 2: 5 % of the cap unused with torrents on and off every 15 s."""
SETTLING_BAND: Final = 0.04
"""The deadband while most of the limits are too new to have shown their effect. × 2: a fifth fewer calls when greedy
torrents join; × ½: nothing."""


def divide_cap(
    demands: Sequence[Demand],
    capacity: float,
    *,
    idle_limit: float,
    differential_threshold: float,
    limiter_yield: float = 1.0,
    overcommit: float = OVERCOMMIT,
) -> float:
    """Divide `capacity` bytes/s among a tracker's active torrents; fill in `expected` and `limit` of each.

    Torrents without a lasting backlog keep their mean rates, and the others share the rest by weight. Limits move only
    where it matters: those of backlogged torrents when more than DEADBAND of the cap is stranded or exceeded or one
    share is unfair; the others when their headroom gets tight, or when all limits together promise too much. Bursts are
    served out of the headroom of their torrents.

    Args:
        idle_limit: least for a torrent without backlog, as long as that is no more than an equal part of the capacity.
        differential_threshold: part by which a limit may be off its target without being unfair.
        limiter_yield: payload that comes of a limit ÷ the limit (see `UsageMeter.limiter_yield`).
        overcommit: OVERCOMMIT or less.

    Returns:
        The water level, bytes/s for each unit of weight; `math.inf` if all demand fits.
    """
    capacity = max(1.0, capacity)
    level = level_with_bursts(demands, capacity, overcommit)
    for demand in demands:
        demand.limit = min(demand.current, demand.bound)
    greedy = level_if_greedy(demands, capacity)
    held = [d.lasting or d.rate > BEYOND * level * d.weight for d in demands]
    sharing = [d for d, h in zip(demands, held, strict=True) if h]
    others = [d for d, h in zip(demands, held, strict=True) if not h]
    doubt = DOUBT * combined(d.doubt for d in demands)
    targets = [as_limit(min(d.bound, _most(d, level, greedy) / limiter_yield)) for d in sharing]
    _limit_sharing(sharing, targets, capacity, differential_threshold, doubt)
    spare = SPARE * overcommit * capacity / max(1, len(others))
    headroom = Headroom(level, min(idle_limit, capacity / max(1, len(demands))), spare)
    for demand in others:
        if not demand.bursting:
            headroom.widen(demand, differential_threshold)
    bursting = [d for d in others if d.bursting]
    allowed = overcommit * capacity + max(0.0, capacity - math.fsum(d.expected for d in demands))
    wished = sum(min(capacity, GROWTH * d.limit) - d.limit for d in bursting) if level == math.inf else 0.0
    if wished > 0.0:
        headroom.trim(demands, max(0.0, allowed - wished), roomier=MUCH_ROOMIER)
    headroom.trim(demands, allowed)
    beyond = max(0.0, math.fsum(d.latest for d in demands) - capacity)
    headroom.serve_bursts(bursting, allowed - promised(demands) - beyond)
    return level


def _most(demand: Demand, level: float, greedy: float) -> float:
    """Return the share of a torrent that is held to one. A known bound of its demand counts only above `greedy`."""
    fair = greedy * demand.weight
    return fair if level == math.inf else min(level * demand.weight, max(fair, HEADROOM * demand.demand_bound))


def _limit_sharing(
    sharing: Sequence[Demand],
    targets: Sequence[int],
    capacity: float,
    differential_threshold: float,
    doubt: float,
) -> None:
    """Set the limits of torrents that share the cap to `targets`, unless they are near enough."""
    excess = sum(min(d.current, 2 * capacity) - target for d, target in zip(sharing, targets, strict=True))
    settling = sum(target for d, target in zip(sharing, targets, strict=True) if not d.observed) > 0.5 * sum(targets)
    band = (SETTLING_BAND if settling else DEADBAND) * capacity + doubt
    unfair = any(
        abs(d.current - target) > differential_threshold * target for d, target in zip(sharing, targets, strict=True)
    )
    if -band <= excess <= band and not unfair:
        return
    nudge = min(NUDGE, differential_threshold / 2)
    many = min(targets) >= NUDGED_LEAST and nudge * max(targets) <= DEADBAND * capacity
    if many and not unfair and abs(excess) <= nudge * sum(targets) and _nudge(sharing, targets, excess, nudge):
        return
    for demand, target in zip(sharing, targets, strict=True):
        demand.limit = target if abs(demand.current - target) > 0.004 * target else demand.current


def _nudge(sharing: Sequence[Demand], targets: Sequence[int], excess: float, nudge: float) -> bool:
    """Make up for `excess` bytes/s (negative if stranded) with a few torrents, those furthest off, instead of all.

    Each of them gets the part `nudge` more or less than its target. Returns False if they cannot make up for it.
    """
    sign = math.copysign(1.0, excess)
    left = abs(excess)
    pairs = sorted(zip(sharing, targets, strict=True), key=lambda pair: (-sign * pair[0].current / pair[1], pair[1]))
    for demand, target in pairs:
        limit = min(demand.bound, as_limit((1 - sign * nudge) * target))
        change = sign * (min(demand.current, 2 * target) - limit)
        if change > 0.0 and (sign > 0 or demand.demand_bound >= limit):
            demand.limit = limit
            left -= change
            if left <= 0.0:
                return True
    return False
