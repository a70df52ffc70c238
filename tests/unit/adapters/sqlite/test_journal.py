"""The journal as the engine uses it: settings, changes by other processes, and the lock."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from qguardarr.adapters.sqlite.journal import SqliteJournal
from qguardarr.engine.ports import Journal
from qguardarr.errors import Busy, JournalError
from tests.support.journals import A, change, write

HOLD_THE_LOCK = """
import sys
from qguardarr.adapters.sqlite.journal import SqliteJournal
with SqliteJournal(sys.argv[1]).exclusive(5):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_it_is_the_journal_of_the_ports(journal: SqliteJournal) -> None:
    port: Journal = journal
    assert port.touched() == {}
    assert port.recently_restored() == {}
    assert port.history() == []
    assert port.paused() is None


def test_the_note_on_other_programs_is_kept(journal: SqliteJournal) -> None:
    assert journal.foreign() == ""
    journal.set_foreign("note")
    assert journal.foreign() == "note"


class TestPause:
    def test_a_pause_survives_a_restart_and_ends_on_resume(self, journal: SqliteJournal, path: Path) -> None:
        journal.set_paused("rolled back")
        journal.close()
        again = SqliteJournal(path)
        assert again.paused() == "rolled back"
        again.set_paused(None)
        assert again.paused() is None
        again.close()

    def test_is_seen_at_once_by_others(self, journal: SqliteJournal, path: Path) -> None:
        other = SqliteJournal(path)
        assert journal.paused() is None
        other.set_paused("by hand")
        assert journal.paused() == "by hand"
        other.close()


class TestGeneration:
    def test_changes_when_another_process_restores_or_pauses(self, journal: SqliteJournal, path: Path) -> None:
        write(journal, A, 100)
        other = SqliteJournal(path)
        seen = [journal.generation()]
        other.restored([A])
        seen.append(journal.generation())
        other.set_paused("rolled back")
        seen.append(journal.generation())
        journal.restored([A])  # another thread, through the same handle
        seen.append(journal.generation())
        assert len(set(seen)) == 4
        other.close()

    def test_stays_while_only_this_handle_writes(self, journal: SqliteJournal) -> None:
        before = journal.generation()
        write(journal, A, 100)
        journal.failed(journal.intend([change(A, 200)]))
        assert journal.generation() == before


class TestLock:
    def test_excludes_another_process_and_is_released_by_its_death(self, journal: SqliteJournal, path: Path) -> None:
        holder = subprocess.Popen(
            [
                sys.executable,
                "-c",
                HOLD_THE_LOCK,
                str(path),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert holder.stdout is not None
        assert holder.stdin is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(Busy, match="try again"), journal.exclusive(0.05):
            pass
        holder.kill()
        holder.wait()
        holder.stdout.close()
        holder.stdin.close()
        with journal.exclusive(0):
            pass

    def test_a_thread_that_holds_it_is_refused_and_not_left_waiting_for_itself(self, journal: SqliteJournal) -> None:
        with journal.exclusive(0), pytest.raises(JournalError, match="already holds"), journal.exclusive(60):
            pass
        with journal.exclusive(0):
            pass

    def test_threads_of_one_process_exclude_each_other(self, journal: SqliteJournal) -> None:
        inside = 0
        worst = 0

        def work() -> None:
            nonlocal inside, worst
            for _ in range(5):
                with journal.exclusive(30):
                    inside += 1
                    worst = max(worst, inside)
                    journal.paused()
                    inside -= 1

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert worst == 1

    def test_is_released_when_the_work_fails(self, journal: SqliteJournal) -> None:
        with pytest.raises(ZeroDivisionError), journal.exclusive(0):
            raise ZeroDivisionError
        with journal.exclusive(0):
            pass

    def test_a_deleted_lock_file_excludes_all_the_same(self, journal: SqliteJournal, path: Path) -> None:
        lock = path.with_name("journal.db.lock")
        with journal.exclusive(0):
            pass
        lock.unlink()
        with journal.exclusive(0), pytest.raises(Busy), SqliteJournal(path).exclusive(0):
            pass

    def test_a_lock_that_cannot_be_made_is_a_journal_error(self, journal: SqliteJournal, path: Path) -> None:
        path.with_name("journal.db.lock").unlink()
        path.with_name("journal.db.lock").mkdir()
        with pytest.raises(JournalError, match=r"journal\.db\.lock"), journal.exclusive(0):
            pass
