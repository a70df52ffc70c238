"""Carry out a plan (journal the intent, write, take in the answers), or log what a dry run would write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import structlog

from qguardarr.core.measure.saved_quota import FLUSH_GAP_S, OTHER_GAP_S
from qguardarr.core.model import UNLIMITED, Change
from qguardarr.core.reconcile.plan import Plan, Write
from qguardarr.core.reconcile.registry import TorrentRegistry
from qguardarr.engine.ports import Clock, Journal, TorrentClient
from qguardarr.errors import ClientError, Unreachable

DRY_RUN_TOLD: Final = 0.2
"""A torrent is logged again when its limit would differ by more than this part."""
DRY_RUN_LINES: Final = 20
"""Torrents that are named in one cycle."""

log = structlog.get_logger("qguardarr.controller")


class Writer:
    """Writes limits. The counters are since the start."""

    def __init__(self, registry: TorrentRegistry, journal: Journal, clock: Clock) -> None:
        self._registry = registry
        self._journal = journal
        self._clock = clock
        self._gaps_s = [FLUSH_GAP_S, OTHER_GAP_S]
        """Between the two writes of the coming flushes, in turns, seconds."""
        self.calls = 0
        """Limit-writing calls."""
        self.limits = 0
        """Limits changed."""
        self.flushed = 0
        """Times that a torrent was made to lose saved quota."""

    def apply(self, plan: Plan, client: TorrentClient) -> None:
        """Write a plan. Raises ClientError when a write fails, and JournalError before anything is written."""
        steps = plan.steps
        if not steps:
            return
        ids = list(self._journal.intend(steps))
        sent = 0
        try:
            for write in plan.flushes:
                self._send(write, client)
                self._settle_flush(write.changes)
                sent += len(write.changes)
            if plan.flushes:
                self._pause(self._gaps_s[0])
                self._gaps_s.reverse()
            for write in (*plan.lowers, *plan.writes):
                self._send(write, client)
                self._settle(write.changes)
                sent += len(write.changes)
        except ClientError as error:
            if isinstance(error, Unreachable):
                for change in steps[sent : sent + len(write.changes)]:
                    self._registry.limits.got_no_answer(change.hash, change.new)
            self._journal.failed(ids[sent:])
            raise
        finally:
            self._journal.applied(ids[:sent])

    def _send(self, write: Write, client: TorrentClient) -> None:
        client.set_upload_limit(write.limit, [change.hash for change in write.changes])
        self.calls += 1
        self.limits += len(write.changes)

    def _settle_flush(self, changes: Sequence[Change]) -> None:
        now = self._clock.monotonic()
        for change in changes:
            self._registry.limits.wrote_flush(change.hash, change.new, now)
        self.flushed += len(changes)
        log.info("saved_quota_flushed", torrents=len(changes), reason=changes[0].reason)

    def _settle(self, changes: Sequence[Change]) -> None:
        now = self._clock.monotonic()
        for change in changes:
            self._registry.limits.wrote(change.hash, change.new, change.original, now)

    def _pause(self, seconds: float) -> None:
        """Wait for some seconds; a hint that comes meanwhile is kept for the wait after this cycle."""
        end, woken = self._clock.monotonic() + seconds, False
        while (left := end - self._clock.monotonic()) > 0:
            woken |= self._clock.wait(left)
        if woken:
            self._clock.wake()


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
