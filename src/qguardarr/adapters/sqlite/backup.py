"""Backups of the journal: made while it is in use, and put back; and a start without a journal that was lost."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Final, NamedTuple

from qguardarr.adapters.sqlite import journal_place as places
from qguardarr.adapters.sqlite import journal_recovery as recovery
from qguardarr.adapters.sqlite.connections import connect, copy_whole
from qguardarr.adapters.sqlite.database import Database, WrongFile
from qguardarr.adapters.sqlite.journal import SqliteJournal
from qguardarr.adapters.sqlite.journal_schema import JOURNAL, touched_count
from qguardarr.adapters.sqlite.originals import Originals
from qguardarr.adapters.sqlite.side_files import FileLock, beside, open_private, sync_folder
from qguardarr.errors import ConfigError, JournalError

LOCK_TIMEOUT_S: Final = 30.0
"""A rollback may be at work."""


def back_up(journal: Path, target: Path) -> None:
    """Copy a journal, which may be in use, into a new file, whole and durably.

    Raises `ConfigError` (there is a file already, or it cannot be made), `JournalError`.
    """
    try:
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        reason = "there is a file already, and it was not touched"
        raise ConfigError(reason, place=str(target), hint="give another name") from None
    except OSError as error:
        raise ConfigError(f"{target}: cannot be made: {error.strerror or error}") from None
    try:
        with closing(connect(journal)) as source:
            copy_whole(source, target)
    except (sqlite3.Error, OSError) as error:
        target.unlink(missing_ok=True)
        raise JOURNAL.failure(error, target) from error


class PutBack(NamedTuple):
    """The result of a restoring."""

    aside: Path | None
    """New name of the journal that was there, if there was one."""
    earlier_format: int | None
    """Format of the backup, if that is not the present one."""


def put_back(backup: Path, journal: Path) -> PutBack:
    """Put a backup in the place of the journal, which nobody uses now.

    The second copy of the originals stays: originals that the backup lacks come back at the next opening. Raises
    `ConfigError` if `backup` is none, `JournalError`.
    """
    new = beside(journal, ".new")
    try:
        new.unlink(missing_ok=True)
        os.close(open_private(new, journal, os.O_WRONLY | os.O_EXCL))
        name, version = _copy_checked(backup, new)
        with FileLock(beside(journal, ".lock")).held(LOCK_TIMEOUT_S):
            aside = places.put_aside(journal)
            copy = Originals(journal)
            state = copy.state()
            if state is not None and name is not None and state.mark.journal != name:
                copy.path.rename(copy.path.with_name((aside or journal).name + ".other" + copy.path.suffix))
                state = None
            new.replace(journal)
            sync_folder(journal.parent)
            if state is None:  # else the next opening would say that the copy was lost
                with closing(Database.open(journal, JOURNAL)) as database:
                    recovery.write_copy(database.connection, copy)
                    database.into_one_file()
    except (sqlite3.Error, OSError) as error:
        raise JOURNAL.failure(error, journal) from error
    finally:
        with suppress(OSError):
            new.unlink(missing_ok=True)
    return PutBack(aside, version if version < len(JOURNAL.migrations) else None)


def _copy_checked(backup: Path, new: Path) -> tuple[str | None, int]:
    """Copy `backup` to the empty file `new`, at the present version. Return the journal's name, and its version."""
    if not backup.is_file():
        raise ConfigError(f"{backup}: there is no such file")
    try:
        with closing(connect(backup, "?mode=ro")) as source:
            if source.execute("PRAGMA application_id").fetchone()[0] != JOURNAL.application_id:
                raise ConfigError(f"{backup}: it is no journal of Qguardarr")
            version: int = source.execute("PRAGMA user_version").fetchone()[0]
            copy_whole(source, new)
        with closing(Database.open(new, JOURNAL, durable=True)) as database:
            database.check()
            with database.transaction(sync=True) as db:
                recovery.mark_all_unknown(db)
            name = recovery.journal_name(database.connection)
            database.into_one_file()
            return name, version
    except WrongFile as error:
        raise JOURNAL.failure(error, backup) from None
    except sqlite3.DatabaseError as error:
        raise ConfigError(f"{backup}: it cannot be read, or is no journal of Qguardarr ({error})") from None


def refuse_beside_originals(path: Path) -> None:
    """Raise `JournalError` if there is anything that a rollback could restore."""
    state, known = Originals(path).state(), 0
    with suppress(JournalError):
        if places.look(path) is places.Found.DATABASE:
            with closing(SqliteJournal(path)) as journal, journal.file.reading() as db:
                known = touched_count(db)
    known = max(known, state.touched if state else 0)
    if known:
        raise JournalError(
            f"it knows the originals of {known} torrents, so nothing is lost",
            place=f"journal {path}",
            hint="`qguardarr rollback` restores them",
        )


def begin_anew(path: Path) -> Path | None:
    """Make limits in force count as originals. Return the new name of a file that could not be used, if any."""
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
