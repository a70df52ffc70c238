"""Commands of people to the running daemon, for every front end and any thread. Those about caps: `cap_orders`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from typing import Final, TypeVar

import structlog

from qguardarr.core.policy import Policy
from qguardarr.core.reconcile.decide import Decision
from qguardarr.core.reconcile.registry import TorrentRegistry
from qguardarr.engine.cap_orders import CapOrders
from qguardarr.engine.controller import Controller
from qguardarr.engine.ports import Journal, OverrideStore, TorrentClient
from qguardarr.engine.restoring import Outlook, RollbackReport
from qguardarr.engine.rollback import PAUSE_REASON, foresee
from qguardarr.engine.rollback import reset as restore
from qguardarr.engine.rollback import rollback as roll_back
from qguardarr.engine.status import Snapshot
from qguardarr.engine.usage_book import UsageBook
from qguardarr.errors import Busy

T = TypeVar("T")

CYCLE_TIMEOUT_S: Final = 30.0
"""Longest wait for a forced cycle."""

log = structlog.get_logger("qguardarr.commands")


def one_line(reason: str) -> str:
    """Return a reason that somebody sent as one line of visible characters.

    It goes to terminals, logs and messages, where line ends and escape sequences could forge or hide others.
    """
    return " ".join("".join(sign if sign.isprintable() else " " for sign in reason).split())


class Commands(CapOrders):
    """Run commands. Those that restore limits run one at a time, and raise `Busy` when another is at work."""

    def __init__(
        self,
        controller: Controller,
        journal: Journal,
        client: Callable[[], TorrentClient],
        policy: Policy,
        store: OverrideStore | None = None,
        *,
        book: UsageBook | None = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """`policy`: the file's. `client` returns the one in use. `store`: None to forget temporary caps at the end.

        `book`: what is used of quotas.
        """
        super().__init__(controller, policy, store, book=book, wall_clock=wall_clock)
        self._journal = journal
        self._client = client
        self._restoring = threading.Lock()

    # -- looking ------------------------------------------------------------------------------------------------------

    def preview(self) -> Decision:
        """Return the decision of a cycle run now, without writing anything. Raises ClientError, Busy."""
        return self._controller.preview()

    def inspect(self, look: Callable[[TorrentRegistry], T]) -> T:
        """Return what `look` finds between two cycles; see `Controller.inspect`."""
        return self._controller.inspect(look)

    # -- cycles -------------------------------------------------------------------------------------------------------

    def force_cycle(self) -> Snapshot:
        """Run a cycle now, and wait for it; a refused login is tried again. `Busy` if it does not end."""
        self._client().retry_login()
        return self._controller.next_cycle(CYCLE_TIMEOUT_S)

    def pause(self, reason: str) -> None:
        """Stop writing, over restarts too; limits in force stay. `reason`: see `one_line`."""
        self._journal.set_paused(reason)
        log.info("pause_wanted", reason=reason)
        self._controller.hurry()

    def resume(self) -> None:
        """Write again."""
        self._journal.set_paused(None)
        log.info("resume_wanted")
        self._controller.hurry()

    def paused(self) -> str | None:
        """Return why writing is paused, also before a cycle has taken note of it; None if it is not."""
        return self._journal.paused()

    # -- undoing ------------------------------------------------------------------------------------------------------

    def rollback(self, reason: str = PAUSE_REASON) -> RollbackReport:
        """Pause, and put every original back. Raises Busy, JournalError."""
        log.warning("rollback_wanted", reason=reason)
        return self._restore(lambda: roll_back(self._client(), self._journal, pause_reason=reason))

    def reset(self, hashes: Collection[str] | None = None, *, pause_reason: str | None = None) -> RollbackReport:
        """Put originals back (None: all of them). `pause_reason`: None for no pause; the next cycle then decides again.

        Raises as `rollback` does, and has then paused nothing.
        """
        log.info("reset_wanted", torrents="all" if hashes is None else len(hashes), pause=pause_reason)
        return self._restore(lambda: restore(self._client(), self._journal, hashes, pause_reason=pause_reason))

    def foresee(self, hashes: Collection[str] | None = None) -> Outlook:
        """Return the outcome that `rollback` or `reset` would have now, and write nothing. Raises JournalError."""
        return foresee(self._client(), self._journal, hashes)

    def _restore(self, work: Callable[[], RollbackReport]) -> RollbackReport:
        if not self._restoring.acquire(blocking=False):
            raise Busy("limits are being restored already; wait until that is done")
        try:
            return work()
        finally:
            self._restoring.release()
            self._controller.hurry()

    def reset_smoothing(self, tracker: str | None = None) -> int:
        """Forget what a tracker (None: each) borrows. Return the number that borrowed something."""
        return self._controller.forget_borrowed(tracker)
