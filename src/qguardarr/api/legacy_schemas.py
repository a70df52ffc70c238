"""Answers and bodies of the earlier Qguardarr's endpoints, with their old fields.

There a limit of -1 is unlimited, and `…_mbps` means MiB/s (1,048,576 bytes/s) and not megabit: so it always was.
Fields whose old cause is gone (a cache of matches, scores) say the nearest thing that exists now.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta


class Health(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Whether caps are held. Without a key only `status`."""

    status: Literal["starting", "healthy", "degraded", "unhealthy"]
    reason: str | None = None
    """What is wrong, in words."""
    troubles: tuple[str, ...] | None = None
    """What else is wrong, though caps are held."""
    state: str | None = None
    """starting, holding, observing, paused or failing."""
    uptime_seconds: float | None = None
    version: str | None = None
    last_cycle_time: float | None = None
    last_cycle_duration: float | None = None
    rollout_percentage: int | None = None
    update_interval: float | None = None
    dry_run: bool | None = None
    active_torrents: int | None = None
    managed_torrents: int | None = None
    """Torrents whose limit is ours now."""
    api_calls_last_cycle: int | None = None


class Scores(msgspec.Struct, kw_only=True):
    """Torrents by what they do: hungry, content, idle with a limit of ours, all others."""

    high: int
    medium: int
    low: int
    ignored: int


class CacheStats(msgspec.Struct, kw_only=True):
    """Kept for old readers: torrents known, and how many of them the catch-all rule took."""

    cache_size: int
    cache_hits: int
    cache_misses: int
    hit_rate_percent: float
    pattern_matches: int
    failed_matches: int


class Stats(msgspec.Struct, kw_only=True):
    """The daemon in figures, since its start."""

    allocation_cycles: int
    api_calls_last_cycle: int
    """Limit-writing calls of the last cycle, and its read."""
    torrents_processed: int
    limits_applied: int
    errors: int
    """Cycles that failed."""
    last_cycle_duration: float
    last_cycle_time: float
    active_torrents: int
    managed_torrents: int
    managed_torrent_count: int
    score_distribution: Scores
    cache_stats: CacheStats
    estimated_memory_mb: float
    """Resident memory of the daemon, MiB."""
    strategy: str
    dry_run: bool


class TrackerStats(msgspec.Struct, kw_only=True):
    """A tracker. Null is unlimited."""

    name: str
    configured_limit_mbps: float | None
    """MiB/s, whatever its name says; `configured_limit` has it in bytes/s."""
    priority: int
    active_torrents: int
    current_usage_mbps: float
    """MiB/s, over 10 s; `usage_10s` has it in bytes/s."""
    effective_cap_mbps: float | None
    """MiB/s; `effective_cap` has it in bytes/s."""
    borrowed_mbps: float
    """MiB/s; `borrowed` has it in bytes/s."""
    efficiency_percent: float
    """Usage ÷ effective cap, at most 100."""
    configured_limit: int | None
    """bytes/s, as all that follow."""
    cap: int | None
    """In force: `configured_limit`, or a temporary override."""
    effective_cap: float | None
    borrowed: float
    usage_10s: float
    usage_60s: float
    utilisation: float | None
    """Usage over 60 s ÷ what it may and wants to use; null if nothing is wanted or capped."""
    seconds_over_cap: float
    total_torrents: int
    hungry_torrents: int


class ManagedTorrent(msgspec.Struct, kw_only=True):
    """A torrent whose limit is ours."""

    hash: str
    current_limit: int
    """bytes/s; -1 is unlimited."""
    added_at: int | None
    """When a limit was first written, as far as the journal knows; Unix seconds."""
    last_seen: int
    age_seconds: int | None


class Managed(msgspec.Struct, kw_only=True):
    """Torrents whose limits are ours, by tracker."""

    generated_at: int
    total: int
    counts_by_tracker: dict[str, int]
    trackers: dict[str, list[ManagedTorrent]]


class PreviewTracker(msgspec.Struct, kw_only=True):
    """bytes/s; -1 is unlimited."""

    base_cap: int
    effective_cap: int
    borrowed: int


