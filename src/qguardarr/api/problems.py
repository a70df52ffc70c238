"""Answers that say no, as RFC 9457 problem details.

Every text here is shown to whoever asked: no secrets, and of a request never more than its path.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from http.client import responses as phrases
from typing import Annotated, Any, Final
from urllib.parse import quote

import msgspec
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from qguardarr import errors as tree

INVALID: Final = "/problems/invalid-request"
MEDIA_TYPE: Final = "application/problem+json"
UNREACHABLE_RETRY_S: Final = 5
BUSY_RETRY_S: Final = 1

_STEERS: Final = re.compile(rb"\x7f|\xc2[\x80-\x9f]|\xe2\x80[\xa8-\xae]|\xe2\x81[\xa6-\xa9]")
"""DEL, C1, line and paragraph separators, and marks of direction; C0 is written so by msgspec."""
_PATH_SAFE: Final = "/:@!$&'()*+,;=~"


class Fault(msgspec.Struct, frozen=True, omit_defaults=True):
    """One of several things that are wrong with what was sent, or with a file."""

    detail: Annotated[str, msgspec.Meta(examples=["Expected `int`, got `str`"])]
    """What is wrong."""
    pointer: Annotated[str, msgspec.Meta(examples=["#/percentage"])] = ""
    """Where in the request's body, as a JSON pointer."""


class ProblemDetails(msgspec.Struct, frozen=True, omit_defaults=True):
    """Body of every answer that says no (`application/problem+json`, RFC 9457)."""

    title: Annotated[str, msgspec.Meta(examples=["Bad Request"])]
    """The kind of problem, in words."""
    status: Annotated[int, msgspec.Meta(ge=400, le=599, examples=[400])]
    """The HTTP status of the answer."""
    type: Annotated[str, msgspec.Meta(examples=["/problems/invalid-request"])] = "about:blank"
    """The kind of problem, for programs."""
    detail: Annotated[str, msgspec.Meta(examples=["body.percentage: Expected `int` <= 100"])] = ""
    """What is wrong this time, and the mend."""
    instance: Annotated[str, msgspec.Meta(examples=["/rollout"])] = ""
    """The path that was asked for."""
    errors: tuple[Fault, ...] = ()
    """The faults one by one, if there may be several."""


