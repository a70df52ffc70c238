"""Logging in: bodies, credentials, cookies."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import argon2
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qguardarr.api.security.access import RECONNECT_S
from qguardarr.api.security.login import Login
from qguardarr.api.security.sessions import MAX_AGE_S
from tests.support.api_site import HASH, JSON, KEY, OTHER_HASH, PASSWORD, RIGHT, USER, WRONG, Site, settings
from tests.support.asgi import asked, scope


@pytest.fixture
def site() -> Site:
    return Site()


def test_a_login_begins_a_session(site: Site) -> None:
    answer = site.login()
    assert answer.status == 200
    assert answer.json() == {"kind": "session", "user": USER, "csrf_token": site.token, "expires_in_s": MAX_AGE_S}
    flags = answer.all_of("set-cookie")[0].split("; ")[1:]
    assert flags == ["Path=/", f"Max-Age={MAX_AGE_S}", "HttpOnly", "SameSite=Strict"]
    assert site.cookie.startswith("qguardarr_session=")
    assert site.browse().json() == answer.json()


def test_each_login_begins_another_session(site: Site) -> None:
    site.login()
    first, token = site.cookie, site.token
    site.login(headers=[JSON, ("Cookie", first)])
    assert (first, token) != (site.cookie, site.token)
    assert token != site.token


def test_over_https_the_cookie_is_secure_and_bound_to_the_host() -> None:
    site = Site()
    line, device = site.login(scheme="https").all_of("set-cookie")
    assert line.startswith("__Host-qguardarr_session=")
    assert device.startswith("__Host-qguardarr_device=")
    assert line.endswith("; Secure")
    assert device.endswith("; Secure")
    assert site.browse(scheme="https").status == 200
    assert site.browse(scheme="http").status == 401, "a cookie of the other name counts for the other scheme alone"


def test_under_a_base_path_the_cookie_stays_below_it() -> None:
    site = Site(base_path="/guard")
    line, device = site.login(scheme="https").all_of("set-cookie")
    assert line.startswith("qguardarr_session=")
    assert device.startswith("qguardarr_device=")
    assert "; Path=/guard;" in line
    assert "; Path=/guard;" in device
    assert line.endswith("; Secure")
    assert site.browse(scheme="https").status == 200


@pytest.mark.parametrize("user", [USER, "eve", "", "Ada", "ада"])
def test_wrong_credentials_are_refused_alike(user: str) -> None:
    answer = Site().login(msgspec.json.encode({"username": user, "password": "guess"}))
    assert (answer.status, answer.json()["detail"]) == (401, "the user name or the password is wrong")
    assert answer.all_of("set-cookie") == []
    assert answer.header("www-authenticate")


def test_an_unknown_user_costs_the_same_verification(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    verified: list[str] = []
    real = argon2.PasswordHasher.verify

    def verify(hasher: argon2.PasswordHasher, hash_: str, password: bytes) -> bool:
        verified.append(hash_)
        return real(hasher, hash_, password)

    monkeypatch.setattr(argon2.PasswordHasher, "verify", verify)
    site.login(WRONG)
    assert site.login(msgspec.json.encode({"username": "eve", "password": PASSWORD})).status == 401
    assert verified == [HASH, HASH]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"username":"ada"}',
        b'{"username":1,"password":"x"}',
        b'{"username":"ada","password":"x","more":1}',
        b'{"username":"\xff","password":"x"}',
        b'{"username":"\\ud800","password":"x"}',
        b'{"username":"' + b"a" * 257 + b'","password":"x"}',
        b'{"username":"ada","password":"' + b"a" * 1025 + b'"}',
        b'{"username":' + b"[" * 5000,
        b'{"x":' + b"[" * 5000,
    ],
)
def test_a_body_that_is_no_login_is_refused(site: Site, body: bytes) -> None:
    answer = site.login(body)
    assert (answer.status, answer.json()["type"]) == (400, "/problems/invalid-request")


@given(body=st.binary(max_size=200) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_no_body_breaks_the_login(body: bytes) -> None:
    assert Site().login(body).status == 400


@pytest.mark.parametrize(
    "kinds",
    [[], ["text/plain"], ["application/x-www-form-urlencoded"], ["application/jsonp"], ["application/json"] * 2],
)
def test_a_login_is_json_alone(site: Site, kinds: list[str]) -> None:
    """A form with any of the others could be sent by any page."""
    assert site.login(headers=[("Content-Type", kind) for kind in kinds]).status == 415


def test_a_login_may_name_its_charset(site: Site) -> None:
    assert site.login(headers=[("Content-Type", "Application/JSON; charset=utf-8")]).status == 200


@pytest.mark.parametrize("changes", [{"username": None, "password_hash": None}, {"open": True}])
def test_without_a_user_nobody_logs_in(changes: dict[str, Any]) -> None:
    answer = Site(**changes).login()
    assert (answer.status, answer.json()["type"]) == (403, "/problems/no-login")


def test_no_memory_to_verify_is_said(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_: Any) -> bool:
        raise argon2.exceptions.VerificationError("Memory allocation error")

    monkeypatch.setattr(argon2.PasswordHasher, "verify", exhausted)
    answer = site.login()
    assert (answer.status, answer.header("retry-after")) == (503, "5")


def test_passwords_are_verified_one_at_a_time_away_from_the_loop(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:

    alone = threading.Lock()
    met: list[bool] = []
    threads = set()

    async def four() -> None:
        loop, begun, gate = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

        def slow(*_: Any) -> bool:
            met.append(not alone.acquire(blocking=False))
            threads.add(threading.current_thread())
            loop.call_soon_threadsafe(begun.set)
            gate.wait(10)
            if not met[-1]:
                alone.release()
            return False

        monkeypatch.setattr(argon2.PasswordHasher, "verify", slow)
        tries = [
            asyncio.create_task(asked(site.app, scope("POST", "/login", [JSON], client=f"192.0.2.{n}"), WRONG))
            for n in range(4)
        ]
        await begun.wait()
        gate.set()  # only a free loop gets here
        assert {answer.status for answer in await asyncio.gather(*tries)} == {401}

    asyncio.run(four())
    assert met == [False] * 4
    assert threading.main_thread() not in threads


def test_secrets_have_no_repr(site: Site) -> None:
    answer = site.login()
    who = site.access.identify(scope(headers=[("Cookie", site.cookie)]))
    assert who is not None
    assert who.session is not None
    login = Login.model_validate_json(RIGHT)
    found = site.access.sessions.find(site.cookie.partition("=")[2].encode())
    shown = repr([login, who, found, site.access.describe(who), site.access, site.access.sessions, settings()])
    for secret in (PASSWORD, HASH, KEY, answer.json()["csrf_token"], who.session.id):
        assert secret not in shown


class TestListening:
    """A stream of events is asked for once, and goes on for as long as who asked may listen."""

    def test_it_ends_at_a_logout(self, site: Site) -> None:
        site.login()
        asking = scope("GET", "/api/v1/events", [("Cookie", site.cookie)])
        assert site.access.may_listen(asking)
        site.browse("POST", "/logout", [("X-CSRF-Token", site.token)])
        assert not site.access.may_listen(asking)

    @pytest.mark.parametrize(
        ("changes", "key"), [({"password_hash": OTHER_HASH}, KEY), ({"username": "eve"}, KEY), ({}, KEY + "x")]
    )
    def test_it_ends_when_credentials_change(self, site: Site, changes: dict[str, Any], key: str) -> None:
        site.login()
        by_session = scope("GET", "/api/v1/events", [("Cookie", site.cookie)])
        by_key = scope("GET", "/api/v1/events", [("X-Api-Key", KEY)])
        assert site.access.may_listen(by_session)
        assert site.access.may_listen(by_key)
        site.access.adopt(settings(**changes), key)
        assert not site.access.may_listen(by_session)
        assert site.access.may_listen(by_key) == (key == KEY)

    def test_it_ends_before_the_session_does_which_the_next_one_renews(self, site: Site) -> None:
        site.login()
        asking = scope("GET", "/api/v1/events", [("Cookie", site.cookie)])
        site.now += MAX_AGE_S - RECONNECT_S - 1
        assert site.access.may_listen(asking)
        site.now += 2
        assert not site.access.may_listen(asking)
        assert site.browse().status == 200
        assert site.access.may_listen(scope("GET", "/api/v1/events", [("Cookie", site.cookie)]))
