"""Where the journal is: relative paths start at the configuration; what is elsewhere is brought there."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from qguardarr.adapters import keys
from qguardarr.adapters.sqlite.journal import SqliteJournal
from qguardarr.adapters.sqlite.journal_place import SIGNPOST, in_use
from qguardarr.adapters.sqlite.store import SqliteStore, store_path
from qguardarr.adapters.statusfile import only_daemon, status_path
from qguardarr.app import state_files as files_module
from qguardarr.app.state_files import bring, open_files
from qguardarr.core.model import Change
from qguardarr.errors import Busy, JournalError

pytestmark = pytest.mark.slow

HASHES = [f"{number:040x}" for number in range(40)]
ORIGINALS = {torrent: 1_000_000 + number for number, torrent in enumerate(HASHES)}
LIMIT = 77


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Where an earlier version put it, with all that stands beside it."""
    path = tmp_path / "data" / "qguardarr.db"
    fill(path)
    return path


@pytest.fixture
def new(tmp_path: Path) -> Path:
    return tmp_path / "config" / "data" / "qguardarr.db"


def fill(path: Path, limit: int = LIMIT) -> None:
    with contextlib.closing(SqliteJournal(path, with_copy=False)) as journal:
        journal.applied(journal.intend([Change(h, o, limit, o, "") for h, o in ORIGINALS.items()]))
    with contextlib.closing(SqliteStore(store_path(path))) as store:
        store.set_override("t1", 5, 9e9)
    keys.api_key(path.parent, None)
    status_path(path).write_text('{"journal_line": 40}')


def holds_all(path: Path) -> bool:
    with contextlib.closing(SqliteJournal(path, known_line=40)) as journal:
        touched = journal.touched()
        return journal.recovered == "" and all(
            (touched[h].original, touched[h].written) == (o, (LIMIT,)) for h, o in ORIGINALS.items()
        )


def test_all_of_it_is_brought_to_the_place_that_is_meant_now(old: Path, new: Path) -> None:
    key = keys.api_key(old.parent, None)
    with contextlib.closing(open_files(new, (old,))) as files:
        assert files.path == new
        assert files.store.overrides()["t1"].cap == 5
    assert holds_all(new)
    assert keys.api_key(new.parent, None) == key
    assert status_path(new).exists()
    assert new.stat().st_mode & 0o777 == 0o600
    assert not store_path(old).exists()
    with contextlib.closing(open_files(new, (old,))) as files:  # the signpost is no second journal
        assert files.path == new


def test_what_stands_at_the_old_place_is_taken_for_no_journal_by_any_version(old: Path, new: Path) -> None:
    open_files(new, (old,)).close()
    assert old.read_bytes() == SIGNPOST + f"{new}\n".encode()
    with pytest.raises(sqlite3.DatabaseError), contextlib.closing(sqlite3.connect(old)) as db:
        db.execute("SELECT * FROM settings")


def test_to_another_file_system(old: Path, new: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "link", _refuse)
        open_files(new, (old,)).close()
    assert holds_all(new)


def test_a_running_daemon_keeps_it_where_it_is(old: Path, new: Path) -> None:
    with only_daemon(old), pytest.raises(Busy, match="another Qguardarr"):
        open_files(new, (old,))
    assert holds_all(old)
    assert not new.exists()


def test_two_with_content_are_refused_and_both_are_named(old: Path, new: Path, tmp_path: Path) -> None:
    fill(new, limit=88)
    with pytest.raises(JournalError, match="there are several") as caught:
        open_files(new, (old, tmp_path / "elsewhere.db"))
    assert str(old) in str(caught.value)
    assert str(new) in str(caught.value)


def test_a_journal_that_another_configuration_uses_is_left_alone(old: Path, new: Path) -> None:
    """This version has opened it at that place, which so is meant."""
    SqliteJournal(old).close()
    with contextlib.closing(open_files(new, (old,))) as files:
        assert files.journal.touched() == {}
    assert holds_all(old)


