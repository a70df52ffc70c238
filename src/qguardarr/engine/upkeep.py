"""Prune the journal now and then, while a complete list tells which limited torrents are gone."""

from __future__ import annotations

from typing import Final

from qguardarr.core.reconcile.registry import TorrentRegistry
from qguardarr.engine.ports import Journal, TorrentClient

PRUNE_EVERY_S: Final = 3 * 3600.0
"""Each time takes a complete list, which at 30,000 torrents keeps qBittorrent busy for seconds."""


class Upkeep:
    """Keeps the journal short."""

    def __init__(
        self, registry: TorrentRegistry, journal: Journal, now: float, *, retention_s: float, give_up_s: float
    ) -> None:
        """`now`: monotonic seconds."""
        self._registry = registry
        self._journal = journal
        self.retention_s = retention_s
        """How long history is kept, seconds."""
        self.give_up_s = give_up_s
        """How long originals of torrents are kept that qBittorrent lacks, seconds."""
        self.pruned_at = now
        """When the journal was pruned last, monotonic seconds."""
        self._asked_for_all_at = now - 1.0

    def prune_now_and_then(self, client: TorrentClient, now: float, *, full: bool) -> None:
        """Prune the journal if it is time. `full`: the last read was a complete list."""
        if now - self.pruned_at < PRUNE_EVERY_S:
            return
        if not full and self._asked_for_all_at < self.pruned_at:
            self._asked_for_all_at = now
            client.request_full()
            return
        if full:
            touched = (found.hash for found, held in self._journal.recall() if held)
            self._journal.missing([hash_ for hash_ in touched if hash_ not in self._registry])
        self.pruned_at = now
        self._journal.prune(older_than_s=self.retention_s, give_up_s=max(self.retention_s, self.give_up_s))
