"""Answer questions about torrents with immutable values: one row each, filtered, sorted, a page at a time.

This is the only way by which front ends see torrents. They ask from threads of their own while the engine is at work,
so nothing of the registry that can change leaves this module.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, Literal

import msgspec

from qguardarr.core.measure.saved_quota import seconds_left
from qguardarr.core.model import UNLIMITED, Activity, Labels, Torrent, TrackerClass
from qguardarr.core.reconcile.registry import TorrentRegistry
from qguardarr.core.reconcile.torrent_table import TorrentState
from qguardarr.core.reconcile.why import Why, sharing
from qguardarr.core.select.matcher import NOTHING_KNOWN
from qguardarr.core.units import limit_or_none
from qguardarr.engine.judging import Judged, judge
from qguardarr.engine.torrent_values import (
    KEYS,
    AnnounceBudget,
    Sort,
    announce_budget,
    is_hungry,
    limit_in_force,
    rate_of,
)
from qguardarr.errors import SeveralHaveIt, unknown_instance


class TorrentRow(msgspec.Struct, frozen=True, kw_only=True):
    """One torrent. Rates and limits in bytes/s; None is unlimited."""

    instance: str = ""
    """Name of the qBittorrent that has it; empty for the only one."""
    hash: str
    """qBittorrent's id of the torrent, 40 hex digits."""
    name: str | None
    """Its name; null if qBittorrent could not be asked."""
    tracker: str
    """Id of the rule."""
    activity: Literal["stopped", "idle", "active"]
    """active: qBittorrent shows it as uploading or downloading. idle: it may upload at any moment (stalled, queued,
    checking). stopped: it cannot until a person starts it (stopped, error, missing files)."""
    downloading: bool
    """It is not complete yet."""
    leechers: int
    """Number of peers connected now that are not complete."""
    rate: float
    """Upload rate, bytes/s."""
    demand: float | None
    """Demand, bytes/s; null: more than it has, nobody knows how much."""
    hungry: bool
    """It uses its limit, and wants more."""
    limit: int | None
    """Upload limit in force, bytes/s; null is unlimited."""
    original: int | None
    """Limit that its person had set, and that a rollback restores, bytes/s; null is unlimited."""
    limited: bool
    """The limit in force is ours."""
    managed: bool
    """`rollout_percentage` includes it."""
    reason: str
    """Why it has the limit that was decided last; empty if nothing was decided yet."""
    bound: int | None = None
    """Highest limit that it may get, whatever the cap leaves, bytes/s; null is unlimited."""
    bound_reason: str = ""
    """What bounds it: a limit set by hand, its site's overspeed rule, or a tier; empty if nothing does."""
    announce: AnnounceBudget | None = None
    """What it has uploaded since its last announce; null without an overspeed rule, while it is idle, and until an
    announce is seen."""


