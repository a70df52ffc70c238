"""HTTP over one kept-alive connection: no pool, no redirects, no proxies, no secrets in errors.

qBittorrent closes idle connections after about 7 s, so ours are dropped after 5. The connection is used by one thread
at a time; only `close` may come from another, and wakes whoever blocks.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Final
from urllib.parse import quote, unquote

from qguardarr.adapters.qbittorrent.settings import QBittorrentSettings
from qguardarr.errors import Unreachable
from qguardarr.smallfile import read_small

IDLE_S: Final = 5.0
CONNECT_S: Final = 4.0
"""The kernel accepts connections even while qBittorrent is busy, so no longer wait is needed (TLS has `timeout_s`)."""
ANSWER_TIMEOUTS: Final = 4
"""A whole answer may take this many times `timeout_s`."""
CHUNK_BYTES: Final = 64 * 1024
_MOST_CERTIFICATES: Final = 8 * 1024 * 1024
CONTAINER_VARIABLE: Final = "QGUARDARR_CONTAINER"
"""Set in the image."""
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
_IN_CONTAINER: Final = (
    ". hint: in a container this address is the container itself: give the name of qBittorrent's service (such as "
    "http://qbittorrent:8080), or the host's address"
)
_GZIP: Final = 16 + zlib.MAX_WBITS


class ConnectionLost(Unreachable):
    """The connection broke before the answer began. What is safe to repeat may be repeated at once."""


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
        """The decoded body, piece by piece. `Unreachable` when it stops short or takes too long."""
        try:
            packed = self.headers.get("Content-Encoding", "").lower() in ("gzip", "x-gzip")
            yield from _unpacked(self._received()) if packed else self._received()
            self._response.close()  # which leaves the connection open
            self.complete = True
        except TimeoutError:
            raise Unreachable("qBittorrent fell silent in the middle of an answer") from None
        except (zlib.error, EOFError, HTTPException, OSError, ValueError, AttributeError) as error:
            # The last two are what a socket shut down by `close` may raise from inside http.client and ssl.
            raise Unreachable(f"qBittorrent's answer broke off ({type(error).__name__})") from None

    def _received(self) -> Iterator[bytes]:
        """The body as it comes. read1 returns what is there; read would wait, for ever if it comes drop by drop."""
        while chunk := self._response.read1(CHUNK_BYTES):
            if time.monotonic() > self._deadline:
                raise Unreachable("qBittorrent's answer took too long to arrive")
            self.wire_bytes += len(chunk)
            yield chunk
        if self._response.length:  # read1 does not mind
            raise EOFError("bytes are missing")

    def body(self) -> bytes:
        """The whole decoded body."""
        return b"".join(self.chunks())

    def text(self) -> str:
        """The whole body, stripped, for answers of a few words."""
        return self.body().decode("utf-8", "replace").strip()


class Transport:
    """One kept-alive connection to qBittorrent."""

    def __init__(self, settings: QBittorrentSettings, progress: Callable[[], None]) -> None:
        """`progress` is called when a request begins, and when it has ended well."""
        location = settings.location()
        self._host = unquote(location.hostname or "")  # a zone's % is written %25
        self._tls = location.scheme == "https"
        self._port = location.port or (443 if self._tls else 80)
        self._prefix = quote(location.path.rstrip("/"), safe="/%:@!$&'()*+,;=~")
        self._timeout_s = settings.timeout_s
        self._settings = settings
        self._progress = progress
        self._context = _tls_context(settings) if self._tls else None
        self._connection: HTTPConnection | None = None
        self._socket: socket.socket | None = None
        self._idle_since = 0.0
        self._busy = threading.Lock()
        self._closed = threading.Event()

    @property
    def closed(self) -> bool:
        return self._closed.is_set()

    @contextlib.contextmanager
    def exchange(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Iterator[Answer]:
        """Send one request below the base address; the connection is kept if the answer is read to its end.

        `ConnectionLost` before the answer began, `Unreachable` on any later trouble.
        """
        with self._busy:
            self._progress()
            deadline = time.monotonic() + ANSWER_TIMEOUTS * self._timeout_s
            response = self._send(method, path, body, headers)
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
            self._progress()

    def close(self) -> None:
        """Close for good. A call blocked in another thread ends with `Unreachable`."""
        self._closed.set()
        open_socket = self._socket
        if open_socket is not None:
            with contextlib.suppress(OSError):
                # Not SSLSocket.shutdown: that takes the TLS state away from under the reading thread.
                socket.socket.shutdown(open_socket, socket.SHUT_RDWR)
        if self._busy.acquire(timeout=1.0):
            try:
                self._drop()
            finally:
                self._busy.release()

    def _send(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> HTTPResponse:
        connection = None
        try:
            connection = self._connected()
            sent = {"Accept-Encoding": "gzip", "User-Agent": "qguardarr", **headers}
            connection.request(method, self._prefix + path, body, sent)
            return connection.getresponse()
        except Exception as error:
            self._drop()
            raise self._explained(error, connected=connection is not None) from None

    def _connected(self) -> HTTPConnection:
        if self._connection is not None and (
            time.monotonic() - self._idle_since >= IDLE_S or _is_over(self._connection.sock)
        ):
            self._drop()
        if self._closed.is_set():
            raise Unreachable("the connection to qBittorrent was closed by us")
        if self._connection is None:
            if self._context is not None:
                self._connection = HTTPSConnection(
                    self._host, self._port, timeout=self._timeout_s, context=self._context
                )
            else:
                self._connection = HTTPConnection(self._host, self._port, timeout=min(CONNECT_S, self._timeout_s))
            self._connection.connect()
            self._socket = self._connection.sock
            self._socket.settimeout(self._timeout_s)
            if self._closed.is_set():
                raise Unreachable("the connection to qBittorrent was closed by us")
        return self._connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        open_socket, self._socket = self._socket, None
        if connection is not None:
            connection.close()
        if open_socket is not None:  # an answer with "Connection: close" keeps the socket to itself
            open_socket.close()

    def _explained(self, error: Exception, *, connected: bool) -> Unreachable:
        where = f"{self._host}:{self._port}"
        if self._closed.is_set():
            return Unreachable("the connection to qBittorrent was closed by us")
        if isinstance(error, TimeoutError):
            if connected or self._tls:
                return Unreachable(f"qBittorrent at {where} gave no answer within {self._timeout_s:g} s")
            return Unreachable(f"no connection to qBittorrent at {where} within {CONNECT_S:g} s")
        if isinstance(error, ssl.SSLCertVerificationError):
            return Unreachable(f"qBittorrent's certificate at {where} is not trusted: {error.verify_message}")
        if isinstance(error, ssl.SSLError):
            return Unreachable(f"no TLS or HTTP conversation with {where} ({type(error).__name__})")
        if not connected and isinstance(error, OSError):
            hint = _IN_CONTAINER if self._host in _LOOPBACK and os.environ.get(CONTAINER_VARIABLE) else ""
            return Unreachable(f"no connection to qBittorrent at {where}: {error.strerror or 'no route'}{hint}")
        return ConnectionLost(f"the connection to qBittorrent at {where} broke ({type(error).__name__})")


def _unpacked(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """gzip undone, in pieces that are no larger than they are without it."""
    unpacker = zlib.decompressobj(_GZIP)
    for chunk in chunks:
        more = chunk
        while piece := unpacker.decompress(more, CHUNK_BYTES):
            more = unpacker.unconsumed_tail
            yield piece
    if not unpacker.eof:
        raise EOFError("bytes are missing")


def _is_over(connection: socket.socket | None) -> bool:
    """Whether the other side has closed it (or speaks unasked)."""
    if connection is None:
        return True
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(0))


def _tls_context(settings: QBittorrentSettings) -> ssl.SSLContext:
    if settings.ca_file is not None:
        read_small(settings.ca_file, _MOST_CERTIFICATES)  # OpenSSL would wait for a FIFO, for ever
    context = ssl.create_default_context(cafile=str(settings.ca_file) if settings.ca_file else None)
    if not settings.verify_tls:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
