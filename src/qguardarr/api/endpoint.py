"""An endpoint as a value: from the same table come the routes and the OpenAPI document, so that neither can lie.

A handler is a plain function from a `Call` to a struct (or a ready response). What it is given is checked already, and
what it raises becomes problem details.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias, cast

import anyio
import anyio.to_thread
import msgspec
import structlog
from starlette.datastructures import QueryParams
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from qguardarr.api.pages import problem_page, wants_page
from qguardarr.api.parts import ApiContext
from qguardarr.api.problems import INVALID, Problem, encoded, of_decoding, of_error, quoted, response
from qguardarr.api.security import Identity

Access_: TypeAlias = Literal["open", "optional", "key", "webhook", "metrics"]
"""Who may call: anybody; anybody, who gets more with a key; who has a key or a session; the same and a key in the
query; as configured (`http.metrics`)."""


MOST_THREADS: Final = 8
"""Handlers that wait, at one time, and as many slow ones; more queue up."""

log = structlog.get_logger("qguardarr.api")


@dataclass(frozen=True)
class Call:
    """A request, checked."""

    request: Request
    identity: Identity | None
    path: Any = None
    query: Any = None
    body: Any = None


Handler: TypeAlias = Callable[[ApiContext, Call], Any]


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One method of one path."""

    method: Literal["GET", "POST", "PUT", "DELETE"]
    path: str
    """As Starlette has it: `/api/v1/torrents/{hash}`."""
    handler: Handler | Callable[[ApiContext, Call], Awaitable[Any]]
    summary: str
    description: str = ""
    tag: str
    answer: Any
    """Type of the answer's JSON; None for one without a body."""
    example: Any = None
    """Of the answer."""
    status: int = 200
    media_type: str = "application/json"
    path_type: type | None = None
    query_type: type[msgspec.Struct] | None = None
    body_type: type | None = None
    body_required: bool = True
    body_media_types: tuple[str, ...] = ("application/json",)
    body_raw: bool = False
    """The handler reads it itself."""
    body_example: Any = None
    access: Access_ = "key"
    blocking: bool = False
    """It may wait (for the engine, qBittorrent or a disk): runs in a thread of its own."""
    slow: bool = False
    """It may wait for seconds, for qBittorrent or a child process: such have threads to themselves, so that who wants
    to pause need not wait for them. A rollback waits as well, but only one at a time."""
    page: Handler | None = None
    """Answers browsers instead, whoever asks: a page without secrets."""
    asynchronous: bool = False
    """The handler is a coroutine function."""
    problems: tuple[int, ...] = ()
    """Statuses of problem details beside those that follow from the fields above."""
    more_statuses: dict[int, str] = field(default_factory=dict)
    """Other answers of the same type, with what they mean …"""
    more_examples: dict[int, Any] = field(default_factory=dict)
    """… and what they look like, where that is not like `example`."""


class Dispatcher:
    """Runs endpoints."""

    def __init__(self, parts: ApiContext) -> None:
        self._parts = parts
        self._threads: dict[bool, anyio.CapacityLimiter] = {}
        """For slow handlers and for others."""

    def routes(self, endpoints: Iterable[Endpoint]) -> list[Route]:
        """One route for each path."""
        by_path: dict[str, dict[str, Endpoint]] = {}
        for endpoint in endpoints:
            by_path.setdefault(endpoint.path, {})[endpoint.method] = endpoint
        return [Route(path, _Path(self, methods)) for path, methods in by_path.items()]

    async def answer(self, endpoint: Endpoint, request: Request) -> Response:
        """Check the request, and run the handler. Raises what it raises."""
        if endpoint.page is not None and wants_page(request):
            return cast("Response", endpoint.page(self._parts, Call(request, None)))
        identity = self._identity(endpoint, request)
        call = Call(
            request,
            identity,
            path=_converted(request.path_params, endpoint.path_type, "path"),
            query=_converted(_once(request.query_params, endpoint.query_type), endpoint.query_type, "query"),
            body=await _body(endpoint, request),
        )
        if endpoint.asynchronous:
            answer = await endpoint.handler(self._parts, call)
        elif endpoint.blocking:
            if endpoint.slow not in self._threads:  # needs a running loop
                self._threads[endpoint.slow] = anyio.CapacityLimiter(MOST_THREADS)
            limiter = self._threads[endpoint.slow]
            answer = await anyio.to_thread.run_sync(endpoint.handler, self._parts, call, limiter=limiter)
        else:
            answer = endpoint.handler(self._parts, call)
        if isinstance(answer, Response):
            return answer
        return Response(status_code=204) if answer is None else json_response(answer, endpoint.status)

    def _identity(self, endpoint: Endpoint, request: Request) -> Identity | None:
        access = self._parts.access
        if endpoint.access == "open" or (endpoint.access == "metrics" and self._parts.settings.metrics_open):
            return None
        if endpoint.access == "optional":
            return access.identify(request.scope)
        return access.require(request.scope, query_key=endpoint.access == "webhook")


