"""The daemon's own files: journal, store, status, and the lock that says that a daemon is alive.

`rollback.database_path` names the journal; all others stand beside it. They move at a restart, and a person moves them.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from qguardarr.adapters.sqlite.journal import SqliteJournal
from qguardarr.adapters.sqlite.journal_place import refuse_left_behind
from qguardarr.adapters.sqlite.journal_reader import JournalReader
from qguardarr.adapters.sqlite.journal_schema import JOURNAL
from qguardarr.adapters.sqlite.shared_database import SharedDatabase
from qguardarr.adapters.sqlite.store import SqliteStore, store_path
from qguardarr.adapters.statusfile import only_daemon, published_line, status_path
from qguardarr.errors import JournalError

WARN_S: Final = 86_400.0
"""How long the status says that originals were put back, seconds."""


class Files:
    """The files of one daemon, which holds them alone."""

    def __init__(self, path: Path, former: Iterable[Path] = ()) -> None:
        """Open the files, with the journal at `path`; `former`: where earlier versions may have left one.

        Raises `Busy` (another daemon has it) and `JournalError` (one of the former places has it, among others).
        """
        refuse_left_behind(path, former)
        self.path = path
        self._alive = contextlib.ExitStack()
        self._alive.enter_context(only_daemon(path))
        try:
            self.journal = open_journal(path)
            self.reading = JournalReader(SharedDatabase(path, JOURNAL))
            """For questions of people, which so never keep the engine waiting."""
        except BaseException:
            self._alive.close()
            raise
        self._warn_until = time.monotonic() + WARN_S
        self._note_history()
        self.store = SqliteStore(store_path(path))

    @property
    def status_path(self) -> Path:
        """Where the daemon publishes."""
        return status_path(self.path)

    @property
    def warning(self) -> str:
        """What the status says about the journal's file; empty if nothing."""
        return self.journal.recovered if time.monotonic() < self._warn_until else ""

    def close(self) -> None:
        """Let go of all files."""
        self._note_history()
        self.store.close()
        self.reading.close()
        self.journal.close()
        self._alive.close()

    def _note_history(self) -> None:
        """Note how far history has come, so that an older file in the journal's place is recognised."""
        with contextlib.suppress(JournalError):
            self.journal.keep_safe()


def open_journal(path: Path, *, last_resort: bool = False, check: bool = True) -> SqliteJournal:
    """Open the journal at `path`; see `SqliteJournal`. Raises `JournalError`."""
    line = published_line(status_path(path))
    return SqliteJournal(path, known_line=line, last_resort=last_resort, check=check)
