"""Hand what was learnt of torrents and trackers over to the next run (see `core.measure.learnt`), and take it up."""

from __future__ import annotations

import msgspec

from qguardarr.core.measure.learnt import LearntTracker, Memory
from qguardarr.core.model import UNLIMITED
from qguardarr.core.reconcile.registry import TorrentRegistry


def memory_of(registry: TorrentRegistry, epoch: float) -> Memory:
    """Return what is known of the torrents that upload, and of the trackers, to outlive a restart.

    `epoch`: Unix time at which the monotonic clock was 0, seconds.
    """
    policy, uploads = registry.policy, registry.uploads
    estimators = ((hash_, state.estimator) for hash_, state in list(uploads.flowing.items()))
    found = (estimator.learnt(hash_, epoch) for hash_, estimator in estimators if estimator is not None)
    soft = policy.strategy == "soft"
    return Memory(
        [learnt for learnt in found if learnt is not None],
        [
            LearntTracker(
                tracker.id,
                meter.limiter_yield,
                uploads.effective.get(tracker.id, tracker.cap) / tracker.cap if soft else 1.0,
            )
            for tracker, meter in zip(policy.classes, uploads.meters, strict=True)
            if tracker.cap < UNLIMITED
        ],
        epoch + uploads.clock.at if uploads.clock.at is not None else 0.0,
    )


def recall(registry: TorrentRegistry, memory: Memory, epoch: float) -> None:
    """Have a registry go on from what was known before a restart. Before its first read; `epoch`: as `memory_of`."""
    policy, uploads = registry.policy, registry.uploads
    known = {tracker.id: tracker for tracker in memory.trackers}
    for tracker, meter in zip(policy.classes, uploads.meters, strict=True):
        if (before := known.get(tracker.id)) is not None and tracker.cap < UNLIMITED:
            meter.recall(before.gain)
            if policy.strategy == "soft" and before.level > 1.0:
                uploads.effective[tracker.id] = tracker.cap * min(before.level, 1 + policy.max_borrow_fraction)
    uploads.go_on_from(
        {learnt.hash: msgspec.structs.replace(learnt, at=learnt.at - epoch) for learnt in memory.torrents},
        memory.copied_at - epoch if memory.copied_at > 0.0 else None,
    )
