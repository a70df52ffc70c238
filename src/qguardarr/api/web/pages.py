"""Pages for browsers: what stands at `/`, and errors in words. No scripts, nothing from elsewhere, nothing secret."""

from __future__ import annotations

import base64
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from starlette.responses import Response

if TYPE_CHECKING:
    from starlette.requests import Request

    from qguardarr.api.problems import Problem

_STYLE: Final = (
    ":root{color-scheme:light dark}body{font:17px/1.55 system-ui,sans-serif;max-width:42rem;margin:0 auto;"
    "padding:1.5rem 1rem 3rem;overflow-wrap:anywhere}h1{font-size:1.6rem;line-height:1.2;margin:.5rem 0}"
    "h2{font-size:1.15rem;margin:2rem 0 .3rem}code,pre{font:.9em ui-monospace,monospace;background:#8882;"
    "border-radius:4px}code{padding:.1em .3em}pre{padding:.7em;white-space:pre-wrap}"
)
_POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{base64.b64encode(sha256(_STYLE.encode()).digest()).decode()}'; "
    "img-src data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
_KINDS: Final = ("text/html", "application/json", "application/problem+json")


_ESCAPES: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"})


def escaped(text: str) -> str:
    """A text for a page, or between quotes of a tag. (Python's `html` brings a table of half a megabyte.)"""
    return text.translate(_ESCAPES)


def wants_page(request: Request) -> bool:
    """Whether a browser asks: `Accept` names HTML, and does not prefer JSON."""
    weights = dict.fromkeys(_KINDS, 0.0)
    for part in ",".join(request.headers.getlist("accept")).split(","):
        kind, _, parameters = part.partition(";")
        if (kind := kind.strip().lower()) in weights:
            weights[kind] = _weight(parameters)
    page, *json = weights.values()
    return page > max(json)


def _weight(parameters: str) -> float:
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


def landing(base_path: str, health: str, *, asks_for_key: bool, next_step: str = "") -> Response:
    """The page at `/`: what this is, and how to go on.

    `health`: the word that `/health` tells everybody. `next_step`: what a person has to do until caps are held.
    """
    base = escaped(base_path)
    step = f"<h2>What to do next</h2><p>{escaped(next_step)}</p>" if next_step else ""
    return _page(
        200,
        "Qguardarr",
        "<p>Qguardarr gives each tracker one shared upload cap in qBittorrent, and holds it.</p>"
        f"<p>It is running; its <a href='{base}/health'>health</a> is: <b>{escaped(health)}</b>.</p>{step}"
        "<p>The dashboard was not built with this installation: <code>make web</code> in the clone does it, with Node "
        f"18 or newer. <a href='{base}/docs'>{base}/docs</a> describes every call for programs, and lets you "
        "try them. In a terminal, <code>qguardarr status</code> shows caps, rates and what is wrong.</p>"
        + (_KEY_HELP if asks_for_key else "<p>Nobody is asked for a key here.</p>"),
    )


def problem_page(problem: Problem, base_path: str) -> Response:
    """An answer that says no, for people. Status and headers are those of the answer for programs."""
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


_KEY_HELP: Final = (
    "<h2>The API key</h2><p>Calls that show or change something need it. On the machine where Qguardarr runs,</p>"
    "<pre>qguardarr api-key</pre><p>prints it (with <code>--config FILE</code> if the configuration has a place of its "
    "own). Programs send it in the header <code>X-Api-Key</code>; a browser cannot send it by itself, but the page "
    "with the calls can: press <i>Authorize</i> there.</p>"
)


def _page(status: int, title: str, body: str) -> Response:
    title = escaped(title)
    content = (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'><link rel='icon' href='data:,'>"
        f"<title>{title}</title><style>{_STYLE}</style></head><body><h1>{title}</h1>{body}</body></html>"
    )
    return Response(content, status, {"Content-Security-Policy": _POLICY}, media_type="text/html")
