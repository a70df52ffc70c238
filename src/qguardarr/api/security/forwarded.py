"""People whom a reverse proxy has logged in, and names in a header (`auth.forward_header`).

Anybody can send such a header, so it counts only on connections that come from a trusted proxy itself, whatever
`X-Forwarded-For` says, and the proxy has to replace it in each request. Two of them, or two names in one, are
somebody's attempt to add their own to the proxy's.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from typing import Final

from qguardarr.api.security.request import PEER, Asking, headers

_LONGEST: Final = 128
"""Characters of a name."""


class ForwardedUsers:
    """Read the names that trusted proxies tell."""

    def __init__(self, header: str, proxies: Collection[str]) -> None:
        """`header`: in lower case; empty: none. `proxies`: addresses and networks; prefix 0 would be everybody."""
        self._header = header.encode("ascii")
        networks = [ipaddress.ip_network(proxy) for proxy in proxies] if header else []
        self._proxies = tuple(network for network in networks if network.prefixlen > 0)

    def name(self, scope: Asking) -> str:
        """Return the person whom a trusted proxy names; empty if there is none."""
        values = headers(scope, self._header) if self._proxies else []
        if len(values) != 1 or not self._comes_from_proxy(scope):
            return ""
        try:
            name = values[0].decode("utf-8").strip()
        except UnicodeDecodeError:
            return ""
        return name if name.isprintable() and "," not in name and len(name) <= _LONGEST else ""

    def _comes_from_proxy(self, scope: Asking) -> bool:
        try:
            peer = ipaddress.ip_address(scope.get(PEER) or "")
        except ValueError:
            return False
        return any(peer in network for network in self._proxies)
