"""Samples for tests of the store."""

from __future__ import annotations

from qguardarr.adapters.sqlite import store_schema
from qguardarr.adapters.sqlite.store import SqliteStore
from qguardarr.engine.feature_ports import RateSample

NOON = 1_700_006_400.0
"""Start of an hour, Unix time."""
HOUR_S, DAY_S = 3600.0, 86400.0
A, B = "a" * 40, "b" * 40


def sample(
    tracker: str = "a",
    moved: float = 600.0,
    *,
    seconds: float = 60.0,
    peak: float = 10.0,
    cap: float | None = 100.0,
    effective: float | None = 120.0,
    over_s: float = 0.0,
) -> RateSample:
    return RateSample(tracker, seconds, moved, peak, cap, effective, over_s)


def fill(store: SqliteStore, start: float, minutes: int, *trackers: str, every: int = 1) -> None:
    """Add samples of 600 bytes a minute, in one transaction."""
    with store.writing() as db:
        for minute in range(0, minutes, every):
            store_schema.add_samples(db, start + 60 * minute, [sample(name) for name in trackers or ("a",)])
