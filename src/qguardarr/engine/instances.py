"""The qBittorrents that one daemon guards: read those that are due, and write to all of them in order.

One that fails or hangs ends nobody else's cycle. It is *away* until it answers again, and its torrents keep their
limits. Each is read right after a copy of its own counters. Several are called in threads of their own, one call at a
time, and while one goes on nothing is decided for its qBittorrent. With a single one everything happens in the engine's
thread, and whatever goes wrong is raised.

The module is long because each step of a cycle is here for all of them at once, and what one does not answer in a step
decides what the next step may do.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Final

import structlog

from qguardarr.core.model import Observation
from qguardarr.core.policy import Policy
from qguardarr.core.reconcile.decide import Decision, decide, decide_together
from qguardarr.core.reconcile.joint import Joint, used_by
from qguardarr.core.reconcile.plan import Plan, make_plan
from qguardarr.core.reconcile.registry import TorrentRegistry
from qguardarr.core.select.pattern import Backtrack
from qguardarr.engine.caller import Caller
from qguardarr.engine.held_parts import HeldParts
from qguardarr.engine.instance import Instance
from qguardarr.engine.ports import Clock, Journal, TorrentClient
from qguardarr.engine.triggers import Hints
from qguardarr.engine.twins import Twins, twin_words
from qguardarr.engine.writer import Sending
from qguardarr.errors import ClientError, UnsafePlan

PATIENCE_S: Final = 0.5
"""The others wait this long for one of several that does not answer, seconds, once for each of its calls."""
GATHER_S: Final = 0.1
"""One that is due within this time is read along, seconds: each cycle decides for all of them."""
SUDDEN_S: Final = 10.0
"""What is in use at one that does not answer is as it was seen for this long, seconds: a slow answer cuts no limits."""
BACK_S: Final = 6.0
"""For this long after one came back, seconds, what it used before counts as in use: it has to be measured first."""
TRY_AGAIN_S: Final = 5.0
"""A read that failed is tried again after this, or an interval if that is shorter: an interval may be minutes."""

log = structlog.get_logger("qguardarr.controller")

Seen = list[tuple[Instance, Observation]]
"""What was read."""


class Instances:
    """All qBittorrents, in the order of the file. For the engine's thread, but for `all`."""

    def __init__(
        self,
        clients: Mapping[str, TorrentClient],
        journal: Journal,
        policy: Policy,
        clock: Clock,
        wall_clock: Callable[[], float],
        *,
        backtrack: Backtrack | None = None,
        patience_s: float = PATIENCE_S,
    ) -> None:
        """`clients`: by name; the only one has none (""). `patience_s`: of real time, see `PATIENCE_S`."""
        self.all: Sequence[Instance] = [
            Instance(
                client,
                journal.of(name) if name else journal,
                policy,
                clock,
                wall_clock,
                backtrack=backtrack,
                name=name,
            )
            for name, client in clients.items()
        ]
        self._clock = clock
        self._wall_clock = wall_clock
        self.patience_s = patience_s
        self._callers = {one.name: Caller(clock.wake) for one in self.all} if len(self.all) > 1 else {}
        self._twins = Twins()
        self._policy = policy
        self._held = HeldParts({one.name: one.journal for one in self.all} if len(self.all) > 1 else {})
        self._joint = Joint([one.registry for one in self.all], policy) if len(self.all) > 1 else None

    @property
    def whole(self) -> TorrentRegistry | Joint:
        """All registries as one."""
        return self._joint or self.all[0].registry

    @property
    def policy(self) -> Policy:
        """The policy in force."""
        return self._policy

    @property
    def ready(self) -> list[Instance]:
        """Those that can be decided for: read before, and not away. The only one always, after its read."""
        if not self._callers:
            return list(self.all)
        return [one for one in self.all if one.is_ready and not self._is_busy(one)]

    def adopt_policy(self, policy: Policy) -> None:
        """Take up another policy. One that is being called takes it up after its next read."""
        self._policy = policy
        if self._joint is not None:
            self._joint.adopt_policy(policy)
        for one in self.all:
            if not self._is_busy(one):
                one.adopt_policy(policy)

    def adopt_client(self, name: str, client: TorrentClient) -> None:
        """Speak to one of them through another client."""
        for one in self.all:
            if one.name == name:
                one.client, one.due_at = client, 0.0
            one.twin, self._twins = "", Twins()

    # -- reading ------------------------------------------------------------------------------------------------------

    def next_read(self) -> float:
        """Return when the next one is due, monotonic seconds."""
        return min((one.due_at for one in self.all if not self._is_busy(one)), default=0.0)

    def read(self, hints: Hints, *, everything: bool) -> Seen:
        """Read those that are due, or all of them (`everything`).

        Raises `ClientError` if nothing was read, and none of them can be decided for.
        """
        if len(self.all) == 1:
            only = self.all[0]
            if hints.overflow:
                only.client.request_full()
            return [(only, only.read(hints.hashes))]
        now = self._clock.monotonic()
        for one in self.all:
            caller = self._callers[one.name]
            if caller.busy or not (everything or one.due_at <= now + GATHER_S):
                continue
            if hints.overflow:
                one.client.request_full()
            one.due_at = now + self._policy.interval_s
            caller.start(partial(one.read, hints.of(one.name)))
        seen: Seen = []
        defects: list[Exception] = []
        for one in self.all:
            try:
                found = self._outcome(one)
            except Exception as error:
                defects.append(error)
                continue
            if found is not None:
                seen.append((one, found))
        if defects:
            with self.all_or_again(seen):
                raise defects[0]
        if not seen and not self.ready and (failed := [one.problem for one in self.all if one.problem is not None]):
            raise failed[0]
        return seen

    def _outcome(self, one: Instance) -> Observation | None:
        """Return what a read brought; None if it goes on or failed. Raises what is no ClientError."""
        caller = self._callers[one.name]
        if not caller.busy:
            return None
        outcome = caller.take(0.0 if one.hangs else self.patience_s)
        one.hangs = outcome is None
        if isinstance(outcome, ClientError):
            self._fail(one, outcome)
            one.adopt_policy(self._policy)
        elif isinstance(outcome, Sending):
            one.sent_late = outcome
        elif isinstance(outcome, Exception):
            raise outcome
        return outcome if isinstance(outcome, Observation) else None

    def take_in(self, seen: Seen) -> list[Instance]:
        """Have each registry take in what was read of it, and empty the list. Return those that were read completely.

        Raises `JournalError`.
        """
        full = []
        read = {one.name for one, _ in seen}
        for one in self.all:
            one.fresh = False
            self._settle_late(one)
            if one.is_ready and one.name not in read and not self._is_busy(one) and one.heed_others():
                one.stale, one.due_at = True, 0.0
        while seen:
            one, found = seen.pop()  # a complete list takes megabytes
            if found.full:
                full.append(one)
            self._take_in(one, found)
        if len(self.all) > 1:
            self._look_for_twins()
        return full

    def _take_in(self, one: Instance, found: Observation) -> None:
        one.heed_others()
        before = one.generation
        one.take_in(found)
        if len(self.all) == 1:
            return
        for other in self.all:
            other.expect_generation(one, before)
        self._came_back(one)
        if one.registry.policy is not self._policy:  # swapped while it was being read
            one.adopt_policy(self._policy)
            one.stale, one.due_at = True, 0.0

    def _look_for_twins(self) -> None:
        found = self._twins.found([one.registry for one in self.all if one.fresh])
        for one in self.all:
            if found is not None and one.name == found[1] and not one.twin:
                one.twin = twin_words(*found)
                log.warning("same_qbittorrent", instances=found)

    def _settle_late(self, one: Instance) -> None:
        """Take in what nobody waited for while it was written; then it is read before anything is decided for it."""
        sending, one.sent_late = one.sent_late, None
        if sending is None:
            return
        one.stale, one.due_at = True, 0.0
        if one.registry.policy is not self._policy:
            one.adopt_policy(self._policy)
        try:
            one.writer.end(sending)
        except ClientError as error:
            self._fail(one, error)

    @contextlib.contextmanager
    def all_or_again(self, seen: Seen) -> Iterator[None]:
        """Have everything read again if a read could not be taken in: a partial answer shows nothing twice."""
        read = [one for one, _ in seen]
        try:
            yield
        except BaseException:
            for one in read:
                one.client.request_full()
            raise

    # -- deciding -----------------------------------------------------------------------------------------------------

    def decide(self, ready: Sequence[Instance]) -> list[Decision]:
        """Decide for these; `ready`, in its order."""
        if self._joint is None:
            return [decide(ready[0].registry)]
        away = [one for one in self.all if one not in ready and self._has_part(one)]
        now = self._clock.monotonic()
        known = {
            one.registry: now - one.read_at > SUDDEN_S
            for one in away
            if one.read_at is not None and one.registry.policy is self._policy
        }
        nothing: Mapping[str, float] = {}
        unread = [
            self._held.of(one.name) if one.read_at is None else nothing for one in away if one.registry not in known
        ]
        back = {one.registry: one.used_before for one in ready if now - one.back_at < BACK_S}
        self._joint.leave_out(known, unread, back)
        for one in self.all:
            one.counts = "now" if one in ready else "nothing"
            if one in away:
                one.counts = "last" if one.registry in known else "equal"
            one.held_back = self._joint.held_for.get(one.registry, 0.0)
        self._joint.uploads.measure([one.registry for one in ready], self._policy)
        quiet = [one.registry for one in ready if not one.fresh]
        return decide_together(self._joint, [one.registry for one in ready], quiet)

    def _has_part(self, one: Instance) -> bool:
        """Return whether one that is away keeps its part of the caps."""
        after_s = self._policy.away_after_s
        return after_s is None or one.problem is None or self._clock.monotonic() - one.away_since < after_s

    # -- writing ------------------------------------------------------------------------------------------------------

    def carry_out(self, ready: Sequence[Instance], decisions: Sequence[Decision]) -> UnsafePlan | None:
        """Write the safe part of all plans: decreases of all before increases of any. Return why the rest is not.

        An increase waits while a decrease does, whichever qBittorrent has it. Raises `JournalError` before anything is
        written, and `ClientError` if there is only one.
        """
        if self._joint is None:
            [only], [decision] = ready, decisions
            plan, refused = only.carry_out(decision.plan)
            only.registry.settle_decision(decision.effective, decision.idle_limits)
            only.safety.note(plan)
            return refused
        self._joint.settle(decisions[0].effective, decisions[0].idle_limits)
        checked = [(one, decision, *one.checked(decision.plan)) for one, decision in zip(ready, decisions, strict=True)]
        failed: list[Instance] = []
        waits = any(plan.cuts_wait for _, _, plan, _ in checked)
        for one, _, plan, _ in checked:
            if not self._apply(one, plan.cuts()):
                failed.append(one)
        for one, decision, plan, _ in checked:
            if one in failed:
                continue
            if not (failed or waits) and not self._apply(one, plan.raises()):
                failed.append(one)
                continue
            if one.fresh:
                one.registry.settle_decision(decision.effective, decision.idle_limits)
            if not failed and not waits:
                one.safety.note(plan)
            self._held.note(one.name, partial(used_by, one.registry), self._clock.monotonic())
        return next((refused for _, _, _, refused in checked if refused is not None), None)

    def end_flushes(self, ready: Sequence[Instance]) -> None:
        """End flushes that were cut in two, and what else has to be looked after, while nothing else is written.

        Raises as `carry_out` does.
        """
        for one in ready:
            one.registry.uploads.forgive()
            plan = make_plan(one.unfinished(), max_calls=self._policy.max_calls_per_cycle)
            if not self._callers:
                one.writer.apply(plan, one.client)
            else:
                self._apply(one, plan)

    def _apply(self, one: Instance, plan: Plan) -> bool:
        """Write to one of several; False if that failed or takes too long, and it is away now."""
        sending = one.writer.begin(plan, one.client)
        if sending is None:
            return True
        caller = self._callers[one.name]
        caller.start(sending.run)
        outcome = caller.take(self.patience_s)
        if outcome is None:
            one.hangs = True
            sending.leave(one.until_others_restore())
            return False
        try:
            one.writer.end(sending)
        except ClientError as error:
            self._fail(one, error)
            return False
        if isinstance(outcome, Exception):
            raise outcome
        return True

    # -- away, and back -----------------------------------------------------------------------------------------------

    def _is_busy(self, one: Instance) -> bool:
        return bool(self._callers) and self._callers[one.name].busy

    def _fail(self, one: Instance, error: ClientError) -> None:
        now = self._clock.monotonic()
        if one.problem is None:
            one.away_since, one.away_at = now, self._wall_clock()
            one.used_before = used_by(one.registry)
        if str(error) != str(one.problem):
            log.warning("instance_away", instance=one.name, kind=type(error).__name__, problem=str(error))
        one.problem = error
        one.due_at = now + min(self._policy.interval_s, TRY_AGAIN_S)

    def _came_back(self, one: Instance) -> None:
        now = self._clock.monotonic()
        if one.read_at is None:
            one.used_before, one.back_at = self._held.of(one.name), now
        elif one.problem is not None:
            one.back_at = now
        if one.problem is not None:
            log.info("instance_back", instance=one.name, after_s=round(now - one.away_since, 1))
        one.problem, one.stale, one.fresh, one.read_at = None, False, True, now
        one.seen_at = self._wall_clock()
        one.due_at = one.registry.uploads.next_look(now, now + self._policy.interval_s)
