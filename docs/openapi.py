"""Write `src/qguardarr/api/openapi.json`, the OpenAPI 3.1 document that the daemon serves.

    python -m docs.openapi  (`make openapi`)

FastAPI describes paths and parameters. Added are the schemas of answers (msgspec's, with the docstrings of their
fields; those of the earlier paths out of `openapi_compat.json`), bodies that dependencies read, problems, and examples
of answers out of `openapi_examples.json`. A test makes it again and compares, so that each change of the API shows in
review.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from fastapi.dependencies.models import Dependant
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field

from docs import settings_help
from qguardarr import __version__
from qguardarr.api import dependencies
from qguardarr.api.app import routes
from qguardarr.api.bodies import Incoming, JsonBody, Query
from qguardarr.api.compat.about import get_root
from qguardarr.api.problems import ProblemDetails
from qguardarr.api.security.login import Login
from qguardarr.api.v1.session import post_session
from qguardarr.api.v1.setup import UserBody, post_user
from qguardarr.api.webhook import post_webhook
from qguardarr.engine.instance_row import LoginPause

DOCUMENT: Final = Path(__file__).parents[1] / "src" / "qguardarr" / "api" / "openapi.json"
_EXAMPLES: Final = Path(__file__).with_name("openapi_examples.json")
_COMPAT: Final = Path(__file__).with_name("openapi_compat.json")
"""Schemas of the earlier paths. They never change, so their handlers answer with plain dicts."""
_REF: Final = "#/components/schemas/{name}"
_MODEL_REF: Final = _REF.replace("{name}", "{model}")
_PROBLEM: Final = {"application/problem+json": {"schema": {"$ref": _REF.format(name="ProblemDetails")}}}

_TAGS: Final = (
    "Version 1", "Webhook", "Sessions, metrics, events", "Paths of the earlier Qguardarr", "Documentation",
)  # fmt: skip
"""In the order in which `/docs` shows them."""
_KEY: Final = "What `qguardarr api-key` prints on the machine where Qguardarr runs."
_SESSION: Final = "Set by `POST /api/v1/session`; whatever is not GET also needs its `X-CSRF-Token`."
_SECURITY_SCHEMES: Final = {
    "key": {"type": "apiKey", "in": "header", "name": "X-Api-Key", "description": _KEY},
    "bearer": {"type": "http", "scheme": "bearer", "description": "The same key, as Prometheus sends it."},
    "query": {"type": "apiKey", "in": "query", "name": "apikey", "description": "The same, webhook only."},
    "session": {"type": "apiKey", "in": "cookie", "name": "qguardarr_session", "description": _SESSION},
}
_ABOUT: Final = (
    "Gives each tracker one shared upload cap in qBittorrent, and holds it. Speeds are bytes/s, times Unix seconds; "
    "`null` is unlimited (`-1` under the paths of the earlier Qguardarr). Errors are problem details (RFC 9457)."
)
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


class WebhookQuery(Query):
    """The same fields as in the body, which take precedence."""

    event: Annotated[str, Field(description="`add`, `complete` or `delete`.")] = ""
    hash: Annotated[str, Field(description="qBittorrent's `%K`: 40 hex digits (64 of a v2 hash are cut).")] = ""
    apikey: Annotated[str, Field(description="The API key, for programs that cannot send a header; here alone.")] = ""


class WebhookBody(Incoming):
    """An event. All other fields are ignored."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"event": "add", "hash": "c12fe1c06bba254a9dc9f519b335aa7c1367a88a"}]}
    )

    event: Annotated[
        str, Field(examples=["add", "complete", "delete"], description="`add`, `complete` or `delete`.")
    ] = ""
    hash: Annotated[
        str,
        Field(
            examples=["c12fe1c06bba254a9dc9f519b335aa7c1367a88a"],
            description="qBittorrent's `%K`: 40 hex digits (64 of a v2 hash are cut).",
        ),
    ] = ""


_READ_BY_HAND: Final[dict[Callable[..., Any], tuple[type[BaseModel], bool, tuple[str, ...]]]] = {
    post_session: (Login, True, ("application/json",)),
    post_webhook: (
        WebhookBody, False, ("application/json", "application/x-www-form-urlencoded", "multipart/form-data"),
    ),
    post_user: (UserBody, True, ("application/json",)),
}  # fmt: skip
"""Bodies that a handler reads itself: model, whether one is required, media types."""


