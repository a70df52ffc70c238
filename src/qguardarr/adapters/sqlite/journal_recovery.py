"""Keeps the journal and the second copy of its originals in step, and puts back into one what only the other knows.

The journal says in its settings which copy is its own, and the revision that it has reached. A copy of a later revision
means that the journal is not the one that was last in use: it was lost, emptied, damaged, or replaced by an older one.
Its originals then come from the copy. What was written to these torrents since is not known, so any limit but the
original counts as ours (`ANY`), until a read tells which it is.
"""

from __future__ import annotations

import itertools
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

import structlog

from qguardarr.adapters.sqlite.database import transaction
from qguardarr.adapters.sqlite.journal_schema import APPLIED, Migration, migrate, next_id, to_hash, to_key
from qguardarr.adapters.sqlite.originals import LONGEST_REASON, Line, Mark, Originals, State, new_name
from qguardarr.errors import JournalError

ANY: Final = -1
"""Among the values that may be in force by our hand: all of them."""
_COPY, _HOLD, _OLDER, _PAUSED = "copy", "hold", "older", "paused"
_PAUSE, _REMARK = 0, -1
"""In the list of what changed, beside ids of torrents."""
_FOUND: Final = "found in force after the journal was lost"

log = structlog.get_logger("qguardarr.journal")


# -- in step ----------------------------------------------------------------------------------------------------------


def watch(db: sqlite3.Connection) -> None:
    """Have the connection list what changes of the originals and the pause, by whatever statement."""
    again = "INSERT OR IGNORE INTO changed VALUES"
    db.executescript(
        f"""
        CREATE TEMP TABLE changed (torrent INTEGER PRIMARY KEY);
        CREATE TEMP TABLE dropped (hash PRIMARY KEY);
        CREATE TEMP TRIGGER touched AFTER INSERT ON main.torrents BEGIN {again} (NEW.id); END;
        CREATE TEMP TRIGGER retouched AFTER UPDATE OF original, restored_at ON main.torrents
            WHEN OLD.original <> NEW.original OR (OLD.restored_at IS NULL) <> (NEW.restored_at IS NULL)
            BEGIN {again} (NEW.id); END;
        CREATE TEMP TRIGGER renamed AFTER UPDATE OF hash ON main.torrents WHEN OLD.hash <> NEW.hash
            BEGIN INSERT OR IGNORE INTO dropped VALUES (OLD.hash); {again} (NEW.id); END;
        CREATE TEMP TRIGGER removed AFTER DELETE ON main.torrents WHEN OLD.restored_at IS NULL
            BEGIN INSERT OR IGNORE INTO dropped VALUES (OLD.hash); {again} ({_REMARK}); END;
        CREATE TEMP TRIGGER pausing AFTER INSERT ON main.settings WHEN NEW.name = '{_PAUSED}'
            BEGIN {again} ({_PAUSE}); END;
        CREATE TEMP TRIGGER resuming AFTER DELETE ON main.settings WHEN OLD.name = '{_PAUSED}'
            BEGIN {again} ({_PAUSE}); END;
        """  # noqa: S608 # our own literals
    )


def revision(db: sqlite3.Connection, newest: int) -> tuple[Mark, Iterator[Line]] | None:
    """The next revision, if this transaction changed originals or the pause: what the copy was at, and its new lines.

    `newest`: number of the newest line of history before this transaction, which may yet come to nothing.
    """
    if not db.execute("SELECT EXISTS (SELECT 1 FROM temp.changed)").fetchone()[0]:
        return None
    before = _mark(db)
    if before is None:
        return None
    now = Mark(before.journal, before.revision + 1, newest)
    changed = db.execute(
        "SELECT hash, original, restored_at FROM temp.changed JOIN main.torrents ON id = torrent ORDER BY id"
    ).fetchall()
    dropped = db.execute("SELECT hash FROM temp.dropped").fetchall()
    lines = itertools.chain(
        (Line(*now, h=to_hash(key)) for (key,) in dropped),
        (Line(*now, h=to_hash(key), o=original if at is None else None) for key, original, at in changed),
    )
    last = Line(*now, p=_paused(db), e=True)
    db.execute("DELETE FROM temp.changed")
    db.execute("DELETE FROM temp.dropped")
    _set_mark(db, now)
    return before, itertools.chain(lines, [last])


