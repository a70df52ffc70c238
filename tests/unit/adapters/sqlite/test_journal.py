"""The journal: what it keeps, which files it refuses, and how it fails."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from qguardarr.adapters.sqlite import journal_upkeep
from qguardarr.adapters.sqlite.journal import SqliteJournal
from qguardarr.adapters.sqlite.journal_reader import JournalReader
from qguardarr.adapters.sqlite.journal_schema import JOURNAL, MIGRATIONS, UNSYNCED_S
from qguardarr.adapters.sqlite.shared_database import SharedDatabase
from qguardarr.core.model import UNLIMITED, Change
from qguardarr.engine.ports import Journal, Touched
from qguardarr.errors import Busy, JournalError

A, B, C = "a" * 40, "b" * 40, "0123456789abcdef0123456789abcdef01234567"
DAY_S = 86_400.0


HOLD_THE_LOCK = """
import sys
from qguardarr.adapters.sqlite.journal import SqliteJournal
with SqliteJournal(sys.argv[1]).exclusive(5):
    print("held", flush=True)
    sys.stdin.read()
"""

TOUCH_ONE = """
import sys
from qguardarr.adapters.sqlite.journal import SqliteJournal
from qguardarr.core.model import Change
SqliteJournal(sys.argv[1]).intend([Change(sys.argv[2] * 40, 1, 2, 3, "")])
"""


class Now:
    """Unix time of the test."""

    def __init__(self) -> None:
        self.at = 1_700_000_000.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def now() -> Now:
    return Now()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal.db"


@pytest.fixture
def journal(path: Path, now: Now) -> Iterator[SqliteJournal]:
    journal = SqliteJournal(path, now=now)
    yield journal
    journal.close()


def change(torrent: str, new: int, *, old: int = 5_000, original: int = 5_000, reason: str = "fair share") -> Change:
    return Change(hash=torrent, old=old, new=new, original=original, reason=reason)


def write(journal: Journal, torrent: str, new: int, *, original: int = 5_000) -> None:
    journal.applied(journal.intend([change(torrent, new, original=original)]))


def test_it_is_the_journal_of_the_ports(journal: SqliteJournal) -> None:
    port: Journal = journal
    assert port.touched() == {}
    assert port.recently_restored() == {}
    assert port.history() == []
    assert port.paused() is None


class TestOriginals:
    def test_the_first_touch_wins(self, journal: SqliteJournal) -> None:
        write(journal, A, 100, original=5_000)
        write(journal, A, 200, original=100)
        assert journal.touched() == {A: Touched(A, 5_000, (200,))}

    def test_the_first_of_two_changes_in_one_batch_wins(self, journal: SqliteJournal) -> None:
        journal.intend([change(A, 100, original=5_000), change(A, 200, original=100)])
        assert journal.touched() == {A: Touched(A, 5_000, (200, 100))}

    def test_originals_survive_a_restart(self, journal: SqliteJournal, path: Path) -> None:
        write(journal, A, 100, original=UNLIMITED)
        journal.close()
        again = SqliteJournal(path)
        assert again.touched() == {A: Touched(A, UNLIMITED, (100,))}
        again.close()

    def test_originals_of_chosen_torrents(self, journal: SqliteJournal) -> None:
        write(journal, A, 100)
        write(journal, B, 200)
        write(journal, B, 300)
        assert journal.touched([B, "0" * 40]) == {B: Touched(B, 5_000, (300,))}
        assert journal.touched([]) == {}

    def test_all_records_are_recalled_one_by_one(self, journal: SqliteJournal) -> None:
        journal.applied(journal.intend([change(A, 100), change(B, 300)]))
        journal.restored([B])
        recalled = list(journal.recall())
        assert [(found.hash, held) for found, held in recalled] == [(B, False), (A, True)]
        assert {found.hash: found for found, held in recalled if held} == journal.touched()
        assert {found.hash: found for found, held in recalled if not held} == journal.recently_restored()

    def test_a_restored_torrent_is_no_longer_touched(self, journal: SqliteJournal) -> None:
        write(journal, A, 100)
        write(journal, B, 100)
        journal.restored([A, C])
        assert set(journal.touched()) == {B}

    def test_after_a_restoring_the_next_touch_captures_anew(self, journal: SqliteJournal) -> None:
        write(journal, A, 100, original=5_000)
        journal.restored([A])
        write(journal, A, 200, original=7_000)
        assert journal.touched() == {A: Touched(A, 7_000, (200,))}

    def test_a_value_of_ours_that_came_back_after_a_restoring_is_not_taken_for_an_original(
        self, journal: SqliteJournal
    ) -> None:
        write(journal, A, 100, original=5_000)
        journal.restored([A])
        journal.intend([change(A, 300, original=100)])  # qBittorrent crashed and lost the restoring
        assert journal.touched()[A].original == 5_000

    def test_a_superseded_value_may_come_back_as_well(self, journal: SqliteJournal, now: Now) -> None:
        write(journal, A, 100, original=5_000)
        now.at += 10
        write(journal, A, 200)
        now.at += 10
        journal.restored([A])
        assert journal.recently_restored() == {A: Touched(A, 5_000, (200, 100))}
        journal.intend([change(A, 300, original=100)])
        assert journal.touched()[A].original == 5_000

    def test_a_value_superseded_long_before_the_restoring_may_be_an_original(
        self, journal: SqliteJournal, now: Now
    ) -> None:
        write(journal, A, 100, original=5_000)
        write(journal, A, 200)
        now.at += UNSYNCED_S + 1
        journal.restored([A])
        assert journal.recently_restored() == {A: Touched(A, 5_000, (200,))}
        journal.intend([change(A, 300, original=100)])
        assert journal.touched()[A].original == 100

    def test_hashes_come_back_as_they_were_given(self, journal: SqliteJournal) -> None:
        odd = ["A" * 40, "t1", "ab cd", "", "abc", C]
        journal.intend([change(torrent, 100) for torrent in odd])
        assert list(journal.touched()) == odd


class TestWritten:
    def test_an_intent_without_a_result_may_be_in_force(self, journal: SqliteJournal) -> None:
        write(journal, A, 100)
        journal.intend([change(A, 200)])
        assert journal.touched()[A].written == (200, 100)

    def test_a_failed_write_may_be_in_force(self, journal: SqliteJournal) -> None:
        write(journal, A, 100)
        journal.failed(journal.intend([change(A, 200)]))
        journal.failed(journal.intend([change(A, 300)]))
        assert journal.touched()[A].written == (300, 200, 100)

    def test_an_applied_write_settles_all_before_it(self, journal: SqliteJournal) -> None:
        journal.failed(journal.intend([change(A, 100)]))
        write(journal, A, 200)
        assert journal.touched()[A].written == (200,)

    def test_a_late_result_does_not_hide_a_newer_intent(self, journal: SqliteJournal) -> None:
        first = journal.intend([change(A, 100)])
        journal.intend([change(A, 200)])
        journal.applied(first)
        assert journal.touched()[A].written == (200, 100)

    def test_a_repeated_value_counts_once_as_the_newest(self, journal: SqliteJournal) -> None:
        write(journal, A, 100)
        write(journal, A, 200)
        journal.intend([change(A, 100)])
        assert journal.touched()[A].written == (100, 200)

    def test_ids_match_the_changes_one_to_one(self, journal: SqliteJournal) -> None:
        ids = journal.intend([change(A, 100), change(B, 200), change(C, 300)])
        assert [(entry.id, entry.hash) for entry in reversed(journal.history())] == list(
            zip(ids, (A, B, C), strict=True)
        )

    def test_no_intent_writes_nothing(self, journal: SqliteJournal) -> None:
        assert list(journal.intend([])) == []
        assert journal.history() == []


class TestWrote:
    def test_all_our_values_in_history_are_known(self, journal: SqliteJournal) -> None:
        write(journal, A, 100)
        journal.failed(journal.intend([change(A, 200)]))
        write(journal, A, 300)
        assert [journal.wrote(A, limit) for limit in (100, 200, 300, 400)] == [True, True, True, False]
        assert not journal.wrote(B, 100)

    def test_a_restored_original_is_not_ours(self, journal: SqliteJournal) -> None:
        write(journal, A, 100, original=UNLIMITED)
        write(journal, A, UNLIMITED)
        assert not journal.wrote(A, UNLIMITED)
        journal.restored([A])
        assert not journal.wrote(A, UNLIMITED)


class TestRenamed:
    def test_a_new_id_takes_over_all_records(self, journal: SqliteJournal) -> None:
        write(journal, A, 100, original=5_000)
        journal.missing([A])
        journal.renamed(A, B)
        assert journal.touched() == {B: Touched(B, 5_000, (100,))}
        assert journal.wrote(B, 100)
        assert [entry.new for entry in journal.history(hash=B)] == [100]
        journal.renamed(A, C)  # which nobody knows any more
        assert set(journal.touched()) == {B}

    def test_a_new_id_taken_for_another_torrent_gives_way(self, journal: SqliteJournal) -> None:
        write(journal, A, 100, original=5_000)
        write(journal, B, 200, original=100)
        journal.renamed(A, B)
        assert journal.touched()[B].original == 5_000
        assert set(journal.touched()[B].written) == {100, 200}
        assert [entry.new for entry in journal.history()] == [200, 100]


def test_the_note_on_other_programs_is_kept(journal: SqliteJournal) -> None:
    assert journal.foreign() == ""
    journal.set_foreign("note")
    assert journal.foreign() == "note"


class TestAdopt:
    def test_the_value_set_by_hand_becomes_the_original(self, journal: SqliteJournal) -> None:
        write(journal, A, 100, original=5_000)
        journal.adopt({A: 900})
        assert journal.touched() == {A: Touched(A, 900, (100,))}
        entry = journal.history()[0]
        assert (entry.status, entry.old, entry.new) == ("adopted", 100, 900)
        journal.adopt({A: 950})
        journal.restored([A])
        lines = [(entry.status, entry.old, entry.new) for entry in journal.history(limit=2)]
        assert lines == [("restored", 950, 950), ("adopted", 900, 950)]

    def test_a_persons_value_is_no_longer_taken_for_ours(self, journal: SqliteJournal) -> None:
        write(journal, A, 900, original=5_000)
        write(journal, A, 5_000, original=5_000)  # released: the person's own value
        journal.adopt({A: 900})
        assert journal.touched() == {A: Touched(A, 900, ())}
        assert not journal.wrote(A, 900)

    def test_a_torrent_that_is_not_ours_is_left_out(self, journal: SqliteJournal) -> None:
        write(journal, A, 100, original=5_000)
        journal.restored([A])
        before = journal.recently_restored()
        journal.adopt({A: 100, B: 900})
        assert journal.touched() == {}
        assert journal.recently_restored() == before
        assert [entry.status for entry in journal.history()] == ["restored", "applied"]


class TestHistory:
    def test_history_is_newest_first(self, journal: SqliteJournal, now: Now) -> None:
        ids = journal.intend([change(A, 100, old=4_000, original=5_000, reason="fair share of t1")])
        journal.applied(ids)
        now.at += 60
        journal.restored([A])
        newest, oldest = journal.history()
        assert (oldest.hash, oldest.old, oldest.new, oldest.status) == (A, 4_000, 100, "applied")
        assert (oldest.reason, oldest.at) == ("fair share of t1", now.at - 60)
        assert (newest.old, newest.new, newest.status, newest.at) == (100, 5_000, "restored", now.at)

    def test_is_paged_without_gaps(self, journal: SqliteJournal) -> None:
        journal.intend([change(A if number % 2 else B, 100 + number) for number in range(25)])
        for torrent, expected in ((None, 25), (A, 12), (C, 0)):
            seen: list[int] = []
            before_id = None
            while page := journal.history(hash=torrent, limit=4, before_id=before_id):
                seen += [entry.id for entry in page]
                before_id = seen[-1]
            assert len(seen) == expected
            assert seen == sorted(set(seen), reverse=True)

    def test_a_limit_of_nothing_or_less_gives_nothing(self, journal: SqliteJournal) -> None:
        write(journal, A, 100)
        assert journal.history(limit=0) == journal.history(limit=-1) == []


class TestPrune:
    def test_old_lines_of_restored_torrents_are_deleted(self, journal: SqliteJournal, now: Now) -> None:
        write(journal, A, 100)
        journal.restored([A])
        now.at += 2 * DAY_S
        write(journal, B, 100)
        assert journal.prune(older_than_s=DAY_S) == 2
        assert [entry.hash for entry in journal.history()] == [B]
        assert journal.recently_restored() == {}

    def test_lines_that_a_rollback_needs_are_kept(self, journal: SqliteJournal, now: Now) -> None:
        write(journal, A, 100)
        write(journal, A, 200)
        journal.failed(journal.intend([change(A, 300)]))
        now.at += 2 * DAY_S
        assert journal.prune(older_than_s=DAY_S) == 1
        assert journal.touched() == {A: Touched(A, 5_000, (300, 200))}
        assert [journal.wrote(A, limit) for limit in (100, 200, 300)] == [False, True, True]

    def test_keeps_a_value_that_was_in_force_within_the_time(self, journal: SqliteJournal, now: Now) -> None:
        write(journal, A, 100)
        now.at += 10 * DAY_S
        write(journal, A, 200)  # 100 was in force until now, and comes back if qBittorrent crashes now
        journal.prune(older_than_s=DAY_S)
        assert journal.wrote(A, 100)

    def test_torrents_missing_at_each_look_are_given_up(self, journal: SqliteJournal, now: Now) -> None:
        write(journal, A, 100)
        write(journal, B, 100)
        journal.missing([A])
        for _ in range(3):
            now.at += DAY_S / 2
            journal.prune(older_than_s=DAY_S)
            assert set(journal.touched()) == {A, B}
            journal.missing([A])
        journal.prune(older_than_s=DAY_S)
        assert set(journal.touched()) == {B}

    def test_a_short_history_gives_up_no_original_sooner(self, journal: SqliteJournal, now: Now) -> None:
        write(journal, A, 100)
        journal.missing([A])
        for kept in (True, True, False):
            now.at += 2 * DAY_S
            journal.missing([A])
            journal.prune(older_than_s=DAY_S, give_up_s=5 * DAY_S)
            assert (A in journal.touched()) is kept

    def test_a_torrent_missing_at_one_look_is_not_given_up(self, journal: SqliteJournal, now: Now) -> None:
        write(journal, A, 100)
        journal.missing([A])
        now.at += 9 * DAY_S
        journal.prune(older_than_s=DAY_S)
        assert set(journal.touched()) == {A}

    def test_a_torrent_that_came_back_is_not_given_up(self, journal: SqliteJournal, now: Now) -> None:
        for torrent in (A, B):
            write(journal, torrent, 100)
        journal.missing([A, B])
        journal.missing([B])  # A is seen
        write(journal, B, 200)  # B is written to, so it is there
        now.at += 2 * DAY_S
        journal.missing([A, B])
        journal.prune(older_than_s=DAY_S)
        assert set(journal.touched()) == {A, B}

    @pytest.mark.slow
    def test_bounds_the_number_of_lines_and_the_size_of_the_file(
        self, path: Path, now: Now, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(journal_upkeep, "MAX_LINES", 1_000)
        journal = SqliteJournal(path, now=now)
        torrents = [f"{number:040x}" for number in range(500)]
        for round_ in range(60):
            journal.applied(journal.intend([change(torrent, 100 + round_) for torrent in torrents]))
            now.at += UNSYNCED_S + 1
        large = path.stat().st_size
        assert journal.prune(older_than_s=DAY_S) == 60 * 500 - 1_000 - 500  # and one for each torrent stays
        journal.close()
        assert path.stat().st_size < large / 5
        again = SqliteJournal(path)
        assert again.touched() == {torrent: Touched(torrent, 5_000, (159,)) for torrent in torrents}
        again.close()

    def test_a_large_backlog_takes_several_calls(
        self, journal: SqliteJournal, now: Now, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(journal_upkeep, "LINES_PER_STEP", 3)
        for limit in range(50):
            write(journal, A, 100 + limit)
        now.at += 2 * DAY_S
        assert [journal.prune(older_than_s=DAY_S) for _ in range(3)] == [30, 19, 0]
        assert journal.touched() == {A: Touched(A, 5_000, (149,))}

    def test_ids_are_never_used_twice(self, journal: SqliteJournal, now: Now) -> None:
        (first,) = journal.intend([change(A, 100)])
        journal.restored([A])
        now.at += 2 * DAY_S
        journal.prune(older_than_s=DAY_S)
        assert journal.history() == []
        assert journal.intend([change(B, 100)])[0] > first + 1


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


class TestFile:
    def test_another_process_does_not_delete_the_log_under_two_handles_of_one(self, tmp_path: Path) -> None:
        """Regression: opening a second handle closed a descriptor of the file, and with it the first one's locks."""
        path = tmp_path / "journal.db"
        with contextlib.ExitStack() as opened:
            journal = opened.enter_context(closing(SqliteJournal(path)))
            journal.set_paused("by us")
            reading = opened.enter_context(closing(JournalReader(SharedDatabase(path, JOURNAL))))
            assert reading.paused() == "by us"
            resume = (
                "import sys; from qguardarr.adapters.sqlite.journal import SqliteJournal as J; j = J(sys.argv[1]); "
            )
            resume += "j.set_paused(None); j.close()"
            subprocess.run([sys.executable, "-c", resume, str(path)], check=True)
            assert path.with_name("journal.db-wal").exists()
            assert (journal.paused(), reading.paused()) == (None, None)

    def test_file_and_folder_are_made_for_this_user_only(self, journal: SqliteJournal, path: Path) -> None:
        write(journal, A, 100)
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        files = list(path.parent.iterdir())
        assert {file.name for file in files} >= {"journal.db", "journal.db-wal"}
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}

    def test_an_empty_file_becomes_a_journal(self, tmp_path: Path) -> None:
        path = tmp_path / "journal.db"
        path.touch()
        SqliteJournal(path).close()
        assert path.stat().st_size > 0

    @pytest.mark.parametrize("content", [b"x", b"not a database\n" * 500, b"SQLite format 3\0" + b"\xff" * 5_000])
    def test_a_file_that_is_no_database_is_refused_and_not_touched(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "journal.db"
        path.write_bytes(content)
        with pytest.raises(JournalError, match=r"journal\.db.*choose another path"):
            SqliteJournal(path)
        assert path.read_bytes() == content
        assert list(tmp_path.iterdir()) == [path]

    def test_the_database_of_another_program_is_refused_and_not_touched(self, tmp_path: Path) -> None:
        path = tmp_path / "journal.db"
        foreign = sqlite3.connect(path)
        foreign.execute("CREATE TABLE rollback_entries (hash TEXT)")
        foreign.close()
        content = path.read_bytes()
        with pytest.raises(JournalError, match="another program"):
            SqliteJournal(path)
        assert path.read_bytes() == content
        assert list(tmp_path.iterdir()) == [path]

    def test_a_journal_from_the_future_is_refused_and_not_touched(self, tmp_path: Path) -> None:
        path = tmp_path / "journal.db"
        journal = SqliteJournal(
            path, format_=JOURNAL._replace(migrations=(*MIGRATIONS, ("CREATE TABLE future (id INTEGER)",)))
        )
        write(journal, A, 100)
        journal.close()
        content = path.read_bytes()
        with pytest.raises(JournalError, match=f"newer Qguardarr \\(format {len(MIGRATIONS) + 1}"):
            SqliteJournal(path)
        assert path.read_bytes() == content

    def test_a_journal_of_version_1_migrates(self, tmp_path: Path, now: Now) -> None:
        path = tmp_path / "journal.db"
        made_by_hand(path)
        journal = SqliteJournal(path, now=now)
        assert journal.touched() == {A: Touched(A, 5_000, (100,)), B: Touched(B, 6_000, ())}
        assert journal.wrote(A, 100)
        assert [entry.reason for entry in journal.history()] == ["fair share"]
        now.at += 2 * DAY_S
        journal.missing([B])
        journal.prune(older_than_s=DAY_S)
        assert set(journal.touched()) == {A}  # B was missing in version 1 already
        journal.close()
        raw = sqlite3.connect(path)
        assert raw.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
        raw.close()

    def test_a_migration_that_fails_changes_nothing(self, tmp_path: Path) -> None:
        path = tmp_path / "journal.db"
        made_by_hand(path)
        broken = (*MIGRATIONS, ("ALTER TABLE torrents ADD COLUMN note TEXT", "no such statement"))
        with pytest.raises(JournalError, match=r"journal\.db"):
            SqliteJournal(path, format_=JOURNAL._replace(migrations=broken))
        raw = sqlite3.connect(path)
        assert raw.execute("PRAGMA user_version").fetchone() == (1,)
        raw.close()
        journal = SqliteJournal(path)
        assert set(journal.touched()) == {A, B}
        journal.close()

    def test_two_processes_may_make_it_at_once(self, tmp_path: Path) -> None:
        arguments = [sys.executable, "-c", TOUCH_ONE, str(tmp_path / "new" / "journal.db")]
        makers = [subprocess.Popen([*arguments, digit]) for digit in "ab"]
        assert [maker.wait() for maker in makers] == [0, 0]
        journal = SqliteJournal(tmp_path / "new" / "journal.db")
        assert set(journal.touched()) == {A, B}
        journal.close()

    def test_writing_stops_when_the_file_is_replaced(self, journal: SqliteJournal, path: Path) -> None:
        write(journal, A, 100)
        path.rename(path.with_name("moved.db"))
        SqliteJournal(path).close()
        with pytest.raises(JournalError, match="restart Qguardarr"):
            journal.intend([change(B, 100)])

    @pytest.mark.parametrize("with_its_log", [False, True])
    def test_a_deleted_file_is_written_anew(self, journal: SqliteJournal, path: Path, with_its_log: bool) -> None:
        reader = JournalReader(SharedDatabase(path, JOURNAL))
        write(journal, A, 100)
        for file in path.parent.glob(path.name + ("*" if with_its_log else "")):
            file.unlink()
        with pytest.raises(JournalError, match="No such file"):
            reader.touched()
        write(journal, B, 200)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        for _ in range(2):  # what has the old file open closes it, and takes nothing of the new one along
            assert reader.touched().keys() == {A, B}
            reader.close()
            other = sqlite3.connect(path)
            assert other.execute("SELECT count(*) FROM torrents").fetchone() == (2,)
            other.close()
            reader = JournalReader(SharedDatabase(path, JOURNAL))
        journal.applied(journal.intend([change(A, 300)]))
        assert [entry.new for entry in reader.history(limit=1)] == [300]
        reader.close()

    def test_a_damaged_file_is_an_error_with_a_hint(self, path: Path) -> None:
        journal = SqliteJournal(path)
        journal.intend([change(f"{number:040x}", 100) for number in range(2_000)])
        journal.close()
        content = bytearray(path.read_bytes())
        content[8192:] = b"\xa5" * (len(content) - 8192)
        path.write_bytes(content)
        path.with_name(path.name + ".originals").unlink()
        with pytest.raises(JournalError, match=r"damaged, and so is its second copy.*qguardarr restore FILE"):
            SqliteJournal(path).touched()

    def test_a_closed_journal_says_so(self, journal: SqliteJournal) -> None:
        journal.close()
        journal.close()
        with pytest.raises(JournalError, match="already closed"):
            journal.touched()

    def test_a_path_below_a_file_is_an_error_with_a_hint(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        for path in (tmp_path / "file" / "journal.db", tmp_path):
            with pytest.raises(JournalError, match=r"journal.*(no folder.* permissions|no regular file)"):
                SqliteJournal(path)

    def test_a_number_that_sqlite_cannot_hold_is_a_journal_error(self, journal: SqliteJournal) -> None:
        with pytest.raises(JournalError):
            journal.intend([change(A, 100), change(B, 2**64)])
        assert journal.touched() == {}

    def test_text_that_sqlite_cannot_hold_is_a_journal_error(self, journal: SqliteJournal) -> None:
        with pytest.raises(JournalError):
            journal.intend([change(A, 100), change(B, 100, reason="\ud800")])
        assert journal.touched() == {}


class TestDiskTrouble:
    """A file that SQLite or the kernel forbids to grow fails as on a full disk."""

    def test_a_full_disk_is_an_error_and_nothing_is_half_written(self, journal: SqliteJournal, path: Path) -> None:
        write(journal, A, 100)
        with journal.file.reading() as raw:
            raw.execute("PRAGMA max_page_count = 1")  # SQLite makes it the present size
        with pytest.raises(JournalError, match="disk is full; free some space"):
            journal.intend([change(f"{number:040x}", 100) for number in range(5_000)])
        assert journal.touched() == {A: Touched(A, 5_000, (100,))}
        raw.execute("PRAGMA max_page_count = 1000000")
        write(journal, B, 100)  # space again: work goes on
        journal.close()
        again = SqliteJournal(path)
        assert set(again.touched()) == {A, B}
        again.close()

    def test_the_kernel_refusing_to_grow_the_file_is_an_error_and_the_file_stays_sound(self, path: Path) -> None:
        journal = SqliteJournal(path)
        write(journal, A, 100)
        journal.close()
        program = """
            import resource, signal, sys
            from qguardarr.adapters.sqlite.journal import SqliteJournal
            from qguardarr.core.model import Change
            from qguardarr.errors import JournalError
            journal = SqliteJournal(sys.argv[1])
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
            try:
                for step in range(100):
                    journal.intend([Change(f"{step * 100 + n:040x}", 5, 6, 5, "") for n in range(100)])
                    print(step)
            except JournalError as error:
                sys.exit(str(error))
        """
        run = python(program, str(path))
        assert run.returncode == 1
        assert f"journal {path}: the disk" in run.stderr
        whole_batches = len(run.stdout.split())
        journal = SqliteJournal(path)
        assert len(journal.touched()) == 1 + 100 * whole_batches
        journal.close()

    def test_a_journal_without_write_permission_is_an_error_with_a_hint(self, tmp_path: Path) -> None:
        path = tmp_path / "journal.db"
        SqliteJournal(path).close()
        program = """
            import os, sys
            from qguardarr.adapters.sqlite.journal import SqliteJournal
            from qguardarr.errors import JournalError
            if os.geteuid() == 0:
                os.seteuid(65534)
            for path in sys.argv[1:]:
                try:
                    SqliteJournal(path)
                except JournalError as error:
                    print(error)
        """
        path.chmod(0o400)
        tmp_path.chmod(0o500)
        try:
            run = python(program, str(path), str(tmp_path / "new.db"), str(tmp_path / "folder" / "new.db"))
        finally:
            tmp_path.chmod(0o700)
        lines = run.stdout.splitlines()
        assert len(lines) == 3, run.stderr
        assert all("permissions" in line and str(tmp_path) in line for line in lines)

    def test_a_writer_that_never_ends_is_an_error_with_a_hint(self, journal: SqliteJournal, path: Path) -> None:
        with journal.file.reading() as raw:
            raw.execute("PRAGMA busy_timeout = 10")
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalError, match="keeps it locked"):
            journal.intend([change(A, 1)])
        assert journal.touched() == {}  # reading goes on
        with pytest.raises(JournalError, match="keeps it locked"):
            journal.set_paused(None)
        other.close()

    def test_a_pause_takes_no_room(self, journal: SqliteJournal, path: Path) -> None:
        with journal.file.reading() as raw:
            raw.execute(f"PRAGMA max_page_count = {raw.execute('PRAGMA page_count').fetchone()[0]}")
        journal.set_paused("x" * 20_000)
        assert journal.paused() == "x" * 20_000
        with closing(SqliteJournal(path)) as again:
            assert again.paused() == "x" * 20_000
        journal.set_paused("short")
        assert journal.paused() == "short"
        journal.set_paused(None)
        assert journal.paused() is None


class TestAtSize:
    def test_ten_thousand_changes_take_well_under_a_second(self, journal: SqliteJournal) -> None:
        changes = [change(f"{number:040x}", 100) for number in range(10_000)]
        started = time.process_time()
        ids = journal.intend(changes)
        journal.applied(ids)
        assert time.process_time() - started < 1.0  # 0.3 s; of this process, since others may be busy
        assert len(journal.touched()) == 10_000

    def test_no_batch_reads_all_of_history(self, journal: SqliteJournal) -> None:
        statements: list[str] = []
        with journal.file.reading() as raw:
            raw.set_trace_callback(statements.append)
        write(journal, A, 100)
        journal.adopt({A: 900})
        journal.wrote(A, 100)
        journal.history(hash=A)
        journal.restored([A])
        raw.set_trace_callback(None)
        plans = [
            str(row[3])
            for statement in set(statements)
            if statement.startswith(("INSERT", "UPDATE", "DELETE", "SELECT", "\n"))
            for row in raw.execute(f"EXPLAIN QUERY PLAN {statement}")
        ]
        assert plans
        assert not [plan for plan in plans if plan.startswith("SCAN changes")]

    def test_several_threads_may_use_one_handle(self, journal: SqliteJournal) -> None:
        failures: list[BaseException] = []

        def work(digit: str) -> None:
            try:
                for limit in range(1, 30):
                    write(journal, digit * 40, limit)
                    journal.touched()
                    journal.generation()
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=(digit,)) for digit in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert {touched.written for touched in journal.touched().values()} == {(29,)}


