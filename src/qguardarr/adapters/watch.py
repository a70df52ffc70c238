"""Notice that the content of the configuration file has changed.

The content is compared once the file rests, so half-written files and writes of the same text go unnoticed. inotify
says when to compare. Where it is silent (a file mounted by itself, a folder that is missing yet, a link in the path
that leads elsewhere now), a `stat` every few seconds finds the change.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import stat
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import structlog
import watchfiles

SETTLE_S: Final = 0.3
"""A file that has changed is read when it has stayed the same for that long."""
POLL_S: Final = 5.0
"""Between two looks when no event comes."""
STEP_S: Final = 0.2
"""How often watchfiles collects events; it looks that often whether it is to stop, too."""
CLOSE_S: Final = 1.0
_MOST_BYTES: Final = 2 * 1024 * 1024
"""Twice what a configuration may have."""

_Fingerprint = tuple[str, int, int, int, int, int]
_log = structlog.get_logger(__name__)
logging.getLogger("watchfiles").setLevel(logging.WARNING)  # else it has a line for every file written in the folder


class FileWatch:
    """Call back, from a thread of its own, each time the content of the file at `path` has changed.

    The first comparison is with the content at construction, so construct it before the file is read. A file that is
    gone, unreadable or no regular file has no content, and neither that nor its return unchanged counts. Links are
    followed, and may be changed to lead elsewhere.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()
        self._changed: Callable[[], object] = lambda: None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._content = Content(self._path)
        self._complained = False
        self._others: dict[Path, Content] = {}

    def also(self, paths: Iterable[Path]) -> None:
        """Watch these files, too, and no longer others named before. They are compared every few seconds only."""
        self._others = {path: self._others.get(path) or Content(path) for path in paths}

    def start(self, changed: Callable[[], object]) -> None:
        """Begin to watch; `changed` is called each time."""
        self._changed = changed
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether it watches: from `start` to the end of `close`."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Stop watching, within a second unless `changed` takes longer. Never raises."""
        self._stop.set()
        if self.running and self._thread is not threading.current_thread():
            self._thread.join(CLOSE_S)

    def _run(self) -> None:
        while not self._stop.is_set():
            folders = self._folders()
            try:
                self._watch(folders)
            except FileNotFoundError:
                self._stop.wait(STEP_S)  # gone since we looked
            except (OSError, RuntimeError) as error:
                if not self._complained:
                    _log.warning("watch.polling", path=str(self._path), every_s=POLL_S, reason=str(error))
                self._complained = True
                self._stop.wait(POLL_S)
            if not folders:
                self._stop.wait(POLL_S)
            self._look()

    def _watch(self, folders: dict[str, tuple[int, int]]) -> None:
        """Compare at each event, and now and then without one, until other folders have to be watched."""
        if not folders:
            return
        events = watchfiles.watch(
            *folders,
            watch_filter=None,  # a filter would keep the looks away for as long as neighbours are written
            step=round(STEP_S * 1000),
            debounce=round(STEP_S * 1000),
            rust_timeout=round(POLL_S * 1000),
            yield_on_timeout=True,
            stop_event=self._stop,
            recursive=False,
            force_polling=False,
        )
        with contextlib.closing(events):
            for changes in events:
                self._look()
                gone = any(path in folders for change, path in changes if change is watchfiles.Change.deleted)
                if gone or self._folders() != folders:
                    return

    def _folders(self) -> dict[str, tuple[int, int]]:
        """Return the folders of the file and of its link target, if they exist, with device and inode."""
        folders = {}
        for folder in (self._path.parent, Path(os.path.realpath(self._path)).parent):
            with contextlib.suppress(OSError):
                found = folder.stat()
                folders[str(folder)] = (found.st_dev, found.st_ino)
        return folders

    def _look(self) -> None:
        """Call back if the content has changed, here or in one of the other files."""
        changed = [content.has_changed(self._stop) for content in (self._content, *self._others.values())]
        if any(changed):
            try:
                self._changed()
            except Exception:
                _log.exception("watch.failed", path=str(self._path))


class Content:
    """Content of a file at the last look."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fingerprint = fingerprint_of(path)
        self._digest = None if self._fingerprint is None else digest_of(path)

    def has_changed(self, stop: threading.Event) -> bool:
        """Return whether the content has changed. Waits until the file rests, or `stop`."""
        before, found = self._fingerprint, fingerprint_of(self._path)
        if found == before:
            return False
        while found != before:
            if stop.wait(SETTLE_S):
                return False
            before, found = found, fingerprint_of(self._path)
        digest = None if found is None else digest_of(self._path)
        self._fingerprint = None if digest is None else found
        if digest is None or digest == self._digest:
            return False
        self._digest = digest
        return True


def fingerprint_of(path: Path) -> _Fingerprint | None:
    """Return values that change whenever the content does, without reading it; None if there is no regular file."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            return None
        target = os.path.realpath(path)
    except OSError:
        return None
    return target, found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def digest_of(path: Path) -> bytes | None:
    """Return a digest of the content; None if it cannot be read."""
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            return hashlib.sha256(file.read(_MOST_BYTES) or b"").digest()
    except OSError:
        return None


def _open_at_once(path: str, flags: int) -> int:
    """Open without waiting: a FIFO may have come in the file's place since it was looked at."""
    return os.open(path, flags | os.O_NONBLOCK)
