"""What people are told of, and when: decided from one `Status` after another.

What lasts is told once it has lasted for a while, again now and then, and once more when it is over. What comes and
goes must stay away longer each time before it counts as over. One cause is told once: an outage opens the breaker, so
that `breaker_open` is told only to those who do not want `qbittorrent_lost`.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterator
from functools import partial
from typing import Final, Literal, NamedTuple, get_args

from qguardarr.engine.status import State, Status, TrackerRow
from qguardarr.features import alert_texts as words
from qguardarr.features.alert_texts import Notification, Phase

__all__ = ["EVENTS", "Alerts", "Event", "Notification"]

Event = Literal[
    "over_cap", "qbittorrent_lost", "breaker_open", "plan_refused", "manual_limit", "foreign_limits", "errors"
]
EVENTS: Final[tuple[Event, ...]] = get_args(Event)

OVER: Final = 1.02
"""A rate over 60 s of more than so many times what the tracker may use is over its cap."""
MOST_AN_HOUR: Final = 20
"""Then one more says that others wait."""
ERRORS: Final = 10
"""So many failed cycles within `ERRORS_WITHIN_S`, in `STRETCHES` rows or more, are many."""
ERRORS_WITHIN_S: Final = 600.0
STRETCHES: Final = 3
"""Fewer are an outage or two, which `qbittorrent_lost` tells."""
QUIET_S: Final = 30.0
"""What was told must stay away for at least so long to be over; twice as long after each relapse within an hour."""
LONGEST_QUIET_S: Final = 3600.0

_RATE_WINDOW_S: Final = 60.0
_HOUR_S: Final = 3600.0
_MOST_DOUBLINGS: Final = 10
_LOST: Final = frozenset({"Unreachable", "AuthRejected", "Banned", "Refused"})
_UNKNOWN: Final = frozenset({"QguardarrError", "NoAddress"})
"""A defect of ours may hide what qBittorrent does. All other problems come after a read that was answered."""


class _Condition:
    """One thing that may last, and what was told of it."""

    def __init__(self) -> None:
        self._since = 0.0
        self._holds = False
        self._quiet_since: float | None = None
        self._told_at: float | None = None
        self._over_at = -math.inf
        self._relapses = 0

    def look(self, holds: bool | None, now: float, after_s: float, repeat_s: float) -> Phase | None:
        """What is due to be told. `holds` is None while nobody can say."""
        if holds and not self._holds and self._told_at is None:
            self._since = now
        self._holds = bool(holds)
        if holds is not False:
            self._quiet_since = None
        if holds:
            if self._told_at is None:
                return "begun" if now - self._since >= after_s else None
            return "lasts" if now - self._told_at >= repeat_s else None
        if holds is None or self._told_at is None:
            return None
        if self._quiet_since is None:
            self._quiet_since = now
        quiet_s = min(max(after_s, QUIET_S) * 2**self._relapses, LONGEST_QUIET_S)
        return "over" if now - self._quiet_since >= quiet_s else None

    def lasted(self, now: float) -> float:
        """Seconds from its beginning until now, or until it went away."""
        return (now if self._quiet_since is None else self._quiet_since) - self._since

    @property
    def is_told(self) -> bool:
        """Whether its beginning was told, and its end was not."""
        return self._told_at is not None

    def forget_told(self) -> None:
        """Nobody heard it."""
        self._told_at = None

    def told(self, phase: Phase, now: float) -> None:
        """What was due was told."""
        if phase == "over":
            self._told_at, self._over_at = None, now
            return
        if phase == "begun":
            self._relapses = min(self._relapses + 1, _MOST_DOUBLINGS) if now - self._over_at < _HOUR_S else 0
        self._told_at = now


class _Case(NamedTuple):
    """A condition as it is now."""

    event: Event
    subject: str
    """Tracker id, or empty."""
    holds: bool | None
    worded: Callable[[Phase, float], Notification]
    """Called with the phase, and with how long it has lasted, seconds."""


class Alerts:
    """Decides which notifications are due.

    Args:
        events: what is told; of `EVENTS`.
        after_s: how long something must last before it is told, seconds.
        repeat_s: after how long it is told again while it lasts, seconds.
    """

    def __init__(self, events: Collection[str], after_s: float, repeat_s: float) -> None:
        self._lock = threading.Lock()
        self._conditions: dict[tuple[str, str], _Condition] = {}
        self._ceilings: dict[str, _Ceiling] = {}
        self._failures = _Failures()
        self._by_hand = _ByHand()
        self._told: deque[float] = deque()
        self._held_back_told_at = -math.inf
        self.configure(events, after_s, repeat_s)

    def configure(self, events: Collection[str], after_s: float, repeat_s: float) -> None:
        """Other settings; what was told stays known. From any thread."""
        wanted = frozenset(events)
        with self._lock:
            self._events = wanted - {"breaker_open"} if "qbittorrent_lost" in wanted else wanted
            self._after_s, self._repeat_s = after_s, repeat_s
            self._conditions = {key: kept for key, kept in self._conditions.items() if key[0] in self._events}

    def tell_anew(self) -> None:
        """Nobody was there to be told until now: what lasts is due. From any thread."""
        with self._lock:
            for condition in self._conditions.values():
                condition.forget_told()

    def look(self, status: Status, now: float) -> list[Notification]:
        """What is due. To be called after each cycle; `now`: seconds of a clock that never goes back."""
        with self._lock:
            return self._look(status, now)

    def _look(self, status: Status, now: float) -> list[Notification]:
        due: list[Notification] = []
        waiting = 0
        for case in self._cases(status, now):
            if case.event not in self._events:
                continue
            condition = self._conditions.setdefault((case.event, case.subject), _Condition())
            phase = condition.look(case.holds, now, self._after_s, self._repeat_s)
            if phase is None:
                continue
            if self._is_full(now):
                waiting += 1
                continue
            due.append(case.worded(phase, condition.lasted(now)))
            condition.told(phase, now)
            self._told.append(now)
        if self._by_hand.look(status, now, self._after_s, self._repeat_s) and "manual_limit" in self._events:
            if self._is_full(now):
                waiting += 1
            else:
                due.append(words.manual_limit(self._by_hand.told(now)))
                self._told.append(now)
        if waiting and now - self._held_back_told_at >= _HOUR_S:
            self._held_back_told_at = now
            due.append(words.held_back(waiting, MOST_AN_HOUR))
        return due

    def _is_full(self, now: float) -> bool:
        while self._told and now - self._told[0] >= _HOUR_S:
            self._told.popleft()
        return len(self._told) >= MOST_AN_HOUR

    def _cases(self, status: Status, now: float) -> Iterator[_Case]:
        kind = status.problem_kind
        lost = None if kind in _UNKNOWN else kind in _LOST
        yield _Case("qbittorrent_lost", "", lost, partial(words.qbittorrent_lost, status))
        yield _Case("breaker_open", "", status.breaker != "closed", partial(words.breaker_open, status))
        refused = None if kind not in ("", "UnsafePlan") else bool(kind)
        yield _Case("plan_refused", "", refused, partial(words.plan_refused, status))
        foreign = None if status.state in (State.STARTING, State.FAILING, State.WAITING) else bool(status.foreign)
        yield _Case("foreign_limits", "", foreign, partial(words.foreign_limits, status))
        failures = self._failures
        many = failures.look(status, now)
        yield _Case("errors", "", many, partial(words.errors, failures.count, failures.problem))
        yield from self._over_caps(status, now)

    def _over_caps(self, status: Status, now: float) -> Iterator[_Case]:
        """For each tracker, and for those told of whose rule is gone. Only who holds caps can say."""
        rows = {row.id: row for row in status.trackers}
        told = {
            id_ for (event, id_), condition in self._conditions.items() if event == "over_cap" and condition.is_told
        }
        for id_ in [id_ for event, id_ in self._conditions if event == "over_cap" and id_ not in rows.keys() | told]:
            self._conditions.pop(("over_cap", id_), None)
        self._ceilings = {id_: self._ceilings.get(id_) or _Ceiling() for id_ in rows}
        for id_ in dict.fromkeys((*rows, *told)):
            row = rows.get(id_)
            over = row is not None and self._is_over(row, now)
            yield _Case(
                "over_cap", id_, over if status.state == State.HOLDING else None, partial(words.over_cap, id_, row)
            )

    def _is_over(self, row: TrackerRow, now: float) -> bool:
        allowed = self._ceilings[row.id].look(math.inf if row.effective is None else row.effective, now)
        return row.rate_60s > OVER * allowed


class _Ceiling:
    """The most that a tracker was allowed within the window of its rate: a cap just lowered is not exceeded by what was
    uploaded before."""

    def __init__(self) -> None:
        self._most = 0.0
        self._at = -math.inf

    def look(self, effective: float, now: float) -> float:
        if effective >= self._most or now - self._at > _RATE_WINDOW_S:
            self._most, self._at = effective, now
        return self._most


class _Failures:
    """Failed cycles within the last while."""

    def __init__(self) -> None:
        self.count = 0
        self.problem = ""
        """The newest of them, in words."""
        self._grown: deque[tuple[float, int]] = deque()
        self._begun: deque[float] = deque()
        self._total: int | None = None
        self._failing = False

    def look(self, status: Status, now: float) -> bool | None:
        """Whether there are many; None if they are neither many nor few, or in a row that is not over yet."""
        grown = 0 if self._total is None else status.failed_cycles - self._total
        self._total = status.failed_cycles
        if grown > 0:
            self._grown.append((now, grown))
        failing = status.state == State.FAILING
        if failing:
            self.problem = status.problem
            if not self._failing:
                self._begun.append(now)
        self._failing = failing
        while self._grown and now - self._grown[0][0] > ERRORS_WITHIN_S:
            self._grown.popleft()
        while self._begun and now - self._begun[0] > ERRORS_WITHIN_S:
            self._begun.popleft()
        self.count = sum(grown for _, grown in self._grown)
        if self.count >= ERRORS and len(self._begun) >= STRETCHES:
            return True
        return None if failing or self.count > ERRORS // 2 else False


class _ByHand:
    """Limits found set by hand and not told of yet. Those of a while are told together."""

    def __init__(self) -> None:
        self._total: int | None = None
        self._untold = 0
        self._since = 0.0
        self._told_at = -math.inf

    def look(self, status: Status, now: float, after_s: float, repeat_s: float) -> bool:
        """Whether it is time to tell of them."""
        grown = 0 if self._total is None else status.set_by_hand - self._total
        self._total = status.set_by_hand
        if grown > 0:
            self._since = self._since if self._untold else now
            self._untold += grown
        return self._untold > 0 and now - self._since >= after_s and now - self._told_at >= repeat_s

    def told(self, now: float) -> int:
        """They are told now; how many there are."""
        count, self._untold, self._told_at = self._untold, 0, now
        return count
