"""The daemon as a whole: its status, its configuration, pause and resume."""

from __future__ import annotations

import time
from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Depends
from pydantic import ConfigDict, Field

from qguardarr.api.bodies import Incoming, JsonBody, JsonResponse, answers
from qguardarr.api.dependencies import Context, caller
from qguardarr.engine.commands import one_line
from qguardarr.engine.health import health
from qguardarr.engine.origins import SettingRow, setting_rows
from qguardarr.engine.status import TOLD_OF, Status

router = APIRouter(prefix="/api/v1", tags=["Version 1"], dependencies=[Depends(caller)])


class Widget(msgspec.Struct, kw_only=True):
    """The status in flat numbers and texts, for a dashboard's widget. Speeds in bytes/s."""

    status: Literal["starting", "healthy", "degraded", "unhealthy"]
    """As in `/health`."""
    state: str
    """As in `/api/v1/status`: starting, waiting, holding, observing, paused or failing."""
    problem: str
    """The problem, in words; empty if there is none."""
    upload: int
    """Upload of all torrents over the last 10 s, bytes/s."""
    capped_upload: int
    """The part of it that goes to trackers with a cap, bytes/s."""
    cap: int
    """Sum of the caps in force, bytes/s; 0 if no tracker has one."""
    used_percent: float
    """`capped_upload` ÷ `cap`, percent; 0 without a cap."""
    uploaded: int
    """Bytes uploaded since the start."""
    trackers: int
    """Number of trackers with a cap."""
    over_cap: int
    """Number of trackers that ran above their cap by more than 5 % over the last 60 s."""
    torrents: int
    """Number of torrents known."""
    active_torrents: int
    """Number of torrents that upload."""
    limited_torrents: int
    """Number of torrents whose limit is ours now."""
    qbittorrent: str
    """qBittorrent's version; empty before it has answered."""


class Configuration(msgspec.Struct, kw_only=True):
    """The configuration in force."""

    file: str
    """Path of the configuration file."""
    settings: list[SettingRow]
    """All settings, also those that have their defaults."""


class PauseBody(Incoming):
    """Options of a pause."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reason": "maintenance"}]})

    reason: Annotated[
        str,
        Field(
            max_length=200,
            description="Why; shown while it is paused. Line ends and control characters become spaces.",
        ),
    ] = "paused through the API"


class PauseState(msgspec.Struct, kw_only=True):
    """Whether it is paused."""

    paused: str | None
    """Why it is paused; null if it is not."""


@router.get("/status", summary="The whole state after the last cycle", responses=answers(Status))
async def get_status(context: Context) -> JsonResponse:
    return JsonResponse(context.status())


@router.get("/widget", summary="Flat figures for a dashboard's widget", responses=answers(Widget))
async def get_widget(context: Context) -> JsonResponse:
    return JsonResponse(widget(context.status(), time.time()))


@router.get(
    "/config",
    summary="Settings, and where they come from",
    description="A variable of the environment takes precedence over the file, the file over the default. Secrets "
    "are masked.",
    responses=answers(Configuration),
)
async def get_configuration(context: Context) -> JsonResponse:
    rows = setting_rows(context.configuration(), context.origins())
    return JsonResponse(Configuration(file=context.status().config_path, settings=rows))


@router.post("/pause", summary="Stop writing; limits in force stay", responses=answers(PauseState))
def post_pause(
    context: Context, body: Annotated[PauseBody, Depends(JsonBody(PauseBody, required=False))]
) -> JsonResponse:
    reason = one_line(body.reason) or "paused through the API"
    context.commands.pause(reason)
    return JsonResponse(PauseState(paused=reason))


@router.post("/resume", summary="Write again", responses=answers(PauseState))
def post_resume(context: Context) -> JsonResponse:
    context.commands.resume()
    return JsonResponse(PauseState(paused=None))


def widget(status: Status, now: float) -> Widget:
    """Sum the trackers up. `now`: Unix seconds."""
    found = health(status, now)
    capped = [row for row in status.trackers if row.cap is not None]
    cap, used = sum(row.cap or 0 for row in capped), sum(row.rate_10s for row in capped)
    return Widget(
        status=found.status,
        state=status.state,
        problem=found.reason or next(iter(found.troubles), ""),
        upload=round(sum(row.rate_10s for row in status.trackers)),
        capped_upload=round(used),
        cap=cap,
        used_percent=round(100 * used / cap, 1) if cap else 0.0,
        uploaded=round(sum(row.total_bytes for row in status.trackers)),
        trackers=len(capped),
        over_cap=sum(row.rate_60s > TOLD_OF * (row.cap or 0) for row in capped),
        torrents=status.torrents,
        active_torrents=sum(row.active for row in status.trackers),
        limited_torrents=status.limited,
        qbittorrent=status.qbittorrent_version or "",
    )
