"""Daemons that the tests of a file share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.api_client import ServedApi, served


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedApi]:
    """One daemon for all tests that leave it as it was."""
    with served(tmp_path_factory.mktemp("api")) as api:
        yield api


@pytest.fixture
def api(shared: ServedApi) -> ServedApi:
    """The shared daemon, holding its cap."""
    assert shared.client.post("/api/v1/resume").status == 200
    shared.wait_until_parked()
    return shared


@pytest.fixture(scope="module")
def observing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedApi]:
    """A daemon that decides and writes nothing."""
    folder = tmp_path_factory.mktemp("observing")
    dry = {"dry_run": True, "dry_run_store_path": str(folder / "dry.json"), "allocation_strategy": "soft"}
    with served(folder, state="observing", **{"global": dry}) as api:
        yield api
