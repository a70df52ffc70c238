"""Torrents as people look at them: one row each, filtered, sorted, a page at a time."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, Literal

import msgspec

from qguardarr.core.measure.saved_quota import seconds_left
from qguardarr.core.model import UNLIMITED, Activity
from qguardarr.core.reconcile.decide import Why
from qguardarr.core.reconcile.registry import TorrentRegistry, TorrentState

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


def _rate(member: TorrentState) -> float:
    estimator = member.estimator  # asked once: the engine may take it away
    return estimator.rate if estimator is not None else -1.0


def _demand(member: TorrentState) -> float:
    estimator = member.estimator
    return -1.0 if estimator is None else math.inf if estimator.hungry else estimator.rate


_KEYS: Final[dict[Sort, Callable[[TorrentState], float | str]]] = {
    "rate": _rate,
    "limit": lambda m: m.current,
    "original": lambda m: m.original,
    "demand": _demand,
    "leechers": lambda m: m.torrent.leechers,
    "tracker": lambda m: m.rule,
    "hash": lambda m: m.torrent.hash,
}


def pick(
    registry: TorrentRegistry, wanted: TorrentFilter, *, sort: Sort, descending: bool, offset: int, limit: int
) -> tuple[int, list[TorrentState]]:
    """How many torrents the filter lets through, and a page of them. From any thread: the engine goes on meanwhile."""
    members = list(registry.members.values())  # in one step, as far as other threads can tell
    index = next((i for i, t in enumerate(registry.policy.classes) if t.id == wanted.tracker), None)
    if wanted.tracker is not None:
        members = [m for m in members if m.rule == index]
    if wanted.activity is not None:
        members = [m for m in members if _ACTIVITY[m.torrent.activity] == wanted.activity]
    if wanted.uploading is not None:
        members = [m for m in members if (m.estimator is not None) is wanted.uploading]
    if wanted.hungry is not None:
        members = [m for m in members if ((f := m.estimator) is not None and f.hungry) is wanted.hungry]
    if wanted.limited is not None:
        members = [m for m in members if m.ours is wanted.limited]
    if wanted.hash_prefix:
        prefix = wanted.hash_prefix.lower()
        members = [m for m in members if m.torrent.hash.startswith(prefix)]
    members.sort(key=lambda m: m.torrent.hash)  # so that pages do not shift where the key is the same
    members.sort(key=_KEYS[sort], reverse=descending)
    return len(members), members[offset : offset + limit]


def row(registry: TorrentRegistry, member: TorrentState, name: str | None) -> TorrentRow:
    """A torrent as people look at it."""
    torrent, estimator = member.torrent, member.estimator
    rate = estimator.rate if estimator else 0.0
    hungry = estimator is not None and estimator.hungry
    classes = registry.policy.classes
    tracker = classes[member.rule] if member.rule < len(classes) else classes[-1]  # a reload may be at work
    limit = member.current or torrent.up_limit
    why = member.why
    return TorrentRow(
        hash=torrent.hash,
        name=name,
        tracker=tracker.id,
        activity=_ACTIVITY[torrent.activity],
        downloading=torrent.downloading,
        leechers=torrent.leechers,
        rate=rate,
        demand=None if hungry else rate,
        hungry=hungry,
        limit=limit_or_none(limit),
        original=limit_or_none(member.original),
        limited=member.ours,
        managed=registry.manages(torrent.hash),
        reason=_reason(member, why, tracker.name, limit, rate) if isinstance(why, Why) else "",
    )


def _reason(member: TorrentState, why: Why, tracker: str, limit: int, rate: float) -> str:
    words = why.words(tracker=tracker, limit=limit, rate=rate, earlier=member.highest)
    left_s = seconds_left(member) if why is Why.SAVED else math.inf
    return words if math.isinf(left_s) else f"{words}, for at most {math.ceil(left_s)} s more"


def limit_or_none(limit: int) -> int | None:
    """A limit as JSON says it: null is unlimited."""
    return None if limit >= UNLIMITED else limit
