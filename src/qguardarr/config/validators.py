"""Checks of texts. Each function returns the text in the form that is used, or raises `TextError`."""

from __future__ import annotations

import ipaddress
import re
from typing import Final
from urllib.parse import SplitResult, urlsplit

from qguardarr.errors import InvalidValue

_KEY: Final = re.compile(r"[!-~]{16,512}")
_ARGON2ID: Final = re.compile(
    r"\$argon2id\$v=19\$m=\d{1,9},t=\d{1,6},p=\d{1,3}\$[A-Za-z0-9+/]{11,}\$[A-Za-z0-9+/]{16,}"
)
_LIKE_A_HASH: Final = re.compile(r"\$+argon2|=\d+,t=\d+,p=\d+")
_SEGMENT: Final = re.compile(r"[\w.~-]+", re.ASCII)
_BRACKETED_OR_BARE: Final = re.compile(r"[\w.-]+|\[?[0-9a-fA-F:.%]*:[0-9a-fA-F:.%]*\]?")
_APPRISE: Final = re.compile(r"[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE)
_WEBHOOK_PATH: Final = "/api/webhook"
_HEADER: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_OTHERS_HEADERS: Final = frozenset(
    (
        "accept", "accept-encoding", "accept-language", "authorization", "connection", "content-length",
        "content-type", "cookie", "forwarded", "host", "origin", "referer", "user-agent", "via", "x-api-key",
        "x-csrf-token", "x-real-ip", "x-forwarded-for", "x-forwarded-host", "x-forwarded-port",
        "x-forwarded-prefix", "x-forwarded-proto", "x-forwarded-server",
    )
)  # fmt: skip
"""Headers that proxies or browsers send anyway, or that mean something to the API."""


class TextError(InvalidValue):
    """Raised for a text that cannot be used. The message holds nothing of it, since it may be a secret."""


def web_url(value: str, *, credentials: str = "username and password") -> str:
    """Return an http(s) address without credentials. `credentials`: their place, in words."""
    parts = _split_url(value, "https://example.org:8080/prefix", credentials)
    if parts.query or parts.fragment:
        raise TextError("must end with the path; '?' and '#' have no meaning here")
    return value.strip()


def web_url_or_none_yet(value: str) -> str:
    """Return an http(s) address, or an empty text for one that is not known yet."""
    return web_url(value) if value.strip() else ""


def webhook_url(value: str) -> str:
    """Return the address of cross-seed's webhook, perhaps with `?apikey=`. One without a path gets cross-seed's own."""
    parts = _split_url(value, f"http://localhost:2468{_WEBHOOK_PATH}", "api_key")
    if parts.fragment:
        raise TextError("must not hold a '#', which has no meaning here")
    return parts._replace(path=_WEBHOOK_PATH if parts.path in ("", "/") else parts.path).geturl()


def _split_url(value: str, example: str, credentials: str) -> SplitResult:
    try:
        parts = urlsplit(value.strip())
        _ = parts.port
    except ValueError:
        raise TextError(f"is not an address such as {example}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise TextError(f"must be an address such as {example}")
    if parts.username is not None or parts.password is not None:
        raise TextError("must not hold credentials", f"write them as {credentials}")
    return parts


def host_name(value: str) -> str:
    """Return a bare host name or address."""
    if not _is_host(value):
        raise TextError("must be a bare host name or address", "write 'url' instead for a scheme, a port or a path")
    return value


OWN_PATHS: Final = frozenset(
    {
        "api", "config", "cycle", "docs", "health", "limits", "match", "metrics", "openapi.json", "preview", "rollback",
        "rollout", "smoothing", "stats", "webhook",
    }
)  # fmt: skip
"""First segments of the API's own paths."""


def public_name(value: str) -> str:
    """Return a host name without a port."""
    if not _is_host(value):
        raise TextError("must be a bare host name, without scheme, port and path")
    return value.lower()


def listen_host(value: str) -> str:
    """Return a host name or address to listen at; IPv6 without brackets."""
    if not _is_host(value):
        raise TextError("must be an address or a host name alone", "write 0.0.0.0 for all, and a port as 'port'")
    return value.strip("[]")


def _is_host(value: str) -> bool:
    return bool(_BRACKETED_OR_BARE.fullmatch(value)) and not re.fullmatch(r"[\w.-]+:\d+", value)


def network(value: str) -> str:
    """Return an IP address, or a network such as `10.0.0.0/8`."""
    try:
        return str(ipaddress.ip_network(value) if "/" in value else ipaddress.ip_address(value))
    except ValueError:
        raise TextError(
            "is neither an IP address nor a network",
            "write 127.0.0.1, or 172.16.0.0/12 with nothing behind the prefix",
        ) from None


def forward_header(value: str) -> str:
    """Return the name of a header that nothing else uses."""
    name = value.strip().lower()
    if not _HEADER.fullmatch(name):
        raise TextError("must be the name of a header", "write it like Remote-User")
    if name in _OTHERS_HEADERS or name.startswith(("sec-", "proxy-")):
        raise TextError("means something else", "name the header in which the proxy tells who has logged in")
    return value.strip()


def base_path(value: str) -> str:
    """Return a path prefix without a slash at its end: empty, or `/one/two`."""
    path = value.rstrip("/")
    segments = path.split("/")[1:]
    if path and (not path.startswith("/") or not all(_SEGMENT.fullmatch(s) and s not in (".", "..") for s in segments)):
        raise TextError("must be a path of letters, digits, '-', '_', '.' and '~'", "write it like /qguardarr")
    if segments[:1] and segments[0] in OWN_PATHS:
        raise TextError(f"begins with /{segments[0]}, which is a path of the API itself", "write it like /qguardarr")
    return path


def api_key(value: str) -> str:
    """Return a key that can be sent in a header and cannot be guessed."""
    if not _KEY.fullmatch(value):
        raise TextError(
            "must have 16 to 512 ASCII characters, without spaces",
            "write what `openssl rand -hex 24` prints, or leave it out, and a key is made",
        )
    return value


def password(value: str) -> str:
    """Return a password, or an argon2id hash of one."""
    if not value:
        raise TextError("is empty", "write a password, or remove username and password")
    if _LIKE_A_HASH.search(value) and not is_password_hash(value):
        raise TextError(
            "looks like a hash, and is not one that is understood",
            "write what `qguardarr hash-password` prints, in single quotes (docker compose wants each $ twice)",
        )
    return value


def is_password_hash(value: str) -> bool:
    """Return whether this is an argon2id hash in the usual text form."""
    return bool(_ARGON2ID.fullmatch(value))


def notification_url(value: str) -> str:
    """Return an Apprise URL. Only its form is checked: Apprise knows more than a hundred kinds."""
    url = value.strip()
    if not _APPRISE.fullmatch(url):
        raise TextError(
            "is not an Apprise URL", "write one such as ntfy://topic or tgram://token/chat, each in its item"
        )
    return url


def log_level(value: object) -> object:
    """Return the name of a log level in upper case; names that other programs use are translated."""
    if not isinstance(value, str):
        return value
    upper = value.strip().upper()
    return {"WARN": "WARNING", "CRITICAL": "ERROR", "FATAL": "ERROR"}.get(upper, upper)
