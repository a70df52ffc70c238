"""The file that the journal is in: opened, held on to when it is deleted, and moved to another place while in use."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import structlog

from qguardarr.adapters import _journal_place as places
from qguardarr.adapters._journal_lock import FileLock
from qguardarr.adapters._journal_schema import Migration, explained, migrate, open_database
from qguardarr.errors import Busy, JournalError

_ANOTHER_FILE: Final = 1 << 32
"""Beyond all that SQLite counts of others' writes to one file."""

log = structlog.get_logger("qguardarr.journal")


class JournalFile:
    """Usable from several threads; other processes may open the same file."""

    def __init__(self, path: Path, migrations: Sequence[Migration], *, follow: bool) -> None:
        """See `SqliteJournal`."""
        self._path = path
        self._mutex = threading.RLock()
        self._own_marks = 0
        self._migrations = migrations
        self._follow = follow
        self._closed = False
        self._connection: sqlite3.Connection | None = open_database(path, migrations, in_use=follow)
        self._file = path.stat()
        self._lock = _lock_of(path)

    @contextmanager
    def exclusive(self, timeout_s: float) -> Iterator[None]:
        """Hold the lock between processes: the daemon for a cycle, a command for a rollback. `Busy` on time-out."""
        lock = self._lock
        with lock.held(timeout_s):
            if lock is not self._lock:
                raise Busy("the journal has just moved; try again")
            with self._using() as db:
                places.refuse_if_moved(db, self._path)
            yield

    def check_move_to(self, path: Path) -> None:
        """`ConfigError` if `move_to` would be refused because of a file that is there. Changes nothing."""
        places.check_target(self._path, path)

    def move_to(self, path: Path) -> None:
        """Move all that the journal holds to a file that is not there yet. To be called while `exclusive` is held.

        The old file stays, and says where to; what another object or process would write to it is refused. If there
        is a file of an earlier move, which leads here, that one is replaced. Raises `ConfigError` (another file is
        there) and `JournalError`; then the journal is where it was, and whole.
        """
        with self._mutex:
            with self._writing(sync=True) as db:
                try:
                    places.copy(self._path, path, lambda new: migrate(new, path, self._migrations))
                except (sqlite3.Error, OSError) as error:
                    raise explained(error, path) from error
                places.mark_moved(db, path)
            self.go_on_at(path)

    def go_on_at(self, path: Path) -> None:
        """The journal has moved to `path`. Never raises: what is wrong there, the next call tells."""
        with self._mutex:
            if self._connection is not None:
                self._connection.close()
            self._connection, self._path, self._lock = None, path, _lock_of(path)
            self._own_marks += _ANOTHER_FILE

    def close(self) -> None:
        """Let go of the file. May be called twice."""
        with self._mutex:
            self._closed = True
            if self._connection is not None:
                self._connection.close()
                self._connection = None

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
        """All or nothing. `sync`: on disk for good before this ends, with all that was written before."""
        with self._using():
            db = self._in_place()
            db.execute(f"PRAGMA synchronous = {'FULL' if sync else 'NORMAL'}")
            db.execute("BEGIN IMMEDIATE")
            try:
                places.refuse_if_moved(db, self._path)
                yield db
                db.execute("COMMIT")
            finally:
                if db.in_transaction:
                    db.execute("ROLLBACK")

    def _in_place(self) -> sqlite3.Connection:
        """What is written to a deleted file is lost with this process, and originals with it."""
        try:
            found = self._path.stat()
        except FileNotFoundError:
            self._put_back()
        else:
            if not os.path.samestat(found, self._file):
                raise JournalError(f"journal {self._path}: it was replaced while in use; restart Qguardarr")
        assert self._connection is not None
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
        if self._connection is not None:
            self._connection.close()
        self._connection, self._file = connection, self._path.stat()


def _lock_of(path: Path) -> FileLock:
    return FileLock(path.with_name(path.name + ".lock"))