def test_a_journal_in_use_here_asks_for_no_other(old: Path, new: Path) -> None:
    SqliteJournal(new).close()
    assert in_use(new, (old,)) == new
    assert holds_all(old)


def test_a_journal_of_the_earlier_qguardarr_is_refused_and_not_touched(new: Path, tmp_path: Path) -> None:
    earlier = tmp_path / "data" / "rollback.db"
    earlier.parent.mkdir()
    with contextlib.closing(sqlite3.connect(earlier)) as db:
        db.execute("CREATE TABLE rollback_entries (id INTEGER)")
    before = earlier.read_bytes()
    with pytest.raises(JournalError, match=r"earlier Qguardarr.*roll them back first"):
        open_files(new.with_name("rollback.db"), (earlier,))
    assert earlier.read_bytes() == before


def test_a_move_interrupted_before_its_last_step_is_finished_by_whatever_comes_next(old: Path, new: Path) -> None:
    new.parent.mkdir(parents=True)
    os.link(old, new)
    open_files(new, (old,)).close()
    assert old.read_bytes().startswith(SIGNPOST)
    assert holds_all(new)


def mark(path: Path, name: str, place: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (name, str(place)))


def test_a_file_that_an_early_version_moved_is_refused(old: Path, new: Path) -> None:
    shutil.copytree(old.parent, new.parent)
    mark(old, "moved_to", new)
    mark(new, "coming_from", old)
    with pytest.raises(JournalError, match=f"the journal is at {new}"):
        SqliteJournal(old)
    assert holds_all(new)


def test_a_copy_that_an_early_version_never_completed_is_refused(old: Path, new: Path) -> None:
    shutil.copytree(old.parent, new.parent)
    mark(new, "coming_from", old)
    with pytest.raises(JournalError, match=f"the journal is at {old}"):
        SqliteJournal(new)
    assert holds_all(old)


def test_killed_at_any_point_it_is_at_one_of_the_two_places(tmp_path: Path) -> None:
    """SIGKILL before each line of the move that is run, by hard link and by copy, until it is through."""
    for way in ("link", "copy"):
        step = 0
        while True:
            folder = tmp_path / f"{way}{step}"
            old, new = folder / "data" / "qguardarr.db", folder / "config" / "data" / "qguardarr.db"
            shutil.copytree(_filled(tmp_path), old.parent)
            ended = killed_at(step, way, old, new)
            found = in_use(new, (old,))
            with contextlib.closing(SqliteJournal(found, with_copy=found == new)) as journal:  # as a command does
                assert {h: t.original for h, t in journal.touched().items()} == ORIGINALS
            with contextlib.closing(open_files(new, (old,))) as files:
                assert files.store.overrides()["t1"].cap == 5
            assert holds_all(new)
            shutil.rmtree(folder)
            if ended:
                assert step > 5
                break
            step += 1


def _filled(folder: Path) -> Path:
    """A folder as `fill` leaves it, made once."""
    made = folder / "filled"
    if not made.exists():
        fill(made / "qguardarr.db")
    return made


def killed_at(step: int, way: str, old: Path, new: Path) -> bool:
    """Whether the move was through before that step."""
    child = os.fork()
    if child == 0:
        if way == "copy":
            os.link = _refuse
        sys.settrace(kill_before_line(step))
        bring(old, new)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert os.waitstatus_to_exitcode(status) in (0, -signal.SIGKILL)
    return os.waitstatus_to_exitcode(status) == 0


def _refuse(*_: object, **__: object) -> None:
    raise OSError(18, "Invalid cross-device link")


def kill_before_line(step: int) -> Callable[[FrameType, str, Any], Any]:
    """A tracer that kills this process before line number `step` that `files` runs on behalf of `bring`."""
    left = step

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal left
        if frame.f_code.co_filename != files_module.__file__:
            return None
        if event == "line":
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
        return trace

    return trace
