"""The API keeps to its own OpenAPI document: requests made up from it, right ones and wrong ones.

Hundreds of them; ten thousand, in two minutes, with `SCHEMA_EXAMPLES=650 pytest tests/test_api_schema.py`.

And the document itself: every endpoint has a summary, a tag, an example that fits its schema, and the problems that it
may answer with.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, get_origin

import msgspec
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.config import GenerationConfig, ProjectConfig, ProjectsConfig, SchemathesisConfig
from schemathesis.specs.openapi.checks import ignored_auth, positive_data_acceptance

from qguardarr.api.app import ENDPOINTS
from qguardarr.api.endpoint import Endpoint
from qguardarr.api.openapi import document, statuses
from qguardarr.api.problems import ProblemDetails
from qguardarr.config import validators as texts
from tests.support.api_client import KEY, ServedApi, served

DOCUMENT = document(ENDPOINTS, "")
EXAMPLES = int(os.environ.get("SCHEMA_EXAMPLES", "60"))
"""Requests made up for each operation that takes something."""
REQUESTS_AT_LEAST = 10_000 if EXAMPLES >= 650 else 500
"""Besides those that are refused for want of a key."""
SLOW = re.compile("^(/config/reload|/cycle/force|/api/v1/session|/docs|/openapi.json)$")
"""Take a tenth of a second each: a cycle, a process, or a password's hash."""
CONDITIONAL = {
    "GET /match/test": "the URL must have a host",
    "GET /api/v1/history": "the start must be before the end",
    "POST /smoothing/reset": "one of two fields must be given",
    "PUT /api/v1/trackers/{tracker}/override": "the cap must be a speed, which has many spellings",
    "POST /webhook": "the fields may be in the query or in the body",
}
"""What a schema cannot say: a request that fits it may still be refused."""
UNIT = re.compile(r"\b([Bb]ytes|bytes/s|[Ss]econds|percent|Percent|MiB|KiB/s|milliseconds|0 … 1)\b")
sent: Counter[str] = Counter()
"""Requests, by status."""


def _config() -> SchemathesisConfig:
    """Wrong credentials are tried by a check of their own, not with every request."""
    generation = GenerationConfig(with_security_parameters=False)
    return SchemathesisConfig(seed=11, projects=ProjectsConfig(default=ProjectConfig(generation=generation)))


everything = schemathesis.openapi.from_dict(DOCUMENT, config=_config())
finite = everything.exclude(path="/api/v1/events")  # its stream has no end
quick, slow = finite.exclude(path_regex=SLOW.pattern), finite.include(path_regex=SLOW.pattern)


def bounded(examples: int) -> settings:
    return settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate],
    )


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedApi]:
    with served(tmp_path_factory.mktemp("schema")) as api, pytest.MonkeyPatch.context() as patch:
        send = requests.Session.send

        def counted(session: requests.Session, request: requests.PreparedRequest, **rest: Any) -> requests.Response:
            answer = send(session, request, **rest)
            sent[str(answer.status_code)] += 1
            return answer

        patch.setattr(requests.Session, "send", counted)
        yield api


def check(api: ServedApi, case: Any, *without: Any) -> None:
    """Ask, and apply the checks of schemathesis."""
    unsaid = [positive_data_acceptance] if case.operation.label in CONDITIONAL else []
    base = f"http://127.0.0.1:{api.port}"
    case.call_and_validate(base_url=base, headers={"X-Api-Key": KEY}, excluded_checks=[*unsaid, *without])


@quick.parametrize()
@bounded(EXAMPLES)
def test_answers_are_as_documented(api: ServedApi, case: Any) -> None:
    check(api, case, ignored_auth)  # which asks each thing twice more, without a key


@quick.parametrize()
@bounded(10)
def test_answers_without_a_key_are_as_documented(api: ServedApi, case: Any) -> None:
    check(api, case)


@slow.parametrize()
@bounded(15)
def test_answers_that_take_longer_are_as_documented(api: ServedApi, case: Any) -> None:
    check(api, case)


def test_these_were_many_and_the_daemon_is_well(api: ServedApi) -> None:
    known = sent.total() - sent["401"]
    print(dict(sent))
    assert known >= REQUESTS_AT_LEAST, sent
    assert {status for status in sent if status.startswith("5")} <= {"503"}, sent
    assert api.client.post("/api/v1/resume").status == 200
    assert api.client.get("/health").json()["status"] == "healthy"
    assert "defect" not in api.daemon.log
    assert "Traceback" not in api.daemon.log


# -- the document -----------------------------------------------------------------------------------------------------


def named(endpoint: Endpoint) -> str:
    return f"{endpoint.method} {endpoint.path}"


