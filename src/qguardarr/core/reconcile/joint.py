"""Several registries as one: the torrents of all qBittorrents that share a group share its cap.

`Joint` has the part of `TorrentRegistry` that `decide` reads. So a cap is divided among the torrents of all instances
exactly as among those of one: a torrent's share does not depend on which of them has it, and demand that moves from one
to another is followed at once.

Each instance is read at its own times. What a group moves is therefore metered here: counters that are older than the
newest ones are continued at the rate that they had.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType

from qguardarr.core.measure.usage_meter import UsageMeter
from qguardarr.core.model import UNLIMITED
from qguardarr.core.policy import Policy
from qguardarr.core.reconcile.group_meters import GroupMeters, send_before
from qguardarr.core.reconcile.registry import TorrentRegistry, is_managed
from qguardarr.core.reconcile.torrent_bounds import TorrentBounds
from qguardarr.core.reconcile.torrent_table import TorrentState
from qguardarr.core.reconcile.uploads import Uploads


class Joint:
    """All registries together."""

    def __init__(self, registries: Sequence[TorrentRegistry], policy: Policy) -> None:
        self.registries = registries
        self.parts = len(registries)
        """Number of all qBittorrents."""
        self.policy = policy
        self.instance = ""
        self.bounds = TorrentBounds(policy)
        self.uploads = JointUploads(registries, policy, self.bounds)
        self.idle_limits: dict[str, int] = {}
        """See `TorrentRegistry.idle_limits`."""
        self._away: Sequence[TorrentRegistry] = ()
        """Those that cannot be written to, and whose torrents may use what they have of the caps."""
        self._held = [0.0] * len(policy.classes)
        """Bytes/s of each class's cap that count for them."""
        self._unseen = [0.0] * len(policy.classes)
        self.held_for: dict[TorrentRegistry, float] = {}
        """The same of all caps together, for each of them."""

    @property
    def counts(self) -> list[int]:
        """Torrents of each class."""
        known = [registry.counts for registry in self.registries if registry.policy is self.policy]
        return [sum(numbers) for numbers in zip(*known, strict=True)] if known else [0] * len(self.policy.classes)

    @property
    def global_limit(self) -> int:
        """The upload limits of all qBittorrents together, bytes/s or UNLIMITED."""
        return min(UNLIMITED, sum(registry.global_limit for registry in self.registries))

    @property
    def meddled(self) -> bool:
        """Whether another program sets limits in one of them."""
        return any(registry.meddled for registry in self.registries)

    def manages(self, hash_: str) -> bool:
        """See `TorrentRegistry.manages`."""
        return is_managed(self.policy, hash_)

    def leave_out(
        self,
        away: Mapping[TorrentRegistry, bool],
        unread: Sequence[Mapping[str, float]],
        back: Mapping[TorrentRegistry, Mapping[str, float]] = MappingProxyType({}),
    ) -> None:
        """Take in which registries nobody can read or limit now.

        Of each class's cap counts what their torrents were seen to use, and after a while more, up to an equal part, if
        their limits allow it: nobody would see it if they did. For one that was not read yet an equal part counts, or
        what it used before the start if that was more.

        Args:
            away: whether that has lasted for a while, for each of them.
            unread: for each that has not been read yet, what it used before the start, bytes/s by id of the class.
            back: what those that have just come back used before. Their torrents begin again, each under its last
                limit, and it takes some reads until that shows: what is missing counts as in use.
        """
        self._away = list(away)
        classes = self.policy.classes
        parts = [group.cap / self.parts for group in classes]
        pairs = list(zip(classes, parts, strict=True))
        self._held = [math.fsum(max(part, used.get(group.id, 0.0)) for used in unread) for group, part in pairs]
        self._unseen = self._held.copy()
        self.held_for = dict.fromkeys(away, 0.0)
        for registry, lasting in away.items():
            used, rates = [0.0] * len(classes), [0.0] * len(classes)
            for member in registry.uploads.flowing.values():
                used[member.rule] += in_use(member)
                rates[member.rule] += 0.0 if member.estimator is None else member.estimator.rate
            limits = registry.table.limits_in_force(len(classes)) if lasting else [0] * len(classes)
            for i, part in enumerate(parts):
                held = max(used[i], min(part, limits[i]))
                self.held_for[registry] += held if classes[i].is_capped else 0.0
                self._held[i] += held
                self._unseen[i] += max(0.0, held - rates[i])

        for registry, before in back.items():
            used_now = used_by(registry)
            for i, group in enumerate(classes):
                missing = max(0.0, before.get(group.id, 0.0) - used_now.get(group.id, 0.0))
                self._held[i] += missing
                self._unseen[i] += missing

    def with_away(self, members: Sequence[Sequence[TorrentState]]) -> list[list[TorrentState]]:
        """Return the torrents of each class that upload, those of qBittorrents that are away included."""
        found = [list(its) for its in members]
        for registry in self._away:
            for member in registry.uploads.flowing.values():
                found[member.rule].append(member)
        return found

    def held(self, i: int) -> float:
        """Return the bytes/s of the `i`-th class's cap that count for qBittorrents that are away."""
        return self._held[i]

    def unseen(self, i: int) -> float:
        """Return the part of that, bytes/s, which is not in the rates of the torrents of `with_away`."""
        return self._unseen[i]

    def adopt_policy(self, policy: Policy) -> None:
        """Go on under another policy."""
        self.bounds.adopt_policy(policy)
        self.uploads.adopt_policy(self.policy, policy)
        self.policy = policy
        self.leave_out({}, ())
        self.idle_limits = {t.id: self.idle_limits[t.id] for t in policy.classes if t.id in self.idle_limits}

    def settle(self, effective: dict[str, float], idle_limits: dict[str, int]) -> None:
        """Take in that a decision was carried out as far as it could be."""
        self.uploads.effective, self.idle_limits = effective, idle_limits