def document() -> dict[str, Any]:
    """Return the document."""
    shown = [route for route in routes() if isinstance(route, APIRoute) and route.include_in_schema]
    kinds = [answer["kind"] for route in shown for answer in route.responses.values() if answer.get("kind")]
    typed = [ProblemDetails, LoginPause, *(kind for kind in kinds if not isinstance(kind, str))]
    schemas, components = msgspec.json.schema_components(typed, ref_template=_REF)
    _describe(components, typed)
    compat = json.loads(_COMPAT.read_text())
    components |= {name: schema for name, schema in compat.items() if "properties" in schema}
    by_kind = dict(zip(map(id, typed), schemas, strict=True))
    for kind in filter(lambda kind: isinstance(kind, str), kinds):
        by_kind[id(kind)] = {"$ref": _REF.format(name=kind)} if kind in components else compat[kind]
    paths: dict[str, dict[str, Any]] = {}
    examples = json.loads(_EXAMPLES.read_text())
    for route in shown:
        (method,) = (route.methods or set()) - {"HEAD"}
        operation = _operation(route, method, by_kind, components)
        for status, example in examples.get(f"{method} {route.path_format}", {}).items():
            (content,) = operation["responses"][status]["content"].values()
            content["example"] = _current(example)
        paths.setdefault(route.path_format, {})[method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "Qguardarr", "version": __version__, "description": _ABOUT, "license": {"name": "MIT"}},
        "servers": [{"url": "/"}],
        "tags": [{"name": name} for name in _TAGS],
        "paths": paths,
        "components": {"schemas": dict(sorted(components.items())), "securitySchemes": _SECURITY_SCHEMES},
    }


def _operation(route: APIRoute, method: str, by_kind: dict[int, Any], components: dict[str, Any]) -> dict[str, Any]:
    """Return what FastAPI says of a route, with what it cannot know."""
    kept = route.responses, route.methods
    route.responses, route.methods = {}, {method}
    try:
        found = get_openapi(title="", version="", routes=[route])["paths"][route.path_format][method.lower()]
    finally:
        route.responses, route.methods = kept
    words = re.sub(r"[^a-z0-9]+", "_", route.path_format.lower())
    operation: dict[str, Any] = {
        "summary": found["summary"],
        "operationId": f"{method.lower()}{words.rstrip('_')}",
        "tags": found["tags"],
        "security": _security(route),
    }
    if found.get("description"):
        operation["description"] = found["description"]
    parameters = found.get("parameters", [])
    if route.endpoint is post_webhook:
        parameters = _parameters(WebhookQuery)
    if parameters:
        operation["parameters"] = [_tidy(parameter) for parameter in parameters]
    body = _body(route)
    if body is not None:
        model, required, media_types = body
        content = {"schema": {"$ref": _REF.format(name=model.__name__)}, "example": _example(model)}
        operation["requestBody"] = {"required": required, "content": dict.fromkeys(media_types, content)}
        _add_model(model, components)
    statuses = _problems(route, body=body is not None, parameters=bool(parameters))
    operation["responses"] = dict(_responses(route, method, statuses, by_kind))
    return operation


def _calls(dependant: Dependant) -> Iterator[Any]:
    for inner in dependant.dependencies:
        yield inner.call
        yield from _calls(inner)


def _security(route: APIRoute) -> list[dict[str, list[str]]]:
    known: list[dict[str, list[str]]] = [{"key": []}, {"bearer": []}, {"session": []}]
    calls = set(_calls(route.dependant))
    if route.endpoint is post_webhook:
        return [*known, {"query": []}]
    if dependencies.caller_if_known in calls:
        return [{}, *known]
    if calls & {dependencies.caller, dependencies.metrics_reader} or route.endpoint is get_root:
        return known
    return []


def _problems(route: APIRoute, *, body: bool, parameters: bool) -> set[int]:
    found = {405, *(status for status, answer in route.responses.items() if isinstance(status, int) and not answer)}
    found |= {400} if body or parameters else set()
    found |= {408, 413, 415} if body else set()
    found |= {401, 403} if _security(route) and {} not in _security(route) else set()
    if not inspect.iscoroutinefunction(route.endpoint) and "Documentation" not in route.tags:
        found |= {409, 503}  # it may wait for the engine, or for a disk
    return found


