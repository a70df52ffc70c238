"""Being logged in: cookie, HTTP Basic or API key; and knowing which qBittorrent answers.

After a refused login, `LoginPolicy` says when the next one may be sent. Meanwhile each request asks for the login page
instead (no oftener than every `PROBE_S`): that needs no session, counts as no login, takes 2 ms, and holds a mark that
qBittorrent draws by lot at its start. Another mark means another process, which has forgotten failures and bans.
"""

from __future__ import annotations

import base64
import contextlib
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import urlencode, urlsplit

import msgspec
import structlog

from qguardarr.adapters.qbittorrent.logins import LoginPolicy
from qguardarr.adapters.qbittorrent.settings import QBittorrentSettings
from qguardarr.adapters.qbittorrent.transport import Answer, ConnectionLost, Transport
from qguardarr.adapters.qbittorrent.wire import Preferences
from qguardarr.errors import AuthRejected, Banned, LoginRefused, Refused, Unreachable

PROBE_S: Final = 1.5
"""Shortest time between two looks at the login page."""
PAGE_BYTES: Final = 64 * 1024
"""The page takes 2 KiB; of one that is not qBittorrent's no more than this is read."""

Kind = Literal["read", "write", "login", "greeting", "probe"]
"""`greeting`: asked once at each connect. `probe`: sent without credentials."""
_VERSION: Final = re.compile(r"v?(\d+)\.(\d+)(?:\.(\d+))?[\w.+-]{0,20}")
_WEBAPI: Final = re.compile(r"\d+(?:\.\d+){1,3}")
_HOST: Final = re.compile(r"[\w.:\[\]-]{1,255}")
_MARK: Final = re.compile(rb"css/login\.css\?v=(\w+)")
"""On the login page of all versions from 4.5.2 to 5.3.0 (`m_cacheID` in its source). Other web interfaces lack it."""
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


class _NotCounted(AuthRejected):
    """A refusal that brings no ban nearer."""


