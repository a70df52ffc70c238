"""Carry out a plan (journal the intent, write, take in the answers), or log what a dry run would write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import structlog

from qguardarr.core.measure.saved_quota import FLUSH_GAP_S, OTHER_GAP_S
from qguardarr.core.model import UNLIMITED, Change
from qguardarr.core.reconcile.plan import Plan, Write
from qguardarr.core.reconcile.registry import TorrentRegistry
from qguardarr.engine.ports import Clock, Journal, TorrentClient
from qguardarr.errors import ClientError, JournalError, Unreachable

DRY_RUN_TOLD: Final = 0.2
"""A torrent is logged again when its limit would differ by more than this part."""
DRY_RUN_LINES: Final = 20
"""Torrents that are named in one cycle."""

log = structlog.get_logger("qguardarr.controller")


class Sending:
    """The writes of a plan on their way to qBittorrent, by any thread. It changes nothing but itself."""

    def __init__(self, plan: Plan, ids: Sequence[int], client: TorrentClient, clock: Clock, gap_s: float) -> None:
        """`ids`: of the intents in the journal, in the order of `Plan.steps`. `gap_s`: see `Writer`."""
        self.plan = plan
        self.ids = ids
        self.answered: list[tuple[Write, float]] = []
        """Writes that were answered, in order, and when."""
        self.error: ClientError | None = None
        """Why the next one failed."""
        self._client = client
        self._clock = clock
        self._gap_s = gap_s
        self._may_go_on: Callable[[], bool] = lambda: True

    @property
    def writes(self) -> tuple[Write, ...]:
        """All writes in order."""
        return (*self.plan.flushes, *self.plan.lowers, *self.plan.writes)

    def leave(self, may_go_on: Callable[[], bool]) -> None:
        """Have it ask before each further call, since nobody waits for it any longer, and the lock is not held for it.

        `may_go_on` may raise `JournalError`, and is called by the thread that sends.
        """
        self._may_go_on = may_go_on

    def run(self) -> Sending:
        """Send. What fails is kept as `error`, and ends it."""
        for number, write in enumerate(self.writes):
            if number and number == len(self.plan.flushes):
                self._pause(self._gap_s)
            if not self._is_free():
                break
            try:
                self._client.set_upload_limit(write.limit, [change.hash for change in write.changes])
            except ClientError as error:
                self.error = error
                break
            self.answered.append((write, self._clock.monotonic()))
        return self

    def _is_free(self) -> bool:
        try:
            return self._may_go_on()
        except JournalError:
            return False

    def _pause(self, seconds: float) -> None:
        """Wait for some seconds; a hint that comes meanwhile is kept for the wait after this cycle."""
        end, woken = self._clock.monotonic() + seconds, False
        while (left := end - self._clock.monotonic()) > 0:
            woken |= self._clock.wait(left)
        if woken:
            self._clock.wake()


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
        sending = self.begin(plan, client)
        if sending is None:
            return
        try:
            sending.run()
        finally:
            self.end(sending)

    def begin(self, plan: Plan, client: TorrentClient) -> Sending | None:
        """Journal the intent to write a plan, and return what sends it; None if there is nothing to write.

        Raises JournalError.
        """
        steps = plan.steps
        if not steps:
            return None
        sending = Sending(plan, list(self._journal.intend(steps)), client, self._clock, self._gaps_s[0])
        if plan.flushes:
            self._gaps_s.reverse()
        return sending

    def end(self, sending: Sending) -> None:
        """Take in what was sent. Raises the ClientError that ended it, and JournalError."""
        flushes, sent = len(sending.plan.flushes), 0
        for number, (write, at) in enumerate(sending.answered):
            if number < flushes:
                self._settle_flush(write.changes, at)
            else:
                self._settle(write.changes, at)
            self.calls += 1
            self.limits += len(write.changes)
            sent += len(write.changes)
        try:
            if isinstance(sending.error, Unreachable):
                for change in sending.writes[len(sending.answered)].changes:
                    self._registry.limits.got_no_answer(change.hash, change.new)
            if sent < len(sending.ids):
                self._journal.failed(sending.ids[sent:])
            if sending.error is not None:
                raise sending.error
        finally:
            self._journal.applied(sending.ids[:sent])

    def _settle_flush(self, changes: Sequence[Change], at: float) -> None:
        for change in changes:
            self._registry.limits.wrote_flush(change.hash, change.new, at)
        self.flushed += len(changes)
        log.info("saved_quota_flushed", torrents=len(changes), reason=changes[0].reason)

    def _settle(self, changes: Sequence[Change], at: float) -> None:
        for change in changes:
            self._registry.limits.wrote(change.hash, change.new, change.original, at)


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
