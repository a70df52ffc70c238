"""The OpenAPI 3.1 document, made of the same table as the routes, and a page that shows it without scripts.

`python -m qguardarr.api.openapi (document|page) [BASE_PATH]` prints them: a process of its own, so that what this takes
(two megabytes) does not stay in the daemon.
"""

from __future__ import annotations

import ast
import html
import inspect
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from qguardarr import __version__
from qguardarr.api.endpoint import Endpoint
from qguardarr.api.problems import ProblemDetails

_REF: Final = "#/components/schemas/{name}"
_PROBLEM: Final = "application/problem+json"

_MEANING: Final = {
    400: "The request is faulty; `detail` says where.",
    401: "An API key or a session is needed.",
    403: "Refused: a request that came from another site, or without the CSRF token of its session.",
    404: "There is no such thing.",
    405: "The path does not know this method.",
    408: "The body did not arrive in time.",
    409: "Not now: another command is at work, or the plan is refused.",
    413: "The body is too large.",
    415: "The body is of the wrong type.",
    422: "The configuration file is faulty; nothing was changed.",
    429: "Too many attempts; see Retry-After.",
    500: "A defect of Qguardarr.",
    502: "qBittorrent refused.",
    503: "It cannot be done now: qBittorrent, the journal or the store is away.",
}

_ABOUT: Final = (
    "Gives each tracker one shared upload cap in qBittorrent, and holds it. Speeds are bytes/s, times Unix seconds; "
    "`null` is unlimited (`-1` under the paths of the earlier Qguardarr). Errors are problem details (RFC 9457)."
)


def document(endpoints: Iterable[Endpoint], base_path: str) -> dict[str, Any]:
    """The document, as JSON knows it."""
    endpoints = list(endpoints)
    types: list[Any] = [ProblemDetails]
    for endpoint in endpoints:
        types += [t for t in (endpoint.answer, endpoint.path_type, endpoint.query_type, endpoint.body_type) if t]
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    by_type = {id(kind): schema for kind, schema in zip(types, schemas, strict=True)}
    _describe(components, types)
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        paths.setdefault(_template(endpoint), {})[endpoint.method.lower()] = _operation(endpoint, by_type, components)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Qguardarr", "version": __version__, "description": _ABOUT, "license": {"name": "MIT"}},
        "servers": [{"url": base_path or "/"}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
                "bearer": {"type": "http", "scheme": "bearer"},
                "query": {"type": "apiKey", "in": "query", "name": "apikey"},
                "session": {"type": "apiKey", "in": "cookie", "name": "qguardarr_session"},
            },
        },
    }


def _describe(components: dict[str, Any], types: Iterable[Any]) -> None:
    """Give fields the words that stand under them in the source."""
    for kind in _structs(types, set()):
        properties = components.get(kind.__name__, {}).get("properties", {})
        for name, words in _field_docs(kind).items():
            if name in properties:
                properties[name].setdefault("description", words)


def _structs(types: Iterable[Any], seen: set[Any]) -> Iterator[type[msgspec.Struct]]:
    """All structs that these types hold."""
    for kind in types:
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            if kind not in seen:
                seen.add(kind)
                yield kind
                yield from _structs((field.type for field in msgspec.structs.fields(kind)), seen)
        else:
            yield from _structs(getattr(kind, "__args__", ()), seen)


def _field_docs(kind: type) -> dict[str, str]:
    """Docstrings under fields, of the class and those that it inherits from."""
    found: dict[str, str] = {}
    for base in reversed([k for k in kind.__mro__ if k.__module__.startswith("qguardarr.")]):
        body = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0]
        assert isinstance(body, ast.ClassDef)
        for field, below in zip(body.body, body.body[1:], strict=False):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(field.target, ast.Name)
                and isinstance(below, ast.Expr)
                and isinstance(below.value, ast.Constant)
                and isinstance(below.value.value, str)
            ):
                found[field.target.id] = " ".join(below.value.value.split())
    return found


def _template(endpoint: Endpoint) -> str:
    """The path without Starlette's convertors."""
    return re.sub(r"\{(\w+):\w+\}", r"{\1}", endpoint.path)


