"""Who may make the first user, while there is none.

Nobody can log in yet, so whoever asks must be near, and must not be a page of another site: a private address that no
unknown proxy hides, and a Host that the internet's DNS cannot point at us. Even so any machine of the network could
ask; therefore only an installation that has never written a limit is open to this, and only for an hour after a start.
The API key is always enough.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from typing import Final

from qguardarr.api.problems import Problem
from qguardarr.api.security.access import Access
from qguardarr.api.security.origins import check_same_origin, host_is_private, named_hosts, named_origins
from qguardarr.api.security.request import PEER, Asking, headers

OPEN_S: Final = 3600.0
"""Time after a start for which nobody needs a key."""
REFUSED: Final = "/problems/setup-refused"

_NEAR: Final = tuple(
    map(
        ipaddress.ip_network,
        (
            "127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16",
            "::1/128", "fc00::/7", "fe80::/10",
        ),
    )
)  # fmt: skip
_FORWARDING: Final = re.compile(
    rb"x-forwarded.*|x-original-forwarded.*|forwarded.*|x-real-ip|via|.*-client-ip|.*-connecting-ip|x-envoy-.*|true-client-.*"
)
"""Headers by which proxies give themselves away."""
_WITH_KEY: Final = "send the API key along (`qguardarr api-key` prints it)"


def check_first_user(
    scope: Asking,
    access: Access,
    *,
    names: Collection[str],
    trusted_proxies: Collection[str],
    access_configured: bool,
    dry_run: bool,
    up_s: float,
) -> None:
    """`Problem` 401, 403 or 409 unless the caller may make the first user.

    Args:
        scope: the request.
        access: who may ask otherwise.
        names: host names that the configuration trusts.
        trusted_proxies: addresses and networks of proxies whose word on addresses counts.
        access_configured: a person chose the API key, or has a proxy name people.
        dry_run: nothing is written to qBittorrent.
        up_s: seconds since the start.
    """
    if access.has_user or access.is_open:
        detail = "there is a user already: log in" if access.has_user else "nobody is asked to log in (auth: none)"
        raise Problem(409, detail, type="/problems/user-exists")
    if access.presents_key(scope):
        access.require(scope)  # a wrong key is refused
        return
    check_same_origin(scope)
    reason = (
        _why_far(scope, trusted_proxies)
        or _why_foreign(scope, names)
        or _why_late(access_configured=access_configured, dry_run=dry_run, up_s=up_s)
    )
    if reason:
        raise Problem(403, f"{reason}; {_WITH_KEY}", type=REFUSED)


def _why_far(scope: Asking, trusted_proxies: Collection[str]) -> str:
    client = scope.get("client")
    host = str(client[0]) if client else ""
    peer = str(scope.get(PEER) or host)
    forwarded = any(_FORWARDING.fullmatch(name) for name, _ in scope["headers"])
    if forwarded and peer == host:
        return "a proxy stands between that http.trusted_proxies does not name"
    if not forwarded and any(_is_in(peer, proxy) for proxy in trusted_proxies):
        return "the proxy does not say for whom it asks"
    told = [address for line in headers(scope, b"x-forwarded-for") for address in line.decode("latin-1").split(",")]
    if not all(map(is_near, (host, peer, *told))):
        return "the first user can be made from a private address only"
    return ""


def _why_foreign(scope: Asking, names: Collection[str]) -> str:
    hosts = named_hosts(scope)
    if any(origin not in hosts for origin in named_origins(scope)):  # also beside Sec-Fetch-Site, behind any proxy
        return "the page was opened under another host name than the one that arrives here"
    if not host_is_private(scope, names) or any(_is_far_address(name) for name in hosts):
        return "this host name may be anybody's; use the machine's own address"
    return ""


def _why_late(*, access_configured: bool, dry_run: bool, up_s: float) -> str:
    if access_configured:
        return "access was set up already: auth.api_key or auth.forward_header is configured"
    if not dry_run:
        return "this is no first run: limits are being written"
    if up_s > OPEN_S:
        return "Qguardarr has been running for more than an hour: start it again"
    return ""


def is_near(host: str) -> bool:
    """Tell whether an address is this machine's or a private network's."""
    try:
        address = ipaddress.ip_address(host.strip().partition("%")[0])
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return any((mapped or address) in network for network in _NEAR)


def _is_far_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return not is_near(name)


def _is_in(host: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(network)
    except ValueError:
        return False
