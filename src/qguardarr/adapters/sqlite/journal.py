"""The journal in SQLite: originals, every write, and the pause.

What survives:

- A crash of this program: everything that a method returned from.
- A power cut: originals, intents, adopted values and the pause, which are synced to disk before the method returns
  (one sync for a whole batch; qBittorrent itself syncs once for *each* torrent that we then change). Results
  (applied, failed, restored) may be lost; then more values count as possibly in force, which is the safe side.

The statements stand in `journal_changes`, `journal_queries` and `journal_upkeep`; `journal_file` opens the file and
keeps the second copy of the originals in step.
"""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from qguardarr.adapters.sqlite import journal_changes as changes_of
from qguardarr.adapters.sqlite import journal_queries as queries
from qguardarr.adapters.sqlite import journal_settings as settings
from qguardarr.adapters.sqlite import journal_upkeep as upkeep
from qguardarr.adapters.sqlite.database import Format
from qguardarr.adapters.sqlite.journal_file import JournalFile
from qguardarr.adapters.sqlite.journal_schema import JOURNAL, next_id
from qguardarr.adapters.sqlite.unknown_limits import has_unknown, resolve_unknown
from qguardarr.core.model import Change
from qguardarr.engine.ports import HistoryEntry, Touched
from qguardarr.errors import JournalError


