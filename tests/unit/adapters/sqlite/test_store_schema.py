"""History of rates: kept at three resolutions, thinned, and never counted twice."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qguardarr.adapters.sqlite import store as store_module
from qguardarr.adapters.sqlite import store_schema
from qguardarr.adapters.sqlite.store import SqliteStore
from qguardarr.adapters.sqlite.store_schema import MOST_POINTS, MOST_POINTS_TOGETHER
from qguardarr.engine.feature_ports import RatePoint
from qguardarr.errors import StoreError
from tests.support.stores import DAY_S, HOUR_S, NOON, fill, sample


def steps(points: list[RatePoint]) -> set[float]:
    return {later.at - earlier.at for earlier, later in itertools.pairwise(points)}


class TestRates:
    def test_recorded_samples_come_back(self, store: SqliteStore) -> None:
        store.record(NOON, [sample("a", 600.0, peak=15.0, cap=None, effective=None, over_s=2.5), sample("b", 1.0)])
        assert store.rates(None, NOON, NOON + 60) == [
            RatePoint("a", 60.0, 600.0, 15.0, None, None, 2.5, at=NOON),
            RatePoint("b", 60.0, 1.0, 10.0, 100.0, 120.0, 0.0, at=NOON),
        ]
        assert [point.tracker for point in store.rates("b", NOON, NOON + 60)] == ["b"]

    def test_samples_survive_a_restart(self, store: SqliteStore, path: Path) -> None:
        store.record(NOON, [sample()])
        before = store.rates(None, NOON, NOON + 60)
        store.close()
        again = SqliteStore(path)
        assert again.rates(None, NOON, NOON + 60) == before
        again.close()

    def test_two_samples_of_a_minute_add_up(self, store: SqliteStore) -> None:
        """After a restart within that minute, or a clock that was set back."""
        store.record(NOON, [sample("a", 100.0, seconds=20.0, peak=9.0, cap=1.0, over_s=1.0)])
        store.record(NOON, [sample("a", 200.0, seconds=30.0, peak=8.0, cap=2.0, effective=None, over_s=2.0)])
        assert store.rates("a", NOON, NOON + 60) == [RatePoint("a", 50.0, 300.0, 9.0, 2.0, None, 3.0, at=NOON)]

    def test_a_coarser_step_adds_bytes_keeps_the_peak_and_takes_the_last_cap(self, store: SqliteStore) -> None:
        for minute in range(20):
            peak = 99.0 if minute == 3 else 1.0
            store.record(NOON + 60 * minute, [sample("a", 10.0, peak=peak, cap=float(minute), over_s=0.5)])
        assert store.rates("a", NOON, NOON + 1200, 600) == [
            RatePoint("a", 600.0, 100.0, 99.0, 9.0, 120.0, 5.0, at=NOON),
            RatePoint("a", 600.0, 100.0, 1.0, 19.0, 120.0, 5.0, at=NOON + 600),
        ]
        assert [point.cap for point in store.rates("a", NOON, NOON + 1200, 300)] == [4.0, 9.0, 14.0, 19.0]

    def test_only_points_within_the_time_are_returned(self, store: SqliteStore) -> None:
        fill(store, NOON, 120)
        points = store.rates("a", NOON + 90, NOON + 210)
        assert [point.at for point in points] == [NOON + 60, NOON + 120, NOON + 180]
        assert store.rates("a", NOON + 7200, NOON + 9000) == []
        assert store.rates("a", NOON - 9000, NOON) == []
        assert store.rates("a", NOON + 60, NOON) == []

    def test_an_unknown_tracker_has_no_history(self, store: SqliteStore) -> None:
        store.record(NOON, [sample()])
        assert store.rates("nobody", 0, 1e10) == []

    def test_all_of_time_may_be_asked_for(self, store: SqliteStore) -> None:
        store.record(NOON, [sample()])
        assert [point.at for point in store.rates(None, float("-inf"), float("inf"))] == [NOON]

    @pytest.mark.parametrize("step_s", [float("nan"), float("inf")])
    def test_an_impossible_step_is_an_error(self, store: SqliteStore, step_s: float) -> None:
        store.record(NOON, [sample()])
        with pytest.raises(StoreError):
            store.rates("a", NOON, NOON + 60, step_s)

    def test_the_finest_resolution_that_fits_is_returned(self, store: SqliteStore) -> None:
        fill(store, NOON, 3 * 24 * 60)
        assert steps(store.rates("a", NOON, NOON + DAY_S)) == {60.0}
        two = store.rates("a", NOON, NOON + 2 * DAY_S)
        assert steps(two) == {120.0}
        assert sum(point.bytes for point in two) == 600.0 * 2 * 24 * 60
        assert steps(store.rates("a", NOON, NOON + 10 * DAY_S)) == {180.0}  # there are three days only

    def test_a_given_step_is_kept_if_it_fits(self, store: SqliteStore) -> None:
        fill(store, NOON, 2 * 24 * 60)
        day = NOON + DAY_S
        assert steps(store.rates("a", NOON, day, 900)) == {900.0}
        assert steps(store.rates("a", NOON, day, 61)) == {120.0}  # rounded up to what is kept
        assert steps(store.rates("a", NOON, day, 7200)) == {7200.0}
        assert steps(store.rates("a", NOON, NOON + 2 * DAY_S, 60)) == {120.0}  # else too many points
        assert steps(store.rates("a", NOON, day, -5)) == {60.0}

    def test_all_trackers_together_are_bounded_too(self, store: SqliteStore) -> None:
        names = [f"t{number}" for number in range(50)]
        fill(store, NOON, 24 * 60, *names)
        points = store.rates(None, NOON, NOON + DAY_S)
        assert {point.tracker for point in points} == set(names)
        assert len(points) <= MOST_POINTS_TOGETHER
        assert sum(point.bytes for point in points) == 50 * 24 * 60 * 600.0

    def test_old_points_are_thinned(self, store: SqliteStore) -> None:
        now = NOON + 500 * DAY_S
        for age_s in (450 * DAY_S, 300 * DAY_S, 20 * DAY_S, 10 * HOUR_S):
            fill(store, now - age_s, 180)
        while store.thin(now):
            pass
        assert store.rates("a", now - 451 * DAY_S, now - 449 * DAY_S) == []
        assert steps(store.rates("a", now - 301 * DAY_S, now - 299 * DAY_S)) == {3600.0}
        assert steps(store.rates("a", now - 21 * DAY_S, now - 19 * DAY_S)) == {600.0}
        assert steps(store.rates("a", now - 11 * HOUR_S, now)) == {60.0}
        assert sum(point.bytes for point in store.rates("a", 0, now)) == 3 * 180 * 600.0

    def test_the_last_48_hours_are_fine_even_right_after_thinning(self, store: SqliteStore) -> None:
        now = NOON + 17.0
        fill(store, NOON - 60 * HOUR_S, 60 * 60)
        store.thin(now)
        assert steps(store.rates("a", now - 48 * HOUR_S, now - 30 * HOUR_S)) == {60.0}

    def test_a_gap_in_the_past_does_not_coarsen_the_present(self, store: SqliteStore) -> None:
        now = NOON + 100 * DAY_S
        fill(store, NOON, 60)
        fill(store, now - HOUR_S, 60)
        fill(store, now - 25 * HOUR_S, 10)  # ends before the day that is asked for begins
        store.thin(now)
        assert min(steps(store.rates("a", now - 60 * HOUR_S, now))) == 60.0
        assert min(steps(store.rates("a", now - DAY_S - 1800, now))) == 60.0

    def test_thinning_is_bounded_and_goes_on_at_the_next_call(
        self, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(store_module, "ROWS_PER_STEP", 7)
        monkeypatch.setattr(store_module, "ROWS_PER_THIN", 50)
        fill(store, NOON, 120)
        now = NOON + 3 * DAY_S
        assert [store.thin(now), store.thin(now), store.thin(now), store.thin(now)] == [50, 50, 20, 0]
        assert steps(store.rates("a", NOON, now)) == {600.0}

    def test_space_is_given_back(self, store: SqliteStore, path: Path) -> None:
        fill(store, NOON, 48 * 60, *[f"t{number}" for number in range(10)])
        store.thin(NOON)  # what was written is in the file now, and not in its log
        before = path.stat().st_size
        while store.thin(NOON + 30 * DAY_S):
            pass
        for _ in range(3):
            store.thin(NOON + 30 * DAY_S)
        assert path.stat().st_size < before / 4

    def test_names_without_samples_are_deleted(self, store: SqliteStore) -> None:
        store.record(NOON, [sample("old")])
        store.record(NOON + 401 * DAY_S, [sample("new")])
        store.thin(NOON + 401 * DAY_S)
        with store.reading() as db:
            assert db.execute("SELECT name FROM trackers").fetchall() == [("new",)]

    def test_the_longest_unused_names_are_deleted_first(
        self, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(store_schema, "MOST_TRACKERS", 2)
        for hour, name in enumerate("abcab"):
            store.record(NOON + hour * HOUR_S, [sample(name)])
        store.thin(NOON + 5 * HOUR_S)
        assert {point.tracker for point in store.rates(None, 0, 1e10)} == {"a", "b"}

    def test_a_clock_that_jumps_loses_nothing(self, store: SqliteStore) -> None:
        fill(store, NOON, 60)
        for at in (NOON + 3000 * DAY_S, 0.0, -7200.0, NOON - 3000 * DAY_S):
            store.record(at, [sample()])
        store.thin(0.0)
        points = store.rates("a", NOON, NOON + HOUR_S)
        assert len(points) == 60
        assert sum(point.bytes for point in store.rates("a", 0, 1e10)) == 63 * 600.0

    @pytest.mark.parametrize("at", [float("nan"), float("inf"), 1e300])
    def test_an_impossible_time_is_an_error_and_changes_nothing(self, store: SqliteStore, at: float) -> None:
        with pytest.raises(StoreError):
            store.record(at, [sample()])
        assert store.rates(None, 0, 1e10) == []

    def test_an_invalid_sample_does_not_affect_others(self, store: SqliteStore) -> None:
        with pytest.raises(StoreError):
            store.record(NOON, [sample("a"), sample("b", float("nan"))])
        assert store.rates(None, 0, 1e10) == []

    @given(
        minutes=st.lists(st.integers(0, 3 * 24 * 60), min_size=1, max_size=40),
        start=st.integers(-100, 5000),
        length=st.integers(0, 6000),
        step_s=st.none() | st.integers(1, 100_000),
    )
    @settings(deadline=None, max_examples=60)
    def test_no_sample_is_counted_twice_or_left_out(
        self, tmp_path_factory: pytest.TempPathFactory, minutes: list[int], start: int, length: int, step_s: int | None
    ) -> None:
        store = SqliteStore(tmp_path_factory.mktemp("rates") / "store")
        for minute in minutes:
            store.record(NOON + 60 * minute, [sample("a", 1.0), sample("b", 1.0)])
        begin, end = NOON + 60 * start, NOON + 60 * (start + length)
        points = [point for point in store.rates(None, begin, end, step_s) if point.tracker == "a"]
        store.close()
        assert len(points) <= MOST_POINTS
        assert [point.at for point in points] == sorted({point.at for point in points})
        asked = sum(begin <= NOON + 60 * minute < end for minute in minutes)
        counted = sum(point.bytes for point in points)
        assert counted >= asked  # the first stretch may begin before `start`
        wider = (HOUR_S, HOUR_S + step_s) if step_s else (0.0, 180.0)  # the coarser, the more beside it
        assert counted <= sum(begin - wider[1] < NOON + 60 * minute < end + wider[0] for minute in minutes)
