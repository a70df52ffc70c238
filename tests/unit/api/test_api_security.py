"""Who may ask, and what a foreign page cannot make a browser do."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from qguardarr.addresses import is_loopback
from qguardarr.api.problems import Problem
from qguardarr.api.security import access
from qguardarr.api.security.access import Access, check
from qguardarr.api.security.origins import check_same_origin, host_is_private
from qguardarr.errors import ConfigError
from tests.support.api_site import JSON, KEY, Site, settings
from tests.support.asgi import scope


@pytest.fixture
def site() -> Site:
    return Site()


# -- the key ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    [
        ("X-Api-Key", KEY),
        ("x-api-key", f" {KEY} "),
        ("Authorization", f"Bearer {KEY}"),
        ("Authorization", f"bEARER  {KEY}"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_the_key_lets_in_by_either_header(site: Site, header: tuple[str, str], method: str) -> None:
    answer = site.ask(method, headers=[header])
    assert (answer.status, answer.json()["kind"]) == (200, "key")
    assert answer.json()["csrf_token"] is None


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("X-Api-Key", "")],
        [("X-Api-Key", KEY[:-1])],
        [("X-Api-Key", KEY + "x")],
        [("X-Api-Key", KEY.upper())],
        [("X-Api-Key", b"\xff\x00\xfe")],
        [("Authorization", KEY)],
        [("Authorization", "Bearer")],
        [("Authorization", f"Basic {KEY}")],
        [("Cookie", f"apikey={KEY}")],
        [("X-Api-Key", KEY), ("X-Api-Key", "wrong")],
        [("X-Api-Key", KEY), ("Authorization", "Bearer wrong")],
        [("Authorization", b"Bearer \xc3\xa9"), ("X-Api-Key", KEY)],
    ],
)
def test_anything_else_does_not(site: Site, headers: list[tuple[str, str]]) -> None:
    answer = site.ask(headers=headers)
    assert answer.status == 401
    assert answer.header("www-authenticate") == 'ApiKey realm="qguardarr"'
    assert answer.header("content-type") == "application/problem+json"
    assert KEY not in answer.body.decode()
    assert site.access.identify(scope(headers=headers)) is None


@pytest.mark.parametrize("query", [b"apikey=%s", b"a=1&apikey=%s&b", b"apikey=%%61%s"])
def test_a_key_in_the_query_counts_for_the_webhook_alone(query: bytes) -> None:
    site = Site(key="aKey of a person+%ü") if b"%61" in query else Site()
    shown = b"Key+of%20a+person%2B%25%C3%BC" if b"%61" in query else KEY.encode()
    filled = query.replace(b"%%61", b"%61").replace(b"%s", shown)
    assert site.ask("POST", "/hook", query=filled).json()["kind"] == "key"
    assert site.ask("POST", "/other", query=filled).status == 401


@pytest.mark.parametrize(
    "query", [b"apikey=", b"apikey=%zz", b"apikey=a&apikey=%ff", b"APIKEY=" + KEY.encode(), b"=&&="]
)
def test_a_wrong_key_in_the_query_does_not(site: Site, query: bytes) -> None:
    assert site.ask("POST", "/hook", query=query).status == 401


def test_a_right_key_in_the_query_does_not_outweigh_a_wrong_header(site: Site) -> None:
    assert site.ask("POST", "/hook", [("X-Api-Key", "x")], query=b"apikey=" + KEY.encode()).status == 401


def test_a_proxys_own_basic_credentials_are_none_of_ours(site: Site) -> None:
    assert site.ask(headers=[("Authorization", "Basic eDp5"), ("X-Api-Key", KEY)]).status == 200


def test_no_key_in_force_lets_nobody_in() -> None:
    for sent in (b"", b" ", b"None"):
        assert Site(key="").ask(headers=[("X-Api-Key", sent)]).status == 401
        assert Site(key=" ").ask("POST", "/hook", query=b"apikey=" + sent).status == 401


def test_a_key_is_never_compared_plainly(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(a: bytes, b: bytes) -> bool:
        compared.append((a, b))
        return a == b

    monkeypatch.setattr(access.hmac, "compare_digest", compare)
    assert site.ask(headers=[("X-Api-Key", KEY)]).status == 200
    assert site.ask(headers=[("X-Api-Key", "short")]).status == 401
    assert {len(side) for pair in compared for side in pair} == {32}, "digests, so that not even a length shows"
    assert len(compared) == 2


def test_a_wrong_key_is_logged_once_a_minute_and_address_without_the_key(site: Site) -> None:
    with capture_logs() as lines:
        for _ in range(50):
            site.ask(headers=[("X-Api-Key", "guess-4711")])
        site.ask(headers=[("X-Api-Key", "guess-4711")], client="192.0.2.8")
        site.ask()  # none at all is no attempt
        site.monotonic += 61
        site.ask(headers=[("X-Api-Key", "guess-4711")])
    assert [line["address"] for line in lines] == ["192.0.2.7", "192.0.2.8", "192.0.2.7"]
    assert "guess" not in str(lines)


def test_a_crowd_with_wrong_keys_neither_fills_the_log_nor_holds_up_the_right_one(site: Site) -> None:
    with capture_logs() as lines:
        for number in range(1000):
            site.ask(headers=[("X-Api-Key", "x")], client=f"10.0.{number // 256}.{number % 256}")
            assert site.ask(headers=[("X-Api-Key", KEY)], client=f"10.0.{number // 256}.{number % 256}").status == 200
        assert len(lines) == access.MAX_NOTICES
        site.monotonic += access.NOTICE_INTERVAL_S
        site.ask(headers=[("X-Api-Key", "x")], client="192.0.2.9")
    assert lines[-1]["address"] == "192.0.2.9"


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


# -- starting ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.9", "nas", "localhost.example", ""])
def test_it_does_not_start_open_on_a_public_address_unless_told(host: str) -> None:
    for key in ("", "  "):
        with pytest.raises(ConfigError, match=r"auth\.api_key.*auth: none"):
            Access(settings(host=host), key)
    check(settings(host=host), KEY)
    check(settings(host=host, open=True), "")


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.8.9.1", "::1", "[::1]", "::ffff:127.0.0.1", "localhost", "LocalHost"]
)
def test_on_this_machine_alone_it_starts_and_still_asks(host: str) -> None:
    assert is_loopback(host)
    assert Site(key="", host=host).ask().status == 401


def test_a_refused_change_changes_nothing(site: Site) -> None:
    site.login()
    for bad, key in ((settings(host="0.0.0.0"), ""), (settings(password_hash="$argon2id$"), KEY)):
        for refused in (site.access.adopt, check):
            with pytest.raises(ConfigError):
                refused(bad, key)
        assert site.browse().status == 200
        assert site.ask(headers=[("X-Api-Key", KEY)]).status == 200
