"""Sessions of people, metrics, and the stream of events."""

from __future__ import annotations

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from qguardarr.api.bodies import JsonResponse, answers
from qguardarr.api.dependencies import Caller, Context, anybody, caller, metrics_reader
from qguardarr.api.security.access import SessionInfo

router = APIRouter(tags=["Sessions, metrics, events"])


@router.get(
    "/api/v1/session",
    summary="Who one is",
    description="Of a session also the CSRF token, to be sent as `X-CSRF-Token` with whatever is not GET.",
    responses=answers(SessionInfo),
)
async def get_session(context: Context, who: Caller) -> JsonResponse:
    return JsonResponse(context.access.describe(who))


@router.post(
    "/api/v1/session",
    summary="Log in",
    dependencies=[Depends(anybody)],
    responses=answers(SessionInfo, problems=(401, 403, 429, 503)),
)
async def post_session(request: Request, context: Context) -> JsonResponse:
    return JsonResponse(await context.access.login(request.scope, await request.body()))


@router.delete(
    "/api/v1/session",
    summary="Log out",
    status_code=204,
    dependencies=[Depends(caller)],
    responses=answers(None, status=204),
)
async def delete_session(request: Request, context: Context) -> Response:
    context.access.logout(request.scope)
    return Response(status_code=204)


@router.get(
    "/api/v1/events",
    summary="Each cycle's status, as server-sent events",
    description="Events are named `status`; their data is that of `/api/v1/status`. The stream ends with the "
    "session, or when the credentials change.",
    dependencies=[Depends(caller)],
    responses=answers(str, media_type="text/event-stream", problems=(503,)),
)
async def get_events(request: Request, context: Context) -> Response:
    if request.method == "HEAD":  # has an end
        return Response(media_type="text/event-stream")
    return context.events.stream(lambda: context.access.may_listen(request.scope))


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    dependencies=[Depends(metrics_reader)],
    responses=answers(str, media_type="text/plain"),
)
async def get_metrics(request: Request, context: Context) -> Response:
    body, kind = context.metrics.render(request.headers.get("accept"))
    return Response(body, headers={"Content-Type": kind})
