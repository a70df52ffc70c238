"""Say in words why a torrent has its limit."""

from __future__ import annotations

import enum
from typing import Final

from qguardarr.core.model import UNLIMITED, TrackerClass
from qguardarr.core.units import format_speed


class Why(enum.Enum):
    """Kinds of reasons, with their sentences. `tracker` is the tracker's name, `bound` the torrent's bound (see
    `core.caps.bounds`); speeds are written out."""

    FAIR = "fair share of {tracker}: {limit}; wants more"
    CUT = "fair share of {tracker}: {limit}; used {rate}"
    ROOM = "uses {rate} of {tracker}; room up to {limit}"
    PARKED = "idle on {tracker}; held at {limit} until it uploads"
    HELD = "beyond max_managed_torrents on {tracker}; held at {limit}"
    BOUND = "{bound}; wants more"
    BOUNDED = "{bound}"
    LIFTED = "{tracker} is unlimited; the original is restored"
    LEFT = "not managed (rollout_percentage); the original is restored"
    QUIET = "idle on {tracker}; the original is restored (auto_unlimit_on_inactive)"
    SAVED = "runs above its limit of {limit} on {tracker}: it spends quota saved under {earlier}"

    def words(self, *, tracker: str, limit: int, rate: float, earlier: int = 0, bound: str = "") -> str:
        """Return the reason as a sentence for a person.

        Args:
            tracker: name of the torrent's tracker.
            limit: limit that it has or gets, bytes/s or UNLIMITED.
            rate: its rate, bytes/s.
            earlier: highest limit that it is known to have had, bytes/s; 0 if none is known.
            bound: its bound, in words.
        """
        under = f"its earlier limit of {format_speed(earlier)}" if earlier > limit else "an earlier limit"
        return self.value.format(
            tracker=tracker, limit=format_speed(limit), rate=format_speed(int(rate)), earlier=under, bound=bound
        )


def sharing(group: TrackerClass, effective: float | None) -> str:
    """Return the name of a group, with what it borrows. `effective`: what it may use now, bytes/s; None if unknown."""
    own = group.cap if group.rate is None else min(group.rate, group.cap)
    if effective is None or own >= UNLIMITED or effective <= WORTH_TELLING * own:
        return group.name
    return f"{group.name} (borrows {format_speed(int(effective - own))})"


BOUNDS: Final = frozenset((Why.BOUND, Why.BOUNDED))
"""Reasons that name the torrent's bound."""
WORTH_TELLING: Final = 1.02
"""A group that may use this many times what is its own borrows something."""
FLUSHED: Final = "lowered from {earlier} to {limit}, so that quota saved under the old limit is lost"
"""Reason of the first of two changes in one cycle (see `saved_quota`)."""
