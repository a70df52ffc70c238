"""Tell cross-seed of completed torrents, in a thread of its own, and one more for each request.

`complete` touches neither disk nor network. The thread puts completions into the outbox and then tells cross-seed
(`POST /api/webhook` with `infoHash`, as cross-seed 6 takes it), by the rules of `qguardarr.features.completion_queue`.
Completions that arrive during a request are on disk at once all the same.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final

import structlog

from qguardarr.adapters.crossseed_webhook import Webhook
from qguardarr.engine.feature_ports import Entry, Outbox
from qguardarr.engine.settings import CrossSeedSettings, Settings
from qguardarr.engine.status import CrossSeedCounts
from qguardarr.features.completion_queue import MOST_WAITING, CompletionQueue, Kind, Outcome
from qguardarr.features.feature import Feature

CLOSE_S: Final = 1.5
"""How long `close` waits for the thread."""
REMEMBER_S: Final = 300.0
"""How long a loss is shown after it happened: nobody can put it right, but somebody should see it."""
_DEFECT_PAUSE_S: Final = 60.0
"""Pause after a defect of our own, which would come back at once."""

log = structlog.get_logger("qguardarr.crossseed")


class CrossSeedForwarder(Feature):
    """Forward completions that the webhook brings. All methods may be called from any thread."""

    name = "cross-seed"

    def __init__(self, outbox: Outbox, settings: CrossSeedSettings, *, now: Callable[[], float] = time.time) -> None:
        """Prepare it. `outbox`: keeps what waits over restarts; `now`: Unix time, seconds."""
        self._queue = CompletionQueue(outbox)
        self._now = now
        self._lock = threading.Lock()
        """Guards the attributes below; held for moments only."""
        self._arrived: dict[str, float] = {}
        self._settings = settings
        self._webhook = Webhook(settings) if settings.url is not None else None
        self._new_settings = False
        self._started = self._closing = False
        self._dropped = 0
        self.dropped_at = -math.inf
        """When a completion was dropped last, monotonic seconds."""
        self.failed_at = -math.inf
        """When cross-seed last did not take one, monotonic seconds."""
        self._full = False
        self._defect = ""
        self._thread: threading.Thread | None = None
        self._under_way = False
        self._told: tuple[Entry, Outcome] | None = None
        """Result of the request that was under way."""
        self._wake = threading.Event()

    def start(self) -> None:
        """Begin. Without a URL there is no thread."""
        with self._lock:
            self._started = True
            self._need_thread()

    def complete(self, info_hash: str) -> None:
        """Forward that a torrent (40 hex digits, qBittorrent's id) is complete. Ignored while cross-seed is off."""
        info_hash = info_hash.lower()
        with self._lock:
            if self._webhook is None or info_hash in self._arrived or info_hash in self._queue:
                return
            was_full, self._full = self._full, len(self._arrived) + self._queue.pending >= MOST_WAITING
            if self._full:
                self._dropped += 1
                self.dropped_at = time.monotonic()
            else:
                self._arrived[info_hash] = self._now()
        if not self._full:
            self._wake.set()
        elif not was_full:
            log.warning("completions_dropped", advice="the queue for cross-seed is full", most=MOST_WAITING)

    def configure(self, settings: CrossSeedSettings) -> None:
        """Take up other settings: end a request that is under way, and try at once all that waits."""
        with self._lock:
            if settings == self._settings:
                return
            old, self._settings = self._webhook, settings
            self._webhook = Webhook(settings) if settings.url is not None else None
            self._new_settings = True
            self._need_thread()
        if old is not None:
            old.abort()
        self._wake.set()

    def adopt(self, settings: Settings) -> None:
        self.configure(settings.cross_seed)

    def problems(self) -> Iterator[str]:
        now, counts = time.monotonic(), self.counts()
        if counts.problem and (counts.pending or now - self.failed_at < REMEMBER_S):
            yield f"cross-seed: {counts.problem} ({counts.pending} completions wait)"
        if now - self.dropped_at < REMEMBER_S:
            yield "cross-seed: so many completions waited that it will never be told of some"

    def counts(self) -> CrossSeedCounts:
        """Return what became of completions."""
        queue = self._queue
        with self._lock:
            enabled = self._webhook is not None
            return CrossSeedCounts(
                enabled=enabled,
                pending=len(self._arrived) + queue.pending,
                forwarded=queue.forwarded,
                refused=queue.refused,
                expired=queue.expired,
                dropped=self._dropped,
                problem=(self._defect or queue.problem) if enabled else "",
            )

    def close(self) -> None:
        """End within two seconds, even if cross-seed does not answer. Completions that wait stay in the outbox."""
        with self._lock:
            self._closing = True
            webhook, thread = self._webhook, self._thread
        if webhook is not None:
            webhook.abort()
        self._wake.set()
        if thread is not None:
            thread.join(CLOSE_S)

    def _need_thread(self) -> None:
        if self._started and not self._closing and self._webhook is not None and self._thread is None:
            self._thread = threading.Thread(target=self._run, name="cross-seed", daemon=True)
            self._thread.start()

    # -- in the forwarder's thread -------------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            try:
                if not self._turn():
                    return
                self._defect = ""
            except Exception as error:  # the thread survives its own defects
                if not self._defect:
                    log.exception("defect")
                self._defect = f"internal error: {type(error).__name__}; see the log"
                self._wake.clear()
                if self._closing:
                    return
                self._wake.wait(_DEFECT_PAUSE_S)

    def _turn(self) -> bool:
        """Put new completions into the outbox; then tell of one, or wait. Return False at the end."""
        queue = self._queue
        with self._lock:
            for info_hash, at in self._arrived.items():
                queue.add(info_hash, at)
            self._arrived.clear()
            webhook, closing = self._webhook, self._closing
            retry, self._new_settings = self._new_settings, False
            told, self._told = self._told, None
        now = self._now()
        if told is not None:
            self._settle(*told, now)
        if retry:
            queue.retry_now()
        queue.keep(now)
        if self._under_way:
            self._rest(queue.wait_s(now, sending=False))
        elif closing:
            return False
        elif webhook is not None and (entry := queue.due(now)) is not None:
            self._under_way = True
            threading.Thread(target=self._tell, args=(webhook, entry), name="cross-seed-call", daemon=True).start()
        else:
            self._rest(queue.wait_s(now, sending=webhook is not None))
        return True

    def _rest(self, seconds: float | None) -> None:
        self._wake.wait(seconds)
        self._wake.clear()

    def _settle(self, entry: Entry, outcome: Outcome, now: float) -> None:
        self._under_way = False
        self._queue.settle(entry, outcome, now)
        if outcome.kind not in (Kind.DELIVERED, Kind.ABORTED):
            self.failed_at = time.monotonic()

    def _tell(self, webhook: Webhook, entry: Entry) -> None:
        """Make one request, in a thread of its own."""
        outcome = Outcome(Kind.FAILED, "internal error; see the log")
        try:
            outcome = webhook.send(entry.info_hash)
        finally:
            with self._lock:
                self._told = entry, outcome
            self._wake.set()