class PreviewTrackerSummary(msgspec.Struct, kw_only=True):
    """The same for people; `…_h` in words."""

    id: str
    base_cap_mbps: float | None
    """MiB/s; null is unlimited."""
    base_cap_h: str
    effective_cap_mbps: float | None
    """MiB/s; null is unlimited."""
    effective_cap_h: str
    borrowed_mbps: float
    """MiB/s."""
    borrowed_h: str


class PreviewChange(msgspec.Struct, kw_only=True):
    """One of the largest changes."""

    hash: str
    new_limit_kib: int
    """KiB/s; -1 is unlimited."""
    new_limit_h: str
    delta_kib: int | None
    """KiB/s; null from or to unlimited."""
    delta_h: str | None
    reason: str


class PreviewSummary(msgspec.Struct, kw_only=True):
    """For people."""

    trackers: list[PreviewTrackerSummary]
    top_changes: list[PreviewChange]


class Preview(msgspec.Struct, kw_only=True):
    """What the next cycle would write."""

    strategy: str
    torrents_considered: int
    proposed_count: int
    proposed_changes: dict[str, int]
    """New limit by torrent, bytes/s; -1 is unlimited."""
    trackers: dict[str, PreviewTracker]
    summary: PreviewSummary


class MatchQuery(msgspec.Struct, kw_only=True):
    """A URL to try."""

    url: Annotated[str, Meta(max_length=4096)]
    """Announce URL."""
    detailed: bool = False
    """Also say which patterns match."""


class PatternMatch(msgspec.Struct, kw_only=True):
    """A rule, and whether it matches by itself."""

    tracker_id: str
    pattern: str
    matches: bool


class Match(msgspec.Struct, kw_only=True):
    """The rule of a URL."""

    url: str
    """Host only: the rest of an announce URL is a secret."""
    matched_tracker: str
    matches: list[PatternMatch]


class Reloaded(msgspec.Struct, kw_only=True):
    status: Literal["reloaded"]
    rollout_percentage: int
    strategy: str


class Forced(msgspec.Struct, kw_only=True):
    """A cycle that was run at once."""

    status: Literal["completed", "failed"]
    duration_seconds: float
    timestamp: float
    problem: str = ""
    """Why it failed; empty if it did not."""


class RolloutBody(msgspec.Struct, kw_only=True):
    percentage: Annotated[float, Meta(ge=1, le=100, multiple_of=1)]
    """A whole number; `50.0` is one, too."""


class Rollout(msgspec.Struct, kw_only=True):
    status: Literal["updated"]
    rollout_percentage: int
    timestamp: float


Confirm = Annotated[bool, Meta(extra_json_schema={"const": True})]


class RollbackBody(msgspec.Struct, kw_only=True):
    confirm: Confirm
    """Must be true, so that nobody does this by accident."""
    reason: Annotated[str, Meta(max_length=200)] = "rolled back"
    """Why; shown while the guard is paused."""


class RolledBack(msgspec.Struct, kw_only=True):
    """What a rollback did. The guard is paused until `POST /api/v1/resume`."""

    status: Literal["completed", "incomplete"]
    """`incomplete`: some could not be restored; they stay noted for the next attempt."""
    changes_reversed: int
    already_original: int
    set_by_hand: int
    """Changed by a person meanwhile, and left so."""
    gone: int
    failed: int
    duration_seconds: float
    reason: str
    timestamp: float


class ResetBody(msgspec.Struct, kw_only=True):
    confirm: Confirm
    """Must be true, so that nobody does this by accident."""
    scope: Literal["unrestored", "all"] = "unrestored"
    """The same now: what is restored already needs nothing."""
    mark_restored: bool = True
    """The same now: what is verified is always marked."""


class Reset(msgspec.Struct, kw_only=True):
    """Originals are back; the next cycle decides anew."""

    status: Literal["ok", "incomplete"]
    count: int
    failed: int
    mode: Literal["real"]


class SmoothingBody(msgspec.Struct, kw_only=True):
    tracker_id: str | None = None
    """Default: all trackers."""
    all: bool = False


class Smoothing(msgspec.Struct, kw_only=True, omit_defaults=True):
    status: Literal["ok"]
    cleared_count: int
    tracker: str
    strategy: str
    timestamp: float
    message: str | None = None


class Root(msgspec.Struct, kw_only=True):
    name: str
    version: str
    description: str
    status: str
    endpoints: dict[str, str]
