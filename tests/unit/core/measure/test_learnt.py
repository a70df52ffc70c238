"""What was learnt outlives a restart: its form, its bounds, and who writes it when."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from qguardarr.adapters.sqlite.database import Database
from qguardarr.adapters.sqlite.store import SqliteStore
from qguardarr.adapters.sqlite.store_schema import STORE
from qguardarr.core.measure.learnt import (
    FEW,
    HEAD,
    MOST,
    OLDEST_S,
    TORRENTS,
    VERSION,
    Learnt,
    LearntTracker,
    Memory,
    changed_much,
    decode,
    encode,
)
from qguardarr.core.model import UNLIMITED, Activity, Observation, Torrent
from qguardarr.core.reconcile.recollection import memory_of, recall
from qguardarr.core.reconcile.registry import TorrentRegistry
from qguardarr.errors import StoreError
from qguardarr.features.learning import REWRITE_S, LearntMemory
from tests.support.guard_loop import KB, MB, hash_of, policy_of, state_of, tracker, url_of

NOW = 1_700_000_000.0
EPOCH = NOW - 1000.0
A = Learnt(
    hash_of("a"),
    NOW - 2,
    900 * KB,
    rate=870 * KB,
    lump=65536,
    mean=880 * KB,
    use=0.98,
    weight=2.0,
    hungry=True,
    lasting=True,
)
B = Learnt(hash_of("b"), NOW - 5, UNLIMITED, mean=20 * KB)
MEMORY = Memory([A, B], [LearntTracker("t1", 1.02, 1.3)], NOW - 1)


def learnt(n: int, at: float = NOW, mean: int = 100 * KB) -> Learnt:
    return Learnt(hash_of(n), at, 200 * KB, mean=mean)


def torrent(name: str, uploaded: int, **changes: object) -> Torrent:
    fresh = Torrent(hash_of(name), (url_of("t1"),), Activity.ACTIVE, 900 * KB, uploaded, 4, 0, False)
    return msgspec.structs.replace(fresh, **changes)


def seen(at: float, *torrents: Torrent, full: bool = True) -> Observation:
    return Observation(at, full, {t.hash: t for t in torrents}, frozenset(), UNLIMITED, 1.5, names_all_changes=True)


class TestForm:
    def test_what_is_kept_comes_back(self) -> None:
        assert decode(encode(MEMORY, NOW), NOW + 60) == MEMORY

    def test_torrents_that_were_not_written_again_were_still_so_when_the_head_was(self) -> None:
        parts = encode(MEMORY, NOW) | encode(MEMORY, NOW + 50, NOW)
        assert [learnt.at for learnt in decode(parts, NOW + 60).torrents] == [NOW + 48, NOW + 45]

    def test_fields_of_another_version_do_no_harm(self) -> None:
        parts = encode(MEMORY, NOW)
        rows = msgspec.msgpack.decode(parts[TORRENTS])
        parts[TORRENTS] = msgspec.msgpack.encode([row | {"new_field": [1, 2]} for row in rows] + [{"hash": "c"}])
        assert decode(parts, NOW) == MEMORY  # of "c" not even the limit is known

    @pytest.mark.parametrize("version", [0, VERSION + 1])
    def test_another_version_is_ignored(self, version: int) -> None:
        parts = encode(MEMORY, NOW)
        parts[HEAD] = msgspec.msgpack.encode(msgspec.msgpack.decode(parts[HEAD]) | {"version": version})
        assert decode(parts, NOW) == Memory()

    @pytest.mark.parametrize("later", [-1.0, OLDEST_S, 1e9])
    def test_what_is_too_old_or_from_the_future_is_ignored(self, later: float) -> None:
        assert decode(encode(MEMORY, NOW), NOW + OLDEST_S - 10).torrents
        assert decode(encode(MEMORY, NOW), NOW + later) == Memory()

    def test_a_torrent_that_moved_long_before_the_end_is_ignored(self) -> None:
        parts = encode(Memory([A, learnt(1, at=NOW - OLDEST_S)]), NOW)
        assert decode(parts, NOW).torrents == [A]

    def test_only_the_newest_are_kept(self) -> None:
        many = [learnt(n, at=NOW - n) for n in reversed(range(MOST + 50))]
        kept = decode(encode(Memory(many), NOW), NOW).torrents
        assert len(kept) == MOST
        assert min(learnt.at for learnt in kept) == NOW - MOST + 1
        assert len(encode(Memory([msgspec.structs.replace(A, hash=x.hash) for x in many]), NOW)[TORRENTS]) < 800_000

    @pytest.mark.parametrize(
        "wrong",
        [
            {"limit": 0},
            {"limit": UNLIMITED + 1},
            {"mean": -1},
            {"mean": 2**60},
            {"weight": float("nan")},
            {"at": float("inf")},
            {"use": -0.5},
        ],
    )
    def test_values_that_nobody_learnt_are_left_out(self, wrong: dict[str, object]) -> None:
        assert decode(encode(Memory([msgspec.structs.replace(A, **wrong), B]), NOW), NOW).torrents == [B]

    def test_what_changed_little_is_not_worth_a_write(self) -> None:
        before = [learnt(n) for n in range(100)]
        few = int(FEW * len(before))
        assert not changed_much(before, [learnt(n, at=NOW + 9, mean=110 * KB) for n in range(100)])
        assert not changed_much(before, [learnt(n, mean=200 * KB if n < few else 100 * KB) for n in range(100)])
        assert changed_much(before, [learnt(n, mean=200 * KB if n <= few else 100 * KB) for n in range(100)])
        assert changed_much(before, before[few + 1 :])
        assert changed_much([], before[:1])
        assert changed_much([A], [msgspec.structs.replace(A, lasting=False)])


anything = st.one_of(
    st.binary(max_size=60),
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    ).map(msgspec.msgpack.encode),
)
values = st.one_of(st.integers(-5, 2**40), st.floats(), st.booleans())
rows = st.fixed_dictionaries(
    {"hash": st.sampled_from([hash_of("a"), hash_of("b"), "", "x"])},
    optional={name: values for name in Learnt.__struct_fields__ if name != "hash"},
)
heads = st.fixed_dictionaries(
    {"version": st.just(VERSION), "at": st.floats(NOW - 100, NOW), "torrents_at": st.floats(NOW - 100, NOW)},
    optional={
        "copied_at": st.floats(),
        "trackers": st.lists(st.fixed_dictionaries({"id": st.just("t1"), "gain": values, "level": values}), max_size=2),
    },
)


@given(
    head=st.one_of(anything, heads.map(msgspec.msgpack.encode)),
    torrents=st.one_of(anything, st.lists(rows, max_size=4).map(msgspec.msgpack.encode)),
)
def test_whatever_is_stored_the_first_cycles_are_made(head: bytes, torrents: bytes) -> None:
    registry = TorrentRegistry(policy_of(tracker("t1", 1 * MB), strategy="soft"))
    recall(registry, decode({HEAD: head, TORRENTS: torrents}, NOW), EPOCH)
    for i in range(3):
        registry.observe(seen(1000 + 1.5 * i, torrent("a", 10**9 + i * MB), torrent("b", i, activity=Activity.IDLE)))
        for member in registry.uploads.flowing.values():
            assert member.estimator is not None
            assert 0.0 <= member.estimator.rate < 1e17
        assert all(0.9 < meter.limiter_yield < 1.1 for meter in registry.uploads.meters)
        assert registry.uploads.effective.get("t1", 0.0) <= 1.5 * MB
    assert decode(encode(memory_of(registry, EPOCH), NOW), NOW).torrents  # and what is learnt then can be read


class TestFleet:
    def registry(self, memory: Memory, *torrents: Torrent) -> TorrentRegistry:
        registry = TorrentRegistry(policy_of(tracker("t1", 1 * MB)))
        recall(registry, memory, EPOCH)
        registry.observe(seen(1000.0, *torrents))
        return registry

    def test_a_torrent_goes_on_from_what_was_known_at_first_sight(self) -> None:
        estimator = state_of(self.registry(Memory([A]), torrent("a", 5)), A.hash).estimator
        assert estimator is not None
        assert (estimator.measured, estimator.backlogged, estimator.rate, estimator.weight) == (
            True,
            True,
            A.rate,
            A.weight,
        )
        assert (
            estimator.burstiness.lasting,
            estimator.expected,
            estimator.burstiness.use.level,
            estimator.burstiness.burst,
        ) == (
            True,
            A.mean,
            A.use,
            A.burst,
        )

    def test_nothing_is_known_of_demand_under_another_limit(self) -> None:
        estimator = state_of(self.registry(Memory([A]), torrent("a", 5, up_limit=100 * KB)), A.hash).estimator
        assert estimator is not None
        assert (estimator.measured, estimator.backlogged, estimator.rate) == (False, False, 0.0)

    @pytest.mark.parametrize(
        ("age_s", "activity", "estimators"),
        [(10.0, Activity.IDLE, True), (40.0, Activity.IDLE, False), (10.0, Activity.STOPPED, False)],
    )
    def test_one_that_pauses_between_two_bursts_is_not_taken_for_idle(
        self, age_s: float, activity: Activity, estimators: bool
    ) -> None:
        """The daemon before would have waited as long."""
        known = msgspec.structs.replace(A, at=NOW - age_s, hungry=False)
        registry = self.registry(Memory([known]), torrent("a", 5, activity=activity))
        assert (A.hash in registry.uploads.flowing) is estimators

    def test_torrents_that_are_gone_are_forgotten(self) -> None:
        registry = self.registry(MEMORY, torrent("a", 5))
        assert [learnt.hash for learnt in memory_of(registry, EPOCH).torrents] == [A.hash]
        registry.observe(seen(1002.0, torrent("c", 5)))
        registry.observe(seen(1004.0, torrent("c", 5), torrent("a", 5), torrent("b", 5)))
        estimator = state_of(registry, A.hash).estimator  # it is back, and new
        assert estimator is not None
        assert (estimator.rate, estimator.weight) == (0.0, 0.0)

    @pytest.mark.parametrize(("read_at", "copied_at"), [(1000.0, 999.0), (1000.7, 1000.5), (1013.9, 1012.5)])
    def test_the_clock_of_copies_goes_on(self, read_at: float, copied_at: float) -> None:
        """At the start the next copy may not have been due yet."""
        registry = TorrentRegistry(policy_of(tracker("t1", 1 * MB)))
        recall(registry, MEMORY, EPOCH)  # the last copy was taken at 999.0
        registry.observe(seen(read_at, torrent("a", 5)))
        assert registry.uploads.clock.at == pytest.approx(copied_at, abs=0.1)

    def test_what_a_tracker_borrowed_it_goes_on_to_borrow(self) -> None:
        policy = policy_of(tracker("t1", 1 * MB), strategy="soft", max_borrow_fraction=0.5)
        for level, effective in ((1.3, 1.3 * MB), (9.0, 1.5 * MB), (0.7, None)):
            registry = TorrentRegistry(policy)
            recall(registry, Memory([], [LearntTracker("t1", 1.02, level)]), EPOCH)
            assert registry.uploads.effective.get("t1") == effective
            assert registry.uploads.meters[0].limiter_yield == 1.02


class Pen:
    """A store that counts what is written, and may be broken."""

    def __init__(self) -> None:
        self.parts: dict[str, bytes] = {}
        self.written: list[set[str]] = []
        self.broken = False
        self.may_write = threading.Event()
        self.may_write.set()

    def learnt(self) -> dict[str, bytes]:
        if self.broken:
            raise StoreError("store x: it is damaged")
        return self.parts

    def keep_learnt(self, parts: Mapping[str, bytes]) -> None:
        assert self.may_write.wait(30)
        if self.broken:
            raise StoreError("store x: the disk is full; free some space")
        self.parts |= parts
        self.written.append(set(parts))


class TestLearning:
    """Who writes what, and when. `self.now` is the time of both clocks."""

    now = 1000.0

    def learning(self, pen: Pen, *, loaded: bool = True) -> LearntMemory:
        self.registry = TorrentRegistry(policy_of(tracker("t1", 1 * MB)))
        learning = LearntMemory(self.registry, pen, wall_clock=lambda: EPOCH + self.now, monotonic=lambda: self.now)
        if loaded:
            recall(self.registry, Memory([A]), EPOCH)
            self.registry.observe(seen(self.now, torrent("a", 5)))
        return learning

    def save(self, learning: LearntMemory) -> None:
        learning.save_beside()
        if learning.saving is not None:
            learning.saving.join()

    def test_steady_demand_is_written_once_and_confirmed_each_minute(self) -> None:
        pen = Pen()
        learning = self.learning(pen)
        self.save(learning)
        self.now += 60
        self.save(learning)
        assert pen.written == [{HEAD, TORRENTS}, {HEAD}]
        at = decode(pen.parts, EPOCH + self.now).torrents[0].at
        assert self.now - 1.5 <= at - EPOCH <= self.now  # it flowed until then
        self.now += REWRITE_S
        self.save(learning)
        assert pen.written[2] == {HEAD, TORRENTS}

    def test_while_nothing_uploads_nothing_is_written(self) -> None:
        pen = Pen()
        learning = self.learning(pen)
        self.registry.forget(A.hash)
        for _ in range(3):
            self.save(learning)
        assert pen.written == [{HEAD, TORRENTS}]  # once: what an earlier run kept is over

    def test_a_run_that_saw_nothing_leaves_what_was_kept(self) -> None:
        pen = Pen()
        pen.parts = encode(MEMORY, NOW)
        learning = self.learning(pen, loaded=False)
        self.save(learning)
        learning.close()
        assert pen.written == []

    def test_the_end_writes_all_even_if_little_changed(self) -> None:
        pen = Pen()
        learning = self.learning(pen)
        self.save(learning)
        learning.close()
        assert pen.written == [{HEAD, TORRENTS}] * 2

    def test_a_disk_that_hangs_keeps_nobody_waiting(self) -> None:
        pen = Pen()
        pen.may_write.clear()
        learning = self.learning(pen)
        learning.save_beside()  # returns at once
        first = learning.saving
        learning.save_beside()
        assert learning.saving is first  # and they do not pile up
        pen.may_write.set()
        assert first is not None
        first.join()
        assert len(pen.written) == 1

    def test_a_store_that_cannot_be_used_is_told_of_once(self) -> None:
        pen = Pen()
        pen.broken = True
        with structlog.testing.capture_logs() as logs:
            learning = self.learning(pen, loaded=False)
            learning.start()
            for i in range(3):
                self.registry.observe(seen(self.now + 1.5 * i, torrent("a", i * MB)))
            for _ in range(3):
                self.save(learning)
            learning.close()
        assert [line["event"] for line in logs] == ["learnt_not_read"]
        pen.broken = False
        self.save(learning)
        assert pen.written == [{HEAD, TORRENTS}]
        pen.broken = True
        with structlog.testing.capture_logs() as logs:
            for _ in range(3):
                self.save(learning)
        assert [line["event"] for line in logs] == ["learnt_not_kept"]


class TestStore:
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[SqliteStore]:
        store = SqliteStore(tmp_path / "store")
        yield store
        store.close()

    def test_parts_outlive_a_restart_each_by_itself(self, store: SqliteStore, tmp_path: Path) -> None:
        assert store.learnt() == {}
        store.keep_learnt({"a": b"1", "b": b"2"})
        store.keep_learnt({"a": b"3"})
        store.close()
        again = SqliteStore(tmp_path / "store")
        assert again.learnt() == {"a": b"3", "b": b"2"}
        again.close()

    def test_a_part_that_is_no_bytes_is_left_out(self, store: SqliteStore) -> None:
        store.keep_learnt({"a": b"1"})
        with store.writing() as db:
            db.execute("INSERT INTO learnt VALUES ('b', 'text')")
        assert store.learnt() == {"a": b"1"}

    def test_a_store_of_the_first_version_migrates(self, tmp_path: Path) -> None:
        path = tmp_path / "store"
        first = Database.open(path, STORE._replace(migrations=STORE.migrations[:1]))
        first.connection.execute("INSERT INTO overrides VALUES ('t1', 5, 6.0)")
        first.close()
        store = SqliteStore(path)
        store.keep_learnt({"a": b"1"})
        assert store.learnt() == {"a": b"1"}
        assert list(store.overrides()) == ["t1"]
        store.close()

    def test_a_full_disk_loses_nothing_that_was_kept(self, store: SqliteStore) -> None:
        store.keep_learnt({HEAD: b"old", TORRENTS: b"old"})
        with store.reading() as db:
            db.execute("PRAGMA max_page_count = 1")
        with pytest.raises(StoreError, match="the disk is full"):
            store.keep_learnt({HEAD: b"new", TORRENTS: bytes(10**6)})
        assert store.learnt() == {HEAD: b"old", TORRENTS: b"old"}
