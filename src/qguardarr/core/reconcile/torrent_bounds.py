"""The bounds of the torrents of a registry (see `core.caps.bounds`), as limits that are written."""

from __future__ import annotations

from qguardarr.core.caps.bounds import Bound, Bounded, bound_of
from qguardarr.core.model import UNLIMITED
from qguardarr.core.policy import Policy
from qguardarr.core.reconcile.signature import marked
from qguardarr.core.reconcile.torrent_table import TorrentState


class TorrentBounds:
    """Tells the most that each torrent may have. It is asked between two reads, and changes with each."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def adopt_policy(self, policy: Policy) -> None:
        """Go on under another policy."""
        self._policy = policy

    def under(self, policy: Policy) -> TorrentBounds:
        """Return the bounds as they would be under another policy."""
        return TorrentBounds(policy)

    def of(self, state: TorrentState) -> Bound:
        """Return the bound of a torrent, and who sets it."""
        policy = self._policy
        group = policy.classes[min(state.rule, len(policy.classes) - 1)]  # other threads may ask while it is swapped
        return bound_of(group, Bounded(state.original if policy.respect_manual_limits else UNLIMITED))

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

    def guard(self, state: TorrentState) -> int:
        """Return the limit above which a torrent may break a rule of its site, bytes/s; UNLIMITED if none."""
        rule = self._policy.classes[state.rule].overspeed
        return UNLIMITED if rule is None else self.limit(state)
