"""For all tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from qguardarr.core.policy import Policy
from tests.guarding import Guard, Guarded
from tests.sim import SimTorrent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Quick ones first: what needs a real qBittorrent comes last."""
    items.sort(key=lambda item: item.get_closest_marker("live") is not None)


@pytest.fixture(autouse=True)
def _logging_of_its_own() -> Iterator[None]:
    """Commands run in a test quieten the logs of their process, which is ours; the next test looks at its own lines."""
    yield
    structlog.reset_defaults()


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Guard]:
    """A guarded simulation: policy and torrents."""
    made: list[Guarded] = []

    def make(policy: Policy, torrents: list[SimTorrent], **sim: Any) -> Guarded:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(Guarded(folder, policy, torrents, **sim))
        return made[-1]

    yield make
    for guarded in made:
        guarded.journal.close()
