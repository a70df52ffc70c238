"""Files that the journal makes, migrates or refuses, and files that change while it is in use."""

from __future__ import annotations

import contextlib
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from qguardarr.adapters.sqlite.journal import SqliteJournal
from qguardarr.adapters.sqlite.journal_preview import PreviewJournal
from qguardarr.adapters.sqlite.journal_reader import JournalReader
from qguardarr.adapters.sqlite.journal_schema import JOURNAL, MIGRATIONS
from qguardarr.adapters.sqlite.shared_database import SharedDatabase
from qguardarr.engine.ports import Touched
from qguardarr.errors import JournalError
from tests.support.journals import DAY_S, A, B, Now, change, write

TOUCH_ONE = """
import sys
from qguardarr.adapters.sqlite.journal import SqliteJournal
from qguardarr.core.model import Change
SqliteJournal(sys.argv[1]).intend([Change(sys.argv[2] * 40, 1, 2, 3, "")])
"""


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

    def test_a_copy_in_memory_knows_the_originals_and_leaves_the_file_alone(
        self, journal: SqliteJournal, path: Path
    ) -> None:
        write(journal, A, 1_000)  # in the log, beside the file
        journal.set_paused("a holiday")
        before = journal.touched(), journal.history(), journal.paused()
        with closing(PreviewJournal(path, journal)) as copy:
            assert (copy.touched(), copy.paused(), copy.has_begun(), copy.newest_line) == (*before[::2], True, 1)
            assert copy.history() == []
            copy.adopt({A: 7_000})
            assert [entry.id for entry in copy.history()] == [2]
            copy.restored([A])
            assert copy.touched() == {}
        assert (journal.touched(), journal.history(), journal.paused()) == before

    def test_a_copy_in_memory_knows_every_limit_that_was_written(self, journal: SqliteJournal, path: Path) -> None:
        write(journal, A, 1_000)
        write(journal, A, 2_000)
        with closing(PreviewJournal(path, journal)) as copy:
            assert [copy.wrote(A, limit) for limit in (1_000, 2_000, 3_000)] == [True, True, False]
            assert not copy.wrote(B, 1_000)
            copy.renamed(A, B)
            assert copy.wrote(B, 1_000)
            copy.adopt({B: 1_000})
            assert [copy.wrote(B, limit) for limit in (1_000, 2_000)] == [False, True]
        assert journal.wrote(A, 1_000)

    def test_damage_is_looked_for_when_that_is_asked_for_and_told_when_it_is_met(
        self, journal: SqliteJournal, path: Path
    ) -> None:
        journal.applied(journal.intend([change(A, limit) for limit in range(1, 2_000)]))
        journal.close()
        content = bytearray(path.read_bytes())
        with closing(sqlite3.connect(path)) as db:
            (root,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'changes'").fetchone()
            (size,) = db.execute("PRAGMA page_size").fetchone()
        content[(root - 1) * size : root * size] = b"\xff" * size
        path.write_bytes(content)
        with closing(SqliteJournal(path, check=False)) as unchecked:
            assert set(unchecked.touched()) == {A}
            with pytest.raises(JournalError, match=r"journal\.db: it is damaged \(.*hint: restart Qguardarr"):
                unchecked.history()
        with closing(SqliteJournal(path)) as checked:
            assert set(checked.touched()) == {A}
            assert "it was damaged; the originals of 1 torrents were put back" in checked.recovered

    @pytest.mark.parametrize("content", [None, b""])
    def test_a_copy_in_memory_of_nothing_is_empty(self, tmp_path: Path, content: bytes | None) -> None:
        path = tmp_path / "journal.db"
        if content is not None:
            path.write_bytes(content)
        with closing(PreviewJournal(path, None)) as copy:
            assert (copy.touched(), copy.has_begun(), copy.generation()) == ({}, False, copy.generation())
        assert [found.name for found in tmp_path.iterdir()] == ([] if content is None else ["journal.db"])

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
    def test_a_deleted_file_is_written_again(self, journal: SqliteJournal, path: Path, with_its_log: bool) -> None:
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
