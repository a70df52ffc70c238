"""The daemon's own files: journal, store, kept API key, status, and the lock that says it is alive. They move together.

`rollback.database_path` names the journal; all others stand beside it.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

import structlog

from qguardarr.adapters import keys
from qguardarr.adapters._journal_place import JournalMoved
from qguardarr.adapters.journal import SqliteJournal
from qguardarr.adapters.statusfile import forget_daemon, only_daemon, other_daemons, status_path
from qguardarr.adapters.store import SqliteStore, store_path
from qguardarr.errors import JournalError
from qguardarr.wiring import open_journal

LOCK_TIMEOUT_S: Final = 10.0
"""A cycle or a rollback may hold the journal's lock for some seconds."""

log = structlog.get_logger("qguardarr.files")


class Files:
    """Held by one daemon at a time."""

    def __init__(self, path: Path) -> None:
        """With the journal at `path`. Raises `Busy` (another daemon has it) and `JournalError`."""
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
        self.store = SqliteStore(store_path(path))

    @property
    def status_path(self) -> Path:
        """Where the daemon publishes."""
        return status_path(self.path)

    def close(self) -> None:
        """Let go of them."""
        self.store.close()
        self.reading.close()
        self.journal.close()
        self._alive.close()

    def key_for(self, path: Path) -> contextlib.AbstractContextManager[None]:
        """While they move to `path`: the kept API key is there first, unless that fails."""
        return keys.carried(self.path.parent, path.parent)

    def move_to(self, path: Path) -> None:
        """Go on with the journal, and all that goes with it, at `path`.

        Raises `ConfigError` (a file is there already), `JournalError`, `StoreError`, `Busy`; then nothing has moved.
        """
        if _spot(path) == _spot(self.path):
            return
        self.journal.check_move_to(path)
        alive = contextlib.ExitStack()
        alive.enter_context(only_daemon(path))
        try:
            with self.journal.exclusive(LOCK_TIMEOUT_S), self.store.moving_to(store_path(path)):
                self.journal.move_to(path)
        except BaseException:
            forget_daemon(path)
            alive.close()
            raise
        # From here on nothing can fail.
        self.reading.go_on_at(path)
        old, self.path = self.path, path
        before, self._alive = self._alive, alive
        forget_daemon(old)
        before.close()
        if old.parent.resolve() != path.parent.resolve() and not other_daemons(old):
            with contextlib.suppress(OSError):
                (old.parent / keys.FILE_NAME).unlink(missing_ok=True)
        log.info("journal_moved", file=str(path), advice=f"{old} is of no use any more, and may be deleted")


def open_files(path: Path) -> Files:
    """The files with the journal at `path`; if it was moved elsewhere, or on its way, it is brought there."""
    try:
        return Files(path)
    except JournalMoved as moved:
        place = moved.place
    if not place.exists():
        raise JournalError(
            f"journal {path}: the journal was at {place}, and that file is gone. mend: bring it back; or, if originals "
            f"may be lost, move {path} away to begin anew"
        )
    files = Files(place)
    try:
        with files.key_for(path):
            files.move_to(path)
    except BaseException:
        files.close()
        raise
    return files


def _spot(path: Path) -> Path:
    """The same for all spellings of a path."""
    return Path(os.path.realpath(path.parent)) / path.name
