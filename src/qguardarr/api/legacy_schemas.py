"""Answers and bodies of the earlier Qguardarr's endpoints, with their old fields.

There a limit of -1 is unlimited, and `…_mbps` means MiB/s (1,048,576 bytes/s) and not megabit: so it always was.
Fields whose old cause is gone (a cache of matches, scores) say the nearest thing that exists now.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from qguardarr.engine.status import LoginPause


class Health(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Whether caps are held. Without a key only `status`."""

    status: Literal["starting", "healthy", "degraded", "unhealthy"]
    """starting: nothing was read yet. healthy: all is well. degraded: caps are held, but something else is wrong.
    unhealthy: caps cannot be held now."""
    reason: str | None = None
    """What is wrong, in words."""
    troubles: tuple[str, ...] | None = None
    """What else is wrong, though caps are held."""
    login_pause: LoginPause | None = None
    """While qBittorrent refuses the login: when that is tried again."""
    state: str | None = None
    """What the daemon does: starting, waiting (for an address of qBittorrent), holding, observing (dry run), paused or
    failing."""
    uptime_seconds: float | None = None
    """Seconds since the daemon started."""
    version: str | None = None
    """The daemon's version."""
    last_cycle_time: float | None = None
    """When the last cycle ended, Unix seconds."""
    last_cycle_duration: float | None = None
    """How long the last cycle took, seconds."""
    rollout_percentage: int | None = None
    """Part of the torrents that is managed, percent."""
    update_interval: float | None = None
    """Time between two cycles, seconds."""
    dry_run: bool | None = None
    """Everything is decided, nothing is written."""
    active_torrents: int | None = None
    """Number of torrents that upload faster than `active_torrent_threshold_kb`, or want more than their limit."""
    managed_torrents: int | None = None
    """Number of torrents whose limit is ours now."""
    api_calls_last_cycle: int | None = None
    """Number of requests to qBittorrent in the last cycle."""


class Scores(msgspec.Struct, kw_only=True):
    """Torrents by what they do: hungry, content, idle with a limit of ours, all others."""

    high: int
    """Number of active torrents that want more than their limit."""
    medium: int
    """Number of other active torrents."""
    low: int
    """Number of idle torrents with a limit of ours."""
    ignored: int
    """Number of all other torrents."""


class CacheStats(msgspec.Struct, kw_only=True):
    """Kept for old readers: torrents known, and how many of them the catch-all rule took."""

    cache_size: int
    """Number of torrents known."""
    cache_hits: int
    """The same as `cache_size`."""
    cache_misses: int
    """Always 0."""
    hit_rate_percent: float
    """Percent; 100 as soon as a torrent is known."""
    pattern_matches: int
    """Number of torrents that belong to a rule other than the last one."""
    failed_matches: int
    """Number of torrents that the last rule, which catches all, took."""


class Stats(msgspec.Struct, kw_only=True):
    """The daemon in figures, since its start."""

    allocation_cycles: int
    """Number of cycles."""
    api_calls_last_cycle: int
    """Number of requests to qBittorrent in the last cycle: limit-writing calls, and its read."""
    torrents_processed: int
    """Number of torrents known now."""
    limits_applied: int
    """Number of limits changed."""
    errors: int
    """Number of cycles that failed."""
    last_cycle_duration: float
    """How long the last cycle took, seconds."""
    last_cycle_time: float
    """When the last cycle ended, Unix seconds."""
    active_torrents: int
    """Number of torrents that upload faster than `active_torrent_threshold_kb`, or want more than their limit."""
    managed_torrents: int
    """Number of torrents whose limit is ours now."""
    managed_torrent_count: int
    """The same as `managed_torrents`."""
    score_distribution: Scores
    """Torrents by what they do."""
    cache_stats: CacheStats
    """Figures of a cache that is gone, for old readers."""
    estimated_memory_mb: float
    """Resident memory of the daemon, MiB."""
    strategy: str
    """How caps are divided: equal, weighted or soft."""
    dry_run: bool
    """Everything is decided, nothing is written."""


