"""Files beside the journal, for this user alone: the lock between processes, and help for a full disk."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from qguardarr.errors import Busy, JournalError

RESERVE_BYTES: Final = 2 * 1024 * 1024
"""Enough to open the journal, and to note a pause and some thousand restored torrents."""
_ROOM_FACTOR: Final = 8
"""The reserve is made only where this many times its size is free."""
_POLL_S: Final = 0.02
"""flock has no time-out, so it is polled; a cycle holds the lock for far longer than this."""


def beside(path: Path, suffix: str) -> Path:
    """Return the path of a file whose name is that of `path` and a suffix."""
    return path.with_name(path.name + suffix)


def make_private(path: Path) -> None:
    """Make a file of mode 0600 unless there is one. SQLite gives its side files the same mode and owner.

    One that root makes belongs to whom the folder belongs to, who may run the daemon. Raises OSError.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags | os.O_EXCL, 0o600)
    except FileExistsError:
        os.close(os.open(path, flags, 0o600))
        return
    try:
        if os.geteuid() == 0:
            owner = path.parent.stat()
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
    finally:
        os.close(descriptor)


def open_private(path: Path, like: Path, flags: int) -> int:
    """Open (or make) a file of mode 0600. One that root makes beside another's journal belongs to that other.

    `like`: the journal. Raises OSError.
    """
    descriptor = os.open(path, flags | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if os.geteuid() == 0:
        try:
            owner = (like if like.exists() else path.parent).stat()
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
        except OSError:
            os.close(descriptor)
            raise
    return descriptor


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable, where the file system knows how. Raises OSError if it cannot be opened."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def files_of(database: Path) -> list[Path]:
    """Return those files of a database that exist: first SQLite's, which another file there would take for its own."""
    suffixes = ("-shm", "-wal", "-journal", "")
    return [file for suffix in suffixes if os.path.lexists(file := beside(database, suffix))]


def rename_database(path: Path, target: Path) -> None:
    """Give all files of a database another name, in place of those that have it. Raises OSError."""
    for file in files_of(target):
        file.unlink()
    for file in files_of(path):
        file.rename(beside(target, file.name.removeprefix(path.name)))


class FileLock:
    """A lock (flock) on a file. The kernel releases it when the holder dies, however it dies."""

    def __init__(self, path: Path) -> None:
        """`path`: of the lock's file, which is made when needed."""
        self._path = path
        self._holder: int | None = None

    @contextmanager
    def held(self, timeout_s: float) -> Iterator[None]:
        """Hold the lock. Raises `Busy` if it is not free within `timeout_s` seconds (0: one try).

        Raises `JournalError` in a thread that already holds it: it would wait for itself.
        """
        if self._holder == threading.get_ident():
            raise JournalError(f"lock {self._path}: this thread already holds it (a defect of Qguardarr)")
        descriptor = self._acquire(time.monotonic() + timeout_s)
        self._holder = threading.get_ident()
        try:
            yield
        finally:
            self._holder = None
            os.close(descriptor)

    def _acquire(self, deadline: float) -> int:
        while True:
            try:
                descriptor = self._try()
            except OSError as error:
                raise JournalError(
                    f"lock {self._path}: check the path and its permissions ({error.strerror})"
                ) from error
            if descriptor is not None:
                return descriptor
            if time.monotonic() >= deadline:
                raise Busy(f"another Qguardarr is at work (it holds {self._path}); try again in a moment")
            time.sleep(_POLL_S)

    def _try(self) -> int | None:
        """Try once, with a new descriptor, so that threads of one process exclude each other as well."""
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            if error.errno != errno.EROFS:
                raise
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)  # for a rollback; the lock holds all the same
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(descriptor), self._path.stat()):
                return descriptor
        except (BlockingIOError, FileNotFoundError):
            pass  # held by another; or deleted under us, and a lock on a file without a name excludes nobody
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        return None


class Reserve:
    """Lets a rollback work on a full disk: a file to give up, and a pause that takes no room."""

    def __init__(self, journal: Path) -> None:
        """`journal`: path of the database."""
        self._journal = journal
        self._file = beside(journal, ".reserve")
        self._pause = beside(journal, ".paused")

    def keep(self) -> None:
        """Make the reserve unless it exists or the disk has little room. Never raises."""
        with suppress(OSError):
            if self._file.exists():
                return
            room = os.statvfs(self._file.parent)
            if room.f_bavail * room.f_frsize < _ROOM_FACTOR * RESERVE_BYTES:
                return
            try:
                descriptor = open_private(self._file, self._journal, os.O_WRONLY)
                with os.fdopen(descriptor, "wb") as file:
                    file.write(os.urandom(RESERVE_BYTES))  # zeros would take no room on some file systems
            except OSError:
                self.give_up()

    def give_up(self) -> bool:
        """Delete the reserve. Return whether there was one."""
        try:
            self._file.unlink()
        except OSError:
            return False
        return True

    def pause(self, reason: str) -> None:
        """Note a pause by an empty file, with the reason in it if there is room. Raises OSError."""
        descriptor = open_private(self._pause, self._journal, os.O_WRONLY | os.O_TRUNC)
        with suppress(OSError), os.fdopen(descriptor, "wb") as file:
            file.write(reason.encode("utf-8", "replace"))

    def end_pause(self) -> None:
        """End that pause. Raises OSError."""
        self._pause.unlink(missing_ok=True)

    def paused(self) -> str | None:
        """Return the reason of that pause, or None. Raises OSError."""
        try:
            return self._pause.read_text("utf-8", "replace") or "the disk is full"
        except FileNotFoundError:
            return None
