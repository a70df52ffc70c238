"""What the next cycle would write, and which rule takes an announce URL."""

from __future__ import annotations

from typing import Annotated, Any, Final

import anyio.to_thread
from fastapi import APIRouter, Depends
from fastapi import Query as InQuery
from pydantic import Field

from qguardarr.api.bodies import JsonResponse, Query, answers
from qguardarr.api.compat.stats import mib
from qguardarr.api.dependencies import Context, SlowThreads, caller
from qguardarr.api.problems import invalid
from qguardarr.core.model import UNLIMITED, Change
from qguardarr.core.reconcile.decide import Decision
from qguardarr.core.select.matcher import host_of
from qguardarr.core.units import format_speed, limit_or_minus_one

router = APIRouter(tags=["Paths of the earlier Qguardarr"], dependencies=[Depends(caller)])

_TOP: Final = 10


class MatchQuery(Query):
    """A URL to try."""

    url: Annotated[str, Field(max_length=4096, description="Announce URL.")]
    detailed: Annotated[bool, Field(description="Also say which patterns match.")] = False


@router.get(
    "/preview/next-cycle",
    summary="What the next cycle would write",
    responses=answers("Preview", problems=(409, 502, 503)),
)
async def get_preview(context: Context, slow_threads: SlowThreads) -> JsonResponse:
    def preview() -> JsonResponse:
        return JsonResponse({"strategy": context.status().strategy} | _preview(context.commands.preview()))

    return await anyio.to_thread.run_sync(preview, limiter=slow_threads)


@router.get("/match/test", summary="Which rule takes an announce URL", responses=answers("Match", problems=(503,)))
async def get_match(
    context: Context, query: Annotated[MatchQuery, InQuery()], slow_threads: SlowThreads
) -> JsonResponse:
    host = host_of(query.url)
    if not host:
        raise invalid("not an announce URL such as https://tracker.example.org/announce", "query", "url")
    found = await anyio.to_thread.run_sync(context.torrents.match, query.url, limiter=slow_threads)
    rules = [{"tracker_id": rule.id, "pattern": rule.pattern, "matches": matches} for rule, matches in found]
    return JsonResponse(
        {
            "url": f"{query.url.partition('://')[0].strip().lower()}://{host}/…",
            "matched_tracker": next(rule.id for rule, matches in found if matches),
            "matches": rules if query.detailed else [],
        }
    )


def _preview(decision: Decision) -> dict[str, Any]:
    changes, reports = decision.plan.changes, decision.trackers
    return {
        "torrents_considered": sum(report.torrents for report in reports),
        "proposed_count": len(changes),
        "proposed_changes": {change.hash: limit_or_minus_one(change.new) for change in changes},
        "trackers": {
            report.id: {
                "base_cap": limit_or_minus_one(report.cap),
                "effective_cap": limit_or_minus_one(report.effective),
                "borrowed": int(report.borrowed),
            }
            for report in reports
        },
        "summary": {
            "trackers": [
                {
                    "id": report.id,
                    "base_cap_mbps": mib(report.cap),
                    "base_cap_h": format_speed(report.cap),
                    "effective_cap_mbps": mib(report.effective),
                    "effective_cap_h": format_speed(report.effective),
                    "borrowed_mbps": mib(report.borrowed) or 0.0,
                    "borrowed_h": format_speed(report.borrowed),
                }
                for report in reports
            ],
            "top_changes": [_change(change) for change in sorted(changes, key=_size, reverse=True)[:_TOP]],
        },
    }


def _size(change: Change) -> int:
    return abs(min(change.new, 10**9) - min(change.old, 10**9))


def _change(change: Change) -> dict[str, Any]:
    delta = None if UNLIMITED in (change.new, change.old) else (change.new - change.old) // 1024
    return {
        "hash": change.hash,
        "new_limit_kib": -1 if change.new >= UNLIMITED else change.new // 1024,
        "new_limit_h": format_speed(change.new),
        "delta_kib": delta,
        "delta_h": None if delta is None else f"{delta} KiB/s",
        "reason": change.reason,
    }
