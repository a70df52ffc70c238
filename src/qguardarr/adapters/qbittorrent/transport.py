"""The connection to qBittorrent: where it is, how TLS is checked, and its failures in words."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote

from qguardarr.adapters import http
from qguardarr.adapters.http import Answer, Failure, HttpError
from qguardarr.adapters.qbittorrent.settings import QBittorrentSettings
from qguardarr.addresses import is_loopback
from qguardarr.errors import Unreachable
from qguardarr.smallfile import read_small

if TYPE_CHECKING:
    from ssl import SSLContext

_MOST_CERTIFICATES: Final = 8 * 1024 * 1024
"""Bytes; the bundle of all public authorities has 0.2 MB."""
CONTAINER_VARIABLE: Final = "QGUARDARR_CONTAINER"
"""Set in the image."""
_IN_CONTAINER: Final = (
    ". hint: in a container this address is the container itself: give the name of qBittorrent's service (such as "
    "http://qbittorrent:8080), or the host's address"
)
_MESSAGES: Final = {
    Failure.CLOSED: "the connection to qBittorrent was closed by us",
    Failure.INVALID: "the connection to qBittorrent at {where} broke ({detail})",
    Failure.NO_ROUTE: "no connection to qBittorrent at {where}: {detail}{hint}",
    Failure.NO_CONNECTION: f"no connection to qBittorrent at {{where}} within {http.CONNECT_S:g} s",
    Failure.UNTRUSTED: "qBittorrent's certificate at {where} is not trusted: {detail}",
    Failure.NO_TLS: "no TLS or HTTP conversation with {where} ({detail})",
    Failure.LOST: "the connection to qBittorrent at {where} broke ({detail})",
    Failure.SILENT: "qBittorrent at {where} gave no answer within {timeout_s:g} s",
    Failure.STALLED: "qBittorrent fell silent in the middle of an answer",
    Failure.BROKEN_OFF: "qBittorrent's answer broke off ({detail})",
    Failure.TOO_SLOW: "qBittorrent's answer took too long to arrive",
}


class ConnectionLost(Unreachable):
    """The connection broke before the answer began. What is safe to repeat may be repeated at once."""


class Transport:
    """One kept-alive connection to qBittorrent, used by one thread at a time. Only `close` may come from another."""

    def __init__(self, settings: QBittorrentSettings, progress: Callable[[], None]) -> None:
        """Prepare it. `progress` is called when a request begins, and when it has ended well."""
        location = settings.location()
        is_tls = location.scheme == "https"
        self._host = unquote(location.hostname or "")  # a zone's % is written %25
        self._port = location.port or (443 if is_tls else 80)
        self._prefix = quote(location.path.rstrip("/"), safe="/%:@!$&'()*+,;=~")
        self._timeout_s = settings.timeout_s
        self._progress = progress
        tls = _tls_context(settings) if is_tls else None
        self._connection = http.Connection(
            self._host, self._port, timeout_s=settings.timeout_s, tls=tls, explain=self._explained
        )

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._connection.closed

    @contextlib.contextmanager
    def exchange(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Iterator[Answer]:
        """Send one request below the base address; the connection is kept if the answer is read to its end.

        Raises `ConnectionLost` before the answer began, `Unreachable` for any later failure.
        """
        self._progress()
        headers = {"Accept-Encoding": "gzip", **headers}
        with self._connection.exchange(method, self._prefix + path, body, headers) as answer:
            yield answer
        self._progress()

    def close(self) -> None:
        """Close for good. A call blocked in another thread ends with `Unreachable`. Never raises."""
        self._connection.close()

    def _explained(self, error: HttpError) -> Unreachable:
        kind = ConnectionLost if error.failure is Failure.LOST else Unreachable
        return kind(
            _MESSAGES[error.failure].format(
                where=f"{self._host}:{self._port}",
                detail=error.detail,
                timeout_s=self._timeout_s,
                hint=_IN_CONTAINER if is_loopback(self._host) and os.environ.get(CONTAINER_VARIABLE) else "",
            )
        )


def _tls_context(settings: QBittorrentSettings) -> SSLContext:
    import ssl  # noqa: PLC0415 # 4 MB: only where TLS is spoken

    if settings.ca_file is not None:
        read_small(settings.ca_file, _MOST_CERTIFICATES)  # OpenSSL would wait for a FIFO, for ever
    context = ssl.create_default_context(cafile=str(settings.ca_file) if settings.ca_file else None)
    if not settings.verify_tls:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
