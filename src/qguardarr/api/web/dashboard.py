"""The dashboard: the files that `make web` builds, as they lie on disk.

They are read when asked for, and nothing of them is kept. Without them the plain page of `pages.landing` stands at `/`.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import AsyncIterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, Final

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from qguardarr.api.dependencies import anybody
from qguardarr.api.middleware import PIECE_BYTES
from qguardarr.api.problems import Problem
from qguardarr.api.web.encodings import accepted

FOLDER: Final = Path(__file__).with_name("dashboard")
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_FOR_EVER: Final = "public, max-age=31536000, immutable"
"""Names of files hold a hash of their content."""
_KINDS: Final[Mapping[str, str]] = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}
_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")
_ENCODINGS: Final[Mapping[str, str]] = {"br": ".br", "gzip": ".gz"}
"""Suffixes of the compressed copies that the build makes, best first."""

router = APIRouter(tags=["Documentation"], dependencies=[Depends(anybody)])


@router.get("/assets/{file}", include_in_schema=False)
async def get_asset(request: Request, file: str) -> Response:
    """Send one of the files that the page names. `Problem` 404."""
    kind = _KINDS.get(os.path.splitext(file)[1])  # noqa: PTH122 # half of a path is none
    if kind is None or not _NAME.fullmatch(file):
        raise Problem(404, _NO_FILE)
    opened, encoding = _opened(FOLDER / "assets" / file, request.headers.get("accept-encoding", ""))
    headers = {"Cache-Control": _FOR_EVER, "Vary": "Accept-Encoding"}
    headers["Content-Length"] = str(os.fstat(opened.fileno()).st_size)
    if encoding:
        headers["Content-Encoding"] = encoding
    return StreamingResponse(_pieces(opened), headers=headers, media_type=kind)


def is_built() -> bool:
    """Tell whether there is a dashboard to show."""
    return (FOLDER / "index.html").is_file()


def page(request: Request, base_path: str) -> Response | None:
    """Return the dashboard's page; None if it was not built.

    It names all else relative to itself, so the address of the page has to end in a slash.
    """
    try:
        opened, encoding = _opened(FOLDER / "index.html", request.headers.get("accept-encoding", ""))
    except Problem:
        return None
    with opened:
        content = opened.read()
    if base_path and request.scope.get("raw_path") == base_path.encode():
        return RedirectResponse(f"{base_path}/", 308)
    tag = f'"{sha256(content).hexdigest()[:24]}"'
    headers = {
        "Cache-Control": "no-cache",
        "Content-Security-Policy": POLICY,
        "ETag": tag,
        "Vary": "Accept, Accept-Encoding",
    }
    known = (one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(","))
    if any(one in (tag, "*") for one in known):
        return Response(status_code=304, headers=headers)
    if encoding:
        headers["Content-Encoding"] = encoding
    return Response(content, headers=headers, media_type="text/html")


_NO_FILE: Final = "there is no such file"


def _opened(path: Path, header: str) -> tuple[BinaryIO, str]:
    """Open the best copy of a file for an Accept-Encoding, and name its encoding. `Problem` 404."""
    for encoding in (*accepted(header, _ENCODINGS), ""):
        try:
            file = open(f"{path}{_ENCODINGS.get(encoding, '')}", "rb", opener=_no_link)  # noqa: SIM115 # handed on
        except OSError:
            continue
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return file, encoding
        file.close()
    raise Problem(404, _NO_FILE)


def _no_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)


async def _pieces(file: BinaryIO) -> AsyncIterator[bytes]:
    with file:
        while piece := file.read(PIECE_BYTES):  # out of the system's cache: no need for a thread
            yield piece
