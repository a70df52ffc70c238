"""The journal in SQLite: originals, every write, and the pause.

These survive:

- A crash of this program: everything that a method returned from.
- A power cut: originals, intents, adopted values and the pause, which are synced to disk before the method returns
  (one sync for a whole batch; qBittorrent itself syncs once for *each* torrent that we then change). Results
  (applied, failed, restored) may be lost; then more values count as possibly in force, which is the safe side.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from qguardarr.adapters.sqlite import journal_upkeep as upkeep
from qguardarr.adapters.sqlite.database import Format
from qguardarr.adapters.sqlite.journal_file import JournalFile
from qguardarr.adapters.sqlite.journal_schema import (
    BEGUN,
    CONFIGURATION,
    FOREIGN,
    HOLD,
    IN_USE,
    JOURNAL,
    OLDER,
    PAUSED,
    put_setting,
)
from qguardarr.adapters.sqlite.journal_writer import JournalWriter
from qguardarr.errors import JournalError


class SqliteJournal(JournalWriter):
    """`Journal` of `engine.ports` in a file. Usable from several threads; other processes may open the same file.

    `Journal` describes the methods; docstrings here stand where this class adds to it.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        now: Callable[[], float] = time.time,
        format_: Format = JOURNAL,
        known_line: int = 0,
        last_resort: bool = False,
        in_memory: bool = False,
        check: bool = True,
    ) -> None:
        """Open or make the journal at `path`.

        Whatever happened to the file, originals come back from the second copy beside it; `recovered` says so.

        Args:
            path: Of the database; file and folder are made if missing.
            now: Unix time, seconds.
            format_: Another one in tests of migrations.
            known_line: Number of a line that is known to be in it: a file without it is an older one.
            last_resort: Open the readable part even if the disk is too full to open it otherwise.
            in_memory: Copy the file to memory without its history, and leave it alone from then on.
            check: Read all of the file, in seconds if there is much history, to find damage before it is used.

        Raises `JournalError` if that cannot be; a file that is not ours is left as it is.
        """
        file = JournalFile(
            Path(path),
            format_,
            known_line=known_line,
            last_resort=last_resort,
            in_memory=in_memory,
            check=check,
        )
        super().__init__(file, now)

    @property
    def newest_line(self) -> int:
        """Number of the newest line of history, as far as this process wrote it."""
        return self.file.newest_line

    @property
    def recovered(self) -> str:
        """Report on originals put back from the second copy at the opening, or on its damage; empty if nothing."""
        return self.file.recovered

    def generation(self) -> int:
        """Return a number that changes when another process or thread may have restored, paused or resumed."""
        return self.file.generation()

    # -- settings -----------------------------------------------------------------------------------------------------

    def set_paused(self, reason: str | None) -> None:
        """Pause with a reason, or resume with None. Survives restarts.

        On a full disk a pause is noted as an empty file.
        """
        try:
            with self.file.writing(sync=True) as db:
                put_setting(db, PAUSED, reason)
                self.file.own_changes += 1
        except JournalError:
            if reason is None:
                raise
            with self.file.reading():
                self._reserve.pause(reason)
        else:
            with self.file.reading():
                self._reserve.end_pause()

    def set_foreign(self, note: str) -> None:
        self._set(self._own(FOREIGN), note)

    def set_configuration(self, digest: str) -> None:
        self._set(self._own(CONFIGURATION), digest)

    def set_in_use(self, text: str) -> None:
        self._set(self._own(IN_USE), text)

    def begin_anew(self) -> None:
        """Note that limits in force count as originals, whatever they look like."""
        with self.file.writing(sync=True) as db:
            put_setting(db, HOLD, None)
            put_setting(db, OLDER, None)
            put_setting(db, BEGUN, str(self._now()))

    def _set(self, name: str, value: str) -> None:
        with self.file.writing() as db:
            put_setting(db, name, value)

    # -- the file -----------------------------------------------------------------------------------------------------

    def make_room(self) -> bool:
        return self._reserve.give_up()

    def keep_safe(self) -> None:
        """Have the second copy know how far history has come, and the disk room for a rollback. Now and then."""
        self.file.keep_safe()

    def prune(self, *, older_than_s: float, give_up_s: float | None = None) -> int:
        """Delete history older than that (seconds), and the oldest beyond `MAX_LINES`. Number of lines deleted.

        Kept: the originals of torrents not restored yet, with every value that was in force within that time, which
        a rollback needs to know its own. Torrents that `missing` named for longer than `give_up_s` are given up.
        Bounded to a second or two: a large backlog is worked off over several calls.
        """
        deleted = upkeep.prune(self.file, self._now(), older_than_s, older_than_s if give_up_s is None else give_up_s)
        self.file.give_back_space()
        self.keep_safe()
        return deleted

    @contextmanager
    def exclusive(self, timeout_s: float) -> Iterator[None]:
        with self.file.lock.held(timeout_s):
            yield