class SqliteJournal:
    """`Journal` of `engine.ports` in a file. Usable from several threads; other processes may open the same file.

    `Journal` describes the methods; docstrings here stand where this class adds to it.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        max_lines: int = 1_000_000,
        now: Callable[[], float] = time.time,
        format_: Format = JOURNAL,
        follow: bool = False,
        known_line: int = 0,
        last_resort: bool = False,
    ) -> None:
        """Open or make the journal at `path`; `prune` also trims history to about `max_lines` (100 bytes each).

        Whatever happened to the file, originals come back from the second copy beside it; `recovered` says so.

        Args:
            path: Of the database; file and folder are made if missing.
            max_lines: Most lines of history that `prune` keeps.
            now: Unix time, seconds.
            format_: Another one in tests of migrations.
            follow: For reading only; a file that takes the place of this one is read instead.
            known_line: Number of a line that is known to be in it: a file without it is an older one.
            last_resort: Open what can be read, even if the disk is too full to open it otherwise.

        Raises `JournalError` if that cannot be; a file that is not ours is left as it is.
        """
        self.file = JournalFile(Path(path), format_, follow=follow, known_line=known_line, last_resort=last_resort)
        self._max_lines = max_lines
        self._now = now
        self.instance = ""
        """Name of the qBittorrent whose torrents this handle knows; see `of`."""
        with self.file.reading() as db:
            self.file.newest_line = next_id(db) - 1

    def of(self, instance: str) -> SqliteJournal:
        """Return this journal as it knows the torrents of one qBittorrent: a torrent's key is (instance, hash).

        Changes, which name their own, go to any; the pause and what is said of the file count for all. The file is
        open as long as this handle's is.
        """
        other = copy.copy(self)
        other.instance = instance
        return other

    @property
    def newest_line(self) -> int:
        """Number of the newest line of history, as far as this process wrote it."""
        return self.file.newest_line

    @property
    def recovered(self) -> str:
        """What was put back from the second copy at the opening, or is wrong with it; empty if nothing."""
        return self.file.recovered

    # -- writes -------------------------------------------------------------------------------------------------------

    def intend(self, changes: Sequence[Change]) -> Sequence[int]:
        """Durably record originals (first touch only) and intents, before the write. Ids, one for each change.

        A torrent that was restored is touched anew: `original` is then what the change says, unless that is one of
        our own last values, which only comes back when qBittorrent crashed and lost the restoring.
        """
        if not changes:
            return ()
        with self.file.writing(sync=True) as db:
            ids = changes_of.intend(db, changes, self._now())
        self.file.newest_line = ids[-1]
        return ids

    def applied(self, ids: Sequence[int]) -> None:
        if ids:
            with self.file.writing(sync=False) as db:
                changes_of.note_applied(db, ids, self._now())
            self.file.merge_log()

    def failed(self, ids: Sequence[int]) -> None:
        if ids:
            with self.file.writing(sync=False) as db:
                changes_of.note_failed(db, ids)
            self.file.merge_log()

    def adopt(self, originals: dict[str, int], reason: str = "set by hand") -> None:
        if originals:
            with self.file.writing(sync=True) as db:
                changes_of.adopt(db, self.instance, originals, reason, self._now())
            self.file.merge_log()

    def restored(self, hashes: Iterable[str]) -> None:
        if names := list(hashes):
            with self.file.writing(sync=False) as db:
                changes_of.note_restored(db, self.instance, names, self._now())
                self.file.own_changes += 1

    def renamed(self, old: str, new: str) -> None:
        with self.file.writing(sync=True) as db:
            changes_of.rename(db, self.instance, old, new)

    def missing(self, hashes: Collection[str]) -> None:
        with self.file.writing(sync=False) as db:
            changes_of.note_missing(db, self.instance, hashes, self._now())

    def settle_unknown(self, limit_of: Callable[[str], int | None]) -> None:
        with self.file.reading() as db:
            if not has_unknown(db):
                return
        with self.file.writing(sync=False) as db:
            resolve_unknown(db, self.instance, limit_of, self._now())

    # -- questions ----------------------------------------------------------------------------------------------------

    def touched(self, hashes: Collection[str] | None = None) -> dict[str, Touched]:
        with self.file.reading() as db:
            return {found.hash: found for found in queries.touched(db, self.instance, hashes)}

    def recall(self, hashes: Collection[str] | None = None) -> Iterator[tuple[Touched, bool]]:
        with self.file.reading() as db:
            for found in queries.recently_restored(db, self.instance, hashes):
                yield found, False
            for found in queries.touched(db, self.instance, hashes):
                yield found, True

    def touched_at(self, hashes: Sequence[str]) -> dict[str, float]:
        with self.file.reading() as db:
            return queries.touched_at(db, self.instance, hashes)

    def recently_restored(self) -> dict[str, Touched]:
        with self.file.reading() as db:
            return {found.hash: found for found in queries.recently_restored(db, self.instance)}

    def wrote(self, hash: str, limit: int) -> bool:  # noqa: A002 # the port's name
        with self.file.reading() as db:
            return queries.wrote(db, self.instance, hash, limit)

    def history(
        self,
        *,
        hash: str | None = None,  # noqa: A002 # the port's name
        limit: int = 100,
        before_id: int | None = None,
    ) -> list[HistoryEntry]:
        with self.file.reading() as db:
            return queries.history(db, self.instance, hash, limit, before_id)

    def hashes(self, prefix: str, *, limit: int) -> list[str]:
        """Return torrents in history whose hash begins with these digits, `limit` of them at most."""
        with self.file.reading() as db:
            return queries.hashes(db, self.instance, prefix, limit)

    def generation(self) -> int:
        """Return a number that changes when another process or thread may have restored, paused or resumed."""
        return self.file.generation()

    # -- settings -----------------------------------------------------------------------------------------------------

    def paused(self) -> str | None:
        with self.file.reading() as db:
            reason = settings.get(db, settings.PAUSED)
            return self.file.reserve.paused() if reason is None else reason

    def set_paused(self, reason: str | None) -> None:
        """Pause with a reason, or resume with None. Survives restarts.

        On a full disk a pause is noted as an empty file.
        """
        try:
            with self.file.writing(sync=True) as db:
                settings.put(db, settings.PAUSED, reason)
                self.file.own_changes += 1
        except JournalError:
            if reason is None:
                raise
            with self.file.reading():
                self.file.reserve.pause(reason)
        else:
            with self.file.reading():
                self.file.reserve.end_pause()

    def foreign(self) -> str:
        return self._setting(settings.FOREIGN)

    def set_foreign(self, note: str) -> None:
        self._set(settings.FOREIGN, note)

    def configuration(self) -> str:
        return self._setting(settings.CONFIGURATION)

    def set_configuration(self, digest: str) -> None:
        self._set(settings.CONFIGURATION, digest)

    def holding(self) -> str:
        with self.file.reading() as db:
            return settings.holding(db)

    def has_begun(self) -> bool:
        with self.file.reading() as db:
            return settings.has_begun(db)

    def begin_anew(self) -> None:
        """Note that limits in force count as originals, whatever they look like."""
        with self.file.writing(sync=True) as db:
            settings.begin_anew(db, self._now())

    def _setting(self, name: str) -> str:
        with self.file.reading() as db:
            return settings.get(db, settings.of_instance(name, self.instance)) or ""

    def _set(self, name: str, value: str) -> None:
        with self.file.writing(sync=False) as db:
            settings.put(db, settings.of_instance(name, self.instance), value)

    # -- the file -----------------------------------------------------------------------------------------------------

    def make_room(self) -> bool:
        return self.file.reserve.give_up()

    def keep_safe(self) -> None:
        """Have the second copy know how far history has come, and the disk room for a rollback. Now and then."""
        self.file.keep_safe()

    def prune(self, *, older_than_s: float, give_up_s: float | None = None) -> int:
        """Delete history older than that (seconds), and the oldest beyond `max_lines`. Number of lines deleted.

        Kept: the originals of torrents not restored yet, with every value that was in force within that time, which
        a rollback needs to know its own. Torrents that `missing` named for longer than `give_up_s` are given up.
        Bounded to a second or two: a large backlog is worked off over several calls.
        """
        cutoff = self._now() - older_than_s
        missing_s = older_than_s if give_up_s is None else give_up_s
        with self.file.writing(sync=False) as db:
            upkeep.give_up_missing(db, self._now() - missing_s, missing_s)
            first_kept = upkeep.first_kept_line(db, cutoff, self._max_lines)
            upkeep.find_needed_lines(db, first_kept)
        deleted = 0
        for _ in range(upkeep.STEPS_PER_PRUNE):  # step by step, so that nobody waits long for the file
            with self.file.writing(sync=False) as db:
                count = upkeep.delete_lines(db, first_kept, cutoff)
            deleted += count
            if count == 0:
                break
        with self.file.writing(sync=False) as db:
            upkeep.forget_torrents(db, cutoff)
        self.file.give_back_space()
        self.keep_safe()
        return deleted

    @contextmanager
    def exclusive(self, timeout_s: float) -> Iterator[None]:
        with self.file.lock.held(timeout_s):
            yield

    def close(self) -> None:
        """Let go of the file. May be called twice."""
        self.file.close()
