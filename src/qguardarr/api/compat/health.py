"""Health, as probes and container engines ask for it."""

from __future__ import annotations

import time
from typing import Final, Literal

import msgspec
from fastapi import APIRouter, Depends

from qguardarr import __version__
from qguardarr.api.answers import JsonResponse, answers
from qguardarr.api.security.dependencies import CallerIfKnown, Context, anybody
from qguardarr.engine.health import health
from qguardarr.engine.status import LoginPause

router = APIRouter(tags=["Paths of the earlier Qguardarr"])

_UNHEALTHY: Final = {503: "Caps cannot be held now."}


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


@router.get(
    "/health",
    summary="Are caps held?",
    description="200 while caps are held (or deliberately not: paused, dry run), 503 while they cannot be. Details "
    "only with a key or a session.",
    responses=answers(Health, also=_UNHEALTHY),
)
async def get_health(context: Context, who: CallerIfKnown) -> JsonResponse:
    status = context.status()
    found = health(status, time.time())
    code = 200 if found.ready else 503
    if who is None:
        return JsonResponse(Health(status=found.status), code)
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
    return JsonResponse(shown, code)


@router.get(
    "/health/live",
    summary="Does the process answer?",
    dependencies=[Depends(anybody)],
    responses=answers(Health),
)
async def get_live(context: Context) -> JsonResponse:
    return JsonResponse(Health(status=health(context.status(), time.time()).status))


@router.get(
    "/health/ready",
    summary="Are caps held? Without details",
    dependencies=[Depends(anybody)],
    responses=answers(Health, also=_UNHEALTHY),
)
async def get_ready(context: Context) -> JsonResponse:
    found = health(context.status(), time.time())
    return JsonResponse(Health(status=found.status), 200 if found.ready else 503)
