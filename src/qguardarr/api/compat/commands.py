"""Commands of the earlier Qguardarr."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Final, Literal

import anyio.to_thread
import msgspec
from fastapi import APIRouter, Depends
from pydantic import ConfigDict, Field

from qguardarr.api.answers import JsonResponse, answers
from qguardarr.api.bodies import Incoming, JsonBody
from qguardarr.api.security.dependencies import Context, SlowThreads, caller
from qguardarr.engine.commands import one_line
from qguardarr.engine.health import login_outlook
from qguardarr.errors import Busy

router = APIRouter(tags=["Paths of the earlier Qguardarr"], dependencies=[Depends(caller)])

RELOAD_TIMEOUT_S: Final = 140.0
"""Twice as long as the child that reads the file may take, and more: a reload may be under way already."""

Confirm = Annotated[Literal[True], Field(description="Must be true, so that nobody does this by accident.")]


class Reloaded(msgspec.Struct, kw_only=True):
    """The configuration file was read again."""

    status: Literal["reloaded"]
    """The configuration was read and is in force."""
    rollout_percentage: int
    """Part of the torrents that is managed, percent."""
    strategy: str
    """How caps are divided: equal, weighted or soft."""


class Forced(msgspec.Struct, kw_only=True):
    """A cycle that was run at once."""

    status: Literal["completed", "failed"]
    """Whether the cycle did its work."""
    duration_seconds: float
    """How long this took, waiting for a cycle under way included, seconds."""
    timestamp: float
    """When it ended, Unix seconds."""
    problem: str = ""
    """Why it failed; empty if it did not."""


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


class Rollout(msgspec.Struct, kw_only=True):
    """Another part of the torrents is managed."""

    status: Literal["updated"]
    """It is in force."""
    rollout_percentage: int
    """Part of the torrents that is managed now, percent."""
    timestamp: float
    """When it was changed, Unix seconds."""


class RollbackBody(Incoming):
    """What a rollback asks for."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"confirm": True, "reason": "emergency"}]})

    confirm: Confirm
    reason: Annotated[
        str,
        Field(
            max_length=200,
            description="Why; shown while the guard is paused. Line ends and control characters become spaces.",
        ),
    ] = "rolled back"


class RolledBack(msgspec.Struct, kw_only=True):
    """What a rollback did. The guard is paused until `POST /api/v1/resume`."""

    status: Literal["completed", "incomplete"]
    """`incomplete`: some could not be restored; they stay noted for the next attempt."""
    changes_reversed: int
    """Number of torrents whose original limit was written back."""
    already_original: int
    """Number of torrents that had their original limit already."""
    set_by_hand: int
    """Number of torrents whose limit a person changed meanwhile; left so."""
    gone: int
    """Number of torrents that qBittorrent does not have any more."""
    failed: int
    """Number of torrents that could not be restored."""
    duration_seconds: float
    """How long this took, seconds."""
    reason: str
    """Why, as it was noted."""
    timestamp: float
    """When it ended, Unix seconds."""


class ResetBody(Incoming):
    """What a reset asks for."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"confirm": True}]})

    confirm: Confirm
    scope: Annotated[
        Literal["unrestored", "all"], Field(description="The same now: what is restored already needs nothing.")
    ] = "unrestored"
    mark_restored: Annotated[bool, Field(description="The same now: what is verified is always marked.")] = True


class Reset(msgspec.Struct, kw_only=True):
    """Originals are back; the next cycle decides anew."""

    status: Literal["ok", "incomplete"]
    """`incomplete`: some could not be restored; they stay noted for the next attempt."""
    count: int
    """Number of torrents that have their original limit."""
    failed: int
    """Number of torrents that could not be restored."""
    mode: Literal["real"]
    """Limits were really written."""


class SmoothingBody(Incoming):
    """Which trackers to forget this of; without any field, all of them."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"all": True}]})

    tracker_id: Annotated[str | None, Field(description="Id of a rule. Default: all trackers.")] = None
    all: Annotated[bool, Field(description="All trackers, whatever `tracker_id` says.")] = False


