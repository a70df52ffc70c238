"""Answers in JSON, and the description of them for `/docs`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from qguardarr.api.problems import encoded


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
) -> dict[int | str, dict[str, Any]]:
    """Describe an answer, for `responses=` of a route.

    `kind`: type of the JSON, a msgspec struct in most cases; a schema's name in `docs/openapi_compat.json`; None for an
    answer without a body. `also`: further
    statuses with the same body, and their meaning. `problems`: statuses of problem details that cannot be told from the
    route itself. Only `docs/openapi.py` reads this; the daemon builds no schema of its answers.
    """
    found: dict[int | str, dict[str, Any]] = {status: {"kind": kind, "media_type": media_type}}
    for code, meaning in (also or {}).items():
        found[code] = {"kind": kind, "media_type": media_type, "description": meaning}
    return found | {code: {} for code in problems}
