"""The connection to qBittorrent: its address, TLS, and its failures and refusals in words."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, quote, unquote, urlsplit

from qguardarr.adapters import http
from qguardarr.adapters.http import Answer, Failure, HttpError
from qguardarr.addresses import is_loopback
from qguardarr.engine.settings import QBittorrentSettings
from qguardarr.errors import AuthRejected, Refused, Unreachable
from qguardarr.smallfile import read_small

if TYPE_CHECKING:
    from ssl import SSLContext

_MOST_CERTIFICATES: Final = 8 * 1024 * 1024
"""Bytes; the bundle of all public authorities has 0.2 MB."""
CONTAINER_VARIABLE: Final = "QGUARDARR_CONTAINER"
"""Set in the image."""
_HOST: Final = re.compile(r"[\w.:\[\]-]{1,255}")
_IN_CONTAINER: Final = (
    "in a container this address is the container itself: give the name of qBittorrent's service (such as "
    "http://qbittorrent:8080), or the host's address"
)
_MESSAGES: Final = {
    Failure.CLOSED: "the connection to qBittorrent was closed by us",
    Failure.INVALID: "the connection to qBittorrent at {where} broke ({detail})",
    Failure.NO_ROUTE: "no connection to qBittorrent at {where}: {detail}",
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
    """The connection broke before the answer began. A request that is safe to repeat may be repeated at once."""


class UncountedRefusal(AuthRejected):
    """A refusal that qBittorrent does not count towards a ban."""


class Transport:
    """One kept-alive connection to qBittorrent, used by one thread at a time. Only `close` may come from another."""

    def __init__(self, settings: QBittorrentSettings, progress: Callable[[], None]) -> None:
        """Prepare it. ValueError if the address cannot be used, OSError if the certificates cannot be read.

        `progress` is called when a request begins, and when it has ended well.
        """
        location = _location(settings.url)
        is_tls = location.scheme == "https"
        self._host = unquote(location.hostname or "")  # a zone's % is written %25
        self._port = location.port or (443 if is_tls else 80)
        self._prefix = quote(location.path.rstrip("/"), safe="/%:@!$&'()*+,;=~")
        self._timeout_s = settings.timeout_s
        self._progress = progress
        tls = _tls_context(settings) if is_tls else None
        self._connection = http.Connection(self._host, self._port, timeout_s=settings.timeout_s, tls=tls)

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
        try:
            with self._connection.exchange(method, self._prefix + path, body, headers) as answer:
                yield answer
        except HttpError as error:
            raise self._explained(error) from None
        self._progress()

    def close(self) -> None:
        """Close for good. A call blocked in another thread ends with `Unreachable`. Never raises."""
        self._connection.close()

    def _explained(self, error: HttpError) -> Unreachable:
        kind = ConnectionLost if error.failure is Failure.LOST else Unreachable
        in_vain = error.failure is Failure.NO_ROUTE
        return kind(
            _MESSAGES[error.failure].format(
                where=f"{self._host}:{self._port}",
                detail=error.detail,
                timeout_s=self._timeout_s,
            ),
            hint=_IN_CONTAINER if in_vain and is_loopback(self._host) and os.environ.get(CONTAINER_VARIABLE) else "",
        )


def check(answer: Answer, settings: QBittorrentSettings) -> None:
    """Raise `Refused`, `Unreachable` or `AuthRejected` unless the status means success."""
    status = answer.status
    if 200 <= status < 300:
        return
    if 300 <= status < 400:
        target = _host_in(answer.headers.get("Location", ""))
        raise Refused(f"qBittorrent's address redirects to {target}; set the url to where it leads")
    if status >= 500 or status in {408, 429}:
        raise Unreachable(f"qBittorrent, or a proxy before it, answered with status {status}")
    if status in {401, 403}:
        raise _rejection(status, settings)
    if status == 404:
        raise Refused("qBittorrent does not know this request (404): is the path in its url right?")
    raise Refused(f"qBittorrent refused the request (status {status})")


def _rejection(status: int, settings: QBittorrentSettings) -> AuthRejected:
    if settings.api_key is not None:
        return UncountedRefusal("qBittorrent refuses the API key (it needs qBittorrent 5.2 or newer)")
    if settings.username is None:
        return UncountedRefusal("qBittorrent wants a login, and no user name is configured")
    if settings.auth == "basic":
        kind = AuthRejected if status == 401 else UncountedRefusal  # 403 is a ban, or older than 5.2
        return kind("qBittorrent refuses HTTP Basic (wrong user name or password, a ban, or older than 5.2)")
    if status == 401:
        return AuthRejected(
            "qBittorrent does not accept the Host header (its domain list, or a port that is not its own)"
        )
    return AuthRejected("qBittorrent refuses a session that it has just given (does a proxy drop cookies?)")


def _host_in(url: str) -> str:
    """Return host and port only: the rest of an address may be secret."""
    try:
        place = urlsplit(url).netloc.rpartition("@")[2] or "another path"
    except ValueError:
        place = ""
    return place if place == "another path" or _HOST.fullmatch(place) else "an address that is none"


def _location(url: str) -> SplitResult:
    """Return the parts of a base address; all are empty while it is not known."""
    with contextlib.suppress(ValueError):
        location = urlsplit(url)
        is_whole = location.scheme in {"http", "https"} and location.hostname and location.port != 0
        if not url or (is_whole and not ("@" in location.netloc or location.query or location.fragment)):
            return location
    raise ValueError("the qBittorrent url must look like http://host:port or https://host/path, and hold no user name")


def _tls_context(settings: QBittorrentSettings) -> SSLContext:
    import ssl  # noqa: PLC0415 # 4 MB: only where TLS is spoken

    if settings.ca_file is not None:
        read_small(settings.ca_file, _MOST_CERTIFICATES)  # OpenSSL would wait for a FIFO, for ever
    context = ssl.create_default_context(cafile=settings.ca_file)
    if not settings.verify_tls:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
