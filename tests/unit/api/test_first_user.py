"""Who may make the first user: someone near, no page of another site, on a first run; or whoever has the key."""

from __future__ import annotations

from typing import Any

import pytest

from qguardarr.api.problems import Problem
from qguardarr.api.security.access import Access
from qguardarr.api.security.first_user import OPEN_S, PEER, check_first_user
from tests.support.api_site import KEY, settings
from tests.support.asgi import Pairs, scope

HERE = ("Host", "192.168.1.5:8089")


def status(
    *,
    client: str | None = "192.168.1.7",
    headers: Pairs = (HERE,),
    peer: str | None = None,
    access: dict[str, Any] | None = None,
    **changes: Any,
) -> int:
    """The status of a refusal; 0 if the caller may. `peer`: the address behind a trusted proxy's word."""
    asked = scope("POST", "/api/v1/setup/user", headers, client=client)
    if peer is not None:
        asked[PEER] = peer
    situation: dict[str, Any] = {
        "names": (), "trusted_proxies": (), "access_configured": False, "dry_run": True, "up_s": 60.0
    }  # fmt: skip
    nobody = {"username": None, "password_hash": None} if access is None else access
    try:
        check_first_user(asked, Access(settings(**nobody), KEY), **(situation | changes))
    except Problem as problem:
        return problem.status
    return 0


@pytest.mark.parametrize(
    ("client", "near"),
    [
        ("127.0.0.1", True),
        ("10.1.2.3", True),
        ("172.16.0.1", True),
        ("172.32.0.1", False),
        ("192.168.1.7", True),
        ("169.254.3.4", True),
        ("::1", True),
        ("fd00::5", True),
        ("fe80::1%eth0", True),
        ("::ffff:192.168.1.7", True),
        ("::ffff:203.0.113.9", False),
        ("2001:db8::1", False),
        ("203.0.113.9", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("unix:", False),
        ("", False),
        (None, False),
    ],
)
def test_only_private_addresses(client: str | None, near: bool) -> None:
    assert status(client=client) == (0 if near else 403)


@pytest.mark.parametrize(
    ("host", "trusted"),
    [
        ("192.168.1.5:8089", True),
        ("localhost:8089", True),
        ("[::1]:8089", True),
        ("qguardarr:8089", True),
        ("nas.local", True),
        ("nas.home.arpa:80", True),
        ("203.0.113.9:8089", False),
        ("[2001:db8::1]:8089", False),
        ("evil.example", False),
        ("192.168.1.5.evil.example", False),
        ("q.example.org", False),
        ("", False),
        ("a b", False),
    ],
)
def test_only_hosts_that_no_dns_of_others_can_point_here(host: str, trusted: bool) -> None:
    assert status(headers=(("Host", host),)) == (0 if trusted else 403)


def test_host_of_the_configuration_is_trusted() -> None:
    assert status(headers=(("Host", "q.example.org"),), names=("q.example.org",)) == 0


@pytest.mark.parametrize(
    "header",
    [
        ("Origin", "http://evil.example"),
        ("Origin", "http://192.168.1.5:3000"),
        ("Origin", "https://192.168.1.5:8089"),
        ("Origin", "null"),
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
    ],
)
def test_no_page_of_another_site(header: tuple[str, str]) -> None:
    assert status(headers=(HERE, header)) == 403


def test_our_own_page_may() -> None:
    assert status(headers=(HERE, ("Origin", "http://192.168.1.5:8089"))) == 0
    assert status(headers=(HERE, ("Sec-Fetch-Site", "same-origin"))) == 0


def test_host_that_the_browser_asked_is_the_one_that_arrives() -> None:
    same = ("Sec-Fetch-Site", "same-origin")
    assert status(headers=(HERE, same, ("Origin", "https://192.168.1.5"))) == 0
    assert status(headers=(HERE, same, ("Origin", "https://public.example"))) == 403
    assert status(headers=(HERE, same, ("Origin", "null"))) == 403


@pytest.mark.parametrize(
    "name",
    [
        "X-Forwarded-For", "Forwarded", "X-Real-IP", "Via", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Client-IP",
        "Fastly-Client-IP", "CF-Connecting-IP", "X-Envoy-External-Address", "X-Original-Forwarded-For",
    ],
)  # fmt: skip
def test_no_unknown_proxy(name: str) -> None:
    assert status(client="127.0.0.1", headers=(HERE, (name, "192.168.1.7"))) == 403
    assert status(client="127.0.0.1", headers=(HERE, (name, ""))) == 403


def test_trusted_proxy_has_to_say_for_whom() -> None:
    proxies = ("172.17.0.1", "10.0.0.0/8")
    told = (HERE, ("X-Forwarded-For", "192.168.1.7"))
    assert status(client="192.168.1.7", peer="172.17.0.1", headers=told, trusted_proxies=proxies) == 0
    assert status(client="203.0.113.9", peer="172.17.0.1", headers=told, trusted_proxies=proxies) == 403
    assert status(client="172.17.0.1", peer="172.17.0.1", trusted_proxies=proxies) == 403
    assert status(client="10.9.9.9", peer="10.9.9.9", trusted_proxies=proxies) == 403


@pytest.mark.parametrize(
    "lines",
    [
        ("8.8.8.8, 192.168.1.2",),
        ("8.8.8.8", "192.168.1.2"),
        ("192.168.1.9, 8.8.8.8, 192.168.1.2",),
        ("me, 192.168.1.2",),
    ],
)
def test_everybody_on_the_way_is_near(lines: tuple[str, ...]) -> None:
    told = (HERE, *(("X-Forwarded-For", line) for line in lines))
    assert status(client="192.168.1.2", peer="127.0.0.1", headers=told, trusted_proxies=("127.0.0.1",)) == 403


def test_proxy_far_away_has_no_say() -> None:
    told = (HERE, ("X-Forwarded-For", "10.0.0.1"))
    assert status(client="10.0.0.1", peer="203.0.113.9", headers=told, trusted_proxies=("0.0.0.0/0",)) == 403


def test_only_on_a_first_run() -> None:
    assert status(dry_run=False) == 403
    assert status(access_configured=True) == 403
    assert status(up_s=OPEN_S + 1) == 403


def test_key_is_enough_and_a_wrong_one_never() -> None:
    anywhere = {"client": "203.0.113.9", "dry_run": False, "access_configured": True, "up_s": 9e9}
    assert status(headers=(("Host", "q.example.org"), ("X-Api-Key", KEY)), **anywhere) == 0
    assert status(headers=(HERE, ("X-Api-Key", "wrong"))) == 401
    assert status(headers=(HERE, ("X-Api-Key", KEY), ("Authorization", "Bearer wrong"))) == 401


def test_nobody_once_there_is_a_user_or_nobody_is_asked() -> None:
    keyed = (HERE, ("X-Api-Key", KEY))
    assert status(access={}, headers=keyed) == 409
    assert status(access={"open": True, "username": None, "password_hash": None}) == 409
