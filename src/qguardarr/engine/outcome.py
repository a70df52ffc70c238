"""The snapshot after a cycle, whether it came through or failed."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import structlog

from qguardarr.core.reconcile.decide import Decision
from qguardarr.engine.instance import Instance
from qguardarr.engine.status import LoginPause, Snapshot, State, overrun_words, tracker_row
from qguardarr.errors import LoginRefused, NoAddress, QguardarrError, UnsafePlan

log = structlog.get_logger("qguardarr.controller")


class Outcome:
    """Makes each cycle's snapshot out of the one before."""

    def __init__(self, instance: Instance, wall_clock: Callable[[], float]) -> None:
        self._registry = instance.registry
        self._writer = instance.writer
        self._others = instance.others
        self._wall_clock = wall_clock

    def came_through(
        self, before: Snapshot, decision: Decision, paused: str | None, refused: UnsafePlan | None
    ) -> Snapshot:
        """Return the snapshot after a cycle that came through.

        Args:
            before: the snapshot before it.
            decision: what was decided.
            paused: why nothing is written; None if the guard is not paused.
            refused: why part of the plan was refused; None if all was written.
        """
        state = State.HOLDING
        if paused is not None:
            state = State.PAUSED
        elif self._registry.policy.dry_run:
            state = State.OBSERVING
        now, since = self._wall_clock(), before.problem_since  # a pause is no failure
        if since and refused is None:
            log.info("recovered", after_s=round(now - since, 1))
        if refused is not None and before.problem_kind != "UnsafePlan":
            log.warning("plan_refused", problem=str(refused))
        rows = tuple(map(tracker_row, decision.trackers, self._registry.uploads.meters))
        return msgspec.structs.replace(
            self._counted(before),
            state=state,
            at=now,
            problem=str(refused) if refused is not None else paused or "",
            problem_kind="" if refused is None else "UnsafePlan",
            problem_since=0.0 if refused is None else since or now,
            login_pause=None,
            trackers=rows,
            overruns=tuple(filter(None, map(overrun_words, decision.trackers, rows))),
            torrents=len(self._registry),
            limited=self._registry.limited,
            planned=len(decision.plan.changes),
            deferred=decision.plan.deferred,
        )

    def failed(self, before: Snapshot, error: QguardarrError) -> Snapshot:
        """Return the snapshot after a cycle that failed."""
        now = self._wall_clock()
        problem = str(error) or type(error).__name__
        kind = next(kind.__name__ for kind in type(error).mro() if kind.__module__ == QguardarrError.__module__)
        waiting = isinstance(error, NoAddress)
        if problem != before.problem and not waiting:
            log.warning("cycle_failed", kind=kind, problem=problem)
        return msgspec.structs.replace(
            self._counted(before),
            state=State.WAITING if waiting else State.FAILING,
            at=now,
            problem=problem,
            problem_kind=kind,
            problem_since=0.0 if waiting else before.problem_since or now,
            login_pause=LoginPause(error.next_try_at, error.ask_from) if isinstance(error, LoginRefused) else None,
            failed_cycles=before.failed_cycles + (not waiting),
        )

    def _counted(self, before: Snapshot) -> Snapshot:
        return msgspec.structs.replace(
            before,
            cycle=before.cycle + 1,
            written_calls=self._writer.calls,
            written_limits=self._writer.limits,
            flushed=self._writer.flushed,
            set_by_hand=self._others.set_by_hand,
            set_by_program=self._others.set_by_program,
            foreign=self._others.words,
        )
