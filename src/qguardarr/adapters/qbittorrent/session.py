"""Log in, ask for the version, and send authenticated requests.

A session that qBittorrent forgot is renewed once for each request. A login that it refused is not repeated before there
is a reason to: see `logins`.
"""

from __future__ import annotations

import base64
import contextlib
import operator
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal
from urllib.parse import urlencode

import msgspec
import structlog

from qguardarr.adapters.http import Answer
from qguardarr.adapters.qbittorrent.logins import LoginGate
from qguardarr.adapters.qbittorrent.transport import Transport, UncountedRefusal, check
from qguardarr.adapters.qbittorrent.wire import Preferences
from qguardarr.engine.settings import QBittorrentSettings
from qguardarr.errors import AuthRejected, Banned, LoginRefused, Refused, Unreachable

PAGE_BYTES: Final = 64 * 1024
"""Read of the login page at most. It has 2 KiB, but the server may not be qBittorrent."""

Kind = Literal["read", "write", "login", "greeting", "probe"]
"""Purpose of a request. `greeting`: once at each connect. `probe`: without credentials."""
_VERSION: Final = re.compile(r"v?(\d+)\.(\d+)(?:\.(\d+))?[\w.+-]{0,20}")
_WEBAPI: Final = re.compile(r"\d+(?:\.\d+){1,3}")
_credentials: Final = operator.attrgetter("username", "password", "api_key", "auth")
_log = structlog.get_logger(__name__)


@dataclass
class ClientStats:
    """Count requests and logins since the start, for the status."""

    reads: int = 0
    writes: int = 0
    logins: int = 0
    bytes_received: int = 0
    """Bodies as received, compressed."""
    last_error: str | None = None
    """In words, free of secrets; None after a call that succeeded."""
    server_version: str | None = None
    """As qBittorrent gives it, `v5.1.0`."""
    webapi_version: str | None = None


