"""Who owns the upload limit of one torrent: a state machine, and everything that affects it.

A torrent has an *original* limit, which its person set, and a limit *in force*. As long as the two differ by our doing,
the limit is ours and the original has to be given back some day. `_NEXT` names every state, every event and the state
that follows; `Ownership` keeps the values that belong to a state, and names the event that a value means.

Three promises, which `tests/unit/core/reconcile/test_ownership.py` holds over random sequences of events:

- The original is what the person set, at any time; no event but a person's own, or a claim of the journal, changes it.
- None of our limits, and none of another program, becomes an original.
- Once an original that we wrote is seen in force, nothing of ours is left.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Final

import msgspec

from qguardarr.core.model import UNLIMITED
from qguardarr.core.reconcile.foreign import is_rounded

UNKNOWN: Final = 0
"""Stands for a limit in force that nobody has explained yet."""


class Owner(enum.IntEnum):
    """Whose the limit in force is: the states."""

    PERSON = 0
    """The original is in force; nothing of ours is left."""
    RESTORING = 1
    """We wrote the original; no read has shown it yet."""
    APPLIED = 2
    """We wrote the limit, or a read showed an older one of ours."""
    IN_DOUBT = 3
    """We wrote a limit and got no answer: it may be in force, or the one before it."""
    FLUSHED = 4
    """We wrote a high limit so that saved quota is lost (see `saved_quota`); a low one has to follow."""
    OVERRULED = 5
    """Another program set the limit; it is to be written over."""
    UNEXPLAINED = 6
    """We touched the torrent, as the journal says, but the limit in force is neither ours nor the original."""


class Event(enum.IntEnum):
    """What happens to a limit. Each row of `_NEXT` is one of these."""

    WROTE_LIMIT = 0
    """A write was answered, of a limit other than the original."""
    WROTE_ORIGINAL = 1
    """A write of the original was answered."""
    WROTE_FLUSH = 2
    """The first write of a flush was answered: a high limit."""
    NO_ANSWER = 3
    """A write got no answer."""
    SHOWED_OURS = 4
    """A read showed a limit that is ours, though not the one that we thought in force."""
    SHOWED_ORIGINAL = 5
    """A read showed the original."""
    SET_BY_HAND = 6
    """A person set the limit, which is the original from now on."""
    SET_BY_PROGRAM = 7
    """Another program set the limit."""
    CORRECTED = 8
    """A limit taken for a person's turned out to be a program's: the original is an earlier one."""
    CLAIMED_UNKNOWN = 9
    """The journal says that we touched the torrent; its limit is neither ours nor the original."""


_P, _R, _A, _D, _F, _O, _U = Owner
_NEXT: Final[dict[Event, tuple[Owner, ...]]] = {
    # from:                 PERSON RESTORING APPLIED IN_DOUBT FLUSHED OVERRULED UNEXPLAINED
    Event.WROTE_LIMIT: (_A, _A, _A, _A, _A, _A, _A),
    Event.WROTE_ORIGINAL: (_R, _R, _R, _R, _R, _R, _R),
    Event.WROTE_FLUSH: (_F, _F, _F, _F, _F, _F, _F),
    Event.NO_ANSWER: (_D, _D, _D, _D, _F, _D, _D),  # a flush still has to be ended
    Event.SHOWED_OURS: (_A, _A, _A, _A, _A, _A, _A),
    Event.SHOWED_ORIGINAL: (_P, _P, _P, _P, _P, _P, _P),
    Event.SET_BY_HAND: (_P, _P, _P, _P, _P, _P, _P),
    Event.SET_BY_PROGRAM: (_O, _O, _O, _O, _O, _O, _O),
    Event.CORRECTED: (_O, _O, _A, _D, _F, _O, _U),  # the limit in force stays whosever it is
    Event.CLAIMED_UNKNOWN: (_U, _U, _U, _U, _U, _U, _U),
}


class Shown(enum.Enum):
    """What a limit that a read shows means for us."""

    STALE = enum.auto()
    """The answer may be older than our write: look again later."""
    EXPLAINED = enum.auto()
    """Ours or the original; it is taken for the limit in force now."""
    RETURNED = enum.auto()
    """The original, though we had written another limit; it is taken for the limit in force now."""
    STRANGE = enum.auto()
    """Neither ours nor the original: somebody else set it. Nothing is changed until it is known who."""


class Claim(msgspec.Struct, frozen=True, gc=False):
    """What the journal knows of a torrent that we touched."""

    hash: str
    original: int
    """What the person had set, bytes/s or UNLIMITED."""
    written: Sequence[int]
    """Values that may be in force by our hand, newest first."""
    held: bool = True
    """The torrent has not been given its original back since."""


class Ownership(msgspec.Struct, gc=False, eq=False):
    """The state of one torrent's limit with the values that belong to it. All limits in bytes/s or UNLIMITED."""

    original: int
    """What the person set."""
    current: int
    """Limit in force as far as we know; UNKNOWN until somebody else's limit is explained."""
    owner: Owner = Owner.PERSON
    previous: int = 0
    """Limit before our last write, or before a flush: an answer may still show it for a moment. 0 if none."""
    highest: int = 0
    """Highest limit below UNLIMITED that is known: the torrent's bucket may hold SAVED_S of it (see `saved_quota`)."""
    unanswered: int = 0
    """Limit of our last write that got no answer; 0 if none."""
    foreign: int = 0
    """Limit of another program that we last found in force; 0 if none. Seen again, it is no lost write of ours."""
    lower_to: int = 0
    """While FLUSHED: the limit to go back to if nothing else is decided; 0 otherwise."""

    @property
    def ours(self) -> bool:
        """Whether the limit in force is not the person's, and the original still has to be given back."""
        return self.owner > Owner.RESTORING

    @property
    def is_limited(self) -> bool:
        """Whether there is a limit in force that is not the person's."""
        return self.owner > Owner.RESTORING and self.current < UNLIMITED

    def wrote(self, limit: int, original: int) -> None:
        """Take in that a write of ours was answered."""
        if self.owner is not Owner.FLUSHED:  # else an answer may still show the limit before the flush
            self.previous = self.current
        self.original, self.unanswered = original, 0
        self._is_in_force(limit, Event.WROTE_ORIGINAL if limit == original else Event.WROTE_LIMIT)

    def wrote_flush(self, limit: int) -> None:
        """Take in that the high limit of a flush was written."""
        self.lower_to = self.lower_to or self.current or self.original
        self.previous, self.current = self.current, limit  # `highest` stays: the bucket gains nothing in a moment
        self._to(Event.WROTE_FLUSH)

    def got_no_answer(self, limit: int) -> None:
        """Take in that a write of ours got no answer: the next read tells whether this limit is in force."""
        self.unanswered = limit
        self._to(Event.NO_ANSWER)

    def set_by_hand(self, limit: int) -> None:
        """Take in that a person set this limit: it is the original, and the upper bound, from now on."""
        self.original = self.previous = limit  # the limit before it is no write of ours that may have been lost
        self._is_in_force(limit, Event.SET_BY_HAND)

    def set_by_program(self, limit: int) -> None:
        """Take in that another program set this limit: the original stays, and is still to be given back."""
        self.foreign = limit
        self._is_in_force(limit, Event.SET_BY_PROGRAM)

    def correct_original(self, original: int) -> None:
        """Take in that the present original is another program's limit, and this one is the person's."""
        self.foreign, self.original = self.original, original
        self._to(Event.SHOWED_ORIGINAL if self.current == original else Event.CORRECTED)

    def found(self, limit: int) -> None:
        """Take in that a read shows this limit, which is ours or the original."""
        self._is_in_force(limit, Event.SHOWED_ORIGINAL if limit == self.original else Event.SHOWED_OURS)

    def confirm(self, shown: int) -> bool:
        """Whether a read shows the original that we wrote; from then on nothing of ours is left."""
        if self.owner is not Owner.RESTORING or shown != self.original:
            return False
        self._to(Event.SHOWED_ORIGINAL)
        return True

    def claimed(self, claim: Claim, shown: int) -> bool:
        """Apply what the journal knows to a limit that a read shows.

        Returns:
            Whether the original is in force though we had written another limit and not given it back.
        """
        self.original = claim.original
        known = (self.highest, claim.original, *claim.written)
        self.highest = max((limit for limit in known if limit < UNLIMITED), default=0)
        if shown == claim.original:
            self.current = shown
            self._to(Event.SHOWED_ORIGINAL)
            return claim.held and shown not in claim.written
        if shown not in claim.written:
            self.current = UNKNOWN
            self._to(Event.CLAIMED_UNKNOWN)
            return False
        self.current = shown
        newest = claim.written[0]
        if claim.held and newest < shown == self.highest:  # killed before the second write of a flush
            self._to(Event.WROTE_FLUSH)
            self.lower_to = newest
        else:
            self._to(Event.SHOWED_OURS)
        return False

    def judge(self, shown: int, *, may_be_stale: bool) -> Shown:
        """Say what a limit means that differs from the one in force, and take it in if it is explained.

        Args:
            shown: the limit that a read shows.
            may_be_stale: the answer may be older than our last write.
        """
        if may_be_stale and shown == self.previous:
            return Shown.STALE
        if shown == self.foreign and shown != self.original:
            return Shown.STRANGE
        returned = shown == self.original and self.ours and shown != self.unanswered
        # The last two are writes that were lost, or were not.
        if shown in (self.original, self.previous, self.unanswered) or self._is_rounded(shown):
            self.found(shown)
            return Shown.RETURNED if returned else Shown.EXPLAINED
        return Shown.STRANGE

    def _is_rounded(self, shown: int) -> bool:
        """Whether somebody confirmed a dialog in KiB/s that showed a limit of ours."""
        mine = (self.current, self.previous) if self.ours else ()
        return any(is_rounded(shown, limit) for limit in mine if limit not in (UNKNOWN, self.original))

    def _is_in_force(self, limit: int, event: Event) -> None:
        self.current = limit
        if limit < UNLIMITED:
            self.highest = max(self.highest, limit)
        self._to(event)

    def _to(self, event: Event) -> None:
        self.owner = _NEXT[event][self.owner]
        if self.owner is not Owner.FLUSHED:
            self.lower_to = 0
