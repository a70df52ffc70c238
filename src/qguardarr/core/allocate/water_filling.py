"""Weighted max-min fairness over plain numbers.

The water-filling algorithm (Bertsekas and Gallager, *Data Networks*, 2nd ed., §6.5.2, with weights): raise one level
until the capacity is used. A demand below weight × level is met, and the rest share what is left in proportion to their
weights.
"""

from __future__ import annotations

import math
from collections.abc import Sequence


def water_level(demands: Sequence[float], weights: Sequence[float], capacity: float) -> float:
    """Return the level at which `sum(min(demand, weight * level)) == capacity`.

    Args:
        demands: each ≥ 0; `math.inf` for "as much as it can get".
        weights: one for each demand, > 0.
        capacity: total to divide, ≥ 0, in the unit of the demands.

    Returns:
        The level in units of capacity for each unit of weight, ≥ 0; `math.inf` if all demands fit.
    """
    order = sorted(zip(demands, weights, strict=True), key=_saturation)
    weight_left = 0.0
    weights_left = [weight_left := weight_left + weight for _, weight in reversed(order)]
    left = max(0.0, capacity)
    for (demand, weight), unmet in zip(order, reversed(weights_left), strict=True):
        if demand * unmet > left * weight:
            return left / unmet
        left = max(0.0, left - demand)
    return math.inf


def shares(demands: Sequence[float], weights: Sequence[float], capacity: float) -> list[float]:
    """Return the share of each: `min(demand, weight * level)`. They waste nothing that is wanted."""
    level = water_level(demands, weights, capacity)
    return [min(demand, weight * level) for demand, weight in zip(demands, weights, strict=True)]


def _saturation(pair: tuple[float, float]) -> float:
    """Return the level at which a demand is met."""
    return pair[0] / pair[1]
