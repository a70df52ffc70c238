"""Connections to SQLite files, transactions, and copies, whatever is in the file."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from qguardarr.adapters.sqlite.side_files import sync_folder


def connect(path: Path | str, query: str = "", *, timeout_s: float = 5.0) -> sqlite3.Connection:
    """Connect as any program would: no recognising, no migrating. `query`: of a `file:` URI, such as `?mode=ro`."""
    name = Path(path).absolute().as_uri() + query if query else path
    return sqlite3.connect(name, uri=bool(query), timeout=timeout_s, isolation_level=None, check_same_thread=False)


@contextmanager
def transaction(db: sqlite3.Connection, kind: str = "IMMEDIATE") -> Iterator[sqlite3.Connection]:
    """Do all or nothing. `kind`: of lock (sqlite.org/lang_transaction.html)."""
    db.execute(f"BEGIN {kind}")
    try:
        yield db
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")


def copy_whole(source: sqlite3.Connection, target: Path) -> None:
    """Copy a database, whole and durably, into the empty file at `target`. Raises `sqlite3.Error`, OSError."""
    with closing(connect(target)) as copy:
        copy.execute("PRAGMA synchronous = EXTRA")
        source.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE").fetchall()  # all of it in one file
    sync_folder(target.absolute().parent)


def copy_parts(source: sqlite3.Connection, target: sqlite3.Connection, without_rows_of: Collection[str]) -> None:
    """Copy a database to an empty one, except for the rows of some tables."""
    with transaction(source, "DEFERRED"), transaction(target):
        made = source.execute("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rootpage")
        parts = [part for part in made if not part[1].startswith("sqlite_")]
        for _, _, sql in parts:
            target.execute(sql)
        tables = [name for kind, name, _ in parts if kind == "table" and name not in without_rows_of]
        if target.execute("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'").fetchone():
            tables.append("sqlite_sequence")  # last: else each row that is copied would count
            target.execute("DELETE FROM sqlite_sequence")
        for name in tables:
            rows = source.execute(f"SELECT * FROM {name}")  # noqa: S608 # names of our own tables
            places = ", ".join("?" * len(rows.description))
            target.executemany(f"INSERT INTO {name} VALUES ({places})", rows)  # noqa: S608
        for pragma in ("application_id", "user_version"):
            target.execute(f"PRAGMA {pragma} = {source.execute(f'PRAGMA {pragma}').fetchone()[0]}")
