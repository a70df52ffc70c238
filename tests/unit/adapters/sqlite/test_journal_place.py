"""A journal that an earlier version left at a path relative to the working directory is never ignored."""

from __future__ import annotations

import contextlib
import re
import sqlite3
import subprocess
from pathlib import Path

import pytest

from qguardarr.adapters import keys
from qguardarr.adapters.sqlite.journal import SqliteJournal
from qguardarr.adapters.sqlite.journal_place import refuse_left_behind
from qguardarr.adapters.sqlite.originals import SUFFIX
from qguardarr.adapters.sqlite.store import SqliteStore, store_path
from qguardarr.app.state_files import Files
from qguardarr.core.model import Change
from qguardarr.errors import JournalError

TORRENT = "ab" * 20
ORIGINAL, LIMIT = 1_000_000, 77


@pytest.fixture
def former(tmp_path: Path) -> Path:
    """A journal of an earlier version, with the store and the key; their folder is called `old data`."""
    path = tmp_path / "old data" / "qguardarr.db"
    fill(path)
    return path


@pytest.fixture
def configured(tmp_path: Path) -> Path:
    """Where the journal belongs; nothing is there yet."""
    return tmp_path / "config" / "data" / "qguardarr.db"


def fill(path: Path) -> None:
    with contextlib.closing(SqliteJournal(path)) as journal:
        journal.applied(journal.intend([Change(TORRENT, ORIGINAL, LIMIT, ORIGINAL, "")]))
        journal.set_paused("by hand")
    path.with_name(path.name + SUFFIX).unlink()
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("DELETE FROM settings WHERE name = 'copy'")  # earlier versions had no second copy
    with contextlib.closing(SqliteStore(store_path(path))) as store:
        store.set_override("t1", 5, 9e9)
    keys.api_key(path.parent, None)


def holds_all(path: Path) -> bool:
    with contextlib.closing(SqliteJournal(path)) as journal:
        touched = journal.touched()[TORRENT]
        return (touched.original, touched.written, journal.paused()) == (ORIGINAL, (LIMIT,), "by hand")


def test_a_start_is_refused_and_the_advice_brings_all_of_it(former: Path, configured: Path) -> None:
    key = keys.api_key(former.parent, None)
    with pytest.raises(JournalError, match=f"that {configured} is meant") as refused:
        Files(configured, (former,))
    assert not configured.exists()
    command = re.search(r"`(mkdir [^`]+)`", str(refused.value))
    assert command is not None
    subprocess.run(command[1], shell=True, check=True)
    with contextlib.closing(Files(configured, (former,))) as files:
        assert files.store.overrides()["t1"].cap == 5
        assert files.journal.recovered == ""
    assert holds_all(configured)
    assert keys.api_key(configured.parent, None) == key
    assert list(former.parent.iterdir()) == []


def test_naming_the_place_is_the_other_way(former: Path) -> None:
    Files(former).close()
    assert holds_all(former)


def test_one_at_each_place_is_refused_and_both_are_named(former: Path, configured: Path) -> None:
    fill(configured)
    with pytest.raises(JournalError, match="there is another one") as refused:
        refuse_left_behind(configured, (configured.with_name("nothing.db"), former))
    assert str(former) in str(refused.value)
    assert str(configured) in str(refused.value)


def test_a_journal_that_another_configuration_uses_is_left_alone(former: Path, configured: Path) -> None:
    SqliteJournal(former).close()
    with contextlib.closing(Files(configured, (former,))) as files:
        assert files.journal.touched() == {}
    assert holds_all(former)


def test_a_journal_in_use_here_asks_for_no_other(former: Path, configured: Path) -> None:
    SqliteJournal(configured).close()
    refuse_left_behind(configured, (former,))


def test_the_same_place_by_another_name_is_no_former_one(former: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(former.parent)
    refuse_left_behind(tmp_path / "link" / former.name, (former,))


@pytest.mark.parametrize("content", [b"", b"a note", None])
def test_what_is_no_journal_is_ignored_there(configured: Path, tmp_path: Path, content: bytes | None) -> None:
    place = tmp_path / "qguardarr.db"
    if content is not None:
        place.write_bytes(content)
    refuse_left_behind(configured, (place,))


def test_a_place_that_cannot_be_looked_at_counts_unless_there_is_a_journal_here(
    configured: Path, tmp_path: Path
) -> None:
    (tmp_path / "qguardarr.db").mkdir()
    with pytest.raises(JournalError, match="no regular file"):
        refuse_left_behind(configured, (tmp_path / "qguardarr.db",))
    fill(configured)
    refuse_left_behind(configured, (tmp_path / "qguardarr.db",))


def test_a_journal_of_the_earlier_qguardarr_is_refused_and_not_touched(configured: Path, tmp_path: Path) -> None:
    earlier = tmp_path / "rollback.db"
    with contextlib.closing(sqlite3.connect(earlier)) as db:
        db.execute("CREATE TABLE rollback_entries (id INTEGER)")
    before = earlier.read_bytes()
    with pytest.raises(JournalError, match=r"earlier Qguardarr.*roll them back first"):
        Files(configured, (earlier,))
    assert earlier.read_bytes() == before
