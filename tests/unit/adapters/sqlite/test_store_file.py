"""The store's file: private, recognised, started again when it is damaged, and full disks."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from qguardarr.adapters.sqlite.store import SqliteStore
from qguardarr.adapters.sqlite.store_schema import LAYERS, STORE
from qguardarr.engine.feature_ports import Entry
from qguardarr.errors import StoreError
from tests.support.stores import HOUR_S, NOON, A, B, fill, sample


def fill_up_disk(store: SqliteStore) -> sqlite3.Connection:
    """Forbid the file to grow, by SQLite's own bound. Undone by `PRAGMA max_page_count = 1000000`."""
    with store.reading() as raw:
        raw.execute("PRAGMA max_page_count = 1")  # SQLite makes it the present size
    return raw


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
    def test_a_file_that_is_no_database_is_put_aside_and_started_again(
        self, store: SqliteStore, path: Path, content: bytes
    ) -> None:
        path.parent.mkdir()
        path.write_bytes(content)
        store.outbox_put(Entry(A, NOON))
        assert store.outbox(9) == [Entry(A, NOON)]
        assert path.with_name(path.name + ".damaged").read_bytes() == content

    def test_a_damaged_store_is_put_aside_and_started_again(self, store: SqliteStore, path: Path) -> None:
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

    @pytest.mark.parametrize("kept", [0, 4096])
    def test_a_guest_leaves_a_damaged_store_where_it_is(self, store: SqliteStore, path: Path, kept: int) -> None:
        """Regression: `qguardarr usage` moved it away under the daemon, which went on writing into the moved file."""
        fill(store, NOON, 600)
        store.close()
        content = path.read_bytes()
        content = content[:kept] + b"\xa5" * (len(content) - kept)
        path.write_bytes(content)
        guest = SqliteStore(path, is_guest=True)
        for _ in range(2):
            with pytest.raises(StoreError, match="it is damaged"):
                guest.rates("a", NOON, NOON + HOUR_S)
        guest.close()
        assert path.read_bytes() == content
        assert not path.with_name(path.name + ".damaged").exists()

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

    def test_a_file_deleted_under_it_is_made_again(self, store: SqliteStore, path: Path) -> None:
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
            from qguardarr.engine.feature_ports import Entry
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


def test_a_store_that_root_makes_beside_anothers_files_belongs_to_that_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`sudo qguardarr boost` must not take the store from the daemon, which runs as another user."""
    owned: list[tuple[int, int]] = []
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("os.fchown", lambda _descriptor, user, group: owned.append((user, group)))
    store = SqliteStore(tmp_path / "q.db.store")
    store.set_override("a", 1000, NOON)
    store.close()
    assert owned == [(tmp_path.stat().st_uid, tmp_path.stat().st_gid)]
