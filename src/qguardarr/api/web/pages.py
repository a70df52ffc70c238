"""Pages for browsers: what stands at `/`, and refusals in words. No scripts, nothing from elsewhere, nothing secret."""

from __future__ import annotations

import base64
import re
from hashlib import sha256
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Final

from starlette.responses import Response

if TYPE_CHECKING:
    from starlette.requests import Request

    from qguardarr.api.problems import Problem

_PAGE: Final = Path(__file__).with_name("page.html").read_text(encoding="utf-8")
_STYLE: Final = base64.b64encode(sha256(_PAGE.partition("<style>")[2].partition("</style>")[0].encode()).digest())
_POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_STYLE.decode()}'; "
    "img-src data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
_ESCAPES: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"})
_WEIGHT: Final = re.compile(r";\s*q=([^;]*)", re.IGNORECASE)
_KEY_HELP: Final = (
    "<h2>The API key</h2><p>Calls that show or change something need it. On the machine where Qguardarr runs,</p>"
    "<pre>qguardarr api-key</pre><p>prints it (with <code>--config FILE</code> if the configuration has a place of its "
    "own). Programs send it in the header <code>X-Api-Key</code>; a browser cannot send it by itself, but the page "
    "with the calls can: press <i>Authorize</i> there.</p>"
)


def escaped(text: str) -> str:
    """Return a text for a page, or for quotes in a tag. (Python's `html` brings a table of half a megabyte.)"""
    return text.translate(_ESCAPES)


def wants_page(request: Request) -> bool:
    """Return whether a browser asks: `Accept` names HTML, and does not prefer JSON."""
    weights: dict[str, float] = {}
    for part in ",".join(request.headers.getlist("accept")).split(","):
        found = _WEIGHT.search(part)
        try:
            weights[part.partition(";")[0].strip().lower()] = float(found[1]) if found else 1.0
        except ValueError:
            continue
    page, *json = (weights.get(kind, 0.0) for kind in ("text/html", "application/json", "application/problem+json"))
    return page > max(json)


def landing(base_path: str, health: str, *, asks_for_key: bool, next_step: str = "") -> Response:
    """Return the page at `/`: what this is, and how to go on.

    `health`: the word that `/health` tells everybody. `next_step`: what a person has to do until caps are held.
    """
    base = escaped(base_path)
    step = f"<h2>What to do next</h2><p>{escaped(next_step)}</p>" if next_step else ""
    return _page(
        200,
        "Qguardarr",
        "<p>Qguardarr gives each tracker one shared upload cap in qBittorrent, and holds it.</p>"
        f"<p>It is running; its <a href='{base}/health'>health</a> is: <b>{escaped(health)}</b>.</p>{step}"
        f"<p>This address is for programs. <a href='{base}/docs'>{base}/docs</a> describes every call, and lets you "
        "try them. In a terminal, <code>qguardarr status</code> shows caps, rates and what is wrong. There is no "
        "dashboard yet.</p>" + (_KEY_HELP if asks_for_key else "<p>Nobody is asked for a key here.</p>"),
    )


def problem_page(problem: Problem, base_path: str) -> Response:
    """Return a refusal for people. Status and headers are those of the answer for programs."""
    base = escaped(base_path)
    page = _page(
        problem.status,
        f"{problem.status} {problem.title}",
        f"<p>{escaped(problem.detail or problem.title)}</p>"
        + (_KEY_HELP if problem.status == 401 else "")
        + f"<p><a href='{base}/docs'>{base}/docs</a> describes every call, and lets you try them. "
        f"<a href='{base}/'>{base}/</a> tells what this is.</p>",
    )
    page.headers.update(problem.headers)
    return page


def _page(status: int, title: str, body: str) -> Response:
    content = Template(_PAGE).substitute(title=escaped(title), body=body)
    return Response(content, status, {"Content-Security-Policy": _POLICY}, media_type="text/html")
