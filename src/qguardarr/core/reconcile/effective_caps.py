"""Decide how much of its cap, and of what others leave, each group may use now.

Constants name what halving (× ½) or doubling (× 2) them does in the closed-loop scenarios (ARCHITECTURE.md, "Tests").
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import msgspec

from qguardarr.core.allocate.between import demands, divide_line, left_of_line, loans, smoothed
from qguardarr.core.measure.burstiness import Backlog, combined
from qguardarr.core.measure.rate_estimator import RateEstimator
from qguardarr.core.measure.usage_meter import UsageMeter
from qguardarr.core.model import UNLIMITED, ParentGroup
from qguardarr.core.reconcile.group_tree import LINE, Leaf, ancestors, group_nodes, sum_of_caps
from qguardarr.core.reconcile.joint import Joint
from qguardarr.core.reconcile.registry import TorrentRegistry
from qguardarr.core.reconcile.torrent_table import TorrentState

FORGIVEN_S: Final = 0.5
"""Bytes over the cap that are not worth a write, in seconds of the cap: steps of the counters look like that. × ½ or
× 2: only noise."""
REPAY_S: Final = 100.0
"""Time over which bytes over the cap are paid back. × ½ or × 2: only noise, since REPAY_MOST bounds it."""
REPAY_MOST: Final = 0.02
"""Most that is held back for that, as a part of the cap: most of it stays in use. × 2: 15 % more calls with torrents on
and off; × ½: nothing."""
MEDDLED_REPAY_S: Final = 20.0
"""REPAY_S while another program keeps setting limits, so that the cap holds in the mean. Unlimited every 20 s gives
1.06 × the cap instead of 1.18 × (tests/loop/test_foreign_loop.py); 10 s and a MEDDLED_REPAY_MOST of 0.5 give 1.04 × for
10 % more writes."""
MEDDLED_REPAY_MOST: Final = 0.3
"""REPAY_MOST in the same case; see there."""
MADE_UP_S: Final = 15.0
"""Time over which the bytes that bursty torrents left of the cap, or took above it, are made up for. × ½: a third more
calls beside clients that burst; × 2: 1 % of the cap unused with torrents on and off every 15 s."""
MADE_UP_DOUBT: Final = 0.5
"""Most that is made up for, as a part of what is in doubt about the torrents. × 2: 20–40 % more calls with torrents on
and off; × ½: only noise."""
MADE_UP_MOST: Final = 0.06
"""Most that is made up for, as a part of the cap: ten seconds stay within 1.10 × the cap. × 2: nothing."""
LEAST_RISE: Final = 0.01
"""`min_effective_delta` of a group with a rate of its own, at most: nobody else would use what it does not take up."""


LEAST_STEPS: Final = 1.0
"""Steps of the counter (see `rate_estimator`) in a second of a limit from which on bursts are more than such steps.
× 2: 0.75 of the line is used in place of 0.98 beside clients that burst; × 0: a greedy torrent that had next to nothing
is not served once there is room (both in test_tree_loop.py)."""


class GroupShare(msgspec.Struct, frozen=True):
    """What a group may use now, bytes/s. `math.inf` for what is not bounded."""

    effective: float = math.inf
    """Bytes/s that it may use."""
    guaranteed: float = math.inf
    """What is its own: it comes before all loans."""
    ceiling: float = math.inf
    """Most that it may ever use, loans included."""
    demand: float = math.inf
    """What its torrents want, as far as that is known."""
    borrowed: float = 0.0
    """What it uses beyond its own."""
    lent: float = 0.0
    """What others use of its own."""


def effective_caps(
    registry: TorrentRegistry | Joint, members: Sequence[Sequence[TorrentState]]
) -> tuple[list[GroupShare], dict[str, GroupShare]]:
    """Divide the line between the groups.

    Args:
        members: uploading torrents of each class, in the order of the policy's classes.

    Returns:
        What each class may use now, and each parent and the line, by id.
    """
    policy = registry.policy
    classes = [GroupShare()] * len(policy.classes)
    leaves = {i: _leaf(registry, i, members[i]) for i, group in enumerate(policy.classes) if group.is_capped}
    free = sum(_rate(its) for group, its in zip(policy.classes, members, strict=True) if not group.is_capped)
    line, whole = _line(registry, free)
    nodes = group_nodes(policy, leaves, line, lambda parent: _held_back(registry, parent, members))
    found = divide_line(nodes, line)
    for k, i in enumerate(leaves):
        found[k] = smoothed(
            registry.uploads.effective.get(policy.classes[i].id),
            found[k],
            nodes[k].rate,
            alpha=policy.smoothing_alpha,
            least_change=min(policy.min_effective_delta, LEAST_RISE if nodes[k].last > 0 else 1.0),
            elapsed_s=policy.interval_s,
        )
    wanted = demands(nodes)
    own = [*(policy.classes[i].rate for i in leaves), *(parent.rate for parent in policy.parents)]
    shares = [
        GroupShare(share, min(node.rate, node.rate if rate is None else rate), node.most, demand, *loan)
        for node, rate, share, demand, loan in zip(nodes, own, found, wanted, loans(nodes, found), strict=True)
    ]
    for k, i in enumerate(leaves):
        classes[i] = shares[k]
    parents = {parent.id: share for parent, share in zip(policy.parents, shares[len(leaves) :], strict=True)}
    top = math.fsum(min(node.most, demand) for node, demand in zip(nodes, wanted, strict=True) if node.parent < 0)
    return classes, {**parents, LINE: GroupShare(whole, whole, whole, top + free)}


def capacity_to_share(
    registry: TorrentRegistry | Joint, meter: UsageMeter, members: Sequence[TorrentState], cap: float, effective: float
) -> tuple[float, float]:
    """Return the bytes/s that a group's managed torrents may share, and what it owes, in seconds of its cap.

    The cap counts as no more than what the group may use of it now.
    """
    scale = max(1.0, min(cap, effective))
    owed = _owed(meter.debt, scale, members)
    capacity = effective - _unmanaged(registry, members) - _repayment(owed, scale, meddled=registry.meddled)
    return capacity + _made_up(members, meter.lack, scale), owed / scale


def _line(registry: TorrentRegistry | Joint, free: float) -> tuple[float, float]:
    """Return the bytes/s that all groups with a cap may use together, and all torrents.

    Args:
        free: bytes/s that groups without a cap use.
    """
    policy = registry.policy
    line = math.inf
    if policy.strategy == "soft" and policy.uplink >= UNLIMITED:
        line = sum_of_caps(policy)
    whole = min(policy.uplink, registry.global_limit)
    if whole < UNLIMITED:
        line = min(line, left_of_line(whole, free))
        return line, min(line + free, float(whole))
    return line, line + free


def _rate(members: Sequence[TorrentState]) -> float:
    return sum(member.estimator.rate for member in members if member.estimator)


def _leaf(registry: TorrentRegistry | Joint, i: int, members: Sequence[TorrentState]) -> Leaf:
    policy, tracker = registry.policy, registry.policy.classes[i]
    rate = _rate(members)
    if isinstance(registry, Joint):
        rate += registry.unseen(i)
    borrows = registry.uploads.effective.get(tracker.id, 0.0) > tracker.cap
    borrows = policy.strategy == "soft" and (borrows or rate >= policy.borrow_threshold_ratio * tracker.cap)
    backlogged = any(m.estimator and _wants_more(m.estimator) and registry.bounds.could_use_more(m) for m in members)
    return Leaf(math.inf if backlogged else rate, borrows=borrows)


def _wants_more(estimator: RateEstimator) -> bool:
    """Return whether a torrent is backlogged, but for a burst that its mean rate covers.

    As a demand of unknown size, such bursts would take from other groups what they leave nearly all the time.
    """
    if estimator.backlog is Backlog.KNOWN_BURST:
        return estimator.limit < LEAST_STEPS * estimator.step
    return estimator.backlogged


def _held_back(
    registry: TorrentRegistry | Joint, parent: ParentGroup, members: Sequence[Sequence[TorrentState]]
) -> float:
    """Return the bytes/s that the groups beneath a parent with a cap get less, to pay for bytes over it."""
    debt = registry.uploads.group_meters[parent.id].debt
    if debt <= 0.0:
        return 0.0
    above = ancestors(registry.policy)
    beneath = [member for ids, its in zip(above, members, strict=True) if parent.id in ids for member in its]
    owed = _owed(debt, parent.cap, beneath)
    return _repayment(owed, parent.cap, meddled=registry.meddled)


def _unmanaged(registry: TorrentRegistry | Joint, members: Sequence[TorrentState]) -> float:
    """Return the bytes/s of torrents that `rollout_percentage` leaves out: they use the cap all the same."""
    if registry.policy.rollout_percentage >= 100:
        return 0.0
    return sum(m.estimator.rate for m in members if m.estimator and not registry.manages(m.torrent.hash))


def _owed(debt: float, cap: float, members: Sequence[TorrentState]) -> float:
    """Return the bytes over the cap that are to be paid back.

    Steps of the counters, all at the same time, can look like debt: as much as that is forgiven.
    """
    steps = sum(
        m.estimator.step
        for m in members
        if m.estimator and (m.estimator.backlogged or m.estimator.limit < m.estimator.step)
    )
    return max(0.0, debt - max(FORGIVEN_S * cap, steps))


def _repayment(owed: float, cap: float, *, meddled: bool) -> float:
    """Return the bytes/s that are held back to pay for bytes over the cap."""
    if meddled:
        return min(owed / MEDDLED_REPAY_S, MEDDLED_REPAY_MOST * cap)
    return min(owed / REPAY_S, REPAY_MOST * cap)


def _made_up(members: Sequence[TorrentState], lack: float, cap: float) -> float:
    """Return the bytes/s by which bursty torrents get more than the cap (or less), so that it is used in the mean."""
    doubt = combined(m.estimator.burstiness.doubt(m.estimator.limit) for m in members if m.estimator)
    most = min(MADE_UP_MOST * cap, MADE_UP_DOUBT * doubt)
    return max(-min(most, REPAY_MOST * cap), min(most, lack / MADE_UP_S))
