"""Edit the configuration file: try, save, undo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Literal

import anyio.to_thread
from fastapi import APIRouter, Depends
from pydantic import ConfigDict, Field
from pydantic.config import JsonDict
from starlette.responses import Response

from qguardarr.api.bodies import Incoming, JsonBody, JsonResponse, answers
from qguardarr.api.dependencies import Context, SlowThreads, caller
from qguardarr.api.problems import Fault, Problem, ProblemDetails
from qguardarr.engine.editing import EditFault, EditRefused, EditStep, FileState, Refusal, Saved, Trial
from qguardarr.engine.setting_help import SchemaHelp

router = APIRouter(prefix="/api/v1/config", tags=["Version 1"], dependencies=[Depends(caller)])

MOST_EDITS: Final = 200
SCHEMA: Final = Path(__file__).parents[1] / "settings.json"
"""Written by `python -m docs.openapi`."""

_EXAMPLE: Final[JsonDict] = {
    "edits": [{"op": "set", "path": ["trackers", "public", "max_upload_speed"], "value": "2 MB/s"}],
    "etag": "6f1ed002ab5595859014ebf0951522d9",
}
_ABOUT_EDITS: Final = (
    "A path is a list of keys; behind `trackers` stands the id of a rule, in a list of texts an index. `set` a "
    "setting; `remove` it, so that its default counts, or a rule; `insert` an item into a list; `move` a rule. "
    "`before` is the id or index of the item to stand before; without it, the end (of rules: before a last one that "
    "takes all torrents). Edits are made in order. A text means itself; the password for people is written as its hash."
)

_KINDS: Final = {
    "changed": (409, "config-changed", "The configuration file is another one now"),
    "read-only": (409, "config-read-only", "The configuration file cannot be written"),
    "faulty": (422, "configuration", "The configuration would be faulty"),
    "nothing-to-undo": (409, "nothing-to-undo", "There is nothing to undo"),
    "user-exists": (409, "user-exists", "There is a user already"),
}


class EditBody(Incoming):
    """One change of the configuration file."""

    op: Annotated[Literal["set", "remove", "insert", "move"], Field(description="What to do.")]
    path: Annotated[
        list[Annotated[str, Field(max_length=200)] | int],
        Field(min_length=1, max_length=4, description="Where: `['trackers', 'public', 'max_upload_speed']`."),
    ]
    value: Annotated[
        Any,
        Field(description="For `set` and `insert`: a text, a number, true or false, a list, a mapping, or a rule."),
    ] = None
    before: Annotated[
        str | int | None, Field(description="For `insert` and `move`: id or index of the item to stand before.")
    ] = None


class EditProblem(ProblemDetails, frozen=True, omit_defaults=True):
    """Why the configuration file was not written."""

    hint: str = ""
    """What to do; empty if that is plain."""
    yaml: str = ""
    """The changed sections, to put into a file that cannot be written."""
    faults: tuple[EditFault, ...] = ()
    """Errors that the edits would bring."""


class TryBody(Incoming):
    """Edits to try."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    edits: Annotated[list[EditBody], Field(max_length=MOST_EDITS, description="Changes, made in order.")]
    etag: Annotated[
        str | None, Field(max_length=64, description="The file that they are meant for; without it, the present one.")
    ] = None
    effect: Annotated[bool, Field(description="Also say what would become of limits.")] = True
    torrents_of: Annotated[
        str,
        Field(max_length=200, description="With `effect`: also list torrents that the rule with this id would have."),
    ] = ""


class SaveBody(Incoming):
    """Edits to make."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    edits: Annotated[list[EditBody], Field(min_length=1, max_length=MOST_EDITS, description="Changes, made in order.")]
    etag: Annotated[str, Field(max_length=64, description="The file that they are meant for; see `GET …/file`.")]


class UndoBody(Incoming):
    """Which file to put the version before in the place of."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"etag": _EXAMPLE["etag"]}]})

    etag: Annotated[str, Field(max_length=64, description="The file that is to go; see `GET …/file`.")]


