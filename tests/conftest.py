"""For all tests."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Quick ones first: what needs a real qBittorrent comes last."""
    items.sort(key=lambda item: item.get_closest_marker("live") is not None)
