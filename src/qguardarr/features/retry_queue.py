"""Decide which completed torrent is forwarded to cross-seed when, and which is given up. No thread, clock or network.

One at a time, the oldest first, with a pause in between: cross-seed searches all its trackers for each. While it does
not answer, one completion is tried now and then, and all others wait. Each is forwarded at least once: after an answer
that did not arrive, or a power cut, it may be forwarded again.
"""

from __future__ import annotations

import enum
import random
from collections.abc import Callable
from typing import Final

import msgspec
import structlog

from qguardarr.engine.ports import Entry, Outbox
from qguardarr.errors import StoreError

MOST_WAITING: Final = 10_000
PAUSE_S: Final = 5.0
"""Between two completions."""
FIRST_RETRY_S: Final = 5.0
"""After the first failure; doubled with each further one."""
LONGEST_RETRY_S: Final = 1800.0
GIVE_UP_S: Final = 86400.0
"""Age at which a completion is given up, after at least `GIVE_UP_TRIES` failures."""
GIVE_UP_TRIES: Final = 10
"""Some 40 minutes of failures: after days off, programs start in any order."""
KEEP_AGAIN_S: Final = 5.0
"""How soon after a failure the outbox is tried again."""
_LONGEST_SLEEP_S: Final = 60.0
"""The clock may be set meanwhile."""

log = structlog.get_logger("qguardarr.crossseed")


class Kind(enum.Enum):
    """Result of forwarding one, named by the next step."""

    DELIVERED = "delivered"
    REFUSED = "refused"
    """cross-seed will never take this one: give it up."""
    MISCONFIGURED = "misconfigured"
    """Nothing will be taken until a person has mended the configuration: try seldom."""
    AWAY = "away"
    """It did not answer, or is too busy: try again with any."""
    FAILED = "failed"
    """It failed, perhaps over this one: try again, another one first."""
    ABORTED = "aborted"
    """We ended it ourselves: nothing was learnt."""


class Outcome(msgspec.Struct, frozen=True):
    """Result of forwarding a completion."""

    kind: Kind
    reason: str = ""
    """In words, and free of secrets."""


class RetryQueue:
    """The queue, for one thread; what `pending` and the counts say may be read by any."""

    def __init__(self, outbox: Outbox, *, jitter: Callable[[], float] = random.random) -> None:
        """`jitter`: evenly distributed in 0 … 1."""
        self.forwarded = self.refused = self.expired = 0
        self._outbox = outbox
        self._jitter = jitter
        self._waiting: dict[str, Entry] = {}
        """The oldest first."""
        self._unkept: dict[str, None] = {}
        """Torrents whose state the outbox does not know yet."""
        self._loaded = False
        self._keep_at = 0.0
        self._send_at = 0.0
        self._failures = 0
        """In a row."""
        self._problem: Outcome | None = None
        self._store_problem = ""

    @property
    def pending(self) -> int:
        """Number of completions that wait."""
        return len(self._waiting)

    @property
    def problem(self) -> str:
        """The problem in words; empty if there is none."""
        return "; ".join(filter(None, (self._problem.reason if self._problem else "", self._store_problem)))

    def __contains__(self, info_hash: str) -> bool:
        return info_hash in self._waiting

    def add(self, info_hash: str, now: float) -> None:
        """Add a completed torrent. Times are Unix seconds, here as elsewhere."""
        if info_hash not in self._waiting:
            self._change(Entry(info_hash, now))

    def keep(self, now: float) -> None:
        """Bring the outbox up to date. Entries that it does not take stay in memory and are offered again later."""
        if (self._loaded and not self._unkept) or not _reached(self._keep_at, now):
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
            if not self._store_problem:
                log.warning("outbox_not_kept", reason=str(error), advice="completions are kept in memory meanwhile")
            self._store_problem = f"completions are kept in memory only: {error}"
            self._keep_at = now + KEEP_AGAIN_S
        else:
            self._store_problem = ""

    def due(self, now: float) -> Entry | None:
        """Return the completion to forward now; None if none is due."""
        if not _reached(self._send_at, now):
            return None
        return next((entry for entry in self._waiting.values() if _reached(entry.next_try_at, now)), None)

    def wait_s(self, now: float, *, sending: bool) -> float | None:
        """Seconds until `keep` or (if `sending`) `due` should be asked again; None: not before something is new."""
        times = [] if self._loaded and not self._unkept else [self._keep_at]
        if sending and self._waiting:
            times.append(max(self._send_at, min(entry.next_try_at for entry in self._waiting.values())))
        return max(0.0, min(_LONGEST_SLEEP_S, min(times) - now)) if times else None

    def settle(self, entry: Entry, outcome: Outcome, now: float) -> None:
        """Take note of the result of forwarding `entry`."""
        match outcome.kind:
            case Kind.ABORTED:
                return
            case Kind.DELIVERED:
                self._answered(entry, now)
                before, self._problem = self._problem, None
                self.forwarded += 1
                if before is not None:
                    log.info("cross_seed_recovered", pending=self.pending)
                return
            case Kind.REFUSED:
                self.refused += 1
                self._answered(entry, now)
            case _:
                self._failed(entry, outcome, now)
        if self._problem is None or self._problem.kind is not outcome.kind:
            log.warning(f"cross_seed_{outcome.kind.value}", reason=outcome.reason, pending=self.pending)
        self._problem = outcome

    def retry_now(self) -> None:
        """Try all again without further delay, since the settings have changed."""
        self._failures, self._send_at = 0, 0.0
        self._waiting = {h: msgspec.structs.replace(entry, next_try_at=0.0) for h, entry in self._waiting.items()}

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
        self._change(entry)
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
        found = self._outbox.outbox(MOST_WAITING)
        merged = {entry.info_hash: entry for entry in found if entry.info_hash not in self._unkept} | self._waiting
        self._waiting = dict(sorted(merged.items(), key=lambda item: item[1].added_at))
        self._loaded = True

    def _change(self, entry: Entry) -> None:
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


def _reached(at: float, now: float) -> bool:
    """Whether `at` has come. What is too far ahead was set by another clock than the present one."""
    return at <= now or at > now + 3 * LONGEST_RETRY_S
