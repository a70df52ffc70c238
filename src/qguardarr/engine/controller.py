"""The control loop.

    observe → decide → refuse if unsafe → journal the intent → apply → settle → Snapshot

A preview and a dry run are the same line stopped after the decision. A read or a journal that fails ends the cycle
before anything is written.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

import msgspec
import structlog

from qguardarr.core.policy import Policy
from qguardarr.core.reconcile.decide import Decision, decide
from qguardarr.core.reconcile.plan import make_plan
from qguardarr.core.reconcile.registry import TorrentRegistry
from qguardarr.core.select.pattern import Backtrack
from qguardarr.engine.instance import Instance, Upkeep
from qguardarr.engine.outcome import came_through, failed
from qguardarr.engine.ports import Clock, Journal, TorrentClient
from qguardarr.engine.rounds import Rounds
from qguardarr.engine.status import Snapshot, State
from qguardarr.engine.triggers import Triggers
from qguardarr.engine.writer import DryRunLog
from qguardarr.errors import Busy, QguardarrError

T = TypeVar("T")

LOCK_TIMEOUT_S: Final = 10.0
"""A rollback by another process may hold the lock for some seconds."""
HURRY_S: Final = 0.25
"""A cycle that is brought forward begins this long after the start of the one before, seconds."""
FLOOD_S: Final = 1.0
"""It begins this long after it (half an interval if that is shorter) if that one had been brought forward, too: a flood
of hints must not become a flood of calls."""
TRY_AGAIN_S: Final = 5.0
"""A cycle that failed is tried again after this, or an interval if that is shorter: an interval may be minutes."""
TURN_TIMEOUT_S: Final = 20.0
"""A cycle may wait for qBittorrent for long; whoever wants its turn meanwhile waits no longer than this."""

log = structlog.get_logger("qguardarr.controller")


class Controller:
    """Runs cycles, one at a time. Everything that changes limits or policy while it runs goes through it."""

    def __init__(
        self,
        client: TorrentClient,
        journal: Journal,
        policy: Policy,
        clock: Clock,
        *,
        retention_s: float = 30 * 86400.0,
        give_up_s: float = 30 * 86400.0,
        wall_clock: Callable[[], float] = time.time,
        triggers: Triggers | None = None,
        backtrack: Backtrack | None = None,
    ) -> None:
        """`retention_s`, `give_up_s`: see `Upkeep`. `backtrack`: see `Matcher`."""
        self._instance = Instance(client, journal, policy, clock, wall_clock, backtrack=backtrack)
        self.registry = self._instance.registry
        self.snapshot = Snapshot.before_the_first(wall_clock())
        self.decided: Decision | None = None
        """Decision of the most recent completed cycle."""
        self.triggers = triggers or Triggers(clock.wake)
        self._journal = journal
        self._clock = clock
        self._wall_clock = wall_clock
        self._dry_run_log = DryRunLog(self.registry)
        self.upkeep = Upkeep(self.registry, journal, clock.monotonic(), retention_s=retention_s, give_up_s=give_up_s)
        self._turn = threading.Lock()
        self._rounds: Rounds[Snapshot] = Rounds()
        self._next_policy: Policy | None = None
        self._next_client: TorrentClient | None = None

    def run(self, stopped: Callable[[], bool], publish: Callable[[Snapshot], None]) -> None:
        """Run cycles until `stopped`. A late cycle is followed by the next at once; missed ones are not made up for."""
        hurried = False
        while not stopped():
            started = self._clock.monotonic()
            publish(self.cycle())
            gap = self._clock.monotonic() - started + self.rest_s(started)
            soonest = max(HURRY_S, min(FLOOD_S, gap / 2)) if hurried else min(HURRY_S, gap)
            hurried = False
            while not stopped() and (left := started + gap - self._clock.monotonic()) > 0:
                if not self._clock.wait(left):
                    break
                gap, hurried = min(gap, soonest), True

    def rest_s(self, started: float) -> float:
        """Return for how long to wait after a cycle that began at `started`, in seconds: the interval at most."""
        now = self._clock.monotonic()
        if self.snapshot.state is State.FAILING:
            return max(0.0, started + min(self.policy.interval_s, TRY_AGAIN_S) - now)
        return max(0.0, self.registry.uploads.next_look(now, started + self.policy.interval_s) - now)

    def next_cycle(self, timeout_s: float) -> Snapshot:
        """Bring the next cycle forward and wait for it: the snapshot of one that began after this call.

        `Busy` if none has ended after `timeout_s` seconds. For any thread but the engine's.
        """
        asked = self._rounds.ask()
        self._clock.wake()
        try:
            return asked.result(timeout_s)
        except TimeoutError:
            raise Busy("the cycle has not ended yet: it waits for qBittorrent, or for a rollback; try again") from None

    def hurry(self) -> None:
        """Bring the next cycle forward. From any thread."""
        self._clock.wake()

    def cycle(self) -> Snapshot:
        """Run one cycle. Never raises: what went wrong stands in the snapshot."""
        with self._turn:
            end_round = self._rounds.begin()
            started = self._clock.monotonic()
            self._take_up()
            try:
                snapshot = self._cycle()
            except QguardarrError as error:
                snapshot = failed(self._instance, self.snapshot, self._wall_clock(), error)
            except Exception as error:  # the loop survives its own defects; limits stay as they are
                fault = QguardarrError(f"internal error: {type(error).__name__}; see the log")
                if str(fault) != self.snapshot.problem:  # else the log would fill with one trace each cycle
                    log.exception("defect")
                snapshot = failed(self._instance, self.snapshot, self._wall_clock(), fault)
            took = self._clock.monotonic() - started
            self.snapshot = msgspec.structs.replace(snapshot, cycle_s=took)
            end_round(self.snapshot)
            return self.snapshot

    def preview(self) -> Decision:
        """Return what a cycle would do, from one more read; nothing is written to qBittorrent.

        Raises ClientError, JournalError and Busy.
        """
        with self._taking_turn():
            self._take_up()
            seen = self._instance.read()
            with self._instance.all_or_again():
                self._instance.take_in(seen)
            return decide(self.registry)

    def inspect(self, look: Callable[[TorrentRegistry], T]) -> T:
        """Return what `look` finds in the registry between two cycles. It must change nothing. Raises Busy."""
        with self._taking_turn():
            self._take_up()
            return look(self.registry)

    @property
    def policy(self) -> Policy:
        """The policy in force, or about to be."""
        return self._next_policy or self.registry.policy

    def adopt_policy(self, policy: Policy) -> None:
        """Swap the policy before the next cycle. Never waits; from any thread."""
        self._next_policy = policy

    def adopt_client(self, client: TorrentClient) -> None:
        """Speak to qBittorrent through another client from the next cycle on. Never waits; from any thread."""
        self._next_client = client

    def forget_borrowed(self, tracker: str | None = None) -> int:
        """Begin again with what a tracker (None: each) borrows, and return how many had something to forget.

        Raises Busy.
        """
        with self._taking_turn():
            borrowing = self.registry.uploads.effective
            known = [name for name in borrowing if tracker in (None, name)]
            for name in known:
                del borrowing[name]
            return len(known)

    @contextlib.contextmanager
    def _taking_turn(self) -> Iterator[None]:
        if not self._turn.acquire(timeout=TURN_TIMEOUT_S):
            raise Busy("a cycle waits for qBittorrent's answer; try again in a moment")
        try:
            yield
        finally:
            self._turn.release()

    def _take_up(self) -> None:
        """Take up what was handed over since the last cycle."""
        client, self._next_client = self._next_client, None
        if client is not None:
            self._instance.client = client
        policy, self._next_policy = self._next_policy, None
        if policy is not None:
            self._instance.adopt_policy(policy)

    # -- one cycle, step by step --------------------------------------------------------------------------------------

    def _cycle(self) -> Snapshot:
        instance, refused = self._instance, None
        hints = self.triggers.take()
        if hints.overflow:
            instance.client.request_full()
        seen = instance.read(hints.hashes)
        full = seen.full
        with contextlib.ExitStack() as held:
            with instance.all_or_again():
                held.enter_context(self._journal.exclusive(LOCK_TIMEOUT_S))
                paused = self._journal.paused()
                instance.heed_others()
                instance.take_in(seen)
                del seen  # a complete list takes megabytes
            writes = paused is None and not self.registry.policy.dry_run
            instance.trust.check(writes=writes)
            self.decided = decision = decide(self.registry)
            self.registry.note_decision(decision.reasons, decision.clean)
            if writes:
                plan, refused = instance.carry_out(decision.plan)
                self.registry.settle_decision(decision.effective, decision.idle_limits)
                instance.safety.note(plan)
            else:
                self.registry.uploads.forgive()
                plan = make_plan(instance.unfinished(), max_calls=self.policy.max_calls_per_cycle)
                instance.writer.apply(plan, instance.client)
            if self.registry.policy.dry_run:
                self._dry_run_log.tell(decision.plan)
            self.upkeep.prune_now_and_then(instance.client, self._clock.monotonic(), full=full)
        return came_through(instance, self.snapshot, self._wall_clock(), decision, paused, refused)
