"""Decide how much of its cap, and of what others leave, each tracker may use now.

Constants name what halving (× ½) or doubling (× 2) them does in the closed-loop scenarios (ARCHITECTURE.md, "Tests").
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from qguardarr.core.allocate.between import Borrower, divide_line, left_of_line, smoothed
from qguardarr.core.measure.burstiness import combined
from qguardarr.core.measure.usage_meter import UsageMeter
from qguardarr.core.model import UNLIMITED
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


def effective_caps(registry: TorrentRegistry | Joint, members: Sequence[Sequence[TorrentState]]) -> list[float]:
    """Return the bytes/s that each tracker may use now; `math.inf` for unlimited ones.

    Args:
        members: uploading torrents of each tracker, in the order of the policy's classes.
    """
    policy = registry.policy
    result = [math.inf] * len(policy.classes)
    finite = [i for i, tracker in enumerate(policy.classes) if tracker.cap < UNLIMITED]
    borrowers = [_borrower(registry, i, members[i]) for i in finite]
    for i, target in zip(finite, divide_line(borrowers, _line(registry, members, finite)), strict=True):
        tracker = policy.classes[i]
        result[i] = smoothed(
            registry.uploads.effective.get(tracker.id),
            target,
            tracker.cap,
            alpha=policy.smoothing_alpha,
            least_change=policy.min_effective_delta,
            elapsed_s=policy.interval_s,
        )
    return result


def capacity_to_share(
    registry: TorrentRegistry | Joint, meter: UsageMeter, members: Sequence[TorrentState], cap: float, effective: float
) -> tuple[float, float]:
    """Return the bytes/s that a tracker's managed torrents may share, and the bytes that it owes."""
    owed = _owed(meter.debt, cap, members)
    capacity = effective - _unmanaged(registry, members) - _repayment(owed, cap, meddled=registry.meddled)
    return capacity + _made_up(members, meter.lack, cap), owed


def _line(registry: TorrentRegistry | Joint, members: Sequence[Sequence[TorrentState]], finite: Sequence[int]) -> float:
    """Return the bytes/s that all capped trackers (`finite`) may use together."""
    policy = registry.policy
    line = math.inf
    if policy.strategy == "soft" and policy.uplink >= UNLIMITED:
        line = float(sum(policy.classes[i].cap for i in finite))
    whole = min(policy.uplink, registry.global_limit)
    if whole < UNLIMITED:
        others = sum(m.estimator.rate for i, ms in enumerate(members) if i not in finite for m in ms if m.estimator)
        line = min(line, left_of_line(whole, others))
    return line


def _borrower(registry: TorrentRegistry | Joint, i: int, members: Sequence[TorrentState]) -> Borrower:
    policy, tracker = registry.policy, registry.policy.classes[i]
    rate = sum(m.estimator.rate for m in members if m.estimator)
    borrows = registry.uploads.effective.get(tracker.id, 0.0) > tracker.cap
    ceil = float(tracker.cap)
    if policy.strategy == "soft" and (borrows or rate >= policy.borrow_threshold_ratio * tracker.cap):
        ceil *= 1 + policy.max_borrow_fraction
    backlogged = any(m.estimator and m.estimator.backlogged and m.current < m.original for m in members)
    return Borrower(tracker.cap, ceil, math.inf if backlogged else rate, tracker.priority)


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
