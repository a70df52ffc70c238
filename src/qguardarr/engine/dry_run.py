"""Log what a dry run would write."""

from __future__ import annotations

from typing import Final

import structlog

from qguardarr.core.model import UNLIMITED, Change
from qguardarr.core.reconcile.plan import Plan
from qguardarr.core.reconcile.registry import TorrentRegistry

DRY_RUN_TOLD: Final = 0.2
"""A torrent is logged again when its limit would differ by more than this part."""
DRY_RUN_LINES: Final = 20
"""Torrents that are named in one cycle."""

log = structlog.get_logger("qguardarr.controller")


class DryRunLog:
    """Names each torrent once, and again when it would get a clearly different limit."""

    def __init__(self, registry: TorrentRegistry) -> None:
        self._registry = registry
        self._told: dict[str, int] = {}
        """Limits that were logged, by torrent."""

    def tell(self, plan: Plan) -> None:
        """Log what a plan would write."""
        news = [change for change in plan.changes if self._is_news(change)]
        for change in news[:DRY_RUN_LINES]:
            log.info(
                "would_change",
                torrent=change.hash,
                old=None if change.old == UNLIMITED else change.old,
                new=None if change.new == UNLIMITED else change.new,
                reason=change.reason,
            )
        if len(news) > DRY_RUN_LINES:
            log.info("would_change_more", torrents=len(news) - DRY_RUN_LINES, advice="`qguardarr preview` lists all")
        self._told = {hash_: limit for hash_, limit in self._told.items() if hash_ in self._registry}
        self._told |= {change.hash: change.new for change in news}

    def _is_news(self, change: Change) -> bool:
        told = self._told.get(change.hash, 0)
        return abs(change.new - told) > DRY_RUN_TOLD * told
