"""Bounds and headers that hold for every request, on their own and on a real socket."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import Response
from uvicorn import Config
from uvicorn.server import ServerState

from qguardarr.api import server
from qguardarr.api.app import MOST_THREADS, application, lifespan
from qguardarr.api.middleware import COOKIES, BodyBound, Headers
from qguardarr.api.protocol import MOST_AHEAD, BoundedProtocol
from qguardarr.api.security.access import Identity
from qguardarr.api.server import listen
from qguardarr.errors import Busy, QguardarrError
from tests.support import samples
from tests.support.api_site import settings
from tests.support.asgi import ask, asked, scope


async def echo(scope_: Any, receive: Any, send: Any) -> None:
    body = await Request(scope_, receive, send).body()
    await Response(body, media_type="text/plain")(scope_, receive, send)


async def deaf(scope_: Any, receive: Any, send: Any) -> None:
    await Response(b"done")(scope_, receive, send)


def test_every_answer_keeps_browsers_careful() -> None:
    answer = ask(Headers(echo), scope())
    assert answer.header("x-content-type-options") == "nosniff"
    assert answer.header("referrer-policy") == "no-referrer"
    assert answer.header("x-frame-options") == "DENY"
    assert answer.header("content-security-policy") == "default-src 'none'; frame-ancestors 'none'"
    assert answer.header("cache-control") == "no-store"
    assert answer.header("content-type") == "text/plain; charset=utf-8"


def test_an_answers_own_headers_stand() -> None:
    async def page(scope_: Any, receive: Any, send: Any) -> None:
        own = {"Content-Security-Policy": "default-src 'self'", "Cache-Control": "max-age=60"}
        await Response(b"", headers=own)(scope_, receive, send)

    answer = ask(Headers(page), scope())
    assert answer.header("content-security-policy") == "default-src 'self'"
    assert answer.header("cache-control") == "max-age=60"
    assert answer.header("x-frame-options") == "DENY"


def test_no_origin_is_ever_invited() -> None:
    preflight = scope(
        "OPTIONS", headers=[("Origin", "https://evil.example"), ("Access-Control-Request-Method", "POST")]
    )
    assert not [name for name, _ in ask(Headers(BodyBound(echo)), preflight).headers if name.startswith("access-")]


def test_cookies_left_in_the_scope_are_sent_even_if_it_was_copied() -> None:
    async def copying(scope_: Any, receive: Any, send: Any) -> None:
        inner = dict(scope_)
        inner[COOKIES] += ["a=1; Path=/", "b=2"]
        await deaf(inner, receive, send)

    assert ask(Headers(copying), scope()).all_of("set-cookie") == ["a=1; Path=/", "b=2"]


def test_what_is_no_request_passes_untouched() -> None:
    seen: list[Any] = []

    async def app(scope_: Any, receive: Any, send: Any) -> None:
        seen.append((scope_, receive, send))

    lifespan, receive, send = {"type": "lifespan"}, object(), object()
    asyncio.run(Headers(BodyBound(app))(lifespan, receive, send))  # type: ignore[arg-type]
    assert seen == [(lifespan, receive, send)]
    assert lifespan == {"type": "lifespan"}


@given(parts=st.lists(st.binary(max_size=40), max_size=6))
def test_a_body_passes_whole_or_not_at_all(parts: list[bytes]) -> None:
    size = sum(map(len, parts))
    answer = ask(BodyBound(echo, max_bytes=64), scope("POST"), *parts)
    if size <= 64:
        assert (answer.status, answer.body) == (200, b"".join(parts))
    else:
        assert (answer.status, answer.json()["type"]) == (413, "/problems/too-large")


@pytest.mark.parametrize("length", ["65", "9" * 5000])
def test_a_length_beyond_the_bound_is_refused_unread(length: str) -> None:
    answer = ask(BodyBound(deaf, max_bytes=64), scope("POST", "/webhook", [("Content-Length", length)]), ends=False)
    assert answer.status == 413
    assert answer.header("connection") == "close", "or the rest would be read"
    assert answer.header("content-type") == "application/problem+json"
    assert answer.json() == {
        "title": answer.json()["title"],
        "status": 413,
        "type": "/problems/too-large",
        "detail": "the body is larger than 64 bytes",
        "instance": "/webhook",
    }


@pytest.mark.parametrize("length", ["64", "-1", "x", "", "１"])
def test_a_length_that_says_nothing_is_not_relied_on(length: str) -> None:
    headers = [(b"Content-Length", length.encode())]
    assert ask(BodyBound(echo, max_bytes=64), scope("POST", headers=headers), b"x" * 64).status == 200
    assert ask(BodyBound(echo, max_bytes=64), scope("POST", headers=headers), b"x" * 65).status == 413


def test_a_body_that_does_not_arrive_is_not_waited_for() -> None:
    answer = ask(BodyBound(echo, timeout_s=0.001), scope("POST"), b"half", ends=False)
    assert (answer.status, answer.json()["type"]) == (408, "/problems/body-timeout")
    assert answer.header("connection") == "close"


def test_the_end_of_a_client_may_be_waited_for_longer_than_a_body() -> None:
    """Event streams do."""
    told: list[str] = []
    really_gone: list[bool] = []

    async def stream(scope_: Any, receive: Any, send: Any) -> None:
        await Request(scope_, receive, send).body()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        told.append((await receive())["type"])
        await send({"type": "http.response.body", "body": b""})

    async def run() -> None:
        gone = asyncio.Event()
        asyncio.get_running_loop().call_later(0.02, gone.set)
        first = [{"type": "http.request", "body": b"", "more_body": False}]

        async def receive() -> Any:
            if first:
                return first.pop()
            await gone.wait()
            really_gone.append(True)
            return {"type": "http.disconnect"}

        async def send(_message: Any) -> None:
            pass

        await BodyBound(stream, timeout_s=0.001)(scope(), receive, send)

    asyncio.run(run())
    assert told == ["http.disconnect"]
    assert really_gone == [True]


@pytest.mark.parametrize(("parts", "ends"), [((b"x" * 65,), True), ((), False)])
def test_once_an_answer_has_begun_a_bad_body_is_a_client_gone(parts: tuple[bytes, ...], ends: bool) -> None:
    told: list[str] = []

    async def eager(scope_: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        told.append((await receive())["type"])
        await send({"type": "http.response.body", "body": b""})

    assert ask(BodyBound(eager, max_bytes=64, timeout_s=0.001), scope("POST"), *parts, ends=ends).status == 200
    assert told == ["http.disconnect"]


# -- threads ----------------------------------------------------------------------------------------------------------


class Commands:
    """Commands that wait until `over` is set, but for those that people need in a hurry."""

    def __init__(self) -> None:
        self.hanging: list[threading.Thread] = []
        self.over = threading.Event()

    def hang(self, *_: Any, **__: Any) -> Any:
        self.hanging.append(threading.current_thread())
        self.over.wait()
        raise Busy("enough")

    force_cycle = preview = reset_smoothing = page = hang

    def pause(self, *_: Any) -> None:
        pass

    def resume(self) -> None:
        pass

    def rollback(self, _reason: str) -> Any:
        raise Busy("at once")


def application_with(commands: Any, **more: Any) -> FastAPI:
    """The application, of which anybody may ask anything."""
    known = SimpleNamespace(require=lambda *_, **__: Identity("anyone", "anyone"))
    context: Any = SimpleNamespace(
        access=known, commands=commands, torrents=commands, status=samples.status, settings=settings(), **more
    )
    return application(context)


@pytest.mark.parametrize(
    ("wanted", "body", "status"),
    [("/api/v1/pause", b"", 200), ("/api/v1/resume", b"", 200), ("/rollback", b'{"confirm":true}', 409)],
)
@pytest.mark.parametrize(
    ("method", "slow"),
    [
        ("POST", "/cycle/force"),
        ("GET", "/preview/next-cycle"),
        ("POST", "/smoothing/reset"),
        ("GET", "/api/v1/torrents"),
    ],
)
def test_who_wants_to_pause_does_not_wait_for_those_that_wait_for_qbittorrent(
    method: str, slow: str, wanted: str, body: bytes, status: int
) -> None:
    commands = Commands()
    app = application_with(commands)

    async def run() -> None:
        async with lifespan(app):
            waiting = [asyncio.create_task(asked(app, scope(method, slow))) for _ in range(3 * MOST_THREADS)]
            try:
                await asyncio.wait_for(eventually(lambda: len(commands.hanging) == MOST_THREADS), 60)
                answer = await asyncio.wait_for(asked(app, scope("POST", wanted), body), 60)
                assert answer.status == status
                assert not any(task.done() for task in waiting)
            finally:
                commands.over.set()
            assert {answer.status for answer in await asyncio.gather(*waiting)} == {409}, "they queue up"

    asyncio.run(run())


def test_who_waits_for_a_reload_takes_no_thread() -> None:
    count, waits, outcome = 3 * MOST_THREADS, [], Future[QguardarrError | None]()

    def reload() -> Future[QguardarrError | None]:
        waits.append(threading.current_thread())
        return outcome

    app = application_with(None, reload=reload)

    async def run() -> None:
        async with lifespan(app):
            asking = [asyncio.create_task(asked(app, scope("POST", "/config/reload"))) for _ in range(count)]
            await asyncio.wait_for(eventually(lambda: len(waits) == count), 60)
            outcome.set_result(Busy("enough"))
            assert {answer.status for answer in await asyncio.gather(*asking)} == {409}
        assert set(waits) == {threading.current_thread()}

    asyncio.run(run())


# -- on a real socket -------------------------------------------------------------------------------------------------


class Impatient(BoundedProtocol):
    head_timeout_s = 0.05


def talk(*lines: bytes, patient: bool = True, end: bytes = b"never") -> bytes:
    """All that a server answers to these, until it closes the connection or has said `end`. Each line waits until the
    requests before it have got an answer."""

    async def run() -> bytes:
        bounded = Headers(BodyBound(echo, timeout_s=60.0))
        config = Config(bounded, log_config=None, access_log=False, lifespan="off", timeout_keep_alive=60)
        kind = BoundedProtocol if patient else Impatient
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: kind(config, ServerState(), {}), "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        answer = b""
        try:
            with contextlib.suppress(ConnectionError):  # reset is as good as closed in order
                for number, line in enumerate(lines):
                    while answer.count(b"HTTP/1.1 200") < number:
                        answer += await reader.readuntil(b"\r\n")
                    writer.write(line)
                while end not in answer and (more := await reader.read(4096)):
                    answer += more
            return answer
        finally:
            writer.close()
            server.close()

    return asyncio.run(asyncio.wait_for(run(), 60))


def test_an_ordinary_request_is_answered() -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n"
    assert talk(head + b"x" * 59_999 + b"y", end=b"xy").startswith(b"HTTP/1.1 200")


def test_requests_on_one_connection_are_counted_each_by_itself() -> None:
    request = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nX-Pad: " + b"p" * 20_000 + b"\r\n\r\nhi"
    last = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nConnection: close\r\n\r\nlast"
    assert talk(request, request, request, last).count(b"HTTP/1.1 200") == 4


@pytest.mark.parametrize(
    "endless",
    [b"GET /", b"GET / HTTP/1.1\r\nX: ", b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 6000],
    ids=["path", "value", "fields"],
)
def test_an_endless_head_is_cut_off(endless: bytes) -> None:
    assert talk(endless + b"a" * 33_000).startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize("endless", [b"0\r\nX-Trailer: ", b"1;extension="], ids=["trailer", "extension"])
def test_an_endless_frame_around_a_body_is_cut_off(endless: bytes) -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert talk(head + endless + b"a" * 300_000) == b""


def test_a_chunked_body_is_bounded_and_the_connection_closed() -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = talk(head + (b"4000\r\n" + b"x" * 0x4000 + b"\r\n") * 5)
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"connection: close" in answer.lower()


@pytest.mark.parametrize("begun", [b"", b"\r\n", b"GET / HTTP/1.1\r\nX: y\r\n"])
def test_a_connection_whose_next_request_does_not_come_is_closed(begun: bytes) -> None:
    assert talk(begun, patient=False) == b""
    assert talk(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", begun or b"GET", patient=False).count(b"HTTP/1.1") == 1


def test_pipelined_requests_are_answered() -> None:
    one = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi"
    assert talk(one * 3 + one.replace(b"hi", b"yo"), end=b"yo").count(b"HTTP/1.1 200") == 4


def test_so_many_requests_ahead_are_answered_and_the_last_says_that_it_is_the_last() -> None:
    one = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi"
    assert b"connection: close" not in talk(one * MOST_AHEAD + one.replace(b"hi", b"yo"), end=b"yo")
    *others, last = talk(one * 500).split(b"HTTP/1.1 ")[1:]
    assert len(others) == MOST_AHEAD
    assert all(answer.startswith(b"200 OK\r\n") for answer in [*others, last])
    assert b"connection: close" in last
    assert not any(b"connection: close" in answer for answer in others)


# -- who does not read ------------------------------------------------------------------------------------------------


async def long_answer(scope_: Any, receive: Any, send: Any) -> None:
    await Response(b"" if scope_["path"] == "/short" else b"x" * 8_000_000)(scope_, receive, send)


LONG = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
SHORT = b"GET /short HTTP/1.1\r\nHost: x\r\n\r\n"


class Meeting:
    """A server whose connections are kept in `made`, in order, and clients of it."""

    def __init__(self, server: asyncio.Server, made: list[BoundedProtocol], stack: contextlib.AsyncExitStack) -> None:
        self.made = made
        self._server = server
        self._stack = stack

    async def client(self, request: bytes) -> asyncio.StreamReader:
        """One that asks this, and reads nothing by itself but a little."""
        reader, writer = await asyncio.open_connection(*self._server.sockets[0].getsockname(), limit=1024)
        self._stack.callback(lambda: writer.transport.abort())  # and a writer that nobody holds would close
        writer.write(request)
        return reader

    async def until_unread(self, number: int) -> None:
        """Until so many answers wait for their clients."""
        await eventually(lambda: sum(made.flow.write_paused for made in self.made) == number)


@contextlib.asynccontextmanager
async def meeting(
    kind: type[BoundedProtocol], most: int | None = None, sock: socket.socket | None = None
) -> AsyncIterator[Meeting]:
    made: list[BoundedProtocol] = []
    state = ServerState()
    config = Config(long_answer, log_config=None, access_log=False, lifespan="off", limit_concurrency=most)

    def make() -> BoundedProtocol:
        made.append(kind(config, state, {}))
        return made[-1]

    place: Any = {"host": "127.0.0.1", "port": 0} if sock is None else {"sock": sock}
    serving = await asyncio.get_running_loop().create_server(make, **place)
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(serving.close)
        yield Meeting(serving, made, stack)
        for one in made:
            one.transport.abort()


async def eventually(happened: Callable[[], bool]) -> None:
    while not happened():  # noqa: ASYNC110 # nothing tells
        await asyncio.sleep(0.001)


async def gone(connection: BoundedProtocol) -> None:
    await eventually(lambda: connection not in connection.connections)


def run(test: Callable[[], Any]) -> None:
    asyncio.run(asyncio.wait_for(test(), 60))


@pytest.mark.process
def test_who_never_reads_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the kernel; a client that reads a little starts its time anew."""
    monkeypatch.setattr(server, "UNREAD_TIMEOUT_S", 0.5)

    async def test() -> None:
        async with meeting(BoundedProtocol, sock=listen(settings(port=0)).sockets[0]) as here:
            await here.client(LONG)
            await here.until_unread(1)
            await gone(here.made[0])
            assert here.made[0].cycle.response_complete, "its task has ended as well"

    run(test)


