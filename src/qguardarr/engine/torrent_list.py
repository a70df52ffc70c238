"""Torrents as people look at them: one row each, filtered, sorted, a page at a time."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, Literal

import msgspec

from qguardarr.core.model import UNLIMITED, Activity, TrackerClass
from qguardarr.core.reconcile.decide import Why
from qguardarr.core.reconcile.registry import TorrentRegistry
from qguardarr.core.reconcile.torrent_table import TorrentView

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
    """What it wants, bytes/s; null: more than it has, no one knows how much."""
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


_ACTIVITY: Final[dict[Activity, Literal["stopped", "idle", "active"]]] = {
    Activity.STOPPED: "stopped",
    Activity.IDLE: "idle",
    Activity.ACTIVE: "active",
}


def _demand(torrent: TorrentView) -> float:
    return math.inf if torrent.backlogged else -1.0 if torrent.rate is None else torrent.rate


_KEYS: Final[dict[Sort, Callable[[TorrentView], float | str]]] = {
    "rate": lambda torrent: -1.0 if torrent.rate is None else torrent.rate,
    "limit": lambda torrent: torrent.limit,
    "original": lambda torrent: torrent.original,
    "demand": _demand,
    "leechers": lambda torrent: torrent.leechers,
    "tracker": lambda torrent: torrent.rule,
    "hash": lambda torrent: torrent.hash,
}


def pick(
    registry: TorrentRegistry, wanted: TorrentFilter, *, sort: Sort, descending: bool, offset: int, limit: int
) -> tuple[int, list[TorrentView]]:
    """Return how many torrents the filter lets through, and a page of them. From any thread."""
    key = _KEYS[sort]
    found = [(key(torrent), torrent.hash) for torrent in registry.views() if _passes(registry, wanted, torrent)]
    found.sort(key=lambda each: each[1])  # so that pages do not shift where the key is the same
    found.sort(key=lambda each: each[0], reverse=descending)
    page = (registry.view(hash_) for _, hash_ in found[offset : offset + limit])
    return len(found), [torrent for torrent in page if torrent is not None]


def _passes(registry: TorrentRegistry, wanted: TorrentFilter, torrent: TorrentView) -> bool:
    """Return whether a filter lets a torrent through."""
    return (
        (wanted.tracker is None or wanted.tracker == _tracker_of(registry, torrent).id)
        and wanted.activity in (None, _ACTIVITY[torrent.activity])
        and wanted.uploading in (None, torrent.rate is not None)
        and (wanted.hungry is None or (torrent.rate is not None and wanted.hungry is torrent.backlogged))
        and wanted.limited in (None, torrent.ours)
        and torrent.hash.startswith(wanted.hash_prefix.lower())
    )


def _tracker_of(registry: TorrentRegistry, torrent: TorrentView) -> TrackerClass:
    classes = registry.policy.classes
    return classes[torrent.rule] if torrent.rule < len(classes) else classes[-1]  # a reload may be at work


def row(registry: TorrentRegistry, torrent: TorrentView, name: str | None) -> TorrentRow:
    """Return a torrent as people look at it."""
    rate = torrent.rate or 0.0
    tracker = _tracker_of(registry, torrent)
    return TorrentRow(
        hash=torrent.hash,
        name=name,
        tracker=tracker.id,
        activity=_ACTIVITY[torrent.activity],
        downloading=torrent.downloading,
        leechers=torrent.leechers,
        rate=rate,
        demand=None if torrent.backlogged else rate,
        hungry=torrent.backlogged,
        limit=limit_or_none(torrent.limit),
        original=limit_or_none(torrent.original),
        limited=torrent.ours,
        managed=registry.manages(torrent.hash),
        reason=_reason(torrent, torrent.why, tracker.name) if isinstance(torrent.why, Why) else "",
    )


def _reason(torrent: TorrentView, why: Why, tracker: str) -> str:
    words = why.words(tracker=tracker, limit=torrent.limit, rate=torrent.rate or 0.0, earlier=torrent.highest)
    if why is not Why.SAVED or math.isinf(torrent.overruns_s):
        return words
    return f"{words}, for at most {math.ceil(torrent.overruns_s)} s more"


def limit_or_none(limit: int) -> int | None:
    """A limit as JSON says it: null is unlimited."""
    return None if limit >= UNLIMITED else limit
