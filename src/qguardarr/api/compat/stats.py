"""Figures of the daemon, of its trackers, and the torrents that it limits."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Final

import msgspec
from fastapi import APIRouter, Depends
from starlette.responses import StreamingResponse

from qguardarr.api.answers import JsonResponse, answers
from qguardarr.api.compat.units import MIB, mib, old_limit
from qguardarr.api.parts import ApiContext
from qguardarr.api.security.dependencies import Context, caller
from qguardarr.engine.status import TrackerRow
from qguardarr.engine.torrent_list import LimitedTorrent

router = APIRouter(prefix="/stats", tags=["Paths of the earlier Qguardarr"], dependencies=[Depends(caller)])

_CHUNK: Final = 500
"""Torrents that are read from the journal, and sent, at a time."""


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
    """Kept for old readers. There is no cache any more: what only a cache has is null."""

    cache_size: int
    """Number of torrents known."""
    cache_hits: int | None = None
    """Always null."""
    cache_misses: int | None = None
    """Always null."""
    hit_rate_percent: float | None = None
    """Percent; always null."""
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


@router.get("", summary="The daemon in figures", responses=answers(Stats))
async def get_stats(context: Context) -> JsonResponse:
    status = context.status()
    active = sum(row.active for row in status.trackers)
    hungry = sum(row.hungry for row in status.trackers)
    catch_all = status.trackers[-1].torrents if status.trackers else 0
    return JsonResponse(
        Stats(
            allocation_cycles=status.cycle,
            api_calls_last_cycle=status.cycle_calls,
            torrents_processed=status.torrents,
            limits_applied=status.written_limits,
            errors=status.failed_cycles,
            last_cycle_duration=status.cycle_s,
            last_cycle_time=status.at,
            active_torrents=active,
            managed_torrents=status.limited,
            managed_torrent_count=status.limited,
            score_distribution=Scores(
                high=hungry,
                medium=max(0, active - hungry),
                low=max(0, status.limited - active),
                ignored=max(0, status.torrents - max(active, status.limited)),
            ),
            cache_stats=CacheStats(
                cache_size=status.torrents,
                pattern_matches=status.torrents - catch_all,
                failed_matches=catch_all,
            ),
            estimated_memory_mb=_resident_mib(),
            strategy=status.strategy,
            dry_run=status.dry_run,
        )
    )


@router.get("/trackers", summary="Trackers: caps and usage", responses=answers(dict[str, TrackerStats]))
async def get_tracker_stats(context: Context) -> JsonResponse:
    return JsonResponse({row.id: _tracker(row) for row in context.status().trackers})


@router.get("/managed", summary="Torrents whose limit is ours", responses=answers(Managed))
def get_managed(context: Context) -> StreamingResponse:
    """Sent piece by piece: with 30,000 torrents it is some megabytes."""
    pieces = _managed(context, context.torrents.limited(), int(time.time()))
    return StreamingResponse(pieces, media_type="application/json")


def _tracker(row: TrackerRow) -> TrackerStats:
    return TrackerStats(
        name=row.name,
        configured_limit_mbps=mib(row.configured),
        priority=row.priority,
        active_torrents=row.active,
        current_usage_mbps=mib(row.rate_10s) or 0.0,
        effective_cap_mbps=mib(row.effective),
        borrowed_mbps=mib(row.borrowed) or 0.0,
        efficiency_percent=round(min(100.0, 100 * row.rate_10s / row.effective), 1) if row.effective else 0.0,
        configured_limit=row.configured,
        cap=row.cap,
        effective_cap=row.effective,
        borrowed=row.borrowed,
        usage_10s=row.rate_10s,
        usage_60s=row.rate_60s,
        utilisation=row.utilisation,
        seconds_over_cap=row.over_cap_s,
        total_torrents=row.torrents,
        hungry_torrents=row.hungry,
    )


def _managed(context: ApiContext, limited: dict[str, list[LimitedTorrent]], now: int) -> Iterator[bytes]:
    counts = {rule: len(torrents) for rule, torrents in limited.items()}
    head = Managed(generated_at=now, total=sum(counts.values()), counts_by_tracker=counts, trackers={})
    yield msgspec.json.encode(head).removesuffix(b"}}")
    for number, (rule, torrents) in enumerate(limited.items()):
        yield (b"," if number else b"") + msgspec.json.encode(rule) + b":["
        for start in range(0, len(torrents), _CHUNK):
            chunk = torrents[start : start + _CHUNK]
            since = context.journal.touched_at([torrent.hash for torrent in chunk])
            rows = [_managed_row(torrent, since.get(torrent.hash), now) for torrent in chunk]
            yield (b"," if start else b"") + msgspec.json.encode(rows)[1:-1]
        yield b"]"
    yield b"}}"


def _managed_row(torrent: LimitedTorrent, since: float | None, now: int) -> ManagedTorrent:
    return ManagedTorrent(
        hash=torrent.hash,
        current_limit=old_limit(torrent.limit),
        added_at=None if since is None else int(since),
        last_seen=now,
        age_seconds=None if since is None else max(0, now - int(since)),
    )


def _resident_mib() -> float:
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 # not a file of ours
        return round(int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / MIB, 1)