class Session:
    """Send authenticated requests, from one thread at a time."""

    def __init__(
        self,
        settings: QBittorrentSettings,
        transport: Transport,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.stats = ClientStats()
        self.version: tuple[int, int, int] = (0, 0, 0)
        """Of qBittorrent; zeros before the first `connect`."""
        self.refresh_s = 1.5
        self.number = 0
        """Grows with each connect; qBittorrent may have been restarted in between."""
        self._settings = settings
        self._transport = transport
        self._cookies: dict[str, str] = {}
        self._connected = False
        self.gate = LoginGate(self._read_login_page, monotonic=monotonic, wall_clock=wall_clock)

    @contextlib.contextmanager
    def request(self, kind: Kind, method: str, path: str, fields: Mapping[str, str] | None = None) -> Iterator[Answer]:
        """Send a request and yield its successful answer. Log in first if need be, and once again after a 403.

        Raises `ClientError`.
        """
        fresh = self.connect()
        with self._exchange(kind, method, path, fields) as answer:
            if answer.status != 403 or fresh:
                self._check_admitted(answer)
                yield answer
                return
            answer.body()
        self._connected = False
        self.connect()
        with self._exchange(kind, method, path, fields) as answer:
            self._check_admitted(answer)
            yield answer

    def connect(self) -> bool:
        """Log in and ask for the version, unless that is done. Return whether it was done now.

        Raises `ClientError`: after a refused login the same refusal, until the login may be tried again.
        """
        if self._connected:
            return False
        self.gate.pass_or_raise()
        self._cookies.clear()
        try:
            if (
                self._settings.api_key is None
                and self._settings.auth == "cookie"
                and self._settings.username is not None
            ):
                self._log_in(self._settings.username)
            self._identify()
        except LoginRefused as error:
            refusal = self._refused(error)
            self.gate.remember_process()
            raise refusal from None
        self.gate.let_in()
        self._connected = True
        self.number += 1
        return True

    def ask(self) -> None:
        """Try a refused login again at the next request, if a person may have that so soon."""
        self.gate.ask()

    def follow(self, before: Session) -> None:
        """Take the place of another session: go on counting, and remember what qBittorrent refused."""
        self.stats = replace(before.stats, last_error=None, server_version=None, webapi_version=None)
        self.gate.follow(
            before.gate,
            same_server=self._settings.url == before._settings.url,
            same_credentials=_credentials(self._settings) == _credentials(before._settings),
        )

    def _read_login_page(self) -> bytes:
        with self._exchange("probe", "GET", "/", None) as answer:
            if answer.status >= 500:
                raise Unreachable(f"qBittorrent, or a proxy before it, answered with status {answer.status}")
            page = bytearray()
            for chunk in answer.chunks():
                page += chunk
                if len(page) > PAGE_BYTES:
                    break
        return bytes(page)

    def _log_in(self, username: str) -> None:
        fields = {"username": username, "password": self._settings.password}
        with self._exchange("login", "POST", "/api/v2/auth/login", fields) as answer:
            text = answer.text()
            if answer.status == 403:
                raise Banned("qBittorrent blocks this address after failed logins (a ban lasts an hour by default)")
            if answer.status == 401 or (answer.status == 200 and text == "Fails."):
                raise AuthRejected("qBittorrent refuses the login: wrong user name or password, or host name")
            check(answer, self._settings)
        self.gate.let_in()  # qBittorrent forgets earlier failures; what comes now is another matter

    def _identify(self) -> None:
        version = self._ask("/api/v2/app/version").decode("utf-8", "replace").strip()
        numbers = _VERSION.fullmatch(version)
        if numbers is None:
            raise Refused(f"no qBittorrent at {self._settings.url}: the address answers with something else")
        webapi = self._ask("/api/v2/app/webapiVersion").decode("utf-8", "replace").strip()
        if not _WEBAPI.fullmatch(webapi):
            raise Refused(f"no qBittorrent at {self._settings.url}: the version of its Web API is none")
        try:
            preferences = msgspec.json.decode(self._ask("/api/v2/app/preferences"), type=Preferences)
        except msgspec.DecodeError:
            raise Unreachable("qBittorrent's preferences could not be understood") from None
        self.version = (int(numbers[1]), int(numbers[2]), int(numbers[3] or 0))
        self.refresh_s = preferences.refresh_interval / 1000 if preferences.refresh_interval > 0 else 1.5
        if version != self.stats.server_version:
            _log.info("qbittorrent.connected", version=version, webapi=webapi)
        self.stats.server_version, self.stats.webapi_version = version, webapi

    def _ask(self, path: str) -> bytes:
        with self._exchange("greeting", "GET", path, None) as answer:
            check(answer, self._settings)
            return answer.body()

    @contextlib.contextmanager
    def _exchange(self, kind: Kind, method: str, path: str, fields: Mapping[str, str] | None) -> Iterator[Answer]:
        body = None if fields is None else urlencode(fields, safe="|").encode()  # quoting | in 1,000 hashes takes time
        headers = {} if kind == "probe" else self._credentials()
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        if kind == "read":
            self.stats.reads += 1
        elif kind == "write":
            self.stats.writes += 1
        elif kind == "login":
            self.stats.logins += 1
        with self._transport.exchange(method, path, body, headers) as answer:
            if kind != "probe":
                self._keep_cookies(answer)
            try:
                yield answer
            finally:
                self.stats.bytes_received += answer.wire_bytes

    def _credentials(self) -> dict[str, str]:
        headers = {}
        if self._settings.api_key is not None:
            headers["Authorization"] = f"Bearer {self._settings.api_key}"
        elif self._settings.auth == "basic" and self._settings.username is not None and not self._cookies:
            pair = f"{self._settings.username}:{self._settings.password}".encode()
            headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
        if self._cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        return headers

    def _keep_cookies(self, answer: Answer) -> None:
        for header in answer.headers.get_all("Set-Cookie") or ():
            name, _, value = header.partition(";")[0].partition("=")
            if value.strip():
                self._cookies[name.strip()] = value.strip()
            else:
                self._cookies.pop(name.strip(), None)

    def _check_admitted(self, answer: Answer) -> None:
        """Raise unless the answer is a success. A login whose session is then refused is held back, too."""
        try:
            check(answer, self._settings)
        except LoginRefused as error:
            self._connected = False
            raise self._refused(error) from None

    def _refused(self, error: LoginRefused) -> LoginRefused:
        return self.gate.refused(error, counted=not isinstance(error, UncountedRefusal))
