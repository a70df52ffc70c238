"""Rates of trackers over time."""

from __future__ import annotations

import time
from typing import Annotated, Final

import msgspec
from fastapi import APIRouter, Depends
from fastapi import Query as InQuery
from pydantic import Field

from qguardarr.api.bodies import JsonResponse, Query, answers
from qguardarr.api.dependencies import Context, caller
from qguardarr.api.problems import invalid
from qguardarr.api.recent_rates import RecentRates

router = APIRouter(prefix="/api/v1", tags=["Version 1"], dependencies=[Depends(caller)])

_DEFAULT_SPAN_S: Final = 6 * 3600.0
_LAST_TIME: Final = 1e11
"""Unix seconds, in the year 5138."""


class RatesQuery(Query):
    """Which stretch of time."""

    tracker: Annotated[
        str | None, Field(min_length=1, max_length=200, description="Id of a rule. Default: all of them.")
    ] = None
    start: Annotated[
        float | None,
        Field(ge=0, le=_LAST_TIME, description="Beginning, Unix seconds. Default: six hours before `end`."),
    ] = None
    end: Annotated[float | None, Field(ge=0, le=_LAST_TIME, description="End, Unix seconds. Default: now.")] = None
    step: Annotated[
        float | None,
        Field(ge=60, le=86400, description="Seconds that a point covers. Default: the finest that fits."),
    ] = None


class RateRow(msgspec.Struct, kw_only=True):
    """A stretch of time. Rates in bytes/s; null is unlimited."""

    at: float
    """Its beginning, Unix seconds."""
    seconds: float
    """Seconds of it that were watched."""
    rate: float
    """Mean rate, bytes/s."""
    peak: float
    """Highest rate over 10 s, bytes/s."""
    cap: float | None
    """Cap in force at its end, bytes/s; null is unlimited."""
    effective: float | None
    """What the tracker was allowed to use, bytes/s; null is unlimited."""
    over_cap_s: float
    """Seconds of it in which the rate over 10 s was above 1.02 × the effective cap."""


class RateHistory(msgspec.Struct, kw_only=True):
    """Points in time, oldest first, by tracker."""

    trackers: dict[str, list[RateRow]]
    """Points, by id of the rule."""


@router.get(
    "/history",
    summary="Rates of trackers over time",
    description="Minutes for two days, ten minutes for a month, hours for a year; at most 2,000 points a tracker.",
    responses=answers(RateHistory),
)
def get_history(context: Context, query: Annotated[RatesQuery, InQuery()]) -> JsonResponse:
    end = time.time() if query.end is None else query.end
    start = end - _DEFAULT_SPAN_S if query.start is None else query.start
    if start >= end:
        raise invalid("must be before 'end'", "query", "start")
    trackers: dict[str, list[RateRow]] = {}
    for point in context.rates.rates(query.tracker, start, end, query.step):
        trackers.setdefault(point.tracker, []).append(
            RateRow(
                at=point.at,
                seconds=point.seconds,
                rate=point.bytes / point.seconds if point.seconds > 0 else 0.0,
                peak=point.peak,
                cap=point.cap,
                effective=point.effective,
                over_cap_s=point.over_s,
            )
        )
    return JsonResponse(RateHistory(trackers=trackers))


@router.get(
    "/history/recent",
    summary="Rates of trackers in the last five minutes, by cycle",
    description="At most one each two seconds. `/api/v1/events` goes on from there.",
    responses=answers(RecentRates),
)
async def get_recent(context: Context) -> JsonResponse:
    return JsonResponse(context.events.rates.recent())


class TotalsQuery(Query):
    """Since when."""

    start: Annotated[
        float, Field(ge=0, le=_LAST_TIME, description="Beginning, Unix seconds. 0: since records began.")
    ] = 0.0


class TotalRow(msgspec.Struct, kw_only=True):
    """Sums over a time."""

    bytes: float
    """Bytes uploaded."""
    seconds: float
    """Seconds of it that were watched."""
    over_cap_s: float
    """Seconds of it in which the rate over 10 s was above 1.02 × the effective cap."""


class Totals(msgspec.Struct, kw_only=True):
    """Sums up to the last whole minute."""

    trackers: dict[str, TotalRow]
    """Sums, by id of the rule."""


@router.get(
    "/history/totals",
    summary="Bytes that trackers uploaded since a time",
    description="To ten minutes within the last month, to an hour before.",
    responses=answers(Totals),
)
def get_totals(context: Context, query: Annotated[TotalsQuery, InQuery()]) -> JsonResponse:
    found = context.rates.totals(query.start)
    return JsonResponse(
        Totals(
            trackers={
                total.tracker: TotalRow(bytes=total.bytes, seconds=total.seconds, over_cap_s=total.over_s)
                for total in found
            }
        )
    )
