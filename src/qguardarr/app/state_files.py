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
from qguardarr.adapters.sqlite.store import SqliteStore, store_path
from qguardarr.adapters.statusfile import only_daemon, status_path
from qguardarr.app.settings import open_journal
from qguardarr.errors import JournalError

WARN_S: Final = 86_400.0
"""How long it is shown that something of the journal was put back."""


class Files:
    """Held by one daemon at a time."""

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
            self.reading = SqliteJournal(path, follow=True)
            """For looking, which so never keeps the engine waiting."""
        except BaseException:
            self._alive.close()
            raise
        self._warn_until = time.monotonic() + WARN_S
        self._note_line()
        self.store = SqliteStore(store_path(path))

    @property
    def status_path(self) -> Path:
        """Where the daemon publishes."""
        return status_path(self.path)

    @property
    def warning(self) -> str:
        """What a person should know of the journal's file; empty if there is nothing."""
        return self.journal.recovered if time.monotonic() < self._warn_until else ""

    def close(self) -> None:
        """Let go of them."""
        self._note_line()
        self.store.close()
        self.reading.close()
        self.journal.close()
        self._alive.close()

    def _note_line(self) -> None:
        """So that an older file in the journal's place is recognised at the next opening."""
        with contextlib.suppress(JournalError):
            self.journal.keep_safe()
