"""The lock between processes: its holder alone may write limits to qBittorrent."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from qguardarr.errors import Busy, JournalError

_POLL_S: Final = 0.02
"""flock has no time-out, so it is polled; a cycle holds the lock for far longer than this."""


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
