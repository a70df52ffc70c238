"""Tell what another policy would do: decide under it and under the one in force, from the same state, and compare.

Nothing is written, and the registry stays as it is: `decide` is handed a view of it. Idle torrents are looked at in
chunks, so that tens of thousands of changes are counted without being kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final

import msgspec

from qguardarr.core.model import UNLIMITED
from qguardarr.core.policy import Policy
from qguardarr.core.reconcile.decide import TrackerReport
from qguardarr.core.reconcile.draft import Draft
from qguardarr.core.reconcile.idle_limits import decide_idle
from qguardarr.core.reconcile.joint import Joint
from qguardarr.core.reconcile.plan import IMPLAUSIBLE_COUNT
from qguardarr.core.reconcile.registry import TorrentRegistry
from qguardarr.core.reconcile.torrent_table import TorrentState
from qguardarr.core.units import limit_or_none
from qguardarr.engine.policy_view import Moved, PolicyView, RegistryView

SHOWN: Final = 100
"""Torrents that are listed."""
MOST_SELECTED: Final = 50
"""Torrents listed of the rule that is asked for."""

_CHUNK: Final = 500


class EffectTorrent(msgspec.Struct, frozen=True, kw_only=True):
    """A torrent that would get another limit. Limits in bytes/s; null is unlimited."""

    instance: str = ""
    """Name of the qBittorrent that has it; empty for the only one."""
    hash: str
    """qBittorrent's id of the torrent, 40 hex digits."""
    name: str | None = None
    """Its name; null if qBittorrent could not be asked."""
    tracker: str
    """Id of its rule now."""
    new_tracker: str
    """Id of its rule then."""
    limit: int | None
    """Limit that it has, or is about to get without the change, bytes/s; null is unlimited."""
    new_limit: int | None
    """Limit that it would get, bytes/s; null is unlimited."""
    reason: str
    """Why, in words."""


class SelectedTorrent(msgspec.Struct, frozen=True, kw_only=True):
    """A torrent that a rule would have."""

    instance: str = ""
    """Name of the qBittorrent that has it; empty for the only one."""
    hash: str
    """qBittorrent's id of the torrent, 40 hex digits."""
    name: str | None = None
    """Its name; null if qBittorrent could not be asked."""
    tracker: str
    """Id of its rule now."""


class EffectTracker(msgspec.Struct, frozen=True, kw_only=True):
    """A tracker under both policies. Rates in bytes/s; null is unlimited, or that there is no such rule."""

    id: str
    """Id of the rule."""
    name: str
    """Name of the rule."""
    new: bool
    """The rule is new."""
    gone: bool
    """The rule goes away."""
    cap: int | None
    """Cap now, bytes/s."""
    new_cap: int | None
    """Cap then, bytes/s."""
    share: float | None
    """What it may use now, with what it borrows, bytes/s."""
    new_share: float | None
    """What it may use then, bytes/s."""
    rate: float
    """What its torrents of now upload, bytes/s."""
    torrents: int
    """Number of its torrents now."""
    new_torrents: int
    """Number of its torrents then."""
    changes: int
    """Number of its torrents of then that would get another limit."""


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """What a change of the configuration would do to limits, once all of them are written."""

    trackers: tuple[EffectTracker, ...]
    """All rules as they would be, then those that go away."""
    changes: int
    """Number of torrents that would get another limit than without the change."""
    moved: int
    """Number of torrents that would belong to another rule."""
    torrents: tuple[EffectTorrent, ...]
    """The first 100 of those that would get another limit; of several qBittorrents, some of each."""
    observing: bool
    """Nothing is written now, nor then (dry run or pause): it is compared with the limits in force."""
    selected: tuple[SelectedTorrent, ...] = ()
    """The first 50 torrents of the rule that was asked for (`torrents_of`)."""
    left_out: tuple[str, ...] = ()
    """Names of the qBittorrents whose torrents are left out, since they could not be asked for what they have. One that
    is away counts as it was seen last."""


class _Targets:
    """Limits under one policy."""

    def __init__(self, view: PolicyView, *, written: bool) -> None:
        """`written`: otherwise each torrent keeps the limit that it has."""
        self.written = written
        decisions = view.decide()
        self.reports: Sequence[TrackerReport] = decisions[0].trackers
        self._levels = [report.level for report in self.reports]
        self._idle = decisions[0].idle_limits
        self._uploading = {
            each.instance: {change.hash: (change.new, change.reason) for change in decision.plan.changes}
            for each, decision in zip(view.registries, decisions, strict=True)
        }

    def of(self, view: RegistryView, states: Sequence[TorrentState]) -> dict[str, tuple[int, str]]:
        """Return limit and reason of those of these torrents of a registry whose limit would change."""
        if not self.written:
            return {}
        registry, uploads = view.registry(states), self._uploading[view.instance]
        draft = Draft(view.policy, registry.bounds)
        decide_idle(registry, self._idle, self._levels, draft)
        found = {change.hash: (change.new, change.reason) for change in draft.changes}
        for state in states:
            if (uploading := uploads.get(state.torrent.hash)) is not None:
                found[state.torrent.hash] = uploading
        return found


def known_of(whole: TorrentRegistry | Joint) -> list[TorrentRegistry]:
    """Return the registries that were read, and are under the policy in force."""
    return [each for each in _all_of(whole) if each.loaded and each.policy is whole.policy]


