"""Decide every torrent's limit, and why."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain

import msgspec

from qguardarr.core.measure.saved_quota import Overrun, overrun
from qguardarr.core.model import UNLIMITED, ParentGroup
from qguardarr.core.policy import Policy
from qguardarr.core.reconcile.active_limits import decide_active, decide_bounded, decide_flushes
from qguardarr.core.reconcile.draft import Draft, SharedDraft
from qguardarr.core.reconcile.effective_caps import GroupShare, capacity_to_share, effective_caps
from qguardarr.core.reconcile.group_tree import ancestors
from qguardarr.core.reconcile.idle_limits import decide_idle, idle_limits
from qguardarr.core.reconcile.joint import Joint
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
    bounded: int = 0
    """Backlogged torrents that have the highest limit which an overspeed rule or a tier allows."""
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
    return decide_together(registry, [registry])[0]


def decide_together(
    whole: TorrentRegistry | Joint, registries: Sequence[TorrentRegistry], quiet: Collection[TorrentRegistry] = ()
) -> list[Decision]:
    """Decide all limits of several registries that share caps, and change nothing in them.

    Args:
        whole: all of them as one; with a single registry, that.
        registries: those whose limits can be written.
        quiet: those of them whose idle torrents have not been read since the last decision.

    Returns:
        One decision for each: plan, reasons and clean slots are its own, all else is of them together.
    """
    policy, joint = whole.policy, whole if isinstance(whole, Joint) else None
    drafts = [Draft(policy, registry.bounds, registry.instance) for registry in registries]
    own = [_uploading(registry) for registry in registries]
    uploading = own[0] if joint is None else [list(chain.from_iterable(its)) for its in zip(*own, strict=True)]
    shared = drafts[0] if joint is None else SharedDraft(zip(drafts, own, strict=True))
    shares, above = effective_caps(whole, uploading if joint is None else joint.with_away(uploading))
    idle = idle_limits(whole)
    levels = [math.inf] * len(policy.classes)
    for i, tracker in enumerate(policy.classes):
        if tracker.cap < UNLIMITED:
            most = shares[i].effective
            left = most if joint is None else max(0.0, most - joint.held(i))
            capacity, owed_s = capacity_to_share(whole, whole.uploads.meters[i], uploading[i], tracker.cap, left)
            levels[i] = decide_active(whole, i, uploading[i], capacity, owed_s, idle[tracker.id], shared)
            for registry, its, draft in zip(registries, own, drafts, strict=True):
                decide_flushes(registry, tracker, its[i], draft)
        elif tracker.bounds_torrents:
            for registry, its, draft in zip(registries, own, drafts, strict=True):
                decide_bounded(registry, tracker, its[i], draft)
    for registry, draft in zip(registries, drafts, strict=True):
        if registry not in quiet:
            decide_idle(registry, idle, levels, draft)
    trackers = tuple(_report(whole, i, uploading[i], shares[i], levels[i]) for i in range(len(levels)))
    parents = tuple(_parent_reports(policy, trackers, above))
    settled = {group.id: share.effective for group, share in zip(policy.classes, shares, strict=True)}
    return [
        Decision(
            plan=make_plan(draft.changes, max_calls=policy.max_calls_per_cycle, flushes=draft.flushes),
            trackers=trackers,
            parents=parents,
            effective=settled,
            idle_limits=idle,
            reasons=draft.reasons,
            clean=draft.clean,
        )
        for draft in drafts
    ]


def joined(decisions: Sequence[Decision]) -> Decision:
    """Return the decisions of `decide_together` as one, for front ends."""
    if len(decisions) == 1:
        return decisions[0]
    plans = [decision.plan for decision in decisions]
    plan = Plan(
        tuple(chain.from_iterable(plan.writes for plan in plans)), deferred=sum(plan.deferred for plan in plans)
    )
    return msgspec.structs.replace(decisions[0], plan=plan, reasons={}, clean=())


def _uploading(registry: TorrentRegistry) -> list[list[TorrentState]]:
    """Return the torrents of each class that upload."""
    found: list[list[TorrentState]] = [[] for _ in registry.policy.classes]
    for member in registry.uploads.flowing.values():
        found[member.rule].append(member)
    return found


def _report(
    registry: TorrentRegistry | Joint, i: int, members: Sequence[TorrentState], share: GroupShare, level: float
) -> TrackerReport:
    tracker, threshold = registry.policy.classes[i], registry.policy.active_threshold
    measured = [(m, m.estimator) for m in members if m.estimator]
    rate = sum(estimator.rate for _, estimator in measured)
    held_back = [m for m, estimator in measured if estimator.backlogged and registry.manages(m.torrent.hash)]
    return TrackerReport(
        id=tracker.id,
        name=tracker.name,
        cap=tracker.cap,
        effective=share.effective,
        borrowed=share.borrowed,
        rate=rate,
        demand=math.inf if any(registry.bounds.could_use_more(m) for m in held_back) else rate,
        level=level,
        torrents=registry.counts[i],
        active=sum(1 for _, estimator in measured if estimator.backlogged or estimator.rate >= threshold),
        hungry=len(held_back),
        bounded=sum(1 for m in held_back if tracker.bounds_torrents and registry.bounds.reached(m)),
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
