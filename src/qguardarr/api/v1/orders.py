"""Boost and hush: all caps, or those of some groups, higher or lower for a while."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Annotated, Final, Literal

import msgspec
from fastapi import APIRouter, Depends
from pydantic import ConfigDict, Field
from starlette.responses import Response

from qguardarr.api.bodies import Incoming, JsonBody, JsonResponse, answers
from qguardarr.api.dependencies import ApiContext, Context, caller
from qguardarr.api.problems import Problem, invalid
from qguardarr.core.caps.scaled import BOOSTED, HUSHED, Order
from qguardarr.core.units import SpeedError, parse_speed
from qguardarr.engine.cap_orders import UnknownTracker

LONGEST_S: Final = 7 * 86_400.0

router = APIRouter(prefix="/api/v1", tags=["Version 1"], dependencies=[Depends(caller)])

Seconds = Annotated[float, Field(gt=0, le=LONGEST_S, description="How long it is in force, seconds; at most 7 days.")]
Groups = Annotated[
    tuple[str, ...],
    Field(max_length=200, strict=False, description="Ids of groups; empty: the line. Default: all, and the line."),
]


class BoostBody(Incoming):
    """Higher caps for a while."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"seconds": 3600, "groups": ["private"], "factor": 2}]})

    seconds: Seconds
    groups: Groups = ()
    factor: Annotated[
        float, Field(ge=1, le=100, description="What caps are multiplied by, 1 … 100, where 0 … 1 would be a hush.")
    ] = BOOSTED


class HushBody(Incoming):
    """Lower caps for a while."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"seconds": 3600, "factor": 0.1}]})

    seconds: Seconds
    groups: Groups = ()
    factor: Annotated[float, Field(gt=0, le=1, description="What caps are multiplied by, 0 … 1.")] = HUSHED
    speed: Annotated[
        str | None, Field(max_length=60, description="Speed of the line in place of a factor, bytes/s: `1 MB/s`.")
    ] = None


class OrderRow(msgspec.Struct, kw_only=True):
    """A boost or a hush."""

    group: str
    """Id of a group; empty: the line; `*`: all groups and the line."""
    kind: Literal["boost", "hush"]
    """What it is."""
    factor: float
    """What caps are multiplied by, 0 … 1 or more."""
    speed: int | None
    """Speed of the line in place of the factor, bytes/s."""
    until: float
    """When it ends, Unix seconds."""


@router.get("/orders", summary="Boosts and hushes in force", responses=answers(list[OrderRow]))
async def get_orders(context: Context) -> JsonResponse:
    return JsonResponse(_rows(context))


@router.put(
    "/orders/boost",
    summary="Every cap, or those of some groups, higher for a while",
    description="Outlives restarts; ends by itself. No cap goes beyond the line, or what its quota leaves.",
    responses=answers(list[OrderRow], problems=(404,)),
)
def put_boost(context: Context, body: Annotated[BoostBody, Depends(JsonBody(BoostBody))]) -> JsonResponse:
    return _give(context, Order("boost", time.time() + body.seconds, body.factor), body.groups)


@router.put(
    "/orders/hush",
    summary="Every cap and the line, or those of some groups, lower for a while",
    description="Outlives restarts; ends by itself. A hush of the line keeps groups without a cap to it as well.",
    responses=answers(list[OrderRow], problems=(404,)),
)
def put_hush(context: Context, body: Annotated[HushBody, Depends(JsonBody(HushBody))]) -> JsonResponse:
    speed = None
    if body.speed is not None:
        if body.groups:
            raise invalid("is for the whole line: name no groups", "body", "speed")
        try:
            speed = parse_speed(body.speed)
        except SpeedError as error:
            raise invalid(str(error), "body", "speed") from None
    factor = 1.0 if speed is not None else body.factor
    return _give(context, Order("hush", time.time() + body.seconds, factor, speed), body.groups)


@router.delete("/orders/boost", summary="End all boosts", status_code=204, responses=answers(None, status=204))
def delete_boost(context: Context) -> Response:
    context.commands.clear_orders("boost")
    return Response(status_code=204)


@router.delete("/orders/hush", summary="End all hushes", status_code=204, responses=answers(None, status=204))
def delete_hush(context: Context) -> Response:
    context.commands.clear_orders("hush")
    return Response(status_code=204)


def _give(context: ApiContext, order: Order, groups: Collection[str]) -> JsonResponse:
    try:
        context.commands.set_orders(groups, order)
    except UnknownTracker as error:
        raise Problem(404, str(error)) from None
    return JsonResponse(_rows(context))


def _rows(context: ApiContext) -> list[OrderRow]:
    return [
        OrderRow(group=group, kind=order.kind, factor=order.factor, speed=order.speed, until=order.until)
        for group, order in dict(context.commands.orders).items()
    ]
