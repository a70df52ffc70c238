"""A journal for a preview: a copy in memory, in which the engine may note what it learns while it only looks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Self

from qguardarr.adapters.sqlite.journal import SqliteJournal
from qguardarr.adapters.sqlite.journal_reader import JournalReader


class PreviewJournal(SqliteJournal):
    """Begin as the journal at `path`, and leave that alone.

    History is not copied, which would be a hundred bytes for each of a million lines: it is looked up where it lies.
    """

    def __init__(self, path: Path, kept: JournalReader | None) -> None:
        """`kept`: the journal itself; None if there is none."""
        super().__init__(path, in_memory=True)
        self._kept = kept
        self._adopted: set[tuple[str, int]] = set()
        self._former: dict[str, str] = {}
        """Hashes under which `kept` knows torrents that were renamed."""

    def of(self, instance: str) -> Self:
        other = super().of(instance)
        other.look_up(None if self._kept is None else self._kept.of(instance))
        return other

    def look_up(self, kept: JournalReader | None) -> None:
        """Begin with nothing noted, and look up in `kept` what is not."""
        self._kept, self._adopted, self._former = kept, set(), {}

    def wrote(self, hash: str, limit: int) -> bool:  # noqa: A002 # the port's name
        if super().wrote(hash, limit):
            return True
        return (
            self._kept is not None
            and (hash, limit) not in self._adopted
            and self._kept.wrote(self._former.get(hash, hash), limit)
        )

    def adopt(self, originals: Mapping[str, int], reason: str = "set by hand") -> None:
        super().adopt(dict(originals), reason)
        self._adopted.update(originals.items())

    def renamed(self, old: str, new: str) -> None:
        super().renamed(old, new)
        self._former[new] = self._former.pop(old, old)
