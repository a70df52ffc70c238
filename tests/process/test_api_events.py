"""The stream of events, and the end of the daemon with everything connected."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from qguardarr.api.events import MOST_LISTENERS
from qguardarr.engine.status import Status
from tests.support.api_client import HASHES, KEY, ServedApi, served
from tests.support.daemon_process import until

HEAD = f"Host: 127.0.0.1\r\nX-Api-Key: {KEY}\r\n"


class Stream:
    """A connection that listens to the events."""

    def __init__(self, port: int, head: str = HEAD, method: str = "GET") -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 20.0)
        self.socket.sendall(f"{method} /api/v1/events HTTP/1.1\r\n{head}\r\n".encode())
        self.file = self.socket.makefile("rb")
        self.status = int(self.file.readline().split()[1])
        self.headers = dict(line.lower().split(b": ", 1) for line in iter(self.file.readline, b"\r\n"))

    def event(self) -> dict[str, str]:
        """The next event's fields; empty at the end of the stream."""
        fields: dict[str, str] = {}
        for raw in self.file:
            line = raw.decode().rstrip("\r\n")
            name, colon, value = line.partition(": ")
            if colon and not line.startswith(":"):
                fields[name] = value
            elif not line and fields and "data" in fields:
                return fields
        return {}

    def close(self) -> None:
        self.file.close()
        self.socket.close()


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedApi]:
    with served(tmp_path_factory.mktemp("server")) as api:
        yield api


# -- events -----------------------------------------------------------------------------------------------------------


def test_there_is_an_event_for_each_cycle(api: ServedApi) -> None:
    with contextlib.closing(Stream(api.port)) as stream:
        assert (stream.status, stream.headers[b"content-type"].split(b";")[0]) == (200, b"text/event-stream\r\n"[:-2])
        assert stream.headers[b"cache-control"].strip() == b"no-store"
        events = [stream.event() for _ in range(4)]
    pictures = [msgspec.json.decode(event["data"], type=Status) for event in events]
    assert [int(event["id"]) for event in events] == [picture.cycle for picture in pictures]
    assert [picture.cycle for picture in pictures] == list(range(pictures[0].cycle, pictures[0].cycle + 4))
    assert {event["event"] for event in events} == {"status"}
    assert pictures[-1].torrents == len(HASHES)


def test_events_want_a_key_and_head_has_an_end(api: ServedApi) -> None:
    with contextlib.closing(Stream(api.port, "Host: x\r\n")) as stream:
        assert stream.status == 401
    answer = api.client.ask("HEAD", "/api/v1/events")
    assert (answer.status, answer.kind, answer.body) == (200, "text/event-stream", b"")


def test_listeners_are_bounded_and_leave_room_when_they_go(api: ServedApi) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(MOST_LISTENERS):
            stream = stack.enter_context(contextlib.closing(Stream(api.port)))
            assert stream.event()["event"] == "status"
        answer = api.client.get("/api/v1/events")
        answer.problem(503, "busy")
        assert int(answer.headers["retry-after"]) > 0
    until(lambda: opens(api), "room for listeners")


def opens(api: ServedApi) -> bool:
    with contextlib.closing(Stream(api.port)) as stream:
        return stream.status == 200


def test_a_listener_that_reads_nothing_holds_nobody_up(tmp_path: Path) -> None:
    with served(tmp_path) as api:
        sleepy = [Stream(api.port) for _ in range(5)]
        first = api.cycle
        for _ in range(3):
            assert api.client.get("/stats").status == 200
            api.next_cycle()
        assert api.cycle >= first + 3
        assert api.daemon.end() == 0
        for stream in sleepy:
            stream.close()


# -- ending -----------------------------------------------------------------------------------------------------------


def test_the_daemon_ends_in_time_whatever_is_connected(tmp_path: Path) -> None:
    """Streams, idle and half-sent requests, a body that does not come."""
    with served(tmp_path) as api, contextlib.ExitStack() as stack:
        streams = [stack.enter_context(contextlib.closing(Stream(api.port))) for _ in range(3)]
        for sent in (
            b"",
            b"GET /stats HTTP/1.1\r\nHo",
            f"GET /stats HTTP/1.1\r\n{HEAD}\r\n".encode(),
            f"POST /webhook HTTP/1.1\r\n{HEAD}Content-Length: 100\r\n\r\nevent=".encode(),
        ):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", api.port), 5.0))
            connection.sendall(sent)
        assert streams[0].event()["event"] == "status"
        assert api.daemon.end() == 0  # in time
        for stream in streams:
            while stream.event():
                pass  # what was on its way; then the stream ends
        assert "Traceback" not in api.daemon.log
        assert not api.listens(api.port)


def test_streams_end_when_the_api_is_set_up_again(tmp_path: Path) -> None:
    with served(tmp_path) as api, contextlib.closing(Stream(api.port)) as stream:
        api.set_up_again(http={"base_path": "/new"})
        while stream.event():
            pass
        assert b"/new/stats" in api.client.get("/new/").body
        with contextlib.closing(Stream(api.port)) as another:
            assert another.event()["event"] == "status"
        assert "Traceback" not in api.daemon.log


def test_the_stream_of_a_session_ends_at_its_logout(api: ServedApi) -> None:
    """Regression: it went on for as long as the connection lasted."""
    login = api.client.post("/api/v1/session", {"api_key": KEY}, key=None)
    cookie = login.headers["set-cookie"].partition(";")[0]
    with contextlib.closing(Stream(api.port, f"Host: 127.0.0.1\r\nCookie: {cookie}\r\n")) as stream:
        assert stream.event()["event"] == "status"
        sent = {"Cookie": cookie, "X-CSRF-Token": login.json()["csrf_token"]}
        assert api.client.ask("DELETE", "/api/v1/session", key=None, headers=sent).status == 204
        while stream.event():
            pass
