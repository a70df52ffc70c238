"""The API key, and starting without one."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from qguardarr.addresses import is_loopback
from qguardarr.api.security import access
from qguardarr.api.security.access import Access, check
from qguardarr.errors import ConfigError
from tests.support.api_site import KEY, Site, settings
from tests.support.asgi import scope


@pytest.fixture
def site() -> Site:
    return Site()


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