def operation(endpoint: Endpoint) -> Any:
    return DOCUMENT["paths"][endpoint.path.replace(":path", "")][endpoint.method.lower()]


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=named)
def test_an_endpoint_is_described_whole(endpoint: Endpoint) -> None:
    found = operation(endpoint)
    assert found["summary"]
    assert found["tags"] == [endpoint.tag]
    assert (found["security"] == []) == (endpoint.access == "open")
    assert {int(status) for status in found["responses"]} >= {endpoint.status, 405, *endpoint.problems}
    for status, answer in found["responses"].items():
        assert answer["description"]
        if int(status) in statuses(endpoint) and int(status) not in endpoint.more_statuses:
            assert list(answer["content"]) == ["application/problem+json"]
    if endpoint.answer is not None:
        (content,) = found["responses"][str(endpoint.status)]["content"].values()
        assert content["example"]


@pytest.mark.parametrize("endpoint", [e for e in ENDPOINTS if e.answer is not None], ids=named)
def test_the_example_of_an_answer_fits_and_has_every_field(endpoint: Endpoint) -> None:
    found = msgspec.convert(endpoint.example, endpoint.answer)
    for example in endpoint.more_examples.values():
        assert msgspec.convert(example, endpoint.answer) != found
    if isinstance(found, msgspec.Struct) and not endpoint.path.startswith("/health/"):
        shown = {*endpoint.example, *(name for example in endpoint.more_examples.values() for name in example)}
        without = {name for name in found.__struct_fields__ if name not in shown}
        assert without <= {"message", "reason"}, "only what is mostly absent may be absent"
    assert isinstance(found, get_origin(endpoint.answer) or endpoint.answer)


@pytest.mark.parametrize("endpoint", [e for e in ENDPOINTS if e.body_type is not None], ids=named)
def test_the_example_of_a_body_fits(endpoint: Endpoint) -> None:
    assert msgspec.convert(endpoint.body_example, endpoint.body_type)


def test_no_base_path_can_be_taken_for_a_path_of_the_api() -> None:
    assert {path.split("/")[1] for path in DOCUMENT["paths"]} - {""} == texts.OWN_PATHS


def test_operations_have_names_of_their_own() -> None:
    names = Counter(operation(endpoint)["operationId"] for endpoint in ENDPOINTS)
    assert max(names.values()) == 1


def test_every_schema_says_what_it_is_and_is_used() -> None:
    text = msgspec.json.encode(DOCUMENT).decode()
    for name in DOCUMENT["components"]["schemas"]:
        assert f'"#/components/schemas/{name}"' in text or name in ("HashPath", "TrackerPath") or name.endswith("Query")
    assert "ProblemDetails" in DOCUMENT["components"]["schemas"]
    assert msgspec.json.schema(ProblemDetails)


def test_every_field_says_what_it_is_and_numbers_their_unit() -> None:
    found = [
        (f"{name}.{field}", schema)
        for name, component in DOCUMENT["components"]["schemas"].items()
        for field, schema in [("", component), *component.get("properties", {}).items()]
    ]
    assert len(found) > 250
    for place, schema in found:
        assert schema.get("description"), place
        kinds = {schema.get("type"), *(one.get("type") for one in schema.get("anyOf", ()))}
        if "number" in kinds:
            assert UNIT.search(schema["description"]), place
        if re.search(r"(_at|^at|_time|until|timestamp|start|end)$", place.partition(".")[2]) and "number" in kinds:
            assert "Unix seconds" in schema["description"], place


def test_parameters_and_ways_to_be_let_in_are_described() -> None:
    for endpoint in ENDPOINTS:
        for parameter in operation(endpoint).get("parameters", ()):
            assert parameter["description"], (endpoint.path, parameter["name"])
    assert all(scheme["description"] for scheme in DOCUMENT["components"]["securitySchemes"].values())
    assert {tag["name"] for tag in DOCUMENT["tags"]} == {endpoint.tag for endpoint in ENDPOINTS}


def _properties(schema: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """All fields that a schema names, also in those that it refers to."""
    todo, seen = [schema], set()
    while todo:
        part = todo.pop()
        if isinstance(part, list):
            todo += part
        elif isinstance(part, dict):
            yield from part.get("properties", {}).items()
            name = part.get("$ref", "").rpartition("/")[2]
            if name and name not in seen:
                seen.add(name)
                todo.append(DOCUMENT["components"]["schemas"][name])
            todo += part.values()


def test_speeds_are_bytes_a_second_but_in_old_fields_which_say_so() -> None:
    other = re.compile(r"(?i)(?:_|^)([kmg]i?b(ps|its?)?|[kmg]bytes?)(_|$)")
    old = 0
    for path, operations in DOCUMENT["paths"].items():
        for field, schema in _properties(operations):
            if not other.search(field):
                continue
            assert not path.startswith("/api/v1"), (path, field)
            assert re.search(r"\b[KM]iB\b", schema.get("description", "")), (path, field)
            old += 1
    assert old >= 9
