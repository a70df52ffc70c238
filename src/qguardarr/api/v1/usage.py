"""What groups uploaded, by hour, day and month."""

from __future__ import annotations

import time
from datetime import date, tzinfo
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends
from fastapi import Query as InQuery
from pydantic import Field
from starlette.responses import Response

from qguardarr.api.bodies import JsonResponse, Query, answers
from qguardarr.api.dependencies import Context, caller
from qguardarr.api.problems import invalid
from qguardarr.engine.usage import Step, Usage, as_csv, this_month, usage
from qguardarr.zones import zone_of

router = APIRouter(prefix="/api/v1", tags=["Version 1"], dependencies=[Depends(caller)])

_DAY = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"


class UsageQuery(Query):
    """Of whom, and when. Days are those of `global.timezone`."""

    group: Annotated[
        str | None, Field(max_length=200, description="Id of a group; empty: the line. Default: all of them.")
    ] = None
    from_: Annotated[
        str | None,
        Field(alias="from", pattern=_DAY, description="First day, as `2026-11-01`. Default: the first of this month."),
    ] = None
    to: Annotated[str | None, Field(pattern=_DAY, description="Last day. Default: today.")] = None
    step: Annotated[Step, Field(description="What a row covers; hours are kept for 90 days.")] = "day"


class UsageReport(msgspec.Struct, kw_only=True):
    """Usage by group and time."""

    first: str
    """First day, local."""
    last: str
    """Last day, local."""
    step: Step
    """What a row covers."""
    rows: list[Usage]
    """By group, oldest first. Stretches in which nothing was uploaded are left out."""


@router.get("/usage", summary="Bytes that groups uploaded, by hour, day or month", responses=answers(UsageReport))
def get_usage(context: Context, query: Annotated[UsageQuery, InQuery()]) -> JsonResponse:
    return JsonResponse(_report(context, query))


@router.get("/usage.csv", summary="The same as CSV", responses=answers(str, media_type="text/csv"))
def get_usage_csv(context: Context, query: Annotated[UsageQuery, InQuery()]) -> Response:
    headers = {"Content-Disposition": 'attachment; filename="usage.csv"'}
    return Response("".join(as_csv(_report(context, query).rows)), media_type="text/csv", headers=headers)


def _report(context: Context, query: UsageQuery) -> UsageReport:
    name = context.commands.file_policy.timezone
    zone: tzinfo | None = zone_of(name) if name else None
    first, last = this_month(time.time(), zone)
    last = _day(query.to, "to") or last
    first = _day(query.from_, "from") or (first if first <= last else last.replace(day=1))
    if first > last:
        raise invalid("must not be after 'to'", "query", "from")
    rows = usage(context.usage, query.group, first, last, query.step, zone)
    return UsageReport(first=first.isoformat(), last=last.isoformat(), step=query.step, rows=rows)


def _day(text: str | None, name: str) -> date | None:
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError:
        raise invalid("there is no such day", "query", name) from None