class Smoothing(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What became of what trackers borrow."""

    status: Literal["ok"]
    """It is done."""
    cleared_count: int
    """Number of trackers that had borrowed something."""
    tracker: str
    """Id of the rule, or `all`."""
    strategy: str
    """How caps are divided: equal, weighted or soft."""
    timestamp: float
    """When it was done, Unix seconds."""
    message: str | None = None
    """Why there was nothing to do; absent if there was."""


@router.post(
    "/config/reload",
    summary="Read the configuration file again",
    responses=answers(Reloaded, problems=(409, 422, 503)),
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
        Reloaded(status="reloaded", rollout_percentage=policy.rollout_percentage, strategy=policy.strategy)
    )


@router.post(
    "/cycle/force",
    summary="Run a cycle now",
    responses=answers(Forced, also={503: "The cycle failed."}, problems=(409,)),
)
async def post_cycle(context: Context, slow_threads: SlowThreads) -> JsonResponse:
    def force() -> JsonResponse:
        began = time.monotonic()
        snapshot = context.commands.force_cycle()
        failed = snapshot.problem_kind != ""
        problem = snapshot.problem if failed else ""
        if snapshot.login_pause is not None:
            problem += f"; {login_outlook(snapshot.login_pause, time.time())}"
        done = Forced(
            status="failed" if failed else "completed",
            duration_seconds=round(time.monotonic() - began, 3),
            timestamp=time.time(),
            problem=problem,
        )
        return JsonResponse(done, 503 if failed else 200)

    return await anyio.to_thread.run_sync(force, limiter=slow_threads)


@router.post(
    "/rollout",
    summary="Manage a part of the torrents",
    description="Until the configuration is read again.",
    responses=answers(Rollout),
)
def post_rollout(context: Context, body: Annotated[RolloutBody, Depends(JsonBody(RolloutBody))]) -> JsonResponse:
    percentage = int(body.percentage)
    context.commands.set_rollout(percentage)
    return JsonResponse(Rollout(status="updated", rollout_percentage=percentage, timestamp=time.time()))


@router.post("/rollback", summary="Put every original limit back, and pause", responses=answers(RolledBack))
def post_rollback(context: Context, body: Annotated[RollbackBody, Depends(JsonBody(RollbackBody))]) -> JsonResponse:
    began = time.monotonic()
    reason = one_line(body.reason) or "rolled back"
    report = context.commands.rollback(reason)
    return JsonResponse(
        RolledBack(
            status="completed" if report.complete else "incomplete",
            changes_reversed=len(report.restored),
            already_original=len(report.already_original),
            set_by_hand=len(report.by_hand),
            gone=len(report.gone),
            failed=len(report.failed),
            duration_seconds=round(time.monotonic() - began, 3),
            reason=reason,
            timestamp=time.time(),
        )
    )


@router.post("/limits/reset", summary="Put original limits back; decide anew", responses=answers(Reset))
def post_reset(context: Context, _body: Annotated[ResetBody, Depends(JsonBody(ResetBody))]) -> JsonResponse:
    report = context.commands.reset()
    return JsonResponse(
        Reset(
            status="ok" if report.complete else "incomplete",
            count=len(report.restored) + len(report.already_original),
            failed=len(report.failed),
            mode="real",
        )
    )


@router.post(
    "/smoothing/reset",
    summary="Forget what trackers borrow",
    responses=answers(Smoothing, problems=(409, 503)),
)
async def post_smoothing(
    context: Context,
    body: Annotated[SmoothingBody, Depends(JsonBody(SmoothingBody, required=False))],
    slow_threads: SlowThreads,
) -> JsonResponse:
    def forget() -> JsonResponse:
        strategy = context.status().strategy
        name = None if body.all else body.tracker_id
        return JsonResponse(
            Smoothing(
                status="ok",
                cleared_count=context.commands.reset_smoothing(name),
                tracker=name or "all",
                strategy=strategy,
                timestamp=time.time(),
                message=None if strategy == "soft" else "the strategy is not 'soft': nothing is borrowed or smoothed",
            )
        )

    return await anyio.to_thread.run_sync(forget, limiter=slow_threads)
