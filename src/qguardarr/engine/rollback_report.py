"""What became of each torrent in a rollback or a reset."""

from __future__ import annotations

import msgspec


class RollbackReport(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome for each torrent, by hash."""

    restored: tuple[str, ...] = ()
    """Had a limit of ours; the original was put back and read back."""
    already_original: tuple[str, ...] = ()
    """Had their original already."""
    by_hand: dict[str, int] = {}
    """Have a limit (bytes/s or UNLIMITED) that a person set meanwhile: left as it is, and no longer ours."""
    gone: tuple[str, ...] = ()
    """Not in qBittorrent now. Kept in the journal, since they may come back."""
    failed: dict[str, str] = {}
    """Not verified, with the reason in words. Kept in the journal for the next attempt."""
    untouched: tuple[str, ...] = ()
    """Asked for, but the journal knows no limit of ours on them."""
    unnoted: tuple[str, ...] = ()
    """Settled, but the journal could not take note, and still holds them."""
    unnoted_why: str = ""
    """Why it could not, in words."""

    @property
    def pending(self) -> tuple[str, ...]:
        """Torrents that the journal still holds: `gone`, `failed` and `unnoted`."""
        return (*self.gone, *self.failed, *self.unnoted)

    @property
    def complete(self) -> bool:
        """Whether every torrent that qBittorrent has is as its person wants it."""
        return not self.failed

    @property
    def why_incomplete(self) -> str:
        """Reason of the pause after a rollback that did not restore all."""
        total = len(self.failed) + len(self.restored) + len(self.already_original) + len(self.by_hand)
        return (
            f"rolled back incompletely: {len(self.failed)} of {total} limits may still be ours; "
            "run `qguardarr rollback` again"
        )
