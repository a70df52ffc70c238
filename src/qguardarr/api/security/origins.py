"""Where a request comes from: whether another site's page may have made a browser send it."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from typing import Final

from qguardarr.api.problems import Problem
from qguardarr.api.security.request import Asking, headers

_AUTHORITY: Final = re.compile(r"(\[[0-9a-f:.]+\]|[^\s\[\]:/?#@]+)(?::([0-9]{1,5}))?", re.IGNORECASE)
_DEFAULT_PORT: Final = {"http": 80, "https": 443}
_PRIVATE_ZONES: Final = (".localhost", ".local", ".internal", ".home.arpa")
"""Reserved: the public DNS never answers for them."""


def check_same_origin(scope: Asking) -> None:
    """Raise `Problem` 403 if a browser says that another site's page asks.

    `Sec-Fetch-Site` decides if it is sent: no page can forge it, and it holds behind any proxy. Browsers leave it out
    on plain http; then `Origin` must be ours. A caller that sends neither is no browser of this decade.
    """
    sites = headers(scope, b"sec-fetch-site")
    if sites:
        foreign = any(site not in (b"same-origin", b"none") for site in sites)
    else:
        origins = {_origin_of(value.decode("latin-1")) for value in headers(scope, b"origin")}
        ours = {_origin(scope["scheme"], value.decode("latin-1")) for value in headers(scope, b"host")}
        foreign = bool(origins) and (origins != ours or None in ours)
    if foreign:
        raise Problem(403, "the request comes from another site's page", type="/problems/cross-site")


def host_is_private(scope: Asking, names: Collection[str]) -> bool:
    """Return whether no page on the internet can have been loaded under this Host, not even by rebinding DNS.

    It is an address, a name without a dot, one of a private zone, or one of `names`. A caller without a Host is no
    browser.
    """
    return all(_is_private(value.decode("latin-1"), names) for value in headers(scope, b"host"))


def named_hosts(scope: Asking) -> list[str]:
    """The host of each Host header, without port and brackets; of one that is none, the whole text."""
    texts = [value.decode("latin-1") for value in headers(scope, b"host")]
    found = [(text, _AUTHORITY.fullmatch(text)) for text in texts]
    return [match[1].lower().strip("[]") if match else text for text, match in found]


def named_origins(scope: Asking) -> list[str]:
    """Return the host of each Origin header, without port and brackets; empty if it names no web origin."""
    found = [_origin_of(value.decode("latin-1")) for value in headers(scope, b"origin")]
    return [origin[1].strip("[]") if origin else "" for origin in found]


def _is_private(authority: str, names: Collection[str]) -> bool:
    found = _AUTHORITY.fullmatch(authority)
    if not found:
        return False
    name = found[1].lower().rstrip(".")
    return "." not in name or name in names or name.endswith(_PRIVATE_ZONES) or _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _origin_of(text: str) -> tuple[str, str, int] | None:
    """Return an origin; None for `null`, and for anything that is no origin of the web."""
    scheme, separator, authority = text.partition("://")
    return _origin(scheme.lower(), authority) if separator else None


def _origin(scheme: str, authority: str) -> tuple[str, str, int] | None:
    found = _AUTHORITY.fullmatch(authority)
    if not found or scheme not in _DEFAULT_PORT:
        return None
    return scheme, found[1].lower(), int(found[2] or _DEFAULT_PORT[scheme])
