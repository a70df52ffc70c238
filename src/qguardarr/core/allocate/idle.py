"""Choose the limits of torrents that do not upload, and of those beyond `max_managed_torrents`.

A torrent that wakes runs under its idle limit until the next cycle sees it. Idle limits are therefore small enough for
several to wake at once, and large enough for a first block to arrive in time. Plain numbers; limits are bytes/s.

Constants name what halving (× ½) or doubling (× 2) them does in the closed-loop scenarios (ARCHITECTURE.md, "Tests").
"""

from __future__ import annotations

import math
from typing import Final

from qguardarr.core.units import as_limit

IDLE_SUM: Final = 0.5
"""Idle limits of the torrents that may wake at once sum to about this part of their tracker's cap. × ½: 5–30 % less in
the first 10 s after demand begins, a third more calls; × 2: up to 19 % more in them."""
IDLE_FEW: Final = 40
"""Of up to this many idle torrents, all may wake at once; of more, a number that grows with the square root. If all
were counted, each of some hundreds would get so little that its first blocks took ten seconds. × 2: 5 % of the cap
unused when twenty of eighty wake; × ½: 10 % more in the first 10 s."""
IDLE_MOST: Final = 0.1
"""Largest idle limit, as a part of the cap. × ½: 4–10 % less in the first 10 s after demand begins; × 2: nothing."""
IDLE_LEAST: Final = 2048
"""Smallest idle limit, bytes/s: below it a block takes longer than peers wait."""
IDLE_SLACK: Final = 2.0
"""An idle limit is left alone while it is within this factor of the ideal one: each write costs qBittorrent a file. × ½
or × 2: nothing where no torrents come and go."""


def idle_limit(cap: float, count: int, kept: int) -> int | None:
    """Return the limit for the `count` idle torrents of a tracker; None if `kept`, the limit so far, still serves."""
    ideal = max(IDLE_LEAST, min(IDLE_MOST * cap, IDLE_SUM * cap / waking_at_once(count)))
    return None if ideal / IDLE_SLACK <= kept <= ideal * IDLE_SLACK else as_limit(ideal)


def waking_at_once(count: int) -> float:
    """Return how many of `count` idle torrents are taken to wake at once, ≥ 1."""
    return max(1.0, min(count, math.sqrt(IDLE_FEW * count)))


def limit_beyond_managed(idle: int, count: int, capacity: float) -> int:
    """Return the limit for `count` uploading torrents that get no share of their own.

    They run at the idle limit, or lower if they are many: together they get no more than IDLE_SUM of `capacity`. Then
    it is a power of two, so that one torrent more or less rewrites nothing.
    """
    if count * idle <= IDLE_SUM * capacity:
        return idle
    return int(2 ** int(math.log2(max(1.0, IDLE_SUM * capacity / count))))


def needed_idle_limit(current: int, idle: int, *, most: int, exact: bool, level: float) -> int | None:
    """Return the limit that an idle torrent needs; None if `current` serves.

    Args:
        current: limit in force, bytes/s or UNLIMITED.
        idle: idle limit of its tracker.
        most: bound set by hand, or UNLIMITED.
        exact: whether the person chose the idle limit, so that it is written exactly.
        level: share of a backlogged torrent; nothing is raised further than that.
    """
    target = min(idle, most)
    low, high = (target, target) if exact else (target / IDLE_SLACK, target * IDLE_SLACK)
    if current < min(low, level / IDLE_SLACK):
        return as_limit(min(target, max(1.0, level)))
    return None if current <= min(high, most) else target
