"""Who may use the API of a running daemon, operation by operation; sessions; effects of a reverse proxy."""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from qguardarr.adapters.sqlite.journal import SqliteJournal
from qguardarr.api.security.logins import FREE_FAILURES
from qguardarr.api.security.sessions import COOKIE, DEVICE_COOKIE, Sessions
from qguardarr.app.settings import load_settings
from qguardarr.engine.settings import ApiSettings
from tests.support.api_client import HASHES, JSON, KEY, Answer, ServedApi, served
from tests.support.api_operations import OPERATIONS, Operation

USER, PASSWORD = "ada", "correct horse battery"
LOGIN = {"username": USER, "password": PASSWORD}
OVERRIDE = "/api/v1/trackers/example/override"
SENT: dict[str, Any] = {"/api/v1/session": {"username": USER, "password": "a guess"}}
"""Bodies, where the documented example would do."""
ADDRESSES = (f"198.18.{n // 250}.{n % 250}" for n in itertools.count(1))
"""So that the bound on logins of one address is not met."""


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedApi]:
    """One daemon, whose torrents are parked and stay so."""
    auth = {"username": USER, "password": PASSWORD}
    with served(tmp_path_factory.mktemp("access"), auth=auth, http={"trusted_proxies": ["127.0.0.1"]}) as api:
        api.wait_until_parked()
        yield api


def picture(api: ServedApi) -> dict[str, Any]:
    """All that a request could change."""
    journal = SqliteJournal(api.database)
    try:
        lines, paused = journal.history(limit=1000), journal.paused()
    finally:
        journal.close()
    status = api.client.get("/api/v1/status").json()
    with api.fake.lock:
        fake = (api.limits, api.fake.count("set"), dict(api.fake.preferences))
    return {
        "fake": fake,
        "journal": (lines, paused),
        "policy": [status[name] for name in ("strategy", "dry_run", "rollout_percentage", "interval_s", "state")],
        "trackers": [(row["id"], row["cap"], row["override_until"]) for row in status["trackers"]],
        "overrides": api.client.get("/api/v1/overrides").json(),
        "configuration": api.client.get("/config").json(),
        "webhook": status["webhook"],
    }


@functools.cache
def api_settings(config: Path) -> ApiSettings:
    return load_settings(config).api


def sessions_of(api: ServedApi, age_s: float = 0.0) -> Sessions:
    """Return the daemon's sessions as they were `age_s` ago."""
    settings = api_settings(api.config)
    found = Sessions(lambda: time.time() - age_s)
    found.adopt(KEY, settings.username, settings.password_hash)
    return found


def cookie(api: ServedApi, age_s: float = 0.0) -> str:
    return sessions_of(api, age_s).cookie("an-id-of-the-tests", secure=False).partition(";")[0]


CREDENTIALS: dict[str, Callable[[ServedApi], dict[str, str]]] = {
    "none": lambda _: {},
    "a wrong key": lambda _: {"X-Api-Key": KEY[:-1] + "x"},
    "an empty key": lambda _: {"X-Api-Key": ""},
    "a key cut short": lambda _: {"X-Api-Key": KEY[:-1]},
    "two keys, one of them right": lambda _: {"X-Api-Key": KEY, "Authorization": "Bearer wrong"},
    "HTTP Basic": lambda _: {"Authorization": "Basic YWRtaW46YWRtaW4="},
    "an expired cookie": lambda api: {"Cookie": cookie(api, age_s=12 * 3600 + 60)},
    "a garbled cookie": lambda api: {"Cookie": cookie(api)[:-3] + "abc"},
    "a cookie signed by nobody": lambda _: {"Cookie": f"{COOKIE}=an-id-of-the-tests"},
    "a right cookie beside a wrong key": lambda api: {"Cookie": cookie(api), "X-Api-Key": "wrong"},
}


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_whoever_is_not_known_changes_nothing(api: ServedApi, operation: Operation) -> None:
    """Every operation with every kind of wrong credentials."""
    before = picture(api)
    path, body = operation.real_path, SENT.get(operation.path, operation.body_example)
    for what, headers in CREDENTIALS.items():
        for method in (operation.method, *(["HEAD"] if operation.method == "GET" else [])):
            sent = {**headers(api), "X-Forwarded-For": next(ADDRESSES)}
            answer = api.client.ask(method, path, body, key=None, headers=sent)
            check_refusal(operation, answer, f"{method} {path} with {what}", head=method == "HEAD")
    for query in (f"apikey={KEY}", "apikey=wrong", f"api_key={KEY}", f"apikey={KEY}&apikey=wrong"):
        if operation.access != "webhook" or query != f"apikey={KEY}":
            sent = {"X-Forwarded-For": next(ADDRESSES)}
            answer = api.client.ask(operation.method, f"{path}?{query}", body, key=None, headers=sent)
            check_refusal(operation, answer, f"{path}?{query}")
    assert picture(api) == before


