"""Answer questions about torrents with immutable values: one row each, filtered, sorted, a page at a time.

This is the only way by which front ends see torrents. They ask from threads of their own while the engine is at work,
so nothing of the registry that can change leaves this module.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator
from typing import Final, Literal

import msgspec

from qguardarr.core.measure.saved_quota import seconds_left
from qguardarr.core.model import Activity, TrackerClass
from qguardarr.core.reconcile.registry import TorrentRegistry
from qguardarr.core.reconcile.torrent_table import TorrentState
from qguardarr.core.reconcile.why import Why
from qguardarr.core.units import limit_or_none
from qguardarr.engine.ports import TorrentNames

Sort = Literal["rate", "limit", "original", "demand", "leechers", "tracker", "hash"]


class TorrentRow(msgspec.Struct, frozen=True, kw_only=True):
    """One torrent. Rates and limits in bytes/s; None is unlimited."""

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


class TorrentPage(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a list."""

    total: int
    """Number of torrents that the filter lets through."""
    offset: int
    """Number of torrents before the first one shown."""
    torrents: tuple[TorrentRow, ...]
    """The torrents of this page."""


class TorrentFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which torrents; None: all."""

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
    hash_prefix: str = ""
    """Only those whose hash begins with these digits."""


class LimitedTorrent(msgspec.Struct, frozen=True, gc=False):
    """A torrent that has a limit of ours."""

    hash: str
    limit: int
    """In force, bytes/s or UNLIMITED."""


class TorrentView(msgspec.Struct, frozen=True, gc=False):
    """A torrent at one moment. Rates and limits in bytes/s; a limit may be UNLIMITED."""

    hash: str
    rule: int
    """Index of its rule."""
    activity: Activity
    downloading: bool
    leechers: int
    rate: float | None
    """None: it does not upload."""
    hungry: bool
    limit: int
    original: int
    limited: bool
    highest: int
    """Highest limit that it had, 0 if unknown."""
    why: Why | None
    saved_s: float
    """Seconds for which it may run above its limit on saved quota; `math.inf` if unknown or if it does not."""


_ACTIVITY: Final[dict[Activity, Literal["stopped", "idle", "active"]]] = {
    Activity.STOPPED: "stopped",
    Activity.IDLE: "idle",
    Activity.ACTIVE: "active",
}

_KEYS: Final[dict[Sort, Callable[[TorrentView], float]]] = {
    "rate": lambda view: -1.0 if view.rate is None else view.rate,
    "limit": lambda view: view.limit,
    "original": lambda view: view.original,
    "demand": lambda view: -1.0 if view.rate is None else math.inf if view.hungry else view.rate,
    "leechers": lambda view: view.leechers,
    "tracker": lambda view: view.rule,
    "hash": lambda view: int(view.hash, 16),
}


class TorrentQuery:
    """Look torrents up. For any thread."""

    def __init__(self, registry: TorrentRegistry, names: TorrentNames) -> None:
        self._registry = registry
        self._names = names

    def page(
        self, wanted: TorrentFilter, *, sort: Sort, descending: bool, offset: int, limit: int, names: bool = True
    ) -> TorrentPage:
        """Return a page of the torrents that a filter lets through. `names`: look up those that are not known."""
        total, views = 0, []
        key = _KEYS[sort]

        def matching() -> Iterator[tuple[float, str, TorrentView]]:
            nonlocal total
            for view in self._matching(wanted):
                total += 1
                value = key(view)
                yield -value if descending else value, view.hash, view  # the hash keeps pages from shifting

        views = [view for _, _, view in heapq.nsmallest(offset + limit, matching())[offset:]]
        known = self._names.of([view.hash for view in views]) if names else {}
        rows = tuple(self._row(view, known.get(view.hash)) for view in views)
        return TorrentPage(total=total, offset=offset, torrents=rows)

    def one(self, hash: str) -> TorrentRow | None:  # noqa: A002 # what it is
        """Return a torrent; None if qBittorrent does not have it, as far as is known."""
        state = self._registry.get(hash)
        return None if state is None else self._row(_view(state), self._names.of([hash]).get(hash))

    def limited(self) -> dict[str, list[LimitedTorrent]]:
        """Return the torrents that have a limit of ours, by id of their rule."""
        rules = self._registry.policy.classes
        found: dict[str, list[LimitedTorrent]] = {}
        for view in _views(self._registry):
            if view.limited and view.rule < len(rules):
                found.setdefault(rules[view.rule].id, []).append(LimitedTorrent(view.hash, view.limit))
        return found

    def match(self, url: str) -> list[tuple[TrackerClass, bool]]:
        """Return each rule, and whether it matches an announce URL; the last one, the catch-all, always does."""
        rules, matching = self._registry.policy.classes, self._registry.matcher.matching(url)
        return [(rule, index in matching or rule is rules[-1]) for index, rule in enumerate(rules)]

    def _matching(self, wanted: TorrentFilter) -> Iterator[TorrentView]:
        index = next((i for i, rule in enumerate(self._registry.policy.classes) if rule.id == wanted.tracker), None)
        prefix = wanted.hash_prefix.lower()
        for view in _views(self._registry):
            if (
                (wanted.tracker is None or view.rule == index)
                and (wanted.activity is None or _ACTIVITY[view.activity] == wanted.activity)
                and (wanted.uploading is None or (view.rate is not None) is wanted.uploading)
                and (wanted.hungry is None or view.hungry is wanted.hungry)
                and (wanted.limited is None or view.limited is wanted.limited)
                and view.hash.startswith(prefix)
            ):
                yield view

    def _row(self, view: TorrentView, name: str | None) -> TorrentRow:
        rules = self._registry.policy.classes
        rule = rules[view.rule] if view.rule < len(rules) else rules[-1]  # the policy may have just been swapped
        rate = view.rate or 0.0
        return TorrentRow(
            hash=view.hash,
            name=name,
            tracker=rule.id,
            activity=_ACTIVITY[view.activity],
            downloading=view.downloading,
            leechers=view.leechers,
            rate=rate,
            demand=None if view.hungry else rate,
            hungry=view.hungry,
            limit=limit_or_none(view.limit),
            original=limit_or_none(view.original),
            limited=view.limited,
            managed=self._registry.manages(view.hash),
            reason=_reason(view, rule.name),
        )


def _reason(view: TorrentView, tracker: str) -> str:
    if view.why is None:
        return ""
    words = view.why.words(tracker=tracker, limit=view.limit, rate=view.rate or 0.0, earlier=view.highest)
    return words if math.isinf(view.saved_s) else f"{words}, for at most {math.ceil(view.saved_s)} s more"


def _views(registry: TorrentRegistry) -> Iterator[TorrentView]:
    """Yield all torrents as they are at one moment."""
    return map(_view, registry.copies())


def _view(state: TorrentState) -> TorrentView:
    """Copy what the registry knows of a torrent. The engine may change or take away each part meanwhile."""
    torrent, estimator, why = state.torrent, state.estimator, state.why
    return TorrentView(
        torrent.hash,
        state.rule,
        torrent.activity,
        torrent.downloading,
        torrent.leechers,
        None if estimator is None else estimator.rate,
        estimator is not None and estimator.backlogged,
        state.current or torrent.up_limit,
        state.original,
        state.ours,
        state.highest,
        why if isinstance(why, Why) else None,
        seconds_left(state) if why is Why.SAVED else math.inf,
    )
