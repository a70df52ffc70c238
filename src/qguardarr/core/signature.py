"""Tell a limit that Qguardarr may have written from one that a person types."""

from __future__ import annotations

from qguardarr.core.model import UNLIMITED

_ROUND: tuple[int, ...] = (1000, 1024)
"""People, and other programs, set whole kB/s or KiB/s."""


def looks_like_ours(limit: int) -> bool:
    """Return whether Qguardarr may have written this limit (bytes/s)."""
    return limit < UNLIMITED and all(limit % unit for unit in _ROUND)
