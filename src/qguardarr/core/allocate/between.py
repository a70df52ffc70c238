"""Divide the line between trackers, as Linux HTB does.

Plain numbers in, plain numbers out. Rates and caps are bytes/s.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import msgspec

from qguardarr.core.allocate.water_filling import shares

LINE_LEAST: Final = 0.5
"""Part of the line that capped trackers keep, whatever unlimited ones take: a promise of the README."""


class Borrower(msgspec.Struct, frozen=True):
    """A tracker as the division of the line sees it."""

    cap: float
    """HTB's rate: bytes/s that it may always use."""
    ceil: float
    """Most bytes/s that it may use, loans included; ≥ `cap`."""
    demand: float
    """Bytes/s that its torrents want; `math.inf` if some are backlogged."""
    priority: int
    """Higher borrows first."""


def divide_line(trackers: Sequence[Borrower], line: float) -> list[float]:
    """Return the bytes/s that each tracker may use now: its rate first, then the rest by priority up to its ceiling.

    The model is Linux HTB (M. Devera, *HTB manual*): what a class does not use is lent to the classes of the highest
    priority first, in proportion to their rates. The lender's own rate comes first again the moment it wants it.

    The effective caps of trackers with demand sum to at most `line`. A tracker without demand keeps its cap on paper:
    that costs nothing, and the line is divided again when it wakes.
    """
    caps = [t.cap for t in trackers]
    got = shares([min(t.cap, t.demand) for t in trackers], caps, line) if trackers else []
    left = line - math.fsum(got)
    for priority in sorted({t.priority for t in trackers}, reverse=True):
        rank = [i for i, t in enumerate(trackers) if t.priority == priority and t.demand > got[i] and t.ceil > t.cap]
        wants = [max(0.0, min(trackers[i].ceil, trackers[i].demand) - got[i]) for i in rank]
        if rank and left > 0:
            for i, extra in zip(rank, shares(wants, [caps[i] for i in rank], left), strict=True):
                got[i] += extra
                left -= extra
    return [g if t.demand > g else max(g, t.cap) for t, g in zip(trackers, got, strict=True)]


def left_of_line(line: float, unlimited: float) -> float:
    """Return the part of `line` that capped trackers may use while unlimited ones take `unlimited` bytes/s."""
    return max(line - unlimited, LINE_LEAST * line)


def smoothed(
    before: float | None, target: float, cap: float, *, alpha: float, least_change: float, elapsed_s: float
) -> float:
    """Return the effective cap on its way from `before` to `target`, bytes/s.

    Only the rise of the borrowed part is damped; the tracker's own rate, and every fall, takes effect at once.

    Args:
        before: effective cap so far; None if there was none.
        alpha: part (0 … 1) of the way that a rise goes in one second.
        least_change: part of what is borrowed below which an effective cap does not rise.
        elapsed_s: time since `before` was decided.
    """
    if before is None or target <= max(before, cap):
        return target
    before = max(before, cap)
    gap, borrowed = target - before, target - cap
    if gap < least_change * borrowed and before > cap:
        return before
    left = gap * (1 - alpha) ** elapsed_s
    return target if left < least_change * borrowed else target - left
