"""What the earlier Qguardarr told, under the old paths, with the old meaning. Its commands: `legacy_commands`."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from typing import Any, Final

import msgspec
from starlette.responses import Response, StreamingResponse

from qguardarr import __version__
from qguardarr.api import examples
from qguardarr.api.endpoint import Call, Endpoint, json_response
from qguardarr.api.legacy_schemas import (
    CacheStats,
    Health,
    Managed,
    ManagedTorrent,
    Match,
    MatchQuery,
    PatternMatch,
    Preview,
    PreviewChange,
    PreviewSummary,
    PreviewTracker,
    PreviewTrackerSummary,
    Root,
    Scores,
    Stats,
    TrackerStats,
)
from qguardarr.api.pages import landing
from qguardarr.api.parts import ApiContext
from qguardarr.api.problems import invalid
from qguardarr.core.model import UNLIMITED, Change
from qguardarr.core.reconcile.decide import Decision
from qguardarr.core.select.matcher import host_of
from qguardarr.core.units import format_speed
from qguardarr.engine.health import health
from qguardarr.engine.status import TrackerRow
from qguardarr.engine.torrent_list import LimitedTorrent

_MIB: Final = 2**20
_TOP: Final = 10
_CHUNK: Final = 500
TAG: Final = "Paths of the earlier Qguardarr"


def get_health(parts: ApiContext, call: Call) -> Response:
    """503 while caps cannot be held."""
    status = parts.status()
    found = health(status, time.time())
    code = 200 if found.ready else 503
    if call.identity is None:
        return json_response(Health(status=found.status), code)
    active = sum(row.active for row in status.trackers)
    shown = Health(
        status=found.status,
        reason=found.reason or None,
        troubles=found.troubles or None,
        login_pause=status.login_pause,
        state=status.state,
        uptime_seconds=round(time.time() - status.started_at, 1),
        version=__version__,
        last_cycle_time=status.at,
        last_cycle_duration=status.cycle_s,
        rollout_percentage=status.rollout_percentage,
        update_interval=status.interval_s,
        dry_run=status.dry_run,
        active_torrents=active,
        managed_torrents=status.limited,
        api_calls_last_cycle=status.cycle_calls,
    )
    return json_response(shown, code)


def get_live(parts: ApiContext, _call: Call) -> Health:
    """The process answers: that is all."""
    return Health(status=health(parts.status(), time.time()).status)


def get_ready(parts: ApiContext, _call: Call) -> Response:
    """As `/health`, never with details."""
    found = health(parts.status(), time.time())
    return json_response(Health(status=found.status), 200 if found.ready else 503)


def get_stats(parts: ApiContext, _call: Call) -> Stats:
    status = parts.status()
    active = sum(row.active for row in status.trackers)
    hungry = sum(row.hungry for row in status.trackers)
    catch_all = status.trackers[-1].torrents if status.trackers else 0
    return Stats(
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
            cache_hits=status.torrents,
            cache_misses=0,
            hit_rate_percent=100.0 if status.torrents else 0.0,
            pattern_matches=status.torrents - catch_all,
            failed_matches=catch_all,
        ),
        estimated_memory_mb=_resident_mib(),
        strategy=status.strategy,
        dry_run=status.dry_run,
    )


def get_tracker_stats(parts: ApiContext, _call: Call) -> dict[str, TrackerStats]:
    return {row.id: _tracker(row) for row in parts.status().trackers}


def _tracker(row: TrackerRow) -> TrackerStats:
    return TrackerStats(
        name=row.name,
        configured_limit_mbps=_mib(row.configured),
        priority=row.priority,
        active_torrents=row.active,
        current_usage_mbps=_mib(row.rate_10s) or 0.0,
        effective_cap_mbps=_mib(row.effective),
        borrowed_mbps=_mib(row.borrowed) or 0.0,
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


def get_managed(parts: ApiContext, _call: Call) -> Response:
    """Sent piece by piece: with 30,000 torrents it is some megabytes."""
    pieces = _managed(parts, parts.torrents.limited(), int(time.time()))
    return StreamingResponse(pieces, media_type="application/json")


def _managed(parts: ApiContext, limited: dict[str, list[LimitedTorrent]], now: int) -> Iterator[bytes]:
    counts = {rule: len(torrents) for rule, torrents in limited.items()}
    head = Managed(generated_at=now, total=sum(counts.values()), counts_by_tracker=counts, trackers={})
    yield msgspec.json.encode(head).removesuffix(b"}}")
    for number, (rule, torrents) in enumerate(limited.items()):
        yield (b"," if number else b"") + msgspec.json.encode(rule) + b":["
        for start in range(0, len(torrents), _CHUNK):
            chunk = torrents[start : start + _CHUNK]
            since = parts.journal.touched_at([torrent.hash for torrent in chunk])
            rows = [_managed_row(torrent, since.get(torrent.hash), now) for torrent in chunk]
            yield (b"," if start else b"") + msgspec.json.encode(rows)[1:-1]
        yield b"]"
    yield b"}}"


def _managed_row(torrent: LimitedTorrent, since: float | None, now: int) -> ManagedTorrent:
    return ManagedTorrent(
        hash=torrent.hash,
        current_limit=_old(torrent.limit),
        added_at=None if since is None else int(since),
        last_seen=now,
        age_seconds=None if since is None else max(0, now - int(since)),
    )


def get_preview(parts: ApiContext, _call: Call) -> Preview:
    decision = parts.commands.preview()
    changes = decision.plan.changes
    return Preview(
        strategy=parts.status().strategy,
        torrents_considered=sum(report.torrents for report in decision.trackers),
        proposed_count=len(changes),
        proposed_changes={change.hash: _old(change.new) for change in changes},
        trackers={
            r.id: PreviewTracker(base_cap=_old(r.cap), effective_cap=_old(r.effective), borrowed=int(r.borrowed))
            for r in decision.trackers
        },
        summary=PreviewSummary(trackers=_summary(decision), top_changes=_top(decision)),
    )


def _summary(decision: Decision) -> list[PreviewTrackerSummary]:
    return [
        PreviewTrackerSummary(
            id=report.id,
            base_cap_mbps=_mib(report.cap),
            base_cap_h=_words(report.cap),
            effective_cap_mbps=_mib(report.effective),
            effective_cap_h=_words(report.effective),
            borrowed_mbps=_mib(report.borrowed) or 0.0,
            borrowed_h=_words(report.borrowed),
        )
        for report in decision.trackers
    ]


def _top(decision: Decision) -> list[PreviewChange]:
    def size(change: Change) -> int:
        return abs(min(change.new, 10**9) - min(change.old, 10**9))

    return [
        PreviewChange(
            hash=change.hash,
            new_limit_kib=-1 if change.new >= UNLIMITED else change.new // 1024,
            new_limit_h=_words(change.new),
            delta_kib=(delta := None if UNLIMITED in (change.new, change.old) else (change.new - change.old) // 1024),
            delta_h=None if delta is None else f"{delta} KiB/s",
            reason=change.reason,
        )
        for change in sorted(decision.plan.changes, key=size, reverse=True)[:_TOP]
    ]


def get_match(parts: ApiContext, call: Call) -> Match:
    query = call.query
    host = host_of(query.url)
    if not host:
        raise invalid("not an announce URL such as https://tracker.example.org/announce", "query", "url")
    found = parts.torrents.match(query.url)
    return Match(
        url=f"{query.url.partition('://')[0].strip().lower()}://{host}/…",
        matched_tracker=next(rule.id for rule, matches in found if matches),
        matches=[
            PatternMatch(tracker_id=rule.id, pattern=rule.pattern, matches=matches)
            for rule, matches in found
            if query.detailed
        ],
    )


def get_config(parts: ApiContext, _call: Call) -> Response:
    shown = msgspec.json.decode(parts.configuration(), type=dict[str, msgspec.Raw])
    old = {"global_settings": shown["global"]} if "global" in shown else {}  # as the earlier Qguardarr called it
    return json_response(shown | old)


def get_landing(parts: ApiContext, _call: Call) -> Response:
    """What a browser is shown."""
    status = parts.status()
    path = status.config_path
    return landing(
        parts.settings.base_path,
        health(status, time.time()).status,
        asks_for_key=not parts.settings.open,
        next_step=status.next_step.replace(path, path.rpartition("/")[2]),  # the folder is nobody's business
    )


def get_root(parts: ApiContext, call: Call) -> Root:
    base, status = call.request.scope.get("root_path", ""), parts.status()
    names = ("health", "stats", "stats/trackers", "stats/managed", "config", "metrics", "docs", "api/v1/torrents")
    return Root(
        name="Qguardarr",
        version=__version__,
        description="Gives each tracker one shared upload cap in qBittorrent, and holds it.",
        status=health(status, time.time()).status,
        endpoints={name.replace("/", "_"): f"{base}/{name}" for name in names},
        next_step=status.next_step,
    )


# -- units of old -----------------------------------------------------------------------------------------------------


def _old(limit: float) -> int:
    return -1 if limit >= UNLIMITED else int(limit)


def _mib(rate: float | None) -> float | None:
    return None if rate is None or not math.isfinite(rate) or rate >= UNLIMITED else round(rate / _MIB, 2)


def _words(rate: float) -> str:
    return "unlimited" if rate >= UNLIMITED else format_speed(int(rate))


def _resident_mib() -> float:
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 # not a file of ours
        return round(int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / _MIB, 1)


ENDPOINTS: Final = (
    Endpoint(
        method="GET", path="/", handler=get_root, summary="What this is", tag=TAG, answer=Root, page=get_landing,
        description="Browsers get a page, without a key.", example=examples.ROOT,
    ),
    Endpoint(
        method="GET", path="/health", handler=get_health, summary="Are caps held?", tag=TAG, answer=Health,
        description="200 while caps are held (or deliberately not: paused, dry run), 503 while they cannot be. "
        "Details only with a key or a session.",
        more_statuses={503: "Caps cannot be held now."}, more_examples={503: examples.UNHEALTHY}, access="optional",
        example=examples.HEALTH,
    ),
    Endpoint(
        method="GET", path="/health/live", handler=get_live, summary="Does the process answer?", tag=TAG,
        answer=Health, access="open", example=examples.PLAIN_HEALTH,
    ),
    Endpoint(
        method="GET", path="/health/ready", handler=get_ready, summary="Are caps held? Without details", tag=TAG,
        answer=Health, more_statuses={503: "Caps cannot be held now."},
        more_examples={503: examples.PLAIN_UNHEALTHY}, access="open", example=examples.PLAIN_HEALTH,
    ),
    Endpoint(
        method="GET", path="/config", handler=get_config, summary="The configuration in force, secrets masked",
        tag=TAG, answer=dict[str, Any], example=examples.CONFIG,
    ),
    Endpoint(
        method="GET", path="/stats", handler=get_stats, summary="The daemon in figures", tag=TAG, answer=Stats,
        example=examples.STATS,
    ),
    Endpoint(
        method="GET", path="/stats/trackers", handler=get_tracker_stats, summary="Trackers: caps and usage", tag=TAG,
        answer=dict[str, TrackerStats], example=examples.TRACKER_STATS,
    ),
    Endpoint(
        method="GET", path="/stats/managed", handler=get_managed, summary="Torrents whose limit is ours", tag=TAG,
        answer=Managed, blocking=True, example=examples.MANAGED,
    ),
    Endpoint(
        method="GET", path="/preview/next-cycle", handler=get_preview, summary="What the next cycle would write",
        tag=TAG, answer=Preview, blocking=True, slow=True, problems=(502,), example=examples.PREVIEW,
    ),
    Endpoint(
        method="GET", path="/match/test", handler=get_match, summary="Which rule takes an announce URL", tag=TAG,
        answer=Match, query_type=MatchQuery, example=examples.MATCH,
    ),
)  # fmt: skip
