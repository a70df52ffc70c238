"""Find the upper bound of one torrent's limit, and who sets it.

    limit by hand → overspeed guard → tier

Each step is a pure function of the group, what is known of the torrent, and the bound so far; the lowest one counts. A
bound is no person's limit: originals, and what a rollback restores, know nothing of it. Within its bound a torrent gets
its share of the cap, and what it cannot take goes to the others; in a group without a cap the bound is its limit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

import msgspec

from qguardarr.core.model import UNLIMITED, Overspeed, Tier, TrackerClass
from qguardarr.core.units import format_speed

_HOUR_S: Final = 3600.0
_DAY_S: Final = 86400.0


class Bounded(msgspec.Struct, frozen=True, gc=False):
    """A torrent as this module sees it."""

    by_hand: int = UNLIMITED
    """Limit that a person set, as an upper bound; UNLIMITED if there is none, or it is none."""
    ratio: float | None = None
    """Uploaded ÷ downloaded; None if it is not known."""
    age_s: float | None = None
    """Seconds since it was added; None if that is not known."""
    allowed: int | None = None
    """What the announce budget lets it have now, bytes/s; None: as much as the guard gives without one."""


class Bound(msgspec.Struct, frozen=True, gc=False):
    """The most that a torrent may have."""

    limit: int = UNLIMITED
    """Bytes/s, or UNLIMITED."""
    by: Overspeed | Tier | None = None
    """What sets it; None: a person, or nothing."""

    @property
    def reason(self) -> str:
        """In words, for a person; empty if there is no bound."""
        if self.limit >= UNLIMITED:
            return ""
        return f"{self._source()}: {format_speed(self.limit)}"

    def _source(self) -> str:
        match self.by:
            case Overspeed():
                return "site's overspeed rule"
            case Tier(above_ratio=ratio, above_age_s=age_s):
                ratio_words = "" if ratio is None else f"ratio {ratio:g}"
                return "above " + " and ".join(filter(None, (ratio_words, "" if age_s is None else _age(age_s))))
        return "limit set by hand"


NO_BOUND: Final = Bound()

Step: TypeAlias = Callable[[TrackerClass, Bounded, Bound], Bound]
"""Returns the bound of a torrent of a group, given the bound so far."""


def by_hand(_group: TrackerClass, torrent: Bounded, bound: Bound) -> Bound:
    """Bound a torrent by the limit that a person set."""
    return Bound(torrent.by_hand) if torrent.by_hand < bound.limit else bound


def overspeed_guard(group: TrackerClass, torrent: Bounded, bound: Bound) -> Bound:
    """Bound a torrent by the overspeed rule of its site."""
    rule = group.overspeed
    if rule is None:
        return bound
    limit = rule.steady if torrent.allowed is None else torrent.allowed
    return Bound(limit, rule) if limit < bound.limit else bound


def lowest_tier(group: TrackerClass, torrent: Bounded, bound: Bound) -> Bound:
    """Bound a torrent by the lowest cap of the tiers that hold for it."""
    for tier in group.tiers:
        if tier.cap < bound.limit and _holds(tier, torrent):
            bound = Bound(tier.cap, tier)
    return bound


CHAIN: Final[tuple[Step, ...]] = (by_hand, overspeed_guard, lowest_tier)


def bound_of(group: TrackerClass, torrent: Bounded) -> Bound:
    """Return the bound of a torrent of a group."""
    bound = NO_BOUND
    for step in CHAIN:
        bound = step(group, torrent, bound)
    return bound


def _holds(tier: Tier, torrent: Bounded) -> bool:
    """Return whether all conditions of a tier hold. One about what is not known does not."""
    pairs = ((tier.above_ratio, torrent.ratio), (tier.above_age_s, torrent.age_s))
    return all(least is None or (value is not None and value >= least) for least, value in pairs)


def _age(seconds: float) -> str:
    """Return an age in words, such as `90 days`."""
    for unit, name in ((_DAY_S, "days"), (_HOUR_S, "h"), (60.0, "min")):
        if seconds >= unit and not seconds % unit:
            return f"{seconds / unit:g} {name}"
    return f"{seconds:g} s"
