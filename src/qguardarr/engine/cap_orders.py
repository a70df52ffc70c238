"""The policy in force: that of the file, changed by time (`cap_chain`) and by what people ask for at run time.

Changes at run time are another rollout percentage (until the file is read again) and temporary caps (until they end).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Final, Literal

import msgspec
import structlog

from qguardarr.core.caps.chain import Cap, groups_of
from qguardarr.core.caps.scaled import ALL, Order
from qguardarr.core.caps.temporary import Override
from qguardarr.core.policy import Policy
from qguardarr.engine.cap_chain import CapChain
from qguardarr.engine.controller import Controller
from qguardarr.engine.feature_ports import OverrideStore
from qguardarr.engine.usage_book import UsageBook
from qguardarr.errors import QguardarrError, StoreError

if TYPE_CHECKING:
    from qguardarr.core.caps.quota import Allowance

TIMER_SLACK_S: Final = 0.05
"""Timers and the wall clock need not agree to the millisecond."""
LONGEST_TIMER_S: Final = 86_400.0
"""A timer does not count while the machine sleeps; cycles look, too."""

log = structlog.get_logger("qguardarr.commands")


class UnknownTracker(QguardarrError):
    """There is no rule with this id."""


class CapOrders:
    """Keeps the controller's policy up to date. From any thread."""

    def __init__(
        self,
        controller: Controller,
        policy: Policy,
        store: OverrideStore | None = None,
        *,
        book: UsageBook | None = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """`policy`: the file's. `store`: None to forget temporary caps at the end. `book`: what is used of quotas."""
        self._controller = controller
        self._file = policy
        self._store = store
        self._now = wall_clock
        self._rollout: int | None = None
        self._chain = CapChain(book)
        self._changing = threading.RLock()
        self._caps: Mapping[str, Cap] = {}
        self._adopted_at = 0.0
        self._changes_at: float | None = None
        self._timer: threading.Timer | None = None
        self._orders_changed(self._now())
        self._adopt(policy, None, self._recalled_overrides())

    @property
    def overrides(self) -> Mapping[str, Override]:
        """Temporary caps in force, by tracker id."""
        return self._chain.overrides

    @property
    def caps(self) -> Mapping[str, Cap]:
        """Each group's numbers in force, without what its parents allow, by id; the line's under an empty one."""
        return self._caps

    @property
    def allowances(self) -> Mapping[str, Allowance]:
        """What is used of each quota now, by group id."""
        return self._chain.book.allowances(self._file, self._now()) if self._chain.allowances else {}

    def usage_total(self, group: str) -> int | None:
        """Return all bytes that a group uploaded since usage is counted; None if that is not known."""
        return self._chain.book.total(group)

    @property
    def changes_at(self) -> float | None:
        """Unix time at which the next cap changes by itself; None if none does."""
        return self._changes_at

    @property
    def file_policy(self) -> Policy:
        """The policy as the configuration has it."""
        return self._file

    def with_orders(self, file: Policy) -> Policy:
        """Return the policy that would be in force if the configuration were read again and had this one."""
        chain, now = CapChain(self._chain.book), self._now()
        chain.overrides, chain.orders = self.overrides, self.orders
        chain.look(file, now)
        return chain.in_force(file, now)

    def adopt_file(self, policy: Policy) -> None:
        """Take up the policy of a configuration that was read again."""
        with self._changing:
            self._adopt(policy, None, self.overrides)

    def set_rollout(self, percentage: int) -> None:
        """Manage this percentage of the torrents (1 … 100) until the configuration is read again."""
        if not 1 <= percentage <= 100:
            raise ValueError("the percentage must be a whole number from 1 to 100")
        with self._changing:
            self._adopt(self._file, percentage, self.overrides)
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
            self._adopt(self._file, self._rollout, {**self.overrides, tracker: override})
        log.info("override_set", tracker=tracker, cap=cap, seconds=seconds)
        return override

    def clear_override(self, tracker: str) -> bool:
        """Put the cap of the configuration back in force. False if it is already."""
        if tracker not in self.overrides:  # of a rule that is gone by now, perhaps
            self._check_known(tracker)
        with self._changing:
            if self._store is not None:
                self._store.clear_override(tracker)
            if tracker not in self.overrides:
                return False
            self._adopt(self._file, self._rollout, {t: o for t, o in self.overrides.items() if t != tracker})
        log.info("override_cleared", tracker=tracker)
        return True

    @property
    def orders(self) -> Mapping[str, Order]:
        """Boosts and hushes in force, by group id, or ALL."""
        return self._chain.orders

    def set_orders(self, groups: Collection[str], order: Order) -> None:
        """Boost or hush groups (none: all, and the line). Raises `UnknownTracker` and `StoreError`."""
        known = {group.id for group in groups_of(self._file)}
        for group in groups:
            if group not in known:
                raise UnknownTracker(f"there is no group with the id {group!r}")
        scope = set(groups) or {ALL}
        with self._changing:
            if self._store is not None:
                self._store.set_orders(scope, order)
            self._chain.orders = {**self.orders, **dict.fromkeys(scope, order)}
            self._adopt(self._file, self._rollout, self.overrides)
        log.info(order.kind, groups=sorted(scope), factor=order.factor, speed=order.speed, until=order.until)

    def clear_orders(self, kind: Literal["boost", "hush"], groups: Collection[str] = ()) -> int:
        """End boosts, or hushes, of groups (none: all of the kind), and return their number. Raises `StoreError`."""
        with self._changing:
            ended = {g for g, order in self.orders.items() if order.kind == kind and (not groups or g in groups)}
            if self._store is not None:
                self._store.clear_orders(kind, groups)
            self._chain.orders = {group: order for group, order in self.orders.items() if group not in ended}
            self._adopt(self._file, self._rollout, self.overrides)
        log.info(f"{kind}_ended", groups=sorted(ended))
        return len(ended)

    def _orders_changed(self, now: float) -> bool:
        """Take up the orders that a command beside the daemon has put into the store."""
        if self._store is None:
            return False
        try:
            found = {group: order for group, order in self._store.orders().items() if order.until > now}
        except StoreError:
            return False
        if found == self._chain.orders:
            return False
        self._chain.orders = found
        return True

    def refresh_caps(self) -> None:
        """Adopt the caps that are due now; temporary caps whose time is over end. A timer calls this, too, but a clock
        may be set."""
        now = self._now()
        with self._changing:
            due = self._adopted_at > now or (self._changes_at is not None and self._changes_at <= now)
            if not self._orders_changed(now) and not due and not self._chain.has_news(self._file, now):
                return
            over = [tracker for tracker, override in self.overrides.items() if override.until <= now]
            before = self._caps
            self._adopt(self._file, self._rollout, {t: o for t, o in self.overrides.items() if t not in over})
            for group, cap in self._caps.items():
                if group not in over and _kind(before.get(group)) != _kind(cap):
                    log.info("cap_changed", group=group or "line", cap=cap.ceiling, reason=cap.reason)
            for tracker in over:
                log.info("override_expired", tracker=tracker)
                try:
                    if self._store is not None:
                        self._store.clear_override(tracker)
                except StoreError as error:  # it is over by its own date, too
                    log.warning("override_not_cleared", tracker=tracker, reason=str(error))

    def _adopt(self, file: Policy, rollout: int | None, overrides: Mapping[str, Override]) -> None:
        policy = file if rollout is None else msgspec.structs.replace(file, rollout_percentage=rollout)
        now, chain = self._now(), self._chain
        chain.overrides = dict(overrides)
        chain.look(policy, now)
        capped = chain.in_force(policy, now)
        self._caps = chain.caps(policy, now)
        if capped != self._controller.policy:
            self._controller.adopt_policy(capped)
        self._file, self._rollout, self._adopted_at = file, rollout, now
        self._changes_at = chain.next_change(policy, now)
        self._controller.hurry()
        self._expect_change(now)

    def _expect_change(self, now: float) -> None:
        """Set a timer for the next cap that changes by itself: the time between two cycles may be an hour."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._changes_at is not None:
            self._timer = threading.Timer(
                min(self._changes_at - now + TIMER_SLACK_S, LONGEST_TIMER_S), self._change_is_due
            )
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
        if all(tracker != group.id for group in groups_of(self._file)):
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


def _kind(cap: Cap | None) -> str:
    """Return what moves a cap, without the numbers of a quota, which change all the time."""
    return "" if cap is None else cap.reason.partition(" of ")[0].rstrip("0123456789. ")
