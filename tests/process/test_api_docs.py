"""`/docs`: the page with the calls, and its files."""

from __future__ import annotations

import asyncio
import gzip
import subprocess
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec

import pytest
from starlette.responses import StreamingResponse

from qguardarr.api.middleware import PIECE_BYTES
from qguardarr.api.problems import Problem
from qguardarr.api.web import docs
from tests.support.api_client import ServedApi, served
from tests.support.html_page import BROWSER, Page, browse

NASTY = "<img src=x onerror=alert(1)>\x1b[31m\r\nred\x9b2J\u202ekcab\u2028&\"'"
BASE = "/one/two"


@pytest.fixture(scope="module", params=["", BASE], ids=["plain", "under a base path"])
def api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedApi]:
    with served(tmp_path_factory.mktemp("pages"), http={"base_path": request.param}) as api:
        api.client.base = request.param
        yield api


def test_the_page_with_the_calls_has_its_files_here(api: ServedApi) -> None:
    answer = browse(api, "/docs")
    assert (answer.status, answer.kind) == (200, "text/html")
    page, base = Page(answer.body), api.client.base
    files = [a["src"] for tag, a in page.tags if tag == "script"]
    files += [a["href"] for tag, a in page.tags if tag == "link" and a["rel"] == "stylesheet"]
    assert len(files) == 3
    for file in files:
        assert file is not None
        assert file.startswith(f"{base}/docs/")
        found = api.client.get(file.removeprefix(base), key=None)
        assert found.status == 200
        assert found.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert found.headers["content-type"].startswith("text/css" if ".css" in file else "text/javascript")
        assert found.headers["x-content-type-options"] == "nosniff"
    (document,) = [a["data-document"] for _, a in page.tags if "data-document" in a]
    assert document == f"{base}/openapi.json"
    assert browse(api, "/openapi.json").json()["openapi"].startswith("3.1")
    policy = answer.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "script-src 'self';" in policy


@pytest.mark.parametrize(
    ("encoding", "packed"), [("gzip", True), ("br, gzip;q=0.5", True), ("identity", False), ("gzip;q=0", False)]
)
def test_its_files_are_compressed_for_clients_that_take_that(api: ServedApi, encoding: str, packed: bool) -> None:
    request = f"GET {api.client.base}/docs/swagger-ui.css HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    head, _, body = api.client.raw(f"{request}Accept-Encoding: {encoding}\r\n\r\n".encode()).partition(b"\r\n\r\n")
    assert (b"content-encoding: gzip" in head.lower()) is packed
    assert b"vary: accept-encoding" in head.lower()
    assert b"immutable" not in head, "not under a name that stays when the file changes"
    plain = gzip.decompress(body) if packed else body
    assert plain == docs.path_of("swagger-ui.css").read_bytes()


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
def test_its_files_are_read_bit_by_bit(encoding: str) -> None:
    """Regression: 190 connections without a key that read nothing had a copy each, and the daemon grew by 30 MB."""
    answer = docs.content_of("swagger-ui-bundle.js", "", packed=encoding == "gzip")
    assert isinstance(answer, StreamingResponse)

    async def pieces() -> list[bytes]:
        return [bytes(piece) async for piece in answer.body_iterator]  # type: ignore[arg-type]

    sent = asyncio.run(pieces())
    assert max(map(len, sent)) <= PIECE_BYTES
    assert sum(map(len, sent)) == int(answer.headers["content-length"])
    whole = b"".join(sent)
    assert (gzip.decompress(whole) if encoding == "gzip" else whole) == docs.path_of(
        "swagger-ui-bundle.js"
    ).read_bytes()


@pytest.mark.parametrize("name", ["nothing.js", "..%2f__init__.py", "index.html", "%00", "swagger-ui.js"])
def test_no_other_file_can_be_had(api: ServedApi, name: str) -> None:
    api.client.get(f"/docs/{name}", key=None).problem(404)


def test_a_head_and_other_methods(api: ServedApi) -> None:
    assert api.client.ask("HEAD", "/docs/start.js", key=None).body == b""
    api.client.post("/docs/start.js", key=None).problem(405)
    assert api.client.ask("HEAD", "/", key=None, headers={"Accept": BROWSER}).status == 200


def test_nothing_of_the_package_with_the_files_is_ever_loaded() -> None:
    unwanted = ("flask", "jinja2", "werkzeug", "gzip")
    code = (
        "import sys; sys.modules['rich'] = None; from qguardarr.api import app; from qguardarr.api.web import docs;"
        "assert docs.path_of('swagger-ui-bundle.js').read_bytes();"
        f"print([m for m in sys.modules if m.startswith({unwanted})])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("found", [None, "elsewhere"])
def test_without_the_package_the_page_says_so(found: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = None if found is None else ModuleSpec("x", None, origin="/nowhere/__init__.py")
    monkeypatch.setattr(docs, "find_spec", lambda _name: spec)
    with pytest.raises(Problem, match=r"flask-swagger-ui.*openapi\.json") as caught:
        docs.path_of("swagger-ui.css")
    assert caught.value.status == 404
    assert docs.path_of("start.js").is_file()
