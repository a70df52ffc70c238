"""Commands of people to the running daemon, for every front end and any thread.

The policy in force is that of the file with changes made at run time on top: another rollout percentage (until the file
is read again) and temporary caps (until they expire).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping
from typing import Final, TypeVar

import msgspec
import structlog

from qguardarr.core.caps.chain import Modifier, next_change, with_caps
from qguardarr.core.caps.temporary import Override, temporary_caps
from qguardarr.core.policy import Policy
from qguardarr.core.reconcile.decide import Decision
from qguardarr.core.reconcile.registry import TorrentRegistry
from qguardarr.engine.controller import Controller
from qguardarr.engine.ports import Journal, OverrideStore, TorrentClient
from qguardarr.engine.restoring import Outlook, RollbackReport
from qguardarr.engine.rollback import PAUSE_REASON, foresee
from qguardarr.engine.rollback import reset as restore
from qguardarr.engine.rollback import rollback as roll_back
from qguardarr.engine.status import Snapshot
from qguardarr.errors import Busy, QguardarrError, StoreError

T = TypeVar("T")

TIMER_SLACK_S: Final = 0.05
"""Timers and the wall clock need not agree to the millisecond."""
CYCLE_TIMEOUT_S: Final = 30.0
"""Longest wait for a forced cycle."""

log = structlog.get_logger("qguardarr.commands")


def one_line(reason: str) -> str:
    """Return a reason that somebody sent as one line of visible characters.

    It goes to terminals, logs and messages, where line ends and escape sequences could forge or hide others.
    """
    return " ".join("".join(sign if sign.isprintable() else " " for sign in reason).split())


class UnknownTracker(QguardarrError):
    """There is no rule with this id."""


class Commands:
    """Run commands. Those that restore limits run one at a time, and raise `Busy` when another is at work."""

    def __init__(
        self,
        controller: Controller,
        journal: Journal,
        client: Callable[[], TorrentClient],
        policy: Policy,
        store: OverrideStore | None = None,
        *,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """`policy`: the file's. `client` returns the one in use. `store`: None to forget temporary caps at the end."""
        self._controller = controller
        self._journal = journal
        self._client = client
        self._file = policy
        self._store = store
        self._now = wall_clock
        self._rollout: int | None = None
        self._changing = threading.RLock()
        self._restoring = threading.Lock()
        self._overrides: dict[str, Override] = {}
        self._changes_at: float | None = None
        self._timer: threading.Timer | None = None
        self._adopt(policy, None, self._recalled_overrides())

    # -- looking ------------------------------------------------------------------------------------------------------

    @property
    def overrides(self) -> Mapping[str, Override]:
        """Temporary caps in force, by tracker id."""
        return self._overrides

    @property
    def file_policy(self) -> Policy:
        """The policy as the configuration has it."""
        return self._file

    def preview(self) -> Decision:
        """Return the decision of a cycle run now, without writing anything. Raises ClientError, Busy."""
        return self._controller.preview()

    def inspect(self, look: Callable[[TorrentRegistry], T]) -> T:
        """Return what `look` finds between two cycles; see `Controller.inspect`."""
        return self._controller.inspect(look)

    def with_orders(self, file: Policy) -> Policy:
        """Return the policy that would be in force if the configuration were read again and had this one."""
        return with_caps(file, [temporary_caps(self._overrides)], self._now())

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

    # -- the policy in force ------------------------------------------------------------------------------------------

    def adopt_file(self, policy: Policy) -> None:
        """Take up the policy of a configuration that was read again."""
        with self._changing:
            self._adopt(policy, None, self._overrides)

    def set_rollout(self, percentage: int) -> None:
        """Manage this percentage of the torrents (1 … 100) until the configuration is read again."""
        if not 1 <= percentage <= 100:
            raise ValueError("the percentage must be a whole number from 1 to 100")
        with self._changing:
            self._adopt(self._file, percentage, self._overrides)
        log.info("rollout_set", percentage=percentage)

    def set_override(self, tracker: str, cap: int, seconds: float) -> Override:
        """Replace a tracker's cap (bytes/s or UNLIMITED) for some seconds.

        Raises `UnknownTracker` and `StoreError`, and has then changed nothing.
        """
        self._check_known(tracker)
        override = Override(cap, self._now() + seconds)
        with self._changing:
            if self._store is not None:
                self._store.set_override(tracker, override.cap, override.until)
            self._adopt(self._file, self._rollout, {**self._overrides, tracker: override})
        log.info("override_set", tracker=tracker, cap=cap, seconds=seconds)
        return override

    def clear_override(self, tracker: str) -> bool:
        """Put the cap of the configuration back in force. False if it is already."""
        if tracker not in self._overrides:  # of a rule that is gone by now, perhaps
            self._check_known(tracker)
        with self._changing:
            if self._store is not None:
                self._store.clear_override(tracker)
            if tracker not in self._overrides:
                return False
            self._adopt(self._file, self._rollout, {t: o for t, o in self._overrides.items() if t != tracker})
        log.info("override_cleared", tracker=tracker)
        return True

    def refresh_caps(self) -> None:
        """Adopt the caps that are due now; temporary caps whose time is over end. A timer calls this, too, but a clock
        may be set."""
        now = self._now()
        with self._changing:
            if self._changes_at is None or self._changes_at > now:
                return
            over = [tracker for tracker, override in self._overrides.items() if override.until <= now]
            kept = {t: o for t, o in self._overrides.items() if t not in over}
            self._adopt(self._file, self._rollout, kept)
            for tracker in over:
                log.info("override_expired", tracker=tracker)
                try:
                    if self._store is not None:
                        self._store.clear_override(tracker)
                except StoreError as error:  # it is over by its own date, too
                    log.warning("override_not_cleared", tracker=tracker, reason=str(error))

    def reset_smoothing(self, tracker: str | None = None) -> int:
        """Forget what a tracker (None: each) borrows. Return the number that borrowed something."""
        return self._controller.forget_borrowed(tracker)

    def _adopt(self, file: Policy, rollout: int | None, overrides: Mapping[str, Override]) -> None:
        policy = file if rollout is None else msgspec.structs.replace(file, rollout_percentage=rollout)
        now, modifiers = self._now(), self._modifiers(overrides)
        capped = with_caps(policy, modifiers, now)
        if capped != self._controller.policy:
            self._controller.adopt_policy(capped)
        self._file, self._rollout, self._overrides = file, rollout, dict(overrides)
        self._changes_at = next_change(policy, modifiers, now)
        self._controller.hurry()
        self._expect_change(now)

    @staticmethod
    def _modifiers(overrides: Mapping[str, Override]) -> list[Modifier]:
        """Return all that changes a configured cap, in the order in which it does."""
        return [temporary_caps(overrides)]

    def _expect_change(self, now: float) -> None:
        """Set a timer for the next cap that changes by itself: the time between two cycles may be an hour."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._changes_at is not None:
            self._timer = threading.Timer(self._changes_at - now + TIMER_SLACK_S, self._change_is_due)
            self._timer.daemon = True
            self._timer.start()

    def _change_is_due(self) -> None:
        """Adopt the caps that are due, or wait on if the clock was set back meanwhile."""
        with self._changing:
            self._timer = None
            self.refresh_caps()
            if self._timer is None:
                self._expect_change(self._now())

    def _check_known(self, tracker: str) -> None:
        if all(tracker != group.id for group in (*self._file.classes, *self._file.parents)):
            raise UnknownTracker(f"there is no tracker rule with the id {tracker!r}")

    def _recalled_overrides(self) -> dict[str, Override]:
        if self._store is None:
            return {}
        try:
            found = self._store.overrides()
        except StoreError as error:
            log.warning("overrides_not_recalled", reason=str(error))
            return {}
        now = self._now()
        return {tracker: override for tracker, override in found.items() if override.until > now}
