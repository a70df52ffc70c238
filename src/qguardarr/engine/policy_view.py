"""The registries as `decide` would see them under another policy, without a change of the registries themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, cast

import msgspec

from qguardarr.core.measure.usage_meter import UsageMeter
from qguardarr.core.policy import Policy
from qguardarr.core.reconcile.decide import Decision, decide_together
from qguardarr.core.reconcile.joint import Joint, JointUploads
from qguardarr.core.reconcile.registry import TorrentRegistry
from qguardarr.core.reconcile.torrent_table import TorrentState
from qguardarr.core.reconcile.uploads import Uploads

_SETTLED_S: Final = 1e6
"""A cycle of that length has room for all idle torrents, and loans have risen as far as they will."""
_ALL_CALLS: Final = 10**6

Moved = Mapping[str, int]
"""Rule of each torrent that would belong to another rule, by hash."""


class PolicyView:
    """All registries under a policy, whose rules other torrents may belong to."""

    def __init__(
        self,
        whole: TorrentRegistry | Joint,
        registries: Sequence[TorrentRegistry],
        policy: Policy,
        moved: Mapping[str, Moved],
    ) -> None:
        """`registries`: those that are known now. `moved`: by name of the qBittorrent."""
        self.policy = msgspec.structs.replace(policy, interval_s=_SETTLED_S, max_calls_per_cycle=_ALL_CALLS)
        self.registries = [RegistryView(each, self.policy, moved.get(each.instance, {})) for each in registries]
        self._whole = whole

    def decide(self) -> list[Decision]:
        """Return the decision for each of the registries."""
        views = [view.registry() for view in self.registries]
        if not isinstance(self._whole, Joint):
            return decide_together(views[0], views)
        return decide_together(_Joint(self._whole, self.policy, views), views)


class RegistryView:
    """One of the registries."""

    def __init__(self, registry: TorrentRegistry, policy: Policy, moved: Moved) -> None:
        self.instance = registry.instance
        self.policy = policy
        self._registry = registry
        self._moved = moved
        ids = {tracker.id: index for index, tracker in enumerate(policy.classes)}
        last = len(policy.classes) - 1
        self._rules = [ids.get(tracker.id, last) for tracker in registry.policy.classes]
        self._same = self._rules == list(range(len(policy.classes))) and not moved
        flowing = [self.of(state) for state in registry.uploads.flowing.values()]
        self._uploads = _Uploads(registry.uploads, registry.policy, policy, flowing)
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
        return cast("TorrentRegistry", _Registry(self.policy, self._registry, self._uploads, self._counts, idle))

    def _counted(self) -> list[int]:
        counts = [0] * len(self.policy.classes)
        for state in self._registry.states():
            counts[self.rule_of(state)] += 1
        return counts


class _Registry:
    """The part of `TorrentRegistry` that `decide` reads."""

    def __init__(
        self,
        policy: Policy,
        registry: TorrentRegistry,
        uploads: _Uploads,
        counts: Sequence[int],
        idle: Iterable[TorrentState],
    ) -> None:
        self.policy = policy
        self.bounds = registry.bounds.under(policy)
        self.instance = registry.instance
        self.table = registry.table
        self.uploads = uploads
        self.counts = counts
        self.global_limit = registry.global_limit
        self.meddled = registry.meddled
        self.idle_limits = _kept(registry.idle_limits, policy)
        self.queue = self
        self._idle = idle

    manages = TorrentRegistry.manages

    def newcomers(self) -> Iterable[TorrentState]:
        return ()

    def dirty(self) -> Iterable[TorrentState]:
        return self._idle


class _Joint(Joint):
    """`Joint` of registries under another policy. What the others use, which are not known now, is as it is there."""

    def __init__(self, joint: Joint, policy: Policy, views: Sequence[TorrentRegistry]) -> None:
        self.registries = views
        self.parts = joint.parts
        self.policy = policy
        self.instance = joint.instance
        self.bounds = joint.bounds.under(policy)
        self.uploads = cast("JointUploads", _Uploads(joint.uploads, joint.policy, policy, ()))
        self.idle_limits = _kept(joint.idle_limits, policy)
        self._joint = joint
        self.leave_out({}, [{}] * (joint.parts - len(views)))

    @property
    def global_limit(self) -> int:
        return self._joint.global_limit


class _Uploads:
    """The part of `Uploads` that `decide` reads."""

    def __init__(
        self, uploads: Uploads | JointUploads, now: Policy, policy: Policy, flowing: Sequence[TorrentState]
    ) -> None:
        """`now`: the policy of `uploads`."""
        meters = {tracker.id: meter for tracker, meter in zip(now.classes, uploads.meters, strict=True)}
        capped = {tracker.id: tracker.is_capped for tracker in now.classes}
        self.flowing = {state.torrent.hash: state for state in flowing}
        self.meters = [meters.get(tracker.id) or UsageMeter() for tracker in policy.classes]
        self.group_meters = uploads.group_meters.with_policy(policy)
        stay = {tracker.id for tracker in policy.classes if capped.get(tracker.id) is tracker.is_capped}
        self.effective = {name: cap for name, cap in uploads.effective.items() if name in stay}
        self.is_individual = uploads.is_individual


def _kept(limits: Mapping[str, int], policy: Policy) -> dict[str, int]:
    return {group.id: limits[group.id] for group in policy.classes if group.id in limits}
