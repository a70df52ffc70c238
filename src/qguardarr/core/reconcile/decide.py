"""Decide every torrent's limit, and why."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from qguardarr.core.measure.saved_quota import Overrun, overrun
from qguardarr.core.model import UNLIMITED, ParentGroup
from qguardarr.core.policy import Policy
from qguardarr.core.reconcile.active_limits import decide_active, decide_flushes
from qguardarr.core.reconcile.draft import Draft
from qguardarr.core.reconcile.effective_caps import GroupShare, capacity_to_share, effective_caps
from qguardarr.core.reconcile.group_tree import ancestors
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
    """Part of that which is not its own but lent, bytes/s."""
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
    parent: str = ""
    """Id of the group above it; empty: the line."""
    guaranteed: float = math.inf
    """What is its own: bytes/s that it has before anybody borrows; `math.inf` if unlimited."""
    ceiling: float = math.inf
    """Most bytes/s that it may use, loans included; `math.inf` if unlimited."""
    lent: float = 0.0
    """Part of what is its own that others use now, bytes/s."""
    weight: int | None = None
    """Its share of what is lent, beside siblings; None: by their rates."""


class ParentReport(msgspec.Struct, frozen=True):
    """A parent, or the line, in one decision. Its rates are those of all torrents beneath it together."""

    group: ParentGroup
    share: GroupShare
    rate: float
    """Newest rate, bytes/s."""
    torrents: int
    active: int
    hungry: int
    """Backlogged torrents."""


class Decision(msgspec.Struct, frozen=True):
    """The plan of one cycle, and the findings behind it. The registry holds none of it before it takes it in."""

    plan: Plan
    trackers: tuple[TrackerReport, ...]
    parents: tuple[ParentReport, ...]
    """Parents in the order of the policy, then the line."""
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
    shares, above = effective_caps(registry, uploading)
    idle = idle_limits(registry)
    draft = Draft(policy, registry.instance)
    levels = [math.inf] * len(policy.classes)
    for i, tracker in enumerate(policy.classes):
        if tracker.cap < UNLIMITED:
            meter, most = registry.uploads.meters[i], shares[i].effective
            capacity, owed_s = capacity_to_share(registry, meter, uploading[i], tracker.cap, most)
            levels[i] = decide_active(registry, i, uploading[i], capacity, owed_s, idle[tracker.id], draft)
            decide_flushes(registry, tracker, uploading[i], draft)
    decide_idle(registry, idle, levels, draft)
    reports = tuple(_report(registry, i, uploading[i], shares[i], levels[i]) for i in range(len(levels)))
    return Decision(
        plan=make_plan(draft.changes, max_calls=policy.max_calls_per_cycle, flushes=draft.flushes),
        trackers=reports,
        parents=tuple(_parent_reports(policy, reports, above)),
        effective={group.id: share.effective for group, share in zip(policy.classes, shares, strict=True)},
        idle_limits=idle,
        reasons=draft.reasons,
        clean=draft.clean,
    )


def _report(
    registry: TorrentRegistry, i: int, members: Sequence[TorrentState], share: GroupShare, level: float
) -> TrackerReport:
    tracker, threshold = registry.policy.classes[i], registry.policy.active_threshold
    measured = [(m, m.estimator) for m in members if m.estimator]
    rate = sum(estimator.rate for _, estimator in measured)
    backlogged = sum(1 for m, estimator in measured if estimator.backlogged and registry.manages(m.torrent.hash))
    return TrackerReport(
        id=tracker.id,
        name=tracker.name,
        cap=tracker.cap,
        effective=share.effective,
        borrowed=share.borrowed,
        rate=rate,
        demand=math.inf if backlogged else rate,
        level=level,
        torrents=registry.counts[i],
        active=sum(1 for _, estimator in measured if estimator.backlogged or estimator.rate >= threshold),
        hungry=backlogged,
        priority=tracker.priority,
        overrun=overrun(members),
        parent=tracker.parent,
        guaranteed=share.guaranteed,
        ceiling=share.ceiling,
        lent=share.lent,
        weight=tracker.weight,
    )


def _parent_reports(
    policy: Policy, reports: Sequence[TrackerReport], shares: Mapping[str, GroupShare]
) -> Iterator[ParentReport]:
    above = ancestors(policy)
    for group in (*policy.parents, policy.line):
        beneath = [report for report, ids in zip(reports, above, strict=True) if group.id in ids]
        yield ParentReport(
            group=group,
            share=shares[group.id],
            rate=sum(report.rate for report in beneath),
            torrents=sum(report.torrents for report in beneath),
            active=sum(report.active for report in beneath),
            hungry=sum(report.hungry for report in beneath),
        )
