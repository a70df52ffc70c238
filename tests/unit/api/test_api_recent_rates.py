"""Rates of the last minutes: what is kept of them, and how much memory that takes."""

from __future__ import annotations

import sys

import msgspec
import pytest

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


def test_a_clock_that_is_set_back_begins_anew() -> None:
    memory = RateMemory()
    memory.add(at(3600, "a"))
    memory.add(at(0, "a"))
    assert memory.recent().at == [START]


def test_many_cycles_of_many_trackers_stay_small() -> None:
    memory = RateMemory()
    ids = [f"tracker-{number}" for number in range(100)]
    for step in range(3000):
        memory.add(at(step * 0.25, *ids))
    samples = memory._samples
    assert len(samples) <= KEPT_S / LEAST_STEP_S + 2
    assert sum(sys.getsizeof(sample.numbers) for sample in samples) < 400_000
    assert len({id(sample.trackers) for sample in samples}) == 1
    assert len(msgspec.json.encode(memory.recent())) < 500_000
