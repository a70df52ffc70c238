"""The landing page, health as container engines ask for it, and the configuration as it was shown."""

from __future__ import annotations

import time
from typing import Any, Final

import msgspec
from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from qguardarr import __version__
from qguardarr.api.bodies import JsonResponse, answers
from qguardarr.api.dependencies import CallerIfKnown, Context, anybody, caller
from qguardarr.api.web.pages import landing, wants_page
from qguardarr.engine.health import health

router = APIRouter(tags=["Paths of the earlier Qguardarr"])

_UNHEALTHY: Final = {503: "Caps cannot be held now."}


@router.get(
    "/",
    summary="What this is",
    description="Browsers get a page, without a key.",
    responses=answers("Root", problems=(401, 403)),
)
async def get_root(request: Request, context: Context) -> Response:
    status = context.status()
    state = health(status, time.time()).status
    if wants_page(request):
        path = status.config_path
        return landing(
            context.settings.base_path,
            state,
            asks_for_key=not context.settings.open,
            next_step=status.next_step.replace(path, path.rpartition("/")[2]),  # the folder is nobody's business
        )
    await caller(request, context)
    base = request.scope.get("root_path", "")
    names = ("health", "stats", "stats/trackers", "stats/managed", "config", "metrics", "docs", "api/v1/torrents")
    return JsonResponse(
        {
            "name": "Qguardarr",
            "version": __version__,
            "description": "Gives each tracker one shared upload cap in qBittorrent, and holds it.",
            "status": state,
            "endpoints": {name.replace("/", "_"): f"{base}/{name}" for name in names},
            "next_step": status.next_step,
        }
    )


@router.get(
    "/health",
    summary="Are caps held?",
    description="200 while caps are held (or deliberately not: paused, dry run), 503 while they cannot be. Details "
    "only with a key or a session.",
    responses=answers("Health", also=_UNHEALTHY),
)
async def get_health(context: Context, who: CallerIfKnown) -> JsonResponse:
    status, now = context.status(), time.time()
    found = health(status, now)
    shown: dict[str, Any] = {"status": found.status}
    if who is not None:
        if found.reason:
            shown["reason"] = found.reason
        if found.troubles:
            shown["troubles"] = found.troubles
        if status.login_pause is not None:
            shown["login_pause"] = status.login_pause
        shown |= {
            "state": status.state,
            "uptime_seconds": round(now - status.started_at, 1),
            "version": __version__,
            "last_cycle_time": status.at,
            "last_cycle_duration": status.cycle_s,
            "rollout_percentage": status.rollout_percentage,
            "update_interval": status.interval_s,
            "dry_run": status.dry_run,
            "active_torrents": sum(row.active for row in status.trackers),
            "managed_torrents": status.limited,
            "api_calls_last_cycle": status.cycle_calls,
        }
    return JsonResponse(shown, 200 if found.ready else 503)


@router.get(
    "/health/live",
    summary="Does the process answer?",
    dependencies=[Depends(anybody)],
    responses=answers("Health"),
)
async def get_live(context: Context) -> JsonResponse:
    return JsonResponse({"status": health(context.status(), time.time()).status})


@router.get(
    "/health/ready",
    summary="Are caps held? Without details",
    dependencies=[Depends(anybody)],
    responses=answers("Health", also=_UNHEALTHY),
)
async def get_ready(context: Context) -> JsonResponse:
    found = health(context.status(), time.time())
    return JsonResponse({"status": found.status}, 200 if found.ready else 503)


@router.get(
    "/config",
    summary="The configuration in force, secrets masked",
    dependencies=[Depends(caller)],
    responses=answers(dict[str, Any]),
)
async def get_config(context: Context) -> JsonResponse:
    shown = msgspec.json.decode(context.configuration(), type=dict[str, msgspec.Raw])
    old = {"global_settings": shown["global"]} if "global" in shown else {}  # as the earlier Qguardarr called it
    return JsonResponse(shown | old)
