"""The registry as `decide` would see it under another policy, without a change of the registry itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, cast

import msgspec

from qguardarr.core.measure.usage_meter import UsageMeter
from qguardarr.core.policy import Policy
from qguardarr.core.reconcile.registry import TorrentRegistry
from qguardarr.core.reconcile.torrent_table import TorrentState

_SETTLED_S: Final = 1e6
"""A cycle of that length has room for all idle torrents, and loans have risen as far as they will."""
_ALL_CALLS: Final = 10**6


class PolicyView:
    """The registry under a policy, whose rules other torrents may belong to."""

    def __init__(self, registry: TorrentRegistry, policy: Policy, moved: Mapping[str, int]) -> None:
        self.policy = msgspec.structs.replace(policy, interval_s=_SETTLED_S, max_calls_per_cycle=_ALL_CALLS)
        self._registry = registry
        self._moved = moved
        ids = {tracker.id: index for index, tracker in enumerate(policy.classes)}
        last = len(policy.classes) - 1
        self._rules = [ids.get(tracker.id, last) for tracker in registry.policy.classes]
        self._same = self._rules == list(range(len(policy.classes))) and not moved
        self._uploads = _Uploads(registry, policy, [self.of(s) for s in registry.uploads.flowing.values()])
        self._counts = list(registry.counts) if self._same else self._counted()

    def rule_of(self, state: TorrentState) -> int:
        """Return the rule that a torrent would belong to."""
        return state.rule if self._same else self._moved.get(state.torrent.hash, self._rules[state.rule])

    def of(self, state: TorrentState) -> TorrentState:
        """Return a torrent as it would be."""
        rule = self.rule_of(state)
        return state if rule == state.rule else msgspec.structs.replace(state, rule=rule)

    def registry(self, idle: Iterable[TorrentState] = ()) -> TorrentRegistry:
        """Return the registry for `decide`, with these torrents to look at."""
        return cast("TorrentRegistry", _Registry(self, self._registry, self._uploads, self._counts, idle))

    def _counted(self) -> list[int]:
        counts = [0] * len(self.policy.classes)
        for state in self._registry.states():
            counts[self.rule_of(state)] += 1
        return counts


class _Registry:
    """The part of `TorrentRegistry` that `decide` reads."""

    def __init__(
        self,
        view: PolicyView,
        registry: TorrentRegistry,
        uploads: _Uploads,
        counts: Sequence[int],
        idle: Iterable[TorrentState],
    ) -> None:
        self.policy = view.policy
        self.bounds = registry.bounds.under(view.policy)
        self.instance = registry.instance
        self.table = registry.table
        self.uploads = uploads
        self.counts = counts
        self.global_limit = registry.global_limit
        self.meddled = registry.meddled
        self.idle_limits = {
            t.id: registry.idle_limits[t.id] for t in view.policy.classes if t.id in registry.idle_limits
        }
        self.queue = self
        self._idle = idle

    manages = TorrentRegistry.manages

    def newcomers(self) -> Iterable[TorrentState]:
        return ()

    def dirty(self) -> Iterable[TorrentState]:
        return self._idle


class _Uploads:
    """The part of `Uploads` that `decide` reads."""

    def __init__(self, registry: TorrentRegistry, policy: Policy, flowing: Sequence[TorrentState]) -> None:
        uploads, before = registry.uploads, registry.policy.classes
        meters = {tracker.id: meter for tracker, meter in zip(before, uploads.meters, strict=True)}
        capped = {tracker.id: tracker.is_capped for tracker in before}
        self.flowing = {state.torrent.hash: state for state in flowing}
        self.meters = [meters.get(tracker.id) or UsageMeter() for tracker in policy.classes]
        self.group_meters = uploads.group_meters.with_policy(policy)
        stay = {tracker.id for tracker in policy.classes if capped.get(tracker.id) is tracker.is_capped}
        self.effective = {name: cap for name, cap in uploads.effective.items() if name in stay}
        self._uploads = uploads

    def is_individual(self, hash_: str) -> bool:
        return self._uploads.is_individual(hash_)
