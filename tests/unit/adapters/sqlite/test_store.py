"""The store: history of rates, temporary caps, the outbox, and files that cannot be used."""

from __future__ import annotations

import itertools
import sqlite3
import stat
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qguardarr.adapters.sqlite import store as store_module
from qguardarr.adapters.sqlite import store_schema
from qguardarr.adapters.sqlite.store import SqliteStore, store_path
from qguardarr.adapters.sqlite.store_schema import LAYERS, MOST_POINTS, MOST_POINTS_TOGETHER, STORE
from qguardarr.core.caps.temporary import Override
from qguardarr.core.model import UNLIMITED
from qguardarr.engine.ports import Entry, Outbox, RatePoint, RateSample
from qguardarr.errors import StoreError

NOON = 1_700_006_400.0
"""Start of an hour, Unix time."""
HOUR_S, DAY_S = 3600.0, 86400.0
A, B = "a" * 40, "b" * 40


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "qguardarr.db.store"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(path)
    yield store
    store.close()


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


def fill_up_disk(store: SqliteStore) -> sqlite3.Connection:
    """Forbid the file to grow, by SQLite's own bound. Undone by `PRAGMA max_page_count = 1000000`."""
    with store.reading() as raw:
        raw.execute("PRAGMA max_page_count = 1")  # SQLite makes it the present size
    return raw


def steps(points: list[RatePoint]) -> set[float]:
    return {later.at - earlier.at for earlier, later in itertools.pairwise(points)}


def test_it_stands_beside_the_journal() -> None:
    assert store_path(Path("data/qguardarr.db")) == Path("data/qguardarr.db.store")


def test_it_is_the_outbox_of_the_service(store: SqliteStore) -> None:
    port: Outbox = store
    assert port.outbox(10) == []


