"""Collect the changes of one decision while it is made."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from itertools import chain

from qguardarr.core.model import UNLIMITED, Change
from qguardarr.core.policy import Policy
from qguardarr.core.reconcile.signature import marked
from qguardarr.core.reconcile.torrent_bounds import TorrentBounds
from qguardarr.core.reconcile.torrent_table import TorrentState
from qguardarr.core.reconcile.why import BOUNDS, Why


class Draft:
    """Changes of limits, and the reasons for all limits looked at."""

    def __init__(self, policy: Policy, bounds: TorrentBounds, instance: str = "") -> None:
        """`instance`: see `Change`."""
        self._policy = policy
        self._bounds = bounds
        self._instance = instance
        self.changes: list[Change] = []
        self.flushes: list[Change] = []
        """First of two changes of torrents that are to lose saved quota."""
        self.reasons: dict[str, Why] = {}
        """By hash."""
        self.clean = array("i")
        """Slots of idle torrents that need no change (see `rows`)."""

    def restore(self, member: TorrentState, why: Why, tracker: str) -> None:
        """Give a torrent its original limit back. `tracker`: name of its tracker."""
        self._change(member, member.original, why, tracker)

    def set(self, member: TorrentState, limit: int, why: Why, tracker: str) -> None:
        """Set a computed limit, bytes/s or UNLIMITED, unless it is in force. It carries our mark.

        Limits that a person set on the torrent or in the configuration are kept exact. `tracker`: name of its tracker.
        """
        exact = limit in (member.current, member.original) or limit == self._policy.idle_limit
        self._change(member, limit if exact else marked(limit), why, tracker)

    def flush(self, member: TorrentState, limit: int, reason: str) -> None:
        """Add the first change, to a high limit, of a torrent that is to lose saved quota. `reason`: in words."""
        had, original = member.current, member.original
        self.flushes.append(Change(member.torrent.hash, had, limit, original, reason, self._instance))

    def explain(self, member: TorrentState, why: Why) -> None:
        """Note why a torrent has the limit that it has, or gets."""
        self.reasons[member.torrent.hash] = why

    def _change(self, member: TorrentState, limit: int, why: Why, tracker: str) -> None:
        if limit == member.current or self._must_stay(member, limit):
            return
        rate = member.estimator.rate if member.estimator else 0.0
        bound = self._bounds.of(member).reason if why in BOUNDS else ""
        words = why.words(tracker=tracker, limit=limit, rate=rate, earlier=member.highest, bound=bound)
        hash_ = member.torrent.hash
        had, original = member.current or UNLIMITED, member.original
        self.changes.append(Change(hash_, had, limit, original, words, self._instance))
        self.reasons[hash_] = why

    def _must_stay(self, member: TorrentState, limit: int) -> bool:
        """Return whether a limit would be a raised one, of a group that raises none."""
        return limit > (member.current or UNLIMITED) and not self._policy.classes[member.rule].may_rise


class SharedDraft:
    """Puts each torrent's change into the draft of its qBittorrent, where several share a cap."""

    def __init__(self, drafts: Iterable[tuple[Draft, Iterable[Iterable[TorrentState]]]]) -> None:
        """`drafts`: each with the torrents of its qBittorrent that upload, by class."""
        self._drafts = {id(member): draft for draft, its in drafts for member in chain.from_iterable(its)}
        """By identity of the torrent's state: torrents of two qBittorrents may have the same hash."""

    def set(self, member: TorrentState, limit: int, why: Why, tracker: str) -> None:
        """See `Draft.set`."""
        self._drafts[id(member)].set(member, limit, why, tracker)

    def explain(self, member: TorrentState, why: Why) -> None:
        """See `Draft.explain`."""
        self._drafts[id(member)].explain(member, why)
