"""The OpenAPI document that is shipped: made of the code as it is, and whole.

Every operation has a summary, a tag, an example that fits its schema, and the problems that it may answer with.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import msgspec
import pytest

from docs import settings_help
from docs.openapi import DOCUMENT as FILE
from docs.openapi import text
from qguardarr.api.web.docs import document
from qguardarr.config import validators as texts
from tests.support.api_operations import DOCUMENT, OPERATIONS, Operation

UNIT = re.compile(r"\b([Bb]ytes|bytes/s|[Ss]econds|percent|Percent|MiB|KiB/s|milliseconds|0 … 1)\b")


def fits(value: Any, schema: Any) -> bool:
    """Whether a value is what a schema of the document says."""
    return jsonschema_rs.is_valid({**schema, "components": DOCUMENT["components"]}, value)


def test_it_is_made_of_the_code_as_it_is() -> None:
    """`make openapi` writes it."""
    assert FILE.read_text() == text()


def test_description_of_the_settings_is_that_of_the_schema() -> None:
    """`make openapi` writes it, too."""
    assert settings_help.FILE.read_text() == settings_help.text()


def test_it_names_the_base_path() -> None:
    assert msgspec.json.decode(document(""))["servers"] == [{"url": "/"}]
    assert msgspec.json.decode(document("/one"))["servers"] == [{"url": "/one"}]


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_an_operation_is_described_whole(operation: Operation) -> None:
    found = operation.described
    assert found["summary"]
    assert found["tags"]
    assert "405" in found["responses"]
    assert ("401" in found["responses"]) >= (operation.access in ("key", "webhook", "metrics"))
    assert ("400" in found["responses"]) == operation.takes_something
    for status, answer in found["responses"].items():
        assert answer["description"]
        for media_type, content in answer.get("content", {}).items():
            assert int(status) >= 400 or media_type != "application/problem+json"
            if media_type != "application/problem+json":
                assert content["example"]


def answers() -> Iterator[Any]:
    for operation in OPERATIONS:
        for status, answer in operation.described["responses"].items():
            for media_type, content in answer.get("content", {}).items():
                if media_type != "application/problem+json":
                    yield pytest.param(operation, content, id=f"{operation} {status}")


@pytest.mark.parametrize(("operation", "content"), list(answers()))
def test_the_example_of_an_answer_fits_and_has_every_field(operation: Operation, content: Any) -> None:
    assert fits(content["example"], content["schema"])
    name = content["schema"].get("$ref", "").rpartition("/")[2]
    if name and not operation.path.startswith("/health"):
        fields = DOCUMENT["components"]["schemas"][name]["properties"].keys()
        assert fields - content["example"].keys() <= {"message", "reason"}, "only what is mostly absent may be absent"


@pytest.mark.parametrize("operation", [o for o in OPERATIONS if "requestBody" in o.described], ids=str)
def test_the_example_of_a_body_fits(operation: Operation) -> None:
    for content in operation.described["requestBody"]["content"].values():
        assert fits(content["example"], content["schema"])


def test_no_base_path_can_be_taken_for_a_path_of_the_api() -> None:
    assert {path.split("/")[1] for path in DOCUMENT["paths"]} - {""} == texts.OWN_PATHS


def test_operations_have_names_of_their_own() -> None:
    names = Counter(operation.described["operationId"] for operation in OPERATIONS)
    assert max(names.values()) == 1


def test_every_schema_says_what_it_is_and_is_used() -> None:
    shown = msgspec.json.encode(DOCUMENT).decode()
    for name in DOCUMENT["components"]["schemas"]:
        assert f'"#/components/schemas/{name}"' in shown
    assert "ProblemDetails" in DOCUMENT["components"]["schemas"]


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
    for operation in OPERATIONS:
        for parameter in operation.described.get("parameters", ()):
            assert parameter["description"], (operation.path, parameter["name"])
    assert all(scheme["description"] for scheme in DOCUMENT["components"]["securitySchemes"].values())
    assert {tag["name"] for tag in DOCUMENT["tags"]} == {t for o in OPERATIONS for t in o.described["tags"]}


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
