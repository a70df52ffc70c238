"""Bounds on connections, heads and requests sent ahead, on a real socket."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from starlette.responses import Response
from uvicorn import Config
from uvicorn.server import ServerState

from qguardarr.api import server
from qguardarr.api.middleware import BodyBound, Headers
from qguardarr.api.protocol import MOST_AHEAD, BoundedProtocol
from qguardarr.api.server import listen
from tests.support.api_site import settings
from tests.support.asgi import echo, eventually


class Impatient(BoundedProtocol):
    head_timeout_s = 0.05


def talk(*lines: bytes, patient: bool = True, end: bytes = b"never") -> bytes:
    """Return the whole answer of a server, until it closes the connection or has sent `end`.

    Each line is sent when the requests before it have been answered.
    """

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


def test_requests_ahead_are_answered_up_to_a_bound_and_the_last_closes_the_connection() -> None:
    one = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi"
    assert b"connection: close" not in talk(one * MOST_AHEAD + one.replace(b"hi", b"yo"), end=b"yo")
    *others, last = talk(one * 500).split(b"HTTP/1.1 ")[1:]
    assert len(others) == MOST_AHEAD
    assert all(answer.startswith(b"200 OK\r\n") for answer in [*others, last])
    assert b"connection: close" in last
    assert not any(b"connection: close" in answer for answer in others)


# -- clients that do not read -----------------------------------------------------------------------------------------


async def long_answer(scope_: Any, receive: Any, send: Any) -> None:
    await Response(b"" if scope_["path"] == "/short" else b"x" * 8_000_000)(scope_, receive, send)


LONG = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
SHORT = b"GET /short HTTP/1.1\r\nHost: x\r\n\r\n"


class Meeting:
    """A server, which keeps its connections in `made` in order, and its clients."""

    def __init__(self, server: asyncio.Server, made: list[BoundedProtocol], stack: contextlib.AsyncExitStack) -> None:
        self.made = made
        self._server = server
        self._stack = stack

    async def client(self, request: bytes) -> asyncio.StreamReader:
        """Connect, send a request, and read only a little of the answer."""
        reader, writer = await asyncio.open_connection(*self._server.sockets[0].getsockname(), limit=1024)
        self._stack.callback(lambda: writer.transport.abort())  # and a writer that nobody holds would close
        writer.write(request)
        return reader

    async def until_unread(self, number: int) -> None:
        """Wait until this number of answers wait for their clients."""
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


async def gone(connection: BoundedProtocol) -> None:
    await eventually(lambda: connection not in connection.connections)


def run(test: Callable[[], Any]) -> None:
    asyncio.run(asyncio.wait_for(test(), 60))


@pytest.mark.process
def test_a_client_that_never_reads_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel does it; reading a little starts the time again."""
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


def test_the_client_that_has_not_read_for_the_longest_makes_room() -> None:
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


def test_an_idle_client_makes_room_before_one_that_does_not_read() -> None:
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
