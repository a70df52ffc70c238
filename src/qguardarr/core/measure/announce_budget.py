"""How much one torrent may upload under its site's overspeed rule, as far as its announces are known.

A site computes bytes ÷ whole seconds between two announces of a torrent. Announces come when they are due, but also
when a torrent stops or completes, and when a person asks for one, so the rule has to hold at every moment since the
last one. A limit a little below the site's keeps it over a long interval, but not over a short one: libtorrent keeps up
to STORED_S of a limit that was not used, hands out quota in portions, and reports the bytes of its last tick, once a
second; the site drops fractions of a second. For some seconds after each announce the limit is therefore lower, by as
many bytes as all of that may be.

An announce shows in qBittorrent's countdown to the next one (`reannounce`), which jumps up. It may have come at any
time since the copy of the counters before: the latest time and the fewest bytes count.

Where the rule says so (`Overspeed.saves`), bytes left unused since the announce may be used later, by a higher limit
that would use them up in SPEND_S: if nobody looks after it for that long, the rule still holds.
"""

from __future__ import annotations

import math
from typing import Final

import msgspec

from qguardarr.core.model import Overspeed

SLACK_S: Final = 2.5
"""Seconds that an interval may seem shorter to the site than the bytes in it took: whole seconds (1), libtorrent's tick
(1), announces that travel at different speeds, and the error of the refresh clock."""
READY_S: Final = 10.0
"""The rule holds from this long on after an announce was seen. With half of it the limit would have to be a tenth, and
peers would wait for ten seconds; NexusPHP ignores intervals below 5 s."""
LEAST_HORIZON_S: Final = 4.0
"""Later on, bytes too many are made up for within this time."""
LAG_S: Final = 1.0
"""Time until another limit takes effect: a write, and libtorrent's next tick."""
STORED_S: Final = 1.5
"""Most that a bucket holds, in seconds of its limit, while its torrent sends less (see `saved_quota`)."""
PORTION_S: Final = 0.5
"""The same while the limit holds the torrent back: one portion of quota."""
MOST_YIELD: Final = 1.02
"""Most payload that comes of a limit ÷ the limit."""
JUMP_S: Final = 3.0
"""A countdown that ends this much later than before was begun anew. It is shown in whole seconds, and the time of a
copy is known within a second or two."""
NEXT_COPY_S: Final = 5.0
"""Copies that are this close show about when an announce was."""
LEAST_PART: Final = 0.05
"""Part of the steady limit that is always left."""
CUSHION: Final = 0.97
"""A limit that has to be lowered is lowered by this factor more, so that it is not lowered again with each copy."""
RISE: Final = 1.5
"""A lowered limit is raised by this factor or more, or to the steady one."""
SPEND_S: Final = 120.0
"""Time in which saved bytes would be used up: a daemon that was killed is back by then. × 2: fewer of them are used."""
MOST_SAVED: Final = 3.0
"""Highest limit that saved bytes allow, in steady ones: an announce that nobody foresaw finds it in force."""
STEP: Final = 1.25
"""Factor between the limits that saved bytes allow, so that each is in force for half a minute or so."""
SOON_S: Final = 12.0
"""No saved bytes are used this long before an announce that is due."""


class Announced(msgspec.Struct, frozen=True):
    """What is known of a torrent's last announce."""

    at: float
    """Latest time at which it may have been, monotonic seconds."""
    sent: int
    """Most bytes that the torrent may have uploaded since then."""
    allowed: int
    """Bytes that the site's rule allows since then."""


