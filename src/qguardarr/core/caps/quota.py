"""Keep to a quota: pace what is left over the time that is left, and change the cap when all is used up.

Paced, a group may use in each second what is left ÷ the time that is left. What it has saved against a straight line
from nothing to the whole quota is its *bank*: it is released sooner, over RELEASE of the period, so that a burst of
demand is served. What it has used too much is made up for over all the time that is left.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import msgspec

from qguardarr.core.caps.chain import Cap, Group, Modifier
from qguardarr.core.model import UNLIMITED
from qguardarr.core.timed import Quota
from qguardarr.core.units import as_limit, format_size

RELEASE: Final = 1 / 30
"""Part of the period over which saved bytes are released: of a month, a day."""
LEAST_RELEASE_S: Final = 30.0
"""Shortest time for that: counters are some seconds old, and a cap that swings costs writes."""
LAG_S: Final = 1.0
"""What a group may use in this time does not count as saved: it is used, and not counted yet. 2 s make periods of a
minute end 3 % too low; 0 s, up to 8 % too high (tests/live/test_live_moved.py)."""
LOOKS: Final = 60
"""A paced cap is worked out again after this part of the time that is left, so that few limits are written."""
LEAST_LOOK_S: Final = 2.0
LONGEST_LOOK_S: Final = 900.0
DIGITS: Final = 3
"""Of a paced cap: a smaller change is not worth a write. It is rounded down, and what that saves comes back."""


class Allowance(msgspec.Struct, frozen=True):
    """What was used of a quota when somebody looked. Times are Unix seconds."""

    start: float
    """When the period began."""
    end: float
    used: int
    """Bytes since then."""
    at: float
    """When somebody looked."""
    settled: bool = True
    """False: what was used while nobody looked is not counted yet."""

    def is_used_up(self, quota: Quota) -> bool:
        """Return whether nothing is left."""
        return self.used >= quota.bytes

    def look_again_at(self, quota: Quota) -> float:
        """Return when the cap is to be worked out again."""
        if not quota.pace or self.is_used_up(quota):
            return self.end
        wait_s = min(LONGEST_LOOK_S, max(LEAST_LOOK_S, (self.end - self.at) / LOOKS))
        return min(self.end, self.at + wait_s)

    def forecast(self) -> int | None:
        """Return the bytes at the end of the period if it goes on as so far; None in its first hundredth."""
        passed, length = self.at - self.start, self.end - self.start
        return None if passed < length / 100 else round(self.used * length / passed)


def paced(quota: Quota, allowance: Allowance) -> float:
    """Return the bytes/s that a group may use now so that the quota lasts until its period ends."""
    length = allowance.end - allowance.start
    left_s = max(1.0, allowance.end - allowance.at)
    even = quota.bytes / length
    bank = even * (allowance.at - allowance.start) - allowance.used
    if 0 < bank <= LAG_S * even:
        return even
    if not allowance.settled and bank > 0:  # not saved, perhaps, but used unseen
        return even
    if bank <= 0:
        return max(0.0, quota.bytes - allowance.used) / left_s
    release_s = max(RELEASE * length, LEAST_RELEASE_S)
    return even + (bank - LAG_S * even) / min(left_s, release_s)


def within_quota(allowances: Mapping[str, Allowance]) -> Modifier:
    """Return the modifier for what was used, by group id. It never raises a cap, and does nothing after the period."""

    def modify(group: Group, cap: Cap, now: float) -> Cap:
        quota, allowance = group.quota, allowances.get(group.id)
        if quota is None or allowance is None or now >= allowance.end:
            return cap
        until = allowance.end if cap.until is None else min(cap.until, allowance.end)
        ceiling, may_rise = cap.ceiling, cap.may_rise
        if allowance.is_used_up(quota):
            if quota.then is None:
                may_rise = False
            elif quota.then < UNLIMITED:
                ceiling = min(ceiling, quota.then)
        elif quota.pace:
            ceiling = min(ceiling, _rounded(paced(quota, allowance)))
        if (ceiling, may_rise) == (cap.ceiling, cap.may_rise):
            return msgspec.structs.replace(cap, until=until)
        return Cap(
            ceiling,
            words(quota, allowance),
            until,
            None if cap.rate is None else min(cap.rate, ceiling),
            cap.priority,
            may_rise,
        )

    return modify


def words(quota: Quota, allowance: Allowance) -> str:
    """Return the state of a quota: `quota: 120 of 500 GB used, 12 days left`."""
    used, all_ = format_size(allowance.used), format_size(quota.bytes)
    if used.partition(" ")[2] == all_.partition(" ")[2]:
        used = used.partition(" ")[0]
    return f"quota: {used} of {all_} used, {_time(allowance.end - allowance.at)} left"


def _time(seconds: float) -> str:
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= 2 * length:
            return f"{round(seconds / length)} {unit}s"
    return f"{max(0, round(seconds))} s"


def _rounded(rate: float) -> int:
    limit = as_limit(rate)
    if limit >= UNLIMITED:
        return limit
    unit: int = 10 ** max(0, int(math.log10(limit)) + 1 - DIGITS)
    return max(1, limit // unit * unit)
