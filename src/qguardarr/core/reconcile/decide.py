"""Decide every torrent's limit, and why."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from qguardarr.core.measure.saved_quota import Overrun, overrun
from qguardarr.core.model import UNLIMITED
from qguardarr.core.reconcile.active_limits import decide_active, decide_bounded, decide_flushes
from qguardarr.core.reconcile.draft import Draft
from qguardarr.core.reconcile.effective_caps import capacity_to_share, effective_caps
from qguardarr.core.reconcile.idle_limits import decide_idle, idle_limits
from qguardarr.core.reconcile.plan import Plan, make_plan
from qguardarr.core.reconcile.registry import TorrentRegistry
from qguardarr.core.reconcile.torrent_table import TorrentState
from qguardarr.core.reconcile.why import Why


class TrackerReport(msgspec.Struct, frozen=True):
    """A tracker in one decision. Rates in bytes/s."""

    id: str
    name: str
    cap: int
    """In force, or UNLIMITED."""
    effective: float
    """Bytes/s that it may use now: cap, less the lack of the line, plus loans; `math.inf` if unlimited."""
    borrowed: float
    rate: float
    """Newest rate of all its torrents."""
    demand: float
    """Known demand of its torrents; `math.inf` if some are backlogged."""
    level: float
    """Water level: the share of a backlogged torrent of weight 1; `math.inf` if all demand fits."""
    torrents: int
    active: int
    hungry: int
    """Backlogged torrents, under the name that the API has for them."""
    priority: int
    overrun: Overrun = Overrun()
    """Those of its torrents that run above their own limits."""


class Decision(msgspec.Struct, frozen=True):
    """The plan of one cycle, and the findings behind it. The registry holds none of it before it takes it in."""

    plan: Plan
    trackers: tuple[TrackerReport, ...]
    effective: dict[str, float]
    """Effective caps by tracker id, bytes/s."""
    idle_limits: dict[str, int]
    """Limits of idle torrents by tracker id, bytes/s."""
    reasons: dict[str, Why]
    """Why each torrent looked at has, or gets, its limit; by hash."""
    clean: Sequence[int]
    """Slots of idle torrents whose limits are as they should be (see `rows`): at the start all of them."""


def decide(registry: TorrentRegistry) -> Decision:
    """Decide all limits from the state of the registry, and change nothing in it.

    `TorrentRegistry.note_decision` and `settle_decision` take the outcome in.
    """
    policy = registry.policy
    uploading: list[list[TorrentState]] = [[] for _ in policy.classes]
    for member in registry.uploads.flowing.values():
        uploading[member.rule].append(member)
    effective = effective_caps(registry, uploading)
    idle = idle_limits(registry)
    draft = Draft(policy, registry.bounds, registry.instance)
    levels = [math.inf] * len(policy.classes)
    for i, tracker in enumerate(policy.classes):
        if tracker.cap < UNLIMITED:
            capacity, owed = capacity_to_share(
                registry, registry.uploads.meters[i], uploading[i], tracker.cap, effective[i]
            )
            levels[i] = decide_active(registry, i, uploading[i], capacity, owed, idle[tracker.id], draft)
            decide_flushes(registry, tracker, uploading[i], draft)
        elif tracker.bounds_torrents:
            decide_bounded(registry, tracker, uploading[i], draft)
    decide_idle(registry, idle, levels, draft)
    return Decision(
        plan=make_plan(draft.changes, max_calls=policy.max_calls_per_cycle, flushes=draft.flushes),
        trackers=tuple(_report(registry, i, uploading[i], effective[i], levels[i]) for i in range(len(levels))),
        effective={t.id: e for t, e in zip(policy.classes, effective, strict=True)},
        idle_limits=idle,
        reasons=draft.reasons,
        clean=draft.clean,
    )


def _report(
    registry: TorrentRegistry, i: int, members: Sequence[TorrentState], effective: float, level: float
) -> TrackerReport:
    tracker, threshold = registry.policy.classes[i], registry.policy.active_threshold
    measured = [(m, m.estimator) for m in members if m.estimator]
    rate = sum(estimator.rate for _, estimator in measured)
    backlogged = sum(1 for m, estimator in measured if estimator.backlogged and registry.manages(m.torrent.hash))
    return TrackerReport(
        id=tracker.id,
        name=tracker.name,
        cap=tracker.cap,
        effective=effective,
        borrowed=max(0.0, effective - tracker.cap) if tracker.cap < UNLIMITED else 0.0,
        rate=rate,
        demand=math.inf if backlogged else rate,
        level=level,
        torrents=registry.counts[i],
        active=sum(1 for _, estimator in measured if estimator.backlogged or estimator.rate >= threshold),
        hungry=backlogged,
        priority=tracker.priority,
        overrun=overrun(members),
    )
