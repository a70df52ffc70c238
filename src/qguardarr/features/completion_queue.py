"""Decide when cross-seed is told of a completed torrent, and when one is given up. No thread, no clock, no network.

Completions are told one at a time, the oldest first, with a pause in between, since cross-seed searches all its
trackers for each. While it does not answer, one completion is tried now and then, and all others wait for that. Each is
told at least once: if an answer does not arrive, or after a power cut, it may be told again.
"""

from __future__ import annotations

import enum
import random
from collections.abc import Callable
from typing import Final

import msgspec
import structlog

from qguardarr.engine.feature_ports import Entry, Outbox
from qguardarr.errors import StoreError
from qguardarr.features.retry_queue import LONGEST_RETRY_S, RetryQueue, has_come

MOST_WAITING: Final = 10_000
"""Completions in memory; each takes some 300 bytes."""
PAUSE_S: Final = 5.0
"""Between two completions."""
FIRST_RETRY_S: Final = 5.0
"""Pause after the first failure; it doubles with each further one, up to `LONGEST_RETRY_S`."""
GIVE_UP_S: Final = 86400.0
"""Age at which a completion is given up, after `GIVE_UP_TRIES` failures."""
GIVE_UP_TRIES: Final = 10
"""Failures before a completion is given up (some 40 minutes): after days off, programs start in any order."""
KEEP_AGAIN_S: Final = 5.0
"""Pause before the outbox is tried again."""
_LONGEST_SLEEP_S: Final = 60.0
"""The clock may be set meanwhile."""

log = structlog.get_logger("qguardarr.crossseed")


class Kind(enum.Enum):
    """Outcomes, by the next step."""

    DELIVERED = "delivered"
    REFUSED = "refused"
    """cross-seed will never take this one: give it up."""
    MISCONFIGURED = "misconfigured"
    """cross-seed takes nothing before a person corrects the configuration: try seldom."""
    AWAY = "away"
    """cross-seed did not answer, or is too busy: try again with any completion."""
    FAILED = "failed"
    """cross-seed failed, perhaps because of this one: try again, another one first."""
    ABORTED = "aborted"
    """We ended the request ourselves: it says nothing."""


class Outcome(msgspec.Struct, frozen=True):
    """Result of one attempt to report a completed torrent to cross-seed."""

    kind: Kind
    reason: str = ""
    """In words, and free of secrets."""


