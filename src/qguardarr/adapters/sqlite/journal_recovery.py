"""Keeps the journal and the second copy of its originals in step, and completes one from the other.

The journal says in its settings which copy is its own, and the revision that it has reached. A copy of a later revision
means that the journal is not the one that was last in use: it was lost, emptied, damaged, or replaced by an older one.
Its originals then come from the copy. The limits that we wrote to these torrents since are unknown (`ANY`).
"""

from __future__ import annotations

import itertools
import sqlite3
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog

from qguardarr.adapters.sqlite.connections import transaction
from qguardarr.adapters.sqlite.database import FAILURES, Database, Format
from qguardarr.adapters.sqlite.journal_schema import (
    ANY,
    COPY,
    HOLD,
    OLDER,
    PAUSED,
    get_setting,
    next_id,
    put_setting,
    to_hash,
    to_key,
    touched_count,
)
from qguardarr.adapters.sqlite.originals import LONGEST_REASON, Line, Mark, Originals, OutOfStep, State, new_name
from qguardarr.errors import JournalError

_PAUSE, _HISTORY = 0, -1
"""Entries in the list of changes that are no torrent's id."""

_CHANGED: Final = """
SELECT 0 AS id, instance, hash, NULL FROM temp.dropped UNION ALL
SELECT id, instance, hash, iif(restored_at IS NULL, original, NULL) FROM temp.changed JOIN main.torrents ON id = torrent
ORDER BY id
"""

log = structlog.get_logger("qguardarr.journal")

# -- in step ----------------------------------------------------------------------------------------------------------


def track_changes(db: sqlite3.Connection) -> None:
    """Have the connection list each change of an original or of the pause, whichever statement makes it."""
    note = "INSERT OR IGNORE INTO changed VALUES"
    db.executescript(
        f"""
        CREATE TEMP TABLE changed (torrent INTEGER PRIMARY KEY);
        CREATE TEMP TABLE dropped (instance, hash, PRIMARY KEY (instance, hash));
        CREATE TEMP TRIGGER touched AFTER INSERT ON main.torrents BEGIN {note} (NEW.id); END;
        CREATE TEMP TRIGGER retouched AFTER UPDATE OF original, restored_at ON main.torrents
            WHEN OLD.original <> NEW.original OR (OLD.restored_at IS NULL) <> (NEW.restored_at IS NULL)
            BEGIN {note} (NEW.id); END;
        CREATE TEMP TRIGGER renamed AFTER UPDATE OF instance, hash ON main.torrents
            WHEN OLD.hash <> NEW.hash OR OLD.instance <> NEW.instance
            BEGIN INSERT OR IGNORE INTO dropped VALUES (OLD.instance, OLD.hash); {note} (NEW.id); END;
        CREATE TEMP TRIGGER removed AFTER DELETE ON main.torrents WHEN OLD.restored_at IS NULL
            BEGIN INSERT OR IGNORE INTO dropped VALUES (OLD.instance, OLD.hash); {note} ({_HISTORY}); END;
        CREATE TEMP TRIGGER pausing AFTER INSERT ON main.settings WHEN NEW.name = '{PAUSED}'
            BEGIN {note} ({_PAUSE}); END;
        CREATE TEMP TRIGGER resuming AFTER DELETE ON main.settings WHEN OLD.name = '{PAUSED}'
            BEGIN {note} ({_PAUSE}); END;
        """  # noqa: S608 # our own literals
    )


def copy_changes(db: sqlite3.Connection, copy: Originals, newest: int, *, sync: bool) -> int | None:
    """Add this transaction's changes of originals and pause to the copy. Return the copy's size before, bytes.

    None if nothing was added, or the copy was not at the journal's revision and was written again. `newest`: number of
    the newest line of history before this transaction, which may yet come to nothing.
    """
    if not db.execute("SELECT EXISTS (SELECT 1 FROM temp.changed)").fetchone()[0]:
        return None
    before = _mark(db)
    if before is None:
        return None
    now = Mark(before.journal, before.revision + 1, newest)
    rows = db.execute(_CHANGED).fetchall()
    lines = (Line(*now, i=instance, h=to_hash(key), o=original) for _, instance, key, original in rows)
    last = Line(*now, p=_paused(db), e=True)
    db.execute("DELETE FROM temp.changed")
    db.execute("DELETE FROM temp.dropped")
    _set_mark(db, now)
    try:
        return copy.append(before, itertools.chain(lines, [last]), sync=sync)
    except OutOfStep:
        log.warning("second_copy_made_again", file=str(copy.path))
        write_copy(db, copy)
        return None


