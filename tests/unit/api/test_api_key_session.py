"""Sessions that the API key begins: what they may do, and when they end."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from qguardarr.api.security.sessions import Sessions
from tests.support.api_site import KEY, USER, Site, settings

WITH_KEY = msgspec.json.encode({"api_key": KEY})


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.mark.parametrize("changes", [{}, {"username": None, "password_hash": None}])
def test_the_api_key_begins_a_session_too(changes: dict[str, Any]) -> None:
    site = Site(**changes)
    answer = site.login(WITH_KEY)
    assert answer.status == 200
    assert answer.json()["user"] == (USER if not changes else "api-key")
    assert site.browse().json()["kind"] == "session"
    assert site.browse("POST").status == 403, "without the token"
    assert site.browse("POST", headers=[("X-CSRF-Token", site.token)]).status == 200
    assert site.browse("DELETE", "/logout", [("X-CSRF-Token", site.token)]).status == 204
    assert site.browse().status == 401
    assert KEY not in str(answer.headers)


def test_another_key_ends_the_sessions_that_the_old_one_began() -> None:
    site = Site(username=None, password_hash=None)
    site.login(WITH_KEY)
    site.access.adopt(settings(username=None, password_hash=None), "another-key-0123456789")
    assert site.browse().status == 401


def test_a_wrong_key_begins_none_and_locks_nobody_out(site: Site) -> None:
    for _ in range(100):
        answer = site.login(msgspec.json.encode({"api_key": "wrong-key"}))
        assert (answer.status, answer.json()["detail"]) == (401, "the API key is wrong")
        assert answer.all_of("set-cookie") == []
    assert site.login().status == 200


@pytest.mark.parametrize("key", ["", " "])
def test_without_a_key_none_is_right(key: str) -> None:
    site = Site(key, username=None, password_hash=None)
    assert site.login(msgspec.json.encode({"api_key": key or "x"})).status == 401


@pytest.mark.parametrize("key", ["", " ", "another-key"])
def test_without_a_user_only_who_knows_the_key_can_sign_a_cookie(key: str) -> None:
    other = Sessions(lambda: 1_800_000_000.0)
    other.adopt(key, None, None)
    forged = other.cookie("x", secure=False).partition(";")[0]
    for mine in (KEY, "", " "):
        nobody = Site(mine, username=None, password_hash=None)
        assert nobody.ask(headers=[("Cookie", forged)]).status == 401


@pytest.mark.parametrize(
    "body", [{"api_key": KEY, "username": USER}, {"api_key": KEY, "password": "x"}, {"api_key": ""}, {"api_key": 1}]
)
def test_a_login_is_one_of_the_two(site: Site, body: dict[str, Any]) -> None:
    answer = site.login(msgspec.json.encode(body))
    assert (answer.status, answer.json()["type"]) == (400, "/problems/invalid-request")


def test_a_page_is_told_whether_there_is_a_password() -> None:
    assert "Password" in (Site().ask().header("www-authenticate") or "")
    assert "Password" not in (Site(username=None, password_hash=None).ask().header("www-authenticate") or "")
