"""Sessions of people."""

from __future__ import annotations

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from qguardarr.api.answers import JsonResponse, answers
from qguardarr.api.dependencies import Caller, Context, anybody, caller
from qguardarr.api.security.access import SessionInfo

router = APIRouter(prefix="/api/v1", tags=["Sessions, metrics, events"])


@router.get(
    "/session",
    summary="Who one is",
    description="Of a session also the CSRF token, to be sent as `X-CSRF-Token` with whatever is not GET.",
    responses=answers(SessionInfo),
)
async def get_session(context: Context, who: Caller) -> JsonResponse:
    return JsonResponse(context.access.describe(who))


@router.post(
    "/session",
    summary="Log in",
    dependencies=[Depends(anybody)],
    responses=answers(SessionInfo, problems=(401, 403, 429, 503)),
)
async def post_session(request: Request, context: Context) -> JsonResponse:
    return JsonResponse(await context.access.login(request.scope, await request.body()))


@router.delete(
    "/session",
    summary="Log out",
    status_code=204,
    dependencies=[Depends(caller)],
    responses=answers(None, status=204),
)
async def delete_session(request: Request, context: Context) -> Response:
    context.access.logout(request.scope)
    return Response(status_code=204)