def test_an_answer_that_is_read_after_all_is_whole_and_the_connection_stays() -> None:
    async def test() -> None:
        async with meeting(BoundedProtocol) as here:
            reader = await here.client(LONG + SHORT)
            await here.until_unread(1)
            await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(8_000_000) == b"x" * 8_000_000
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")
            assert not here.made[0].flow.write_paused

    run(test)


def test_who_has_not_read_for_the_longest_makes_room() -> None:
    async def test() -> None:
        async with meeting(BoundedProtocol, most=4) as here:
            for number in range(3):
                await here.client(LONG)
                await here.until_unread(number + 1)
            reader = await here.client(SHORT)
            assert (await reader.readuntil(b"\r\n")).split()[1] == b"200"
            await gone(here.made[0])
            assert all(one in one.connections for one in here.made[1:3]), "one is enough"

    run(test)


def test_who_is_idle_makes_room_before_who_does_not_read() -> None:
    async def test() -> None:
        async with meeting(BoundedProtocol, most=4) as here:
            for _ in range(2):
                await here.client(LONG)
            await here.until_unread(2)
            await (await here.client(SHORT)).readuntil(b"\r\n\r\n")
            await eventually(here.made[2].is_idle)
            await (await here.client(SHORT)).readuntil(b"\r\n\r\n")
            await gone(here.made[2])
            assert [one in one.connections for one in here.made] == [True, True, False, True]

    run(test)
