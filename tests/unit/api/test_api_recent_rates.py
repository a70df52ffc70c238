"""Rates of the last minutes: what is kept of them, and how much memory that takes."""

from __future__ import annotations

import tracemalloc

import msgspec
import pytest

from qguardarr.api import recent_rates
from qguardarr.api.recent_rates import KEPT_S, LEAST_STEP_S, RateMemory
from qguardarr.engine.status import Status
from tests.support.samples import row, status

START = 1_800_000_000.0


def at(seconds: float, *ids: str, **changes: object) -> Status:
    rows = tuple(row(id_, rate_10s=seconds, cap=None if id_ == "free" else 100, effective=None) for id_ in ids)
    return status(at=START + seconds, trackers=rows, **changes)


def test_the_last_minutes_come_back_by_tracker() -> None:
    memory = RateMemory()
    for seconds in range(0, 600, 5):
        memory.add(at(seconds, "a", "free"))
    found = memory.recent()
    assert found.at[-1] == START + 595
    assert found.at[0] >= START + 595 - KEPT_S
    assert found.trackers["a"].rate == [time - START for time in found.at]
    assert set(found.trackers["a"].cap) == {100}
    assert set(found.trackers["free"].cap) == set(found.trackers["a"].effective) == {None}


def test_a_tracker_that_came_later_has_nothing_before() -> None:
    memory = RateMemory()
    memory.add(at(0, "a"))
    memory.add(at(5, "a", "b"))
    memory.add(at(10, "b"))
    found = memory.recent()
    assert (found.trackers["a"].rate, found.trackers["b"].rate) == ([0, 5, None], [None, 5, 10])


@pytest.mark.parametrize("state", ["starting", "waiting", "failing"])
def test_a_cycle_that_read_nothing_is_left_out(state: str) -> None:
    memory = RateMemory()
    memory.add(at(0, "a", state=state))
    assert memory.recent().at == []


def test_a_clock_that_is_set_back_starts_again() -> None:
    memory = RateMemory()
    memory.add(at(3600, "a"))
    memory.add(at(0, "a"))
    assert memory.recent().at == [START]


def test_many_cycles_of_many_trackers_stay_small() -> None:
    memory = RateMemory()
    first = at(0, *(f"tracker-{number}" for number in range(100)))
    tracemalloc.start()
    try:
        for step in range(3000):
            memory.add(msgspec.structs.replace(first, at=START + step * 0.25))
        taken = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, recent_rates.__file__)])
    finally:
        tracemalloc.stop()
    assert sum(trace.size for trace in taken.traces) < 300_000, "numbers only: the names are those of the sample before"
    assert len(memory.recent().at) <= KEPT_S / LEAST_STEP_S + 2
    assert len(msgspec.json.encode(memory.recent())) < 500_000
