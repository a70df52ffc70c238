"""The file that the journal is in: opened, held against its second copy, and held on to when it is deleted."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final

import structlog

from qguardarr.adapters.sqlite import journal_place as places
from qguardarr.adapters.sqlite import journal_recovery as recovery
from qguardarr.adapters.sqlite.database import is_damage
from qguardarr.adapters.sqlite.file_lock import FileLock
from qguardarr.adapters.sqlite.journal_place import Found
from qguardarr.adapters.sqlite.journal_schema import Migration, explained, next_id, open_database
from qguardarr.adapters.sqlite.originals import Originals, OutOfStep
from qguardarr.adapters.sqlite.reserve import Reserve
from qguardarr.errors import JournalError

_SMALLEST_BYTES: Final = 512
"""No database is smaller."""
_OPENING_TIMEOUT_S: Final = 30.0

log = structlog.get_logger("qguardarr.journal")


class JournalFile:
    """Usable from several threads; other processes may open the same file."""

    def __init__(
        self, path: Path, migrations: Sequence[Migration], *, follow: bool, known_line: int, last_resort: bool
    ) -> None:
        """See `SqliteJournal`."""
        self._path = path
        self._mutex = threading.RLock()
        self._own_marks = 0
        self._migrations = migrations
        self._follow = follow
        self._closed = False
        self._lock = FileLock(path.with_name(path.name + ".lock"))
        self._copy = None if follow else Originals(path)
        self.reserve = Reserve(path)
        self.recovered = ""
        """What was put back from the second copy at the opening, or is wrong with it, in words."""
        self._unwritable: JournalError | None = None
        """Why nothing can be noted: what was read is only in memory."""
        self._connection: sqlite3.Connection | None
        if follow:
            self._connection = open_database(path, migrations, in_use=True)
        elif last_resort:
            self._connection = self._open_whatever_it_takes(known_line)
        else:
            self._connection = self._open_first(known_line)
        if self._unwritable is None:
            self._file = path.stat()

    @contextmanager
    def exclusive(self, timeout_s: float) -> Iterator[None]:
        """Hold the lock between processes: the daemon for a cycle, a command for a rollback. `Busy` on time-out."""
        with self._lock.held(timeout_s):
            yield

    def close(self) -> None:
        """Let go of the file. May be called twice."""
        with self._mutex:
            self._closed = True
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    # -- opening ------------------------------------------------------------------------------------------------------

    def _open_first(self, known_line: int) -> sqlite3.Connection:
        found = places.look(self._path)
        self._refuse_others(found)
        if found is Found.DATABASE:
            try:
                return self._checked(known_line)
            except JournalError as error:
                if not (_is_damage(error) and self._restorable):
                    raise
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise explained(error, self._path) from error
        with self._lock.held(_OPENING_TIMEOUT_S):  # so that no two processes make it, or put it aside, at one time
            return self._make(known_line)

    def _make(self, known_line: int) -> sqlite3.Connection:
        """Make the journal where there is none that can be used, with all that its second copy knows."""
        found = places.look(self._path)
        if found is Found.DATABASE:
            try:
                return self._checked(known_line)  # another process has made it meanwhile
            except JournalError as error:
                if not (_is_damage(error) and self._restorable):
                    raise
        self._refuse_others(found)
        signs = [] if self._restorable else places.signs_of(self._path)
        aside = places.put_aside(self._path)
        reason = "it was damaged" if found is Found.DATABASE else found.value
        if aside is not None:
            log.warning("journal_unusable", file=str(self._path), reason=reason, put_aside=str(aside))
        if signs:  # another should be here: this one refuses to be used
            log.error("journal_lost", file=str(self._path), signs=[str(sign) for sign in signs])
            return self._opened(known_line, hold=str(places.lost(self._path, found, signs)))
        return self._opened(known_line, reason)

    def _refuse_others(self, found: Found) -> None:
        """Leave alone what may be another program's."""
        if found in (Found.NO_DATABASE, Found.BROKEN_LINK) and not self._restorable:
            raise JournalError(f"journal {self._path}: {found.value}, and no journal of Qguardarr; choose another path")

    @property
    def _restorable(self) -> bool:
        """Whether there is a second copy to go by."""
        return self._copy is not None and self._copy.state() is not None

    def _opened(self, known_line: int, reason: str = "", hold: str = "") -> sqlite3.Connection:
        """A connection to the journal, which is in step with its second copy then."""
        connection = open_database(self._path, self._migrations)
        try:
            if hold:
                recovery.hold(connection, hold)
            if self._copy is not None:
                self.recovered = recovery.reconcile(connection, self._path, self._copy, known_line, reason)
                if self.recovered:
                    log.warning("journal_recovered", what=self.recovered)
            recovery.watch(connection)
        except (sqlite3.Error, OSError) as error:
            connection.close()
            raise explained(error, self._path) from error
        except BaseException:
            connection.close()
            raise
        return connection

    def _checked(self, known_line: int) -> sqlite3.Connection:
        """As `_opened`, for a file that is there: all of it must be readable."""
        connection = self._opened(known_line)
        try:
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found != "ok":
                damage = sqlite3.DatabaseError(found)
                damage.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
                raise damage
        except sqlite3.Error as error:
            connection.close()
            raise explained(error, self._path) from error
        return connection

    def _open_whatever_it_takes(self, known_line: int) -> sqlite3.Connection:
        """On a full disk not even opening works: give the reserve up for it; else go by what can be read."""
        try:
            return self._open_first(known_line)
        except JournalError as error:
            if not isinstance(error.__cause__, sqlite3.Error | OSError):
                raise
            first = error
        if self.reserve.give_up():
            with suppress(JournalError):
                return self._open_first(known_line)
        connection = recovery.in_memory(self._path, self._migrations, Originals(self._path), known_line)
        if connection is None:
            raise first
        self._unwritable = first
        return connection

    # -- using --------------------------------------------------------------------------------------------------------

    @contextmanager
    def _using(self) -> Iterator[sqlite3.Connection]:
        with self._mutex:
            if self._closed:
                raise JournalError(f"journal {self._path}: already closed")
            try:
                if self._connection is None or (self._follow and not os.path.samestat(self._path.stat(), self._file)):
                    self._open_again()
                assert self._connection is not None
                yield self._connection
            except (sqlite3.Error, OSError, OverflowError, ValueError) as error:
                raise explained(error, self._path) from error

    @contextmanager
    def _writing(self, *, sync: bool) -> Iterator[sqlite3.Connection]:
        """All or nothing. `sync`: on disk for good before this ends, with all that was written before.

        What changes of the originals is in the second copy before it is in the journal.
        """
        if self._unwritable is not None:
            raise self._unwritable
        with self._using():
            db = self._in_place()
            db.execute(f"PRAGMA synchronous = {'FULL' if sync else 'NORMAL'}")
            db.execute("BEGIN IMMEDIATE")
            newest = next_id(db) - 1
            appended: int | None = None
            try:
                yield db
                appended = self._follow_up(db, newest, sync=sync)
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                if appended is not None and self._copy is not None:
                    with suppress(OSError):
                        self._copy.cut_back(appended)
                raise

    def _follow_up(self, db: sqlite3.Connection, newest: int, *, sync: bool) -> int | None:
        """Add to the second copy what this transaction changed of the originals. Size of the copy before."""
        if self._copy is None:
            return None
        added = recovery.revision(db, newest)
        if added is None:
            return None
        before, lines = added
        try:
            return self._copy.append(before, lines, sync=sync)
        except OutOfStep:
            log.warning("second_copy_made_anew", file=str(self._copy.path))
            recovery.write_copy(db, self._copy)
            return None

    def _merge_log(self) -> None:
        """Move what the write-ahead log holds to the main file, which so is complete by itself. Waits for nobody."""
        if self._unwritable is None:
            with self._using() as db:
                db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def _in_place(self) -> sqlite3.Connection:
        """What is written to a deleted file is lost with this process, and originals with it."""
        assert self._connection is not None
        if self._unwritable is not None:
            return self._connection
        try:
            found = self._path.stat()
        except FileNotFoundError:
            self._put_back()
        else:
            if not os.path.samestat(found, self._file):
                raise JournalError(f"journal {self._path}: it was replaced while in use; restart Qguardarr")
            if found.st_size < _SMALLEST_BYTES:
                raise JournalError(f"journal {self._path}: it was emptied while in use; restart Qguardarr")
        return self._connection

    def _put_back(self) -> None:
        """The file was deleted (or moved away), but what was in it can still be read here: write it anew."""
        assert self._connection is not None
        copy = self._path.with_name(self._path.name + ".new")
        copy.unlink(missing_ok=True)
        os.close(os.open(copy, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        with closing(sqlite3.connect(copy)) as target:
            target.execute("PRAGMA synchronous = EXTRA")
            self._connection.backup(target)
        for suffix in ("-wal", "-shm"):  # beside another file they would be taken for that one's
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
        os.link(copy, self._path)  # unlike a renaming, never in place of what another process has just made
        copy.unlink()
        self._open_again()
        log.warning("journal_put_back", file=str(self._path), advice="it had been deleted while in use")

    def _open_again(self) -> None:
        self._path.stat()  # raises if it is gone: a new file would know nothing
        connection = open_database(self._path, self._migrations, in_use=True)
        if not self._follow:
            recovery.watch(connection)
        if self._connection is not None:
            self._connection.close()
        self._connection, self._file = connection, self._path.stat()


def _is_damage(error: JournalError) -> bool:
    return isinstance(error.__cause__, sqlite3.Error) and is_damage(error.__cause__)
