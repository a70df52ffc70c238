"""`/docs`: Swagger UI, out of the package flask-swagger-ui, and the few lines that start it.

Of that package only the files are used: nothing of it, or of Flask, is ever imported.
"""

from __future__ import annotations

import functools
import os
import tempfile
import threading
import zlib
from collections.abc import AsyncIterator
from importlib.util import find_spec
from pathlib import Path
from string import Template
from typing import Any, Final

import anyio.to_thread
from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from qguardarr.api.bodies import answers
from qguardarr.api.dependencies import Context, SlowThreads, anybody
from qguardarr.api.middleware import PIECE_BYTES
from qguardarr.api.problems import Problem, encoded
from qguardarr.api.web.encodings import accepted
from qguardarr.api.web.pages import escaped

_HERE: Final = Path(__file__).parent
_KINDS: Final = {"start.js": "text/javascript", "swagger-ui.css": "text/css", "swagger-ui-bundle.js": "text/javascript"}
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
_FOR_EVER: Final = "public, max-age=31536000, immutable"
_MISSING: Final = (
    "the files of this page are missing: the Python package flask-swagger-ui is not installed as it should be; "
    "openapi.json, beside this page, says the same to programs"
)
_making = threading.Lock()
"""Without it, each of many first requests at once would make its own copy of a file."""

router = APIRouter(tags=["Documentation"], dependencies=[Depends(anybody)])


@router.get("/openapi.json", summary="This document", responses=answers(dict[str, Any]))
async def get_document(context: Context) -> Response:
    return Response(document(context.settings.base_path), media_type="application/json")


@router.get("/docs", summary="This document, for people", responses=answers(str, media_type="text/html"))
def get_page(context: Context) -> Response:
    base = escaped(context.settings.base_path)
    start, style, bundle = (f"{base}/docs/{name}?v={_version(name)}" for name in _KINDS)
    page = Template((_HERE / "docs.html").read_text(encoding="utf-8"))
    content = page.substitute(base=base, start=start, style=style, bundle=bundle)
    return Response(content, headers={"Content-Security-Policy": _POLICY}, media_type="text/html")


@router.get("/docs/{file}", include_in_schema=False)
async def get_file(request: Request, file: str, slow_threads: SlowThreads, v: str = "") -> Response:
    """Return one of the page's files. `v` changes with the file, so that caches may keep it."""
    packed = bool(accepted(request.headers.get("accept-encoding", ""), ["gzip"]))
    return await anyio.to_thread.run_sync(content_of, file, v, packed, limiter=slow_threads)


@functools.cache
def document(base_path: str) -> bytes:
    """Return the OpenAPI document, which `make openapi` writes.

    The daemon cannot make it: `-OO` strips the docstrings that describe fields, and all schemas at once take megabytes.
    """
    found = (_HERE.parent / "openapi.json").read_bytes()
    return found.replace(b'"url": "/"', b'"url": ' + encoded(base_path or "/"), 1)


def content_of(name: str, version: str, packed: bool) -> Response:
    """Return one of the page's files, gzipped if `packed`. `Problem` 404 or 503.

    It is read bit by bit: files are large, nobody needs a key for them, and many may ask who take them slowly.
    """
    headers = {"Vary": "Accept-Encoding"}
    if version == _version(name):
        headers["Cache-Control"] = _FOR_EVER
    if packed:
        headers["Content-Encoding"] = "gzip"
    with _making:
        descriptor = _copy(name, packed=packed)
    headers["Content-Length"] = str(os.fstat(descriptor).st_size)
    return StreamingResponse(_pieces(descriptor), headers=headers, media_type=_KINDS[name])


async def _pieces(descriptor: int) -> AsyncIterator[bytes]:
    offset = 0
    while piece := os.pread(descriptor, PIECE_BYTES, offset):  # out of the system's cache: no need for a thread
        offset += len(piece)
        yield piece


@functools.cache
def _copy(name: str, *, packed: bool) -> int:
    """Return the descriptor of a copy on disk that has no name and lasts as long as the process."""
    packer = zlib.compressobj(wbits=31)
    try:
        with path_of(name).open("rb") as source, tempfile.TemporaryFile() as file:
            while piece := source.read(PIECE_BYTES):
                file.write(packer.compress(piece) if packed else piece)
            if packed:
                file.write(packer.flush())
            file.flush()
            return os.dup(file.fileno())
    except OSError as error:
        raise Problem(503, f"this page needs some room for temporary files: {error.strerror}") from None


@functools.cache
def _version(name: str) -> str:
    found = 0
    with path_of(name).open("rb") as source:
        while piece := source.read(PIECE_BYTES):
            found = zlib.crc32(piece, found)
    return f"{found:08x}"


def path_of(name: str) -> Path:
    """Return where a file of the page is. `Problem` 404."""
    if name not in _KINDS:
        raise Problem(404, "there is no such file")
    spec = find_spec("flask_swagger_ui")
    path = _HERE / name if name == "start.js" else Path((spec and spec.origin) or "").parent / "dist" / name
    if not path.is_file():
        raise Problem(404, _MISSING)
    return path
