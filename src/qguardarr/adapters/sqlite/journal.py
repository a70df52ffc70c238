"""The journal in SQLite: originals, every write, and the pause.

Driver: the standard library's `sqlite3`. It is maintained with CPython, costs no dependency and no noticeable import
time, and the engine blocks by design, so an asynchronous wrapper would only add a thread.

What survives what:

- A crash of this program: everything that a method returned from.
- A power cut: originals, intents, adopted values and the pause, which are synced to disk before the method returns
  (one sync for a whole batch; qBittorrent itself syncs once for *each* torrent that we then change). Results
  (applied, failed, restored) may be lost; then more values count as possibly in force, which is the safe side.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from qguardarr.adapters.sqlite import journal_recovery as recovery
from qguardarr.adapters.sqlite import journal_upkeep as upkeep
from qguardarr.adapters.sqlite.journal_file import JournalFile
from qguardarr.adapters.sqlite.journal_schema import (
    ADOPTED,
    APPLIED,
    FAILED,
    INTENDED,
    MIGRATIONS,
    RESTORED,
    STATUSES,
    Migration,
    next_id,
    to_hash,
    to_key,
)
from qguardarr.core.model import Change
from qguardarr.engine.ports import HistoryEntry, Touched
from qguardarr.errors import JournalError

UNSYNCED_S: Final = 600.0
"""How long before a restoring a write of ours counts as one that may come back with it, seconds. qBittorrent loses what
it has not saved when it crashes: one second's worth, but minutes' after a large batch on a slow disk."""


_HASH_DIGITS: Final = 40


class SqliteJournal(JournalFile):
    """`Journal` of `engine.ports` in a file. Usable from several threads; other processes may open the same file."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        max_lines: int = 1_000_000,
        now: Callable[[], float] = time.time,
        migrations: Sequence[Migration] = MIGRATIONS,
        follow: bool = False,
        known_line: int = 0,
        with_copy: bool = True,
        last_resort: bool = False,
    ) -> None:
        """Open or make the journal at `path`; `prune` also trims history to about `max_lines` (100 bytes each).

        Whatever happened to the file, originals come back from the second copy beside it; `recovered` says so.

        Args:
            follow: For reading only; a file that takes the place of this one is read instead.
            known_line: Number of a line that is known to be in it: a file without it is an older one.
            with_copy: Keep the second copy. Not where the journal is about to move.
            last_resort: Open what can be read, even if the disk is too full to open it otherwise.

        Raises `JournalError` if that cannot be; a file that is not ours is left as it is.
        """
        super().__init__(
            Path(path), migrations, follow=follow, known_line=known_line, with_copy=with_copy, last_resort=last_resort
        )
        self._max_lines = max_lines
        self._now = now
        with self._using() as db:
            self.newest_line = next_id(db) - 1
            """Number of the newest line of history, as far as this handle wrote it."""

    def intend(self, changes: Sequence[Change]) -> Sequence[int]:
        """Durably record originals (first touch only) and intents, before the write. Ids, one for each change.

        A torrent that was restored is touched anew: `original` is then what the change says, unless that is one of
        our own last values, which only comes back when qBittorrent crashed and lost the restoring.
        """
        if not changes:
            return ()
        at = self._now()
        with self._writing(sync=True) as db:
            first = next_id(db)
            ids = range(first, first + len(changes))
            keyed = [(line, to_key(change.hash), change) for line, change in zip(ids, changes, strict=True)]
            db.executemany(_TOUCH, ((key, change.original, UNSYNCED_S) for _, key, change in keyed))
            db.executemany(
                "INSERT INTO changes SELECT ?, ?, id, ?, ?, original <> ?, ?, ? FROM torrents WHERE hash = ?",
                (
                    (line, at, change.old, change.new, change.new, INTENDED, change.reason, key)
                    for line, key, change in keyed
                ),
            )
            db.execute(
                """INSERT INTO in_force (torrent, value, change)
                SELECT torrent, new, max(id) FROM changes NOT INDEXED WHERE id >= ? GROUP BY torrent, new
                ON CONFLICT DO UPDATE SET change = excluded.change, superseded_at = NULL""",
                (first,),
            )
        self.newest_line = ids[-1]
        return ids

    def applied(self, ids: Sequence[int]) -> None:
        """The writes were answered with success."""
        if not ids:
            return
        at = self._now()
        with self._writing(sync=False) as db:
            db.executemany("UPDATE changes SET status = ? WHERE id = ?", ((APPLIED, line) for line in ids))
            db.executemany(_SUPERSEDE, ((line, at) for line in ids))
            db.executemany(
                "DELETE FROM in_force WHERE torrent = (SELECT torrent FROM changes WHERE id = ?) AND superseded_at < ?",
                ((line, at - UNSYNCED_S) for line in ids),
            )
        self._merge_log()

    def failed(self, ids: Sequence[int]) -> None:
        """The writes were refused or got no answer; they may be in force all the same."""
        if not ids:
            return
        with self._writing(sync=False) as db:
            db.executemany("UPDATE changes SET status = ? WHERE id = ?", ((FAILED, line) for line in ids))
        self._merge_log()

    def adopt(self, originals: dict[str, int], reason: str = "set by hand") -> None:
        """A person set these limits by hand while we managed the torrents: they are the originals now."""
        if not originals:
            return
        at = self._now()
        find = "SELECT id FROM torrents WHERE hash = ? AND restored_at IS NULL"
        with self._writing(sync=True) as db:
            found = ((db.execute(find, (to_key(name),)).fetchone(), limit) for name, limit in originals.items())
            rows = [(row[0], limit) for row, limit in found if row is not None]
            db.executemany(
                f"""INSERT INTO changes (at, torrent, old, new, own, status, reason)
                SELECT ?3, id, {_BEFORE}, ?2, 0, ?4, ?5 FROM torrents WHERE id = ?1""",  # noqa: S608
                ((torrent, limit, at, ADOPTED, reason) for torrent, limit in rows),
            )
            # The old and the new original are a person's values: should one of them be in force later, then not by us.
            db.executemany(
                """DELETE FROM in_force
                WHERE torrent = ?1 AND value IN (?2, (SELECT original FROM torrents WHERE id = ?1))""",
                rows,
            )
            db.executemany("UPDATE changes SET own = 0 WHERE torrent = ? AND new = ? AND own = 1", rows)
            db.executemany("UPDATE torrents SET original = ?2 WHERE id = ?1", rows)
        self._merge_log()

    def restored(self, hashes: Iterable[str]) -> None:
        """These have their originals back, verified; they are no longer ours."""
        at = self._now()
        keys = [to_key(torrent) for torrent in hashes]
        if not keys:
            return
        with self._writing(sync=False) as db:
            db.executemany(
                f"""INSERT INTO changes (at, torrent, old, new, own, status, reason)
                SELECT ?, id, {_BEFORE}, original, 0, ?, 'original restored'
                FROM torrents WHERE hash = ?""",  # noqa: S608
                ((at, RESTORED, key) for key in keys),
            )
            db.executemany(
                "DELETE FROM in_force WHERE (torrent, value) = (SELECT id, original FROM torrents WHERE hash = ?)",
                ((key,) for key in keys),
            )
            db.executemany(
                "UPDATE torrents SET restored_at = ?, missing_since = NULL WHERE hash = ?", ((at, key) for key in keys)
            )
            if recovery.has_unknown(db):
                for key in keys:
                    recovery.forget_unknown(db, key)
            self._own_marks += 1

    def renamed(self, old: str, new: str) -> None:
        """qBittorrent gave a torrent another id: all that is known of `old` is known of `new` from now on."""
        with self._writing(sync=True) as db:
            (kept,) = db.execute("SELECT id FROM torrents WHERE hash = ?", (to_key(old),)).fetchone() or (None,)
            (other,) = db.execute("SELECT id FROM torrents WHERE hash = ?", (to_key(new),)).fetchone() or (None,)
            if kept is None:
                return
            if other is not None:  # taken for another torrent for a while: the older one's original is the true one
                db.execute("UPDATE changes SET torrent = ? WHERE torrent = ?", (kept, other))
                db.execute("UPDATE OR IGNORE in_force SET torrent = ? WHERE torrent = ?", (kept, other))
                db.execute("DELETE FROM in_force WHERE torrent = ?", (other,))
                db.execute("DELETE FROM torrents WHERE id = ?", (other,))
            db.execute(
                "UPDATE torrents SET hash = ?, missing_since = NULL, missing_until = NULL WHERE id = ?",
                (to_key(new), kept),
            )

    def missing(self, hashes: Collection[str]) -> None:
        """Those of the touched torrents that qBittorrent lacks now; all others are there."""
        at = self._now()
        gone = {to_key(torrent) for torrent in hashes}
        with self._writing(sync=False) as db:
            marked = {key for (key,) in db.execute("SELECT hash FROM torrents WHERE missing_since IS NOT NULL")}
            db.executemany("UPDATE torrents SET missing_since = NULL WHERE hash = ?", ((key,) for key in marked - gone))
            db.executemany(
                """UPDATE torrents SET missing_since = coalesce(missing_since, ?1), missing_until = ?1
                WHERE hash = ?2 AND restored_at IS NULL""",
                ((at, key) for key in gone),
            )

    def touched(self, hashes: Collection[str] | None = None) -> dict[str, Touched]:
        """All that is not restored yet; or of these torrents alone."""
        if hashes is None:
            return {found.hash: found for found in self._each(_TOUCHED.format(which=""))}
        one = _TOUCHED.format(which="AND hash = ?")
        return {found.hash: found for name in hashes for found in self._each(one, to_key(name))}

    def recall(self, hashes: Collection[str] | None = None) -> Iterator[tuple[Touched, bool]]:
        """Yield `recently_restored` (False), then `touched` (True), one by one: there may be tens of thousands.

        Of these torrents alone, if `hashes` are given.
        """
        which = [((), "")] if hashes is None else [((to_key(name),), "AND hash = ?") for name in hashes]
        for keys, condition in which:
            for found in self._each(_RESTORED_LATELY.format(which=condition), UNSYNCED_S, *keys):
                yield found, False
        for keys, condition in which:
            for found in self._each(_TOUCHED.format(which=condition), *keys):
                yield found, True

    def touched_at(self, hashes: Sequence[str]) -> dict[str, float]:
        """When those of these that are touched were first written to, as far as history goes back; Unix time."""
        first = """SELECT at FROM changes WHERE id = (
            SELECT min(id) FROM changes WHERE torrent = (
                SELECT id FROM torrents WHERE hash = ? AND restored_at IS NULL))"""
        with self._using() as db:
            found = {name: db.execute(first, (to_key(name),)).fetchone() for name in hashes}
        return {name: row[0] for name, row in found.items() if row is not None}

    def recently_restored(self) -> dict[str, Touched]:
        """What was restored, as far back as history goes; `written` is what may come back if that got lost."""
        return {found.hash: found for found in self._each(_RESTORED_LATELY.format(which=""), UNSYNCED_S)}

    def wrote(self, hash: str, limit: int) -> bool:  # noqa: A002 # the port's name
        """Whether we ever wrote (or intended) this limit, other than to put the person's own value back."""
        with self._using() as db:
            found = db.execute(
                """SELECT 1 FROM changes WHERE torrent = (SELECT id FROM torrents WHERE hash = ?)
                AND new = ? AND own = 1 LIMIT 1""",
                (to_key(hash), limit),
            ).fetchone()
            return found is not None or recovery.is_any(db, to_key(hash))

    def settle_unknown(self, limits: Mapping[str, int]) -> None:
        """These limits are in force: where what we wrote is not known, this is it."""
        with self._using() as db:
            if not recovery.has_unknown(db):
                return
        with self._writing(sync=False) as db:
            recovery.settle_unknown(db, limits, self._now())

    def history(
        self,
        *,
        hash: str | None = None,  # noqa: A002 # the port's name
        limit: int = 100,
        before_id: int | None = None,
    ) -> list[HistoryEntry]:
        """Newest first."""
        conditions, values = ["1"], list[Any]()
        if hash is not None:
            conditions.append("torrent = (SELECT id FROM torrents WHERE hash = ?)")
            values.append(to_key(hash))
        if before_id is not None:
            conditions.append("changes.id < ?")
            values.append(before_id)
        with self._using() as db:
            rows = db.execute(
                f"""SELECT changes.id, at, hash, old, new, status, reason FROM changes
                JOIN torrents ON torrents.id = torrent
                WHERE {" AND ".join(conditions)} ORDER BY changes.id DESC LIMIT ?""",  # noqa: S608 # our own literals
                (*values, max(0, limit)),
            ).fetchall()
        return [
            HistoryEntry(line, at, to_hash(key), old, new, STATUSES[status], reason)
            for line, at, key, old, new, status, reason in rows
        ]

    def hashes(self, prefix: str, *, limit: int) -> list[str]:
        """The torrents in history whose hash begins with these digits, `limit` of them at most."""
        try:
            least, most = (bytes.fromhex(prefix.ljust(_HASH_DIGITS, digit)) for digit in "0f")
        except ValueError:
            return []
        with self._using() as db:
            query = "SELECT hash FROM torrents WHERE hash BETWEEN ? AND ? ORDER BY hash LIMIT ?"
            return [to_hash(key) for (key,) in db.execute(query, (least, most, limit))]

    def paused(self) -> str | None:
        """Why the guard is paused (a reason in words), or None. Read from disk: another process may have set it."""
        with self._using() as db:
            row = db.execute("SELECT value FROM settings WHERE name = 'paused'").fetchone()
            return self.reserve.paused() if row is None else str(row[0])

    def set_paused(self, reason: str | None) -> None:
        """Pause with a reason, or resume with None. Outlives restarts.

        On a full disk a pause is noted as an empty file.
        """
        try:
            self._set_paused(reason)
        except JournalError:
            if reason is None:
                raise
            with self._using():
                self.reserve.pause(reason)
        else:
            with self._using():
                self.reserve.end_pause()

    def _set_paused(self, reason: str | None) -> None:
        with self._writing(sync=True) as db:
            if reason is None:
                db.execute("DELETE FROM settings WHERE name = 'paused'")
            else:
                db.execute("INSERT OR REPLACE INTO settings VALUES ('paused', ?)", (reason,))
            self._own_marks += 1

    def foreign(self) -> str:
        """What `set_foreign` noted last; empty if it never did."""
        with self._using() as db:
            row = db.execute("SELECT value FROM settings WHERE name = 'foreign'").fetchone()
        return "" if row is None else str(row[0])

    def set_foreign(self, note: str) -> None:
        """Note which limits other programs set. Survives restarts."""
        with self._writing(sync=False) as db:
            db.execute("INSERT OR REPLACE INTO settings VALUES ('foreign', ?)", (note,))

    def configuration(self) -> str:
        """What `set_configuration` noted last; empty if it never did."""
        with self._using() as db:
            row = db.execute("SELECT value FROM settings WHERE name = 'configuration'").fetchone()
        return "" if row is None else str(row[0])

    def set_configuration(self, digest: str) -> None:
        """All limits in force follow from the policy that `digest` stands for. Survives restarts."""
        with self._writing(sync=False) as db:
            db.execute("INSERT OR REPLACE INTO settings VALUES ('configuration', ?)", (digest,))

    def holding(self) -> str:
        """Why nothing may be written, though the journal can be: it stands where another one should be. Else empty."""
        with self._using() as db:
            return recovery.holding(db)

    def has_begun(self) -> bool:
        """Whether anything was ever written with this journal, or `begin_anew` was called."""
        with self._using() as db:
            return recovery.has_begun(db)

    def begin_anew(self) -> None:
        """Limits in force count as originals, whatever they look like."""
        with self._writing(sync=True) as db:
            recovery.begin_anew(db, self._now())

    def make_room(self) -> bool:
        """Give up the reserve on a full disk, so that a restoring can be noted; whether there was one."""
        return self.reserve.give_up()

    def keep_safe(self) -> None:
        """Have the second copy know how far history has come, and the disk room for a rollback. Now and then."""
        self.reserve.keep()
        with self._writing(sync=False) as db:
            recovery.remark(db)
            if self._copy is not None and self._copy.is_bloated(recovery.touched_count(db)):
                recovery.write_copy(db, self._copy)

    def generation(self) -> int:
        """A number that changes when another process or thread may have restored torrents, or paused or resumed."""
        with self._using():
            db = self._in_place()
            others: int = db.execute("PRAGMA data_version").fetchone()[0]
            return others + self._own_marks

    def prune(self, *, older_than_s: float, give_up_s: float | None = None) -> int:
        """Delete history older than that (seconds), and the oldest beyond `max_lines`. Number of lines deleted.

        Kept: the originals of torrents not restored yet, with every value that was in force within that time, which
        a rollback needs to know its own. Torrents that `missing` named for longer than `give_up_s` are given up.
        Bounded to a second or two: a large backlog is worked off over several calls.
        """
        cutoff = self._now() - older_than_s
        missing_s = older_than_s if give_up_s is None else give_up_s
        with self._writing(sync=False) as db:
            upkeep.give_up_missing(db, self._now() - missing_s, missing_s)
            first_kept = upkeep.first_kept_line(db, cutoff, self._max_lines)
            upkeep.find_needed_lines(db, first_kept)
        deleted = 0
        for _ in range(upkeep.STEPS_PER_PRUNE):  # step by step, so that nobody waits long for the file
            with self._writing(sync=False) as db:
                count = upkeep.delete_lines(db, first_kept, cutoff)
            deleted += count
            if count == 0:
                break
        with self._writing(sync=False) as db:
            upkeep.forget_torrents(db, cutoff)
        with self._using() as db:
            upkeep.give_back_space(db)
        self.keep_safe()
        return deleted

    def _each(self, query: str, *values: float | bytes | str) -> Iterator[Touched]:
        with self._using() as db:
            rows = db.execute(query, values)
            for (key, original), group in groupby(rows, key=lambda row: (row[0], row[1])):
                written = tuple(row[2] for row in group if row[2] not in (None, recovery.ANY))
                yield Touched(to_hash(key), original, written)


