"""Weigh a torrent by its swarm, for the `weighted` and `soft` strategies."""

from __future__ import annotations

import math


def swarm_weight(before: float, leechers: int, swarm_leechers: int, *, quiet: bool) -> float:
    """Return the torrent's weight: 1 … 4, growing with the square root of the swarm's demand.

    Demand is the connected leechers and a tenth of the swarm's (at most ten). The present rate does not count, so speed
    does not beget speed. Weights are powers of √2 and change only when they are off by more than that, so that a
    leecher who comes or goes rewrites nothing.

    Args:
        before: weight so far; 0.0 if there was none.
        leechers: connected leechers.
        swarm_leechers: leechers in the swarm, as trackers report it.
        quiet: whether nothing moved for a while; half of the demand counts then.
    """
    demand = leechers + min(10.0, swarm_leechers / 10)
    if quiet:
        demand /= 2
    ideal = max(1.0, min(4.0, math.sqrt(1 + demand / 2)))
    if before / 1.5 < ideal < before * 1.5:
        return before
    return float(2 ** (round(2 * math.log2(ideal)) / 2))
