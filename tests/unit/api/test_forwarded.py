"""A person whom a proxy names: believed from trusted proxies alone, whatever else a caller sends."""

from __future__ import annotations

from typing import Any

import pytest
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from qguardarr.api.app import _with_plain_address
from tests.support.api_site import JSON, KEY, RIGHT, Site
from tests.support.asgi import Answer, Pairs, ask, scope

PROXY, OUTSIDE = "10.1.2.3", "203.0.113.9"
NAMED = ("Remote-User", "ada@example.org")
HOST = ("Host", "guard.example.org")


class Behind:
    """A site with a proxy in front of it, or with somebody who pretends to be one."""

    def __init__(self, **changes: Any) -> None:
        plain = {
            "trusted_proxies": ("10.0.0.0/8", "::1"),
            "forward_header": "remote-user",
            "allowed_hosts": ("guard.example.org",),
        }
        self.site = Site(**{**plain, **changes})
        trusted = [*changes.get("trusted_proxies", plain["trusted_proxies"])]
        self.app = _with_plain_address(ProxyHeadersMiddleware(self.site.app, trusted_hosts=trusted))  # type: ignore[arg-type]

    def ask(
        self, headers: Pairs = (NAMED,), *, method: str = "GET", client: str | None = PROXY, host: Any = HOST
    ) -> Answer:
        return ask(self.app, scope(method, "/", [host, *headers], client=client))


def test_it_is_let_in_under_its_name() -> None:
    told = Behind().ask()
    assert told.status == 200
    info = told.json()
    assert (info["kind"], info["user"], info["expires_in_s"]) == ("proxy", "ada@example.org", None)
    assert len(info["csrf_token"]) == 64
    assert told.all_of("set-cookie") == []


@pytest.mark.parametrize("client", [PROXY, "::ffff:10.9.9.9", "::1"])
def test_from_any_trusted_address_and_in_any_case(client: str) -> None:
    assert Behind().ask([("REMOTE-user", "ada")], client=client).json()["user"] == "ada"
    assert Behind().ask([("Remote-User", " Ädä ".encode())], client=client).json()["user"] == "Ädä"


@pytest.mark.parametrize("client", [OUTSIDE, "192.168.0.9", "::2", "not an address", None])
@pytest.mark.parametrize(
    "forwarded",
    [[], ["10.1.2.3"], ["10.1.2.3, 10.1.2.4"], [f"{OUTSIDE}, 10.1.2.3"], ["127.0.0.1", "::1"]],
    ids=str,
)
def test_a_direct_client_gains_nothing_whatever_chain_it_sends(client: str | None, forwarded: list[str]) -> None:
    chain = [("X-Forwarded-For", value) for value in forwarded]
    also = [("X-Real-IP", PROXY), ("Forwarded", f"for={PROXY}"), ("X-Forwarded-Proto", "https")]
    assert Behind().ask([NAMED, *chain, *also], client=client).status == 401


def test_the_address_that_a_proxy_tells_does_not_matter() -> None:
    assert Behind().ask([NAMED, ("X-Forwarded-For", OUTSIDE)]).status == 200
    assert Behind().ask([NAMED, ("X-Forwarded-For", f"10.7.7.7, {OUTSIDE}")]).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("Remote-User", "")],
        [("Remote-User", "  ")],
        [("Remote-User", "mallory"), NAMED],
        [NAMED, ("remote-user", "ada@example.org")],
        [("Remote-User", "mallory, ada")],
        [("Remote-User", "ada\x00")],
        [("Remote-User", "ada\u202e".encode())],
        [("Remote-User", b"\xff\xfe")],
        [("Remote-User", "x" * 129)],
        [("Remote_User", "ada")],
        [("X-Remote-User", "ada")],
        [("Remote-User ", "ada")],
    ],
    ids=repr,
)
def test_no_name_two_names_and_names_that_are_none_count_for_nothing(headers: Pairs) -> None:
    assert Behind().ask(headers).status == 401


def test_it_is_ignored_unless_it_is_configured() -> None:
    assert Behind(forward_header="").ask().status == 401
    assert Behind(trusted_proxies=()).ask().status == 401
    assert Behind(trusted_proxies=("0.0.0.0/0", "::/0")).ask().status == 401, "everybody is no proxy"
    assert Behind(forward_header="x-webauth-user").ask().status == 401
    assert Behind(forward_header="x-webauth-user").ask([("X-WEBAUTH-USER", "ada")]).status == 200


def test_a_page_that_points_its_own_name_at_the_proxys_machine_gains_nothing() -> None:
    refused = Behind().ask(host=("Host", "evil.example.com"))
    assert (refused.status, refused.json()["type"]) == (403, "/problems/untrusted-host")
    assert "http.allowed_hosts" in refused.json()["detail"]
    for host in ("guard.example.org", "guard.example.org:8443", "10.0.0.7:8089", "nas", "guard.local"):
        assert Behind().ask(host=("Host", host)).status == 200


def test_a_change_needs_the_token_and_the_same_origin() -> None:
    behind = Behind()
    token = ("X-CSRF-Token", behind.ask().json()["csrf_token"])
    assert behind.ask(method="POST").json()["type"] == "/problems/csrf"
    assert behind.ask([NAMED, ("X-CSRF-Token", "0" * 64)], method="POST").status == 403
    assert behind.ask([NAMED, token, token], method="DELETE").status == 403
    assert behind.ask([("Remote-User", "eve"), token], method="POST").status == 403, "a token is one person's"
    assert behind.ask([NAMED, token], method="POST").status == 200
    for site in ("cross-site", "same-site"):
        told = behind.ask([NAMED, token, ("Sec-Fetch-Site", site)], method="POST")
        assert told.json()["type"] == "/problems/cross-site"
    told = behind.ask([NAMED, token, ("Origin", "https://evil.example.com")], method="POST")
    assert told.json()["type"] == "/problems/cross-site"


def test_keys_and_sessions_go_on_beside_it() -> None:
    behind = Behind()
    assert behind.ask([NAMED, ("X-Api-Key", KEY)]).json()["kind"] == "key"
    assert behind.ask([NAMED, ("X-Api-Key", "wrong")]).status == 401, "nothing outweighs a wrong key"
    behind.site.login(RIGHT, (JSON,))
    cookie = ("Cookie", behind.site.cookie)
    assert behind.ask([cookie]).json()["kind"] == "session"
    assert behind.ask([cookie], client=OUTSIDE).json()["kind"] == "session"
    assert behind.ask([cookie, NAMED]).json()["kind"] == "proxy", "the proxy knows who is there now"
    assert behind.ask([cookie, NAMED], client=OUTSIDE).json()["kind"] == "session"
    assert behind.ask([cookie, NAMED], host=("Host", "evil.example.com")).json()["kind"] == "session"


def test_with_auth_none_it_says_nothing() -> None:
    assert Behind(open=True, username=None, password_hash=None).ask(client=OUTSIDE).json()["kind"] == "anyone"
