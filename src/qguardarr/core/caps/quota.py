"""Keep to a quota: pace what is left over the time that is left, and change the cap when all is used up.

A quota is never broken by a control that comes late. What is counted is some seconds old, so what the group may have
uploaded since then counts as used (`Allowance.spent`), and no cap lets more than what is left through in SOFT_S.

Paced, a group may use in each second what is left ÷ the time that is left. What it has saved against a straight line
from nothing to the whole quota is its *bank*: it is released sooner, over RELEASE of the period, so that a burst of
demand is served. What it has used too much is made up for over all the time that is left. The line ends END_S before
the period does: in that time the counters show what is left in truth.
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
"""How old the bytes in a copy of the counters may be: libtorrent counts once a second. × ½: periods of a minute end up
to 1 % too high (tests/unit/core/caps/test_quota.py); × 2: 1.5 % lower."""
SOFT_S: Final = 6.0
"""No cap lets what is left through in less time than this, which is longer than a cap takes to have an effect. 4 s:
up to 20 % too much where demand comes just before the end of a period of a minute; 8 s: 1.5 % lower."""
END_S: Final = 12.0
"""A paced quota is used up this long before its period ends, but not more than END_PART of it."""
END_PART: Final = 0.2
LOOKS: Final = 60
"""A paced cap is worked out again after this part of the time that is left, so that few limits are written."""
LEAST_LOOK_S: Final = 2.0
LONGEST_LOOK_S: Final = 900.0
NEAR_S: Final = 60.0
"""A quota that would be used up this soon is looked at all the time, paced or not."""
DROP: Final = 0.9
"""A cap that falls below this part of the last one is due at once."""
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
    age_s: float = 0.0
    """How old the counters were then, seconds."""
    rate: float = 0.0
    """Bytes/s of late."""
    unseen: float = 0.0
    """Bytes that may have been sent in this period, and were missed at a start."""

    def is_used_up(self, quota: Quota) -> bool:
        """Return whether nothing is left."""
        return self.used >= quota.bytes

    @property
    def spent(self) -> float:
        """Return the bytes that are used, with those that may have been uploaded since they were counted."""
        return self.used + self.unseen + self.rate * (self.age_s + LAG_S)

    def look_again_at(self, quota: Quota) -> float:
        """Return when the cap is to be worked out again."""
        is_near = quota.bytes - self.spent < NEAR_S * self.rate
        if self.is_used_up(quota) or not (quota.pace or is_near):  # the time that is left is shown
            return min(self.end, self.at + LONGEST_LOOK_S)
        wait_s = min(LONGEST_LOOK_S, max(LEAST_LOOK_S, (self.end - self.at) / LOOKS))
        return min(self.end, self.at + wait_s)

    def forecast(self) -> int | None:
        """Return the bytes at the end of the period if it goes on as so far; None in its first hundredth."""
        passed, length = self.at - self.start, self.end - self.start
        return None if passed < length / 100 else round(self.used * length / passed)


def paced(quota: Quota, allowance: Allowance) -> float:
    """Return the bytes/s that a group may use now so that the quota lasts until its period ends."""
    length = allowance.end - allowance.start
    length -= min(END_S, END_PART * length)
    passed = min(length, allowance.at - allowance.start)
    left = max(0.0, quota.bytes - allowance.spent)
    left_s = max(SOFT_S, length - passed)
    even = quota.bytes / length
    bank = even * passed - allowance.spent
    if bank <= 0 or passed >= length:
        return left / left_s
    if not allowance.settled:  # not saved, perhaps, but used unseen
        return min(even, left / left_s)
    return min(left / SOFT_S, even + bank / min(left_s, max(RELEASE * length, LEAST_RELEASE_S)))


def within_quota(allowances: Mapping[str, Allowance]) -> Modifier:
    """Return the modifier for what was used, by group id. It never raises a cap, and does nothing after the period."""

    def modify(group: Group, cap: Cap, now: float) -> Cap:
        quota, allowance = group.quota, allowances.get(group.id)
        if quota is None or allowance is None or now >= allowance.end:
            return cap
        until = allowance.end if cap.until is None else min(cap.until, allowance.end)
        ceiling, may_rise = cap.ceiling, cap.may_rise
        most = UNLIMITED
        if not allowance.is_used_up(quota):
            most = _most(quota, allowance)
        elif quota.then is None:
            may_rise = False
        else:
            most = quota.then
        ceiling, holds_all = min(ceiling, most), most < UNLIMITED
        if (ceiling, may_rise) == (cap.ceiling, cap.may_rise):
            return msgspec.structs.replace(cap, until=until, holds_all=holds_all)
        return Cap(
            ceiling,
            words(quota, allowance),
            until,
            None if cap.rate is None else min(cap.rate, ceiling),
            cap.priority,
            may_rise,
            holds_all,
        )

    return modify


def is_due(before: Cap, after: Cap) -> bool:
    """Return whether a group's cap has changed so much that it must not wait for the next look."""
    return before.may_rise != after.may_rise or after.ceiling < DROP * before.ceiling


def _most(quota: Quota, allowance: Allowance) -> int:
    """Return the most bytes/s while something is left.

    What is left alone says whether it is near its end, not the rate of late: as a cap slows a group down, that falls.
    """
    if quota.pace:
        return _rounded(paced(quota, allowance))
    left = max(0.0, quota.bytes - allowance.spent)
    if quota.then is None or quota.then >= UNLIMITED:
        return UNLIMITED
    return max(quota.then, _rounded(left / SOFT_S))


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
