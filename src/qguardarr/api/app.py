"""The FastAPI application, its error handlers, and the middleware around it."""

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
from qguardarr.api.security.request import PEER
from qguardarr.api.v1 import daemon, journal, records, session, torrents, trackers
from qguardarr.api.web import dashboard, docs
from qguardarr.api.web.pages import problem_page, wants_page
from qguardarr.errors import QguardarrError

MOST_THREADS: Final = 8
"""Handlers that run in threads at one time; slow ones have another 8. More queue up. FastAPI's own limit is 40."""

_MODULES: Final = (
    webhook,  # first: it is asked most often
    about, stats, preview, commands,
    daemon, torrents, trackers, records, journal,
    session, docs, dashboard,
)  # fmt: skip

LATE: Final = (
    LateRoutes(
        "qguardarr.api.v1.editing",
        *(f"/api/v1/config/{name}" for name in ("schema", "file", "try", "save", "undo")),
    ),
    LateRoutes(
        "qguardarr.api.v1.probes",
        *(f"/api/v1/{name}" for name in ("hosts", "labels", "match", "connection/test", "notifications/test")),
    ),
    LateRoutes("qguardarr.api.v1.restoring", "/api/v1/journal/restore"),
    LateRoutes("qguardarr.api.v1.orders", "/api/v1/orders", "/api/v1/orders/boost", "/api/v1/orders/hush"),
    LateRoutes("qguardarr.api.v1.usage", "/api/v1/usage", "/api/v1/usage.csv"),
    LateRoutes("qguardarr.api.v1.setup", "/api/v1/setup", "/api/v1/setup/user"),
)
"""Loaded when somebody asks: people edit now and then, and each route takes 20 KB."""

log = structlog.get_logger("qguardarr.api")


def routes() -> list[BaseRoute]:
    """Return all routes, those among them that are loaded late."""
    return [*_served(), *(route for late in LATE for route in late.load())]


def _served() -> list[BaseRoute]:
    """Return the routes of the start. Each GET also answers HEAD, which FastAPI leaves to the application."""
    found = [route for module in _MODULES for route in module.router.routes]
    for route in found:
        if isinstance(route, APIRoute) and route.methods is not None and "GET" in route.methods:
            route.methods.add("HEAD")
    return found


def application(context: ApiContext) -> FastAPI:
    """Return the application without middleware."""
    fastapi = FastAPI(
        # Not `include_router`, which builds each route's handler again for each request.
        routes=[*_served(), *LATE],
        lifespan=lifespan,
        exception_handlers=_HANDLERS,
        redirect_slashes=False,
        openapi_url=None,  # a packaged file; see `web.docs`
    )
    fastapi.state.context = context
    return fastapi


def build(context: ApiContext) -> ASGIApp:
    """Return the application with its middleware."""
    app: ASGIApp = BodyBound(application(context))
    if base_path := context.settings.base_path:
        app = _with_base_path(app, base_path)
    app = Headers(app)
    if context.settings.trusted_proxies:
        app = ProxyHeadersMiddleware(app, trusted_hosts=list(context.settings.trusted_proxies))  # type: ignore[arg-type, assignment]
        app = _with_plain_address(app)
    return app


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Bound the threads of the loop.

    Calls that may take seconds, for qBittorrent or a child process, have threads of their own, so that a pause does not
    wait for them.
    """
    anyio.to_thread.current_default_thread_limiter().total_tokens = MOST_THREADS
    app.state.slow_threads = anyio.CapacityLimiter(MOST_THREADS)
    yield


# -- errors -----------------------------------------------------------------------------------------------------------


async def _refuse(request: Request, error: Exception) -> Response:
    """Answer an error in the form that the caller understands."""
    problem = of_error(error)
    if isinstance(error, HTTPException) and problem.status == 404:
        problem = Problem(404, "There is nothing under this path; see /docs.")
    elif isinstance(error, HTTPException) and problem.status == 405:
        known = (route for route in request.app.routes if route.matches(request.scope)[0] is not Match.NONE)
        allowed = ", ".join(sorted({method for route in known for method in route.methods}))
        problem = Problem(405, f"this path knows {allowed}", headers={"Allow": allowed})
    if wants_page(request):
        return problem_page(problem, request.scope.get("root_path", ""))
    return response(problem, request.scope["path"])


async def _refuse_defect(request: Request, error: Exception) -> Response:
    """Log a defect, which ends one request."""
    log.error("defect", path=quoted(request.scope["path"]), exc_info=error)
    return await _refuse(request, error)


async def _refuse_absent(_request: Request, _error: Exception) -> Response:
    return Response(status_code=400)


_HANDLERS: Final[dict[Any, Any]] = {
    Problem: _refuse,
    QguardarrError: _refuse,
    RequestValidationError: _refuse,
    HTTPException: _refuse,
    ClientDisconnect: _refuse_absent,
    Exception: _refuse_defect,
}


# -- around the application -------------------------------------------------------------------------------------------


def _with_base_path(app: ASGIApp, base: str) -> ASGIApp:
    """Serve below a path prefix, whether the proxy takes it off or leaves it on."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path: str = scope["path"]
            below = path if path.startswith(base + "/") else base + ("/" if path == base else path)
            scope = {**scope, "root_path": base, "path": below}
        await app(scope, receive, send)

    return serve


def _with_plain_address(app: ASGIApp) -> ASGIApp:
    """Write IPv4 clients of a socket for both families in the usual way, in which proxies are trusted."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (client := scope.get("client")):
            address = client[0].removeprefix("::ffff:")
            scope = {**scope, "client": (address, client[1]), PEER: address}
        await app(scope, receive, send)

    return serve
