"""Sessions: their end, their cookies, and the cost of password hashes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qguardarr.api.security import sessions
from qguardarr.api.security.sessions import MAX_AGE_S, Sessions, check_password_hash
from qguardarr.errors import ConfigError
from tests.support.api_site import HASH, KEY, OTHER_HASH, WRONG, Site, settings


@pytest.fixture
def site() -> Site:
    return Site()


def test_a_session_ends_twelve_hours_after_it_was_used_last(site: Site) -> None:
    site.login()
    site.now += MAX_AGE_S / 2 - 1
    assert site.browse().all_of("set-cookie") == [], "not yet renewed"
    old = site.cookie
    site.now += 2
    renewed = site.browse()
    assert len(renewed.all_of("set-cookie")) == 1
    assert renewed.json()["expires_in_s"] == MAX_AGE_S
    assert renewed.json()["csrf_token"] == site.token, "pages that are open go on"
    site.now += MAX_AGE_S - 10
    assert site.ask(headers=[("Cookie", old)]).status == 401
    assert site.browse().status == 200
    site.now += MAX_AGE_S + 2
    assert site.browse().status == 401


def test_the_rest_of_a_session_is_told(site: Site) -> None:
    site.login()
    site.now += 3600
    assert site.browse().json()["expires_in_s"] == MAX_AGE_S - 3600


def test_a_cookie_from_the_future_is_refused(site: Site) -> None:
    site.login()
    site.now -= 60
    assert site.browse().status == 401


def test_a_logout_ends_the_session_for_whoever_has_its_cookie(site: Site) -> None:
    site.login()
    copied = site.cookie
    site.now += MAX_AGE_S * 0.6
    site.browse()
    renewed = site.cookie
    gone = site.browse("DELETE", "/logout", [("X-CSRF-Token", site.token)])
    assert gone.status == 204
    assert gone.all_of("set-cookie")[-1].startswith("qguardarr_session=; Path=/; Max-Age=0; HttpOnly")
    for cookie in (copied, renewed):
        assert site.ask(headers=[("Cookie", cookie)]).status == 401
    site.login()
    assert site.browse().status == 200, "the next one is not concerned"


def test_nobody_is_logged_out_by_others(site: Site) -> None:
    site.login()
    assert site.browse("DELETE", "/logout").status == 403
    assert site.ask("DELETE", "/logout").status == 401
    assert site.ask("DELETE", "/logout", [("X-Api-Key", KEY)]).status == 204
    assert site.browse().status == 200


def test_revoked_sessions_are_remembered_until_they_would_have_ended(site: Site) -> None:
    mine = site.access.sessions
    mine.revoke("one")
    site.now += MAX_AGE_S + 1
    mine.revoke("two")
    assert list(mine.revoked) == ["two"]


def test_too_many_revocations_end_all_sessions_rather_than_forget_one(site: Site) -> None:
    mine = site.access.sessions
    site.login()
    cookies = [mine.cookie(f"s{n}", secure=False).partition(";")[0] for n in range(sessions.MAX_REVOKED + 1)]
    site.now += 1
    for number in range(sessions.MAX_REVOKED + 1):
        mine.revoke(f"s{number}")
    assert len(mine.revoked) <= sessions.MAX_REVOKED
    assert {site.ask(headers=[("Cookie", cookie)]).status for cookie in [*cookies[:3], *cookies[-2:]]} == {401}
    assert site.browse().status == 401
    site.now += 1
    site.login()
    assert site.browse().status == 200


@pytest.mark.parametrize(
    ("key", "changes"),
    [("another-key-of-the-tests", {}), (KEY, {"password_hash": OTHER_HASH}), (KEY, {"username": "eve"})],
)
def test_other_credentials_end_all_sessions(site: Site, key: str, changes: dict[str, Any]) -> None:
    site.login()
    site.access.adopt(settings(**changes), key)
    assert site.browse().status == 401
    site.access.adopt(settings(), KEY)
    assert site.browse().status == 200, "the same as before are the same as before"


def test_other_settings_leave_sessions_revocations_and_counters(site: Site) -> None:
    site.login()
    revoked = site.cookie
    site.browse("DELETE", "/logout", [("X-CSRF-Token", site.token)])
    site.login()
    for _ in range(5):
        site.login(WRONG, client="192.0.2.99")
    site.access.adopt(settings(port=1, metrics_open=True), KEY)
    assert site.browse().status == 200
    assert site.ask(headers=[("Cookie", revoked)]).status == 401
    assert site.login(client="192.0.2.99").status == 429


def test_sessions_outlive_a_restart(site: Site) -> None:
    site.login()
    again = Site()
    again.cookie = site.cookie
    assert again.browse().status == 200


def test_without_a_user_no_cookie_lets_in(site: Site) -> None:
    empty = Sessions(lambda: 1_800_000_000.0)
    empty.adopt(KEY, None, None)
    forged = empty.cookie("x", secure=False).partition(";")[0]
    nobody = Site(username=None, password_hash=None)
    assert nobody.ask(headers=[("Cookie", forged)]).status == 401


def test_a_wrong_key_is_not_outweighed_by_a_session(site: Site) -> None:
    site.login()
    assert site.browse(headers=[("X-Api-Key", "wrong")]).status == 401
    assert site.browse(headers=[("X-Api-Key", KEY)]).json()["kind"] == "key"


def test_tampered_cookies_are_refused(site: Site) -> None:
    site.login()
    name, _, value = site.cookie.partition("=")
    other = Site(key="another-key-of-the-tests")
    other.login()
    bad = [value[:-1], value + "A", value[1:], value.upper(), value.replace(".", ""), "." + value, value * 2, ".", ".."]
    bad += ["", "a.b.c", other.cookie.partition("=")[2], f'"{value}"', value + "." * 300]
    for place, letter in enumerate(value[:-1]):
        bad.append(value[:place] + ("A" if letter != "A" else "B") + value[place + 1 :])
    for forged in bad:
        assert site.ask(headers=[("Cookie", f"{name}={forged}")]).status == 401, forged
    assert site.ask(headers=[("Cookie", f"other={value}")]).status == 401


def test_the_session_is_found_among_other_cookies(site: Site) -> None:
    site.login()
    assert site.ask(headers=[("Cookie", f"theme=dark; {site.cookie};x"), ("Cookie", b"\xff=\xfe;;=")]).status == 200
    assert site.ask(headers=[("Cookie", f"qguardarr_session=planted; {site.cookie}")]).status == 200


@given(value=st.binary(max_size=400))
def test_no_cookie_breaks_anything(value: bytes) -> None:
    assert Site().ask(headers=[("Cookie", b"qguardarr_session=" + value)]).status == 401


def _hash(**cost: int) -> str:
    salt, digest = HASH.split("$")[4:]
    cost = {"m": 7168, "t": 5, "p": 1} | cost
    return f"$argon2id$v=19$m={cost['m']},t={cost['t']},p={cost['p']}${salt}${digest}"


def test_only_hashes_of_a_bearable_cost_are_taken() -> None:
    for good in (HASH, _hash(), _hash(m=65536), _hash(t=32), _hash(p=16)):
        check_password_hash(good)
    bad = [_hash(m=65537), _hash(m=4), _hash(t=33), _hash(t=0), _hash(p=17), _hash(p=0), "", "plain", "$2b$12$abc"]
    for text in [*bad, HASH.replace("argon2id", "argon2i"), HASH.replace("m=", "n=")]:
        with pytest.raises(ConfigError, match=r"auth\.password") as caught:
            check_password_hash(text)
        assert not text or text not in str(caught.value)
