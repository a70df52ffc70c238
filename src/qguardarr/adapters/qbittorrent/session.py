"""Being logged in: cookie, HTTP Basic or API key; and knowing which qBittorrent answers.

qBittorrent bans an address after five failed logins, whoever made them, and never forgets a failure before that. So a
refused login is not repeated by itself for `REJECTED_PAUSE_S`, and after a ban no login is tried for `BANNED_PAUSE_S`,
the length of qBittorrent's own ban. `reset` ends the pause at once. Refusals that qBittorrent does not count (an API
key, no credentials at all) are tried again after `UNCOUNTED_PAUSE_S`.
"""

from __future__ import annotations

import base64
import contextlib
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import urlencode, urlsplit

import msgspec
import structlog

from qguardarr.adapters.qbittorrent.settings import QBittorrentSettings
from qguardarr.adapters.qbittorrent.transport import Answer, Transport
from qguardarr.adapters.qbittorrent.wire import Preferences
from qguardarr.errors import AuthRejected, Banned, ClientError, Refused, Unreachable

REJECTED_PAUSE_S: Final = 6 * 3600.0
BANNED_PAUSE_S: Final = 3600.0
UNCOUNTED_PAUSE_S: Final = 60.0

Kind = Literal["read", "write", "login", "greeting"]
"""`greeting`: what is asked once at each connect."""
_log = structlog.get_logger(__name__)


@dataclass
class ClientStats:
    """What the client did, for the status page. Counts are since start."""

    reads: int = 0
    writes: int = 0
    logins: int = 0
    bytes_received: int = 0
    """Bodies as they came over the wire (compressed)."""
    last_error: str | None = None
    """Fit for a person, free of secrets; None after a call that succeeded."""
    server_version: str | None = None
    """As qBittorrent gives it, `v5.1.0`."""
    webapi_version: str | None = None

    def count_on(self, before: ClientStats) -> None:
        """Go on counting where the client before this one ended."""
        self.reads += before.reads
        self.writes += before.writes
        self.logins += before.logins
        self.bytes_received += before.bytes_received


