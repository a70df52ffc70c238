"""`Access` as an application has it, and a browser in front."""

from __future__ import annotations

from typing import Any

import argon2
import msgspec
from starlette.requests import Request
from starlette.responses import Response

from qguardarr.api.middleware import Headers
from qguardarr.api.problems import Problem, response
from qguardarr.api.security.access import Access
from qguardarr.api.security.sessions import DEVICE_COOKIE
from qguardarr.engine.settings import ApiSettings
from tests.support.asgi import Answer, Pairs, ask, scope

KEY = "a-key-of-the-tests-0123456789"
USER, PASSWORD = "ada", "pass wörd"
HASH = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
OTHER_HASH = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("other")
JSON = ("Content-Type", "application/json")
RIGHT = msgspec.json.encode({"username": USER, "password": PASSWORD})
WRONG = msgspec.json.encode({"username": USER, "password": "guess"})


def settings(**changes: Any) -> ApiSettings:
    plain = ApiSettings(
        host="127.0.0.1",
        port=8089,
        base_path="",
        trusted_proxies=(),
        open=False,
        api_key=None,
        username=USER,
        password_hash=HASH,
        metrics_open=False,
    )
    return msgspec.structs.replace(plain, **changes)


class Site:
    """`Access` behind an application, with two clocks, and a browser's cookie jar."""

    def __init__(self, key: str = KEY, **changes: Any) -> None:
        self.now = 1_800_000_000.0
        self.monotonic = 5_000.0
        self.access = Access(
            settings(**changes),
            key,
            now=lambda: self.now,
            monotonic=lambda: self.monotonic,
            sleep=self._sleep,
        )
        self.app = Headers(self._app)
        self.cookie = ""
        self.device = ""
        """The cookie of a known browser."""
        self.token = ""

    async def _sleep(self, seconds: float) -> None:
        self.monotonic += seconds

    async def _app(self, scope_: Any, receive: Any, send: Any) -> None:
        request = Request(scope_, receive, send)
        try:
            if request.url.path == "/login":
                answer = _json(await self.access.login(scope_, await request.body()))
            elif request.url.path == "/logout":
                self.access.logout(request)
                answer = Response(status_code=204)
            else:
                answer = _json(
                    self.access.describe(self.access.require(request, query_key=request.url.path == "/hook"))
                )
        except Problem as problem:
            answer = response(problem, scope_["path"])
        await answer(scope_, receive, send)

    def ask(self, method: str = "GET", path: str = "/", headers: Pairs = (), **rest: Any) -> Answer:
        return ask(self.app, scope(method, path, headers, **rest))

    def browse(self, method: str = "GET", path: str = "/", headers: Pairs = (), **rest: Any) -> Answer:
        """With the cookie; keeps a new one."""
        answer = self.ask(method, path, [*headers, ("Cookie", self.cookie)], **rest)
        for line in answer.all_of("set-cookie"):
            self.cookie = line.partition(";")[0]
        return answer

    def login(self, body: bytes = RIGHT, headers: Pairs = (JSON,), **rest: Any) -> Answer:
        answer = ask(self.app, scope("POST", "/login", headers, **rest), body)
        for line in answer.all_of("set-cookie"):
            if DEVICE_COOKIE in line:
                self.device = line.partition(";")[0]
            else:
                self.cookie = line.partition(";")[0]
            self.token = answer.json()["csrf_token"]
        return answer


def _json(value: Any) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")
