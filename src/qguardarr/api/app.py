"""The FastAPI application, and what stands around it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final

import anyio
import anyio.to_thread
import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from qguardarr.api import webhook
from qguardarr.api.compat import about, commands, preview, stats
from qguardarr.api.dependencies import ApiContext
from qguardarr.api.late import LateRoutes
from qguardarr.api.middleware import BodyBound, Headers
from qguardarr.api.problems import Problem, of_error, quoted, response
from qguardarr.api.security.origins import PEER
from qguardarr.api.v1 import daemon, events, records, session, torrents, trackers
from qguardarr.api.web import docs
from qguardarr.api.web.pages import problem_page, wants_page
from qguardarr.errors import QguardarrError

MOST_THREADS: Final = 8
"""Handlers that wait at one time, and as many slow ones; more queue up. FastAPI's own limit is 40."""

_MODULES: Final = (
    webhook,  # first: it is asked most often
    about, stats, preview, commands,
    daemon, torrents, trackers, records,
    session, events, docs,
)  # fmt: skip

_LATE: Final = (
    LateRoutes(
        "qguardarr.api.v1.editing",
        *(f"/api/v1/config/{name}" for name in ("schema", "file", "try", "save", "undo")),
    ),
    LateRoutes("qguardarr.api.v1.probes", "/api/v1/hosts", "/api/v1/connection/test", "/api/v1/notifications/test"),
    LateRoutes("qguardarr.api.v1.setup", "/api/v1/setup", "/api/v1/setup/user"),
)
"""Loaded when somebody asks: people edit now and then, and each route takes 20 KB."""

log = structlog.get_logger("qguardarr.api")


def routes() -> list[BaseRoute]:
    """Return all routes, those among them that are loaded late."""
    return [*_served(), *(route for late in _LATE for route in late.load())]


def _served() -> list[BaseRoute]:
    """Return the routes of the start. Each GET also answers HEAD, which FastAPI leaves to the application."""
    found = [route for module in _MODULES for route in module.router.routes]
    for route in found:
        if isinstance(route, APIRoute) and route.methods is not None and "GET" in route.methods:
            route.methods.add("HEAD")
    return found


def application(context: ApiContext) -> FastAPI:
    """Return the application that shows and steers this daemon, by itself."""
    fastapi = FastAPI(
        # Not `include_router`, which builds each route's handler anew for each request.
        routes=[*_served(), *_LATE],
        lifespan=lifespan,
        exception_handlers=_HANDLERS,
        redirect_slashes=False,
        openapi_url=None,  # a packaged file; see `web.docs`
    )
    fastapi.state.context = context
    return fastapi


def build(context: ApiContext) -> ASGIApp:
    """Return the application with all that holds for every request."""
    app: ASGIApp = BodyBound(application(context))
    if base_path := context.settings.base_path:
        app = _BasePath(app, base_path)
    app = Headers(app)
    if context.settings.trusted_proxies:
        app = ProxyHeadersMiddleware(app, trusted_hosts=list(context.settings.trusted_proxies))  # type: ignore[arg-type, assignment]
        app = _PlainAddress(app)
    return app


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Bound the threads of the loop. Calls that may take seconds, for qBittorrent or a child process, have threads of
    their own, so that somebody who wants to pause need not wait for them."""
    anyio.to_thread.current_default_thread_limiter().total_tokens = MOST_THREADS
    app.state.slow_threads = anyio.CapacityLimiter(MOST_THREADS)
    yield


# -- errors -----------------------------------------------------------------------------------------------------------


def refusal(problem: Problem, request: Request) -> Response:
    """Return a problem in the form that the caller understands."""
    if wants_page(request):
        return problem_page(problem, request.scope.get("root_path", ""))
    return response(problem, request.scope["path"])


async def _refuse(request: Request, error: Exception) -> Response:
    return refusal(of_error(error), request)


async def _refuse_path_or_method(request: Request, error: Exception) -> Response:
    """Say which methods a path knows, or that there is no such path."""
    match of_error(error).status:
        case 404:
            return refusal(Problem(404, "There is nothing under this path; see /docs."), request)
        case 405:
            allowed = ", ".join(sorted(_methods(request)))
            return refusal(Problem(405, f"this path knows {allowed}", headers={"Allow": allowed}), request)
        case _:
            return refusal(of_error(error), request)


def _methods(request: Request) -> set[str]:
    known = (route for route in request.app.routes if route.matches(request.scope)[0] is not Match.NONE)
    return {method for route in known for method in route.methods}


async def _nobody_is_there(_request: Request, _error: Exception) -> Response:
    return Response(status_code=400)


async def _refuse_defect(request: Request, error: Exception) -> Response:
    """Log a defect. It ends one request; the same happens when it comes while an answer is sent piece by piece."""
    log.error("defect", path=quoted(request.scope["path"]), exc_info=error)
    return refusal(of_error(error), request)


_HANDLERS: Final[dict[Any, Any]] = {
    Problem: _refuse,
    QguardarrError: _refuse,
    RequestValidationError: _refuse,
    HTTPException: _refuse_path_or_method,
    ClientDisconnect: _nobody_is_there,
    Exception: _refuse_defect,
}


# -- around the application -------------------------------------------------------------------------------------------


class _BasePath:
    """Serves below a path prefix, whether the proxy takes it off or leaves it on."""

    def __init__(self, app: ASGIApp, base_path: str) -> None:
        self._app = app
        self._base_path = base_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path: str = scope["path"]
            base = self._base_path
            below = path if path.startswith(base + "/") else base + ("/" if path == base else path)
            scope = {**scope, "root_path": base, "path": below}
        await self._app(scope, receive, send)


class _PlainAddress:
    """Shows IPv4 clients of a socket for both families by their usual names, under which proxies are trusted."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (client := scope.get("client")):
            address = client[0].removeprefix("::ffff:")
            scope = {**scope, "client": (address, client[1]), PEER: address}
        await self._app(scope, receive, send)
