"""The control loop.

    observe → decide → refuse if unsafe → journal the intent → apply → settle → Snapshot

A preview and a dry run are the same line stopped after the decision. A read or a journal that fails ends the cycle
before anything is written.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeVar

import msgspec
import structlog

from qguardarr.core.policy import Policy
from qguardarr.core.reconcile.decide import Decision, joined
from qguardarr.core.reconcile.joint import Joint
from qguardarr.core.reconcile.registry import TorrentRegistry
from qguardarr.core.select.pattern import Backtrack
from qguardarr.engine.instance import Upkeep
from qguardarr.engine.instances import PATIENCE_S, TRY_AGAIN_S, Instances
from qguardarr.engine.outcome import came_through, failed
from qguardarr.engine.ports import Clock, Journal, TorrentClient
from qguardarr.engine.rounds import Rounds
from qguardarr.engine.status import Snapshot, State
from qguardarr.engine.triggers import Hints, Triggers
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
LEAVE_TIMEOUT_S: Final = 1.0
"""The engine has two seconds to end."""
TURN_TIMEOUT_S: Final = 20.0
"""A cycle may wait for qBittorrent for long; whoever wants its turn meanwhile waits no longer than this."""

log = structlog.get_logger("qguardarr.controller")


class Controller:
    """Runs cycles, one at a time. Everything that changes limits or policy while it runs goes through it."""

    def __init__(
        self,
        client: TorrentClient | Mapping[str, TorrentClient],
        journal: Journal,
        policy: Policy,
        clock: Clock,
        *,
        retention_s: float = 30 * 86400.0,
        give_up_s: float = 30 * 86400.0,
        wall_clock: Callable[[], float] = time.time,
        triggers: Triggers | None = None,
        backtrack: Backtrack | None = None,
        patience_s: float = PATIENCE_S,
    ) -> None:
        """Guard one qBittorrent, or several.

        Args:
            client: of the only one, or of each by name.
            retention_s: see `Upkeep`; so `give_up_s`.
            backtrack: see `Matcher`.
            patience_s: see `Instances`.
        """
        clients = client if isinstance(client, Mapping) else {"": client}
        self.instances = Instances(
            clients, journal, policy, clock, wall_clock, backtrack=backtrack, patience_s=patience_s
        )
        self.registry = self.instances.all[0].registry
        """Of the first qBittorrent."""
        self.snapshot = Snapshot.before_the_first(wall_clock())
        self.decided: Decision | None = None
        """Decision of the most recent completed cycle."""
        self.triggers = triggers or Triggers(clock.wake)
        self._journal = journal
        self._clock = clock
        self._wall_clock = wall_clock
        self._dry_run_logs = {one.name: DryRunLog(one.registry) for one in self.instances.all}
        self.upkeep = Upkeep(clock.monotonic(), retention_s=retention_s, give_up_s=give_up_s)
        self._turn = threading.Lock()
        self._rounds: Rounds[Snapshot] = Rounds()
        self._next_policy: Policy | None = None
        self._next_clients: dict[str, TorrentClient] = {}

    def run(self, stopped: Callable[[], bool], publish: Callable[[Snapshot], None]) -> None:
        """Run cycles until `stopped`. A late cycle is followed by the next at once; missed ones are not made up for."""
        hurried = False
        while not stopped():
            started = self._clock.monotonic()
            publish(self.cycle(everything=hurried))
            gap = self._clock.monotonic() - started + self.rest_s(started)
            soonest = max(HURRY_S, min(FLOOD_S, gap / 2)) if hurried else min(HURRY_S, gap)
            hurried = False
            while not stopped() and (left := started + gap - self._clock.monotonic()) > 0:
                if not self._clock.wait(left):
                    break
                gap, hurried = min(gap, soonest), True
        self._leave()

    def _leave(self) -> None:
        """Lower limits that only hold while somebody looks after them. Never raises."""
        if any(one.needs_care for one in self.instances.ready):
            with contextlib.suppress(QguardarrError), self._journal.exclusive(LEAVE_TIMEOUT_S):
                self.instances.end_flushes(self.instances.ready)

    def rest_s(self, started: float) -> float:
        """Return for how long to wait after a cycle that began at `started`, in seconds: the interval at most."""
        now = self._clock.monotonic()
        if self.snapshot.state is State.FAILING:
            return max(0.0, started + min(self.policy.interval_s, TRY_AGAIN_S) - now)
        if len(self.instances.all) > 1:
            return max(0.0, min(self.instances.next_read(), started + self.policy.interval_s) - now)
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

    @property
    def registries(self) -> dict[str, TorrentRegistry]:
        """All registries, by name of the qBittorrent; the only one has none ("")."""
        return {one.name: one.registry for one in self.instances.all}

    def undecided(self) -> int:
        """Return how many torrents wait for a search; see `Selection`."""
        return sum(one.registry.selection.undecided() for one in self.instances.all)

    def hurry(self) -> None:
        """Bring the next cycle forward. From any thread."""
        self._clock.wake()

    def cycle(self, *, everything: bool = True) -> Snapshot:
        """Run one cycle. Never raises: what went wrong stands in the snapshot.

        `everything`: of several qBittorrents all are read, and not only those that are due.
        """
        with self._turn:
            end_round = self._rounds.begin()
            started = self._clock.monotonic()
            self._take_up()
            try:
                snapshot = self._cycle(everything=everything)
            except QguardarrError as error:
                snapshot = failed(self.instances.all, self.snapshot, self._wall_clock(), error)
            except Exception as error:  # the loop survives its own defects; limits stay as they are
                fault = QguardarrError(f"internal error: {type(error).__name__}; see the log")
                if str(fault) != self.snapshot.problem:  # else the log would fill with one trace each cycle
                    log.exception("defect")
                snapshot = failed(self.instances.all, self.snapshot, self._wall_clock(), fault)
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
            seen = self.instances.read(Hints(frozenset(), overflow=False), everything=True)
            with self.instances.all_or_again(seen):
                self.instances.take_in(seen)
            return joined(self.instances.decide(self.instances.ready))

    def inspect(self, look: Callable[[TorrentRegistry | Joint], T]) -> T:
        """Return what `look` finds in all registries between two cycles. It must change nothing. Raises Busy."""
        with self._taking_turn():
            self._take_up()
            return look(self.instances.whole)

    @property
    def policy(self) -> Policy:
        """The policy in force, or about to be."""
        return self._next_policy or self.instances.policy

    def adopt_policy(self, policy: Policy) -> None:
        """Swap the policy before the next cycle. Never waits; from any thread."""
        self._next_policy = policy

    def adopt_client(self, client: TorrentClient, instance: str = "") -> None:
        """Speak to a qBittorrent through another client from the next cycle on. Never waits; from any thread."""
        self._next_clients[instance] = client

    def forget_borrowed(self, tracker: str | None = None) -> int:
        """Begin again with what a tracker (None: each) borrows, and return how many had something to forget.

        Raises Busy.
        """
        with self._taking_turn():
            borrowing = self.instances.whole.uploads.effective
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
        for name in list(self._next_clients):
            self.instances.adopt_client(name, self._next_clients.pop(name))
        policy, self._next_policy = self._next_policy, None
        if policy is not None:
            self.instances.adopt_policy(policy)

    # -- one cycle, step by step --------------------------------------------------------------------------------------

    def _cycle(self, *, everything: bool) -> Snapshot:
        instances, refused = self.instances, None
        seen = instances.read(self.triggers.take(), everything=everything)
        with contextlib.ExitStack() as held:
            with instances.all_or_again(seen):
                held.enter_context(self._journal.exclusive(LOCK_TIMEOUT_S))
                paused = self._journal.paused()
                full = instances.take_in(seen)
            ready = instances.ready
            if not ready:  # the first reads go on
                return msgspec.structs.replace(self.snapshot, at=self._wall_clock())
            writes = paused is None and not instances.policy.dry_run
            for one in ready:
                one.trust.check(writes=writes)
            decisions = instances.decide(ready)
            for one, decision in zip(ready, decisions, strict=True):
                one.registry.note_decision(decision.reasons, decision.clean)
            self.decided = joined(decisions)
            if writes:
                refused = instances.carry_out(ready, decisions)
            else:
                instances.end_flushes(ready)
            if instances.policy.dry_run:
                for one, decision in zip(ready, decisions, strict=True):
                    self._dry_run_logs[one.name].tell(decision.plan)
            self.upkeep.prune_now_and_then(instances.all, full, self._clock.monotonic())
        return came_through(
            instances.all, instances.whole, self.snapshot, self._wall_clock(), self.decided, paused, refused
        )
