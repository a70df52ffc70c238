"""Make the snapshot after a cycle out of the one before it, whether the cycle came through or failed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec
import structlog

from qguardarr.core.measure.usage_meter import UsageMeter
from qguardarr.core.model import UNLIMITED
from qguardarr.core.reconcile.decide import Decision, ParentReport, TrackerReport
from qguardarr.core.reconcile.joint import Joint
from qguardarr.core.reconcile.registry import TorrentRegistry
from qguardarr.core.units import format_speed, limit_or_none
from qguardarr.engine.instance import Instance
from qguardarr.engine.instance_row import InstanceRow, LoginPause
from qguardarr.engine.status import ParentRow, Snapshot, State, TrackerRow
from qguardarr.errors import ClientError, LoginRefused, NoAddress, QguardarrError, UnsafePlan

TOLD_OF: Final = 1.05
"""Torrents above their own limits are no problem while their tracker's rate is at most this many times its cap."""

log = structlog.get_logger("qguardarr.controller")


def came_through(
    instances: Sequence[Instance],
    whole: TorrentRegistry | Joint,
    before: Snapshot,
    now: float,
    decision: Decision,
    paused: str | None,
    refused: UnsafePlan | None,
) -> Snapshot:
    """Return the snapshot after a cycle that came through.

    Args:
        instances: all qBittorrents.
        whole: their registries as one.
        before: the snapshot before it.
        now: Unix time, seconds.
        decision: what was decided.
        paused: why nothing is written; None if the guard is not paused.
        refused: why part of the plan was refused; None if all was written.
    """
    state = State.HOLDING
    if paused is not None:
        state = State.PAUSED
    elif whole.policy.dry_run:
        state = State.OBSERVING
    since = before.problem_since  # a pause is no failure
    if since and refused is None:
        log.info("recovered", after_s=round(now - since, 1))
    if refused is not None and before.problem_kind != "UnsafePlan":
        log.warning("plan_refused", problem=str(refused))
    meters = whole.uploads.meters
    for report, meter in zip(decision.trackers, meters, strict=True):
        meter.expect(now, min(report.effective, report.demand) if report.effective < UNLIMITED else math.inf)
    rows = tuple(map(_tracker_row, decision.trackers, meters))
    if len(instances) == 1:
        instances[0].seen_at = now
    parents = tuple(
        _parent_row(report, whole.uploads.group_meters[report.group.id], now) for report in decision.parents
    )
    return msgspec.structs.replace(
        _counted(instances, before),
        instances=tuple(_instance_row(one, one.problem) for one in instances),
        state=state,
        at=now,
        problem=str(refused) if refused is not None else paused or "",
        problem_kind="" if refused is None else "UnsafePlan",
        problem_since=0.0 if refused is None else since or now,
        login_pause=None,
        trackers=rows,
        parents=parents,
        overruns=tuple(filter(None, map(_overrun_words, decision.trackers, rows))),
        torrents=sum(len(one.registry) for one in instances),
        limited=sum(one.registry.limited for one in instances),
        planned=len(decision.plan.changes),
        deferred=decision.plan.deferred,
    )


def failed(instances: Sequence[Instance], before: Snapshot, now: float, error: QguardarrError) -> Snapshot:
    """Return the snapshot after a cycle that failed."""
    problem = str(error) or type(error).__name__
    kind = _kind_of(error)
    waiting = isinstance(error, NoAddress)
    if problem != before.problem and not waiting:
        log.warning("cycle_failed", kind=kind, problem=problem)
    since = 0.0 if waiting else before.problem_since or now
    if len(instances) == 1:
        instances[0].away_at = since or now
    only = error if len(instances) == 1 and isinstance(error, ClientError) else None
    return msgspec.structs.replace(
        _counted(instances, before),
        instances=tuple(_instance_row(one, one.problem or only) for one in instances),
        state=State.WAITING if waiting else State.FAILING,
        at=now,
        problem=problem,
        problem_kind=kind,
        problem_since=since,
        login_pause=_login_pause(error),
        failed_cycles=before.failed_cycles + (not waiting),
    )


def _kind_of(error: QguardarrError) -> str:
    return next(kind.__name__ for kind in type(error).mro() if kind.__module__ == QguardarrError.__module__)


def _login_pause(error: QguardarrError | None) -> LoginPause | None:
    return LoginPause(error.next_try_at, error.ask_from) if isinstance(error, LoginRefused) else None