class TrackerStats(msgspec.Struct, kw_only=True):
    """A tracker. Null is unlimited."""

    name: str
    """Name of the rule."""
    configured_limit_mbps: float | None
    """MiB/s, whatever its name says; `configured_limit` has it in bytes/s."""
    priority: int
    """1 … 10; decides who borrows first with the strategy `soft`."""
    active_torrents: int
    """Number of torrents that upload faster than `active_torrent_threshold_kb`, or want more than their limit."""
    current_usage_mbps: float
    """MiB/s, over 10 s; `usage_10s` has it in bytes/s."""
    effective_cap_mbps: float | None
    """MiB/s; `effective_cap` has it in bytes/s."""
    borrowed_mbps: float
    """MiB/s; `borrowed` has it in bytes/s."""
    efficiency_percent: float
    """Usage over 10 s ÷ effective cap, percent, at most 100."""
    configured_limit: int | None
    """Cap in the configuration, bytes/s; null is unlimited."""
    cap: int | None
    """Cap in force, bytes/s: `configured_limit`, or a temporary override; null is unlimited."""
    effective_cap: float | None
    """What it may use now, with what it borrows and without what it pays back, bytes/s; null is unlimited."""
    borrowed: float
    """What other trackers lend it of that, bytes/s."""
    usage_10s: float
    """Mean rate of the last 10 s, bytes/s."""
    usage_60s: float
    """Mean rate of the last 60 s, bytes/s."""
    utilisation: float | None
    """Usage over 60 s ÷ what it may and wants to use, 0 … 1 or a little more; null if nothing is wanted or capped."""
    seconds_over_cap: float
    """Seconds since the start in which the rate over 10 s was above 1.02 × the effective cap."""
    total_torrents: int
    """Number of its torrents."""
    hungry_torrents: int
    """Number of active torrents that want more than their limit."""


class ManagedTorrent(msgspec.Struct, kw_only=True):
    """A torrent whose limit is ours."""

    hash: str
    """qBittorrent's id of the torrent, 40 hex digits."""
    current_limit: int
    """Limit in force, bytes/s; -1 is unlimited."""
    added_at: int | None
    """When a limit was first written, as far as the journal knows, Unix seconds."""
    last_seen: int
    """When it was seen last, Unix seconds: now."""
    age_seconds: int | None
    """Seconds since `added_at`."""


class Managed(msgspec.Struct, kw_only=True):
    """Torrents whose limits are ours, by tracker."""

    generated_at: int
    """When this was put together, Unix seconds."""
    total: int
    """Number of torrents in the list."""
    counts_by_tracker: dict[str, int]
    """Number of torrents, by id of the rule."""
    trackers: dict[str, list[ManagedTorrent]]
    """The torrents, by id of the rule."""


class PreviewTracker(msgspec.Struct, kw_only=True):
    """bytes/s; -1 is unlimited."""

    base_cap: int
    """Cap in force, bytes/s; -1 is unlimited."""
    effective_cap: int
    """What it may use now, with what it borrows and without what it pays back, bytes/s; -1 is unlimited."""
    borrowed: int
    """What other trackers lend it of that, bytes/s."""


class PreviewTrackerSummary(msgspec.Struct, kw_only=True):
    """The same for people; `…_h` in words."""

    id: str
    """Id of the rule."""
    base_cap_mbps: float | None
    """MiB/s; null is unlimited."""
    base_cap_h: str
    """Cap in force, with its unit."""
    effective_cap_mbps: float | None
    """MiB/s; null is unlimited."""
    effective_cap_h: str
    """What it may use now, with its unit."""
    borrowed_mbps: float
    """MiB/s."""
    borrowed_h: str
    """What other trackers lend it, with its unit."""


class PreviewChange(msgspec.Struct, kw_only=True):
    """One of the largest changes."""

    hash: str
    """qBittorrent's id of the torrent, 40 hex digits."""
    new_limit_kib: int
    """New limit, KiB/s; -1 is unlimited."""
    new_limit_h: str
    """The same, with its unit."""
    delta_kib: int | None
    """New limit less the present one, KiB/s; null if one of them is unlimited."""
    delta_h: str | None
    """The same, with its unit."""
    reason: str
    """Why, in words."""


class PreviewSummary(msgspec.Struct, kw_only=True):
    """For people."""

    trackers: list[PreviewTrackerSummary]
    """All trackers."""
    top_changes: list[PreviewChange]
    """The ten largest changes."""


class Preview(msgspec.Struct, kw_only=True):
    """What the next cycle would write."""

    strategy: str
    """How caps are divided: equal, weighted or soft."""
    torrents_considered: int
    """Number of torrents looked at."""
    proposed_count: int
    """Number of limits that would be written."""
    proposed_changes: dict[str, int]
    """New limit by torrent, bytes/s; -1 is unlimited."""
    trackers: dict[str, PreviewTracker]
    """Caps, by id of the rule."""
    summary: PreviewSummary
    """The same in words."""


class MatchQuery(msgspec.Struct, kw_only=True):
    """A URL to try."""

    url: Annotated[str, Meta(max_length=4096)]
    """Announce URL."""
    detailed: bool = False
    """Also say which patterns match."""


class PatternMatch(msgspec.Struct, kw_only=True):
    """A rule, and whether it matches by itself."""

    tracker_id: str
    """Id of the rule."""
    pattern: str
    """Its regular expression."""
    matches: bool
    """Whether the expression by itself is found in the URL."""


