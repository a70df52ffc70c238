"""Ask an ASGI application without a server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from qguardarr.api.problems import Problem, response

Pairs = Iterable[tuple[str | bytes, str | bytes]]


class Answer(msgspec.Struct):
    """What came back."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, wanted: str) -> str | None:
        """The value of a header that is sent at most once."""
        values = self.all_of(wanted)
        assert len(values) < 2, f"{wanted} was sent twice"
        return values[0] if values else None

    def all_of(self, wanted: str) -> list[str]:
        return [value for name, value in self.headers if name == wanted]

    def json(self) -> Any:
        return msgspec.json.decode(self.body)


def scope(
    method: str = "GET",
    path: str = "/",
    headers: Pairs = (),
    *,
    query: bytes = b"",
    scheme: str = "http",
    client: str | None = "192.0.2.7",
) -> dict[str, Any]:
    """The scope of a request, as uvicorn makes it."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode("utf-8", "surrogateescape"),
        "root_path": "",
        "query_string": query,
        "scheme": scheme,
        "server": ("127.0.0.1", 8089),
        "client": None if client is None else (client, 50000),
        "headers": [(_bytes(name).lower(), _bytes(value)) for name, value in headers],
    }


def ask(app: Any, what: dict[str, Any], *parts: bytes, ends: bool = True) -> Answer:
    """Run `app` for one request, its body in `parts`; if it does not end, nothing more ever comes."""
    return asyncio.run(asked(app, what, *parts, ends=ends))


async def asked(app: Any, what: dict[str, Any], *parts: bytes, ends: bool = True) -> Answer:
    """The same, within a loop."""
    waiting = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
    if ends:
        waiting.append({"type": "http.request", "body": b"", "more_body": False})
    sent: list[Any] = []

    async def receive() -> Any:
        if not waiting:
            await asyncio.Event().wait()
        return waiting.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    await app(what, receive, send)
    assert [message["type"] for message in sent[:1]] == ["http.response.start"]
    return Answer(
        sent[0]["status"],
        [(name.decode("latin-1"), value.decode("latin-1")) for name, value in sent[0]["headers"]],
        b"".join(message.get("body", b"") for message in sent[1:]),
    )


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("latin-1")


async def echo(scope_: Any, receive: Any, send: Any) -> None:
    """Answer with the request's body, or with the problem that reading it raises."""
    try:
        answer = Response(await Request(scope_, receive, send).body(), media_type="text/plain")
    except Problem as problem:
        answer = response(problem, scope_["path"])
    await answer(scope_, receive, send)


async def eventually(happened: Callable[[], bool]) -> None:
    """Wait until something has happened of which nothing tells."""
    while not happened():  # noqa: ASYNC110 # see above
        await asyncio.sleep(0.001)
