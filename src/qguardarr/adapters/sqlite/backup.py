"""Copies of the journal: made by SQLite beside whatever uses it, put back, or done without."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from qguardarr.adapters.sqlite import journal_place as places
from qguardarr.adapters.sqlite import journal_recovery as recovery
from qguardarr.adapters.sqlite.database import transaction
from qguardarr.adapters.sqlite.file_lock import FileLock
from qguardarr.adapters.sqlite.journal import SqliteJournal
from qguardarr.adapters.sqlite.journal_schema import MIGRATIONS, explained, migrate
from qguardarr.adapters.sqlite.originals import Originals, private_file, sync_folder
from qguardarr.errors import ConfigError, JournalError

LOCK_TIMEOUT_S: Final = 30.0
"""A rollback may be at work."""


def back_up(journal: Path, target: Path) -> None:
    """Copy a journal into a new file, whole and durably. Raises `ConfigError` (there is one), `JournalError`."""
    try:
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        raise ConfigError(
            f"{target}: there is a file already, and it was not touched. hint: give another name"
        ) from None
    except OSError as error:
        raise ConfigError(f"{target}: cannot be made: {error.strerror or error}") from None
    try:
        with closing(sqlite3.connect(journal)) as source, closing(sqlite3.connect(target)) as copy:
            copy.execute("PRAGMA synchronous = EXTRA")
            source.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE").fetchall()  # all of it in one file
        sync_folder(target.absolute().parent)
    except (sqlite3.Error, OSError) as error:
        target.unlink(missing_ok=True)
        raise explained(error, target) from error


def put_back(backup: Path, journal: Path) -> Path | None:
    """Put a backup in the place of the journal, which nobody uses now; the new name of what was there, if anything.

    The second copy of the originals stays: what it knows and the backup does not comes back at the next opening. Raises
    `ConfigError` if `backup` is none, `JournalError`.
    """
    new = journal.with_name(journal.name + ".new")
    try:
        new.unlink(missing_ok=True)
        os.close(private_file(new, journal, os.O_WRONLY | os.O_EXCL))
        name = _copy_checked(backup, new)
        with FileLock(journal.with_name(journal.name + ".lock")).held(LOCK_TIMEOUT_S):
            aside = places.put_aside(journal)
            copy = Originals(journal)
            state = copy.state()
            if state is not None and name is not None and state.mark.journal != name:
                copy.path.rename(copy.path.with_name((aside or journal).name + ".other" + copy.path.suffix))
            new.replace(journal)
            sync_folder(journal.parent)
    except (sqlite3.Error, OSError) as error:
        raise explained(error, journal) from error
    finally:
        with suppress(OSError):
            new.unlink(missing_ok=True)
    return aside


def _copy_checked(backup: Path, new: Path) -> str | None:
    """Name of the journal in `backup`, which is copied to `new`."""
    if not backup.is_file():
        raise ConfigError(f"{backup}: there is no such file")
    try:
        uri = backup.absolute().as_uri() + "?mode=ro"
        with (
            closing(sqlite3.connect(uri, uri=True)) as source,
            closing(_connect(new)) as db,
        ):
            if source.execute("PRAGMA application_id").fetchone()[0] != places.APPLICATION_ID:
                raise ConfigError(f"{backup}: it is no journal of Qguardarr")
            db.execute("PRAGMA synchronous = EXTRA")
            source.backup(db)
            if (found := db.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
                raise ConfigError(f"{backup}: it is damaged: {found}")
            db.execute("PRAGMA journal_mode = DELETE").fetchall()
            migrate(db, backup, MIGRATIONS)
            places.refuse_moved(db, backup)
            with transaction(db):
                recovery.forget_written(db)
            return recovery.name_of(db)
    except sqlite3.DatabaseError as error:
        raise ConfigError(f"{backup}: it cannot be read, or is no journal of Qguardarr ({error})") from None


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None)


def refuse_beside_originals(path: Path) -> None:
    """`JournalError` if there is anything that a rollback could restore."""
    state, known = Originals(path).state(), 0
    with suppress(JournalError):
        if places.look(path) is places.Found.DATABASE:
            with closing(SqliteJournal(path)) as journal:
                known = len(journal.touched())
    known = max(known, len(state.originals) if state else 0)
    if known:
        raise JournalError(
            f"journal {path}: it knows the originals of {known} torrents, so nothing is lost. hint: `qguardarr "
            "rollback` restores them"
        )


def begin_anew(path: Path) -> Path | None:
    """Make limits in force count as originals; the new name of a file that could not be used, if there was one."""
    aside = None
    try:
        journal = SqliteJournal(path)
    except JournalError:
        with suppress(OSError):
            aside = places.put_aside(path)
        journal = SqliteJournal(path)
    with closing(journal):
        journal.begin_anew()
    SqliteJournal(path).close()  # makes the second copy
    return aside
