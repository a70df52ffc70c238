"""The OpenAPI 3.1 document, made of the same table as the routes.

`python -m qguardarr.api.openapi [BASE_PATH]` prints it: a process of its own, so that what this takes (two megabytes)
does not stay in the daemon.
"""

from __future__ import annotations

import ast
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

_TAGS: Final = (
    "Version 1", "Webhook", "Sessions, metrics, events", "Paths of the earlier Qguardarr", "Documentation",
)  # fmt: skip
"""In the order in which `/docs` shows them."""
_KEY: Final = "What `qguardarr api-key` prints on the machine where Qguardarr runs."
_SESSION: Final = "Set by `POST /api/v1/session`; whatever is not GET also needs its `X-CSRF-Token`."

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
        "tags": [{"name": name} for name in _TAGS],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "header", "name": "X-Api-Key", "description": _KEY},
                "bearer": {"type": "http", "scheme": "bearer", "description": "The same key, as Prometheus sends it."},
                "query": {"type": "apiKey", "in": "query", "name": "apikey", "description": "The same, webhook only."},
                "session": {"type": "apiKey", "in": "cookie", "name": "qguardarr_session", "description": _SESSION},
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


def _main(base_path: str = "") -> None:
    from qguardarr.api.app import ENDPOINTS  # noqa: PLC0415 # which knows nothing of this module

    sys.stdout.buffer.write(msgspec.json.encode(document(ENDPOINTS, base_path)))


if __name__ == "__main__":
    _main(*sys.argv[1:])
