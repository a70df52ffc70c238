"""Ask a daemon for its health and its metrics."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import msgspec
import pytest
import urllib3

from tests.support.api_client import ServedApi
from tests.support.daemon_process import until


class Said(msgspec.Struct, frozen=True):
    """What `/health` says."""

    code: int
    status: str
    words: str
    """Reason and troubles."""


def health(api: ServedApi) -> Said:
    answer = api.client.get("/health")
    found = answer.json()
    words = (found.get("reason"), *(found.get("troubles") or ()))
    return Said(answer.status, found["status"], "\n".join(filter(None, words)))


def wait_for_health(api: ServedApi, status: str, *words: str) -> Said:
    """Wait until it is so; the code goes with it."""
    seen: list[Said] = []

    def so() -> bool:
        with contextlib.suppress(urllib3.exceptions.HTTPError):  # it does not listen yet
            seen.append(health(api))
            return seen[-1].status == status and all(word in seen[-1].words for word in words)
        return False

    try:
        until(so, f"health {status} {words}")
    except AssertionError:
        pytest.fail(f"waited in vain for {status} {words}; last: {seen[-1:]}; log:\n{api.daemon.log}")
    assert seen[-1].code == (200 if status in ("healthy", "degraded") else 503)
    return seen[-1]


def metric(api: ServedApi, name: str) -> float:
    """A sample of `/metrics`; `name` with its labels."""
    lines = api.client.get("/metrics").body.decode().splitlines()
    return float(next(line for line in lines if line.startswith(f"qguardarr_{name} ")).rpartition(" ")[2])


@contextlib.contextmanager
def ended(end: Callable[[], object]) -> Iterator[None]:
    """Whatever happens in the block."""
    try:
        yield
    finally:
        end()