def effect(
    whole: TorrentRegistry | Joint,
    policy: Policy,
    moved: Mapping[str, Moved] | None,
    *,
    paused: bool,
    torrents_of: str = "",
) -> Effect:
    """Compare a policy with the one in force. For whoever has the engine's turn.

    Args:
        whole: All registries as one; the only one as it is.
        policy: The other one.
        moved: By name of the qBittorrent; others are left out. None if rules select the same torrents.
        paused: Nothing is written now. What would be after the pause is told.
        torrents_of: Id of a rule whose torrents are listed.
    """
    registries = [each for each in known_of(whole) if moved is None or each.instance in moved]
    writes = not paused and not whole.policy.dry_run
    before, after = PolicyView(whole, registries, whole.policy, {}), PolicyView(whole, registries, policy, moved or {})
    now = _Targets(before, written=writes)
    then = _Targets(after, written=not (writes and policy.dry_run))
    old_rules, new_rules = whole.policy.classes, policy.classes
    counts, changed, total, moves = [0] * len(new_rules), [0] * len(new_rules), 0, 0
    shown: list[EffectTorrent] = []
    selected: list[SelectedTorrent] = []
    size = IMPLAUSIBLE_COUNT if whole.policy.unlimit_idle or policy.unlimit_idle else _CHUNK
    for number, (registry, old, new) in enumerate(zip(registries, before.registries, after.registries, strict=True), 1):
        states, part = registry.states(), number / len(registries)  # a few of each are listed
        while chunk := list(islice(states, size)):
            limits, new_limits = now.of(old, chunk), then.of(new, [new.of(state) for state in chunk])
            for state in chunk:
                rule = new.rule_of(state)
                counts[rule] += 1
                moves += old_rules[state.rule].id != new_rules[rule].id
                hash_, tracker = state.torrent.hash, old_rules[state.rule].id
                if new_rules[rule].id == torrents_of and len(selected) < MOST_SELECTED * part:
                    selected.append(SelectedTorrent(instance=registry.instance, hash=hash_, tracker=tracker))
                current = state.current or state.torrent.up_limit
                limit = limits.get(hash_, (current, ""))[0]
                new_limit, reason = new_limits.get(hash_, (current, "it keeps the limit that it has"))
                if limit == new_limit:
                    continue
                changed[rule] += 1
                total += 1
                if len(shown) < SHOWN * part:
                    shown.append(
                        EffectTorrent(
                            instance=registry.instance,
                            hash=hash_,
                            tracker=tracker,
                            new_tracker=new_rules[rule].id,
                            limit=limit_or_none(limit),
                            new_limit=limit_or_none(new_limit),
                            reason=reason,
                        )
                    )
    old_counts = [sum(its) for its in zip(*(each.counts for each in registries), strict=True)]
    trackers = tuple(_trackers(now.reports, then.reports, old_counts, counts, changed))
    observing = not writes and (paused or policy.dry_run)
    return Effect(
        trackers=trackers,
        changes=total,
        moved=moves,
        torrents=tuple(shown),
        observing=observing,
        selected=tuple(selected),
        left_out=tuple(each.instance for each in _all_of(whole) if each not in registries),
    )


def _all_of(whole: TorrentRegistry | Joint) -> Sequence[TorrentRegistry]:
    return whole.registries if isinstance(whole, Joint) else [whole]


def with_names(found: Effect, names: Callable[[Sequence[str]], Mapping[str, str]]) -> Effect:
    """Return the effect with the names of its torrents."""
    wanted = dict.fromkeys(
        [*(torrent.hash for torrent in found.torrents), *(torrent.hash for torrent in found.selected)]
    )
    known = names(list(wanted))
    torrents = (msgspec.structs.replace(torrent, name=known.get(torrent.hash)) for torrent in found.torrents)
    selected = (msgspec.structs.replace(torrent, name=known.get(torrent.hash)) for torrent in found.selected)
    return msgspec.structs.replace(found, torrents=tuple(torrents), selected=tuple(selected))


def _trackers(
    now: Sequence[TrackerReport],
    then: Sequence[TrackerReport],
    counts: Sequence[int],
    new_counts: Sequence[int],
    changed: Sequence[int],
) -> Iterator[EffectTracker]:
    old = {report.id: (report, count) for report, count in zip(now, counts, strict=True)}
    for report, count, changes in zip(then, new_counts, changed, strict=True):
        was, before = old.pop(report.id, (None, 0))
        yield EffectTracker(
            id=report.id,
            name=report.name,
            new=was is None,
            gone=False,
            cap=None if was is None else limit_or_none(was.cap),
            new_cap=limit_or_none(report.cap),
            share=None if was is None else _finite(was.effective),
            new_share=_finite(report.effective),
            rate=0.0 if was is None else was.rate,
            torrents=before,
            new_torrents=count,
            changes=changes,
        )
    for was, before in old.values():
        yield EffectTracker(
            id=was.id,
            name=was.name,
            new=False,
            gone=True,
            cap=limit_or_none(was.cap),
            new_cap=None,
            share=_finite(was.effective),
            new_share=None,
            rate=was.rate,
            torrents=before,
            new_torrents=0,
            changes=0,
        )


def _finite(rate: float) -> float | None:
    return rate if math.isfinite(rate) and rate < UNLIMITED else None
