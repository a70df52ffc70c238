"""The API keeps to its own OpenAPI document: requests made up from it, right ones and wrong ones.

Thousands of them, the same ones each time. SCHEMA_EXAMPLES=650, as CI on GitHub has it, makes ten thousand.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.config import GenerationConfig, ProjectConfig, ProjectsConfig, SchemathesisConfig
from schemathesis.specs.openapi.checks import ignored_auth, positive_data_acceptance

from tests.support.api_client import KEY, ServedApi, served
from tests.support.api_operations import DOCUMENT

EXAMPLES = int(os.environ.get("SCHEMA_EXAMPLES", "60"))
"""Requests made up for each operation that takes something."""
REQUESTS_AT_LEAST = 10_000 if EXAMPLES >= 650 else 8 * EXAMPLES
"""Besides those that are refused for want of a key."""
SLOW = re.compile(
    "^(/config/reload|/cycle/force|/api/v1/session|/docs|/openapi.json|/api/v1/config/(file|try|save|undo)|"
    "/api/v1/(connection|notifications)/test)$"
)
"""Take a tenth of a second each: a cycle, a process, or a password's hash."""
CONDITIONAL = {
    "GET /match/test": "the URL must have a host",
    "GET /api/v1/history": "the start must be before the end",
    "POST /smoothing/reset": "one of two fields must be given",
    "POST /api/v1/session": "a name with a password, or a key: one of the two must be given",
    "PUT /api/v1/trackers/{tracker}/override": "the cap must be a speed, which has many spellings",
    "PUT /api/v1/line/override": "the same",
    "PUT /api/v1/orders/hush": "a speed, too, and none beside groups",
    "GET /api/v1/usage": "days must be of the calendar, and the first not after the last",
    "GET /api/v1/usage.csv": "the same",
    "POST /api/v1/config/try": "there must be such settings, and the file must be that of the etag",
    "POST /api/v1/config/save": "the same",
    "POST /api/v1/config/undo": "the same",
    "POST /api/v1/connection/test": "few logins may be refused",
    "POST /api/v1/notifications/test": "there must be an address",
    "POST /webhook": "the fields may be in the query or in the body",
}
"""What a schema cannot say: a request that fits it may still be refused."""
sent: Counter[str] = Counter()
"""Requests, by status."""


def _config() -> SchemathesisConfig:
    """Wrong credentials are tried by a check of their own, not with every request."""
    project = ProjectConfig(generation=GenerationConfig(with_security_parameters=False))
    rejection = project.checks.negative_data_rejection
    rejection.expected_statuses = [*rejection.expected_statuses, "413"]  # too many entries are a body too large
    return SchemathesisConfig(seed=11, projects=ProjectsConfig(default=project))


everything = schemathesis.openapi.from_dict(DOCUMENT, config=_config())
finite = everything.exclude(path="/api/v1/events").exclude(path="/api/v1/setup/user")
"""The stream of events has no end; the API ends for a moment when it has a user."""
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


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    """One connection, without cookies, and without a look at the machine's proxies and passwords for each request."""
    with requests.Session() as session:
        session.trust_env = False
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        yield session


def check(api: ServedApi, session: requests.Session, case: Any, *without: Any) -> None:
    """Ask, and apply the checks of schemathesis."""
    unsaid = [positive_data_acceptance] if case.operation.label in CONDITIONAL else []
    base = f"http://127.0.0.1:{api.port}"
    case.call_and_validate(
        base_url=base,
        session=session,
        timeout=60.0,
        headers={"X-Api-Key": KEY},
        excluded_checks=[*unsaid, *without],
    )


@quick.parametrize()
@bounded(EXAMPLES)
def test_answers_are_as_documented(api: ServedApi, session: requests.Session, case: Any) -> None:
    check(api, session, case, ignored_auth)  # which asks each thing twice more, without a key


@quick.parametrize()
@bounded(10)
def test_answers_without_a_key_are_as_documented(api: ServedApi, session: requests.Session, case: Any) -> None:
    check(api, session, case)


@slow.parametrize()
@bounded(15)
def test_answers_that_take_longer_are_as_documented(api: ServedApi, session: requests.Session, case: Any) -> None:
    check(api, session, case)


def test_these_were_many_and_the_daemon_is_well(api: ServedApi) -> None:
    known = sent.total() - sent["401"]
    print(dict(sent))
    assert known >= REQUESTS_AT_LEAST, sent
    assert {status for status in sent if status.startswith("5")} <= {"503"}, sent
    assert api.client.post("/api/v1/resume").status == 200
    assert api.client.get("/health").json()["status"] == "healthy"
    assert "defect" not in api.daemon.log
    assert "Traceback" not in api.daemon.log
