"""Commands of the earlier Qguardarr, under their old paths, with their old meaning."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from starlette.responses import Response

from qguardarr.api import examples
from qguardarr.api.endpoint import Call, Endpoint, json_response
from qguardarr.api.legacy import TAG
from qguardarr.api.legacy_schemas import (
    Forced,
    Reloaded,
    Reset,
    ResetBody,
    RollbackBody,
    RolledBack,
    Rollout,
    RolloutBody,
    Smoothing,
    SmoothingBody,
)
from qguardarr.api.parts import ApiContext
from qguardarr.api.problems import invalid
from qguardarr.engine.commands import one_line
from qguardarr.engine.health import login_outlook
from qguardarr.errors import Busy

RELOAD_TIMEOUT_S: Final = 140.0
"""Twice as long as the child that reads the file may take, and more: a reload may be under way already."""


async def post_reload(parts: ApiContext, _call: Call) -> Reloaded:
    try:
        # Waiting takes no thread: whoever asks joins the next round at once, however many ask.
        failure = await asyncio.wait_for(asyncio.wrap_future(parts.reload()), RELOAD_TIMEOUT_S)
    except TimeoutError:
        raise Busy("the configuration is still being read; try again in a moment") from None
    if failure is not None:
        raise failure
    policy = parts.commands.file_policy
    return Reloaded(status="reloaded", rollout_percentage=policy.rollout_percentage, strategy=policy.strategy)


def post_cycle(parts: ApiContext, _call: Call) -> Response:
    began = time.monotonic()
    snapshot = parts.commands.force_cycle()
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
    return json_response(done, 503 if failed else 200)


def post_rollout(parts: ApiContext, call: Call) -> Rollout:
    percentage = int(call.body.percentage)
    parts.commands.set_rollout(percentage)
    return Rollout(status="updated", rollout_percentage=percentage, timestamp=time.time())


def post_rollback(parts: ApiContext, call: Call) -> RolledBack:
    _confirmed(call.body.confirm)
    began = time.monotonic()
    reason = one_line(call.body.reason) or "rolled back"
    report = parts.commands.rollback(reason)
    return RolledBack(
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


def post_reset(parts: ApiContext, call: Call) -> Reset:
    _confirmed(call.body.confirm)
    report = parts.commands.reset()
    return Reset(
        status="ok" if report.complete else "incomplete",
        count=len(report.restored) + len(report.already_original),
        failed=len(report.failed),
        mode="real",
    )


def post_smoothing(parts: ApiContext, call: Call) -> Smoothing:
    body, strategy = call.body, parts.status().strategy
    name = None if body is None or body.all else body.tracker_id
    return Smoothing(
        status="ok",
        cleared_count=parts.commands.reset_smoothing(name),
        tracker=name or "all",
        strategy=strategy,
        timestamp=time.time(),
        message=None if strategy == "soft" else "the strategy is not 'soft': nothing is borrowed or smoothed",
    )


def _confirmed(confirm: bool) -> None:
    if not confirm:
        raise invalid("must be true, so that nobody does this by accident", "body", "confirm")


ENDPOINTS: Final = (
    Endpoint(
        method="POST", path="/config/reload", handler=post_reload, summary="Read the configuration file again",
        tag=TAG, answer=Reloaded, asynchronous=True, problems=(409, 422, 503), example=examples.RELOADED,
    ),
    Endpoint(
        method="POST", path="/cycle/force", handler=post_cycle, summary="Run a cycle now", tag=TAG, answer=Forced,
        blocking=True, slow=True, more_statuses={503: "The cycle failed."}, example=examples.FORCED,
    ),
    Endpoint(
        method="POST", path="/rollout", handler=post_rollout, summary="Manage a part of the torrents", tag=TAG,
        description="Until the configuration is read again.", answer=Rollout, body_type=RolloutBody,
        body_example={"percentage": 50}, blocking=True, example=examples.ROLLOUT,
    ),
    Endpoint(
        method="POST", path="/rollback", handler=post_rollback, summary="Put every original limit back, and pause",
        tag=TAG, answer=RolledBack, body_type=RollbackBody, body_example={"confirm": True, "reason": "emergency"},
        blocking=True, example=examples.ROLLED_BACK,
    ),
    Endpoint(
        method="POST", path="/limits/reset", handler=post_reset, summary="Put original limits back; decide anew",
        tag=TAG, answer=Reset, body_type=ResetBody, body_example={"confirm": True}, blocking=True,
        example=examples.RESET,
    ),
    Endpoint(
        method="POST", path="/smoothing/reset", handler=post_smoothing, summary="Forget what trackers borrow",
        tag=TAG, answer=Smoothing, body_type=SmoothingBody, body_example={"all": True}, body_required=False,
        blocking=True, slow=True, example=examples.SMOOTHING,
    ),
)  # fmt: skip
