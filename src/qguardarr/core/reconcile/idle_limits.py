"""Decide the limits of torrents that do not upload."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from qguardarr.core.allocate.idle import idle_limit, needed_idle_limit
from qguardarr.core.model import UNLIMITED, Activity
from qguardarr.core.reconcile.draft import Draft
from qguardarr.core.reconcile.group_tree import caps_on_waking
from qguardarr.core.reconcile.joint import Joint
from qguardarr.core.reconcile.plan import IMPLAUSIBLE_COUNT
from qguardarr.core.reconcile.registry import TorrentRegistry
from qguardarr.core.reconcile.signature import marked
from qguardarr.core.reconcile.torrent_table import TorrentState
from qguardarr.core.reconcile.why import Why

IDLE_PER_S: Final = 40.0
"""Most idle torrents whose limits are rewritten each second: each costs qBittorrent a file.
× ½ or × 2 in the closed-loop scenarios: nothing."""


def idle_limits(registry: TorrentRegistry | Joint) -> dict[str, int]:
    """Return the limit of each capped tracker's idle torrents, bytes/s, by the tracker's id."""
    result = {}
    caps = caps_on_waking(registry.policy, registry.counts)
    for tracker, cap, count in zip(registry.policy.classes, caps, registry.counts, strict=True):
        if isinstance(registry.policy.idle_limit, int):
            result[tracker.id] = registry.policy.idle_limit
        elif tracker.cap < UNLIMITED:
            kept = registry.idle_limits.get(tracker.id, 0)
            new = idle_limit(cap, count, kept)
            result[tracker.id] = kept if new is None else marked(new)
    return result


def decide_idle(registry: TorrentRegistry, limits: Mapping[str, int], levels: Sequence[float], draft: Draft) -> None:
    """Draft the limits of torrents that do not upload: the idle limit, or their originals.

    New torrents come at once, all others in portions.

    Args:
        limits: idle limits by the tracker's id, bytes/s.
        levels: each tracker's water level; nothing is raised further than to the share of a backlogged torrent.
    """
    budget = int(IDLE_PER_S * registry.policy.interval_s)
    if registry.policy.unlimit_idle:
        budget = min(budget, IMPLAUSIBLE_COUNT)  # so that a wanted lifting of limits does not look implausible
    start = len(draft.changes)
    for member in registry.queue.newcomers():
        _decide_one(registry, member, limits, levels, draft)
    for member in registry.queue.dirty():
        before = len(draft.changes)
        if before - start >= budget:
            break
        _decide_one(registry, member, limits, levels, draft)
        if len(draft.changes) == before:
            draft.clean.append(registry.table.slot(member.torrent.hash))


def _decide_one(
    registry: TorrentRegistry, member: TorrentState, limits: Mapping[str, int], levels: Sequence[float], draft: Draft
) -> None:
    policy, tracker = registry.policy, registry.policy.classes[member.rule]
    if not registry.manages(member.torrent.hash):
        if member.ours:
            draft.restore(member, Why.LEFT, tracker.name)
        return
    bound = registry.bounds.limit(member)
    needs_limit = tracker.bounds_torrents and bound < member.original
    if not needs_limit and tracker.cap >= UNLIMITED:
        if member.ours:
            draft.restore(member, Why.LIFTED, tracker.name)
    elif member.estimator is None and member.torrent.activity is not Activity.STOPPED:
        parks = policy.idle_limit is not None or (member.ours and member.current != bound)
        if tracker.is_capped and not policy.unlimit_idle and parks:
            limit = needed_idle_limit(
                member.current,
                limits[tracker.id],
                most=bound,
                exact=isinstance(policy.idle_limit, int),
                level=levels[member.rule],
            )
            if limit is not None:
                draft.set(member, limit, Why.PARKED, tracker.name)
        elif needs_limit:
            draft.set(member, bound, Why.BOUNDED, tracker.name)
        elif member.ours and policy.unlimit_idle:
            draft.restore(member, Why.QUIET, tracker.name)