class Problem(Exception):
    """Raise it to answer with a problem instead.

    `type` is `/problems/<name>` for a kind of its own; without one the status says it all. `title` defaults to the
    status in words. `extras` are further members of the body (`errors`, for one). `headers` are sent along.
    """

    def __init__(
        self,
        status: int,
        detail: str = "",
        *,
        title: str = "",
        type: str = "about:blank",  # noqa: A002 # RFC 9457's name
        extras: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status = status
        self.title = title or phrases.get(status, "")
        self.detail = detail
        self.type = type
        self.extras = dict(extras or {})
        self.headers = dict(headers or {})
        super().__init__(f"{status} {self.title}: {detail}")


def response(problem: Problem, instance: str | None) -> Response:
    """The answer. `instance` is the request's path, decoded, without the query (it may hold a key)."""
    details = ProblemDetails(
        title=problem.title,
        status=problem.status,
        type=problem.type,
        detail=problem.detail,
        instance=quoted(instance or ""),
    )
    members = msgspec.to_builtins(details)
    body = members | msgspec.to_builtins(problem.extras) | members
    return Response(encoded(_sendable(body)), problem.status, problem.headers, MEDIA_TYPE)


def encoded(value: Any) -> bytes:
    """A value as JSON that may be printed on a terminal: what could steer it, or turn the direction of writing, is
    written as `\\u…`, which means the same. Names of torrents and trackers are written by strangers."""
    return _STEERS.sub(lambda found: b"\\u%04x" % ord(found[0].decode()), msgspec.json.encode(value))


def quoted(path: str) -> str:
    """A request's path as one word of ASCII: what strangers ask for can hold line ends and escape sequences."""
    return quote(path, safe=_PATH_SAFE, errors="replace")


def of_error(error: Exception) -> Problem:
    """The problem that an exception amounts to; of one that nobody foresaw it says nothing."""
    match error:
        case Problem():
            return error
        case HTTPException():
            detail = "" if error.detail == phrases.get(error.status_code) else error.detail
            return Problem(error.status_code, detail, headers=error.headers)
        case RequestValidationError():
            return of_validation(error.errors())
        case tree.ConfigError():
            faults = [Fault(str(fault)) for fault in error.faults]
            return Problem(
                422,
                str(error),
                title="The configuration is faulty",
                type="/problems/configuration",
                extras={"errors": faults},
            )
        case tree.QguardarrError():
            return _of_tree(error)
        case _:
            return Problem(500, "a defect of Qguardarr; its log tells more", type="/problems/defect")


def _of_tree(error: tree.QguardarrError) -> Problem:
    for kind, (status, name, title, retry_s) in _TREE.items():
        if isinstance(error, kind):
            headers = {"Retry-After": str(retry_s)} if retry_s else None
            return Problem(status, str(error), title=title, type=f"/problems/{name}", headers=headers)
    return Problem(500, str(error), type="/problems/defect")


_TREE: Final[Mapping[type[tree.QguardarrError], tuple[int, str, str, int]]] = {
    tree.Unreachable: (503, "unreachable", "qBittorrent cannot be reached", UNREACHABLE_RETRY_S),
    tree.NoAddress: (503, "no-address", "qBittorrent's address is not known", 0),
    tree.AuthRejected: (503, "credentials", "qBittorrent rejects our credentials", 0),
    tree.Banned: (503, "banned", "qBittorrent blocks our address", 0),
    tree.Refused: (502, "refused", "qBittorrent refuses", 0),
    tree.JournalError: (503, "journal", "The journal cannot be used", 0),
    tree.StoreError: (503, "store", "The store cannot be used", 0),
    tree.UnsafePlan: (409, "unsafe-plan", "The plan is implausible and was not applied", 0),
    tree.Busy: (409, "busy", "Another command is at work", BUSY_RETRY_S),
}
"""Status, name, title, and seconds after which to ask again; 0 where a person has to mend something first, or where
nobody knows (a ban by qBittorrent)."""


def of_validation(found: Sequence[Mapping[str, Any]]) -> Problem:
    """Return the problem that pydantic's errors amount to. Those of a body have no place in front of their path.

    Models are flat: below a field's name pydantic tells the members of its union.
    """
    faults: dict[tuple[str, ...], list[str]] = {}
    for error in found:
        where, *path = error["loc"] if error["loc"][:1] in (("query",), ("path",)) else ("body", *error["loc"])
        if error["type"] == "json_invalid":
            return Problem(400, f"the {where} is no JSON", type=INVALID)
        faults.setdefault((where, *map(str, path[:1])), []).append(error["msg"])
    return Problem(
        400,
        "; ".join(f"{'.'.join(place)}: {' or: '.join(words)}" for place, words in faults.items()),
        type=INVALID,
        extras={"errors": [Fault(" or: ".join(words), _pointer(*place)) for place, words in faults.items()]},
    )


def _pointer(where: str, field: str = "") -> str:
    return "" if where != "body" else f"#/{field}" if field else "#"


def invalid(what: str, where: str, field: str = "") -> Problem:
    """Return the problem of a value that its model allows. `field`: of the body, query or path (`where`)."""
    place = f"{where}.{field}" if field else where
    return Problem(400, f"{place}: {what}", type=INVALID, extras={"errors": [Fault(what, _pointer(where, field))]})


def _sendable(value: Any) -> Any:
    """Without what UTF-8 cannot carry: file names that are no UTF-8 arrive as lone surrogates."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {key: _sendable(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_sendable(inner) for inner in value]
    return value
