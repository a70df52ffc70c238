"""Commands of the earlier Qguardarr."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Final, Literal

import anyio.to_thread
from fastapi import APIRouter, Depends
from pydantic import ConfigDict, Field

from qguardarr.api.bodies import Incoming, JsonBody, JsonResponse, answers
from qguardarr.api.dependencies import Context, SlowThreads, caller
from qguardarr.engine.commands import one_line
from qguardarr.engine.health import login_outlook
from qguardarr.errors import Busy

router = APIRouter(tags=["Paths of the earlier Qguardarr"], dependencies=[Depends(caller)])

RELOAD_TIMEOUT_S: Final = 140.0
"""Twice as long as the child that reads the file may take, and more: a reload may be under way already."""

Confirm = Annotated[Literal[True], Field(description="Must be true, so that nobody does this by accident.")]


class RolloutBody(Incoming):
    """Which part of the torrents to manage."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"percentage": 50}]})

    percentage: Annotated[
        float,
        Field(
            ge=1,
            le=100,
            multiple_of=1,
            description="Part of the torrents to manage, percent: a whole number; `50.0` is one, too.",
        ),
    ]


class RollbackBody(Incoming):
    """Options of a rollback."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"confirm": True, "reason": "emergency"}]})

    confirm: Confirm
    reason: Annotated[
        str,
        Field(
            max_length=200,
            description="Why; shown while the guard is paused. Line ends and control characters become spaces.",
        ),
    ] = "rolled back"


class ResetBody(Incoming):
    """Options of a reset."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"confirm": True}]})

    confirm: Confirm
    scope: Annotated[
        Literal["unrestored", "all"], Field(description="The same now: what is restored already needs nothing.")
    ] = "unrestored"
    mark_restored: Annotated[bool, Field(description="The same now: what is verified is always marked.")] = True


class SmoothingBody(Incoming):
    """Which trackers to forget this of; without any field, all of them."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"all": True}]})

    tracker_id: Annotated[str | None, Field(description="Id of a rule. Default: all trackers.")] = None
    all: Annotated[bool, Field(description="All trackers, whatever `tracker_id` says.")] = False


@router.post(
    "/config/reload",
    summary="Read the configuration file again",
    responses=answers("Reloaded", problems=(409, 422, 503)),
)
async def post_reload(context: Context) -> JsonResponse:
    try:
        # Waiting takes no thread: whoever asks joins the next round at once, however many ask.
        failure = await asyncio.wait_for(asyncio.wrap_future(context.reload()), RELOAD_TIMEOUT_S)
    except TimeoutError:
        raise Busy("the configuration is still being read; try again in a moment") from None
    if failure is not None:
        raise failure
    policy = context.commands.file_policy
    return JsonResponse(
        {"status": "reloaded", "rollout_percentage": policy.rollout_percentage, "strategy": policy.strategy}
    )


@router.post(
    "/cycle/force",
    summary="Run a cycle now",
    responses=answers("Forced", also={503: "The cycle failed."}, problems=(409,)),
)
async def post_cycle(context: Context, slow_threads: SlowThreads) -> JsonResponse:
    began = time.monotonic()
    snapshot = await anyio.to_thread.run_sync(context.commands.force_cycle, limiter=slow_threads)
    failed = snapshot.problem_kind != ""
    problem = snapshot.problem if failed else ""
    if snapshot.login_pause is not None:
        problem += f"; {login_outlook(snapshot.login_pause, time.time())}"
    done = {
        "status": "failed" if failed else "completed",
        "duration_seconds": round(time.monotonic() - began, 3),
        "timestamp": time.time(),
        "problem": problem,
    }
    return JsonResponse(done, 503 if failed else 200)


@router.post(
    "/rollout",
    summary="Manage a part of the torrents",
    description="Until the configuration is read again.",
    responses=answers("Rollout"),
)
def post_rollout(context: Context, body: Annotated[RolloutBody, Depends(JsonBody(RolloutBody))]) -> JsonResponse:
    percentage = int(body.percentage)
    context.commands.set_rollout(percentage)
    return JsonResponse({"status": "updated", "rollout_percentage": percentage, "timestamp": time.time()})


@router.post("/rollback", summary="Put every original limit back, and pause", responses=answers("RolledBack"))
def post_rollback(context: Context, body: Annotated[RollbackBody, Depends(JsonBody(RollbackBody))]) -> JsonResponse:
    began = time.monotonic()
    reason = one_line(body.reason) or "rolled back"
    report = context.commands.rollback(reason)
    return JsonResponse(
        {
            "status": "completed" if report.complete else "incomplete",
            "changes_reversed": len(report.restored),
            "already_original": len(report.already_original),
            "set_by_hand": len(report.by_hand),
            "gone": len(report.gone),
            "failed": len(report.failed),
            "duration_seconds": round(time.monotonic() - began, 3),
            "reason": reason,
            "timestamp": time.time(),
        }
    )


@router.post("/limits/reset", summary="Put original limits back; decide again", responses=answers("Reset"))
def post_reset(context: Context, _body: Annotated[ResetBody, Depends(JsonBody(ResetBody))]) -> JsonResponse:
    report = context.commands.reset()
    return JsonResponse(
        {
            "status": "ok" if report.complete else "incomplete",
            "count": len(report.restored) + len(report.already_original),
            "failed": len(report.failed),
            "mode": "real",
        }
    )


@router.post(
    "/smoothing/reset",
    summary="Forget what trackers borrow",
    responses=answers("Smoothing", problems=(409, 503)),
)
async def post_smoothing(
    context: Context,
    body: Annotated[SmoothingBody, Depends(JsonBody(SmoothingBody, required=False))],
    slow_threads: SlowThreads,
) -> JsonResponse:
    strategy = context.status().strategy
    name = None if body.all else body.tracker_id
    done = {
        "status": "ok",
        "cleared_count": await anyio.to_thread.run_sync(context.commands.reset_smoothing, name, limiter=slow_threads),
        "tracker": name or "all",
        "strategy": strategy,
        "timestamp": time.time(),
    }
    if strategy != "soft":
        done["message"] = "the strategy is not 'soft': nothing is borrowed or smoothed"
    return JsonResponse(done)