class AnnounceBudget:
    """One guarded torrent. Times are monotonic seconds, rates bytes/s."""

    __slots__ = ("_at", "_base", "_bytes", "_deadline", "_interval", "_shown_at", "_since", "limit", "rule")

    def __init__(self, at: float, uploaded: int, rule: Overspeed, *, announced: bool) -> None:
        """`announced`: it was added a moment ago, with an announce that told of no bytes."""
        self.rule = rule
        self.limit = rule.steady
        """Most that the torrent may have now."""
        self._since = at if announced else None
        """Latest time at which the last announce may have been; None: unknown, so long ago."""
        self._base = 0 if announced else uploaded
        """Fewest bytes that it may have told of."""
        self._deadline: float | None = None
        """When the next one is due; None if qBittorrent does not say so."""
        self._interval: float | None = None
        """From one to the next, as last seen."""
        self._shown_at = at
        """When the countdown was shown last."""
        self._at, self._bytes = at, uploaded

    @property
    def announced(self) -> Announced | None:
        """What is known of the last announce; None if nothing is."""
        since = self._since
        if since is None:
            return None
        return Announced(since, self._bytes - self._base, int(self.rule.limit * (self._at - since)))

    def observe(
        self,
        at: float,
        uploaded: int,
        reannounce: int,
        rule: Overspeed,
        *,
        limit: int,
        backlogged: bool,
        alone: bool = True,
    ) -> None:
        """Take in a copy of the counters.

        Args:
            at: when it was taken.
            uploaded: bytes since the torrent was started.
            reannounce: seconds until the next announce as qBittorrent shows it; -1 if it does not.
            rule: of the site.
            limit: limit in force, bytes/s or UNLIMITED.
            backlogged: whether that holds the torrent back.
            alone: the torrent has no other tracker, whose announces the countdown may hide.
        """
        if rule != self.rule:
            self.rule, self.limit = rule, rule.steady
        if uploaded < self._bytes:  # it was stopped and started, and announced with no bytes
            self._since, self._base, self._deadline = at, 0, None
        if reannounce >= 0:
            self._count_down(at, at + reannounce)
        self._at, self._bytes = at, uploaded
        in_force = min(limit, int(MOST_SAVED * rule.steady))
        most = self._at_once(in_force, backlogged=backlogged)
        if most < rule.steady or not (rule.saves and alone):
            self._hold(most)
        else:
            self._spend(self._with_saved(), reached=backlogged and in_force >= CUSHION * self.limit)

    def _count_down(self, at: float, deadline: float) -> None:
        """Take in when the next announce is due; there was one if that is later than before.

        There may have been one if it is shown for the first time, long after the one that is known.
        """
        before, shown_at, self._shown_at = self._deadline, self._shown_at, at
        if before is not None and deadline <= before + JUMP_S:
            self._deadline = min(deadline, before)
            return
        if before is None and (self._since is None or at - self._since <= NEXT_COPY_S):
            self._deadline = deadline
            return
        self._since, self._base, self._deadline = at, self._bytes, deadline
        if at - shown_at <= NEXT_COPY_S:
            self._interval = deadline - at
        elif before is not None and self._interval is not None and _is_multiple(deadline - before, self._interval):
            self._since = min(at, deadline - self._interval + JUMP_S)  # it was idle, and announced when that was due

    def _at_once(self, in_force: int, *, backlogged: bool) -> float:
        """Return the limit by which the rule holds at the end of the horizon."""
        if self._since is None:
            return float(self.rule.steady)
        elapsed, sent = self._at - self._since, self._bytes - self._base
        horizon = max(READY_S - elapsed, LEAST_HORIZON_S)
        stored = PORTION_S if backlogged else STORED_S
        left = self.rule.limit * (elapsed + horizon - SLACK_S) - sent - (stored + LAG_S) * in_force
        return left / (horizon - LAG_S) / MOST_YIELD

    def _with_saved(self) -> float:
        """Return the limit that uses up saved bytes in SPEND_S; the steady one if nothing is known of any.

        A torrent that wakes is not shown counting down at first, and may have announced while it was idle.
        """
        steady = float(self.rule.steady)
        if self._since is None or self._deadline is None or self._shown_at < self._at:
            return steady
        if self._deadline - self._at < SOON_S:
            return steady
        spare = steady * (self._at - self._since - SLACK_S) - (self._bytes - self._base)
        limit = min(MOST_SAVED * steady, (steady + spare / SPEND_S) / (1.0 + (STORED_S + LAG_S) / SPEND_S))
        return steady * STEP ** math.floor(math.log(limit / steady, STEP)) if limit > steady else steady

    def _hold(self, most: float) -> None:
        """Have a limit of `most` or less, the steady one at most, and change it no more often than needed."""
        steady = self.rule.steady
        if most >= steady:
            self.limit = steady
        elif most < self.limit or most >= RISE * self.limit:
            self.limit = max(1, int(LEAST_PART * steady), int(CUSHION * most))

    def _spend(self, most: float, *, reached: bool) -> None:
        """Have a limit of `most` or less, and raise it only where the torrent has reached it."""
        if reached or most < self.limit:
            self.limit = int(most)
        else:
            self.limit = max(self.limit, self.rule.steady)


def _is_multiple(length: float, interval: float) -> bool:
    """Return whether a time is a whole number of intervals, as exactly as a countdown is known."""
    return abs(length - interval * max(1.0, round(length / interval))) <= JUMP_S
