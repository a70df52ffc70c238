"""Try things out for people: a connection to qBittorrent, and notifications. Both end in bounded time."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Final
from urllib.parse import urlsplit

import msgspec
import structlog

from qguardarr.adapters.notify import Notifier
from qguardarr.adapters.notify_child import Result
from qguardarr.adapters.qbittorrent import QBittorrentClient
from qguardarr.adapters.qbittorrent.logins import LoginGate, asked_pause_s
from qguardarr.app.settings import python_command
from qguardarr.engine.probes import ConnectionAnswer, ConnectionKind, MessageAnswer, MessageResult, TooSoon, Wanted
from qguardarr.engine.settings import QBittorrentSettings, Settings
from qguardarr.errors import (
    AuthRejected,
    Banned,
    ClientError,
    NoAddress,
    Refused,
    Unreachable,
    unknown_instance,
)

CONNECTION_S: Final = 15.0
"""Longest test of a connection."""
SILENCE_S: Final = 8.0
MESSAGE_S: Final = 30.0
"""Longest test of notifications."""
MOST_PORTS: Final = 50
"""Ports whose refused logins are remembered."""

log = structlog.get_logger("qguardarr.probes")

_HINTS: Final[dict[type[ClientError], tuple[ConnectionKind, str]]] = {
    NoAddress: ("no-address", "give the address of qBittorrent's Web UI, such as http://192.168.1.5:8080"),
    AuthRejected: (
        "credentials",
        "check user name and password; qBittorrent prints a new password in its log at each start until one is set",
    ),
    Banned: ("banned", "wait for an hour, or restart qBittorrent; then check the password before the next try"),
    Refused: ("refused", "check the address: it must be that of qBittorrent's Web UI, with the prefix of a proxy"),
    Unreachable: ("unreachable", "check address and port, and whether qBittorrent's Web UI is on (Options > Web UI)"),
}


class Prober:
    """Implements `Probes`. For any thread.

    Refused logins are counted by port: a server has many names, and qBittorrent bans us under all of them. Those of the
    daemon itself count, too, and it heeds those of tests.
    """

    def __init__(
        self,
        settings: Callable[[], Settings],
        logins: Callable[[], Mapping[str, LoginGate]],
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`settings` and `logins` return those that the daemon uses, the latter by name of the qBittorrent."""
        self._settings = settings
        self._logins = logins
        self._now = now
        self._turn = threading.Lock()
        self._refused: OrderedDict[int, tuple[int, float]] = OrderedDict()
        """Refused logins in a row, and when the next may be sent, by port."""

    def connection(self, wanted: Wanted) -> ConnectionAnswer:
        """Log in as `wanted` says, or as configured where it says nothing. Raises `TooSoon`, `UnknownInstance`."""
        connection = _connection(self._configured(wanted.instance), wanted)
        if connection is None:
            hint = "give user name and password, too"
            reason = "the stored password is sent to the configured address only"
            return ConnectionAnswer(ok=False, kind="invalid", reason=reason, hint=hint)
        with self._turn:
            return self._try(connection)

    def _configured(self, instance: str | None) -> QBittorrentSettings:
        """Return how to reach the qBittorrent with this name; None: the first."""
        known = {each.name: each for each in self._settings().connections}
        if instance is None:
            return next(iter(known.values()))
        if instance not in known:
            raise unknown_instance(instance, known)
        return known[instance]

    def message(self, urls: Sequence[str] | None) -> MessageAnswer:
        """Send a test message to these Apprise addresses, or to the configured ones."""
        notifier = Notifier(python_command("qguardarr.adapters.notify_child"), timeout_s=MESSAGE_S)
        notifier.configure(self._settings().notifications.urls if urls is None else urls)
        with self._turn:
            results = notifier.test()
        return MessageAnswer(ok=all(r.ok for r in results), results=tuple(map(_result, results)))

    @property
    def has_addresses(self) -> bool:
        """Whether notifications are configured."""
        return bool(self._settings().notifications.urls)

    def _try(self, connection: QBittorrentSettings) -> ConnectionAnswer:
        place, port = urlsplit(connection.url).netloc.rpartition("@")[2].lower(), _port(connection.url)
        gates = self._logins()
        ports = {each.name: _port(each.url) for each in self._settings().connections}
        shared = [gate for name, gate in gates.items() if ports.get(name) == port]
        failures, not_before = self._refused.get(port, (0, 0.0))
        if (wait_s := max(not_before - self._now(), *(gate.wait_s for gate in shared), 0.0)) > 0:
            raise TooSoon(wait_s)
        log.info("connection_test", place=place)
        began = time.monotonic()
        timeout_s = min(SILENCE_S, connection.timeout_s)
        try:
            client = QBittorrentClient(msgspec.structs.replace(connection, timeout_s=timeout_s))
        except (ValueError, OSError) as error:
            return ConnectionAnswer(ok=False, kind="invalid", reason=str(error), hint="correct the address")
        guard = threading.Timer(CONNECTION_S, client.close)
        guard.daemon = True
        guard.start()
        try:
            client.preferences([])
        except ClientError as error:
            took_s = time.monotonic() - began
            if isinstance(error, AuthRejected):
                before = max((gate.refusals for gate in shared), default=0)
                self._note(port, failures + 1, self._now() + asked_pause_s(before + failures + 1))
                for gate in shared or gates.values():  # a server may be reached in other ways
                    gate.refused_elsewhere()
            kind, hint = next((found for cls, found in _HINTS.items() if isinstance(error, cls)), ("refused", ""))
            if took_s >= CONNECTION_S:
                kind, hint = "timeout", "check address and port: something there accepts connections and says nothing"
            return ConnectionAnswer(ok=False, kind=kind, reason=str(error), hint=hint, took_s=took_s)
        finally:
            guard.cancel()
            client.close()
        self._refused.pop(port, None)
        for gate in shared:
            gate.let_in_elsewhere()
        return ConnectionAnswer(
            ok=True,
            version=client.stats.server_version or "",
            webapi=client.stats.webapi_version or "",
            took_s=time.monotonic() - began,
        )

    def _note(self, port: int, failures: int, not_before: float) -> None:
        self._refused[port] = failures, not_before
        while len(self._refused) > MOST_PORTS:
            self._refused.popitem(last=False)


def _port(url: str) -> int:
    """Return the port of an address; 0 if it has none that could be asked."""
    try:
        parts = urlsplit(url)
        return parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
    except ValueError:
        return 0


def _connection(configured: QBittorrentSettings, wanted: Wanted) -> QBittorrentSettings | None:
    """Return what to connect with; None if the stored credentials would go to another address."""
    given = wanted.username is not None or wanted.api_key is not None or wanted.password is not None
    url = configured.url if wanted.url is None else wanted.url.strip().rstrip("/")
    if not given:
        stored = bool(configured.password or configured.api_key)
        if stored and url != configured.url:
            return None
        return configured if url == configured.url else msgspec.structs.replace(configured, url=url, username=None)
    if wanted.password is None and wanted.api_key is None and url != configured.url:
        return None
    password = configured.password if wanted.password is None and wanted.api_key is None else wanted.password or ""
    return msgspec.structs.replace(
        configured,
        url=url,
        username=None if wanted.api_key else wanted.username if wanted.username is not None else configured.username,
        password=password,
        api_key=wanted.api_key or None,
        auth="cookie" if wanted.api_key else configured.auth,
    )


def _result(result: Result) -> MessageResult:
    return MessageResult(place=result.place, service=result.service, ok=result.ok, problem=result.problem)