def _operation(endpoint: Endpoint, schemas: dict[int, Any], components: dict[str, Any]) -> dict[str, Any]:
    words = re.sub(r"[^a-z0-9]+", "_", _template(endpoint).lower())
    operation: dict[str, Any] = {
        "summary": endpoint.summary,
        "operationId": f"{endpoint.method.lower()}{words.rstrip('_')}",
        "tags": [endpoint.tag],
        "responses": dict(_responses(endpoint, schemas)),
        "security": _security(endpoint),
    }
    if endpoint.description:
        operation["description"] = endpoint.description
    parameters = [
        *_parameters(endpoint.path_type, "path", components),
        *_parameters(endpoint.query_type, "query", components),
    ]
    if parameters:
        operation["parameters"] = parameters
    if endpoint.body_type is not None:
        content: dict[str, Any] = {"schema": schemas[id(endpoint.body_type)]}
        if endpoint.body_example is not None:
            content["example"] = endpoint.body_example
        kinds = endpoint.body_media_types
        operation["requestBody"] = {"required": endpoint.body_required, "content": dict.fromkeys(kinds, content)}
    return operation


def _security(endpoint: Endpoint) -> list[dict[str, list[str]]]:
    known: list[dict[str, list[str]]] = [{"key": []}, {"bearer": []}, {"session": []}]
    if endpoint.access == "open":
        return []
    if endpoint.access == "webhook":
        known.append({"query": []})
    return [{}, *known] if endpoint.access == "optional" else known


def statuses(endpoint: Endpoint) -> set[int]:
    """Statuses of the problem details that the endpoint may answer with."""
    found = {405, *endpoint.problems}
    if endpoint.path_type or endpoint.query_type or endpoint.body_type:
        found.add(400)
    if endpoint.body_type is not None:
        found |= {408, 413, 415}
    if endpoint.access in ("key", "webhook", "metrics"):
        found |= {401, 403}
    if endpoint.blocking:
        found |= {409, 503}
    return found


def _responses(endpoint: Endpoint, schemas: dict[int, Any]) -> Iterator[tuple[str, Any]]:
    def content(status: int) -> dict[str, Any]:
        if endpoint.answer is None:
            return {}
        example = endpoint.more_examples.get(status, endpoint.example)
        shown = {} if example is None else {"example": msgspec.to_builtins(example)}
        return {"content": {endpoint.media_type: {"schema": schemas[id(endpoint.answer)], **shown}}}

    meanings = {endpoint.status: "Done." if endpoint.method != "GET" else "As asked for."} | endpoint.more_statuses
    problem = {"content": {_PROBLEM: {"schema": {"$ref": _REF.format(name="ProblemDetails")}}}}
    for status in sorted(meanings.keys() | statuses(endpoint)):
        if status in meanings:
            yield str(status), {"description": meanings[status], **content(status)}
        else:
            yield str(status), {"description": _MEANING[status], **problem}


def _parameters(kind: type | None, where: str, components: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if kind is None:
        return
    schema = components[kind.__name__]
    for name, inner in schema.get("properties", {}).items():
        yield {
            "name": name,
            "in": where,
            "required": where == "path" or name in schema.get("required", ()),
            "schema": inner,
            **({"description": inner["description"]} if "description" in inner else {}),
        }


# -- for people -------------------------------------------------------------------------------------------------------

_STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "code,pre{font:14px/1.4 ui-monospace,monospace;background:#f3f3f3;border-radius:4px}code{padding:.1em .3em}"
    "pre{padding:.7em;overflow:auto}summary{cursor:pointer;padding:.35em 0}details{border-bottom:1px solid #ddd}"
    "b.m{display:inline-block;min-width:4.5em}table{border-collapse:collapse}td,th{padding:.2em .8em .2em 0;"
    "text-align:left;vertical-align:top}@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}"
    "code,pre{background:#2a2a2a}details{border-color:#444}a{color:#8ab4f8}}"
)