def note_history(db: sqlite3.Connection) -> None:
    """Have this transaction note in the copy how far the history has come."""
    db.execute("INSERT OR IGNORE INTO temp.changed VALUES (?)", (_HISTORY,))


def write_copy(db: sqlite3.Connection, copy: Originals) -> None:
    """Write the copy again, at the journal's present revision. Raises OSError."""
    mark = _mark(db)
    if mark is not None:
        copy.rewrite(mark, _originals(db), _paused(db))


def journal_name(db: sqlite3.Connection) -> str | None:
    """Return the journal's name; None if it was never compared with a copy."""
    mark = _mark(db)
    return None if mark is None else mark.journal


# -- out of step ------------------------------------------------------------------------------------------------------


def reconcile(db: sqlite3.Connection, path: Path, copy: Originals, known_line: int, reason: str = "") -> str:
    """Bring the journal at `path` and its copy in step. Return warnings as a text; empty if there are none.

    `known_line`: number of a line of history that is known to have been written. `reason`: fate of the journal's
    file. Raises `JournalError` if they belong to different journals, `sqlite3.Error`, OSError.
    """
    if _in_step(db, copy, known_line) or (get_setting(db, HOLD) and copy.state() is None):
        return ""
    with transaction(db):
        if _in_step(db, copy, known_line):  # under the lock: another process may have been in the midst of a change
            return ""
        try:
            return _reconcile(db, path, copy, known_line, reason)
        except _CopyUnwritable as error:
            warning = f"the second copy of the originals cannot be written: {error.__cause__}"
            if error.is_needed:
                hint = f"free some space, or repair {copy.path}"
                raise JournalError(warning, place=f"journal {path}", hint=hint) from error
    return warning


class _CopyUnwritable(Exception):
    def __init__(self, *, is_needed: bool) -> None:
        self.is_needed = is_needed


def _reconcile(db: sqlite3.Connection, path: Path, copy: Originals, known_line: int, reason: str) -> str:
    mine, state, newest = _mark(db), copy.state(), next_id(db) - 1
    is_blank = newest == 0 and mine is None
    if mine is not None and state is not None and state.mark.journal != mine.journal:
        if state.originals and (newest or touched_count(db)):
            raise JournalError(
                f"{copy.path} is the second copy of another journal",
                place=f"journal {path}",
                hint="put the two together that belong together; or, if this journal is the right one, move that file "
                "away",
            )
        if not state.originals:
            state = None
        else:
            mine = None
    known_line = max(known_line, state.mark.newest if state else 0)
    is_older = newest < known_line
    warnings = []
    copy_is_ahead = _is_ahead(state, mine)
    if state is not None and copy_is_ahead:
        merged = _merge(db, state)
        put_setting(db, HOLD, None)
        if merged and reason:
            warnings.append(f"{reason}; the originals of {merged} torrents were put back from {copy.path}")
        elif merged:
            warnings.append(f"it lacked changes of {merged} originals, which were put back from {copy.path}")
    if is_older and touched_count(db):
        mark_all_unknown(db)
        warnings.append("it is older than the last one in use, so any limit but the original counts as Qguardarr's own")
    if state is not None and state.damaged:
        warnings.append(f"{state.damaged} lines of {copy.path} were damaged; it was made again")
    elif mine is not None and state is None:
        warnings.append(f"{copy.path} was lost, and made again")
    if is_older:
        put_setting(db, OLDER, "")
        db.execute("DELETE FROM sqlite_sequence WHERE name = 'changes'")
        db.execute("INSERT INTO sqlite_sequence VALUES ('changes', ?)", (known_line,))
    name = mine.journal if mine else state.mark.journal if state else new_name()
    revisions = (mine.revision if mine else 0, state.mark.revision if state else 0)
    _set_mark(db, Mark(name, max(revisions) + (not is_blank or copy_is_ahead), next_id(db) - 1))
    try:
        write_copy(db, copy)
    except OSError as error:
        raise _CopyUnwritable(is_needed=copy_is_ahead or is_older) from error
    return f"journal {path}: {'; '.join(warnings)}" if warnings else ""


