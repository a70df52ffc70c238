"""One kept-alive connection: how it is kept and closed, and how its failures are named."""

from __future__ import annotations

import gzip
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from qguardarr.adapters import http
from qguardarr.adapters.http import Connection, Failure, HttpError

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Server:
    """Answers each request with the next of `answers`; an empty one means silence."""

    def __init__(self) -> None:
        self.answers: list[bytes] = []
        self.connections = 0
        self.requests: list[bytes] = []
        self.asked = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            with connection:
                while head := connection.recv(65536):
                    self.requests.append(head)
                    self.asked.set()
                    answer = self.answers.pop(0) if self.answers else OK
                    if answer == b"":
                        continue
                    connection.sendall(answer)
                    if answer != OK:
                        break

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def connect(server: Server) -> Iterator[Callable[..., Connection]]:
    made: list[Connection] = []

    def make(timeout_s: float = 10.0) -> Connection:
        made.append(Connection("127.0.0.1", server.port, timeout_s=timeout_s, tls=None))
        return made[-1]

    yield make
    for connection in made:
        connection.close()


def get(connection: Connection, target: str = "/") -> bytes:
    with connection.exchange("GET", target, None, {}) as answer:
        return b"".join(answer.chunks())


def failure_of(connection: Connection, target: str = "/") -> Failure:
    with pytest.raises(HttpError) as raised:
        get(connection, target)
    return raised.value.failure


def test_a_connection_is_kept_while_answers_are_read(server: Server, connect: Callable[..., Connection]) -> None:
    connection = connect()
    assert [get(connection) for _ in range(3)] == [b"ok"] * 3
    assert server.connections == 1


def test_an_answer_that_is_not_read_to_its_end_ends_the_connection(
    server: Server, connect: Callable[..., Connection]
) -> None:
    connection = connect()
    with connection.exchange("GET", "/", None, {}) as answer:
        assert answer.status == 200
    assert get(connection) == b"ok"
    assert server.connections == 2


def test_an_idle_connection_is_not_used_again(
    server: Server, connect: Callable[..., Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = connect()
    get(connection)
    monkeypatch.setattr(http, "IDLE_S", 0.0)
    get(connection)
    assert server.connections == 2


def test_gzip_is_undone_in_bounded_pieces(server: Server, connect: Callable[..., Connection]) -> None:
    packed = gzip.compress(bytes(10**6))
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    server.answers = [head + packed]
    with connect().exchange("GET", "/", None, {}) as answer:
        pieces = list(answer.chunks())
        assert answer.wire_bytes == len(packed)
    assert b"".join(pieces) == bytes(10**6)
    assert max(map(len, pieces)) <= http.CHUNK_BYTES


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nonly this", Failure.BROKEN_OFF),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", Failure.BROKEN_OFF),
        (b"garbage\r\n\r\n", Failure.LOST),
    ],
)
def test_a_bad_answer_is_named(
    server: Server, connect: Callable[..., Connection], answer: bytes, failure: Failure
) -> None:
    server.answers = [answer]
    assert failure_of(connect()) is failure


def test_silence_and_a_missing_server_are_named(server: Server, connect: Callable[..., Connection]) -> None:
    server.answers = [b""]
    assert failure_of(connect(timeout_s=0.05)) is Failure.SILENT
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    connection = Connection("127.0.0.1", port, timeout_s=1.0, tls=None)
    with pytest.raises(HttpError, match="Connection refused") as raised:
        get(connection)
    assert raised.value.failure is Failure.NO_ROUTE


def test_an_odd_address_or_header_is_named_without_quoting_it(connect: Callable[..., Connection]) -> None:
    connection = connect()
    assert failure_of(connection, "/secret path") is Failure.INVALID
    with (
        pytest.raises(HttpError) as raised,
        connection.exchange("GET", "/", None, {"X-Key": "secret\nkey"}),
    ):
        pass
    assert raised.value.failure is Failure.INVALID
    assert "secret" not in str(raised.value)


def test_closing_ends_a_call_that_hangs_and_is_for_good(server: Server, connect: Callable[..., Connection]) -> None:
    server.answers = [b""]
    connection, failures = connect(timeout_s=600.0), list[Failure]()
    calling = threading.Thread(target=lambda: failures.append(failure_of(connection)))
    calling.start()
    assert server.asked.wait(10)
    connection.close()
    calling.join(10)
    assert failures == [Failure.CLOSED]
    assert failure_of(connection) is Failure.CLOSED
    assert connection.closed
    assert server.connections == 1
