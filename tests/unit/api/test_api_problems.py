"""Refusals as problem details."""

from __future__ import annotations

import msgspec
import pytest
from fastapi.exceptions import RequestValidationError
from hypothesis import given
from hypothesis import strategies as st
from starlette.exceptions import HTTPException

from qguardarr import errors
from qguardarr.api.bodies import Incoming, validated
from qguardarr.api.problems import Fault, Problem, ProblemDetails, invalid, of_error, response
from tests.support.api_site import KEY


@pytest.mark.parametrize(
    ("error", "status", "name", "retry_after"),
    [
        (errors.ConfigError("x"), 422, "configuration", None),
        (errors.Unreachable("x"), 503, "unreachable", "5"),
        (errors.AuthRejected("x"), 503, "credentials", None),
        (errors.Banned("x"), 503, "banned", None),
        (errors.Refused("x"), 502, "refused", None),
        (errors.JournalError("x"), 503, "journal", None),
        (errors.StoreError("x"), 503, "store", None),
        (errors.SearchFailed("x"), 503, "search", "5"),
        (errors.UnsafePlan("x"), 409, "unsafe-plan", None),
        (errors.Busy("x"), 409, "busy", "1"),
        (errors.QguardarrError("x"), 500, "defect", None),
    ],
)
def test_each_error_has_its_problem(error: Exception, status: int, name: str, retry_after: str | None) -> None:
    problem = of_error(error)
    assert (problem.status, problem.type, problem.detail) == (status, f"/problems/{name}", "x")
    assert problem.headers.get("Retry-After") == retry_after
    assert response(problem, None).status_code == status


def test_no_error_of_the_tree_is_forgotten() -> None:
    leaves = [kind for kind in _below(errors.QguardarrError) if not kind.__subclasses__()]
    assert len(leaves) >= 9
    foreseen = [kind for kind in leaves if kind.__module__ == "qguardarr.errors"]
    assert {of_error(kind("x")).type for kind in foreseen if kind is not errors.ConfigError}.isdisjoint(
        {"/problems/defect"}
    )


def _below(kind: type[Exception]) -> list[type[Exception]]:
    return [kind, *(deeper for child in kind.__subclasses__() for deeper in _below(child))]


def test_an_unforeseen_error_is_not_told() -> None:
    body = response(of_error(ValueError(KEY)), "/x").body
    assert KEY.encode() not in body
    assert b'"status":500' in body


def test_a_faulty_file_is_told_fault_by_fault() -> None:
    faults = [errors.Fault((), "one", file="a.yaml", line=3), errors.Fault(("x", 0), "two", "three", "a.yaml", 9)]
    body = _told(of_error(errors.ConfigError(faults=faults)))
    assert [fault.detail for fault in body.errors] == ["a.yaml:3: one", "a.yaml:9: x[0]: two. hint: three"]
    assert body.detail == "a.yaml:3: one\na.yaml:9: x[0]: two. hint: three"


def test_starlettes_own_errors_keep_their_headers() -> None:
    answer = response(of_error(HTTPException(405, headers={"Allow": "GET"})), "/x")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")
    assert msgspec.json.decode(answer.body)["title"] == "Method Not Allowed"
    assert of_error(HTTPException(400, "why")).detail == "why"


class _Body(Incoming):
    size: int | float
    name: str = ""


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        (b"3", ["#"]),
        (b"{}", ["#/size"]),
        (b'{"size":"1"}', ["#/size"]),
        (b'{"size":null,"name":1}', ["#/size", "#/name"]),
    ],
)
def test_an_invalid_body_is_pointed_at(body: bytes, pointers: list[str]) -> None:
    with pytest.raises(Problem) as caught:
        validated(_Body, body)
    told = _told(caught.value)
    assert told.status == 400
    assert [fault.pointer for fault in told.errors] == pointers
    assert all(pointer.replace("#", "body").replace("/", ".") in told.detail for pointer in pointers)


def test_a_parameter_is_named() -> None:
    found = [
        {"loc": ("query", "limit"), "type": "int_parsing", "msg": "no number"},
        {"loc": ("path", "hash"), "type": "x", "msg": "no hash"},
        {"loc": ("query",), "type": "x", "msg": "too much"},
    ]
    told = _told(of_error(RequestValidationError(found)))
    assert [(fault.parameter, fault.pointer) for fault in told.errors] == [("limit", ""), ("hash", ""), ("", "")]
    assert told.detail == "query.limit: no number; path.hash: no hash; query: too much"
    assert _told(invalid("twice", "query", "limit")).errors == (Fault("twice", parameter="limit"),)


@pytest.mark.parametrize("body", [b"{", b"", b"\xff", b"[" * 50_000, b'{"size":1,"name":"\\ud800"}'])
def test_a_body_that_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(Problem, match="the body is no JSON"):
        validated(_Body, body)


def test_a_problem_is_what_its_schema_says() -> None:
    problem = Problem(409, "why", title="Not now", type="/problems/x", errors=[Fault("a", "#/b")])
    answer = response(problem, "/a path/ü?")
    assert answer.headers["content-type"] == "application/problem+json"
    assert msgspec.json.decode(answer.body) == {
        "title": "Not now",
        "status": 409,
        "type": "/problems/x",
        "detail": "why",
        "instance": "/a%20path/%C3%BC%3F",
        "errors": [{"detail": "a", "pointer": "#/b"}],
    }
    assert str(problem) == "409 Not now: why"
    assert _told(Problem(404)) == ProblemDetails(title="Not Found", status=404)
    assert of_error(problem) is problem


@given(
    text=st.text(alphabet=st.characters(exclude_categories=())),
    path=st.text(alphabet=st.characters(exclude_categories=())),
)
def test_any_text_can_be_sent(text: str, path: str) -> None:
    told = msgspec.json.decode(response(Problem(400, text, errors=[Fault(text)]), path).body, type=ProblemDetails)
    assert told.detail == text.encode("utf-8", "backslashreplace").decode()
    assert told.instance.isascii()


def _told(problem: Problem) -> ProblemDetails:
    return msgspec.json.decode(response(problem, None).body, type=ProblemDetails)
