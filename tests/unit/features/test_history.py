"""From the status of each cycle to minutes of history."""

from __future__ import annotations

import math
from typing import Any, TypeVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qguardarr.engine.feature_ports import RateSample
from qguardarr.engine.status import Status, TrackerRow
from qguardarr.features.history import LONGEST_GAP_S, MINUTE_S, RateRecorder

NOON = 1_700_000_040.0
"""A whole minute."""
NOTHING: dict[Any, Any] = {int: 0, float: 0.0, str: "", bool: False}
T = TypeVar("T", bound=msgspec.Struct)


def blank(kind: type[T], **values: Any) -> T:
    """With nothing in the fields that are not given."""
    needed = {field.name: NOTHING.get(field.type) for field in msgspec.structs.fields(kind) if field.required}
    return kind(**{**needed, **values})


def row(name: str, total: float, **changes: Any) -> TrackerRow:
    values = {"id": name, "cap": 1000, "effective": 1200.0, "total_bytes": total, **changes}
    return blank(TrackerRow, **values)


def status(at: float, *rows: TrackerRow, state: str = "holding", interval_s: float = 2.0) -> Status:
    return blank(Status, at=at, state=state, interval_s=interval_s, trackers=rows)


def test_a_minute_comes_when_it_is_over() -> None:
    recorder = RateRecorder()
    seen = [recorder.feed(status(NOON + t, row("a", 100.0 * t))) for t in range(0, 60, 2)]
    assert not any(seen)
    assert recorder.feed(status(NOON + 60, row("a", 6000.0))) == {
        NOON: [RateSample("a", pytest.approx(60.0), pytest.approx(6000.0), 0.0, 1000, 1200.0, 0.0)]
    }
    assert recorder.flush() == {}


def test_bytes_between_two_readings_fall_on_the_minutes_between_them() -> None:
    recorder = RateRecorder()
    recorder.feed(status(NOON + 59, row("a", 0.0)))
    (first,) = recorder.feed(status(NOON + 62, row("a", 300.0)))[NOON]
    (rest,) = recorder.flush()[NOON + 60]
    assert (first.seconds, first.bytes) == pytest.approx((1.0, 100.0))
    assert (rest.seconds, rest.bytes) == pytest.approx((2.0, 200.0))


def test_a_long_interval_fills_every_minute() -> None:
    recorder = RateRecorder()
    recorder.feed(status(NOON, row("a", 0.0), interval_s=3600))
    minutes = recorder.feed(status(NOON + 3600, row("a", 3.6e6, rate_10s=1500.0), interval_s=3600))
    assert list(minutes) == [NOON + 60 * minute for minute in range(60)]
    assert all(sample.bytes == pytest.approx(60_000) and sample.peak == 1500 for (sample,) in minutes.values())


def test_peak_is_the_highest_and_caps_are_the_last() -> None:
    recorder = RateRecorder()
    recorder.feed(status(NOON, row("a", 0.0, rate_10s=9e9)))  # belongs to what was before
    recorder.feed(status(NOON + 2, row("a", 0.0, rate_10s=500.0, over_cap_s=0.0)))
    recorder.feed(status(NOON + 4, row("a", 0.0, rate_10s=1500.0, over_cap_s=1.5)))
    recorder.feed(status(NOON + 6, row("a", 0.0, rate_10s=700.0, over_cap_s=1.5, cap=None, effective=None)))
    (sample,) = recorder.flush()[NOON]
    assert (sample.peak, sample.cap, sample.effective, sample.over_s) == (1500.0, None, None, 1.5)


def test_counters_that_start_again_count_from_zero() -> None:
    recorder = RateRecorder()
    recorder.feed(status(NOON, row("a", 1e9, over_cap_s=100.0)))
    recorder.feed(status(NOON + 2, row("a", 50.0, over_cap_s=1.0)))
    (sample,) = recorder.flush()[NOON]
    assert (sample.bytes, sample.over_s) == (50.0, 1.0)


def test_no_more_time_is_over_the_cap_than_passed() -> None:
    recorder = RateRecorder()
    recorder.feed(status(NOON, row("a", 0.0, over_cap_s=0.0)))
    recorder.feed(status(NOON + 2, row("a", 0.0, over_cap_s=3.5)))  # counted between copies, not between cycles
    (sample,) = recorder.flush()[NOON]
    assert sample.over_s == 2.0


