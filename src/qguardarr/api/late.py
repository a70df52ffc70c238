"""Routes whose module is loaded when one of their paths is first asked for, so that the daemon stays small."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

import anyio.to_thread
from fastapi.routing import APIRoute
from starlette._utils import get_route_path
from starlette.routing import BaseRoute, Match

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send


class LateRoutes(BaseRoute):
    """Stands for the routes of a module. They take its place in the application with the first request."""

    def __init__(self, module: str, *paths: str) -> None:
        """`paths`: all that the module's router has."""
        self.module = module
        self.paths = frozenset(paths)

    def load(self) -> list[BaseRoute]:
        """Return the routes. Each GET also answers HEAD."""
        found: list[BaseRoute] = importlib.import_module(self.module).router.routes
        for route in found:
            if isinstance(route, APIRoute) and route.methods is not None and "GET" in route.methods:
                route.methods.add("HEAD")
        return found

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Match one of the paths, whatever the method."""
        here = scope["type"] == "http" and get_route_path(scope) in self.paths
        return (Match.FULL if here else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Load the routes, and have them answer."""
        loaded = await anyio.to_thread.run_sync(self.load)
        router = scope["app"].router
        if self in router.routes:  # nobody else was quicker
            index = router.routes.index(self)
            router.routes[index : index + 1] = loaded
        await router(scope, receive, send)