class _Path:
    """A path with its methods, as an ASGI application."""

    def __init__(self, dispatcher: Dispatcher, methods: dict[str, Endpoint]) -> None:
        self._dispatcher = dispatcher
        self._methods = methods
        self._allowed = ", ".join(sorted([*methods, *(["HEAD"] if "GET" in methods else [])]))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        answer = await self._answer(request)
        try:
            await answer(scope, receive, send)
        except Exception:  # while it is sent piece by piece
            log.exception("defect", path=quoted(scope["path"]))
            raise

    async def _answer(self, request: Request) -> Response:
        endpoint = self._methods.get("GET" if request.method == "HEAD" else request.method)
        try:
            if endpoint is None:
                raise Problem(405, f"this path knows {self._allowed}", headers={"Allow": self._allowed})
            return await self._dispatcher.answer(endpoint, request)
        except Problem as problem:
            return refusal(problem, request)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody is there to read it
        except Exception as error:  # a defect ends one request, and is said once
            found = of_error(error)
            if found.status == 500:
                log.exception("defect", path=quoted(request.scope["path"]))
            return refusal(found, request)


def refusal(problem: Problem, request: Request) -> Response:
    """A problem in the form that the caller understands."""
    if wants_page(request):
        return problem_page(problem, request.scope.get("root_path", ""))
    return response(problem, request.scope["path"])


def json_response(value: Any, status: int = 200) -> Response:
    """A struct (or what JSON knows) as an answer."""
    return Response(encoded(value), status_code=status, media_type="application/json")


async def _body(endpoint: Endpoint, request: Request) -> Any:
    if endpoint.body_type is None:
        await request.body()  # an answer that goes on for long listens for the client's end, and must not meet this
        return None
    if endpoint.body_raw:
        return None
    kind = media_type(request)
    # Scripts for the earlier Qguardarr send JSON with `curl -d`, which calls it a form.
    if kind not in ("", "application/json", "application/x-www-form-urlencoded", "text/plain"):
        raise Problem(415, "the body must be application/json")
    raw = await request.body()
    if not raw:  # white space alone is no JSON
        if endpoint.body_required:
            raise Problem(400, "a JSON body is needed", type=INVALID)
        raw = b"{}"
    return decoded(raw, endpoint.body_type)


def media_type(request: Request) -> str:
    """The body's type as the request has it, without parameters; empty if it does not say."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def decoded(raw: bytes, kind: Any) -> Any:
    """JSON as a struct; Problem 400 says what is wrong with it."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise of_decoding(error) from None


def _converted(values: dict[str, Any], kind: type | None, where: str) -> Any:
    if kind is None:
        return None
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise of_decoding(error, where) from None


def _once(found: QueryParams, kind: type[msgspec.Struct] | None) -> dict[str, str]:
    """Of one that is given twice it would be anybody's guess which counts."""
    names = () if kind is None else kind.__struct_fields__
    if (twice := next((name for name in names if len(found.getlist(name)) > 1), None)) is not None:
        raise Problem(400, f"query.{twice}: given more than once", type=INVALID)
    return dict(found)
