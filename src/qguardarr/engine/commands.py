"""Commands of people to the running daemon, for every front end and any thread. Those about caps: `cap_orders`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping
from typing import Final, TypeVar

import structlog

from qguardarr.core.policy import Policy
from qguardarr.core.reconcile.decide import Decision
from qguardarr.core.reconcile.joint import Joint
from qguardarr.core.reconcile.registry import TorrentRegistry
from qguardarr.engine.cap_orders import CapOrders
from qguardarr.engine.controller import Controller
from qguardarr.engine.feature_ports import OverrideStore
from qguardarr.engine.ports import Journal, TorrentClient
from qguardarr.engine.restoring import Outlook, RollbackReport
from qguardarr.engine.rollback import PAUSE_REASON, Target, foresee_all, reset_all, rollback_all
from qguardarr.engine.status import Snapshot
from qguardarr.engine.usage_book import UsageBook
from qguardarr.errors import Busy, unknown_instance

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
        clients: Callable[[], Mapping[str, TorrentClient]],
        policy: Policy,
        store: OverrideStore | None = None,
        *,
        book: UsageBook | None = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """`policy`: the file's. `clients` returns those in use, by name. `store`: None to forget temporary caps.

        `book`: what is used of quotas.
        """
        super().__init__(controller, policy, store, book=book, wall_clock=wall_clock)
        self._journal = journal
        self._clients = clients
        self._restoring = threading.Lock()

    # -- looking ------------------------------------------------------------------------------------------------------

    def preview(self) -> Decision:
        """Return the decision of a cycle run now, without writing anything. Raises ClientError, Busy."""
        return self._controller.preview()

    def inspect(self, look: Callable[[TorrentRegistry | Joint], T]) -> T:
        """Return what `look` finds between two cycles; see `Controller.inspect`."""
        return self._controller.inspect(look)

    # -- cycles -------------------------------------------------------------------------------------------------------

    def force_cycle(self) -> Snapshot:
        """Run a cycle now, and wait for it; a refused login is tried again. `Busy` if it does not end."""
        for client in self._clients().values():
            client.retry_login()
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

    def rollback(self, reason: str = PAUSE_REASON, *, instance: str | None = None) -> RollbackReport:
        """Pause, and put every original back. Raises `UnknownInstance`, Busy, JournalError.

        `instance`: of the qBittorrent with this name alone; None: of all. The same goes for the other commands.
        """
        targets = self._targets(instance)
        log.warning("rollback_wanted", reason=reason)
        return self._restore(lambda: rollback_all(targets, pause_reason=reason))

    def reset(
        self,
        hashes: Collection[str] | None = None,
        *,
        pause_reason: str | None = None,
        instance: str | None = None,
    ) -> RollbackReport:
        """Put originals back (None: all of them). `pause_reason`: None for no pause; the next cycle then decides again.

        Raises as `rollback` does, and has then paused nothing.
        """
        targets = self._targets(instance)
        log.info("reset_wanted", torrents="all" if hashes is None else len(hashes), pause=pause_reason)
        return self._restore(lambda: reset_all(targets, hashes, pause_reason=pause_reason))

    def foresee(self, hashes: Collection[str] | None = None, *, instance: str | None = None) -> Outlook:
        """Return the outcome that `rollback` or `reset` would have now, and write nothing.

        Raises `UnknownInstance`, JournalError.
        """
        return foresee_all(self._targets(instance), hashes)

    def _targets(self, instance: str | None) -> list[Target]:
        clients = self._clients()
        if instance is not None and instance not in clients:
            raise unknown_instance(instance, clients)
        return [
            Target(client, self._journal.of(name) if name else self._journal, name)
            for name, client in clients.items()
            if instance in (None, name)
        ]

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