def test_trackers_come_and_go() -> None:
    recorder = RateRecorder()
    recorder.feed(status(NOON, row("a", 0.0)))
    recorder.feed(status(NOON + 2, row("a", 10.0), row("b", 7e6)))  # b: how long it took is not known
    recorder.feed(status(NOON + 4, row("b", 7e6 + 20)))
    recorder.feed(status(NOON + 6, row("a", 5e6), row("b", 7e6 + 40)))  # a is back, as if it were new
    samples = {sample.tracker: sample for sample in recorder.flush()[NOON]}
    assert (samples["a"].seconds, samples["a"].bytes) == (2.0, 10.0)
    assert (samples["b"].seconds, samples["b"].bytes) == (4.0, 40.0)


def test_what_a_failing_cycle_repeats_is_no_reading() -> None:
    recorder = RateRecorder()
    recorder.feed(status(NOON, row("a", 0.0)))
    recorder.feed(status(NOON + 2, row("a", 20.0, rate_10s=10.0)))
    for t in range(4, 60, 2):
        assert recorder.feed(status(NOON + t, row("a", 20.0, rate_10s=10.0), state="failing")) == {}
    ((first,),) = recorder.feed(status(NOON + 60, row("a", 20.0), state="failing")).values()
    assert (first.seconds, first.bytes) == (2.0, 20.0)  # and not 60 s with little in them
    late = recorder.feed(status(NOON + 62, row("a", 620.0)))  # the counter went on meanwhile
    assert {at: sample.bytes for at, (sample,) in {**late, **recorder.flush()}.items()} == pytest.approx(
        {NOON: 580.0, NOON + 60: 20.0}
    )


def test_nothing_is_read_before_the_first_cycle() -> None:
    recorder = RateRecorder()
    recorder.feed(status(NOON, state="starting"))
    recorder.feed(status(NOON + 2, row("a", 1e9)))
    assert recorder.flush() == {}


def test_an_hour_of_silence_is_a_hole() -> None:
    recorder = RateRecorder()
    recorder.feed(status(NOON, row("a", 0.0)))
    recorder.feed(status(NOON + 10, row("a", 100.0)))
    minutes = recorder.feed(status(NOON + 3610, row("a", 9e9)))
    recorder.feed(status(NOON + 3612, row("a", 9e9 + 30)))
    assert [(at, sample.bytes) for at, (sample,) in {**minutes, **recorder.flush()}.items()] == [
        (NOON, 100.0),
        (NOON + 3600, 30.0),
    ]


def test_a_clock_set_back_ends_the_minute_and_costs_one_reading() -> None:
    recorder = RateRecorder()
    recorder.feed(status(NOON, row("a", 0.0)))
    recorder.feed(status(NOON + 2, row("a", 20.0)))
    ((at, (sample,)),) = recorder.feed(status(NOON - 3600, row("a", 40.0))).items()
    assert (at, sample.bytes) == (NOON, 20.0)
    recorder.feed(status(NOON - 3598, row("a", 60.0)))
    ((at, (sample,)),) = recorder.flush().items()
    assert (at, sample.bytes, sample.seconds) == (NOON - 3600, 20.0, 2.0)


def test_two_readings_at_one_time_are_no_division_by_zero() -> None:
    recorder = RateRecorder()
    for _ in range(2):
        recorder.feed(status(NOON, row("a", 0.0)))
    assert recorder.flush() == {}


@given(
    st.lists(
        st.tuples(st.floats(-1e5, 1e5), st.floats(0, 1e12), st.sampled_from(["holding", "failing"]), st.booleans()),
        max_size=30,
    )
)
def test_whatever_clock_and_counters_do_the_figures_make_sense(steps: list[tuple[float, float, str, bool]]) -> None:
    """Never negative, never more seconds than passed, never more bytes than the counter moved; few minutes kept."""
    recorder, at, moved, last, passed = RateRecorder(), 1e9, 0.0, 0.0, 0.0
    out: list[RateSample] = []
    for forward, total, state, there in steps:
        at += forward
        passed += max(0.0, forward)
        moved += total if total < last else total - last
        last = total
        minutes = recorder.feed(status(at, *([row("a", total)] if there else []), state=state))
        assert all(start % MINUTE_S == 0 for start in minutes)
        assert len(minutes) <= LONGEST_GAP_S / MINUTE_S + 2
        out += [sample for samples in minutes.values() for sample in samples]
    kept = recorder.flush()
    assert len(kept) <= 1
    out += [sample for samples in kept.values() for sample in samples]
    assert all(sample.seconds > 0 and sample.bytes >= 0 and math.isfinite(sample.bytes) for sample in out)
    assert sum(sample.seconds for sample in out) <= passed + 1e-3
    assert sum(sample.bytes for sample in out) <= moved * (1 + 1e-6) + 1e-3
