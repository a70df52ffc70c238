"""Requests that a foreign page makes a browser send, and names that it is reached under with `auth: none`."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qguardarr.api.problems import Problem
from qguardarr.api.security.access import Access
from qguardarr.api.security.origins import check_same_origin, host_is_private
from tests.support.api_site import JSON, KEY, Site, settings
from tests.support.asgi import scope


@pytest.fixture
def site() -> Site:
    return Site()


# -- forged requests --------------------------------------------------------------------------------------------------


OURS = ("Host", "guard.example:8089")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "QUERY"])
def test_a_session_changes_things_only_with_its_token(site: Site, method: str) -> None:
    site.login()
    assert site.browse(method, headers=[OURS]).status == 403
    assert site.browse(method, headers=[OURS, ("X-CSRF-Token", site.token)]).status == 200


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_reading_needs_none(site: Site, method: str) -> None:
    site.login()
    assert site.browse(method, headers=[OURS, ("Sec-Fetch-Site", "cross-site")]).status == 200


def test_a_token_is_good_for_its_own_session_alone(site: Site) -> None:
    site.login()
    others = site.token
    site.login()
    bad: list[list[str | bytes]] = [[others], [""], [site.token[:-1]], [site.token.upper()], [b"\xff\xfe"]]
    for tokens in [*bad, [site.token, others], [site.token, site.token]]:
        answer = site.browse("POST", headers=[("X-CSRF-Token", token) for token in tokens])
        assert (answer.status, answer.json()["type"]) == (403, "/problems/csrf"), tokens
    assert site.token not in answer.body.decode()


SAME = [
    [],
    [("Origin", "http://guard.example:8089")],
    [("Origin", "HTTP://GUARD.example:8089")],
    [("Sec-Fetch-Site", "same-origin")],
    [("Sec-Fetch-Site", "none")],
    [("Sec-Fetch-Site", "same-origin"), ("Origin", "https://outside.example")],  # a proxy that changes Host and scheme
]
FOREIGN = [
    [("Origin", "https://guard.example:8089")],
    [("Origin", "http://guard.example")],
    [("Origin", "http://guard.example:8090")],
    [("Origin", "http://evil.example")],
    [("Origin", "http://guard.example:8089.evil.example")],
    [("Origin", "http://guard.example:8089@evil.example")],
    [("Origin", "http://guard.example:8089/")],
    [("Origin", "guard.example:8089")],
    [("Origin", "null")],
    [("Origin", "")],
    [("Origin", b"http://\xff")],
    [("Origin", "http://guard.example:8089"), ("Origin", "http://evil.example")],
    [("Sec-Fetch-Site", "cross-site")],
    [("Sec-Fetch-Site", "same-site")],
    [("Sec-Fetch-Site", "")],
    [("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Site", "cross-site")],
    [("Sec-Fetch-Site", "cross-site"), ("Origin", "http://guard.example:8089")],
]


@pytest.mark.parametrize("headers", SAME)
def test_our_own_pages_may(headers: list[tuple[str, str]]) -> None:
    site = Site()
    assert site.login(headers=[JSON, OURS, *headers]).status == 200
    assert site.browse("POST", headers=[OURS, *headers, ("X-CSRF-Token", site.token)]).status == 200
    assert Site(open=True, allowed_hosts=("guard.example",)).ask("POST", headers=[OURS, *headers]).status == 200


@pytest.mark.parametrize("headers", FOREIGN)
def test_foreign_pages_may_not(headers: list[tuple[str, str]]) -> None:
    site = Site()
    assert site.login(headers=[JSON, OURS, *headers]).status == 403
    site.login()
    token = ("X-CSRF-Token", site.token)
    assert site.browse("POST", headers=[OURS, *headers, token]).json()["type"] == "/problems/cross-site"
    open_site = Site(open=True, allowed_hosts=("guard.example",))
    assert open_site.ask("POST", headers=[OURS, *headers]).json()["type"] == "/problems/cross-site"
    assert open_site.ask("GET", headers=[OURS, *headers]).status == 200
    assert site.ask("POST", headers=[OURS, *headers, ("X-Api-Key", KEY)]).status == 200, "no page knows the key"


@pytest.mark.parametrize(
    ("scheme", "host", "origin"),
    [
        ("http", "guard.example", "http://guard.example:80"),
        ("http", "guard.example:80", "http://guard.example"),
        ("https", "guard.example", "https://guard.example"),
        ("https", "guard.example:443", "https://guard.example"),
        ("http", "[2001:DB8::1]:8089", "http://[2001:db8::1]:8089"),
    ],
)
def test_default_ports_and_letter_case_make_no_difference(scheme: str, host: str, origin: str) -> None:
    check_same_origin(scope("POST", headers=[("Host", host), ("Origin", origin)], scheme=scheme))


@pytest.mark.parametrize("hosts", [[], [""], ["a b"], ["guard.example", "evil.example"]])
def test_an_origin_without_a_host_to_compare_is_foreign(hosts: list[str]) -> None:
    headers = [("Host", host) for host in hosts]
    with pytest.raises(Problem):
        check_same_origin(scope("POST", headers=[*headers, ("Origin", "http://evil.example")]))
    with pytest.raises(Problem):
        check_same_origin(scope("POST", headers=[*headers, ("Origin", "null")]))


@given(
    headers=st.lists(
        st.tuples(
            st.sampled_from(
                ["X-Api-Key", "Authorization", "Cookie", "Origin", "Host", "Sec-Fetch-Site", "X-CSRF-Token"]
            ),
            st.binary(max_size=60)
            | st.sampled_from([b"Bearer ", b"null", b"http://[", b"[::1]:99999", b"same-origin"]),
        ),
        max_size=6,
    ),
    query=st.binary(max_size=40).map(lambda tail: b"apikey=" + tail),
    open_=st.booleans(),
    method=st.sampled_from(["GET", "POST"]),
)
def test_no_request_raises_anything_but_a_problem(
    headers: list[tuple[str, bytes]], query: bytes, open_: bool, method: str
) -> None:
    access = Access(settings(open=open_), KEY)
    asking = scope(method, headers=headers, query=query)
    assert _status(lambda: access.require(asking, query_key=True)) in ((200, 403) if open_ else (401,))


def _status(asked: Callable[[], object]) -> int:
    try:
        asked()
    except Problem as problem:
        return problem.status
    return 200


# -- auth: none -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:8089", "192.168.1.9", "[::1]:8089", "[2001:db8::1]", "localhost:8089", "LOCALHOST", "a.localhost",
        "nas", "qguardarr:8089", "nas.local", "NAS.home.arpa.", "x.internal:80",
        "guard.example:8089", "Guard.Example",
    ],
)  # fmt: skip
def test_open_to_anyone_under_names_that_no_page_can_be_loaded_from(host: str) -> None:
    site = Site(open=True, key="", allowed_hosts=("Guard.example",))
    answer = site.ask("POST", headers=[("Host", host)])
    assert (answer.status, answer.json()["kind"]) == (200, "anyone")


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.nip.example:8089", "localhost.evil.example", "a.local.evil.example", "", "a b",
             "guard.example.evil.example", "x:y:z", b"\xff.\xfe", "nas@evil.example", "[::1].evil.example"],
)  # fmt: skip
def test_rebound_names_are_refused(host: str | bytes) -> None:
    site = Site(open=True, key="", allowed_hosts=("guard.example",))
    for method in ("GET", "POST"):
        answer = site.ask(method, headers=[("Host", host)])
        assert (answer.status, answer.json()["type"]) == (403, "/problems/untrusted-host")
    assert site.ask(headers=[("Host", "127.0.0.1"), ("Host", host)]).status == 403
    assert site.access.identify(scope(headers=[("Host", host)])) is None


def test_the_name_that_is_listened_at_is_known() -> None:
    assert Site(open=True, host="guard.example").ask(headers=[("Host", "guard.example:8089")]).status == 200


def test_a_client_without_a_host_is_no_browser() -> None:
    assert Site(open=True).ask("POST").status == 200


def test_with_a_key_any_name_will_do(site: Site) -> None:
    assert site.ask(headers=[("Host", "evil.example"), ("X-Api-Key", KEY)]).status == 200


@given(host=st.text(alphabet="abcx.:[]1-0", max_size=30))
def test_no_host_breaks_anything(host: str) -> None:
    asking = scope(headers=[("Host", host), ("Origin", "http://" + host)])
    if host_is_private(asking, ()):
        assert "evil.example" not in host
    assert _status(lambda: check_same_origin(asking)) in (200, 403)