class TorrentPage(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a list."""

    total: int
    """Number of torrents that the filter lets through."""
    offset: int
    """Number of torrents before the first one shown."""
    torrents: tuple[TorrentRow, ...]
    """The torrents of this page."""
    view: str = ""
    """What to give as `view` for further pages of the same list; empty if none was asked for."""
    unnamed: int = 0
    """Number of torrents whose names are being read, if names were searched or sorted: ask again in a second."""


class TorrentFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which torrents; None: all."""

    instance: str | None = None
    """Only torrents of the qBittorrent with this name."""
    tracker: str | None = None
    """Only torrents of the rule with this id."""
    activity: Literal["stopped", "idle", "active"] | None = None
    """Only active, idle or stopped ones; see `activity` in the answer."""
    uploading: bool | None = None
    """Only those that upload, or did a moment ago; false: only the others."""
    hungry: bool | None = None
    """Only those that use their limit and want more; false: only the others."""
    limited: bool | None = None
    """Only those whose limit in force is ours; false: only the others."""
    set_by_hand: bool | None = None
    """Only those to which their person gave a limit; false: only the others."""
    hash_prefix: str = ""
    """Only those whose hash begins with these digits."""


class LimitedTorrent(msgspec.Struct, frozen=True, gc=False):
    """A torrent that has a limit of ours."""

    hash: str
    limit: int
    """In force, bytes/s or UNLIMITED."""


_ACTIVITY: Final[dict[Activity, Literal["stopped", "idle", "active"]]] = {
    Activity.STOPPED: "stopped",
    Activity.IDLE: "idle",
    Activity.ACTIVE: "active",
}


Place = tuple[int, str]
"""A torrent: the place of its qBittorrent among all, and its hash."""


class TorrentQuery:
    """Look torrents up. For any thread."""

    def __init__(
        self,
        registry: TorrentRegistry | Sequence[TorrentRegistry],
        names: Callable[[Sequence[str]], dict[str, str]],
    ) -> None:
        """`registry`: of the only qBittorrent, or of each. `names`: see `Names.of`."""
        self._all = [registry] if isinstance(registry, TorrentRegistry) else list(registry)
        self._registry = self._all[0]
        """For what is the same in all of them: the policy, and the patterns."""
        self._names = names

    @property
    def instances(self) -> list[str]:
        """Names of all qBittorrents; the only one has none ("")."""
        return [each.instance for each in self._all]

    def page(
        self, wanted: TorrentFilter, *, sort: Sort, descending: bool, offset: int, limit: int, names: bool = True
    ) -> TorrentPage:
        """Return a page of the torrents that a filter lets through. `names`: look up those that are not known."""
        total = 0
        key = KEYS[sort]

        def matching() -> Iterator[tuple[float, str, int, TorrentState]]:
            nonlocal total
            for place, state in self.matching(wanted):
                total += 1
                value = key(state)
                # the hash keeps pages from shifting
                yield -value if descending else value, state.torrent.hash, place, state

        found = [(place, state) for _, _, place, state in heapq.nsmallest(offset + limit, matching())[offset:]]
        known = self._names([state.torrent.hash for _, state in found]) if names else {}
        rows = tuple(self._row(place, state, known.get(state.torrent.hash)) for place, state in found)
        return TorrentPage(total=total, offset=offset, torrents=rows)

    def rows(self, places: Sequence[Place], names: Mapping[str, str]) -> tuple[TorrentRow, ...]:
        """Return these torrents, without those that are gone. `names`: those at hand; others are looked up."""
        known = {**self._names([hash_ for _, hash_ in places if hash_ not in names]), **names}
        found = ((place, self._all[place].get(hash_)) for place, hash_ in places)
        return tuple(
            self._row(place, state, known.get(state.torrent.hash)) for place, state in found if state is not None
        )

    def one(self, hash: str, instance: str | None = None) -> TorrentRow | None:  # noqa: A002 # what it is
        """Return a torrent; None if qBittorrent does not have it, as far as is known. Raises `SeveralHaveIt`."""
        found = self._found(hash, instance)
        return None if found is None else self._row(*found, self._names([hash]).get(hash))

    def state(self, hash: str, instance: str | None = None) -> TorrentState | None:  # noqa: A002 # what it is
        """Return a torrent to read from, None if it is unknown. Raises `SeveralHaveIt`."""
        found = self._found(hash, instance)
        return None if found is None else found[1]

    def rule_of(self, hash: str, instance: str | None = None) -> str | None:  # noqa: A002 # what it is
        """Return the id of a torrent's rule; None if qBittorrent does not have it, as far as is known.

        `instance`: None for whichever has it.
        """
        rules = self._registry.policy.classes
        states = (each.get(hash) for each in self._all if instance in (None, each.instance))
        state = next((state for state in states if state is not None), None)
        return None if state is None else rules[min(state.rule, len(rules) - 1)].id

    def instances_of(self, hash: str) -> list[str]:  # noqa: A002 # what it is
        """Return the names of the qBittorrents that have a torrent."""
        return [each.instance for each in self._all if hash in each]

    def names(self, hashes: Sequence[str]) -> dict[str, str]:
        """Return names by hash, as far as they can be had within a few seconds."""
        return self._names(hashes)

    def limited(self) -> dict[str, list[LimitedTorrent]]:
        """Return the torrents that have a limit of ours, by id of their rule."""
        rules = self._registry.policy.classes
        found: dict[str, list[LimitedTorrent]] = {}
        for state in itertools.chain.from_iterable(each.copies() for each in self._all):
            if state.ours and state.rule < len(rules):
                torrent = LimitedTorrent(state.torrent.hash, limit_in_force(state))
                found.setdefault(rules[state.rule].id, []).append(torrent)
        return found

    def label_counts(self) -> list[Mapping[Labels, int]]:
        """Return how many torrents have which categories and tags, for each qBittorrent."""
        return [each.label_counts() for each in self._all]

    def match(self, url: str) -> list[tuple[TrackerClass, bool]]:
        """Return each rule, and whether it takes a torrent with this announce URL of which nothing else is known.

        Of several qBittorrents, wherever it is.
        """
        rules, takes = self._registry.policy.classes, set[str]()
        for each in self._all:
            matcher, its = each.selection.matcher, each.policy.classes
            failing = [*matcher.failing(matcher.whole_verdict((url,), ""), NOTHING_KNOWN, 0.0), None]
            takes |= {rule.id for rule, field in zip(its, failing, strict=True) if field is None}
        return [(rule, rule.id in takes) for rule in rules]

    def judge(self, urls: tuple[str, ...], about: Torrent, now: float, instance: str | None = None) -> Judged:
        """Return which rule a torrent would get, and why; see `judging.judge`.

        `instance`: name of the qBittorrent that it would be on; None: the first. Raises `UnknownInstance`.
        """
        owner = next((each for each in self._all if instance in (None, each.instance)), None)
        if owner is None:
            raise unknown_instance(str(instance), self.instances)
        return judge(owner, urls, about, now)

    def owner_of(self, hash: str, instance: str | None = None) -> TorrentRegistry | None:  # noqa: A002 # what it is
        """Return the registry that has a torrent; None if none has. Raises `SeveralHaveIt`."""
        found = self._found(hash, instance)
        return None if found is None else self._all[found[0]]

    def matching(self, wanted: TorrentFilter) -> Iterator[tuple[int, TorrentState]]:
        """Yield the torrents that a filter lets through, to read from at once; each behind the place of its owner."""
        for place, registry in enumerate(self._all):
            if wanted.instance in (None, registry.instance):
                for state in self._matching(registry, wanted):
                    yield place, state

    def _matching(self, registry: TorrentRegistry, wanted: TorrentFilter) -> Iterator[TorrentState]:
        index = next((i for i, rule in enumerate(self._registry.policy.classes) if rule.id == wanted.tracker), None)
        prefix = wanted.hash_prefix.lower()
        for state in registry.copies():
            if (
                (wanted.tracker is None or state.rule == index)
                and (wanted.activity is None or _ACTIVITY[state.torrent.activity] == wanted.activity)
                and (wanted.uploading is None or (rate_of(state) is not None) is wanted.uploading)
                and (wanted.hungry is None or is_hungry(state) is wanted.hungry)
                and (wanted.limited is None or state.ours is wanted.limited)
                and (wanted.set_by_hand is None or (state.original < UNLIMITED) is wanted.set_by_hand)
                and state.torrent.hash.startswith(prefix)
            ):
                yield state

    def _found(self, hash_: str, instance: str | None) -> tuple[int, TorrentState] | None:
        found = [
            (place, state)
            for place, each in enumerate(self._all)
            if instance in (None, each.instance) and (state := each.get(hash_)) is not None
        ]
        if len(found) > 1:
            raise SeveralHaveIt(
                f"{' and '.join(self._all[place].instance for place, _ in found)} have this torrent",
                hint="name one of them as `instance`",
            )
        return found[0] if found else None

    def _row(self, place: int, state: TorrentState, name: str | None) -> TorrentRow:
        rules, torrent = self._registry.policy.classes, state.torrent
        rule = rules[state.rule] if state.rule < len(rules) else rules[-1]  # the policy may have just been swapped
        rate, hungry, limit = rate_of(state) or 0.0, is_hungry(state), limit_in_force(state)
        registry = self._all[place]
        bound, effective = registry.bounds.of(state), registry.uploads.effective.get(rule.id)
        tracker = sharing(rule, effective) if state.why is Why.FAIR else rule.name
        return TorrentRow(
            instance=self._all[place].instance,
            hash=torrent.hash,
            name=name,
            tracker=rule.id,
            activity=_ACTIVITY[torrent.activity],
            downloading=torrent.downloading,
            leechers=torrent.leechers,
            rate=rate,
            demand=None if hungry else rate,
            hungry=hungry,
            limit=limit_or_none(limit),
            original=limit_or_none(state.original),
            limited=state.ours,
            managed=self._registry.manages(torrent.hash),
            reason=_reason(state, tracker, limit, rate, bound.reason),
            bound=limit_or_none(bound.limit),
            bound_reason=bound.reason,
            announce=announce_budget(state),
        )


def _reason(state: TorrentState, tracker: str, limit: int, rate: float, bound: str) -> str:
    why = state.why
    if not isinstance(why, Why):
        return ""
    words = why.words(tracker=tracker, limit=limit, rate=rate, earlier=state.highest, bound=bound)
    left_s = seconds_left(state) if why is Why.SAVED else math.inf
    return words if math.isinf(left_s) else f"{words}, for at most {math.ceil(left_s)} s more"
