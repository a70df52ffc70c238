"""Notes to a journal: which limits were intended, written, restored, or set by a person."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final

from qguardarr.adapters.sqlite.journal_file import JournalFile
from qguardarr.adapters.sqlite.journal_reader import JournalReader
from qguardarr.adapters.sqlite.journal_schema import (
    ADOPTED,
    ANY,
    APPLIED,
    CONFIGURATION,
    FAILED,
    FOREIGN,
    IN_USE,
    INTENDED,
    RESTORED,
    UNSYNCED_S,
    get_setting,
    next_id,
    own_setting,
    put_setting,
    to_hash,
    to_key,
)
from qguardarr.core.model import Change

_ID: Final = "SELECT id FROM torrents WHERE instance = ?1 AND hash = ?2"

_TOUCH: Final = """
INSERT INTO torrents (instance, hash, original) VALUES (?1, ?2, ?3)
ON CONFLICT (instance, hash) DO UPDATE SET
    original = CASE WHEN restored_at IS NULL
        OR EXISTS (SELECT 1 FROM in_force WHERE torrent = torrents.id AND value = excluded.original
            AND coalesce(superseded_at, restored_at) >= restored_at - ?4)
        THEN original ELSE excluded.original END,
    restored_at = NULL, missing_since = NULL
WHERE restored_at IS NOT NULL OR missing_since IS NOT NULL
"""

_SUPERSEDE: Final = """
UPDATE in_force SET superseded_at = ?2
WHERE torrent = (SELECT torrent FROM changes WHERE id = ?1) AND change < ?1 AND superseded_at IS NULL
"""

_FORGET: Final = """
DELETE FROM in_force WHERE torrent = (SELECT torrent FROM changes WHERE id = ?1) AND superseded_at < ?2
"""

_LIMIT_BEFORE: Final = """coalesce(
    (SELECT new FROM changes WHERE changes.id = (SELECT max(id) FROM changes WHERE torrent = torrents.id)),
    (SELECT value FROM in_force WHERE torrent = torrents.id ORDER BY change DESC LIMIT 1),
    original
)"""
"""The limit before a new line of history: the one of the line before it, as far as history goes back."""


class JournalWriter(JournalReader):
    """The part of `Journal` of `engine.ports`, which describes the methods, that is about torrents."""

    def __init__(self, file: JournalFile, now: Callable[[], float]) -> None:
        """`now`: Unix time, seconds."""
        super().__init__(file)
        self.file: JournalFile = file
        self._now = now

    def intend(self, changes: Sequence[Change]) -> Sequence[int]:
        """Durably record originals (first touch only) and intents, before the write. Ids, one for each change.

        A torrent that was restored is touched again: `original` is then what the change says, unless that is one of
        our own last values, which only comes back when qBittorrent crashed and lost the restoring.
        """
        if not changes:
            return ()
        at, keyed = self._now(), [((change.instance, to_key(change.hash)), change) for change in changes]
        with self.file.writing(sync=True) as db:
            first = next_id(db)
            ids = range(first, first + len(changes))
            db.executemany(_TOUCH, ((*key, change.original, UNSYNCED_S) for key, change in keyed))
            db.executemany(
                """INSERT INTO changes
                SELECT ?, ?, id, ?, ?, original <> ?, ?, ? FROM torrents WHERE instance = ? AND hash = ?""",
                (
                    (line, at, change.old, change.new, change.new, INTENDED, change.reason, *key)
                    for line, (key, change) in zip(ids, keyed, strict=True)
                ),
            )
            db.execute(
                """INSERT INTO in_force (torrent, value, change)
                SELECT torrent, new, max(id) FROM changes NOT INDEXED WHERE id >= ? GROUP BY torrent, new
                ON CONFLICT DO UPDATE SET change = excluded.change, superseded_at = NULL""",
                (first,),
            )
        self.file.newest_line = ids[-1]
        return ids

    def applied(self, ids: Sequence[int]) -> None:
        """All values intended before these are superseded."""
        at = self._now()
        self._note(ids, APPLIED, (_SUPERSEDE, at), (_FORGET, at - UNSYNCED_S))

    def failed(self, ids: Sequence[int]) -> None:
        self._note(ids, FAILED)

    def adopt(self, originals: dict[str, int], reason: str = "set by hand") -> None:
        if not originals:
            return
        at, keys = self._now(), ((self.instance, to_key(name)) for name in originals)
        with self.file.writing(sync=True) as db:
            found = (db.execute(f"{_ID} AND restored_at IS NULL", key).fetchone() for key in keys)
            rows = [(row[0], limit) for row, limit in zip(found, originals.values(), strict=True) if row is not None]
            db.executemany(
                f"""INSERT INTO changes (at, torrent, old, new, own, status, reason)
                SELECT ?3, id, {_LIMIT_BEFORE}, ?2, 0, ?4, ?5 FROM torrents WHERE id = ?1""",  # noqa: S608 # our own literals
                ((*row, at, ADOPTED, reason) for row in rows),
            )
            # Old and new original are a person's values: should one of them be in force later, then not by us.
            db.executemany(
                """DELETE FROM in_force
                WHERE torrent = ?1 AND value IN (?2, (SELECT original FROM torrents WHERE id = ?1))""",
                rows,
            )
            db.executemany("UPDATE changes SET own = 0 WHERE torrent = ? AND new = ? AND own = 1", rows)
            db.executemany("UPDATE torrents SET original = ?2 WHERE id = ?1", rows)
        self.file.merge_log()

    def restored(self, hashes: Iterable[str]) -> None:
        keys = [(self.instance, to_key(torrent)) for torrent in hashes]
        if not keys:
            return
        at = self._now()
        with self.file.writing() as db:
            db.executemany(
                f"""INSERT INTO changes (at, torrent, old, new, own, status, reason)
                SELECT ?3, id, {_LIMIT_BEFORE}, original, 0, ?4, 'original restored'
                FROM torrents WHERE instance = ?1 AND hash = ?2""",  # noqa: S608 # our own literals
                ((*key, at, RESTORED) for key in keys),
            )
            db.executemany(
                f"""DELETE FROM in_force WHERE torrent = ({_ID})
                AND value IN (?3, (SELECT original FROM torrents WHERE instance = ?1 AND hash = ?2))""",  # noqa: S608 # our own literals
                ((*key, ANY) for key in keys),
            )
            db.executemany(
                "UPDATE torrents SET restored_at = ?3, missing_since = NULL WHERE instance = ?1 AND hash = ?2",
                ((*key, at) for key in keys),
            )
            self.file.own_changes += 1

    def renamed(self, old: str, new: str) -> None:
        with self.file.writing(sync=True) as db:
            (kept,) = db.execute(_ID, (self.instance, to_key(old))).fetchone() or (None,)
            (other,) = db.execute(_ID, (self.instance, to_key(new))).fetchone() or (None,)
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

    def rename_instance(self, old: str, new: str) -> None:
        """Give all that is known of the torrents of one qBittorrent to another name of it.

        What the new name knows already of the same torrent gives way: the earlier original is the true one.
        """
        with self.file.writing(sync=True) as db:
            twins = "SELECT hash FROM torrents WHERE instance = ?"
            gone = db.execute(
                f"SELECT id FROM torrents WHERE instance = ? AND hash IN ({twins})",  # noqa: S608 # our own literals
                (new, old),
            ).fetchall()
            db.executemany("DELETE FROM in_force WHERE torrent = ?", gone)
            db.executemany("DELETE FROM changes WHERE torrent = ?", gone)
            db.executemany("DELETE FROM torrents WHERE id = ?", gone)
            db.execute("UPDATE torrents SET instance = ? WHERE instance = ?", (new, old))
            for setting in (FOREIGN, CONFIGURATION, IN_USE):
                put_setting(db, own_setting(setting, new), get_setting(db, own_setting(setting, old)))
                put_setting(db, own_setting(setting, old), None)

    def give_up(self, instance: str) -> int:
        """Forget the originals of one qBittorrent that is gone for good. Return how many these were.

        History stays. Should it come back within the time that history is kept, values of ours are known as such.
        """
        with self.file.writing(sync=True) as db:
            count = db.execute(
                "UPDATE torrents SET restored_at = ? WHERE instance = ? AND restored_at IS NULL",
                (self._now(), instance),
            ).rowcount
            for setting in (FOREIGN, CONFIGURATION, IN_USE):
                put_setting(db, own_setting(setting, instance), None)
            self.file.own_changes += 1
        return count

    def missing(self, hashes: Collection[str]) -> None:
        gone = {to_key(torrent) for torrent in hashes}
        at, noted = self._now(), "SELECT hash FROM torrents WHERE instance = ? AND missing_since IS NOT NULL"
        with self.file.writing() as db:
            db.executemany(
                "UPDATE torrents SET missing_since = NULL WHERE instance = ? AND hash = ?",
                [(self.instance, key) for (key,) in db.execute(noted, (self.instance,)) if key not in gone],
            )
            db.executemany(
                """UPDATE torrents SET missing_since = coalesce(missing_since, ?1), missing_until = ?1
                WHERE instance = ?2 AND hash = ?3 AND restored_at IS NULL""",
                ((at, self.instance, key) for key in gone),
            )

    def settle_unknown(self, limit_of: Callable[[str], int | None]) -> None:
        unknown = "SELECT torrent FROM in_force WHERE value = ?"
        with self.file.reading() as db:
            if db.execute(unknown, (ANY,)).fetchone() is None:
                return
        with self.file.writing() as db:
            rows = db.execute(
                f"""SELECT id, hash, original FROM torrents
                WHERE instance = ? AND restored_at IS NULL AND id IN ({unknown})""",  # noqa: S608 # our own literals
                (self.instance, ANY),
            ).fetchall()
            for id_, key, original in rows:
                limit = limit_of(to_hash(key))
                if limit is None:
                    continue
                db.execute("DELETE FROM in_force WHERE torrent = ? AND value = ?", (id_, ANY))
                if limit == original:
                    continue
                line = db.execute(
                    """INSERT INTO changes (at, torrent, old, new, own, status, reason)
                    VALUES (?, ?, ?, ?, 1, ?, 'found in force after the journal was lost')""",
                    (self._now(), id_, original, limit, APPLIED),
                ).lastrowid
                db.execute("INSERT OR REPLACE INTO in_force VALUES (?, ?, ?, NULL)", (id_, limit, line))

    def _note(self, ids: Sequence[int], status: int, *statements: tuple[str, float]) -> None:
        """Note the result of these writes, and carry out `statements` on each with a time."""
        if not ids:
            return
        with self.file.writing() as db:
            db.executemany("UPDATE changes SET status = ? WHERE id = ?", ((status, line) for line in ids))
            for statement, at in statements:
                db.executemany(statement, ((line, at) for line in ids))
        self.file.merge_log()
