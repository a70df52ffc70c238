"""Metrics for Prometheus, and each cycle's status as server-sent events."""

from __future__ import annotations

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from qguardarr.api.answers import answers
from qguardarr.api.dependencies import Context, caller, metrics_reader

router = APIRouter(tags=["Sessions, metrics, events"])


@router.get(
    "/api/v1/events",
    summary="Each cycle's picture, as server-sent events",
    description="Events are named `status`; their data is that of `/api/v1/status`.",
    dependencies=[Depends(caller)],
    responses=answers(str, media_type="text/event-stream", problems=(503,)),
)
async def get_events(request: Request, context: Context) -> Response:
    if request.method == "HEAD":  # has an end
        return Response(media_type="text/event-stream")
    return context.events.stream()


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    dependencies=[Depends(metrics_reader)],
    responses=answers(str, media_type="text/plain"),
)
async def get_metrics(request: Request, context: Context) -> Response:
    body, kind = context.metrics.render(request.headers.get("accept"))
    return Response(body, headers={"Content-Type": kind})
