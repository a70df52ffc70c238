"""Give torrents that are not backlogged headroom above their rates, and take it back.

Bursts are served out of headroom, and a torrent that wants more shows it there. Rates and limits are bytes/s.

Constants name what halving (× ½) or doubling (× 2) them does in the closed-loop scenarios (ARCHITECTURE.md, "Tests").
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import msgspec

from qguardarr.core.allocate.demand import GROWTH, Demand
from qguardarr.core.model import UNLIMITED
from qguardarr.core.units import as_limit

HEADROOM: Final = 1.3
"""Limit ÷ rate of a torrent that does not reach its limit, so that it can show when it wants more. × 2: 60 %
more calls with torrents on and off every 15 s; × ½: SPARE gives headroom all the same, and little changes."""
TIGHT: Final = 1.1
"""A limit below the rate times this is raised. × 2: twice the calls, and 0.09 × the cap more in the worst 10 s."""
SPARE: Final = 0.9
"""Part of what limits may promise beyond the cap that these torrents share equally; headroom if it is more than
HEADROOM gives. × ½: 1 % of the cap unused and a quarter more calls beside large bursts; × 2: 0.03 × the cap more in
the worst 10 s where upload slots are scarce, and 60 % fewer calls there."""
BURSTY_SPARE: Final = 1.7
"""Factor on that equal part for bursty torrents: not all burst at a time. × ½: 40 % more calls where upload slots are
scarce (with real clients, bench/hold.py real_slots, 1 made twice the calls of 1.7); × 2: 60 % fewer."""
MOST_SPARE: Final = 200_000
"""Most of that equal part for one torrent, bytes/s: more shows nothing sooner. × ½: 15–30 % more calls; × 2: none."""
ROOMIER: Final = 1.2
"""Headroom is taken back from torrents with more than this factor above what they would be given now. × ½: three times
the calls where demand changes every second; × 2: 1 % of the cap unused where upload slots are scarce."""
MUCH_ROOMIER: Final = 3.0
"""The same factor while the headroom goes to others that burst: a torrent that was backlogged for good leaves that
much. × ½: a third more calls where upload slots are scarce."""
OVERDUE: Final = 1.15
"""Limits are trimmed when they promise this factor more than they may. Halved to 0.6, 20–60 % more calls; × 2: a third
fewer, and 0.03 × the cap more in the worst 10 s."""


class Headroom(msgspec.Struct, frozen=True):
    """How much headroom one torrent of a tracker may get."""

    level: float
    """Water level, bytes/s for each unit of weight; `math.inf` if all demand fits."""
    idle_limit: float
    """Least that a torrent is given."""
    spare: float
    """Equal part of what limits may promise beyond the cap."""

    def limit_for(self, demand: Demand) -> float:
        """Return a limit above the torrent's rate, on a grid of ten values a decade so that many share one value."""
        part = self.spare * BURSTY_SPARE if demand.bursty else self.spare
        limit = max(HEADROOM * demand.rate, demand.rate + min(part, MOST_SPARE), 1.0)
        if limit <= self.idle_limit:
            return float(self.idle_limit)
        return float(math.ceil(10 ** (math.ceil(10 * math.log10(limit) - 1e-9) / 10)))

    def widen(self, demand: Demand, least_change: float) -> None:
        """Raise a limit that its torrent comes close to; where bytes are scarce, to a backlogged torrent's share."""
        top = min(demand.bound, self.level * demand.weight)
        if demand.current >= min(TIGHT * demand.rate, 0.98 * top):
            return
        target = min(top, self.limit_for(demand)) if self.level == math.inf else top
        if target > demand.current * (1 + least_change) or demand.current >= UNLIMITED:
            demand.limit = as_limit(target)

    def trim(self, demands: Sequence[Demand], allowed: float, roomier: float = ROOMIER) -> None:
        """Take back unused headroom, from the roomiest first, until limits promise no more than `allowed` bytes/s."""
        total = promised(demands)
        if total <= OVERDUE * allowed:
            return
        for demand in sorted(demands, key=lambda d: d.expected - d.limit):
            target = as_limit(min(demand.bound, max(1.0, self.level * demand.weight), self.limit_for(demand)))
            if demand.lasting or demand.bursting or demand.limit <= roomier * target:
                continue
            total -= max(0.0, demand.limit - demand.expected) - max(0.0, target - demand.expected)
            demand.limit = target
            if total <= allowed:
                return

    def serve_bursts(self, bursting: Sequence[Demand], allowed: float) -> None:
        """Raise torrents that their limits hold back for a burst, the lowest first, by `allowed` bytes/s in sum.

        A bursty torrent whose limit stands above its mean is left alone: it gets all that it wants, if later.
        """
        for demand in sorted(bursting, key=lambda d: d.limit):
            if demand.bursty and demand.limit >= HEADROOM * demand.rate:
                continue
            roomy = self.limit_for(demand)
            if self.level == math.inf:  # nobody else wants it
                roomy = max(roomy, min(GROWTH * demand.limit, demand.limit + allowed))
            limit = as_limit(min(demand.bound, self.level * demand.weight, roomy))
            if limit > ROOMIER * demand.limit and limit - demand.limit <= allowed:
                allowed -= limit - demand.limit
                demand.limit = limit


def promised(demands: Sequence[Demand]) -> float:
    """Return the bytes/s that limits let through beyond the expected rates."""
    return math.fsum(max(0.0, d.limit - d.expected) for d in demands)