def page(found: dict[str, Any], base_path: str) -> str:
    """The document as HTML: no scripts, nothing from elsewhere."""
    tags: dict[str, list[str]] = {}
    for path, methods in found["paths"].items():
        for method, operation in methods.items():
            shown = _shown(path, method, operation, found["components"]["schemas"])
            tags.setdefault(operation["tags"][0], []).append(shown)
    parts = "".join(f"<h2>{html.escape(tag)}</h2>{''.join(shown)}" for tag, shown in tags.items())
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>Qguardarr API</title><style>{_STYLE}</style><h1>Qguardarr API</h1><p>{_text(_ABOUT)}</p>"
        f"<p>With a key: <code>curl -H 'X-Api-Key: …' http://HOST:PORT{html.escape(base_path)}/stats</code>. "
        f"As a document for tools: <a href='{html.escape(base_path)}/openapi.json'>openapi.json</a>.</p>{parts}</html>"
    )


def _fields(schema: Any, components: dict[str, Any], place: str = "", seen: tuple[str, ...] = ()) -> Iterator[str]:
    """Rows of a table: the fields that have words, also those of structs inside."""
    if isinstance(schema, list):
        for inner in schema:
            yield from _fields(inner, components, place, seen)
    elif isinstance(schema, dict):
        name = schema.get("$ref", "").rpartition("/")[2]
        if name and name not in seen:
            yield from _fields(components[name], components, place, (*seen, name))
        for key, inner in schema.get("properties", {}).items():
            field = f"{place}.{key}" if place else key
            if "description" in inner:
                yield f"<tr><td><code>{html.escape(field)}</code><td>{_text(inner['description'])}"
            yield from _fields(inner, components, field, seen)
        for key in ("anyOf", "oneOf"):
            yield from _fields(schema.get(key), components, place, seen)
        yield from _fields(schema.get("items"), components, f"{place}[]", seen)
        yield from _fields(schema.get("additionalProperties"), components, f"{place}.*".lstrip("."), seen)


def _table(content: dict[str, Any], components: dict[str, Any]) -> str:
    """Fields of a body or an answer, each once though several media types have it."""
    rows = dict.fromkeys(row for one in content.values() for row in _fields(one.get("schema"), components))
    return f"<table>{''.join(rows)}</table>" if rows else ""


def _shown(path: str, method: str, operation: dict[str, Any], components: dict[str, Any]) -> str:
    rows = [
        f"<tr><td><code>{html.escape(p['name'])}</code><td>{p['in']}<td>{_text(p.get('description', ''))}"
        for p in operation.get("parameters", ())
    ]
    table = f"<table>{''.join(rows)}</table>" if rows else ""
    body = operation.get("requestBody", {}).get("content", {})
    asked = next((c["example"] for c in body.values() if "example" in c), None)
    answers = []
    told = set()
    for status, answer in operation["responses"].items():
        content = answer.get("content", {})
        example = next((c["example"] for c in content.values() if "example" in c), None)
        shown = f"<pre>{_json(example)}</pre>" if example is not None else ""
        if _PROBLEM not in content and (fields := _table(content, components)) not in told:
            told.add(fields)
            shown += fields
        answers.append(f"<tr><td>{status}<td>{_text(answer['description'])}{shown}")
    return (
        f"<details><summary><b class=m>{method.upper()}</b><code>{html.escape(path)}</code> "
        f"{html.escape(operation['summary'])}</summary><p>{_text(operation.get('description', ''))}</p>{table}"
        f"{f'<p>Body:</p><pre>{_json(asked)}</pre>' if asked is not None else ''}{_table(body, components)}"
        f"<table>{''.join(answers)}</table></details>"
    )


def _json(value: Any) -> str:
    if isinstance(value, str):
        return html.escape(value)
    return html.escape(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def _text(words: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(words))


def _main(what: str, base_path: str = "") -> None:
    from qguardarr.api.app import ENDPOINTS  # noqa: PLC0415 # which knows nothing of this module

    found = document(ENDPOINTS, base_path)
    sys.stdout.buffer.write(page(found, base_path).encode() if what == "page" else msgspec.json.encode(found))


if __name__ == "__main__":
    _main(*sys.argv[1:])
