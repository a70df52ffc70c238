"""What waits to be told to another program, and must outlive a restart."""

from __future__ import annotations

from typing import Protocol

import msgspec


class Entry(msgspec.Struct, frozen=True, gc=False):
    """A completed torrent of which cross-seed does not know yet. Times are Unix seconds."""

    info_hash: str
    """qBittorrent's id, 40 hex digits in lower case."""
    added_at: float
    attempts: int = 0
    next_try_at: float = 0.0
    """Not to be tried again before that."""
    last_error: str = ""
    """Why the last attempt failed, in words and free of secrets; empty before the first."""


class Outbox(Protocol):
    """Keeps entries on disk. Every method raises `StoreError` when it cannot, and then has changed nothing."""

    def outbox(self, limit: int) -> list[Entry]:
        """The oldest entries, oldest first."""
        ...

    def outbox_put(self, entry: Entry) -> None:
        """Keep it, in place of what was kept for the same torrent."""
        ...

    def outbox_remove(self, info_hash: str) -> None:
        """Forget it, if it is there."""
        ...
