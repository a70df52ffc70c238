"""A journal on a full disk, without permission, or locked: an error with a hint, and nothing half written."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import textwrap
from contextlib import closing
from pathlib import Path

import pytest

from qguardarr.adapters.sqlite.journal import SqliteJournal
from qguardarr.engine.ports import Touched
from qguardarr.errors import JournalError
from tests.support.journals import A, B, change, write


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


def python(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