def check_refusal(operation: Operation, answer: Answer, what: str, *, head: bool = False) -> None:
    if operation.path == "/api/v1/setup":
        assert answer.status == 200, what
        assert head or answer.json()["steps"] is None, what
    elif operation.path == "/api/v1/setup/user":  # there is one, so that nobody may, not even with the key
        answer.problem(409, "user-exists")
    elif operation.access == "optional":
        assert answer.status == 200, what
        assert head or answer.json() == {"status": "healthy"}, what
    elif operation.access == "open" and operation.method == "GET":
        assert answer.status == 200, what
    else:
        assert answer.status == 401, what
        assert "www-authenticate" in answer.headers, what
        if not head:
            assert answer.problem(401, "unauthenticated")["detail"], what


def test_only_these_are_open_to_all() -> None:
    assert {str(e): e.access for e in OPERATIONS if e.access != "key"} == {
        "GET /health": "optional",
        "GET /health/live": "open",
        "GET /health/ready": "open",
        "GET /metrics": "metrics",
        "GET /openapi.json": "open",
        "GET /docs": "open",
        "POST /webhook": "webhook",
        "POST /api/v1/session": "open",
        "GET /api/v1/setup": "optional",
        "POST /api/v1/setup/user": "open",
    }


@pytest.mark.parametrize("operation", [e for e in OPERATIONS if e.method != "GET" and e.access != "open"], ids=str)
def test_a_session_alone_changes_nothing(api: ServedApi, operation: Operation) -> None:
    """A page of another site can make a browser send the cookie, and no more."""
    before = picture(api)
    right = {"Cookie": cookie(api), "X-CSRF-Token": sessions_of(api).csrf_token("an-id-of-the-tests")}
    without = {"Cookie": right["Cookie"]}
    foreign = {**right, "Sec-Fetch-Site": "cross-site"}
    for headers, kind in ((without, "csrf"), ({**right, "X-CSRF-Token": "x"}, "csrf"), (foreign, "cross-site"),
                          ({**right, "Origin": "http://evil.test"}, "cross-site")):  # fmt: skip
        answer = api.client.ask(
            operation.method, operation.real_path, operation.body_example, key=None, headers=headers
        )
        answer.problem(403, kind)
    assert picture(api) == before


@pytest.mark.parametrize("operation", [e for e in OPERATIONS if e.takes_something], ids=str)
def test_what_is_faulty_is_looked_at_after_who_asks(api: ServedApi, operation: Operation) -> None:
    """Nobody learns of ids, or how bodies are read, without a key."""
    if operation.access == "open":
        return
    path = operation.path.replace("{hash}", "x").replace("{tracker}", "nobody")
    assert api.client.ask(operation.method, f"{path}?limit=x", body=b"{{{", key=None).status == 401


# -- sessions ---------------------------------------------------------------------------------------------------------


