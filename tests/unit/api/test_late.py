"""Routes that are loaded late: the same as all others, once somebody asks."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from qguardarr.api import app
from qguardarr.api.late import LateRoutes
from tests.support.asgi import ask, scope


@pytest.mark.parametrize("late", app.LATE, ids=lambda late: late.module)
def test_it_stands_for_all_routes_of_its_module(late: LateRoutes) -> None:
    router = importlib.import_module(late.module).router

    assert {route.path for route in router.routes} == late.paths


def test_routes_are_loaded_with_the_first_request_of_any_method() -> None:
    late = LateRoutes("qguardarr.api.v1.editing", "/api/v1/config/schema", "/api/v1/config/undo")
    fastapi = FastAPI(routes=[late], openapi_url=None)

    def answer(method: str, path: str) -> Any:
        return ask(fastapi, scope(method, path)).status

    assert answer("GET", "/elsewhere") == 404
    assert late in fastapi.router.routes
    assert answer("PUT", "/api/v1/config/undo") == 405
    assert late not in fastapi.router.routes
    assert all(isinstance(route, APIRoute) for route in fastapi.router.routes)
    with pytest.raises((AttributeError, HTTPException)):  # there is no daemon here to say who may ask
        answer("POST", "/api/v1/config/undo")
