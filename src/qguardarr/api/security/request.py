"""Read who asks out of a request, and send cookies with its answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias
from urllib.parse import unquote_to_bytes

from qguardarr.api.middleware import COOKIES
from qguardarr.api.security.logins import address_group

Asking: TypeAlias = Mapping[str, Any]
"""A request: Starlette's, or the ASGI scope of one."""

PEER: Final = "qguardarr.peer"
"""Key of the scope: the address that the connection came from, where a trusted proxy's word may have replaced it."""


def headers(scope: Asking, wanted: bytes) -> list[bytes]:
    """Return the values of a header, named in lower case."""
    return [value for name, value in scope["headers"] if name == wanted]


def keys_of(scope: Asking, *, query_key: bool) -> list[bytes]:
    """Return all keys that are presented. A Basic `Authorization` is not ours: a proxy may pass on its own."""
    keys = headers(scope, b"x-api-key")
    for value in headers(scope, b"authorization"):
        kind, _, credentials = value.partition(b" ")
        if kind.lower() == b"bearer":
            keys.append(credentials)
    keys = [key.strip() for key in keys]
    if query_key and b"apikey=" in scope["query_string"]:
        pairs = [pair.partition(b"=") for pair in scope["query_string"].split(b"&")]
        keys += [unquote_to_bytes(value.replace(b"+", b" ")) for name, _, value in pairs if name == b"apikey"]
    return keys


def cookies_of(scope: Asking, wanted: str) -> list[bytes]:
    """Return the values of the cookies of one name."""
    pairs = [pair.strip().partition(b"=") for line in headers(scope, b"cookie") for pair in line.split(b";")]
    return [value for name, _, value in pairs if name == wanted.encode()]


def is_secure(scope: Asking) -> bool:
    """Return whether the browser speaks TLS, to us or to a trusted proxy."""
    return bool(scope["scheme"] == "https")


def address_of(scope: Asking) -> str:
    """Return the address that counts for a caller: its own, or its IPv6 network."""
    client = scope.get("client")
    return address_group(client[0] if client else "")


def send_cookie(scope: Asking, value: str) -> None:
    """Have the answer carry a cookie: a `Set-Cookie` header's value."""
    scope[COOKIES].append(value)
