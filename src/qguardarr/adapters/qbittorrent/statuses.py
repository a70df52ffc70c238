"""What an answer without success means: the error to raise, and what a person can do."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from qguardarr.adapters.http import Answer
from qguardarr.adapters.qbittorrent.settings import QBittorrentSettings
from qguardarr.errors import AuthRejected, Refused, Unreachable

_HOST: Final = re.compile(r"[\w.:\[\]-]{1,255}")


class UncountedRefusal(AuthRejected):
    """A refusal that brings no ban nearer."""


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
        place = urlsplit(url).netloc.rpartition("@")[2]
    except ValueError:
        return "an address that is none"
    if not place:
        return "another path"
    return place if _HOST.fullmatch(place) else "an address that is none"