def test_a_person_logs_in_does_something_and_logs_out(api: ServedApi) -> None:
    ask = api.client.ask
    answer = ask("POST", "/api/v1/session", LOGIN, key=None)
    assert (answer.status, answer.json()["kind"], answer.json()["user"]) == (200, "session", USER)
    line = answer.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= {part.strip() for part in line.split(";")}
    assert "Secure" not in line
    headers = {"Cookie": line.partition(";")[0]}
    assert ask("GET", "/stats", key=None, headers=headers).status == 200
    who = ask("GET", "/api/v1/session", key=None, headers=headers).json()
    assert who["csrf_token"] == answer.json()["csrf_token"]
    assert 0 < who["expires_in_s"] <= 12 * 3600
    ask("PUT", OVERRIDE, {"cap": 1, "seconds": 1}, key=None, headers=headers).problem(403, "csrf")
    with_token = {**headers, "X-CSRF-Token": who["csrf_token"], "Sec-Fetch-Site": "same-origin"}
    assert ask("POST", "/rollout", {"percentage": 100}, key=None, headers=with_token).status == 200
    assert ask("GET", "/health", key=None, headers=headers).json()["state"] == "holding"

    out = ask("DELETE", "/api/v1/session", key=None, headers=with_token)
    assert out.status == 204
    assert "Max-Age=0" in out.headers["set-cookie"]
    ask("GET", "/stats", key=None, headers=headers).problem(401)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"username": "ada"}', b'{"username": 1, "password": 2}',
                                  b'{"username": "ada", "password": "\\ud800"}', b'\xff\xfe'])  # fmt: skip
def test_a_faulty_login_is_refused(api: ServedApi, body: bytes) -> None:
    answer = api.client.ask("POST", "/api/v1/session", key=None, body=body, headers={"Content-Type": JSON})
    assert answer.problem(answer.status)["status"] in (400, 401)


def test_a_form_does_not_log_in(api: ServedApi) -> None:
    form = b"username=ada&password=correct%20horse%20battery"
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    api.client.ask("POST", "/api/v1/session", key=None, body=form, headers=headers).problem(415)


def test_guessing_is_slowed_down_by_address_and_known_browsers_are_let_in(api: ServedApi) -> None:
    def login(address: str, password: str = PASSWORD, cookie: str = "") -> Answer:
        headers = {"X-Forwarded-For": address, "Cookie": cookie}
        return api.client.ask("POST", "/api/v1/session", {**LOGIN, "password": password}, key=None, headers=headers)

    cookies = login("192.0.2.9").headers["set-cookie"].split("\n")
    (device,) = (line.partition(";")[0] for line in cookies if line.startswith(DEVICE_COOKIE))
    for _ in range(FREE_FAILURES):
        login("192.0.2.1", "x").problem(401)
    assert int(login("192.0.2.1", "x").headers["retry-after"]) > 0
    login("192.0.2.1").problem(429, "too-many-logins")
    login("192.0.2.2", "x").problem(401)
    assert login("192.0.2.1", cookie=device).status == 200
    api.daemon.wait_for_log("192.0.2.1")


# -- proxies and other settings ---------------------------------------------------------------------------------------


def test_a_trusted_proxy_says_that_it_is_https(api: ServedApi) -> None:
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.77"}
    line = api.client.ask("POST", "/api/v1/session", LOGIN, key=None, headers=headers).headers["set-cookie"]
    assert line.startswith(f"__Host-{COOKIE}=")
    assert "Secure" in line


def test_from_others_that_is_not_believed_and_no_user_means_no_login(tmp_path: Path) -> None:
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.77"}
    auth = {"username": USER, "password": PASSWORD}
    with served(tmp_path, auth=auth, http={"trusted_proxies": ["10.0.0.0/8"]}) as api:
        answer = api.client.ask("POST", "/api/v1/session", LOGIN, key=None, headers=headers)
        assert answer.headers["set-cookie"].startswith(f"{COOKIE}=")
        assert "Secure" not in answer.headers["set-cookie"]
        assert "address=127.0.0.1" in api.daemon.log
        assert "192.0.2.77" not in api.daemon.log

        api.set_up_again(auth={"username": None, "password": None})
        api.client.ask("POST", "/api/v1/session", LOGIN, key=None).problem(403, "no-login")