def _responses(route: APIRoute, method: str, problems: set[int], by_kind: dict[int, Any]) -> Iterator[tuple[str, Any]]:
    answers = {int(status): answer for status, answer in route.responses.items() if answer}
    for status in sorted(answers.keys() | problems):
        if status not in answers:
            yield str(status), {"description": _MEANING[status], "content": _PROBLEM}
            continue
        answer = answers[status]
        usual = _MEANING[status] if status >= 400 else "As asked for." if method == "GET" else "Done."
        meaning = answer.get("description", usual)
        content = {}
        if answer["kind"] is not None:
            content = {"content": {answer["media_type"]: {"schema": by_kind[id(answer["kind"])]}}}
        yield str(status), {"description": meaning, **content}


# -- bodies and parameters, by pydantic -------------------------------------------------------------------------------


def _body(route: APIRoute) -> tuple[type[BaseModel], bool, tuple[str, ...]] | None:
    for call in _calls(route.dependant):
        if isinstance(call, JsonBody):
            return call.model, call.required, ("application/json",)
    return _READ_BY_HAND.get(route.endpoint)


def _example(model: type[BaseModel]) -> Any:
    return model.model_json_schema()["examples"][0]


def _add_model(model: type[BaseModel], components: dict[str, Any]) -> None:
    schema = model.model_json_schema(ref_template=_MODEL_REF)
    schema.pop("examples", None)
    for name, inner in schema.pop("$defs", {}).items():
        components[name] = _without_titles(inner)
    components[model.__name__] = _without_titles(schema)


def _parameters(model: type[BaseModel]) -> list[dict[str, Any]]:
    """Parameters of a query that a handler reads itself."""
    fields = model.model_json_schema()["properties"].items()
    return [{"name": name, "in": "query", "required": False, "schema": schema} for name, schema in fields]


def _tidy(parameter: dict[str, Any]) -> dict[str, Any]:
    schema = _without_titles(parameter["schema"])
    return {**parameter, "schema": schema, "description": schema.get("description", parameter.get("description"))}


def _without_titles(schema: Any) -> Any:
    """Without the names that pydantic makes up for fields."""
    if isinstance(schema, list):
        return [_without_titles(inner) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    properties = schema.get("properties", {})
    found = {key: _without_titles(inner) for key, inner in schema.items() if key not in ("title", "properties")}
    return found | ({"properties": {k: _without_titles(v) for k, v in properties.items()}} if properties else {})


def _current(example: Any) -> Any:
    """With the version of this program."""
    return {**example, "version": __version__} if isinstance(example, dict) and "version" in example else example


# -- words of answers' fields, out of the source ----------------------------------------------------------------------


def _describe(components: dict[str, Any], kinds: Iterable[Any]) -> None:
    """Give fields the docstrings that stand under them."""
    for kind in _structs(kinds, set()):
        properties = components.get(kind.__name__, {}).get("properties", {})
        for name, words in _field_docs(kind).items():
            if name in properties:
                properties[name].setdefault("description", words)


def _structs(kinds: Iterable[Any], seen: set[Any]) -> Iterator[type[msgspec.Struct]]:
    """Yield all structs that these types hold."""
    for kind in kinds:
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            if kind not in seen:
                seen.add(kind)
                yield kind
                yield from _structs((field.type for field in msgspec.structs.fields(kind)), seen)
        else:
            yield from _structs(getattr(kind, "__args__", ()), seen)


def _field_docs(kind: type) -> dict[str, str]:
    found: dict[str, str] = {}
    for base in reversed([k for k in kind.__mro__ if k.__module__.startswith("qguardarr.")]):
        statements = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0]
        if not isinstance(statements, ast.ClassDef):
            continue
        for field, below in zip(statements.body, statements.body[1:], strict=False):
            match field, below:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(words))):
                    found[name] = " ".join(words.split())
    return found


def text() -> str:
    """Return the file's content."""
    return json.dumps(document(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    DOCUMENT.write_text(text())
    settings_help.FILE.write_text(settings_help.text())