class Match(msgspec.Struct, kw_only=True):
    """The rule of a URL."""

    url: str
    """Host only: the rest of an announce URL is a secret."""
    matched_tracker: str
    """Id of the rule that takes the URL."""
    matches: list[PatternMatch]
    """All rules, with `detailed`; else none."""


class Reloaded(msgspec.Struct, kw_only=True):
    """The configuration file was read again."""

    status: Literal["reloaded"]
    """The configuration was read and is in force."""
    rollout_percentage: int
    """Part of the torrents that is managed, percent."""
    strategy: str
    """How caps are divided: equal, weighted or soft."""


class Forced(msgspec.Struct, kw_only=True):
    """A cycle that was run at once."""

    status: Literal["completed", "failed"]
    """Whether the cycle did its work."""
    duration_seconds: float
    """How long this took, waiting for a cycle under way included, seconds."""
    timestamp: float
    """When it ended, Unix seconds."""
    problem: str = ""
    """Why it failed; empty if it did not."""


class RolloutBody(msgspec.Struct, kw_only=True):
    """Which part of the torrents to manage."""

    percentage: Annotated[float, Meta(ge=1, le=100, multiple_of=1)]
    """Part of the torrents to manage, percent: a whole number; `50.0` is one, too."""


class Rollout(msgspec.Struct, kw_only=True):
    """Another part of the torrents is managed."""

    status: Literal["updated"]
    """It is in force."""
    rollout_percentage: int
    """Part of the torrents that is managed now, percent."""
    timestamp: float
    """When it was changed, Unix seconds."""


Confirm = Annotated[bool, Meta(extra_json_schema={"const": True})]


class RollbackBody(msgspec.Struct, kw_only=True):
    """What a rollback asks for."""

    confirm: Confirm
    """Must be true, so that nobody does this by accident."""
    reason: Annotated[str, Meta(max_length=200)] = "rolled back"
    """Why; shown while the guard is paused. Line ends and control characters become spaces."""


class RolledBack(msgspec.Struct, kw_only=True):
    """What a rollback did. The guard is paused until `POST /api/v1/resume`."""

    status: Literal["completed", "incomplete"]
    """`incomplete`: some could not be restored; they stay noted for the next attempt."""
    changes_reversed: int
    """Number of torrents whose original limit was written back."""
    already_original: int
    """Number of torrents that had their original limit already."""
    set_by_hand: int
    """Number of torrents whose limit a person changed meanwhile; left so."""
    gone: int
    """Number of torrents that qBittorrent does not have any more."""
    failed: int
    """Number of torrents that could not be restored."""
    duration_seconds: float
    """How long this took, seconds."""
    reason: str
    """Why, as it was noted."""
    timestamp: float
    """When it ended, Unix seconds."""


class ResetBody(msgspec.Struct, kw_only=True):
    """What a reset asks for."""

    confirm: Confirm
    """Must be true, so that nobody does this by accident."""
    scope: Literal["unrestored", "all"] = "unrestored"
    """The same now: what is restored already needs nothing."""
    mark_restored: bool = True
    """The same now: what is verified is always marked."""


class Reset(msgspec.Struct, kw_only=True):
    """Originals are back; the next cycle decides anew."""

    status: Literal["ok", "incomplete"]
    """`incomplete`: some could not be restored; they stay noted for the next attempt."""
    count: int
    """Number of torrents that have their original limit."""
    failed: int
    """Number of torrents that could not be restored."""
    mode: Literal["real"]
    """Limits were really written."""


class SmoothingBody(msgspec.Struct, kw_only=True):
    """Which trackers to forget this of; one of the fields has to be given."""

    tracker_id: str | None = None
    """Id of a rule. Default: all trackers."""
    all: bool = False
    """All trackers, whatever `tracker_id` says."""


class Smoothing(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What became of what trackers borrow."""

    status: Literal["ok"]
    """It is done."""
    cleared_count: int
    """Number of trackers that had borrowed something."""
    tracker: str
    """Id of the rule, or `all`."""
    strategy: str
    """How caps are divided: equal, weighted or soft."""
    timestamp: float
    """When it was done, Unix seconds."""
    message: str | None = None
    """Why there was nothing to do; absent if there was."""


class Root(msgspec.Struct, kw_only=True):
    """What this is."""

    name: str
    """Always `Qguardarr`."""
    version: str
    """The daemon's version."""
    description: str
    """What the program does, in one sentence."""
    status: str
    """As in `/health`: starting, healthy, degraded or unhealthy."""
    endpoints: dict[str, str]
    """Paths of the most useful calls, by name."""
    next_step: str
    """What a person has to do next until caps are held, in words; empty if there is nothing left to set up."""