def _is_ahead(state: State | None, mine: Mark | None) -> bool:
    """Tell whether the copy knows a later revision of the originals than the journal."""
    return state is not None and (mine is None or state.mark.revision > mine.revision)


def _merge(db: sqlite3.Connection, state: State) -> int:
    """Make the journal's originals and pause those of the copy. Number of torrents whose original was another."""
    rows = db.execute("SELECT id, instance, hash, original, restored_at FROM torrents")
    known = {(instance, to_hash(key)): (id_, original, at) for id_, instance, key, original, at in rows}
    copied = {(instance, name): limit for instance, of in state.originals.items() for name, limit in of.items()}
    merged = 0
    for (instance, name), original in copied.items():
        found = known.get((instance, name))
        if found is not None and found[1:] == (original, None):
            continue
        merged += 1
        id_ = db.execute(
            """INSERT INTO torrents (instance, hash, original) VALUES (?, ?, ?) ON CONFLICT (instance, hash)
            DO UPDATE SET original = excluded.original, restored_at = NULL, missing_since = NULL
            RETURNING id""",
            (instance, to_key(name), original),
        ).fetchone()[0]
        db.execute("INSERT OR REPLACE INTO in_force VALUES (?, ?, ?, NULL)", (id_, ANY, next_id(db) - 1))
    for torrent, (id_, _, restored_at) in known.items():
        if restored_at is None and torrent not in copied:
            merged += 1
            db.execute("UPDATE torrents SET restored_at = ? WHERE id = ?", (time.time(), id_))
    put_setting(db, PAUSED, state.paused)
    return merged


def mark_all_unknown(db: sqlite3.Connection) -> None:
    """Note that we may have written any limit to each torrent whose original is not restored."""
    db.execute(
        "INSERT OR REPLACE INTO in_force SELECT id, ?, ?, NULL FROM torrents WHERE restored_at IS NULL",
        (ANY, next_id(db) - 1),
    )


# -- the last resort --------------------------------------------------------------------------------------------------


def recover_in_memory(path: Path, format_: Format, copy: Originals, known_line: int) -> Database | None:
    """Return all that can be read of journal and copy, without writing anywhere; None if nothing can be read."""
    state = None
    with suppress(OSError):
        state = copy.state()
    try:
        database = Database.in_memory(path, format_)
        touched_count(database.connection)
    except FAILURES:
        if state is None:
            return None
        database = Database.in_memory(None, format_)
    db = database.connection
    mine, newest = _mark(db), next_id(db) - 1
    if state is not None and _is_ahead(state, mine):
        _merge(db, state)
    if newest < max(known_line, state.mark.newest if state else 0):
        mark_all_unknown(db)
    return database


# -- content of both --------------------------------------------------------------------------------------------------


def _in_step(db: sqlite3.Connection, copy: Originals, known_line: int) -> bool:
    mine, state = _mark(db), copy.state()
    if mine is None or state is None or not state.is_sound or state.mark[:2] != mine[:2]:
        return False
    if mine.newest < max(state.mark.newest, known_line) or state.paused != _paused(db):
        return False
    same = 0  # an earlier version, which knows of no copy, may have used the journal meanwhile
    for instance, torrent, original in _originals(db):
        if state.originals.get(instance, {}).get(torrent) != original:
            return False
        same += 1
    return same == state.touched


def _mark(db: sqlite3.Connection) -> Mark | None:
    text = get_setting(db, COPY)
    if text is None:
        return None
    name, reached = text.split()
    return Mark(name, int(reached), next_id(db) - 1)


def _set_mark(db: sqlite3.Connection, mark: Mark) -> None:
    put_setting(db, COPY, f"{mark.journal} {mark.revision}")


def _paused(db: sqlite3.Connection) -> str | None:
    reason = get_setting(db, PAUSED)
    return None if reason is None else reason[:LONGEST_REASON]


def _originals(db: sqlite3.Connection) -> Iterator[tuple[str, str, int]]:
    """Yield instance, hash and original of each torrent that is touched."""
    query = "SELECT instance, hash, original FROM torrents WHERE restored_at IS NULL ORDER BY id"
    for instance, key, original in db.execute(query):
        yield instance, to_hash(key), original