class JointUploads:
    """The part of `Uploads` that `decide` reads."""

    def __init__(self, registries: Sequence[TorrentRegistry], policy: Policy, bounds: TorrentBounds) -> None:
        self.meters = [UsageMeter() for _ in policy.classes]
        """What the torrents of each class upload together, in the order of the policy's classes."""
        self.group_meters = GroupMeters(policy)
        self.effective: dict[str, float] = {}
        self._registries = registries
        self._bounds = bounds
        self._totals: list[dict[str, float]] = [{} for _ in registries]
        """Bytes of each class, by id, that were taken in of each registry."""
        self._live: frozenset[int] = frozenset()
        """Places of the registries that were metered last."""

    def is_individual(self, hash_: str) -> bool:
        """See `Uploads.is_individual`."""
        found = (registry.uploads for registry in self._registries)
        return all(uploads.is_individual(hash_) for uploads in found if hash_ in uploads.flowing)

    def adopt_policy(self, before: Policy, policy: Policy) -> None:
        """Go on under another policy: groups that stay keep their meters, and what they borrow."""
        meters = {group.id: meter for group, meter in zip(before.classes, self.meters, strict=True)}
        capped = {group.id: group.is_capped for group in before.classes}
        self.meters = [meters.get(group.id) or UsageMeter() for group in policy.classes]
        self.group_meters.adopt_policy(policy)
        ids = {group.id for group in policy.classes}
        self._totals = [{name: total for name, total in its.items() if name in ids} for its in self._totals]
        stay = {group.id for group in policy.classes if capped.get(group.id) is group.is_capped}
        self.effective = {name: cap for name, cap in self.effective.items() if name in stay}

    def measure(self, ready: Collection[TorrentRegistry], policy: Policy) -> None:
        """Meter what all have moved. `ready`: those that are known as they are now.

        What one moved while it was away happened at a time that nobody knows: it counts as sent before all else.
        """
        live = [place for place, registry in enumerate(self._registries) if registry in ready]
        uploads = {place: self._registries[place].uploads for place in live}
        at = max((found.clock.at for found in uploads.values() if found.clock.at is not None), default=None)
        if at is None:
            return
        self._bounds.now = max(registry.bounds.now for registry in self._registries)
        wanted = _wanted(uploads.values(), policy, self._bounds)
        moved_by_class, missed_by_class = [0.0] * len(policy.classes), dict[int, float]()
        for i, (group, meter) in enumerate(zip(policy.classes, self.meters, strict=True)):
            moved = missed = rates = yields = 0.0
            for place, found in uploads.items():
                its = found.meters[i]
                before = self._totals[place].get(group.id, 0.0)
                total = max(before, _total_at(its, at))  # a counter never falls, though it was continued too far
                since = total - before
                self._totals[place][group.id] = total
                if place in self._live and len(its.samples) > 2:  # before, its rate was not known
                    moved += since
                else:
                    missed += since
                rates += (rate := its.rate(10.0))
                yields += rate * its.limiter_yield
            moved_by_class[i] = moved
            if missed:
                missed_by_class[i] = missed
                send_before(meter, missed)
            if not meter.samples or at > meter.samples[-1][0]:
                meter.add(at, round(moved), self.effective.get(group.id, group.cap), wanted=wanted[i])
            if rates > 0.0:
                meter.recall(yields / rates)
        self.group_meters.send_before(missed_by_class)
        self.group_meters.add(at, moved_by_class)
        self._live = frozenset(live)


def used_by(registry: TorrentRegistry) -> dict[str, float]:
    """Return the bytes/s of each capped class's cap that the torrents of a registry have, by id of the class."""
    classes = registry.policy.classes
    used: dict[str, float] = {}
    for member in registry.uploads.flowing.values():
        if classes[member.rule].is_capped:
            used[classes[member.rule].id] = used.get(classes[member.rule].id, 0.0) + in_use(member)
    return used


def in_use(member: TorrentState) -> float:
    """Return the bytes/s of the cap that a torrent has, which nobody can read now: its limit, if that held it back."""
    estimator = member.estimator
    if estimator is None:
        return 0.0
    if estimator.backlogged and member.current < UNLIMITED:
        return float(member.current)
    return max(estimator.rate, estimator.expected)


def _wanted(uploads: Iterable[Uploads], policy: Policy, bounds: TorrentBounds) -> list[bool]:
    """Return of each class whether its limits hold some torrent back."""
    wanted = [False] * len(policy.classes)
    for found in uploads:
        for state in found.flowing.values():
            if state.estimator is not None and state.estimator.backlogged and bounds.could_use_more(state):
                wanted[state.rule] = True
    return wanted


def _total_at(meter: UsageMeter, at: float) -> float:
    """Return the bytes that were moved by then, as far as can be known: at the rate between the newest two copies."""
    if len(meter.samples) < 2:
        return meter.total
    (before_at, before), (last_at, last) = meter.samples[-2], meter.samples[-1]
    return last + max(0.0, at - last_at) * (last - before) / max(1e-3, last_at - before_at)
