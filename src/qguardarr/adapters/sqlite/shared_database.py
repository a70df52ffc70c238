"""A SQLite file of ours that several threads use, and whose failures are errors of Qguardarr."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qguardarr.adapters.sqlite.database import FAILURES, Database, Format
from qguardarr.errors import QguardarrError


class SharedDatabase:
    """A database that threads share, one at a time. A file that has taken the place of the open one is used instead.

    Every method raises the error of the format when it cannot do its work, and has changed nothing then; `close` never
    raises. The file must exist; subclasses that make theirs override `_open`.
    """

    def __init__(self, path: Path, format_: Format) -> None:
        """Prepare the file at `path`; the first call that needs it opens it."""
        self.path = path
        self._format = format_
        self._mutex = threading.RLock()
        self._database: Database | None = None
        self._status: os.stat_result | None = None
        """Identity of the open file."""
        self._closed = False

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Use the connection, alone."""
        with self._alone() as database:
            yield database.connection

    @contextmanager
    def writing(self, *, sync: bool = False) -> Iterator[sqlite3.Connection]:
        """Use the connection, alone; do all or nothing. `sync`: on disk for good before this ends."""
        with self._alone() as database, database.transaction(sync=sync) as db:
            yield db

    def give_back_space(self) -> None:
        """Shrink the file by its free pages, in part."""
        with self._alone() as database:
            database.give_back_space()

    def close(self) -> None:
        """Let go of the file for good. May be called twice."""
        with self._mutex:
            self._closed = True
            self._let_go()

    @contextmanager
    def _alone(self) -> Iterator[Database]:
        with self._mutex:
            if self._closed:
                raise self._format.error(f"{self._format.name} {self.path}: already closed")
            try:
                yield self._opened()
            except FAILURES as error:
                raise self._failure(error) from error

    def _failure(self, error: Exception) -> QguardarrError:
        """Return the error to raise for what went wrong with the open file."""
        return self._format.failure(error, self.path)

    def _opened(self) -> Database:
        if self._database is not None and not self._is_in_place():
            self._let_go()
        if self._database is None:
            self._database = self._open()
            self._status = self.path.stat()
        return self._database

    def _open(self) -> Database:
        self.path.stat()  # raises if it is gone: a new file would know nothing
        return Database.open(self.path, self._format, in_use=True)

    def _is_in_place(self) -> bool:
        """Tell whether the open file still has its name. Writes to a deleted file would be lost."""
        try:
            return self._status is not None and os.path.samestat(self.path.stat(), self._status)
        except OSError:
            return False

    def _let_go(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None