@pytest.mark.parametrize("base", ["", "/one/two"])
def test_a_person_whom_a_trusted_proxy_names_needs_no_login(tmp_path: Path, base: str) -> None:
    auth = {"api_key": KEY, "forward_header": "Remote-User"}
    http = {"trusted_proxies": ["127.0.0.1"], "base_path": base, "allowed_hosts": ["guard.example.org"]}
    with served(tmp_path, auth=auth, http=http) as api:
        api.client.base, api.client.key = base, None
        named = {"Remote-User": "ada", "X-Forwarded-For": "203.0.113.7", "Host": "guard.example.org"}
        info = api.client.get("/api/v1/session", headers=named).json()
        assert (info["kind"], info["user"]) == ("proxy", "ada")
        api.client.post("/api/v1/pause", headers=named).problem(403, "csrf")
        told = {**named, "X-CSRF-Token": info["csrf_token"]}
        api.client.post("/api/v1/pause", headers={**told, "Origin": "http://evil.example"}).problem(403, "cross-site")
        assert api.client.post("/api/v1/pause", headers=told).status == 200
        api.client.get("/stats", headers={**named, "Host": "evil.example"}).problem(403, "untrusted-host")
        twice = b"Remote-User: eve\r\nRemote-User: ada"
        asked = b"GET %b/stats HTTP/1.1\r\nHost: nas\r\n%b\r\nConnection: close\r\n\r\n"
        assert b" 401 " in api.client.raw(asked % (base.encode(), twice)).splitlines()[0]
        assert b" 200 " in api.client.raw(asked % (base.encode(), b"rEMOTE-uSER: ada")).splitlines()[0]
        api.set_up_again(http={**http, "trusted_proxies": ["10.0.0.0/8"]})
        api.client.get("/stats", headers=named).problem(401)


def test_a_base_path_holds_with_a_proxy_that_takes_it_off_and_with_one_that_leaves_it(tmp_path: Path) -> None:
    auth = {"username": USER, "password": PASSWORD}
    with served(tmp_path, http={"base_path": "/one/two"}, auth=auth) as api:
        for base in ("", "/one/two"):
            api.client.base = base
            assert api.client.get("/stats").status == 200
            assert api.client.get(f"/api/v1/torrents/{HASHES[0]}").json()["hash"] == HASHES[0]
            assert api.client.get("/").json()["endpoints"]["stats"] == "/one/two/stats"
            assert api.client.get("/openapi.json").json()["servers"] == [{"url": "/one/two"}]
            assert b"/one/two/openapi.json" in api.client.get("/docs").body
            assert api.client.get("/nothing").problem(404)["instance"] == "/one/two/nothing"
            assert "Path=/one/two;" in api.client.post("/api/v1/session", LOGIN).headers["set-cookie"]
        assert api.client.ask("GET", "").status == 200
        api.client.base = ""
        api.client.get("/one/twostats").problem(404)


def test_without_authentication_pages_of_others_are_still_refused(tmp_path: Path) -> None:
    with served(tmp_path, auth="none") as api:
        ask, body = api.client.ask, {"percentage": 100}
        assert ask("GET", "/stats", key=None).status == 200
        assert ask("GET", "/health", key=None).json()["state"] == "holding"
        assert ask("GET", "/api/v1/session", key=None).json()["kind"] == "anyone"
        assert ask("POST", "/rollout", body, key=None).status == 200
        assert ask("POST", "/webhook", {"event": "add", "hash": HASHES[0]}, key=None).status == 202
        ask("POST", "/rollout", body, key=None, headers={"Origin": "http://evil.test"}).problem(403, "cross-site")
        ask("POST", "/rollout", body, key=None, headers={"Sec-Fetch-Site": "same-site"}).problem(403, "cross-site")
        ask("GET", "/stats", key=None, headers={"Host": "rebound.evil.test"}).problem(403, "untrusted-host")
        assert ask("GET", "/health", key=None, headers={"Host": "evil.test"}).json() == {"status": "healthy"}
        assert not (api.database.parent / "api.key").exists()


def test_metrics_may_be_open(tmp_path: Path) -> None:
    with served(tmp_path, http={"metrics": "open"}) as api:
        assert b"qguardarr_" in api.client.get("/metrics", key=None).body
        api.client.get("/stats", key=None).problem(401)


def test_the_key_that_is_made_lets_in_and_a_new_one_is_taken_up_by_reload(tmp_path: Path) -> None:
    with served(tmp_path, auth={"api_key": None}) as api:
        file = api.database.parent / "api.key"
        first = file.read_text().strip()
        assert file.stat().st_mode & 0o777 == 0o600
        assert api.client.get("/stats", key=first).status == 200
        assert first not in api.daemon.log
        file.write_text("another-key-of-the-tests-0123456789")
        api.set_up_again(key=first)
        api.client.get("/stats", key=first).problem(401)
        assert api.client.get("/stats", key="another-key-of-the-tests-0123456789").status == 200
