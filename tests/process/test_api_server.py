"""Methods, odd requests, faulty bodies and queries, and the bound on connections, on a running daemon."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import msgspec
import pytest
import uvicorn
from uvicorn.server import ServerState

from qguardarr.api.protocol import BoundedProtocol
from qguardarr.api.server import MOST_CONNECTIONS, listen
from tests.support.api_client import HASHES, JSON, KEY, PROBLEM, ServedApi, served
from tests.support.api_operations import OPERATIONS, Operation
from tests.support.api_site import settings
from tests.support.daemon_process import until

HEAD = f"Host: 127.0.0.1\r\nX-Api-Key: {KEY}\r\n"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedApi]:
    with served(tmp_path_factory.mktemp("server")) as api:
        yield api


@pytest.mark.parametrize("path", sorted({e.path for e in OPERATIONS}))
def test_other_methods_are_refused_and_the_right_ones_named(api: ServedApi, path: str) -> None:
    known = {e.method for e in OPERATIONS if e.path == path}
    allowed = sorted(known | ({"HEAD"} if "GET" in known else set()))
    operation = next(e for e in OPERATIONS if e.path == path)
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"} - known:
        answer = api.client.ask(method, operation.real_path, headers={"Origin": "http://evil.test"})
        answer.problem(405)
        assert answer.headers["allow"].split(", ") == allowed
        assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize("path", sorted({e.path for e in OPERATIONS if e.method == "GET" and "events" not in e.path}))
def test_head_is_get_without_its_body(api: ServedApi, path: str) -> None:
    operation = next(e for e in OPERATIONS if e.path == path and e.method == "GET")
    target = operation.real_path + ("?url=http://a.example/x" if "match" in path else "")
    head, get = api.client.ask("HEAD", target), api.client.get(target)
    assert (head.status, head.body) == (get.status, b"")
    assert head.headers["content-type"] == get.headers["content-type"]


def test_every_answer_keeps_browsers_careful(api: ServedApi) -> None:
    for path in ("/health", "/docs", "/nothing", "/stats"):
        for key in (KEY, None):
            headers = api.client.get(path, key=key).headers
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["x-frame-options"] == "DENY"
            assert "default-src 'none'" in headers["content-security-policy"]
            assert headers["cache-control"] == "no-store"
            assert "server" not in headers


@pytest.mark.parametrize("path", ["/nothing", "/stats/", "/api/v2/torrents", "//stats", "/stats/../config", "/%00",
                                  "/%2e%2e/etc/passwd", "/api/v1/torrents/a/b", "/%ff%fe", "/STATS"])  # fmt: skip
def test_other_paths_lead_nowhere(api: ServedApi, path: str) -> None:
    answer = api.client.raw(f"GET {path} HTTP/1.1\r\n{HEAD}Connection: close\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 404 "), answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["status"] == 404


ODD: dict[str, bytes] = {
    "no HTTP": b"hello\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
    "SSH": b"SSH-2.0-OpenSSH_9.2\r\n",
    "another version": b"GET /health HTTP/9.9\r\n\r\n",
    "a bad length": f"POST /webhook HTTP/1.1\r\n{HEAD}Content-Length: -1\r\n\r\n".encode(),
    "two lengths": f"POST /webhook HTTP/1.1\r\n{HEAD}Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd".encode(),
    "length and chunks": (
        f"POST /webhook HTTP/1.1\r\n{HEAD}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".encode()
    ),
    "a bad chunk": f"POST /webhook HTTP/1.1\r\n{HEAD}Transfer-Encoding: chunked\r\n\r\nxyz\r\n".encode(),
    "a space before the colon": b"GET /health HTTP/1.1\r\nHost : x\r\n\r\n",
    "a folded header": b"GET /health HTTP/1.1\r\nHost: x\r\nX-A: b\r\n c\r\n\r\n",
    "a NUL in a header": b"GET /health HTTP/1.1\r\nHost: x\x00\r\n\r\n",
    "a head without end": b"GET /health HTTP/1.1\r\nX-A: " + b"a" * 100_000,
    "an endless line": b"GET /" + b"a" * 100_000,
}


@pytest.mark.parametrize("what", ODD)
def test_bytes_that_are_no_request_are_refused_in_the_usual_form(api: ServedApi, what: str) -> None:
    answer = api.client.raw(ODD[what])
    head, _, body = answer.partition(b"\r\n\r\n")
    if answer:  # or the connection is cut, which says no as well
        assert head.startswith(b"HTTP/1.1 4"), answer[:200]
        assert f"content-type: {PROBLEM}".encode() in head.lower()
        assert msgspec.json.decode(body)["status"] == int(head.split()[1])
    assert api.client.get("/health").status == 200


def test_a_body_where_none_is_wanted_is_passed_over(api: ServedApi) -> None:
    for body in (b"{", b"x" * 60_000):
        assert api.client.get("/stats", body=body).status == 200
        assert api.client.post("/api/v1/resume", body=body).status == 200
    two = f"GET /stats HTTP/1.1\r\n{HEAD}Content-Length: 5\r\n\r\nhello"
    twice = api.client.raw((two + f"GET /health HTTP/1.1\r\n{HEAD}Connection: close\r\n\r\n").encode())
    assert twice.count(b"HTTP/1.1 200 OK") == 2


@pytest.mark.parametrize("path", ["/api/v1/events", "/stats/managed", "/stats"])
def test_a_body_that_is_too_large_is_refused_before_an_answer_begins(api: ServedApi, path: str) -> None:
    chunked = f"GET {path} HTTP/1.1\r\n{HEAD}Transfer-Encoding: chunked\r\n\r\n".encode()
    body = b"%x\r\n%s\r\n0\r\n\r\n"
    answer = api.client.raw(chunked + body % (100_000, b"x" * 100_000))
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert answer.count(b"HTTP/1.1") == 1
    passed_over = api.client.raw(chunked + body % (60_000, b"x" * 60_000), end=b"\r\n\r\n")
    assert passed_over.startswith(b"HTTP/1.1 200 ")
    assert "defect" not in api.daemon.log


def test_a_client_that_expects_100_continue_is_told_to_go_on_or_refused_at_once(api: ServedApi) -> None:
    body = f"event=add&hash={HASHES[0]}".encode()
    ask = f"POST /webhook HTTP/1.1\r\n{HEAD}Expect: 100-continue\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", api.port), 10.0) as connection:
        connection.sendall(ask)
        assert connection.recv(1024).startswith(b"HTTP/1.1 100 Continue\r\n")
        connection.sendall(body)
        assert connection.recv(4096).startswith(b"HTTP/1.1 202 ")
    large = f"POST /webhook HTTP/1.1\r\n{HEAD}Expect: 100-continue\r\nContent-Length: 9999999\r\n\r\n".encode()
    assert api.client.raw(large).startswith(b"HTTP/1.1 413 ")
    unknown = b"POST /webhook HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n"
    with socket.create_connection(("127.0.0.1", api.port), 10.0) as connection:
        connection.sendall(unknown)
        assert connection.recv(1024).startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize("kind", ["application/xml", "multipart/form-data; boundary=x", "application/json5", "x"])
def test_bodies_of_other_types_are_refused(api: ServedApi, kind: str) -> None:
    answer = api.client.post("/rollout", body=b'{"percentage": 100}', headers={"Content-Type": kind})
    answer.problem(415)


@pytest.mark.parametrize("kind", [JSON, "application/json; charset=utf-8", "text/plain", None,
                                  "application/x-www-form-urlencoded"])  # fmt: skip
def test_bodies_are_json_whatever_curl_calls_them(api: ServedApi, kind: str | None) -> None:
    headers = {} if kind is None else {"Content-Type": kind}
    assert api.client.post("/rollout", body=b'{"percentage": 100}', headers=headers).status == 200


BODIES = [b"{", b"[]", b"null", b"1e999", b'{"percentage": 0}', b'{"percentage": 101}', b'{"percentage": "50"}',
          b'{"percentage": 1.5}', b'{"percentage": 1e400}', b'{"percentage": NaN}', b"\xef\xbb\xbf{}", b"\xff",
          b'{"percentage": ' + b"9" * 5000 + b"}", b"", b" ", b"[" * 50_000]  # fmt: skip


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
def test_faulty_bodies_are_refused(api: ServedApi, body: bytes) -> None:
    found = api.client.post("/rollout", body=body, headers={"Content-Type": JSON}).problem(400, "invalid-request")
    assert found["detail"].startswith(("body", "the body", "a JSON body"))
    assert api.client.get("/health").json()["rollout_percentage"] == 100


QUERIES = ["limit=0", "limit=501", "limit=x", "limit=", "offset=-1", "offset=1e99", "offset=99999999999999999999",
           "sort=size", "order=up", "activity=busy", "limited=maybe", "names=2", "hash_prefix=" + "a" * 41,
           "limit=1&limit=1"]  # fmt: skip


@pytest.mark.parametrize("query", QUERIES)
def test_faulty_queries_are_refused(api: ServedApi, query: str) -> None:
    name = query.partition("=")[0]
    found = api.client.get(f"/api/v1/torrents?{query}").problem(400, "invalid-request")
    assert found["detail"].startswith(f"query.{name}:"), found


@pytest.mark.parametrize(
    "query", ["start=nan", "end=inf", "step=nan", "start=-1", "step=59", "tracker=", "start=1e999"]
)
def test_times_that_are_none_are_refused(api: ServedApi, query: str) -> None:
    api.client.get(f"/api/v1/history?{query}").problem(400, "invalid-request")


def test_small_answers_are_sent_at_once() -> None:
    """Not when the client has acknowledged what came before, which takes it 40 ms."""

    async def run() -> int:
        loop, config = asyncio.get_running_loop(), uvicorn.Config(lambda: None, log_config=None, lifespan="off")
        accepted: asyncio.Future[int] = loop.create_future()

        class Told(BoundedProtocol):
            def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
                super().connection_made(transport)
                made = transport.get_extra_info("socket")
                accepted.set_result(made.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

        (sock,) = listen(settings(port=0)).sockets
        async with await loop.create_server(lambda: Told(config, ServerState(), {}), sock=sock):
            _, writer = await asyncio.open_connection(*sock.getsockname())
            found = await accepted
            writer.close()
            return found

    assert asyncio.run(run())


def test_connections_are_bounded_and_idle_ones_make_room(api: ServedApi) -> None:
    waiting = f"POST /webhook HTTP/1.1\r\n{HEAD}Expect: 100-continue\r\nContent-Length: 9\r\n\r\n".encode()
    with contextlib.ExitStack() as stack:
        for number in range(2 * MOST_CONNECTIONS - 1):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", api.port), 10.0))
            if number >= MOST_CONNECTIONS:  # the others are idle
                connection.sendall(waiting)
                assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        answer = api.client.get("/health")
        answer.problem(503, "busy")
        assert answer.headers["retry-after"] == "1"
        connection.close()  # of those that are at work
        until(lambda: api.client.get("/health").status == 200, "room")
    until(lambda: api.client.get("/health").status == 200, "room")


def test_many_at_once_are_all_answered(api: ServedApi) -> None:
    """More than there are threads for what waits."""
    statuses: list[int] = []

    def ask(operation: Operation) -> None:
        statuses.append(api.client.get(operation.real_path).status)

    wanted = [e for e in OPERATIONS if e.method == "GET" and "409" in e.described["responses"]]
    threads = [threading.Thread(target=ask, args=(operation,)) for operation in wanted * 8]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * len(threads)


def test_the_daemon_loads_nothing_large_that_it_never_needs() -> None:
    """Each takes half a megabyte to five of the sixty that there may be."""
    code = (
        "import sys; from qguardarr.app import process;"
        "sys.argv = ['x', '/nowhere/q.yaml'];"
        "code = process.main();"
        "print(code, sorted({'rich', 'click', 'lzma', 'bz2', 'argon2', 'pydantic.v1'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "2 []", done.stderr
