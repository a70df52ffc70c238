"""Refusals as RFC 9457 problem details.

Every text here is shown to whoever asked: it holds no secrets, and of a request never more than its path.
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
SEARCH_RETRY_S: Final = 5

_STEERS: Final = re.compile(rb"\x7f|\xc2[\x80-\x9f]|\xe2\x80[\xa8-\xae]|\xe2\x81[\xa6-\xa9]")
"""DEL, C1, line and paragraph separators, and marks of direction; msgspec itself escapes C0."""
_PATH_SAFE: Final = "/:@!$&'()*+,;=~"

_TREE: Final[Mapping[type[tree.QguardarrError], tuple[int, str, str, int]]] = {
    tree.ConfigError: (422, "configuration", "The configuration is faulty", 0),
    tree.Unreachable: (503, "unreachable", "qBittorrent cannot be reached", UNREACHABLE_RETRY_S),
    tree.NoAddress: (503, "no-address", "qBittorrent's address is not known", 0),
    tree.AuthRejected: (503, "credentials", "qBittorrent rejects our credentials", 0),
    tree.Banned: (503, "banned", "qBittorrent blocks our address", 0),
    tree.Refused: (502, "refused", "qBittorrent refuses", 0),
    tree.JournalError: (503, "journal", "The journal cannot be used", 0),
    tree.StoreError: (503, "store", "The store cannot be used", 0),
    tree.SearchFailed: (503, "search", "A pattern with look-around could not be searched", SEARCH_RETRY_S),
    tree.UnsafePlan: (409, "unsafe-plan", "The plan is implausible and was not applied", 0),
    tree.UnknownInstance: (404, "unknown-instance", "There is no such qBittorrent", 0),
    tree.SeveralHaveIt: (409, "several-have-it", "Several qBittorrents have the torrent", 0),
    tree.Busy: (409, "busy", "Another command is at work", BUSY_RETRY_S),
    tree.QguardarrError: (500, "defect", "", 0),
}
"""Status, name, title, and seconds after which to ask again; 0 where a person has to mend something first, or where
nobody knows (a ban by qBittorrent)."""


class Fault(msgspec.Struct, frozen=True, omit_defaults=True):
    """One of several things that are wrong with what was sent, or with a file."""

    detail: Annotated[str, msgspec.Meta(examples=["Expected `int`, got `str`"])]
    """What is wrong."""
    pointer: Annotated[str, msgspec.Meta(examples=["#/percentage"])] = ""
    """Where in the request's body, as a JSON pointer."""
    parameter: Annotated[str, msgspec.Meta(examples=["limit"])] = ""
    """Name of the parameter, if the fault is in the query or the path."""


class ProblemDetails(msgspec.Struct, frozen=True, omit_defaults=True):
    """Body of every refusal (`application/problem+json`, RFC 9457)."""

    title: Annotated[str, msgspec.Meta(examples=["Bad Request"])]
    """The kind of problem, in words."""
    status: Annotated[int, msgspec.Meta(ge=400, le=599, examples=[400])]
    """The HTTP status of the answer."""
    type: Annotated[str, msgspec.Meta(examples=["/problems/invalid-request"])] = "about:blank"
    """The kind of problem, for programs."""
    detail: Annotated[str, msgspec.Meta(examples=["body.percentage: Expected `int` <= 100"])] = ""
    """What is wrong this time, and how to mend it."""
    instance: Annotated[str, msgspec.Meta(examples=["/rollout"])] = ""
    """The path that was asked for."""
    errors: tuple[Fault, ...] = ()
    """The faults one by one, if there may be several."""


class Problem(Exception):
    """Answer with a problem instead.

    `type` is `/problems/<name>` for a kind of its own; without one the status says it all. `title` defaults to the
    status in words. `extras` are further members of the body. `headers` are sent along.
    """

    def __init__(
        self,
        status: int,
        detail: str = "",
        *,
        title: str = "",
        type: str = "about:blank",  # noqa: A002 # RFC 9457's name
        errors: Sequence[Fault] = (),
        extras: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status = status
        self.title = title or phrases.get(status, "")
        self.detail = detail
        self.type = type
        self.errors = tuple(errors)
        self.extras = dict(extras or {})
        self.headers = dict(headers or {})
        super().__init__(f"{status} {self.title}: {detail}")


def response(problem: Problem, instance: str | None) -> Response:
    """Return the answer. `instance` is the request's path, decoded, without the query (it may hold a key)."""
    details = ProblemDetails(
        title=problem.title,
        status=problem.status,
        type=problem.type,
        detail=_utf8(problem.detail),
        instance=quoted(instance or ""),
        errors=tuple(Fault(_utf8(fault.detail), fault.pointer, _utf8(fault.parameter)) for fault in problem.errors),
    )
    body = msgspec.to_builtins(details) | problem.extras if problem.extras else details
    return Response(encoded(body), problem.status, problem.headers, MEDIA_TYPE)


def encoded(value: Any) -> bytes:
    """Return a value as JSON that may be printed on a terminal.

    Strangers write names of torrents and trackers. Characters that could steer a terminal, or turn the direction of
    writing, are written as `\\u…`, which means the same.
    """
    return _STEERS.sub(lambda found: b"\\u%04x" % ord(found[0].decode()), msgspec.json.encode(value))


def quoted(path: str) -> str:
    """Return a path as one word of ASCII: strangers ask for paths with line ends and escape sequences."""
    return quote(path, safe=_PATH_SAFE, errors="replace")


def of_error(error: Exception) -> Problem:
    """Return the problem that an exception amounts to. It says nothing of one that nobody foresaw."""
    match error:
        case Problem():
            return error
        case HTTPException():
            detail = "" if error.detail == phrases.get(error.status_code) else error.detail
            return Problem(error.status_code, detail, headers=error.headers)
        case RequestValidationError():
            return of_validation(error.errors())
        case tree.QguardarrError():
            status, name, title, retry_s = next(row for kind, row in _TREE.items() if isinstance(error, kind))
            return Problem(
                status,
                str(error),
                title=title,
                type=f"/problems/{name}",
                errors=[Fault(str(fault)) for fault in error.faults] if isinstance(error, tree.ConfigError) else (),
                headers={"Retry-After": str(retry_s)} if retry_s else None,
            )
        case _:
            return Problem(500, "a defect of Qguardarr; its log tells more", type="/problems/defect")


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
    return _invalid({place: " or: ".join(words) for place, words in faults.items()})


def invalid(what: str, where: str, field: str = "") -> Problem:
    """Return the problem of a value that its model allows. `field`: of the body, query or path (`where`)."""
    return _invalid({(where, field) if field else (where,): what})


def _invalid(faults: Mapping[tuple[str, ...], str]) -> Problem:
    return Problem(
        400,
        "; ".join(f"{'.'.join(place)}: {words}" for place, words in faults.items()),
        type=INVALID,
        errors=[_fault(words, *place) for place, words in faults.items()],
    )


def _fault(words: str, where: str, field: str = "") -> Fault:
    if where == "body":
        return Fault(words, f"#/{field}" if field else "#")
    return Fault(words, parameter=field)


def _utf8(text: str) -> str:
    """Escape lone surrogates, as which file names arrive that are no UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()
