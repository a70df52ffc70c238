"""The ASGI application: routes, and what stands around them."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.routing import Router
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from qguardarr.api import docs, legacy, legacy_commands, people, settings, v1, webhook
from qguardarr.api.endpoint import Dispatcher, refusal
from qguardarr.api.middleware import BodyBound, Headers
from qguardarr.api.parts import ApiContext
from qguardarr.api.problems import Problem

ENDPOINTS: Final = (
    *legacy.ENDPOINTS,
    *legacy_commands.ENDPOINTS,
    *v1.ENDPOINTS,
    *settings.ENDPOINTS,
    *webhook.ENDPOINTS,
    *people.ENDPOINTS,
)


def build(parts: ApiContext) -> ASGIApp:
    """The application for these parts."""
    base_path = parts.settings.base_path
    # Not Starlette itself: its pages for errors, with HTML's entities, take half a megabyte. The dispatcher makes ours.
    routes = Dispatcher(parts).routes(
        sorted((*ENDPOINTS, docs.FILE), key=lambda e: e.access != "webhook")
    )  # is asked the most
    app: ASGIApp = BodyBound(Router(routes, redirect_slashes=False, default=_nothing_here))
    if base_path:
        app = _BasePath(app, base_path)
    app = Headers(app)
    if parts.settings.trusted_proxies:
        app = ProxyHeadersMiddleware(app, trusted_hosts=list(parts.settings.trusted_proxies))  # type: ignore[arg-type, assignment]
    return app


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


async def _nothing_here(scope: Scope, receive: Receive, send: Send) -> None:
    problem = Problem(404, "There is nothing under this path; see /docs.")
    await refusal(problem, Request(scope))(scope, receive, send)
