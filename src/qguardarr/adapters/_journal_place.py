"""Where the journal is, when it has moved: what keeps two files from being it at one time.

A file with a mark is no journal: the mark names the one that is. Each step of a move is all or nothing, and a power cut
after any of them leaves one file that is the journal, and marks that lead to it:

1. A file that holds nothing but a mark, COMING_FROM the old place, is put at the new one.
2. A complete copy with the same mark takes its place; nobody can write to the old one meanwhile.
3. The old one is marked, MOVED_TO the new place. From here on the new one is the journal.
4. The mark of the new one is taken away by whoever opens it first: if the old one has moved to it, the copy is
   complete.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from qguardarr.adapters._sqlite import put_database
from qguardarr.errors import ConfigError, JournalError

MOVED_TO, COMING_FROM = "moved_to", "coming_from"
"""Names of settings in the journal's file; the values are paths."""
_BUSY_TIMEOUT_S: Final = 5.0


class JournalMoved(JournalError):
    """This file is not the journal any more, or not yet."""

    def __init__(self, path: Path, place: Path) -> None:
        super().__init__(
            f"journal {path}: the journal is at {place}. mend: name that file in rollback.database_path, or start "
            "Qguardarr, which brings it here"
        )
        self.place = place


def refuse_if_moved(db: sqlite3.Connection, path: Path) -> None:
    """`JournalMoved` if another file is the journal."""
    for place in _marks(db).values():
        raise JournalMoved(path, Path(place))


def settle_place(db: sqlite3.Connection, path: Path) -> None:
    """At the opening: take the mark away from a copy that has become the journal. `JournalMoved` for any other."""
    origin = _marks(db).get(COMING_FROM)
    if origin is not None and _marks_at(Path(origin)).get(MOVED_TO) == _name(path):
        db.execute("DELETE FROM settings WHERE name = ?", (COMING_FROM,))
    refuse_if_moved(db, path)


def mark_moved(db: sqlite3.Connection, place: Path) -> None:
    """From when this is committed on, the file at `place` is the journal."""
    _mark(db, MOVED_TO, place)


def copy(source: Path, target: Path, migrate: Callable[[sqlite3.Connection], None]) -> None:
    """Steps 1 and 2. `migrate` makes an empty journal of an empty file. Whoever calls it keeps others from writing.

    `ConfigError` if there is a file at `target` that does not lead to `source`. That, `sqlite3.Error`, OSError: the
    journal stays where it is.
    """

    def sign(db: sqlite3.Connection) -> None:
        migrate(db)
        _mark(db, COMING_FROM, source)

    def fill(db: sqlite3.Connection) -> None:
        with closing(_connect(source)) as old:
            old.backup(db)
        _mark(db, COMING_FROM, source)

    is_new = check_target(source, target)
    try:
        if is_new:
            put_database(target, sign)
        put_database(target, fill)
    except BaseException:
        if is_new:
            target.unlink(missing_ok=True)
        raise


def check_target(source: Path, target: Path) -> bool:
    """True if there is no file; False if what is there may be replaced, as it leads to `source`. Else `ConfigError`."""
    leads_back = _name(source) in _marks_at(target).values()
    names = [target.with_name(target.name + suffix) for suffix in ("-journal", "-wal")]
    found = next((name for name in [*([] if leads_back else [target]), *names] if os.path.lexists(name)), None)
    if found is not None:
        raise ConfigError(
            f"rollback.database_path: there is a file already at {found}, so that the journal cannot move there. "
            "mend: choose another path, or move that file away"
        )
    return not leads_back


def _mark(db: sqlite3.Connection, name: str, place: Path) -> None:
    db.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (name, _name(place)))


def _marks(db: sqlite3.Connection) -> dict[str, str]:
    return dict(db.execute("SELECT name, value FROM settings WHERE name IN (?, ?)", (MOVED_TO, COMING_FROM)))


def _marks_at(path: Path) -> dict[str, str]:
    """Of a file that may be none of ours, or none at all."""
    with suppress(sqlite3.Error, OSError), closing(_connect(path)) as db:
        return _marks(db)
    return {}


def _connect(path: Path) -> sqlite3.Connection:
    """To a file that is there."""
    uri = path.absolute().as_uri() + "?mode=rw"
    return sqlite3.connect(uri, uri=True, timeout=_BUSY_TIMEOUT_S, isolation_level=None)


def _name(path: Path) -> str:
    """One for each file, however it is spelled."""
    return str(Path(os.path.realpath(path.parent)) / path.name)