class Session:
    """Requests that are logged in."""

    def __init__(self, settings: QBittorrentSettings, transport: Transport) -> None:
        self.stats = ClientStats()
        self.version: tuple[int, int, int] = (0, 0, 0)
        """Of qBittorrent; zeros before the first `connect`."""
        self.refresh_s = 1.5
        self.number = 0
        """Grows with each login; qBittorrent may have been restarted in between."""
        self._settings = settings
        self._transport = transport
        self._cookies: dict[str, str] = {}
        self._connected = False
        self._paused_until = 0.0
        self._paused_by: ClientError | None = None

    @contextlib.contextmanager
    def request(self, kind: Kind, method: str, path: str, fields: Mapping[str, str] | None = None) -> Iterator[Answer]:
        """A successful answer to one request, after logging in if need be; once more after a 403, no oftener."""
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
        """Log in and ask for the version, unless that is done. True if it was done now."""
        if self._connected:
            return False
        if self._paused_by is not None and time.monotonic() < self._paused_until:
            raise type(self._paused_by)(str(self._paused_by))
        self._cookies.clear()
        try:
            if (
                self._settings.api_key is None
                and self._settings.auth == "cookie"
                and self._settings.username is not None
            ):
                self._log_in(self._settings.username)
            self._identify()
        except (AuthRejected, Banned) as error:
            raise self._paused(error) from None
        self._paused_by = None
        self._connected = True
        self.number += 1
        return True

    def reset(self) -> None:
        """Forget the session, and any pause after refused credentials."""
        self._cookies.clear()
        self._connected = False
        self._paused_by = None

    def _log_in(self, username: str) -> None:
        fields = {"username": username, "password": self._settings.password}
        with self._exchange("login", "POST", "/api/v2/auth/login", fields) as answer:
            text = answer.text()
            if answer.status == 403:
                raise Banned("qBittorrent blocks this address after failed logins (a ban lasts an hour by default)")
            if answer.status == 401 or (answer.status == 200 and text == "Fails."):
                raise AuthRejected("qBittorrent refuses the login: wrong user name or password, or host name")
            self._check(answer)

    def _identify(self) -> None:
        version = self._ask("/api/v2/app/version").decode("utf-8", "replace").strip()
        numbers = re.match(r"v?(\d+)\.(\d+)(?:\.(\d+))?", version)
        if numbers is None:
            raise Refused(f"no qBittorrent at {self._settings.url}: the address answers with something else")
        webapi = self._ask("/api/v2/app/webapiVersion").decode("utf-8", "replace").strip()
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
            self._check(answer)
            return answer.body()

    @contextlib.contextmanager
    def _exchange(self, kind: Kind, method: str, path: str, fields: Mapping[str, str] | None) -> Iterator[Answer]:
        body = None if fields is None else urlencode(fields, safe="|").encode()  # thousands of hashes: quick so
        headers = self._credentials()
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        if kind == "read":
            self.stats.reads += 1
        elif kind == "write":
            self.stats.writes += 1
        elif kind == "login":
            self.stats.logins += 1
        with self._transport.exchange(method, path, body, headers) as answer:
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
        """`_check`; a login that succeeds and then does not count is not repeated for a while either."""
        try:
            self._check(answer)
        except AuthRejected as error:
            self._connected = False
            raise self._paused(error) from None

    def _check(self, answer: Answer) -> None:
        """Raise what an answer without success means."""
        status = answer.status
        if 200 <= status < 300:
            return
        if 300 <= status < 400:
            target = _place(answer.headers.get("Location", ""))
            raise Refused(f"qBittorrent's address redirects to {target}; set the url to where it leads")
        if status >= 500 or status in {408, 429}:
            raise Unreachable(f"qBittorrent, or a proxy before it, answered with status {status}")
        if status in {401, 403}:
            raise AuthRejected(self._rejection(status))
        if status == 404:
            raise Refused("qBittorrent does not know this request (404): is the path in its url right?")
        raise Refused(f"qBittorrent refused the request (status {status})")

    def _rejection(self, status: int) -> str:
        if self._settings.api_key is not None:
            return "qBittorrent refuses the API key (it needs qBittorrent 5.2 or newer)"
        if self._settings.username is None:
            return "qBittorrent wants a login, and no user name is configured"
        if self._settings.auth == "basic":
            return "qBittorrent refuses HTTP Basic (wrong user name or password, a ban, or older than 5.2)"
        if status == 401:
            return "qBittorrent does not accept the Host header (its domain list, or a port that is not its own)"
        return "qBittorrent refuses a session that it has just given (does a proxy drop cookies?)"

    def _paused(self, error: AuthRejected | Banned) -> ClientError:
        """`error`, saying for how long nothing is tried; and see to that."""
        counted = self._settings.api_key is None and self._settings.username is not None
        pause_s = BANNED_PAUSE_S if isinstance(error, Banned) else REJECTED_PAUSE_S if counted else UNCOUNTED_PAUSE_S
        self._paused_by = type(error)(
            f"{error}; not tried again for {_spoken(pause_s)}, unless told to (SIGHUP, or POST /config/reload)"
        )
        self._paused_until = time.monotonic() + pause_s
        _log.error("qbittorrent.login_refused", reason=str(error), pause_s=pause_s)
        return self._paused_by


def _place(url: str) -> str:
    """Host and port only: what else is in an address may be secret."""
    try:
        return urlsplit(url).netloc.rpartition("@")[2] or "another path"
    except ValueError:
        return "an address that is none"


def _spoken(seconds: float) -> str:
    if seconds >= 7200:
        return f"{seconds / 3600:.0f} hours"
    return f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:.0f} seconds"
