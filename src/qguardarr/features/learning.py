"""Keep over a restart what was learnt of torrents and trackers (see `core.measure.learnt`)."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import structlog

from qguardarr.core.measure.learnt import TORRENTS, Learnt, Memory, changed_much, decode, encode
from qguardarr.core.reconcile.recollection import memory_of, recall
from qguardarr.core.reconcile.registry import TorrentRegistry
from qguardarr.engine.feature_ports import LearntStore
from qguardarr.engine.status import Status
from qguardarr.errors import StoreError
from qguardarr.features.feature import Feature
from qguardarr.features.history import MINUTE_S

REWRITE_S: Final = 600.0
"""The torrents are written again after this, seconds, even if little has changed: to forget those that are gone."""
END_S: Final = 2.0
"""For how long the end of the daemon waits for a write that is under way, seconds."""

log = structlog.get_logger("qguardarr.learning")


class LearntMemory(Feature):
    """Write once a minute, in a thread of its own. Registered after the history, which is then done with the store.

    Losing it costs a minute of learning, so whatever fails here is logged, once, and nothing else comes of it.
    """

    name = "learnt rates"

    def __init__(
        self,
        registry: TorrentRegistry,
        store: LearntStore,
        *,
        wall_clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._registry = registry
        self._store = store
        self._wall_now, self._now = wall_clock, monotonic
        self._torrents: Sequence[Learnt] = ()
        """As they were written last."""
        self._torrents_at: float | None = None
        """When that was, Unix time; None if they have to be written again."""
        self._minute: float | None = None
        self.saving: threading.Thread | None = None
        """Writes, or wrote last."""
        self._problem = ""

    def start(self) -> None:
        """Have the registry go on from the last run."""
        try:
            parts = self._store.learnt()
        except StoreError as error:
            self._problem = str(error)
            log.warning("learnt_not_read", reason=str(error), advice="rates and demands are learnt again")
            return
        memory = decode(parts, self._wall_now())
        if memory.torrents or memory.trackers:
            recall(self._registry, memory, self._epoch())
            log.info("learnt_recalled", torrents=len(memory.torrents), trackers=len(memory.trackers))

    def on_cycle(self, status: Status) -> None:
        minute = math.floor(status.at / MINUTE_S)
        if self._minute is not None and minute != self._minute:
            self.save_beside()
        self._minute = minute

    def save_beside(self) -> None:
        """Write in a thread of its own, so that the engine does not wait for the disk."""
        if self._registry.loaded and (self.saving is None or not self.saving.is_alive()):
            memory = memory_of(self._registry, self._epoch())
            self.saving = threading.Thread(target=self._save, args=(memory,), name="learning", daemon=True)
            self.saving.start()

    def close(self) -> None:
        """Write once more, at the end of the daemon. Never raises."""
        if self.saving is not None:
            self.saving.join(END_S)
            if self.saving.is_alive():
                return
        if self._registry.loaded:
            self._torrents_at = None
            self._save(memory_of(self._registry, self._epoch()))

    def _epoch(self) -> float:
        return self._wall_now() - self._now()

    def _save(self, memory: Memory) -> None:
        at = self._wall_now()
        if not memory.torrents and not self._torrents and self._torrents_at is not None:
            return
        if self._torrents_at is not None:
            old = not 0.0 <= at - self._torrents_at < REWRITE_S
            if old or changed_much(self._torrents, memory.torrents):
                self._torrents_at = None
        parts = encode(memory, at, self._torrents_at)
        try:
            self._store.keep_learnt(parts)
        except StoreError as error:
            if not self._problem:
                log.warning("learnt_not_kept", reason=str(error), advice="after a restart it is learnt again")
            self._problem = str(error)
            return
        self._problem = ""
        if TORRENTS in parts:
            self._torrents, self._torrents_at = memory.torrents, at


class NamedLearnt:
    """The store as it keeps what was learnt of one of several qBittorrents."""

    def __init__(self, store: LearntStore, instance: str) -> None:
        self._store = store
        self._begin = f"{instance}/"

    def learnt(self) -> dict[str, bytes]:
        """Return its parts."""
        parts = self._store.learnt().items()
        return {part.removeprefix(self._begin): body for part, body in parts if part.startswith(self._begin)}

    def keep_learnt(self, parts: Mapping[str, bytes]) -> None:
        """Keep these parts of it."""
        self._store.keep_learnt({self._begin + part: body for part, body in parts.items()})
