"""Pause and resume."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends
from pydantic import ConfigDict, Field

from qguardarr.api.answers import JsonResponse, answers
from qguardarr.api.bodies import Incoming, JsonBody
from qguardarr.api.security.dependencies import Context, caller
from qguardarr.engine.commands import one_line

router = APIRouter(prefix="/api/v1", tags=["Version 1"], dependencies=[Depends(caller)])


class PauseBody(Incoming):
    """What a pause asks for."""

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