def _instance_row(one: Instance, error: ClientError | None) -> InstanceRow:
    state: Literal["starting", "read", "away"] = "starting" if one.seen_at is None else "read"
    return InstanceRow(
        name=one.name,
        state=state if error is None else "away",
        problem="" if error is None else str(error) or type(error).__name__,
        problem_kind="" if error is None else _kind_of(error),
        away_since=None if error is None else one.away_at,
        login_pause=_login_pause(error),
        read_at=one.seen_at,
        torrents=len(one.registry),
        limited=one.registry.limited,
        counts=one.counts,
        held_back=one.held_back,
    )


def _counted(instances: Sequence[Instance], before: Snapshot) -> Snapshot:
    writers, others = [one.writer for one in instances], [one.others for one in instances]
    return msgspec.structs.replace(
        before,
        cycle=before.cycle + 1,
        written_calls=sum(writer.calls for writer in writers),
        written_limits=sum(writer.limits for writer in writers),
        flushed=sum(writer.flushed for writer in writers),
        set_by_hand=sum(other.set_by_hand for other in others),
        set_by_program=sum(other.set_by_program for other in others),
        foreign=next(filter(None, (one.twin or one.others.words for one in instances)), ""),
    )


def _tracker_row(report: TrackerReport, meter: UsageMeter) -> TrackerRow:
    """Join a tracker as decided with its usage. Its cap counts as the configured one; see `StatusBoard`."""
    return TrackerRow(
        id=report.id,
        name=report.name,
        configured=limit_or_none(report.cap),
        cap=limit_or_none(report.cap),
        override_until=None,
        effective=limit_or_none(report.effective),
        borrowed=report.borrowed,
        rate=report.rate,
        demand=limit_or_none(report.demand),
        torrents=report.torrents,
        active=report.active,
        hungry=report.hungry,
        **_metered(meter),
        priority=report.priority,
        parent=report.parent,
        guaranteed=limit_or_none(report.guaranteed),
        ceiling=limit_or_none(report.ceiling),
        lent=report.lent,
        weight=report.weight,
        bounded=report.bounded,
        above_limits=report.overrun.torrents,
        above_limits_rate=report.overrun.rate,
    )


def _parent_row(report: ParentReport, meter: UsageMeter, now: float) -> ParentRow:
    """Join a parent, or the line, as decided with its usage, and take in what it may use from now on."""
    group, share = report.group, report.share
    meter.expect(now, min(share.effective, share.demand) if share.effective < UNLIMITED else math.inf)
    return ParentRow(
        id=group.id,
        name=group.name,
        parent=group.parent,
        configured=limit_or_none(group.cap),
        cap=limit_or_none(group.cap),
        effective=limit_or_none(share.effective),
        guaranteed=limit_or_none(share.guaranteed),
        ceiling=limit_or_none(share.ceiling),
        borrowed=share.borrowed,
        lent=share.lent,
        rate=report.rate,
        demand=limit_or_none(share.demand),
        torrents=report.torrents,
        active=report.active,
        hungry=report.hungry,
        **_metered(meter),
        priority=group.priority,
        weight=group.weight,
    )


def _metered(meter: UsageMeter) -> dict[str, Any]:
    """Return the fields of a row that its meter tells."""
    rate_60s, due = meter.rate(60.0), meter.due_rate(60.0)
    return {
        "rate_10s": meter.rate(10.0),
        "rate_60s": rate_60s,
        "utilisation": rate_60s / due if due > 0 else None,
        "over_cap_s": meter.over_s,
        "debt_bytes": max(0.0, meter.debt),
        "total_bytes": meter.total,
    }


def _overrun_words(report: TrackerReport, row: TrackerRow) -> str:
    """Say that a tracker is over its cap because torrents run above their own limits; empty if it is not."""
    found = report.overrun
    if not found.torrents or max(row.rate, row.rate_10s) <= TOLD_OF * report.cap:
        return ""
    who = f"{found.torrents} torrents run above their own limits and spend"
    if found.torrents == 1:
        who = "1 torrent runs above its own limit and spends"
    under = f"limits of up to {format_speed(found.earlier)}" if found.earlier else "limits"
    if found.rate <= 0.0:
        so_far = "just ended"
    elif math.isinf(found.left_s):
        so_far = f"{format_speed(int(found.rate))} too much"
    else:
        so_far = f"{format_speed(int(found.rate))} too much, for at most {math.ceil(found.left_s)} s more"
    return f"{report.name}: {who} quota saved under earlier {under} ({so_far})"
