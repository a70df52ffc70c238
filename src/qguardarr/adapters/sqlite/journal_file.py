"""The file that the journal is in: opened, compared with its second copy, and kept when it is deleted while in use."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import structlog

from qguardarr.adapters.sqlite import journal_place as places
from qguardarr.adapters.sqlite import journal_recovery as recovery
from qguardarr.adapters.sqlite.connections import copy_whole
from qguardarr.adapters.sqlite.database import FAILURES, Database, Format, is_damage
from qguardarr.adapters.sqlite.journal_place import Found
from qguardarr.adapters.sqlite.journal_schema import HOLD, next_id, put_setting, touched_count
from qguardarr.adapters.sqlite.journal_upgrade import keep_earlier
from qguardarr.adapters.sqlite.originals import Originals
from qguardarr.adapters.sqlite.shared_database import SharedDatabase
from qguardarr.adapters.sqlite.side_files import FileLock, Reserve, beside, open_private
from qguardarr.errors import JournalError, QguardarrError

_SMALLEST_BYTES: Final = 512
"""No database is smaller (sqlite.org/fileformat.html, 1.3.2)."""
_OPENING_TIMEOUT_S: Final = 30.0
"""Another process may be putting a large file aside."""

log = structlog.get_logger("qguardarr.journal")


class JournalFile(SharedDatabase):
    """Usable from several threads; other processes may open the same file."""

    def __init__(
        self,
        path: Path,
        format_: Format,
        *,
        known_line: int,
        last_resort: bool = False,
        in_memory: bool = False,
        check: bool = True,
    ) -> None:
        """Open or make the journal at `path`; `SqliteJournal` describes the arguments. Raises `JournalError`."""
        super().__init__(path, format_)
        self.lock = FileLock(beside(path, ".lock"))
        """Between processes."""
        self.reserve = Reserve(path)
        self.recovered = ""
        """Report on originals put back from the second copy at the opening, or on its damage; empty if nothing."""
        self.newest_line: int
        """Number of the newest line of history, as far as this process wrote it."""
        self.own_changes = 0
        """How many times this process restored limits or paused; for `generation`."""
        self._in_memory = in_memory
        self._check = check
        self._copy = Originals(path)
        self._known_line = known_line
        self._unwritable: JournalError | None = None
        """Why nothing can be noted: the journal is only in memory."""
        if in_memory:
            self._database = self._open_copy_in_memory()
        else:
            self._database = self._open_last_resort() if last_resort else self._open()
        with self.reading() as db:
            self.newest_line = next_id(db) - 1

    @contextmanager
    def writing(self, *, sync: bool = False) -> Iterator[sqlite3.Connection]:
        """Do all or nothing. `sync`: on disk for good before this ends, with all that was written before.

        A change of an original is in the second copy before it is in the journal. Raises `JournalError`.
        """
        if self._unwritable is not None:
            raise self._unwritable
        if self._in_memory:
            with super().writing() as db:
                yield db
            return
        with self._alone():
            self._require_in_place()
            size: int | None = None
            try:
                with self._opened().transaction(sync=sync) as db:
                    newest = next_id(db) - 1
                    yield db
                    size = recovery.copy_changes(db, self._copy, newest, sync=sync)
            except BaseException:
                if size is not None:
                    with suppress(OSError):
                        self._copy.cut_back(size)
                raise

    def generation(self) -> int:
        """Return a number that changes when another connection has written to the file, or `own_changes` has grown."""
        with self._alone():
            self._require_in_place()
            number: int = self._opened().connection.execute("PRAGMA data_version").fetchone()[0]
            return number + self.own_changes

    def merge_log(self) -> None:
        """Move the write-ahead log to the main file, which is then complete by itself. Waits for nobody."""
        if self._unwritable is None:
            with self._alone() as database:
                database.merge_log()

    def keep_safe(self) -> None:
        """Have the second copy know how far history has come, and the disk room for a rollback."""
        self.reserve.keep()
        with self.writing() as db:
            recovery.note_history(db)
            if self._copy.is_bloated(touched_count(db)):
                recovery.write_copy(db, self._copy)

    # -- opening ------------------------------------------------------------------------------------------------------

    def _open(self) -> Database:
        """Open the file, or make it where there is none that can be used, with all that its second copy knows."""
        try:
            if self._look() is Found.DATABASE and (database := self._open_sound()) is not None:
                return database
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self.lock.held(_OPENING_TIMEOUT_S):  # so that no two processes make it, or put it aside, at one time
                found = self._look()
                if found is Found.DATABASE and (database := self._open_sound()) is not None:
                    return database  # another process has made it meanwhile
                return self._make(found)
        except FAILURES as error:
            raise self._format.failure(error, self.path) from error

    def _open_copy_in_memory(self) -> Database:
        try:
            source = self.path if self._look() is Found.DATABASE else None
            return Database.in_memory(source, self._format, with_log=True, without_rows_of=("changes",))
        except FAILURES as error:
            raise self._format.failure(error, self.path) from error

    def _look(self) -> Found:
        """Look at the file. Raises `JournalError` if it may be another program's."""
        found = places.look(self.path)
        if found in (Found.NO_DATABASE, Found.BROKEN_LINK) and not self._has_originals:
            raise JournalError(f"journal {self.path}: {found.value}, and no journal of Qguardarr; choose another path")
        return found

    def _open_sound(self) -> Database | None:
        """Open a file that is there, if all of it can be read; None if it is damaged and the second copy is not."""
        try:
            return self._open_in_step()
        except sqlite3.Error as error:
            if is_damage(error) and self._has_originals:
                return None
            raise

    def _make(self, found: Found) -> Database:
        signs = [] if self._has_originals else places.signs_of(self.path)
        aside = places.put_aside(self.path)
        reason = "it was damaged" if found is Found.DATABASE else found.value
        if aside is not None:
            log.warning("journal_unusable", file=str(self.path), reason=reason, put_aside=str(aside))
        if signs:  # another should be here: this one refuses to be used
            log.error("journal_lost", file=str(self.path), signs=[str(sign) for sign in signs])
            return self._open_in_step(hold=str(places.lost(self.path, found, signs)))
        return self._open_in_step(reason)

    @property
    def _has_originals(self) -> bool:
        """Whether there is a second copy to go by."""
        return self._copy.state() is not None

    def _open_in_step(self, reason: str = "", hold: str = "") -> Database:
        """Open the file, bring it in step with its second copy, and check (if asked to) that all of it can be read."""
        database = Database.open(self.path, self._format, durable=True, before_migration=keep_earlier)
        try:
            db = database.connection
            if hold:
                put_setting(db, HOLD, hold)
            self.recovered = recovery.reconcile(db, self.path, self._copy, self._known_line, reason)
            if self.recovered:
                log.warning("journal_recovered", what=self.recovered)
            if self._check:
                database.check()
            recovery.track_changes(db)
            self._status = self.path.stat()
        except BaseException:
            database.close()
            raise
        return database

    def _open_last_resort(self) -> Database:
        """Give up the reserve if a full disk prevents the opening; else read the files into memory."""
        try:
            return self._open()
        except JournalError as error:
            if not isinstance(error.__cause__, sqlite3.Error | OSError):
                raise
            first = error
        if self.reserve.give_up():
            with suppress(JournalError):
                return self._open()
        database = recovery.recover_in_memory(self.path, self._format, self._copy, self._known_line)
        if database is None:
            raise first
        self._unwritable = first
        return database

    # -- in use -------------------------------------------------------------------------------------------------------

    def _failure(self, error: Exception) -> QguardarrError:
        with suppress(OSError):
            if is_damage(error) and self._has_originals:
                return JournalError(
                    f"it is damaged ({error})",
                    place=f"journal {self.path}",
                    hint="restart Qguardarr, which puts the originals back from the second copy; so does `qguardarr "
                    "rollback`",
                )
        return super()._failure(error)

    def _opened(self) -> Database:
        assert self._database is not None  # the opening raises otherwise
        return self._database

    def _require_in_place(self) -> None:
        """Put a deleted file back: originals written to it would be lost with this process."""
        if self._unwritable is not None or self._in_memory:
            return
        try:
            found = self.path.stat()
        except FileNotFoundError:
            self._put_back()
            return
        if self._status is None or not os.path.samestat(found, self._status):
            raise JournalError(f"journal {self.path}: it was replaced while in use; restart Qguardarr")
        if found.st_size < _SMALLEST_BYTES:
            raise JournalError(f"journal {self.path}: it was emptied while in use; restart Qguardarr")

    def _put_back(self) -> None:
        """Write a file again that was deleted or moved away; this connection can still read it."""
        old, copy = self._opened(), beside(self.path, ".new")
        copy.unlink(missing_ok=True)
        os.close(open_private(copy, self.path, os.O_RDWR | os.O_EXCL))
        copy_whole(old.connection, copy)
        for suffix in ("-wal", "-shm"):  # beside another file they would be taken for that one's
            beside(self.path, suffix).unlink(missing_ok=True)
        os.link(copy, self.path)  # unlike a renaming, never in place of a file that another process has just made
        copy.unlink()
        self._database = super()._open()
        self._status = self.path.stat()
        recovery.track_changes(self._database.connection)
        old.close()
        log.warning("journal_put_back", file=str(self.path), advice="it had been deleted while in use")
