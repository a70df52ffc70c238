"""Figures of the daemon, of its trackers, and the torrents that it limits."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from typing import Any, Final

import msgspec
from fastapi import APIRouter, Depends
from starlette.responses import StreamingResponse

from qguardarr.api.bodies import JsonResponse, answers
from qguardarr.api.dependencies import ApiContext, Context, caller
from qguardarr.core.model import UNLIMITED
from qguardarr.core.units import limit_or_minus_one
from qguardarr.engine.status import TrackerRow
from qguardarr.engine.torrent_list import LimitedTorrent

router = APIRouter(prefix="/stats", tags=["Paths of the earlier Qguardarr"], dependencies=[Depends(caller)])

MIB: Final = 2**20
_CHUNK: Final = 500
"""Torrents that are read from the journal, and sent, at a time."""


def mib(rate: float | None) -> float | None:
    """Return a rate in MiB/s, to two decimals; None if it has no bound."""
    return None if rate is None or not math.isfinite(rate) or rate >= UNLIMITED else round(rate / MIB, 2)


@router.get("", summary="The daemon in figures", responses=answers("Stats"))
async def get_stats(context: Context) -> JsonResponse:
    status = context.status()
    active = sum(row.active for row in status.trackers)
    hungry = sum(row.hungry for row in status.trackers)
    catch_all = status.trackers[-1].torrents if status.trackers else 0
    return JsonResponse(
        {
            "allocation_cycles": status.cycle,
            "api_calls_last_cycle": status.cycle_calls,
            "torrents_processed": status.torrents,
            "limits_applied": status.written_limits,
            "errors": status.failed_cycles,
            "last_cycle_duration": status.cycle_s,
            "last_cycle_time": status.at,
            "active_torrents": active,
            "managed_torrents": status.limited,
            "managed_torrent_count": status.limited,
            "score_distribution": {
                "high": hungry,
                "medium": max(0, active - hungry),
                "low": max(0, status.limited - active),
                "ignored": max(0, status.torrents - max(active, status.limited)),
            },
            "cache_stats": {
                "cache_size": status.torrents,
                "cache_hits": None,
                "cache_misses": None,
                "hit_rate_percent": None,
                "pattern_matches": status.torrents - catch_all,
                "failed_matches": catch_all,
            },
            "estimated_memory_mb": _resident_mib(),
            "strategy": status.strategy,
            "dry_run": status.dry_run,
        }
    )


@router.get("/trackers", summary="Trackers: caps and usage", responses=answers("TrackerStatsById"))
async def get_tracker_stats(context: Context) -> JsonResponse:
    return JsonResponse({row.id: _tracker(row) for row in context.status().trackers})


@router.get("/managed", summary="Torrents whose limit is ours", responses=answers("Managed"))
def get_managed(context: Context) -> StreamingResponse:
    """Answer piece by piece: with 30,000 torrents it is some megabytes."""
    pieces = _managed(context, context.torrents.limited(), int(time.time()))
    return StreamingResponse(pieces, media_type="application/json")


def _tracker(row: TrackerRow) -> dict[str, Any]:
    return {
        "name": row.name,
        "configured_limit_mbps": mib(row.configured),
        "priority": row.priority,
        "active_torrents": row.active,
        "current_usage_mbps": mib(row.rate_10s) or 0.0,
        "effective_cap_mbps": mib(row.effective),
        "borrowed_mbps": mib(row.borrowed) or 0.0,
        "efficiency_percent": round(min(100.0, 100 * row.rate_10s / row.effective), 1) if row.effective else 0.0,
        "configured_limit": row.configured,
        "cap": row.cap,
        "effective_cap": row.effective,
        "borrowed": row.borrowed,
        "usage_10s": row.rate_10s,
        "usage_60s": row.rate_60s,
        "utilisation": row.utilisation,
        "seconds_over_cap": row.over_cap_s,
        "total_torrents": row.torrents,
        "hungry_torrents": row.hungry,
    }


def _managed(context: ApiContext, limited: dict[str, list[LimitedTorrent]], now: int) -> Iterator[bytes]:
    counts = {rule: len(torrents) for rule, torrents in limited.items()}
    head = {"generated_at": now, "total": sum(counts.values()), "counts_by_tracker": counts, "trackers": {}}
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


def _managed_row(torrent: LimitedTorrent, since: float | None, now: int) -> dict[str, Any]:
    return {
        "hash": torrent.hash,
        "current_limit": limit_or_minus_one(torrent.limit),
        "added_at": None if since is None else int(since),
        "last_seen": now,
        "age_seconds": None if since is None else max(0, now - int(since)),
    }


def _resident_mib() -> float:
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 # not a file of ours
        return round(int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / MIB, 1)
