"""What lets a rollback work on a full disk: a file that is given up for it, and a pause that takes no room."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from qguardarr.adapters.sqlite.private_files import beside, open_private

RESERVE_BYTES: Final = 2 * 1024 * 1024
"""Enough to open the journal, to note a pause, and some thousand torrents restored."""
_ROOM_FACTOR: Final = 8
"""The reserve is made only where this many times its size is free."""


class Reserve:
    """Files beside the journal."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._file = beside(journal, ".reserve")
        self._pause = beside(journal, ".paused")

    def keep(self) -> None:
        """Make the reserve unless it is there, or the disk has little room. Never raises."""
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
        """Delete the reserve; whether there was one."""
        try:
            self._file.unlink()
        except OSError:
            return False
        return True

    def pause(self, reason: str) -> None:
        """Note a pause without the journal. Its existence counts: for the reason there may be no room. OSError."""
        descriptor = open_private(self._pause, self._journal, os.O_WRONLY | os.O_TRUNC)
        with suppress(OSError), os.fdopen(descriptor, "wb") as file:
            file.write(reason.encode("utf-8", "replace"))

    def end_pause(self) -> None:
        """Forget that pause. Raises OSError."""
        self._pause.unlink(missing_ok=True)

    def paused(self) -> str | None:
        """The reason of that pause, or None. Raises OSError."""
        try:
            return self._pause.read_text("utf-8", "replace") or "the disk is full"
        except FileNotFoundError:
            return None
