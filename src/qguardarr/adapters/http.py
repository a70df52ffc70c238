"""HTTP to one host over one kept-alive connection: no pool, no redirects, no proxies, no secrets in errors.

On `http.client`: a connection has to be closed under a call that hangs, and bodies of 60 MB are decoded while they
arrive. Both need the socket, which urllib3 and httpx hide; they would also take 5.4 and 8.9 MB of the daemon's 60
(resident after the import and one client, CPython 3.11, urllib3 2.8, httpx 0.28). `ssl` takes 4 MB, and is imported
where TLS is spoken (see `app/process.py`).
"""

from __future__ import annotations

import contextlib
import enum
import select
import socket
import threading
import time
import zlib
from collections.abc import Iterator, Mapping
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection, InvalidURL
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ssl import SSLContext

IDLE_S: Final = 5.0
"""Idle connections are dropped after this time: qBittorrent closes its own after about 7 s."""
CONNECT_S: Final = 4.0
"""The kernel accepts connections even while a server is busy, so no longer wait is needed. A TLS handshake needs the
server itself, and has the time of an answer."""
ANSWER_TIMEOUTS: Final = 4
"""A whole answer may take this many times the timeout, which bounds one silence."""
CHUNK_BYTES: Final = 64 * 1024
_GZIP: Final = 16 + zlib.MAX_WBITS


class Failure(enum.Enum):
    """Why there is no answer."""

    CLOSED = "we closed the connection"
    INVALID = "the request cannot be sent: an address or a header with odd characters"
    NO_ROUTE = "the host cannot be reached"
    NO_CONNECTION = "the host does not accept the connection in time"
    UNTRUSTED = "the host's certificate is not trusted"
    NO_TLS = "the host does not speak TLS, or not HTTP"
    LOST = "the connection broke before the answer began"
    SILENT = "no answer in time"
    STALLED = "the answer began, and then nothing came for too long"
    BROKEN_OFF = "the answer stopped short, or is garbled"
    TOO_SLOW = "the answer as a whole took too long"


class HttpError(Exception):
    """A request without a complete answer. `detail` is free of secrets, and empty where the failure says it all."""

    def __init__(self, failure: Failure, detail: str = "") -> None:
        super().__init__(f"{failure.value}{f' ({detail})' if detail else ''}")
        self.failure = failure
        self.detail = detail


class Answer:
    """An HTTP answer whose body is still to be read."""

    def __init__(self, response: HTTPResponse, at: float, deadline: float) -> None:
        self._response = response
        self._deadline = deadline
        self.at = at
        """Monotonic time at which the headers had arrived, seconds."""
        self.status = response.status
        self.headers = response.headers
        self.complete = False
        """Whether the body was read to its end."""
        self.wire_bytes = 0
        """Bytes of the body received so far, compressed as they came."""

    def chunks(self) -> Iterator[bytes]:
        """Yield the decoded body, piece by piece. Raises `HttpError` when it stops short or takes too long."""
        try:
            packed = self.headers.get("Content-Encoding", "").lower() in ("gzip", "x-gzip")
            yield from _unpacked(self._received()) if packed else self._received()
            self._response.close()  # which leaves the connection open
            self.complete = True
        except TimeoutError:
            raise HttpError(Failure.STALLED) from None
        except (zlib.error, EOFError, HTTPException, OSError, ValueError, AttributeError) as error:
            # The last two are what a socket shut down by `close` may raise from inside http.client and ssl.
            raise HttpError(Failure.BROKEN_OFF, type(error).__name__) from None

    def body(self) -> bytes:
        """Return the whole decoded body. Raises as `chunks` does."""
        return b"".join(self.chunks())

    def text(self) -> str:
        """Return the whole body, stripped, for answers of a few words. Raises as `chunks` does."""
        return self.body().decode("utf-8", "replace").strip()

    def _received(self) -> Iterator[bytes]:
        """Yield the body as it comes. `read` would wait for a whole piece, for ever if bytes come one by one."""
        while chunk := self._response.read1(CHUNK_BYTES):
            if time.monotonic() > self._deadline:
                raise HttpError(Failure.TOO_SLOW)
            self.wire_bytes += len(chunk)
            yield chunk
        if self._response.length:  # read1 does not mind
            raise EOFError("bytes are missing")


