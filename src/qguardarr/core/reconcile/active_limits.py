"""Decide the limits of a tracker's uploading torrents.

Constants name what halving (× ½) or doubling (× 2) them does in the closed-loop scenarios (ARCHITECTURE.md, "Tests").
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from qguardarr.core.allocate.demand import OVERCOMMIT, Demand
from qguardarr.core.allocate.idle import IDLE_SLACK, IDLE_SUM, limit_beyond_managed, needed_idle_limit
from qguardarr.core.allocate.shares import divide_cap
from qguardarr.core.measure.burstiness import Backlog
from qguardarr.core.measure.rate_estimator import RateEstimator
from qguardarr.core.measure.saved_quota import above_limits, flush_limits, left_to_others
from qguardarr.core.model import UNLIMITED, TrackerClass
from qguardarr.core.reconcile.draft import Draft, SharedDraft
from qguardarr.core.reconcile.joint import Joint
from qguardarr.core.reconcile.registry import TorrentRegistry
from qguardarr.core.reconcile.signature import marked
from qguardarr.core.reconcile.torrent_table import TorrentState
from qguardarr.core.reconcile.why import FLUSHED, Why
from qguardarr.core.units import as_limit, format_speed

OBSERVED_S: Final = 0.8
"""A limit has shown its effect when it was watched for this long. × ½: 1.4 % of the cap unused where forty trickle;
× 2: the same with torrents on and off every 15 s."""
CAUTIOUS_S: Final = 2.0
"""Debt at which limits sum to no more than the cap, in seconds of the cap. Torrents that seem content but are not
(many, each too slow to tell) would take the headroom that is promised to them. × ½ or × 2: only noise."""

Measured = tuple[TorrentState, RateEstimator]


def decide_active(
    registry: TorrentRegistry | Joint,
    i: int,
    members: Sequence[TorrentState],
    capacity: float,
    owed_s: float,
    idle: int,
    draft: Draft | SharedDraft,
) -> float:
    """Draft the limits of the uploading torrents of the `i`-th tracker, which is capped.

    Args:
        members: its uploading torrents.
        capacity: bytes/s that they may share.
        owed_s: bytes over the cap that are to be paid back, in seconds of the cap.
        idle: limit of its idle torrents, bytes/s.

    Returns:
        The water level, bytes/s for each unit of weight; `math.inf` if all demand fits.
    """
    policy, tracker = registry.policy, registry.policy.classes[i]
    active, slow, beyond = _sorted_out(registry, members, idle)
    above = above_limits(estimator for _, estimator in (*active, *beyond))
    capacity = left_to_others(capacity, above)
    capacity -= _hold_beyond_managed(registry, tracker.name, beyond, idle, capacity, draft)
    slow_rate = sum(max(estimator.rate, estimator.expected) for _, estimator in slow)
    # Slow senders keep the idle limit and are not shared with, unless together they take much of the cap: each is too
    # slow to tell whether it is content.
    crowded = slow_rate > IDLE_SUM * capacity
    if not crowded:
        capacity -= slow_rate
    shared = [(member, _demand(registry, member, estimator)) for member, estimator in active]
    if crowded:
        shared += [(member, _slow_sender(registry, member, estimator)) for member, estimator in slow]
    level = divide_cap(
        [demand for _, demand in shared],
        capacity,
        idle_limit=idle,
        differential_threshold=policy.differential_threshold,
        limiter_yield=registry.uploads.meters[i].limiter_yield,
        overcommit=OVERCOMMIT * max(0.0, 1.0 - owed_s / CAUTIOUS_S),
    )
    for member, demand in shared:
        why = _why(registry, member, demand)
        draft.explain(member, why)
        draft.set(member, demand.limit, why, tracker.name)
    if not crowded and slow:
        _raise_slow(registry, tracker.name, slow, min(idle, as_limit(capacity / len(slow))), level, draft)
    return level


def decide_flushes(
    registry: TorrentRegistry, tracker: TrackerClass, members: Sequence[TorrentState], draft: Draft
) -> None:
    """Draft the high limits that make torrents lose saved quota (see `saved_quota`); the low ones follow them."""
    found = [m for m in members if m.current and m.current < UNLIMITED and registry.manages(m.torrent.hash)]
    drafted = {change.hash: change.new for change in draft.changes}
    limits = [drafted.get(member.torrent.hash, member.current) for member in found]
    for i, raised in flush_limits(found, limits, tracker.cap).items():
        member = found[i]
        first = marked(as_limit(raised))
        if first > registry.bounds.guard(member):  # it could send all that in a moment
            continue
        if member.estimator is not None and member.estimator.overruns:
            words = Why.SAVED.words(tracker=tracker.name, limit=limits[i], rate=0.0, earlier=member.highest)
        else:
            words = FLUSHED.format(limit=format_speed(limits[i]), earlier=format_speed(member.current))
        draft.flush(member, first, words)


def decide_bounded(
    registry: TorrentRegistry, tracker: TrackerClass, members: Sequence[TorrentState], draft: Draft
) -> None:
    """Draft the limits of the uploading torrents of a tracker without a cap: only their own bounds hold them."""
    for member in members:
        if not registry.manages(member.torrent.hash):
            continue
        if not registry.bounds.needs_limit(member):
            if member.ours:
                draft.restore(member, Why.LIFTED, tracker.name)
            continue
        wants_more = member.estimator is not None and member.estimator.backlogged
        why = draft.reasons[member.torrent.hash] = Why.BOUND if wants_more else Why.BOUNDED
        draft.set(member, registry.bounds.limit(member), why, tracker.name)


def _sorted_out(
    registry: TorrentRegistry | Joint, members: Sequence[TorrentState], idle: int
) -> tuple[list[Measured], list[Measured], list[Measured]]:
    """Return the active torrents, the slow senders under the idle limit, and those beyond `max_managed_torrents`.

    Torrents that were uploading when they were first seen are measured first: a cycle later.
    """
    active: list[Measured] = []
    slow: list[Measured] = []
    beyond: list[Measured] = []
    for member in members:
        estimator = member.estimator
        if estimator is None or not estimator.measured or not registry.manages(member.torrent.hash):
            continue
        if not registry.uploads.is_individual(member.torrent.hash):
            beyond.append((member, estimator))
        elif not estimator.backlogged and estimator.rate < registry.policy.active_threshold and member.current <= idle:
            slow.append((member, estimator))
        else:
            active.append((member, estimator))
    return active, slow, beyond


def _raise_slow(
    registry: TorrentRegistry | Joint,
    tracker: str,
    slow: Sequence[Measured],
    idle: int,
    level: float,
    draft: Draft | SharedDraft,
) -> None:
    """Draft the idle limit of slow senders that have much less, since their cap was lower for a while.

    Under some bytes a second a block takes minutes: they would neither show that they want more nor count as idle.
    """
    for member, _ in slow:
        limit = needed_idle_limit(member.current, idle, most=registry.bounds.limit(member), exact=False, level=level)
        if limit is not None and limit > member.current:
            draft.set(member, limit, Why.PARKED, tracker)


def _hold_beyond_managed(
    registry: TorrentRegistry | Joint,
    tracker: str,
    beyond: Sequence[Measured],
    idle: int,
    capacity: float,
    draft: Draft | SharedDraft,
) -> float:
    """Draft the limits of torrents beyond `max_managed_torrents`; return the bytes/s that they use."""
    if not beyond:
        return 0.0
    limit = limit_beyond_managed(idle, len(beyond), capacity)
    for member, _ in beyond:
        target = min(limit, registry.bounds.limit(member))
        if not target / IDLE_SLACK <= member.current <= target:
            draft.set(member, target, Why.HELD, tracker)
    return sum(min(estimator.rate, 1.02 * limit) for _, estimator in beyond)


def _demand(registry: TorrentRegistry | Joint, member: TorrentState, estimator: RateEstimator) -> Demand:
    backlog = estimator.backlog
    return Demand(
        rate=estimator.rate if backlog is Backlog.LASTING else estimator.expected,
        latest=estimator.latest,
        backlog=backlog,
        bursty=estimator.burstiness.bursty,
        doubt=estimator.burstiness.doubt(estimator.limit),
        current=member.current or UNLIMITED,
        bound=registry.bounds.limit(member),
        demand_bound=estimator.demand_bound,
        weight=(estimator.weight if registry.policy.strategy != "equal" else 1.0) or 1.0,
        observed=estimator.window_s > OBSERVED_S,
    )


def _slow_sender(registry: TorrentRegistry | Joint, member: TorrentState, estimator: RateEstimator) -> Demand:
    """Return the demand of a torrent too slow to tell: it may want a step of its counter more than was seen."""
    demand = _demand(registry, member, estimator)
    demand.backlog = Backlog.LASTING
    demand.demand_bound = estimator.rate + estimator.step / max(5.0, estimator.window_s)
    demand.bound = min(demand.bound, as_limit(2 ** math.ceil(math.log2(max(1.0, demand.demand_bound)))))
    return demand


def _why(registry: TorrentRegistry | Joint, member: TorrentState, demand: Demand) -> Why:
    if member.estimator is not None and member.estimator.overruns:
        return Why.SAVED
    if demand.lasting:
        return Why.BOUND if demand.limit >= registry.bounds.limit(member) else Why.FAIR
    return Why.CUT if demand.limit < demand.rate else Why.ROOM
