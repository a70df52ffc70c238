"""Demand of leechers for a torrent, as values: steady, in bursts, on and off. Rates in bytes/s, times in seconds."""

from __future__ import annotations

import math
from dataclasses import dataclass

Plain = float | None
"""Bytes/s; None = as fast as it comes; 0 = nothing."""


@dataclass(frozen=True)
class Bursty:
    """A low mean in bursts, as real clients take it under a download limit of their own.

    They read as much as their limiter lets through at once, then nothing until it has filled up again.
    """

    rate: float
    """Mean."""
    burst: int
    """Bytes wanted at once."""

    def __post_init__(self) -> None:
        if self.rate <= 0 or self.burst <= 0:
            raise ValueError(f"a bursty demand has a rate and a burst above 0, not {self}")


@dataclass(frozen=True)
class OnOff:
    """A demand for a part of each period, and none for the rest."""

    on: Plain
    """While it is on."""
    period_s: float
    duty: float
    """Part of the period that it is on for, from its beginning."""
    offset_s: float = 0.0
    """Part of a period at which it begins, seconds."""

    def __post_init__(self) -> None:
        if not (self.period_s > 0 and 0 < self.duty < 1):
            raise ValueError(f"an on-off demand has a period above 0 and a duty between 0 and 1, not {self}")

    def at(self, elapsed_s: float) -> Plain:
        """Return the demand `seconds` after it began."""
        return self.on if (elapsed_s + self.offset_s) % self.period_s < self.duty * self.period_s else 0.0


Demand = Plain | Bursty | OnOff


def wanted(demand: Demand) -> float:
    """Mean bytes/s; `inf` if it takes, now and then or always, all it can get."""
    match demand:
        case None:
            return math.inf
        case Bursty():
            return demand.rate
        case OnOff():
            return math.inf if demand.on is None else demand.on * demand.duty
        case _:
            return demand
