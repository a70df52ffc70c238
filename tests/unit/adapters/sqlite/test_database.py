"""One SQLite file of ours: recognised, migrated, written all or nothing, copied."""

from __future__ import annotations

import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from qguardarr.adapters.sqlite.connections import copy_whole
from qguardarr.adapters.sqlite.database import (
    Database,
    Format,
    WrongFile,
    application_id,
    explain,
    is_damage,
)
from qguardarr.errors import StoreError

NOTES = Format(
    "notebook", 0x51677299, (("CREATE TABLE notes (text TEXT NOT NULL)",),), busy_timeout_s=0.01, error=StoreError
)
NEWER = NOTES._replace(migrations=(*NOTES.migrations, ("ALTER TABLE notes ADD COLUMN at REAL",)))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "notes.db"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    with closing(Database.open(path, NOTES)) as database:
        yield database


def write(database: Database, text: str) -> None:
    with database.transaction() as db:
        db.execute("INSERT INTO notes (text) VALUES (?)", (text,))


def notes(database: Database) -> list[str]:
    return [text for (text,) in database.connection.execute("SELECT text FROM notes")]


def test_file_and_folder_are_made_for_this_user_alone(database: Database, path: Path) -> None:
    write(database, "a")
    files = [path.parent, path, path.with_name(path.name + "-wal")]
    assert [stat.S_IMODE(file.stat().st_mode) for file in files] == [0o700, 0o600, 0o600]
    assert application_id(path) == NOTES.application_id


def test_a_transaction_is_done_as_a_whole_or_not_at_all(database: Database) -> None:
    write(database, "a")
    with pytest.raises(sqlite3.IntegrityError), database.transaction() as db:
        db.executemany("INSERT INTO notes VALUES (?)", [("b",), (None,)])
    assert notes(database) == ["a"]
    assert not database.connection.in_transaction


def test_an_older_file_is_migrated_and_a_newer_one_is_refused(database: Database, path: Path) -> None:
    write(database, "a")
    database.close()
    with closing(Database.open(path, NEWER)) as newer:
        assert newer.connection.execute("SELECT text, at FROM notes").fetchall() == [("a", None)]
    before = path.read_bytes()
    with pytest.raises(WrongFile, match=r"newer Qguardarr \(format 2, this one knows 1\)"):
        Database.open(path, NOTES)
    assert path.read_bytes() == before


def test_the_database_of_another_program_is_refused_and_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "recipes.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE recipes (name TEXT)")
    before = path.read_bytes()
    with pytest.raises(WrongFile, match="another program"):
        Database.open(path, NOTES)
    assert path.read_bytes() == before
    assert application_id(path) == 0


@pytest.mark.parametrize("content", [b"x", b"SQLite format", b"a letter" * 1000])
def test_a_file_that_is_no_database_is_refused_and_not_touched(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "letter"
    path.write_bytes(content)
    with pytest.raises(sqlite3.DatabaseError, match="no notebook of Qguardarr") as refused:
        Database.open(path, NOTES)
    assert is_damage(refused.value)
    assert path.read_bytes() == content
    assert application_id(path) is None


def test_damage_is_found_by_a_check(database: Database, path: Path) -> None:
    for number in range(1000):
        write(database, f"{number} {'x' * 100}")
    database.into_one_file()
    database.close()
    with path.open("r+b") as file:
        file.seek(8192)
        file.write(b"\xff" * 4096)
    with closing(Database.open(path, NOTES)) as damaged, pytest.raises(sqlite3.DatabaseError) as found:
        damaged.check()
    assert is_damage(found.value)


def test_a_lock_of_another_program_is_an_error_with_a_hint(database: Database, path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError) as locked:
            write(database, "a")
    assert explain(locked.value, NOTES).startswith("another program keeps it locked")
    write(database, "a")


def test_hints_of_a_format_replace_the_common_ones() -> None:
    full = sqlite3.OperationalError("database or disk is full")
    full.sqlite_errorcode = sqlite3.SQLITE_FULL
    assert explain(full, NOTES) == "the disk is full; free some space (database or disk is full)"
    own = NOTES._replace(hints={sqlite3.SQLITE_FULL: "burn a page"})
    assert explain(full, own) == "burn a page (database or disk is full)"


def test_a_copy_is_whole_and_in_one_file(database: Database, tmp_path: Path) -> None:
    write(database, "a")
    copy = tmp_path / "copy.db"
    copy_whole(database.connection, copy)
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith("copy")] == ["copy.db"]
    with closing(Database.open(copy, NOTES)) as copied:
        assert notes(copied) == ["a"]


def test_what_can_be_read_is_copied_into_memory_and_the_file_stays(database: Database, path: Path) -> None:
    write(database, "a")
    database.into_one_file()
    with closing(Database.in_memory(path, NEWER)) as copy:
        assert notes(copy) == ["a"]
        copy.connection.execute("DELETE FROM notes")
    assert notes(database) == ["a"]
    with closing(Database.in_memory(None, NOTES)) as empty:
        assert notes(empty) == []


def test_an_empty_file_is_not_taken_for_an_empty_database_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "empty.db"
    path.touch()
    with pytest.raises(WrongFile):
        Database.in_memory(path, NOTES)