_TOUCHED: Final = """
SELECT hash, original, value FROM torrents LEFT JOIN in_force ON torrent = id AND superseded_at IS NULL
WHERE restored_at IS NULL {which} ORDER BY id, change DESC
"""

_RESTORED_LATELY: Final = """
SELECT hash, original, value FROM torrents
LEFT JOIN in_force ON torrent = id AND coalesce(superseded_at, restored_at) >= restored_at - ?
WHERE restored_at IS NOT NULL {which} ORDER BY id, change DESC
"""

_BEFORE: Final = """coalesce(
    (SELECT new FROM changes WHERE changes.id = (SELECT max(id) FROM changes WHERE torrent = torrents.id)),
    (SELECT value FROM in_force WHERE torrent = torrents.id ORDER BY change DESC LIMIT 1),
    original
)"""
"""The limit before a line of history: what the line before it says, as far as history goes back."""

_SUPERSEDE: Final = """
UPDATE in_force SET superseded_at = ?2
WHERE torrent = (SELECT torrent FROM changes WHERE id = ?1) AND change < ?1 AND superseded_at IS NULL
"""

_TOUCH: Final = """
INSERT INTO torrents (hash, original) VALUES (?1, ?2)
ON CONFLICT (hash) DO UPDATE SET
    original = CASE WHEN restored_at IS NULL
        OR EXISTS (SELECT 1 FROM in_force WHERE torrent = torrents.id AND value = excluded.original
            AND coalesce(superseded_at, restored_at) >= restored_at - ?3)
        THEN original ELSE excluded.original END,
    restored_at = NULL, missing_since = NULL
WHERE restored_at IS NOT NULL OR missing_since IS NOT NULL
"""