def made_by_hand(path: Path) -> None:
    """Make a journal of format 1, as the first release wrote it, without the code under test."""
    raw = sqlite3.connect(path)
    raw.executescript(
        f"""
        PRAGMA application_id = {JOURNAL.application_id};
        PRAGMA user_version = 1;
        CREATE TABLE torrents (
            id INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE, original INTEGER NOT NULL, restored_at REAL,
            missing_since REAL);
        CREATE TABLE changes (
            id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, torrent INTEGER NOT NULL, old INTEGER NOT NULL,
            new INTEGER NOT NULL, own INTEGER NOT NULL, status INTEGER NOT NULL, reason TEXT NOT NULL);
        CREATE INDEX changes_by_torrent ON changes (torrent, new, own);
        CREATE TABLE in_force (
            torrent INTEGER NOT NULL, value INTEGER NOT NULL, change INTEGER NOT NULL, superseded_at REAL,
            PRIMARY KEY (torrent, value)) WITHOUT ROWID;
        CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
        INSERT INTO torrents VALUES (1, x'{A}', 5000, NULL, NULL);
        INSERT INTO torrents VALUES (2, x'{B}', 6000, NULL, 1700000000.0);
        INSERT INTO changes VALUES (1, 1700000000.0, 1, 5000, 100, 1, 1, 'fair share');
        INSERT INTO in_force VALUES (1, 100, 1, NULL);
        """
    )
    raw.close()


def python(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
