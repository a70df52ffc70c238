"""The dashboard's files: which are sent, how, and that nothing else is."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest
from fastapi import FastAPI
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.requests import Request

from qguardarr.api.app import routes
from qguardarr.api.middleware import PIECE_BYTES, Headers
from qguardarr.api.problems import Problem, response
from qguardarr.api.web import dashboard
from tests.support.asgi import Answer, Pairs, ask, scope

INDEX = b"<!doctype html><script type='module' src='./assets/index-1a2b.js'></script>"
SCRIPT = b"'use strict';" * 5000
BROWSER = ("Accept", "text/html")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    built = tmp_path / "dashboard"
    (built / "assets").mkdir(parents=True)
    (built / "index.html").write_bytes(INDEX)
    (built / "index.html.gz").write_bytes(gzip.compress(INDEX))
    (built / "assets/index-1a2b.js").write_bytes(SCRIPT)
    (built / "assets/index-1a2b.js.gz").write_bytes(gzip.compress(SCRIPT))
    (built / "assets/index-1a2b.js.br").write_bytes(b"brotli, let us say")
    (built / "assets/icon.svg").write_bytes(b"<svg/>")
    (tmp_path / "secret.js").write_bytes(b"not for you")
    (built / "secret.js").write_bytes(b"not for you")
    (built / "assets/link.js").symlink_to(tmp_path / "secret.js")
    (built / "assets/folder.js").mkdir()
    (built / "assets/.hidden.js").write_bytes(b"not for you")
    (built / "assets/notes.txt").write_bytes(b"not for you")
    monkeypatch.setattr(dashboard, "FOLDER", built)
    return built


def get(path: str, headers: Pairs = (), method: str = "GET") -> Answer:
    async def refuse(request: Request, error: Exception) -> object:
        assert isinstance(error, Problem)
        return response(error, request.scope["path"])

    app = FastAPI(routes=dashboard.router.routes, exception_handlers={Problem: refuse}, openapi_url=None)  # type: ignore[dict-item]
    return ask(Headers(app), scope(method, path, headers))


def page(headers: Pairs = (), *, base_path: str = "", path: str = "/") -> object:
    return dashboard.page(Request(scope(path=path, headers=headers)), base_path)


# -- files ------------------------------------------------------------------------------------------------------------


def test_a_file_is_sent_in_pieces_and_may_be_kept_for_ever(folder: Path) -> None:
    answer = get("/assets/index-1a2b.js")
    assert (answer.status, answer.body) == (200, SCRIPT)
    assert len(SCRIPT) > PIECE_BYTES
    assert answer.header("content-type") == "text/javascript; charset=utf-8"
    assert answer.header("content-length") == str(len(SCRIPT))
    assert answer.header("cache-control") == "public, max-age=31536000, immutable"
    assert answer.header("x-content-type-options") == "nosniff"
    assert answer.header("vary") == "Accept-Encoding"
    assert answer.header("content-encoding") is None
    assert get("/assets/icon.svg").header("content-type") == "image/svg+xml"


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("gzip, deflate, br, zstd", "br"),
        ("gzip", "gzip"),
        ("GZIP;q=0.5", "gzip"),
        ("br;q=0, gzip", "gzip"),
        ("br; q=0.000 ,gzip;q=0", None),
        ("gzip;Q=0", None),
        ("deflate, *", None),
        ("", None),
        ("x-gzip,;q=,=", None),
    ],
)
def test_the_best_copy_that_is_accepted_is_sent(folder: Path, accepted: str, encoding: str | None) -> None:
    answer = get("/assets/index-1a2b.js", [("Accept-Encoding", accepted)])
    assert answer.header("content-encoding") == encoding
    if encoding == "gzip":
        assert gzip.decompress(answer.body) == SCRIPT
    assert answer.header("content-length") == str(len(answer.body))


def test_without_a_compressed_copy_the_file_itself_is_sent(folder: Path) -> None:
    answer = get("/assets/icon.svg", [("Accept-Encoding", "gzip, br")])
    assert (answer.body, answer.header("content-encoding")) == (b"<svg/>", None)


@pytest.mark.parametrize(
    "name",
    [
        *("link.js", "folder.js", ".hidden.js", "notes.txt", "nothing.js", "../secret.js", "..%2fsecret.js", "..", ""),
        *("index-1a2b.js.gz", "index-1a2b.js\x00.js", "a\n.js", "ä.js", "x" * 5000 + ".js"),
    ],
)
def test_nothing_else_is_sent(folder: Path, name: str) -> None:
    answer = get(f"/assets/{name}")
    assert answer.status == 404
    assert b"not for you" not in answer.body


@given(name=st.text(max_size=30))
@example(name="0/")
def test_no_name_leads_out_of_the_folder(name: str) -> None:
    answer = get(f"/assets/{name}".encode("utf-8", "replace").decode("latin-1"))
    if answer.status == 307:  # to the same name without the slash at its end
        assert (name[-1], answer.body) == ("/", b"")
    else:
        assert answer.status == 404


# -- the page ---------------------------------------------------------------------------------------------------------


def test_the_page_is_asked_for_again_each_time_and_allows_no_inline_script(folder: Path) -> None:
    answer = page()
    assert isinstance(answer, dashboard.Response)
    assert answer.body == INDEX
    assert answer.headers["cache-control"] == "no-cache"
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; ")
    assert "unsafe" not in policy
    tag = answer.headers["etag"]
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = page([("If-None-Match", known)])
        assert isinstance(again, dashboard.Response)
        assert (again.status_code, again.body, again.headers["etag"]) == (304, b"", tag)
    (folder / "index.html").write_bytes(INDEX + b"<!-- changed -->")
    changed = page([("If-None-Match", tag)])
    assert isinstance(changed, dashboard.Response)
    assert changed.status_code == 200


def test_the_page_is_compressed_for_who_takes_it(folder: Path) -> None:
    answer = page([("Accept-Encoding", "gzip")])
    assert isinstance(answer, dashboard.Response)
    assert gzip.decompress(bytes(answer.body)) == INDEX


def test_under_a_base_path_its_address_ends_in_a_slash(folder: Path) -> None:
    answer = page(base_path="/one/two", path="/one/two")
    assert isinstance(answer, dashboard.Response)
    assert (answer.status_code, answer.headers["location"]) == (308, "/one/two/")
    for path in ("/one/two/", "/"):  # as it is, or without what a proxy takes off
        there = page(base_path="/one/two", path=path)
        assert isinstance(there, dashboard.Response)
        assert there.status_code == 200


def test_without_a_build_there_is_no_page(folder: Path) -> None:
    (folder / "index.html").unlink()
    assert page() is None
    assert get("/assets/gone.js").status == 404


def test_a_built_page_names_only_what_lies_beside_it() -> None:
    """Of the real build, if there is one."""
    index = dashboard.FOLDER / "index.html"
    if not index.is_file():
        pytest.skip("the dashboard is not built: make web")
    text = index.read_text()
    named = re.findall(r'(?:src|href)="([^"]+)"', text)
    assert named
    for name in named:
        assert name.startswith("./assets/"), name
        assert (dashboard.FOLDER / name).is_file()
        assert (dashboard.FOLDER / f"{name}.gz").is_file()
    assert "<style" not in text
    assert "style=" not in text
    assert not re.findall(r"<script(?![^>]*src=)", text)


def test_its_routes_are_part_of_the_application() -> None:
    assert "/assets/{file}" in {getattr(route, "path", "") for route in routes()}
