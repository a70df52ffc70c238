"""cross-seed's webhook: one request for each completed torrent, and what its answer means."""

from __future__ import annotations

import threading
from typing import Final
from urllib.parse import quote, unquote, urlencode, urlsplit

from qguardarr.adapters.http import Connection, Failure, HttpError
from qguardarr.engine.settings import CrossSeedSettings
from qguardarr.features.completion_queue import Kind, Outcome

_UNUSABLE: Final = Outcome(
    Kind.MISCONFIGURED, "cross_seed.url or cross_seed.api_key cannot be used; look for odd characters in them"
)
_UNREACHABLE: Final = {
    Failure.NO_CONNECTION: "it cannot be reached: no connection in time",
    Failure.NO_ROUTE: "it cannot be reached: {detail}",
    Failure.UNTRUSTED: "its certificate is not trusted: {detail}",
    Failure.SILENT: "no answer within {timeout_s:g} s (it answers once it has indexed its torrents; "
    "cross_seed.timeout may be too short)",
}


class Webhook:
    """One address and key. `abort` may come from any thread, once and for all; `send` is for one thread."""

    def __init__(self, settings: CrossSeedSettings) -> None:
        """Prepare it; an address that cannot be used is told by `send`."""
        self._timeout_s = settings.timeout_s
        self._headers = {"Content-Type": "application/x-www-form-urlencoded"}
        if settings.api_key is not None:
            self._headers["X-Api-Key"] = settings.api_key
        self._aborted = threading.Event()
        self._connection: Connection | None = None
        try:
            self._connection, self._target = _parse(settings.url or "", settings.timeout_s)
        except ValueError:
            self._target = ""

    def send(self, info_hash: str) -> Outcome:
        """Tell cross-seed of one torrent. The reason holds no word of the address or the key."""
        if self._connection is None:
            return _UNUSABLE
        body = urlencode({"infoHash": info_hash}).encode()
        try:
            with self._connection.exchange("POST", self._target, body, self._headers) as answer:
                return _verdict(answer.status)
        except HttpError as error:
            return self._explained(error)

    def abort(self) -> None:
        """End the request that is on its way; a later one is not even begun."""
        self._aborted.set()
        if self._connection is not None:
            self._connection.close(wait_s=0.0)

    def _explained(self, error: HttpError) -> Outcome:
        if self._aborted.is_set():
            return Outcome(Kind.ABORTED)
        if error.failure is Failure.INVALID:
            return _UNUSABLE
        text = _UNREACHABLE.get(error.failure, "no conversation with it ({detail})")
        return Outcome(Kind.AWAY, text.format(detail=error.detail, timeout_s=self._timeout_s))


def _parse(url: str, timeout_s: float) -> tuple[Connection, str]:
    """Return a connection, which is not made yet, and the path to ask there. Raises ValueError."""
    location = urlsplit(url)
    if location.scheme not in ("http", "https") or not location.hostname or "@" in location.netloc:
        raise ValueError("no address")
    target = quote(location.path or "/", safe="/%:@!$&'()*+,;=~")
    if location.query:
        target += "?" + quote(location.query, safe="/%:@!$&'()*+,;=~?")
    tls = None
    if location.scheme == "https":
        import ssl  # noqa: PLC0415 # 4 MB: only where TLS is spoken

        tls = ssl.create_default_context()
    port = location.port or (443 if tls else 80)
    return Connection(unquote(location.hostname), port, timeout_s=timeout_s, tls=tls), target


def _verdict(status: int) -> Outcome:
    if 200 <= status < 300:
        return Outcome(Kind.DELIVERED)
    if status in (401, 403, 407):
        return Outcome(
            Kind.MISCONFIGURED,
            f"it refuses the key ({status}); set cross_seed.api_key to what `cross-seed api-key` says",
        )
    if 300 <= status < 400:
        return Outcome(Kind.MISCONFIGURED, f"it redirects ({status}); write the final address in cross_seed.url")
    if status in (408, 425, 429, 502, 503, 504):
        return Outcome(Kind.AWAY, f"it is not available ({status})")
    if status in (404, 405):
        return Outcome(Kind.MISCONFIGURED, f"there is no webhook at its address ({status}); see cross_seed.url")
    if 400 <= status < 500:
        return Outcome(Kind.REFUSED, f"it refuses a completion ({status})")
    return Outcome(Kind.FAILED, f"it failed ({status})")
