"""Changes and times for tests of the journal."""

from __future__ import annotations

from qguardarr.core.model import Change
from qguardarr.engine.ports import Journal, TorrentClient

A, B, C = "a" * 40, "b" * 40, "0123456789abcdef0123456789abcdef01234567"
DAY_S = 86_400.0


class Now:
    """Unix time of the test."""

    def __init__(self) -> None:
        self.at = 1_700_000_000.0

    def __call__(self) -> float:
        return self.at


def change(torrent: str, new: int, *, old: int = 5_000, original: int = 5_000, reason: str = "fair share") -> Change:
    return Change(hash=torrent, old=old, new=new, original=original, reason=reason)


def write(journal: Journal, torrent: str, new: int, *, original: int = 5_000) -> None:
    journal.applied(journal.intend([change(torrent, new, original=original)]))


def guard_writes(client: TorrentClient, journal: Journal, limits: dict[str, int], instance: str = "") -> None:
    """Capture, intend, write and settle, as a cycle does."""
    now = client.upload_limits(list(limits))
    ids = journal.intend([Change(name, now[name], new, now[name], "", instance) for name, new in limits.items()])
    for name, new in limits.items():
        client.set_upload_limit(new, [name])
    journal.applied(ids)
