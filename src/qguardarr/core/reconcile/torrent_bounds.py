"""The bounds of the torrents of a registry (see `core.caps.bounds`), as limits that are written."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from typing import Final

from qguardarr.core.caps.bounds import Bound, Bounded, bound_of
from qguardarr.core.measure.announce_budget import AnnounceBudget
from qguardarr.core.model import UNLIMITED, has_several
from qguardarr.core.policy import Policy
from qguardarr.core.reconcile.ownership import Owner
from qguardarr.core.reconcile.signature import marked
from qguardarr.core.reconcile.torrent_table import TorrentState

AGES_EVERY_S: Final = 1800.0
"""Idle torrents are looked at this often for having reached an age; those that upload, in each cycle."""
MOST_RESTING: Final = 2000
"""Idle torrents whose announces are remembered: 300 bytes each."""


class TorrentBounds:
    """Tells the most that each torrent may have. It is asked between two reads, and changes with each."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self.now = 0.0
        """Unix time, seconds, as ages count; 0 until it is known."""
        self._looked_at = 0.0
        self._resting: dict[str, AnnounceBudget] = {}
        """What is known of the announces of idle torrents, which may later use what they leave now; by hash."""

    def adopt_policy(self, policy: Policy) -> None:
        """Go on under another policy."""
        self._policy = policy

    def under(self, policy: Policy) -> TorrentBounds:
        """Return the bounds as they would be under another policy."""
        found = TorrentBounds(policy)
        found.now = self.now
        return found

    # -- asking -------------------------------------------------------------------------------------------------------

    def of(self, state: TorrentState) -> Bound:
        """Return the bound of a torrent, and who sets it."""
        policy = self._policy
        group = policy.classes[min(state.rule, len(policy.classes) - 1)]  # other threads may ask while it is swapped
        budget = state.budget
        return bound_of(
            group,
            Bounded(
                by_hand=state.original if policy.respect_manual_limits else UNLIMITED,
                ratio=state.torrent.ratio,
                age_s=self.now - state.torrent.added_on if self.now and state.torrent.added_on else None,
                allowed=None if budget is None or budget.rule != group.overspeed else budget.limit,
            ),
        )

    def limit(self, state: TorrentState) -> int:
        """Return the highest limit that a torrent may get, bytes/s or UNLIMITED, as it is written."""
        if not self._policy.classes[state.rule].bounds_torrents:
            return state.original if self._policy.respect_manual_limits else UNLIMITED
        limit = self.of(state).limit
        return limit if limit == state.original else marked(limit)

    def needs_limit(self, state: TorrentState) -> bool:
        """Return whether the bound is lower than what the person set, so that it has to be written."""
        return self.limit(state) < state.original

    def could_use_more(self, state: TorrentState) -> bool:
        """Return whether a torrent that its limit holds back could be given a higher one."""
        return state.current < min(state.original, self.limit(state))

    def reached(self, state: TorrentState) -> bool:
        """Return whether a torrent has the highest limit that an overspeed rule or a tier allows."""
        return self.of(state).by is not None and state.current >= self.limit(state)

    def guard(self, state: TorrentState) -> int:
        """Return the limit above which a torrent may break a rule of its site, bytes/s; UNLIMITED if none."""
        rule = self._policy.classes[state.rule].overspeed
        return UNLIMITED if rule is None else self.limit(state)

    def unattended(self, states: Iterable[TorrentState]) -> Iterator[tuple[TorrentState, int]]:
        """Yield torrents whose limit keeps a rule only while it is looked after, and the limit that always does."""
        for state in states:
            rule = self._policy.classes[state.rule].overspeed
            if rule is not None and rule.saves and state.owner is Owner.APPLIED:
                steady = marked(rule.steady)
                if steady < state.current < UNLIMITED:
                    yield state, steady

    # -- reading ------------------------------------------------------------------------------------------------------

    def aging(self) -> set[int]:
        """Return, once in a while, the rules whose torrents may have reached an age that bounds them."""
        if abs(self.now - self._looked_at) < AGES_EVERY_S:
            return set()
        self._looked_at = self.now
        classes = enumerate(self._policy.classes)
        return {i for i, group in classes if any(tier.above_age_s is not None for tier in group.tiers)}

    def observe(self, at: float, uploading: Iterable[TorrentState], added: Container[str]) -> None:
        """Take in what a copy of the counters tells of the announces of guarded torrents.

        Args:
            at: when it was taken, monotonic seconds.
            uploading: all torrents that upload.
            added: those that were added since the last read.
        """
        classes = self._policy.classes
        if all(group.overspeed is None for group in classes):
            self._resting.clear()
            return
        for state in uploading:
            rule, torrent, estimator = classes[state.rule].overspeed, state.torrent, state.estimator
            if rule is None or estimator is None:
                state.budget = None
                continue
            budget = state.budget or self._resting.pop(torrent.hash, None)
            if budget is None:
                budget = AnnounceBudget(at, torrent.uploaded, rule, announced=torrent.hash in added)
            state.budget = budget
            budget.observe(
                at,
                torrent.uploaded,
                torrent.reannounce,
                rule,
                limit=state.current or UNLIMITED,
                backlogged=estimator.backlogged,
                alone=not has_several(torrent.urls_digest),
            )

    def rest(self, state: TorrentState) -> None:
        """Take in that a torrent became idle."""
        budget, state.budget = state.budget, None
        if budget is not None and budget.rule.saves:
            while len(self._resting) >= MOST_RESTING:
                del self._resting[next(iter(self._resting))]
            self._resting[state.torrent.hash] = budget

    def forget(self, hash_: str) -> None:
        """Take in that a torrent is gone."""
        self._resting.pop(hash_, None)
