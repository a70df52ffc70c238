"""The daemon's status, whole and as flat figures."""

from __future__ import annotations

import time
from typing import Literal

import msgspec
from fastapi import APIRouter, Depends

from qguardarr.api.answers import JsonResponse, answers
from qguardarr.api.security.dependencies import Context, caller
from qguardarr.engine.health import health
from qguardarr.engine.outcome import TOLD_OF
from qguardarr.engine.status import Status

router = APIRouter(prefix="/api/v1", tags=["Version 1"], dependencies=[Depends(caller)])


class Widget(msgspec.Struct, kw_only=True):
    """The status in flat numbers and texts, for a dashboard's widget. Speeds in bytes/s."""

    status: Literal["starting", "healthy", "degraded", "unhealthy"]
    """As in `/health`."""
    state: str
    """As in `/api/v1/status`: starting, waiting, holding, observing, paused or failing."""
    problem: str
    """What is wrong, in words; empty if nothing is."""
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


@router.get("/status", summary="The whole picture after the last cycle", responses=answers(Status))
async def get_status(context: Context) -> JsonResponse:
    return JsonResponse(context.status())


@router.get("/widget", summary="Flat figures for a dashboard's widget", responses=answers(Widget))
async def get_widget(context: Context) -> JsonResponse:
    return JsonResponse(widget(context.status(), time.time()))


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