def remark(db: sqlite3.Connection) -> None:
    """Have this transaction note in the copy how far the history has come."""
    db.execute("INSERT OR IGNORE INTO temp.changed VALUES (?)", (_REMARK,))


def write_copy(db: sqlite3.Connection, copy: Originals) -> None:
    """Write the copy anew, at the journal's present revision."""
    mark = _mark(db)
    if mark is not None:
        copy.rewrite(mark, _originals(db), _paused(db))


def name_of(db: sqlite3.Connection) -> str | None:
    """Name of the journal; None if it was never held against a copy."""
    mark = _mark(db)
    return None if mark is None else mark.journal


# -- out of step ------------------------------------------------------------------------------------------------------


def reconcile(db: sqlite3.Connection, path: Path, copy: Originals, known_line: int, reason: str = "") -> str:
    """Bring journal and copy in step. What was wrong, in words; empty if nothing was.

    `known_line`: number of a line of history that is known to have been written. `reason`: what became of the journal's
    file. Raises `JournalError` if they belong to different journals, `sqlite3.Error`, OSError.
    """
    if _in_step(db, copy, known_line) or (holding(db) and copy.state() is None):
        return ""
    with transaction(db):
        if _in_step(db, copy, known_line):  # under the lock: another process may have been in the midst of a change
            return ""
        try:
            return _reconcile(db, path, copy, known_line, reason)
        except _CopyUnwritable as error:
            problem = f"the second copy of the originals cannot be written: {error.__cause__}"
            if error.needed:
                raise JournalError(f"journal {path}: {problem}. hint: free some space, or mend {copy.path}") from error
    return problem


class _CopyUnwritable(Exception):
    def __init__(self, *, needed: bool) -> None:
        self.needed = needed


def _reconcile(db: sqlite3.Connection, path: Path, copy: Originals, known_line: int, reason: str) -> str:
    mine, state, newest = _mark(db), copy.state(), next_id(db) - 1
    blank = newest == 0 and mine is None
    if mine is not None and state is not None and state.mark.journal != mine.journal:
        if state.originals and (newest or touched_count(db)):
            raise JournalError(
                f"journal {path}: {copy.path} is the second copy of another journal. hint: put the two together that "
                "belong together; or, if this journal is the right one, move that file away"
            )
        if not state.originals:
            state = None
        else:
            mine = None
    is_ahead = state is not None and (mine is None or state.mark.revision > mine.revision)
    is_older = newest < max(known_line, state.mark.newest if state else 0)
    said = []
    if is_ahead:
        assert state is not None
        merged = _merge(db, state)
        db.execute("DELETE FROM settings WHERE name = ?", (_HOLD,))
        if merged and reason:
            said.append(f"{reason}; the originals of {merged} torrents were put back from {copy.path}")
        elif merged:
            said.append(f"it lacked changes of {merged} originals, which were put back from {copy.path}")
    if is_older and touched_count(db):
        _forget_written(db)
        said.append("it is older than the last one in use, so any limit but the original counts as Qguardarr's own")
    if state is not None and state.damaged:
        said.append(f"{state.damaged} lines of {copy.path} were damaged; it was made anew")
    elif mine is not None and state is None:
        said.append(f"{copy.path} was lost, and made anew")
    if is_older:
        db.execute("INSERT OR REPLACE INTO settings VALUES (?, '')", (_OLDER,))
        db.execute("DELETE FROM sqlite_sequence WHERE name = 'changes'")
        ahead = max(known_line, state.mark.newest if state else 0)
        db.execute("INSERT INTO sqlite_sequence VALUES ('changes', ?)", (ahead,))
    name = mine.journal if mine else state.mark.journal if state else new_name()
    revisions = (mine.revision if mine else 0, state.mark.revision if state else 0)
    _set_mark(db, Mark(name, max(revisions) + (not blank or is_ahead), next_id(db) - 1))
    try:
        write_copy(db, copy)
    except OSError as error:
        raise _CopyUnwritable(needed=is_ahead or is_older) from error
    return f"journal {path}: {'; '.join(said)}" if said else ""