class Connection:
    """One kept-alive connection, used by one thread at a time. Only `close` may come from another."""

    def __init__(self, host: str, port: int, *, timeout_s: float, tls: SSLContext | None) -> None:
        """Prepare it; the first request connects. `timeout_s`: longest silence. `tls`: None is plain HTTP."""
        self._host, self._port, self._timeout_s, self._tls = host, port, timeout_s, tls
        self._connection: HTTPConnection | None = None
        self._socket: socket.socket | None = None
        self._idle_since = 0.0
        self._busy = threading.Lock()
        self._closed = threading.Event()

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed.is_set()

    @contextlib.contextmanager
    def exchange(self, method: str, target: str, body: bytes | None, headers: Mapping[str, str]) -> Iterator[Answer]:
        """Send one request; the connection is kept if the answer is read to its end. Raises `HttpError`."""
        with self._busy:
            deadline = time.monotonic() + ANSWER_TIMEOUTS * self._timeout_s
            response = self._send(method, target, body, {"User-Agent": "qguardarr", **headers})
            answer = Answer(response, time.monotonic(), deadline)
            try:
                yield answer
            except BaseException:
                self._drop()
                raise
            if answer.complete:
                self._idle_since = time.monotonic()
            else:  # the rest of the body is still to come
                self._drop()

    def close(self, *, wait_s: float = 1.0) -> None:
        """Close for good. A call blocked in another thread ends with an error. Never raises.

        `wait_s`: how long to wait for the end of that call, seconds. A call that waits for a name server cannot be
        ended; it closes its connection when it returns.
        """
        self._closed.set()
        open_socket = self._socket
        if open_socket is not None:
            with contextlib.suppress(OSError):
                # Not SSLSocket.shutdown: that takes the TLS state away from under the reading thread.
                socket.socket.shutdown(open_socket, socket.SHUT_RDWR)
        if self._busy.acquire(timeout=wait_s):
            try:
                self._drop()
            finally:
                self._busy.release()

    def _send(self, method: str, target: str, body: bytes | None, headers: Mapping[str, str]) -> HTTPResponse:
        connection = None
        try:
            connection = self._connected()
            connection.request(method, target, body, headers)
            return connection.getresponse()
        except Exception as error:
            self._drop()
            raise self._failure(error, connected=connection is not None) from None

    def _connected(self) -> HTTPConnection:
        if self._connection is not None and (
            time.monotonic() - self._idle_since >= IDLE_S or _is_over(self._connection.sock)
        ):
            self._drop()
        if self._closed.is_set():
            raise HttpError(Failure.CLOSED)
        if self._connection is None:
            if self._tls is not None:
                self._connection = HTTPSConnection(self._host, self._port, timeout=self._timeout_s, context=self._tls)
            else:
                self._connection = HTTPConnection(self._host, self._port, timeout=min(CONNECT_S, self._timeout_s))
            self._connection.connect()
            self._socket = self._connection.sock
            self._socket.settimeout(self._timeout_s)
            if self._closed.is_set():
                raise HttpError(Failure.CLOSED)
        return self._connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        open_socket, self._socket = self._socket, None
        if connection is not None:
            connection.close()
        if open_socket is not None:  # an answer with "Connection: close" keeps the socket to itself
            open_socket.close()

    def _failure(self, error: Exception, *, connected: bool) -> HttpError:
        """Name the failure, without a word of an error that may quote the address or a header."""
        if self._closed.is_set():
            return HttpError(Failure.CLOSED)
        if isinstance(error, TimeoutError):
            return HttpError(Failure.SILENT if connected or self._tls else Failure.NO_CONNECTION)
        if self._tls is not None:
            import ssl  # noqa: PLC0415 # 4 MB: only where TLS is spoken

            if isinstance(error, ssl.SSLCertVerificationError):
                return HttpError(Failure.UNTRUSTED, error.verify_message)
            if isinstance(error, ssl.SSLError):
                return HttpError(Failure.NO_TLS, type(error).__name__)
        if isinstance(error, ValueError | InvalidURL):
            return HttpError(Failure.INVALID, type(error).__name__)
        if not connected and isinstance(error, OSError):
            return HttpError(Failure.NO_ROUTE, error.strerror or "no route")
        return HttpError(Failure.LOST, type(error).__name__)


def _unpacked(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Undo gzip, in pieces of at most `CHUNK_BYTES`, however well they were compressed."""
    unpacker = zlib.decompressobj(_GZIP)
    for chunk in chunks:
        more = chunk
        while piece := unpacker.decompress(more, CHUNK_BYTES):
            more = unpacker.unconsumed_tail
            yield piece
    if not unpacker.eof:
        raise EOFError("bytes are missing")


def _is_over(connection: socket.socket | None) -> bool:
    """Tell whether the other side has closed the connection (or speaks unasked)."""
    if connection is None:
        return True
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(0))
