"""The first run: which steps are done, and the first user."""

from __future__ import annotations

import time
from typing import Annotated

import anyio.to_thread
import msgspec
from fastapi import APIRouter
from pydantic import ConfigDict, Field
from starlette.requests import Request

from qguardarr.api.bodies import Incoming, JsonResponse, answers, media_type, validated
from qguardarr.api.dependencies import ApiContext, CallerIfKnown, Context, SlowThreads
from qguardarr.api.problems import Problem
from qguardarr.api.security.first_user import check_first_user
from qguardarr.api.v1.editing import EditProblem, problem_of
from qguardarr.engine.editing import EditRefused

router = APIRouter(prefix="/api/v1", tags=["Version 1"])


class UserBody(Incoming):
    """The first user."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"username": "me", "password": "correct horse battery staple"}]}
    )

    username: Annotated[
        str,
        Field(
            min_length=1,
            max_length=64,
            pattern=r"^[^\x00-\x1f\x7f]*\S[^\x00-\x1f\x7f]*$",
            description="Name to log in with.",
        ),
    ]
    password: Annotated[str, Field(min_length=8, max_length=1024, description="At least 8 characters.", repr=False)]


class SetupSteps(msgspec.Struct, frozen=True, kw_only=True):
    """What is done on the way to held caps."""

    connection: bool
    """qBittorrent has answered, and does now."""
    version: str
    """qBittorrent's version; empty before it has answered."""
    problem: str
    """Why it does not answer; empty if it does."""
    torrents: int
    """Number of its torrents."""
    capped: int
    """Number of rules with a cap."""
    dry_run: bool
    """Nothing is written yet; set `global.dry_run` to false to go."""
    live: bool
    """Caps are held."""
    next: str
    """Next step in words; empty if none is left."""


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """How far Qguardarr is set up."""

    user: bool
    """There is a user who can log in."""
    open: bool
    """Nobody is asked to log in (`auth: none`)."""
    may_create_user: bool
    """The caller may make the first user."""
    why_not: str
    """Why not; empty if so."""
    steps: SetupSteps | None
    """Only for callers with key or session."""


class UserMade(msgspec.Struct, frozen=True, kw_only=True):
    """There is a user now."""

    user: str
    """The name."""
    in_effect: bool
    """Whether one can log in."""
    problem: str
    """Why not; empty if so."""


@router.get(
    "/setup",
    summary="Which steps of the first run are done",
    description="Everybody may ask whether there is a user; the steps are told to callers with key or session.",
    responses=answers(Setup),
)
async def get_setup(request: Request, context: Context, who: CallerIfKnown) -> JsonResponse:
    why_not = ""
    try:
        _check(request, context)
    except Problem as problem:
        why_not = problem.detail
    return JsonResponse(
        Setup(
            user=context.access.has_user,
            open=context.access.is_open,
            may_create_user=not why_not,
            why_not=why_not,
            steps=None if who is None else _steps(context),
        )
    )


@router.post(
    "/setup/user",
    summary="Make the first user",
    description="While there is none: from a private address within an hour after a start, as long as nothing was "
    "ever written to qBittorrent, or with the API key. The API restarts to take the user up.",
    status_code=201,
    responses=answers(
        UserMade,
        status=201,
        problems=(400, 401, 403, 408, 413, 415, 503),
        refusals={409: EditProblem, 422: EditProblem},
    ),
)
async def post_user(request: Request, context: Context, slow_threads: SlowThreads) -> JsonResponse:
    _check(request, context)
    if media_type(request) != "application/json":
        raise Problem(415, "the body must be application/json")
    body: UserBody = validated(UserBody, await request.body())

    def make() -> JsonResponse:
        try:
            saved = context.workshop.editor.make_user(body.username, body.password)
        except EditRefused as error:
            raise problem_of(error.refusal) from None
        return JsonResponse(UserMade(user=body.username, in_effect=saved.in_effect, problem=saved.problem), 201)

    return await anyio.to_thread.run_sync(make, limiter=slow_threads)


def _check(request: Request, context: ApiContext) -> None:
    status, settings = context.status(), context.settings
    check_first_user(
        request.scope,
        context.access,
        names=(*settings.allowed_hosts, settings.host),
        trusted_proxies=settings.trusted_proxies,
        access_configured=bool(settings.forward_header)
        or "auth.api_key" in msgspec.json.decode(context.origins(), type=dict[str, msgspec.Raw]),
        dry_run=status.dry_run and not status.limited,
        up_s=time.time() - status.started_at,
    )


def _steps(context: ApiContext) -> SetupSteps:
    status = context.status()
    answers = status.state in ("holding", "observing", "paused")
    return SetupSteps(
        connection=answers,
        version=status.qbittorrent_version or "",
        problem="" if answers else status.problem,
        torrents=status.torrents,
        capped=sum(row.cap is not None for row in status.trackers),
        dry_run=status.dry_run,
        live=status.state == "holding",
        next=status.next_step,
    )