def _merge(db: sqlite3.Connection, state: State) -> int:
    """Make the journal's originals those of the copy; how many were others."""
    known: dict[str, tuple[int, int, float | None]] = {
        to_hash(key): (id_, original, restored_at)
        for id_, key, original, restored_at in db.execute("SELECT id, hash, original, restored_at FROM torrents")
    }
    merged = 0
    for torrent, original in state.originals.items():
        found = known.get(torrent)
        if found is not None and found[1:] == (original, None):
            continue
        merged += 1
        id_ = db.execute(
            """INSERT INTO torrents (hash, original) VALUES (?, ?)
            ON CONFLICT (hash) DO UPDATE SET original = excluded.original, restored_at = NULL, missing_since = NULL
            RETURNING id""",
            (to_key(torrent), original),
        ).fetchone()[0]
        _mark_any(db, "id = ?", id_)
    for torrent, (id_, _, restored_at) in known.items():
        if restored_at is None and torrent not in state.originals:
            merged += 1
            db.execute("UPDATE torrents SET restored_at = ? WHERE id = ?", (time.time(), id_))
    if state.paused is None:
        db.execute("DELETE FROM settings WHERE name = ?", (_PAUSED,))
    else:
        db.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (_PAUSED, state.paused))
    return merged


def _forget_written(db: sqlite3.Connection) -> None:
    _mark_any(db, "restored_at IS NULL AND ? IS NULL", None)


def _mark_any(db: sqlite3.Connection, which: str, value: int | None) -> None:
    db.execute(
        f"""INSERT INTO in_force (torrent, value, change) SELECT id, {ANY}, ? FROM torrents WHERE {which}
        ON CONFLICT DO UPDATE SET change = excluded.change, superseded_at = NULL""",  # noqa: S608 # our own literals
        (next_id(db) - 1, value),
    )


def forget_written(db: sqlite3.Connection) -> None:
    """Of all torrents that are touched, any limit but the original counts as ours from now on."""
    _forget_written(db)


def is_any(db: sqlite3.Connection, key: bytes | str) -> bool:
    """Whether what we wrote to this torrent is unknown."""
    row = db.execute(
        """SELECT 1 FROM in_force WHERE torrent = (SELECT id FROM torrents WHERE hash = ? AND restored_at IS NULL)
        AND value = ? AND superseded_at IS NULL""",
        (key, ANY),
    ).fetchone()
    return row is not None


def has_unknown(db: sqlite3.Connection) -> bool:
    """Whether that is so of any torrent."""
    return bool(db.execute("SELECT EXISTS (SELECT 1 FROM in_force WHERE value = ?)", (ANY,)).fetchone()[0])


def forget_unknown(db: sqlite3.Connection, key: bytes | str) -> None:
    """This torrent has its original back, so whatever was in force by our hand is not any more."""
    db.execute(
        "DELETE FROM in_force WHERE torrent = (SELECT id FROM torrents WHERE hash = ?) AND value = ?", (key, ANY)
    )


def settle_unknown(db: sqlite3.Connection, limits: Mapping[str, int], at: float) -> None:
    """These limits are in force: where what we wrote is unknown, this is it."""
    rows = db.execute(
        f"SELECT id, hash, original FROM torrents JOIN in_force ON torrent = id "  # noqa: S608
        f"WHERE value = {ANY} AND restored_at IS NULL"
    ).fetchall()
    for id_, key, original in rows:
        limit = limits.get(to_hash(key))
        if limit is None:
            continue
        db.execute("DELETE FROM in_force WHERE torrent = ? AND value = ?", (id_, ANY))
        if limit == original:
            continue
        line = db.execute(
            "INSERT INTO changes (at, torrent, old, new, own, status, reason) VALUES (?, ?, ?, ?, 1, ?, ?)",
            (at, id_, original, limit, APPLIED, _FOUND),
        ).lastrowid
        db.execute("INSERT OR REPLACE INTO in_force VALUES (?, ?, ?, NULL)", (id_, limit, line))


