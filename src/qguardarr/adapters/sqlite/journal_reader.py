"""Questions to a journal: about torrents, about history, and the settings in it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from qguardarr.adapters.sqlite import journal_queries as queries
from qguardarr.adapters.sqlite import journal_settings as settings
from qguardarr.adapters.sqlite.shared_database import SharedDatabase
from qguardarr.adapters.sqlite.side_files import Reserve
from qguardarr.engine.ports import HistoryEntry, Touched


class JournalReader:
    """The part of `Journal` of `engine.ports`, which describes the methods, that writes nothing."""

    def __init__(self, file: SharedDatabase) -> None:
        self.file: SharedDatabase = file
        self._reserve = Reserve(file.path)

    def touched(self, hashes: Collection[str] | None = None) -> dict[str, Touched]:
        with self.file.reading() as db:
            return {found.hash: found for found in queries.touched(db, hashes)}

    def recall(self, hashes: Collection[str] | None = None) -> Iterator[tuple[Touched, bool]]:
        with self.file.reading() as db:
            for found in queries.recently_restored(db, hashes):
                yield found, False
            for found in queries.touched(db, hashes):
                yield found, True

    def touched_at(self, hashes: Sequence[str]) -> dict[str, float]:
        with self.file.reading() as db:
            return queries.touched_at(db, hashes)

    def recently_restored(self) -> dict[str, Touched]:
        with self.file.reading() as db:
            return {found.hash: found for found in queries.recently_restored(db)}

    def wrote(self, hash: str, limit: int) -> bool:  # noqa: A002 # the port's name
        with self.file.reading() as db:
            return queries.wrote(db, hash, limit)

    def history(
        self,
        *,
        hash: str | None = None,  # noqa: A002 # the port's name
        limit: int = 100,
        before_id: int | None = None,
    ) -> list[HistoryEntry]:
        with self.file.reading() as db:
            return queries.history(db, hash, limit, before_id)

    def hashes(self, prefix: str, *, limit: int) -> list[str]:
        """Return torrents in history whose hash begins with these digits, `limit` of them at most."""
        with self.file.reading() as db:
            return queries.hashes(db, prefix, limit)

    def paused(self) -> str | None:
        with self.file.reading() as db:
            reason = settings.get(db, settings.PAUSED)
            return self._reserve.paused() if reason is None else reason

    def foreign(self) -> str:
        return self._setting(settings.FOREIGN)

    def configuration(self) -> str:
        return self._setting(settings.CONFIGURATION)

    def holding(self) -> str:
        with self.file.reading() as db:
            return settings.holding(db)

    def has_begun(self) -> bool:
        with self.file.reading() as db:
            return settings.has_begun(db)

    def close(self) -> None:
        """Let go of the file. May be called twice."""
        self.file.close()

    def _setting(self, name: str) -> str:
        with self.file.reading() as db:
            return settings.get(db, name) or ""
