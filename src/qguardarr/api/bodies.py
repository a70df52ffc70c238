"""Bodies in JSON: of requests, checked by pydantic models, and of answers, encoded by msgspec."""

# No `from __future__ import annotations`: FastAPI could not resolve those of a callable object.
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from qguardarr.api.problems import INVALID, MEDIA_TYPE, Problem, encoded, of_validation

TAKEN_FOR_JSON = ("", "application/json", "application/x-www-form-urlencoded", "text/plain")
"""Scripts for the earlier Qguardarr send JSON with `curl -d`, which calls it a form."""


class Incoming(BaseModel):
    """Base of all models of bodies. Unknown fields are ignored; numbers in quotes are no numbers."""

    model_config = ConfigDict(strict=True, frozen=True, allow_inf_nan=False, defer_build=True)


class Query(BaseModel):
    """Base of all models of queries, whose values are text. Built at once: built later, they make FastAPI warn."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class JsonBody:
    """Dependency that reads a body as JSON of a model.

    FastAPI parses its own body parameters before dependencies run, so before it is known who asks, and only under the
    type `application/json`.
    """

    def __init__(self, model: type[Incoming], *, required: bool = True) -> None:
        """`required`: an empty body is refused; otherwise it is `{}`."""
        self.model = model
        self.required = required

    async def __call__(self, request: Request) -> Any:
        """Return the model. Raises `Problem` 400 or 415."""
        if media_type(request) not in TAKEN_FOR_JSON:
            raise Problem(415, "the body must be application/json")
        raw = await request.body()
        if not raw:  # white space alone is no JSON
            if self.required:
                raise Problem(400, "a JSON body is needed", type=INVALID)
            raw = b"{}"
        return validated(self.model, raw)


def validated(model: type[Incoming], raw: bytes) -> Any:
    """Return JSON as a model. Raises `Problem` 400 with all faults."""
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        raise of_validation(error.errors(include_url=False, include_context=False, include_input=False)) from None


def media_type(request: Request) -> str:
    """Return the body's type without parameters, in lower case; empty if the request has none."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


class JsonResponse(Response):
    """A struct, or whatever else msgspec can encode, as JSON.

    Handlers return it themselves: msgspec needs a tenth of the time and memory of a pydantic model for an answer with
    thousands of rows, and FastAPI hands a ready response on as it is.
    """

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Encode; raises what msgspec raises."""
        return encoded(content)


def answers(
    kind: Any,
    *,
    status: int = 200,
    media_type: str = "application/json",
    also: Mapping[int, str] | None = None,
    problems: tuple[int, ...] = (),
    refusals: Mapping[int, Any] | None = None,
) -> dict[int | str, dict[str, Any]]:
    """Describe an answer, for `responses=` of a route.

    `kind`: type of the JSON, in most cases a msgspec struct; the name of a schema in `docs/openapi_compat.json`; None
    for an answer without a body. `also`: further statuses with the same body, and their meaning. `problems`: statuses
    of problem details that the route itself does not show. `refusals`: the same for problem details with members of
    their own, by status. Only `docs/openapi.py` reads this; the daemon builds no
    schema of its answers.
    """
    found: dict[int | str, dict[str, Any]] = {status: {"kind": kind, "media_type": media_type}}
    for code, meaning in (also or {}).items():
        found[code] = {"kind": kind, "media_type": media_type, "description": meaning}
    for code, details in (refusals or {}).items():
        found[code] = {"kind": details, "media_type": MEDIA_TYPE}
    return found | {code: {} for code in problems}
