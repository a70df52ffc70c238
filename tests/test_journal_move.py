"""The journal moves while it is in use: with all it holds, all or nothing, and never to be in two places."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from qguardarr.adapters import _journal_place, keys
from qguardarr.adapters._journal_place import JournalMoved
from qguardarr.adapters._sqlite import put_database
from qguardarr.adapters.journal import SqliteJournal
from qguardarr.adapters.statusfile import daemon_runs, status_path
from qguardarr.adapters.store import SqliteStore, store_path
from qguardarr.core.model import Change
from qguardarr.errors import Busy, ConfigError, JournalError, StoreError
from qguardarr.files import Files, open_files
from qguardarr.ports import Touched
from qguardarr.service.outbox import Entry

HASHES = [f"{number:040x}" for number in range(40)]
ORIGINALS = {torrent: 1_000_000 + number for number, torrent in enumerate(HASHES)}
LIMIT = 77


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return tmp_path / "old" / "journal.db"


@pytest.fixture
def new(tmp_path: Path) -> Path:
    return tmp_path / "new" / "below" / "other.db"


@pytest.fixture
def journal(old: Path) -> Iterator[SqliteJournal]:
    made = SqliteJournal(old)
    fill(made)
    yield made
    made.close()


@pytest.fixture
def files(old: Path) -> Iterator[Files]:
    made = Files(old)
    fill(made.journal)
    made.store.set_override("t1", 5, 9e9)
    made.store.outbox_put(Entry(HASHES[0], 1.0))
    yield made
    made.close()


def fill(journal: SqliteJournal) -> None:
    journal.applied(journal.intend([Change(h, o, LIMIT, o, "") for h, o in ORIGINALS.items()]))
    journal.set_paused("a test")


def holds_all(journal: SqliteJournal) -> bool:
    touched = {h: Touched(h, original, (LIMIT,)) for h, original in ORIGINALS.items()}
    return journal.touched() == touched and journal.paused() == "a test" and len(journal.history()) == len(HASHES)


def move(journal: SqliteJournal, path: Path) -> None:
    with journal.exclusive(1.0):
        journal.move_to(path)


class TestJournal:
    def test_all_of_it_goes_along_and_the_work_goes_on(self, journal: SqliteJournal, new: Path) -> None:
        ids = list(journal.intend([Change(HASHES[0], LIMIT, 88, LIMIT, "")]))
        move(journal, new)
        journal.applied(ids)
        assert journal.touched()[HASHES[0]] == Touched(HASHES[0], ORIGINALS[HASHES[0]], (88,))
        assert journal.wrote(HASHES[0], LIMIT)
        assert list(journal.intend([Change(HASHES[1], LIMIT, 99, LIMIT, "")])) == [ids[0] + 1]
        journal.close()
        again = SqliteJournal(new)
        assert again.touched()[HASHES[1]].written == (99, LIMIT)
        again.close()

    def test_the_new_file_is_private_and_alone(self, journal: SqliteJournal, new: Path) -> None:
        move(journal, new)
        assert stat.S_IMODE(new.stat().st_mode) == 0o600
        journal.close()
        assert [path.name for path in new.parent.iterdir()] == [new.name]

    def test_the_generation_changes_so_that_the_engine_looks_anew(self, journal: SqliteJournal, new: Path) -> None:
        before = journal.generation()
        move(journal, new)
        assert journal.generation() != before

    def test_the_old_file_says_where_to(self, journal: SqliteJournal, old: Path, new: Path) -> None:
        move(journal, new)
        with pytest.raises(JournalMoved, match=rf"{old}: the journal is at {new}\. mend: .*rollback\.database_path"):
            SqliteJournal(old)

    def test_while_it_is_copied_the_new_place_says_where_it_is(
        self, journal: SqliteJournal, old: Path, new: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Else a start in this moment would begin anew there."""
        steps: list[Path] = []

        def put(path: Path, fill: Callable[[sqlite3.Connection], None]) -> None:
            if steps:
                with pytest.raises(JournalMoved, match=str(old)):
                    SqliteJournal(new)
            steps.append(path)
            put_database(path, fill)

        monkeypatch.setattr(_journal_place, "put_database", put)
        move(journal, new)
        assert steps == [new, new]

    def test_who_has_the_old_file_open_can_read_but_not_write(
        self, journal: SqliteJournal, old: Path, new: Path
    ) -> None:
        other = SqliteJournal(old)
        move(journal, new)
        assert holds_all(other)
        with pytest.raises(JournalMoved):
            other.set_paused(None)
        with pytest.raises(JournalMoved), other.exclusive(0):
            pass
        assert journal.paused() == "a test"
        other.go_on_at(new)
        other.set_paused("later")
        assert journal.paused() == "later"
        other.close()

    def test_a_write_that_waits_for_the_move_is_not_lost(self, journal: SqliteJournal, old: Path, new: Path) -> None:
        """Of another process, that is: it is refused. One of ours waits, and goes to the new file."""
        blocker = sqlite3.connect(old, isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        threads = [threading.Thread(target=move, args=(journal, new))]
        threads += [threading.Thread(target=journal.set_paused, args=("meanwhile",))]
        for thread in threads:
            thread.start()
        blocker.execute("ROLLBACK")
        for thread in threads:
            thread.join()
        assert journal.paused() == "meanwhile"
        blocker.close()

    def test_who_waits_for_the_lock_of_the_old_file_is_told_to_try_again(
        self, journal: SqliteJournal, new: Path
    ) -> None:
        told: list[Exception] = []

        def wait() -> None:
            waiting.set()
            try:
                with journal.exclusive(20.0):
                    pass
            except Busy as error:
                told.append(error)

        waiting = threading.Event()
        with journal.exclusive(0):
            thread = threading.Thread(target=wait)
            thread.start()
            waiting.wait()
            journal.move_to(new)
        thread.join()
        with journal.exclusive(0):  # of the new file
            pass
        assert len(told) <= 1  # if it came too late, it has taken the new lock

    def test_it_can_move_on_and_come_back(self, journal: SqliteJournal, old: Path, new: Path) -> None:
        for path in (new, old, new, old):
            move(journal, path)
            assert holds_all(journal)
        journal.close()
        again = SqliteJournal(old)
        assert holds_all(again)
        again.close()

    def test_it_does_not_come_back_to_where_it_was_long_ago(
        self, journal: SqliteJournal, old: Path, new: Path, tmp_path: Path
    ) -> None:
        """The file there leads to another one than this."""
        move(journal, new)
        move(journal, tmp_path / "third.db")
        with pytest.raises(ConfigError, match="there is a file already"):
            move(journal, old)

    @pytest.mark.parametrize("kind", ["text", "empty", "folder", "link", "journal", "foreign", "log"])
    def test_a_file_that_is_there_is_left_alone(self, journal: SqliteJournal, new: Path, kind: str) -> None:
        new.parent.mkdir(parents=True)
        found = new
        match kind:
            case "text":
                new.write_text("mine")
            case "empty":
                new.touch()
            case "folder":
                new.mkdir()
            case "link":
                new.symlink_to(new.with_name("nowhere"))
            case "journal":
                SqliteJournal(new).close()
            case "foreign":
                with contextlib.closing(sqlite3.connect(new)) as db:
                    db.execute("CREATE TABLE settings (name, value)")
            case _:
                found = new.with_name(new.name + "-wal")
                found.write_bytes(b"of whom?")
        before = {path.name: path.is_file() and path.read_bytes() for path in new.parent.iterdir()}
        with pytest.raises(ConfigError, match=rf"there is a file already at {found}.*mend: choose another path"):
            move(journal, new)
        assert {path.name: path.is_file() and path.read_bytes() for path in new.parent.iterdir()} == before
        journal.set_paused("a test")
        assert holds_all(journal)

    def test_it_does_not_move_onto_itself(self, journal: SqliteJournal, old: Path) -> None:
        link = old.with_name("link.db")
        link.symlink_to(old)
        hard = old.with_name("hard.db")
        hard.hardlink_to(old)
        for path in (old, link, hard):
            with pytest.raises(ConfigError):
                move(journal, path)
        journal.set_paused("a test")
        assert holds_all(journal)

    def test_a_folder_that_cannot_be(self, journal: SqliteJournal, old: Path, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(JournalError, match=r"journal .*/file/x\.db: check the path"):
            move(journal, tmp_path / "file" / "x.db")
        journal.set_paused("a test")
        journal.close()
        again = SqliteJournal(old)
        assert holds_all(again)
        again.close()

    def test_a_disk_that_is_full_half_way_changes_nothing(self, old: Path, new: Path) -> None:
        """Files may not grow beyond 400 kB: the journal has 2 MB already, the copy never gets there."""
        journal = SqliteJournal(old)
        fill(journal)
        for _ in range(10):
            journal.failed(journal.intend([Change(h, LIMIT, LIMIT, LIMIT, "x" * 5000) for h in HASHES]))
        journal.close()
        run(f"out_of_room {old} {new}")
        assert list(new.parent.iterdir()) == []
        again = SqliteJournal(old)
        assert again.touched()[HASHES[3]].original == ORIGINALS[HASHES[3]]
        again.set_paused(None)
        again.close()

    def test_a_new_place_that_goes_away_is_told_and_nothing_new_is_made(
        self, journal: SqliteJournal, new: Path
    ) -> None:
        move(journal, new)
        away = new.rename(new.with_name("away"))
        with pytest.raises(JournalError, match="No such file"):
            journal.touched()
        assert not new.exists()
        away.rename(new)
        assert holds_all(journal)


class TestFiles:
    def test_all_that_stands_beside_the_journal_goes_along(self, files: Files, old: Path, new: Path) -> None:
        key = keys.api_key(old.parent, None)
        with files.key_for(new):
            files.move_to(new)
        assert (files.path, files.status_path) == (new, status_path(new))
        assert holds_all(files.journal)
        assert holds_all(files.reading)
        assert files.store.overrides()["t1"].cap == 5
        assert [entry.info_hash for entry in files.store.outbox(9)] == [HASHES[0]]
        assert keys.api_key(new.parent, None) == key
        assert stat.S_IMODE((new.parent / keys.FILE_NAME).stat().st_mode) == 0o600
        assert daemon_runs(new)
        assert not daemon_runs(old)
        assert {path.name for path in old.parent.iterdir()} == {"journal.db", "journal.db.lock"}
        files.journal.set_paused(None)
        assert files.reading.paused() is None

    def test_within_a_folder_the_key_stays(self, files: Files, old: Path) -> None:
        key = keys.api_key(old.parent, None)
        with files.key_for(old.with_name("other.db")):
            files.move_to(old.with_name("other.db"))
        assert keys.api_key(old.parent, None) == key

    def test_a_key_that_others_use_stays_too(self, files: Files, old: Path, new: Path) -> None:
        key = keys.api_key(old.parent, None)
        with contextlib.closing(Files(old.with_name("neighbour.db"))), files.key_for(new):
            files.move_to(new)
        assert keys.api_key(old.parent, None) == key == keys.api_key(new.parent, None)

    def test_a_key_that_is_there_counts(self, files: Files, old: Path, new: Path) -> None:
        keys.api_key(old.parent, None)
        there = keys.api_key(new.parent, None)
        with files.key_for(new):
            files.move_to(new)
        assert keys.api_key(new.parent, None) == there

    def test_another_spelling_is_no_other_place(self, files: Files, old: Path, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to(old.parent)
        files.move_to(tmp_path / "link" / old.name)
        files.move_to(tmp_path / "old" / ".." / "old" / old.name)
        assert holds_all(files.journal)
        assert daemon_runs(old)

    def test_what_is_refused_leaves_no_trace(self, files: Files, old: Path, new: Path) -> None:
        keys.api_key(old.parent, None)
        new.parent.mkdir(parents=True)
        store_path(new).mkdir()  # so that the store cannot be copied
        with pytest.raises(StoreError), files.key_for(new):
            files.move_to(new)
        assert list(new.parent.iterdir()) == [store_path(new)]
        self._is_at(files, old)

    def test_a_journal_that_cannot_be_copied_leaves_no_trace(
        self, files: Files, old: Path, new: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        keys.api_key(old.parent, None)

        def fail(_self: SqliteJournal, _path: Path) -> None:
            raise JournalError("the disk is full")

        monkeypatch.setattr(SqliteJournal, "move_to", fail)
        with pytest.raises(JournalError), files.key_for(new):
            files.move_to(new)
        assert list(new.parent.iterdir()) == []
        self._is_at(files, old)

    def test_a_rollback_that_is_at_work_is_waited_for_and_then_it_is_refused(
        self, files: Files, old: Path, new: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("qguardarr.files.LOCK_TIMEOUT_S", 0.0)
        with contextlib.closing(SqliteJournal(old)) as other, other.exclusive(0), pytest.raises(Busy):
            files.move_to(new)
        self._is_at(files, old)

    def test_a_damaged_store_does_not_hold_the_journal_back(self, files: Files, new: Path) -> None:
        files.store.close()
        store_path(files.path).write_bytes(b"no database")
        files.store = SqliteStore(store_path(files.path))
        files.move_to(new)
        assert files.store.overrides() == {}
        assert holds_all(files.journal)

    def test_another_daemon_at_the_new_place_is_left_alone(self, files: Files, old: Path, new: Path) -> None:
        with contextlib.closing(Files(new)) as other, pytest.raises(ConfigError):
            files.move_to(new)
        assert holds_all(files.journal)
        other.close()
        self._is_at(files, old)

    def test_a_start_with_an_old_configuration_brings_it_back(self, files: Files, old: Path, new: Path) -> None:
        """Instead of beginning anew with an empty one, whose originals would be our own limits."""
        files.move_to(new)
        files.close()
        with contextlib.closing(open_files(old)) as again:
            assert again.path == old
            assert holds_all(again.journal)
            assert again.store.overrides()["t1"].cap == 5
        with pytest.raises(JournalMoved):
            SqliteJournal(new)

    def test_a_start_with_an_old_configuration_beside_a_running_daemon_is_refused(
        self, files: Files, old: Path, new: Path
    ) -> None:
        files.move_to(new)
        with pytest.raises(Busy):
            open_files(old)
        assert holds_all(files.journal)

    def test_a_start_whose_journal_is_gone_says_so(self, files: Files, old: Path, new: Path) -> None:
        files.move_to(new)
        files.close()
        new.unlink()
        with pytest.raises(JournalError, match=rf"the journal was at {new}, and that file is gone\. mend: bring it"):
            open_files(old)
        assert not new.exists()

    @staticmethod
    def _is_at(files: Files, old: Path) -> None:
        assert files.path == old
        assert daemon_runs(old)
        assert holds_all(files.journal)
        files.journal.set_paused("a test")
        assert files.store.overrides()["t1"].cap == 5
        assert (old.parent / keys.FILE_NAME).exists() or not list(old.parent.glob("api*"))


@pytest.mark.slow
def test_killed_at_any_point_it_is_whole_at_the_place_that_a_start_looks_at(tmp_path: Path) -> None:
    points = int(run(f"killed {tmp_path}").splitlines()[-1])
    assert points > 60


# -- in a process of its own ------------------------------------------------------------------------------------------


def run(work: str) -> str:
    done = subprocess.run([sys.executable, __file__, *work.split()], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def out_of_room(old: Path, new: Path) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
    journal = SqliteJournal(old)
    with pytest.raises(JournalError, match=str(new)):
        move(journal, new)
    journal.set_paused("still there")


def killed(folder: Path) -> None:
    """Die before the first, the second … call that changes a file, start with the one or the other configuration."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    template = folder / "template"
    old, new = folder / "state" / "old.db", folder / "state" / "new" / "new.db"
    with contextlib.closing(Files(template / old.name)) as files:
        fill(files.journal)
        files.store.set_override("t1", 5, 9e9)
        key = keys.api_key(template, None)
    for configured in (new, old):
        point = 0
        while True:
            point += 1
            shutil.rmtree(old.parent, ignore_errors=True)
            shutil.copytree(template, old.parent)
            child = os.fork()
            if child == 0:
                _move_and_die(old, new, point)
            died = os.WIFSIGNALED(os.waitpid(child, 0)[1])
            if configured is new and not new.exists():
                continue  # it has not begun: nothing is known of the new place yet
            _check(configured, new if configured is old else old, key)
            if not died:
                break
    print(point)


def _check(configured: Path, other: Path, key: str) -> None:
    with contextlib.closing(open_files(configured)) as files:
        assert holds_all(files.journal), configured
        assert holds_all(files.reading)
        assert files.store.overrides()["t1"].cap == 5
        assert keys.api_key(configured.parent, None) == key
    if other.exists():
        try:
            SqliteJournal(other)
        except JournalMoved:
            return
        raise AssertionError(f"{other} is a journal, too")


def _move_and_die(old: Path, new: Path, point: int) -> None:
    files = Files(old)
    calls = 0

    def count(_frame: FrameType, event: str, function: Any) -> None:
        nonlocal calls
        if event == "c_call" and function.__name__ in _CHANGING:
            calls += 1
            if calls == point:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(count)
    with files.key_for(new):
        files.move_to(new)
    sys.setprofile(None)
    os._exit(0)


_CHANGING = {
    "backup", "close", "connect", "execute", "flock", "fsync", "link", "mkdir", "open", "rename", "replace", "unlink",
    "write",
}  # fmt: skip


if __name__ == "__main__":
    works: dict[str, Callable[..., None]] = {"out_of_room": out_of_room, "killed": killed}
    works[sys.argv[1]](*map(Path, sys.argv[2:]))
