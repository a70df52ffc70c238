"""Files beside the journal that let a rollback work on a full disk: a reserve to give up, and a pause of no size."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from qguardarr.adapters.sqlite.private_files import beside, open_private

RESERVE_BYTES: Final = 2 * 1024 * 1024
"""Enough to open the journal, and to note a pause and some thousand restored torrents."""
_ROOM_FACTOR: Final = 8
"""The reserve is made only where this many times its size is free."""


class Reserve:
    """The reserve and the pause of one journal."""

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
