"""The landing page, and the configuration as the earlier Qguardarr showed it."""

from __future__ import annotations

import time
from typing import Any

import msgspec
from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from qguardarr import __version__
from qguardarr.api.answers import JsonResponse, answers
from qguardarr.api.security.dependencies import Context, caller
from qguardarr.api.web import dashboard
from qguardarr.api.web.pages import landing, wants_page
from qguardarr.engine.health import health

router = APIRouter(tags=["Paths of the earlier Qguardarr"])


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


@router.get(
    "/",
    summary="What this is",
    description="Browsers get a page, without a key.",
    responses=answers(Root, problems=(401, 403)),
)
async def get_root(request: Request, context: Context) -> Response:
    status = context.status()
    state = health(status, time.time()).status
    if wants_page(request):
        found = dashboard.page(request, context.settings.base_path)
        if found is not None:
            return found
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
        Root(
            name="Qguardarr",
            version=__version__,
            description="Gives each tracker one shared upload cap in qBittorrent, and holds it.",
            status=state,
            endpoints={name.replace("/", "_"): f"{base}/{name}" for name in names},
            next_step=status.next_step,
        )
    )


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