# -- a journal that should be there -----------------------------------------------------------------------------------


def hold(db: sqlite3.Connection, reason: str) -> None:
    """Note in an empty journal that it stands where another should be."""
    if not has_begun(db) and _mark(db) is None:
        db.execute("INSERT OR IGNORE INTO settings VALUES (?, ?)", (_HOLD, reason))


def holding(db: sqlite3.Connection) -> str:
    """Why the journal must not be used; empty if it may."""
    return _setting(db, _HOLD) or ""


def begin_anew(db: sqlite3.Connection, at: float) -> None:
    """A person said that limits in force count as originals."""
    db.execute("DELETE FROM settings WHERE name IN (?, ?)", (_HOLD, _OLDER))
    db.execute("INSERT OR REPLACE INTO settings VALUES ('begun', ?)", (str(at),))


def has_begun(db: sqlite3.Connection) -> bool:
    """Whether anything was ever written with this journal, or a person said that nothing was before.

    False for an older one in the place of the last one in use: torrents that came since are unknown to it."""
    return _setting(db, _OLDER) is None and (next_id(db) > 1 or _setting(db, "begun") is not None)


# -- the last resort --------------------------------------------------------------------------------------------------


def in_memory(
    path: Path, migrations: Sequence[Migration], copy: Originals, known_line: int
) -> sqlite3.Connection | None:
    """All that can be read of journal and copy without writing anywhere; None if nothing can."""
    state = None
    with suppress(OSError):
        state = copy.state()
    db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    try:
        uri = path.absolute().as_uri() + "?mode=ro&immutable=1"  # without its log, for which there may be no room
        with closing(sqlite3.connect(uri, uri=True)) as source:
            source.backup(db)
        touched_count(db)
    except (sqlite3.Error, OSError):
        db.close()
        if state is None:
            return None
        db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    migrate(db, path, migrations)
    mine, newest = _mark(db), next_id(db) - 1
    if state is not None and (mine is None or state.mark.revision > mine.revision):
        _merge(db, state)
    if newest < max(known_line, state.mark.newest if state else 0):
        _forget_written(db)
    return db


# -- what is kept in settings -----------------------------------------------------------------------------------------


def _in_step(db: sqlite3.Connection, copy: Originals, known_line: int) -> bool:
    mine, mark = _mark(db), copy.mark()
    if mine is None or mark is None:
        return False
    if mark[:2] != mine[:2] or next_id(db) - 1 < max(mark.newest, known_line):
        return False
    state = copy.state()  # an earlier version, which knows of no copy, may have used the journal meanwhile
    return state is not None and state.originals == dict(_originals(db)) and state.paused == _paused(db)


def _mark(db: sqlite3.Connection) -> Mark | None:
    text = _setting(db, _COPY)
    if text is None:
        return None
    name, reached = text.split()
    return Mark(name, int(reached), next_id(db) - 1)


def _set_mark(db: sqlite3.Connection, mark: Mark) -> None:
    db.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (_COPY, f"{mark.journal} {mark.revision}"))


def _setting(db: sqlite3.Connection, name: str) -> str | None:
    row = db.execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchone()
    return None if row is None else str(row[0])


def _paused(db: sqlite3.Connection) -> str | None:
    reason = _setting(db, _PAUSED)
    return None if reason is None else reason[:LONGEST_REASON]


def _originals(db: sqlite3.Connection) -> Iterator[tuple[str, int]]:
    for key, original in db.execute("SELECT hash, original FROM torrents WHERE restored_at IS NULL ORDER BY id"):
        yield to_hash(key), original


def touched_count(db: sqlite3.Connection) -> int:
    """Torrents that have an original to restore."""
    count: int = db.execute("SELECT count(*) FROM torrents WHERE restored_at IS NULL").fetchone()[0]
    return count