class TestRates:
    def test_recorded_samples_come_back(self, store: SqliteStore) -> None:
        store.record(NOON, [sample("a", 600.0, peak=15.0, cap=None, effective=None, over_s=2.5), sample("b", 1.0)])
        assert store.rates(None, NOON, NOON + 60) == [
            RatePoint(NOON, "a", 60.0, 600.0, 15.0, None, None, 2.5),
            RatePoint(NOON, "b", 60.0, 1.0, 10.0, 100.0, 120.0, 0.0),
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
        assert store.rates("a", NOON, NOON + 60) == [RatePoint(NOON, "a", 50.0, 300.0, 9.0, 2.0, None, 3.0)]

    def test_a_coarser_step_adds_bytes_keeps_the_peak_and_takes_the_last_cap(self, store: SqliteStore) -> None:
        for minute in range(20):
            peak = 99.0 if minute == 3 else 1.0
            store.record(NOON + 60 * minute, [sample("a", 10.0, peak=peak, cap=float(minute), over_s=0.5)])
        assert store.rates("a", NOON, NOON + 1200, 600) == [
            RatePoint(NOON, "a", 600.0, 100.0, 99.0, 9.0, 120.0, 5.0),
            RatePoint(NOON + 600, "a", 600.0, 100.0, 1.0, 19.0, 120.0, 5.0),
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


class TestOverrides:
    def test_they_are_kept_replaced_and_cleared(self, store: SqliteStore, path: Path) -> None:
        store.set_override("a", 5, NOON)
        store.set_override("b", UNLIMITED, NOON + 0.5)
        store.set_override("a", 7, NOON + 1)
        store.close()
        again = SqliteStore(path)
        assert again.overrides() == {"a": Override(7, NOON + 1), "b": Override(UNLIMITED, NOON + 0.5)}
        again.clear_override("a")
        again.clear_override("nobody")
        assert set(again.overrides()) == {"b"}
        again.close()

    @pytest.mark.parametrize("cap", [0, -1, UNLIMITED + 1, 2**64])
    def test_an_invalid_cap_is_not_kept(self, store: SqliteStore, cap: int) -> None:
        with pytest.raises(StoreError):
            store.set_override("a", cap, NOON)
        assert store.overrides() == {}

    def test_thinning_deletes_caps_that_ended_long_ago(self, store: SqliteStore) -> None:
        store.set_override("a", 5, NOON)
        store.set_override("b", 5, NOON + 2 * DAY_S)
        store.thin(NOON + HOUR_S)
        assert set(store.overrides()) == {"a", "b"}
        store.thin(NOON + 2 * DAY_S)
        assert set(store.overrides()) == {"b"}


class TestOutbox:
    def test_the_oldest_come_first(self, store: SqliteStore, path: Path) -> None:
        entries = [Entry(f"{number:040x}", NOON + number % 3) for number in range(9)]
        for entry in entries:
            store.outbox_put(entry)
        store.close()
        again = SqliteStore(path)
        assert again.outbox(100) == sorted(entries, key=lambda entry: entry.added_at)
        assert len(again.outbox(4)) == 4
        again.close()

    def test_an_entry_replaces_the_one_before_and_keeps_its_place(self, store: SqliteStore) -> None:
        store.outbox_put(Entry(A, NOON))
        store.outbox_put(Entry(B, NOON))
        store.outbox_put(Entry(A, NOON, 3, NOON + 40.5, "no answer"))
        assert store.outbox(9) == [Entry(A, NOON, 3, NOON + 40.5, "no answer"), Entry(B, NOON)]

    def test_a_removed_one_is_gone(self, store: SqliteStore) -> None:
        store.outbox_put(Entry(A, NOON))
        store.outbox_remove(A)
        store.outbox_remove(B)
        assert store.outbox(9) == []


class TestFile:
    def test_nobody_else_may_read_it(self, store: SqliteStore, path: Path) -> None:
        store.record(NOON, [sample()])
        for file in path.parent.iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700

    def test_it_says_whose_it_is(self, store: SqliteStore, path: Path) -> None:
        store.record(NOON, [sample()])
        store.close()
        raw = sqlite3.connect(path)
        assert raw.execute("PRAGMA application_id").fetchone() == (STORE.application_id,)
        assert raw.execute("PRAGMA user_version").fetchone() == (len(STORE.migrations),)
        assert raw.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        raw.close()

    def test_each_layer_is_a_multiple_of_the_finer_ones(self) -> None:
        assert all(coarse.step_s % fine.step_s == 0 for coarse in LAYERS for fine in LAYERS if fine < coarse)

    def test_the_database_of_another_program_is_refused_and_not_touched(self, store: SqliteStore, path: Path) -> None:
        path.parent.mkdir()
        foreign = sqlite3.connect(path)
        foreign.execute("CREATE TABLE recipes (name TEXT)")
        foreign.close()
        before = path.read_bytes()
        for _ in range(2):
            with pytest.raises(StoreError, match="database of another program"):
                store.outbox(1)
        assert path.read_bytes() == before

    def test_a_newer_store_is_refused_and_not_touched(self, store: SqliteStore, path: Path) -> None:
        store.record(NOON, [sample()])
        store.close()
        raw = sqlite3.connect(path)
        raw.execute("PRAGMA user_version = 99")
        raw.close()
        before = path.read_bytes()
        with pytest.raises(StoreError, match="newer Qguardarr"):
            SqliteStore(path).outbox(1)
        assert path.read_bytes() == before

    @pytest.mark.parametrize("content", [b"not a database at all", b"\0" * 8192, b"short", b"x"])
    def test_a_file_that_is_no_database_is_put_aside_and_begun_anew(
        self, store: SqliteStore, path: Path, content: bytes
    ) -> None:
        path.parent.mkdir()
        path.write_bytes(content)
        store.outbox_put(Entry(A, NOON))
        assert store.outbox(9) == [Entry(A, NOON)]
        assert path.with_name(path.name + ".damaged").read_bytes() == content

    def test_a_damaged_store_is_put_aside_and_begun_anew(self, store: SqliteStore, path: Path) -> None:
        fill(store, NOON, 600)
        store.close()
        content = bytearray(path.read_bytes())
        content[4096:] = b"\xa5" * (len(content) - 4096)
        path.write_bytes(content)
        again = SqliteStore(path)
        with pytest.raises(StoreError, match="it is damaged"):
            again.rates("a", NOON, NOON + HOUR_S)
        assert again.rates("a", NOON, NOON + HOUR_S) == []
        again.record(NOON, [sample()])
        assert len(again.rates("a", NOON, NOON + HOUR_S)) == 1
        assert path.with_name(path.name + ".damaged").read_bytes() == content
        again.close()

    def test_a_second_damaged_store_replaces_the_first_completely(self, store: SqliteStore, path: Path) -> None:
        path.parent.mkdir()
        for content in (b"first", b"second"):
            path.write_bytes(content)
            path.with_name(path.name + "-wal").write_bytes(content)
            SqliteStore(path).outbox(1)
        aside = path.with_name(path.name + ".damaged")
        assert (aside.read_bytes(), aside.with_name(aside.name + "-wal").read_bytes()) == (b"second", b"second")
        path.with_name(path.name + "-wal").unlink(missing_ok=True)
        path.write_bytes(b"third")
        SqliteStore(path).outbox(1)
        assert aside.read_bytes() == b"third"
        assert not aside.with_name(aside.name + "-wal").exists()

    def test_the_log_of_a_damaged_store_does_not_reach_the_new_one(self, store: SqliteStore, path: Path) -> None:
        store.outbox_put(Entry(A, NOON))
        wal = path.with_name(path.name + "-wal").read_bytes()
        assert wal
        store.close()
        path.write_bytes(b"damaged")
        path.with_name(path.name + "-wal").write_bytes(wal)
        again = SqliteStore(path)
        assert again.outbox(9) == []
        again.close()

    def test_a_file_deleted_under_it_is_made_anew(self, store: SqliteStore, path: Path) -> None:
        store.outbox_put(Entry(A, NOON))
        path.unlink()
        store.outbox_put(Entry(B, NOON))
        assert store.outbox(9) == [Entry(B, NOON)]
        assert path.exists()

    def test_a_folder_that_cannot_be_made_is_an_error_until_it_can(self, tmp_path: Path) -> None:
        (tmp_path / "data").touch()
        store = SqliteStore(tmp_path / "data" / "store")
        with pytest.raises(StoreError, match="check the path, its permissions"):
            store.outbox_put(Entry(A, NOON))
        (tmp_path / "data").unlink()
        store.outbox_put(Entry(A, NOON))
        assert store.outbox(9) == [Entry(A, NOON)]
        store.close()

    def test_a_closed_store_says_so(self, store: SqliteStore) -> None:
        store.close()
        store.close()
        with pytest.raises(StoreError, match="already closed"):
            store.overrides()

    def test_a_lock_of_another_program_is_an_error_and_not_a_hang(self, store: SqliteStore, path: Path) -> None:
        with store.reading() as db:
            db.execute("PRAGMA busy_timeout = 10")
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="another program keeps it locked"):
            store.outbox_put(Entry(A, NOON))
        other.execute("ROLLBACK")
        other.close()
        store.outbox_put(Entry(A, NOON))

    def test_text_that_sqlite_cannot_hold_is_an_error(self, store: SqliteStore) -> None:
        with pytest.raises(StoreError):
            store.set_override("\ud800", 5, NOON)


class TestDiskTrouble:
    def test_a_full_disk_is_an_error_and_nothing_is_half_written(self, store: SqliteStore) -> None:
        store.record(NOON, [sample()])
        raw = fill_up_disk(store)
        with pytest.raises(StoreError, match="disk is full; free some space"):
            store.record(NOON + 60, [sample(f"tracker number {number}") for number in range(5_000)])
        assert {point.tracker for point in store.rates(None, 0, 1e10)} == {"a"}
        raw.execute("PRAGMA max_page_count = 1000000")
        store.record(NOON + 60, [sample("b")])  # space again: work goes on
        assert {point.tracker for point in store.rates(None, 0, 1e10)} == {"a", "b"}

    def test_the_kernel_refusing_to_grow_the_file_is_an_error_and_the_file_stays_sound(self, path: Path) -> None:
        program = """
            import resource, signal, sys
            from pathlib import Path
            from qguardarr.adapters.sqlite.store import SqliteStore
            from qguardarr.errors import StoreError
            from qguardarr.engine.ports import Entry
            store = SqliteStore(Path(sys.argv[1]))
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
            try:
                for number in range(10_000):
                    store.outbox_put(Entry(f"{number:040x}", 1.0))
                    print(number)
            except StoreError as error:
                sys.exit(str(error))
        """
        run = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(program), str(path)],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert run.returncode == 1
        assert f"store {path}: the disk" in run.stderr
        store = SqliteStore(path)
        assert len(store.outbox(100_000)) == len(run.stdout.split()) > 10
        store.close()


def test_threads_may_share_it(store: SqliteStore) -> None:
    failed: list[Exception] = []
    start = threading.Barrier(4)

    def work(number: int) -> None:
        start.wait()
        try:
            for turn in range(50):
                store.record(NOON + 60 * turn, [sample(f"t{number}")])
                store.outbox_put(Entry(f"{number * 100 + turn:040x}", NOON))
                store.rates(None, NOON, NOON + HOUR_S)
                store.thin(NOON)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(store.rates(None, NOON, NOON + HOUR_S)) == 200
    assert len(store.outbox(1000)) == 200
