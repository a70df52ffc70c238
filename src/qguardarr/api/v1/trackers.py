"""Trackers, groups of them, and temporary caps."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Depends, Path
from pydantic import ConfigDict, Field
from starlette.convertors import Convertor, register_url_convertor
from starlette.responses import Response

from qguardarr.api.bodies import Incoming, JsonBody, JsonResponse, answers
from qguardarr.api.dependencies import ApiContext, Context, caller
from qguardarr.api.problems import Problem, invalid
from qguardarr.core.caps.temporary import Override
from qguardarr.core.units import SpeedError, limit_or_none, parse_speed
from qguardarr.engine.cap_orders import UnknownTracker
from qguardarr.engine.status import ParentRow, TrackerRow

LONGEST_OVERRIDE_S: Final = 30 * 86400.0


class _TrackerConvertor(Convertor[str]):
    """An id, which may hold slashes, up to the end of the path. A path that ends in `/override` is another one."""

    regex = "(?:(?!/override$).)*"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("tracker", _TrackerConvertor())
router = APIRouter(prefix="/api/v1", tags=["Version 1"], dependencies=[Depends(caller)])

Tracker = Annotated[str, Path(min_length=1, max_length=200, description="Id of the rule, or of a group of rules.")]


class OverrideBody(Incoming):
    """Another cap for a while."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"cap": "2 MB/s", "seconds": 3600}]})

    cap: Annotated[
        int | float | Annotated[str, Field(max_length=60)],
        Field(description="bytes/s, at least 1000; or words as in the configuration: `10 MB/s`, `unlimited`."),
    ]
    seconds: Annotated[float, Field(gt=0, le=LONGEST_OVERRIDE_S, description="How long it is in force, seconds.")]


AskedCap = Annotated[OverrideBody, Depends(JsonBody(OverrideBody))]


class OverrideRow(msgspec.Struct, kw_only=True):
    """A temporary cap."""

    tracker: str
    """Id of the group; empty for the line."""
    cap: int | None
    """bytes/s; null is unlimited."""
    until: float
    """When it ends, Unix seconds."""


@router.get("/trackers", summary="Trackers: caps, rates, demand", responses=answers(list[TrackerRow]))
async def get_trackers(context: Context) -> JsonResponse:
    return JsonResponse(context.status().trackers)


@router.get("/trackers/{tracker:tracker}", summary="One tracker", responses=answers(TrackerRow, problems=(404,)))
async def get_tracker(context: Context, tracker: Tracker) -> JsonResponse:
    found = next((row for row in context.status().trackers if row.id == tracker), None)
    if found is None:
        raise Problem(404, "there is no tracker with this id")
    return JsonResponse(found)


@router.get("/parents", summary="Groups of trackers, and the line", responses=answers(list[ParentRow]))
async def get_parents(context: Context) -> JsonResponse:
    return JsonResponse(context.status().parents)


@router.get("/overrides", summary="Temporary caps", responses=answers(list[OverrideRow]))
async def get_overrides(context: Context) -> JsonResponse:
    return JsonResponse([_row(tracker, override) for tracker, override in dict(context.commands.overrides).items()])


@router.put(
    "/trackers/{tracker:path}/override",
    summary="Another cap for a while",
    description="Outlives restarts; ends by itself.",
    responses=answers(OverrideRow, problems=(404,)),
)
def put_override(context: Context, tracker: Tracker, body: AskedCap) -> JsonResponse:
    return _set(context, tracker, body)


@router.put(
    "/line/override",
    summary="Another speed of the line for a while",
    description="Outlives restarts; ends by itself.",
    responses=answers(OverrideRow),
)
def put_line_override(context: Context, body: AskedCap) -> JsonResponse:
    return _set(context, "", body)


def _set(context: ApiContext, group: str, body: OverrideBody) -> JsonResponse:
    try:
        cap = parse_speed(body.cap)
    except SpeedError as error:
        raise invalid(str(error), "body", "cap") from None
    try:
        override = context.commands.set_override(group, cap, body.seconds)
    except UnknownTracker as error:
        raise Problem(404, str(error)) from None
    return JsonResponse(_row(group, override))


@router.delete(
    "/trackers/{tracker:path}/override",
    summary="The configured cap counts again",
    status_code=204,
    responses=answers(None, status=204, problems=(404,)),
)
def delete_override(context: Context, tracker: Tracker) -> Response:
    try:
        context.commands.clear_override(tracker)
    except UnknownTracker as error:
        raise Problem(404, str(error)) from None
    return Response(status_code=204)


@router.delete(
    "/line/override",
    summary="The configured speed of the line counts again",
    status_code=204,
    responses=answers(None, status=204),
)
def delete_line_override(context: Context) -> Response:
    context.commands.clear_override("")
    return Response(status_code=204)


def _row(tracker: str, override: Override) -> OverrideRow:
    return OverrideRow(tracker=tracker, cap=limit_or_none(override.cap), until=override.until)
