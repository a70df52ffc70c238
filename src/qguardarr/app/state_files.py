"""The daemon's own files: journal, store, kept API key, status, and the lock that says it is alive.

`rollback.database_path` names the journal; all others stand beside it. Earlier versions took a relative path from the
working directory; `open_files` brings what they left to the place that is meant now.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import structlog

from qguardarr.adapters import keys
from qguardarr.adapters.sqlite import journal_place as places
from qguardarr.adapters.sqlite.file_lock import FileLock
from qguardarr.adapters.sqlite.journal import SqliteJournal
from qguardarr.adapters.sqlite.originals import private_file, sync_folder
from qguardarr.adapters.sqlite.store import SqliteStore, store_path
from qguardarr.adapters.statusfile import only_daemon, published_line, status_path
from qguardarr.errors import JournalError

LOCK_TIMEOUT_S: Final = 10.0
"""A rollback may hold the journal's lock for some seconds."""
WARN_S: Final = 86_400.0
"""How long it is shown that something of the journal was put back."""

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


def open_journal(path: Path, *, moves: bool = False, last_resort: bool = False) -> SqliteJournal:
    """The journal at `path`; a `JournalError` says what to do about a file that is not ours.

    `moves`: it is at a former place, and to be brought elsewhere at the next start. `last_resort`: even if nothing can
    be written to it.
    """
    line = published_line(status_path(path))
    try:
        return SqliteJournal(path, known_line=line, with_copy=not moves, last_resort=last_resort)
    except JournalError as error:
        if _is_foreign_database(path):
            raise JournalError(
                f"journal {path}: it belongs to the earlier Qguardarr or to another program, and was not touched. "
                "If the earlier Qguardarr has limits in force, let it roll them back first (POST /rollback) and stop "
                f"it; then set rollback.database_path to a new file, for example {path.with_name('qguardarr.db')}"
            ) from error
        raise


def open_files(path: Path, former: Iterable[Path] = ()) -> Files:
    """The files with the journal at `path`, brought there from one of the `former` places if it is still at one."""
    found = places.in_use(path, former)
    if found != path:
        bring(found, path)
    else:
        places.finish_moves(path, former)
    return Files(path)


def bring(old: Path, new: Path) -> None:
    """Move the journal and what stands beside it. Killed at any point, it is at one of the two places, and whole.

    First what may be lost goes along, then the journal gets its second name (or is copied, to another file system), and
    then a text that says where to takes its place, which no version mistakes for a journal. Raises `Busy` (something
    uses it), `JournalError`.
    """
    with contextlib.ExitStack() as held:
        held.enter_context(only_daemon(old))
        held.enter_context(only_daemon(new))
        held.enter_context(FileLock(old.with_name(old.name + ".lock")).held(LOCK_TIMEOUT_S))
        try:
            _in_one_file(old)
            keys.copied(old.parent, new.parent)
            for part in (store_path, status_path):
                if part(old).is_file() and not part(new).exists():
                    with contextlib.suppress(sqlite3.Error):
                        if part is store_path:
                            _in_one_file(part(old))
                    _put(part(old), part(new))
            _put(old, new)
            places.leave_signpost(old, new)
            for left in (store_path(old), status_path(old)):
                left.unlink(missing_ok=True)
        except (sqlite3.Error, OSError) as error:
            raise JournalError(
                f"journal {old}: it cannot be brought to {new}: {error}. hint: end whatever else uses it, make both "
                "folders writable for this user; or name the old place in rollback.database_path"
            ) from error
    log.warning(
        "journal_moved", old=str(old), new=str(new), reason="relative paths start at the configuration's folder"
    )


def _is_foreign_database(path: Path) -> bool:
    """Whether there is a SQLite file that no version of this journal made (it would carry its application id)."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        header = file.read(72)
        return header.startswith(b"SQLite format 3\0") and header[68:72] == bytes(4)
    return False


def _in_one_file(path: Path) -> None:
    """Have SQLite put all that a database holds into its main file. `sqlite3.Error` if another process uses it."""
    with contextlib.closing(sqlite3.connect(path, timeout=2.0, isolation_level=None)) as db:
        found = db.execute("PRAGMA journal_mode = DELETE").fetchone()[0]
        if found != "delete":
            raise sqlite3.OperationalError("another program has it open")


def _put(old: Path, new: Path) -> None:
    """The same file at another place, whole or not at all; the old one stays."""
    if new.exists() and new.stat().st_size == 0:
        new.unlink()
    try:
        os.link(old, new)
    except FileExistsError:
        raise
    except OSError:
        part = new.with_name(new.name + ".part")
        part.unlink(missing_ok=True)
        with old.open("rb") as source, os.fdopen(private_file(part, old, os.O_WRONLY), "wb") as target:
            while block := source.read(1 << 20):
                target.write(block)
            target.flush()
            os.fsync(target.fileno())
        part.rename(new)
    sync_folder(new.parent)
