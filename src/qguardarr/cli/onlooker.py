"""The journal as `preview` needs it: read, but never written."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext

from qguardarr.core.model import Change
from qguardarr.engine.ports import HistoryEntry, Journal, Touched
from qguardarr.errors import JournalError


class OnlookersJournal:
    """Passes reads to a journal (empty if there is none) and drops notes. Refuses intents and pauses."""

    def __init__(self, journal: Journal | None) -> None:
        self._journal = journal

    def touched(self, hashes: Collection[str] | None = None) -> dict[str, Touched]:
        return {} if self._journal is None else self._journal.touched(hashes)

    def recall(self, hashes: Collection[str] | None = None) -> Iterator[tuple[Touched, bool]]:
        return iter(()) if self._journal is None else self._journal.recall(hashes)

    def touched_at(self, hashes: Sequence[str]) -> dict[str, float]:  # noqa: ARG002 # the port's name
        return {}

    def recently_restored(self) -> dict[str, Touched]:
        return {} if self._journal is None else self._journal.recently_restored()

    def wrote(self, hash: str, limit: int) -> bool:  # noqa: A002 # the port's name
        return self._journal is not None and self._journal.wrote(hash, limit)

    def settle_unknown(self, limit_of: Callable[[str], int | None]) -> None:
        """Not noted."""

    def holding(self) -> str:
        return "" if self._journal is None else self._journal.holding()

    def has_begun(self) -> bool:
        return self._journal is not None and self._journal.has_begun()

    def make_room(self) -> bool:
        return False

    def generation(self) -> int:
        return 0 if self._journal is None else self._journal.generation()

    def paused(self) -> str | None:
        return None if self._journal is None else self._journal.paused()

    def history(
        self,
        *,
        hash: str | None = None,  # noqa: A002 # the port's name
        limit: int = 100,
        before_id: int | None = None,
    ) -> list[HistoryEntry]:
        return [] if self._journal is None else self._journal.history(hash=hash, limit=limit, before_id=before_id)

    def adopt(self, originals: dict[str, int], reason: str = "") -> None:
        """Not noted: the daemon will find it by itself."""

    def restored(self, hashes: Iterable[str]) -> None:
        """Not noted."""

    def renamed(self, old: str, new: str) -> None:
        """Not noted."""

    def missing(self, hashes: Collection[str]) -> None:
        """Not noted."""

    def intend(self, changes: Sequence[Change]) -> Sequence[int]:  # noqa: ARG002 # the port's name
        raise JournalError("a preview writes nothing (a defect of Qguardarr)")

    def applied(self, ids: Sequence[int]) -> None:
        """Nothing was intended."""

    def failed(self, ids: Sequence[int]) -> None:
        """Nothing was intended."""

    def set_paused(self, reason: str | None) -> None:  # noqa: ARG002 # the port's name
        raise JournalError("a preview writes nothing (a defect of Qguardarr)")

    def foreign(self) -> str:
        return "" if self._journal is None else self._journal.foreign()

    def set_foreign(self, note: str) -> None:
        """Not noted."""

    def configuration(self) -> str:
        return "" if self._journal is None else self._journal.configuration()

    def set_configuration(self, digest: str) -> None:
        """Not noted."""

    def prune(self, *, older_than_s: float, give_up_s: float | None = None) -> int:  # noqa: ARG002 # the port's name
        return 0

    def exclusive(self, timeout_s: float) -> AbstractContextManager[None]:  # noqa: ARG002 # the port's name
        return nullcontext()

    def close(self) -> None:
        """Whoever opened it closes it."""