class CompletionQueue:
    """The queue, for one thread; any thread may read `pending` and the counts."""

    def __init__(self, outbox: Outbox, *, jitter: Callable[[], float] = random.random) -> None:
        """Start with what the outbox holds, once it can be read. `jitter`: evenly distributed in 0 … 1."""
        self.forwarded = self.refused = self.expired = 0
        self._outbox = outbox
        self._jitter = jitter
        self._waiting: RetryQueue[Entry] = RetryQueue()
        self._unkept: dict[str, None] = {}
        """Torrents whose last change is not in the outbox yet."""
        self._loaded = False
        self._keep_at = 0.0
        self._send_at = 0.0
        self._failures = 0
        """Failures in a row."""
        self._failure: Outcome | None = None
        """The last outcome, if it was a failure."""
        self._outbox_problem = ""

    @property
    def pending(self) -> int:
        """Number of completions that wait."""
        return len(self._waiting)

    @property
    def problem(self) -> str:
        """Why completions are not told or not kept; empty if they are."""
        return "; ".join(filter(None, (self._failure.reason if self._failure else "", self._outbox_problem)))

    def __contains__(self, info_hash: str) -> bool:
        return info_hash in self._waiting

    def add(self, info_hash: str, now: float) -> None:
        """Add a completed torrent, unless it waits already. All times are Unix seconds."""
        if info_hash not in self._waiting:
            self._put(Entry(info_hash, now))

    def keep(self, now: float) -> None:
        """Bring the outbox up to date. A change that it does not take is kept in memory, and tried again later."""
        if (self._loaded and not self._unkept) or not has_come(self._keep_at, now):
            return
        try:
            if not self._loaded:
                self._load()
            for info_hash in list(self._unkept):
                entry = self._waiting.get(info_hash)
                if entry is None:
                    self._outbox.outbox_remove(info_hash)
                else:
                    self._outbox.outbox_put(entry)
                del self._unkept[info_hash]
        except StoreError as error:
            if not self._outbox_problem:
                log.warning("outbox_not_kept", reason=str(error), advice="completions are kept in memory meanwhile")
            self._outbox_problem = f"completions are kept in memory only: {error}"
            self._keep_at = now + KEEP_AGAIN_S
        else:
            self._outbox_problem = ""

    def due(self, now: float) -> Entry | None:
        """Return the completion to tell now; None if none is due."""
        return self._waiting.due(now) if has_come(self._send_at, now) else None

    def wait_s(self, now: float, *, sending: bool) -> float | None:
        """Return the seconds until `keep` or (if `sending`) `due` should be asked again; None: after the next `add`."""
        times = [] if self._loaded and not self._unkept else [self._keep_at]
        if sending and (due_at := self._waiting.next_due_at()) is not None:
            times.append(max(self._send_at, due_at))
        return max(0.0, min(_LONGEST_SLEEP_S, min(times) - now)) if times else None

    def settle(self, entry: Entry, outcome: Outcome, now: float) -> None:
        """Take up the result of telling cross-seed of `entry`."""
        match outcome.kind:
            case Kind.ABORTED:
                return
            case Kind.DELIVERED:
                self._answered(entry, now)
                before, self._failure = self._failure, None
                self.forwarded += 1
                if before is not None:
                    log.info("cross_seed_recovered", pending=self.pending)
                return
            case Kind.REFUSED:
                self.refused += 1
                self._answered(entry, now)
            case _:
                self._failed(entry, outcome, now)
        if self._failure is None or self._failure.kind is not outcome.kind:
            log.warning(f"cross_seed_{outcome.kind.value}", reason=outcome.reason, pending=self.pending)
        self._failure = outcome

    def retry_now(self) -> None:
        """End all pauses: there is reason to believe that cross-seed takes completions now."""
        self._failures, self._send_at = 0, 0.0
        for info_hash, entry in self._waiting.items():
            self._waiting[info_hash] = msgspec.structs.replace(entry, next_try_at=0.0)

    def _answered(self, entry: Entry, now: float) -> None:
        self._failures = 0
        self._send_at = now + PAUSE_S
        self._drop(entry)

    def _failed(self, entry: Entry, outcome: Outcome, now: float) -> None:
        self._failures += 1
        attempts, own_pause = entry.attempts + 1, 0.0
        pause = LONGEST_RETRY_S if outcome.kind is Kind.MISCONFIGURED else _back_off(self._failures)
        if outcome.kind is Kind.FAILED:
            own_pause = 2 * _back_off(attempts)  # longer than `pause` at first, so that another one has its turn
        spread = 0.75 + self._jitter() / 2
        self._send_at = now + pause * spread
        entry = Entry(entry.info_hash, entry.added_at, attempts, now + own_pause * spread, outcome.reason)
        self._put(entry)
        self._give_up(entry, now)

    def _give_up(self, entry: Entry, now: float) -> None:
        old: list[Entry] = []
        if self._failures >= GIVE_UP_TRIES:
            old = [waiting for waiting in self._waiting.values() if now - waiting.added_at >= GIVE_UP_S]
        elif entry.attempts >= GIVE_UP_TRIES and now - entry.added_at >= GIVE_UP_S:
            old = [entry]
        for waiting in old:
            self._drop(waiting)
        self.expired += len(old)
        if old:
            log.warning("completions_given_up", count=len(old), reason=entry.last_error)

    def _load(self) -> None:
        newer = self._unkept.keys() | self._waiting.keys()
        kept = [entry for entry in self._outbox.outbox(MOST_WAITING) if entry.info_hash not in newer]
        in_order = sorted([*kept, *self._waiting.values()], key=lambda entry: entry.added_at)
        self._waiting = RetryQueue({entry.info_hash: entry for entry in in_order})
        self._loaded = True

    def _put(self, entry: Entry) -> None:
        self._waiting[entry.info_hash] = entry
        self._mark(entry.info_hash)

    def _drop(self, entry: Entry) -> None:
        self._waiting.pop(entry.info_hash, None)
        self._mark(entry.info_hash)

    def _mark(self, info_hash: str) -> None:
        if len(self._unkept) < 2 * MOST_WAITING:  # beyond it, a restart may tell some again
            self._unkept[info_hash] = None


def _back_off(failures: int) -> float:
    return min(LONGEST_RETRY_S, FIRST_RETRY_S * 2.0 ** min(failures - 1, 20))