@router.get(
    "/schema",
    summary="All settings that there are: meaning, type, default",
    responses=answers(SchemaHelp),
)
def get_schema() -> Response:
    return Response(SCHEMA.read_bytes(), media_type="application/json")


@router.get(
    "/file",
    summary="The configuration file as it is now",
    description="Reads the file again, which takes a second. Its `etag` is sent along with a save. Secrets are masked.",
    responses=answers(FileState, problems=(422, 503)),
)
async def get_file(context: Context, slow_threads: SlowThreads) -> JsonResponse:
    def read() -> JsonResponse:
        return JsonResponse(context.workshop.editor.read())

    return await anyio.to_thread.run_sync(read, limiter=slow_threads)


@router.post(
    "/try",
    summary="What edits of the configuration would come to",
    description=f"Writes nothing. {_ABOUT_EDITS}",
    responses=answers(Trial, problems=(503,), refusals={409: EditProblem, 422: EditProblem}),
)
async def post_try(
    context: Context, body: Annotated[TryBody, Depends(JsonBody(TryBody))], slow_threads: SlowThreads
) -> JsonResponse:
    def attempt() -> JsonResponse:
        with_effect = body.effect
        try:
            editor, edits = context.workshop.editor, steps(body.edits)
            return JsonResponse(editor.trial(edits, body.etag, effect=with_effect, torrents_of=body.torrents_of))
        except EditRefused as error:
            raise problem_of(error.refusal) from None

    return await anyio.to_thread.run_sync(attempt, limiter=slow_threads)


@router.post(
    "/save",
    summary="Edit the configuration file, and take it up",
    description=f"All edits are made, or none; comments stay. {_ABOUT_EDITS}",
    responses=answers(Saved, problems=(503,), refusals={409: EditProblem, 422: EditProblem}),
)
async def post_save(
    context: Context, body: Annotated[SaveBody, Depends(JsonBody(SaveBody))], slow_threads: SlowThreads
) -> JsonResponse:
    def save() -> JsonResponse:
        try:
            return JsonResponse(context.workshop.editor.save(steps(body.edits), body.etag))
        except EditRefused as error:
            raise problem_of(error.refusal) from None

    return await anyio.to_thread.run_sync(save, limiter=slow_threads)


@router.post(
    "/undo",
    summary="Put the configuration before the last save back",
    description="Byte for byte. The last 20 versions are kept; each call goes one further back.",
    responses=answers(Saved, problems=(503,), refusals={409: EditProblem, 422: EditProblem}),
)
async def post_undo(
    context: Context, body: Annotated[UndoBody, Depends(JsonBody(UndoBody))], slow_threads: SlowThreads
) -> JsonResponse:
    def undo() -> JsonResponse:
        try:
            return JsonResponse(context.workshop.editor.undo(body.etag))
        except EditRefused as error:
            raise problem_of(error.refusal) from None

    return await anyio.to_thread.run_sync(undo, limiter=slow_threads)


def steps(edits: list[EditBody]) -> tuple[EditStep, ...]:
    """Return edits as the editor takes them."""
    return tuple(EditStep(edit.op, tuple(edit.path), edit.value, edit.before) for edit in edits)


def problem_of(refusal: Refusal) -> Problem:
    """Return the problem that a refusal amounts to."""
    status, name, title = _KINDS[refusal.kind]
    extras: dict[str, Any] = {"hint": refusal.hint}
    if refusal.yaml:
        extras["yaml"] = refusal.yaml
    if refusal.faults:
        extras["faults"] = refusal.faults
    errors = [Fault(f"{fault.setting}: {fault.reason}") for fault in refusal.faults]
    detail = f"{refusal.reason}. hint: {refusal.hint}" if refusal.hint else refusal.reason
    return Problem(status, detail, title=title, type=f"/problems/{name}", errors=errors, extras=extras)
