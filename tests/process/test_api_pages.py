"""Pages for browsers: `/`, and refusals in words; and texts from outside in them."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from qguardarr import __version__
from qguardarr.api.problems import Problem, encoded
from qguardarr.api.web.pages import landing, problem_page, wants_page
from qguardarr.engine.commands import one_line
from tests.support.api_client import HASHES, JSON, KEY, Answer, ServedApi, served
from tests.support.asgi import scope
from tests.support.daemon_process import until
from tests.support.html_page import BROWSER, Page, browse

NASTY = "<img src=x onerror=alert(1)>\x1b[31m\r\nred\x9b2J\u202ekcab\u2028&\"'"
BASE = "/one/two"


@pytest.fixture(scope="module", params=["", BASE], ids=["plain", "under a base path"])
def api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedApi]:
    with served(tmp_path_factory.mktemp("pages"), http={"base_path": request.param}) as api:
        api.client.base = request.param
        yield api


def check_policy(answer: Any) -> None:
    """Every style of the page is allowed by its policy, and there is no script."""
    policy, body = answer.headers["content-security-policy"], answer.body.decode()
    styles = re.findall(r"<style>(.*?)</style>", body, re.DOTALL)
    for style in styles:
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        assert f"style-src 'sha256-{digest}'" in policy
    assert styles
    assert "<script" not in body
    assert "style=" not in body
    assert policy.startswith("default-src 'none'")


# -- the page at / ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("base", ["", BASE])
def test_without_a_dashboard_a_browser_is_told_what_this_is(base: str) -> None:
    answer = landing(base, "healthy", asks_for_key=True)
    page = Page(bytes(answer.body))
    assert page.links == [f"{base}/health", f"{base}/docs"]
    for words in ("one shared upload cap", "make web", "qguardarr api-key", "X-Api-Key", "healthy"):
        assert words in page.words
    check_policy(Answer(answer.status_code, dict(answer.headers), bytes(answer.body)))


def test_the_page_reveals_nothing(api: ServedApi) -> None:
    """The dashboard if it is built, else the plain page."""
    answer = browse(api, "/", key=KEY)
    assert (answer.status, answer.kind) == (200, "text/html")
    body = answer.body.decode()
    assert body == browse(api, "/").body.decode(), "not even to who has the key"
    for secret in (__version__, "example", "default", KEY, str(api.folder), "127.0.0.1", HASHES[0]):
        assert secret not in body


@pytest.mark.parametrize("accept", ["", "*/*", JSON, "application/problem+json", f"{JSON}, text/html;q=0.5", "text/*"])
def test_programs_get_what_they_always_got(api: ServedApi, accept: str) -> None:
    assert browse(api, "/", accept=accept).problem(401, "unauthenticated")["instance"] == f"{api.client.base}/"
    assert browse(api, "/", KEY, accept).json()["name"] == "Qguardarr"


def test_open_to_all_no_key_is_spoken_of() -> None:
    page = Page(bytes(landing("", "healthy", asks_for_key=False).body))
    assert "api-key" not in page.words
    assert "Nobody is asked for a key" in page.words


def test_the_next_step_is_text() -> None:
    page = Page(bytes(landing("", "starting", asks_for_key=True, next_step=NASTY).body))
    assert "What to do next" in page.words
    assert not any(tag == "img" for tag, _ in page.tags)


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        (BROWSER, True),
        ("text/html", True),
        ("TEXT/HTML;level=1;Q=0.9, */*", True),
        (f"{JSON};q=0.1, text/html", True),
        ("text/html;q=0", False),
        ("text/html;q=x", False),
        (f"text/html, {JSON}", False),
        ("text/html;q=0.3, application/problem+json;q=0.4", False),
        ("text/plain, */*", False),
        (",;q=,text/html", True),
    ],
)
def test_a_page_is_for_callers_that_ask_for_one(accept: str, wanted: bool) -> None:
    assert wants_page(Request(scope(headers=[("Accept", accept)]))) is wanted


@given(values=st.lists(st.binary(max_size=40) | st.just(b"text/html"), max_size=4))
def test_no_accept_breaks_anything(values: list[bytes]) -> None:
    wants_page(Request(scope(headers=[("Accept", value) for value in values])))


# -- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/stats", "/config", "/api/v1/torrents", "/metrics"])
def test_a_browser_without_a_key_is_told_how_to_get_one(api: ServedApi, path: str) -> None:
    answer = browse(api, path)
    assert (answer.status, answer.kind) == (401, "text/html")
    assert answer.headers["www-authenticate"]
    page = Page(answer.body)
    assert "qguardarr api-key" in page.words
    assert page.links == [f"{api.client.base}/docs", f"{api.client.base}/"]
    check_policy(answer)
    browse(api, path, accept=JSON).problem(401)


def test_other_refusals_are_pages_too(api: ServedApi) -> None:
    assert "404 Not Found" in Page(browse(api, "/nothing").body).words
    assert "qguardarr api-key" not in Page(browse(api, "/nothing").body).words
    wrong = browse(api, "/stats", key="wrong-key-wrong-key")
    assert "the API key is wrong" in Page(wrong.body).words
    refused = api.client.ask("DELETE", "/stats", headers={"Accept": BROWSER})
    assert (refused.status, refused.kind, refused.headers["allow"]) == (405, "text/html", "GET, HEAD")


def test_a_path_that_a_browser_was_made_to_ask_for_does_not_get_into_a_page(api: ServedApi) -> None:
    path = "/api/v1/trackers/%3Cscript%3Ealert(1)%3C/script%3E/override"
    answer = api.client.ask("DELETE", path, headers={"Accept": BROWSER})
    assert (answer.status, answer.kind) == (404, "text/html")
    assert {tag for tag, _ in Page(answer.body).tags}.isdisjoint({"script", "img"})
    check_policy(answer)


@given(title=st.text(max_size=30), detail=st.text(max_size=60))
def test_no_text_becomes_a_tag(title: str, detail: str) -> None:
    plain = problem_page(Problem(404, "x", title="x"), "")
    nasty = problem_page(Problem(404, detail, title=title), "")
    assert [t for t, _ in Page(bytes(nasty.body)).tags] == [t for t, _ in Page(bytes(plain.body)).tags]


# -- texts from outside -----------------------------------------------------------------------------------------------


def test_a_reason_is_noted_as_one_line_that_can_be_seen(api: ServedApi) -> None:
    clean = one_line(NASTY)
    assert clean == "<img src=x onerror=alert(1)> [31m red 2J kcab &\"'"
    try:
        assert api.client.post("/api/v1/pause", {"reason": NASTY}).json() == {"paused": clean}
        until(lambda: (s := api.daemon.status) is not None and s.problem == clean, "the reason")
        assert "\x1b" not in api.daemon.log
        assert "\x9b" not in api.daemon.log
        assert api.client.post("/api/v1/pause", {"reason": "\x1b\n\t"}).json() == {"paused": "paused through the API"}
        report = api.client.post("/rollback", {"confirm": True, "reason": NASTY}).json()
        assert report["reason"] == clean
        assert "\x1b" not in api.daemon.log
    finally:
        assert api.client.post("/api/v1/resume").status == 200


@given(text=st.text())
def test_a_reason_cannot_steer_a_terminal(text: str) -> None:
    clean = one_line(text)
    assert clean.isprintable()
    assert clean == one_line(clean)
    assert one_line(f"a {text} b").startswith("a ")


def test_names_of_strangers_reach_programs_unchanged_and_cannot_harm_terminals(api: ServedApi) -> None:
    with api.fake.lock:
        api.fake.torrents[HASHES[5]].name = NASTY
    api.next_cycle()
    answer = api.client.get(f"/api/v1/torrents/{HASHES[5]}")
    assert answer.json()["name"] == NASTY
    assert answer.body.decode().isprintable()


@given(text=st.text(), more=st.lists(st.sampled_from("\x00\x1b\x7f\x80\x9b\u2028\u202e\u2066\u2069é世🌍"), max_size=9))
def test_json_means_the_same_and_holds_nothing_that_steers(text: str, more: list[str]) -> None:
    value = {text: ["".join(more), text]}
    shown = encoded(value)
    assert msgspec.json.decode(shown) == json.loads(shown) == value
    assert not re.search("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]", shown.decode())