class Session:
    """Requests that are logged in."""

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
        """Grows with each login; qBittorrent may have been restarted in between."""
        self._settings = settings
        self._transport = transport
        self._cookies: dict[str, str] = {}
        self._connected = False
        self._now, self._wall_now = monotonic, wall_clock
        self._logins = LoginPolicy()
        self._mark: bytes | None = None
        """Of the process that refused the login; None: unknown."""
        self._was_away = False
        """Whether qBittorrent could not be reached since it refused the login."""
        self._probe_from = 0.0

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
        """Log in and ask for the version, unless that is done. True if it was done now.

        After a refused login, raises that refusal again until the login may be tried.
        """
        if self._connected:
            return False
        if self._logins.paused:
            self._wait_for_reason()
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
            refusal = self._noted(error)
            with contextlib.suppress(Unreachable):  # over the same connection, so of the same process
                self._mark = self._read_mark()
            raise refusal from None
        self._logins.let_in()
        self._connected = True
        self.number += 1
        return True

    def ask(self) -> None:
        """Try a refused login again at the next request, if a person may have that so soon."""
        self._logins.ask(self._now())

    def follow(self, before: Session) -> None:
        """Take the place of another session: go on counting, and remember what qBittorrent refused."""
        self.stats.count_on(before.stats)
        if self._settings.url != before._settings.url:
            return
        if _credentials(self._settings) == _credentials(before._settings):
            self._logins, self._mark, self._was_away = before._logins, before._mark, before._was_away
        else:
            self._logins = LoginPolicy(before._logins.refusals)

    def _wait_for_reason(self) -> None:
        """Return once there is a reason to try the refused login again; until then raise the refusal.

        `Unreachable` if qBittorrent does not answer.
        """
        now = self._now()
        if not self._logins.may_try(now) and now >= self._probe_from:
            self._probe(now)
            self._probe_from = now + PROBE_S
        if not self._logins.may_try(now):
            raise self._logins.error(now, self._wall_now())

    def _probe(self, now: float) -> None:
        """See, without a login, whether qBittorrent is another process than the one that refused."""
        try:
            mark = self._read_mark()
        except Unreachable as error:
            self._was_away |= not isinstance(error, ConnectionLost)  # that one is asked again at once
            raise
        if mark is not None and self._mark is not None:
            if mark != self._mark:
                _log.info("qbittorrent.restarted", advice="the login is tried again")
                self._logins.restarted(now)
        elif self._was_away:
            _log.info("qbittorrent.back", advice="the login is tried again if that cannot lead to a ban")
            self._logins.came_back(now)
        self._was_away = False
        self._mark = mark or self._mark

    def _read_mark(self) -> bytes | None:
        """What tells one process of qBittorrent from another; None if the page does not show it."""
        with self._exchange("probe", "GET", "/", None) as answer:
            if answer.status >= 500:
                raise Unreachable(f"qBittorrent, or a proxy before it, answered with status {answer.status}")
            page = bytearray()
            for chunk in answer.chunks():
                page += chunk
                if len(page) > PAGE_BYTES:
                    break
        found = _MARK.search(page)
        return None if found is None else found[1]

    def _log_in(self, username: str) -> None:
        fields = {"username": username, "password": self._settings.password}
        with self._exchange("login", "POST", "/api/v2/auth/login", fields) as answer:
            text = answer.text()
            if answer.status == 403:
                raise Banned("qBittorrent blocks this address after failed logins (a ban lasts an hour by default)")
            if answer.status == 401 or (answer.status == 200 and text == "Fails."):
                raise AuthRejected("qBittorrent refuses the login: wrong user name or password, or host name")
            self._check(answer)
        self._logins.let_in()  # qBittorrent forgets earlier failures; what comes now is another matter

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
            self._check(answer)
            return answer.body()

    @contextlib.contextmanager
    def _exchange(self, kind: Kind, method: str, path: str, fields: Mapping[str, str] | None) -> Iterator[Answer]:
        body = None if fields is None else urlencode(fields, safe="|").encode()  # thousands of hashes: quick so
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
        """`_check`; a login that succeeds and then does not count is not repeated for a while either."""
        try:
            self._check(answer)
        except LoginRefused as error:
            self._connected = False
            raise self._noted(error) from None

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
            raise self._rejection(status)
        if status == 404:
            raise Refused("qBittorrent does not know this request (404): is the path in its url right?")
        raise Refused(f"qBittorrent refused the request (status {status})")

    def _rejection(self, status: int) -> AuthRejected:
        if self._settings.api_key is not None:
            return _NotCounted("qBittorrent refuses the API key (it needs qBittorrent 5.2 or newer)")
        if self._settings.username is None:
            return _NotCounted("qBittorrent wants a login, and no user name is configured")
        if self._settings.auth == "basic":
            kind = AuthRejected if status == 401 else _NotCounted  # 403 is a ban, or older than 5.2
            return kind("qBittorrent refuses HTTP Basic (wrong user name or password, a ban, or older than 5.2)")
        if status == 401:
            return AuthRejected(
                "qBittorrent does not accept the Host header (its domain list, or a port that is not its own)"
            )
        return AuthRejected("qBittorrent refuses a session that it has just given (does a proxy drop cookies?)")

    def _noted(self, error: LoginRefused) -> LoginRefused:
        """`error` with what is to come, which is arranged here."""
        now = self._now()
        pause_s = self._logins.refused(error, now, counted=not isinstance(error, _NotCounted))
        self._mark, self._was_away = None, False
        self._probe_from = now + PROBE_S
        _log.error("qbittorrent.login_refused", reason=str(error), next_try_in_s=pause_s)
        return self._logins.error(now, self._wall_now())


def _credentials(settings: QBittorrentSettings) -> tuple[str | None, ...]:
    return settings.username, settings.password, settings.api_key, settings.auth


def _place(url: str) -> str:
    """Host and port only: what else is in an address may be secret."""
    try:
        place = urlsplit(url).netloc.rpartition("@")[2]
    except ValueError:
        return "an address that is none"
    if not place:
        return "another path"
    return place if _HOST.fullmatch(place) else "an address that is none"
