"""The copy of a journal of an earlier format that is kept before it is brought to the present one."""

from __future__ import annotations

import resource
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from qguardarr.adapters.sqlite.backup import put_back
from qguardarr.adapters.sqlite.connections import connect
from qguardarr.adapters.sqlite.database import migrate
from qguardarr.adapters.sqlite.journal import SqliteJournal
from qguardarr.adapters.sqlite.journal_schema import JOURNAL, MIGRATIONS
from qguardarr.adapters.sqlite.originals import SUFFIX
from qguardarr.adapters.sqlite.side_files import beside
from qguardarr.errors import JournalError
from tests.support.journals import A

EARLIER = len(MIGRATIONS) - 1
OPEN = "import sys; from qguardarr.adapters.sqlite.journal import SqliteJournal; SqliteJournal(sys.argv[1]).close()"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a journal of the format before this one that knows A."""
    path = tmp_path / "journal.db"
    make(path)
    return path


def make(path: Path) -> None:
    with closing(connect(path)) as db:
        migrate(db, JOURNAL._replace(migrations=MIGRATIONS[:EARLIER]))
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("INSERT INTO torrents (hash, original) VALUES (?, 5000)", (bytes.fromhex(A),))
        db.execute("INSERT INTO settings VALUES ('copy', 'e62442ea 7')")


def version(path: Path) -> int:
    with closing(sqlite3.connect(path)) as db:
        found: int = db.execute("PRAGMA user_version").fetchone()[0]
        return found


def copies(path: Path) -> list[str]:
    return sorted(found.name for found in path.parent.glob("*.v*"))


def test_a_whole_copy_for_this_user_alone_is_kept(path: Path) -> None:
    SqliteJournal(path).close()
    kept = beside(path, f".v{EARLIER}")
    assert copies(path) == [kept.name]
    assert (version(path), version(kept)) == (len(MIGRATIONS), EARLIER)
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    with closing(sqlite3.connect(kept)) as db:
        assert db.execute("SELECT hash, original FROM torrents").fetchall() == [(bytes.fromhex(A), 5_000)]
        assert db.execute("PRAGMA journal_mode").fetchone() == ("delete",)


def test_there_is_one_copy_at_a_time(path: Path) -> None:
    older, unfinished = beside(path, ".v0"), beside(path, f".v{EARLIER}.new")
    for left in (older, unfinished, beside(path, f".v{EARLIER}")):
        left.write_bytes(b"left behind")
    beside(path, ".vault").write_bytes(b"a person's")
    SqliteJournal(path).close()
    assert copies(path) == [f"journal.db.v{EARLIER}", "journal.db.vault"]
    assert version(beside(path, f".v{EARLIER}")) == EARLIER


def test_none_is_made_of_a_journal_of_the_present_format_or_a_new_one(path: Path) -> None:
    SqliteJournal(path).close()
    beside(path, f".v{EARLIER}").unlink()
    SqliteJournal(path).close()
    SqliteJournal(path.with_name("new.db")).close()
    assert copies(path) == []


def test_without_room_for_it_nothing_is_changed(path: Path) -> None:
    with closing(connect(path)) as db:
        db.execute(
            """WITH RECURSIVE line (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM line WHERE n < 5000)
            INSERT INTO changes (at, torrent, old, new, own, status, reason) SELECT n, 1, 2, 3, 1, 1, 'why' FROM line"""
        )
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    most = path.stat().st_size // 2
    beside(path, ".v1").write_bytes(b"the earlier copy")
    done = subprocess.run(
        [sys.executable, "-c", OPEN, str(path)],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY)),
    )
    assert done.returncode == 1
    assert f"it has an earlier format ({EARLIER}), and no copy could be made of it" in done.stderr
    assert "hint: free 0." in done.stderr
    assert (version(path), copies(path)) == (EARLIER, ["journal.db.v1"])
    SqliteJournal(path).close()
    assert version(path) == len(MIGRATIONS)


def test_a_rollback_without_room_reads_it_into_memory(path: Path) -> None:
    beside(path, f".v{EARLIER}.new").mkdir()  # so that no copy can be made
    with pytest.raises(JournalError, match="nothing was changed"):
        SqliteJournal(path)
    with closing(SqliteJournal(path, last_resort=True)) as journal:
        assert set(journal.touched()) == {A}
    assert version(path) == EARLIER


def test_the_copy_can_be_restored(path: Path) -> None:
    SqliteJournal(path).close()
    kept = beside(path, f".v{EARLIER}")
    for lost in (path, beside(path, SUFFIX)):
        lost.unlink()
    assert put_back(kept, path).earlier_format == EARLIER
    assert beside(path, SUFFIX).exists()
    with closing(SqliteJournal(path)) as journal:
        assert (set(journal.touched()), journal.recovered) == ({A}, "")
    assert copies(path) == [kept.name]
