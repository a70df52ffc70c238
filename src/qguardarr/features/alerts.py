"""Decide which notifications are due, from one `Status` after another, and hand them to the messenger.

People are notified when a condition lasts, again while it does, and once more when it is over. Two rules prevent
storms: a condition that comes back soon waits, and what is due at the same time for several trackers makes one message.
Budgets, silences and routing are left to Alertmanager, which can read our metrics.

One cause makes one alert: an outage opens the breaker, so `breaker_open` is left out where `qbittorrent_lost` is
wanted.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from typing import Final, NamedTuple

from qguardarr.alert_events import AlertEvent
from qguardarr.engine.feature_ports import Messenger, Notification
from qguardarr.engine.settings import Settings
from qguardarr.engine.status import ParentRow, State, Status, TrackerRow
from qguardarr.features import alert_texts as texts
from qguardarr.features.alert_texts import Phase
from qguardarr.features.feature import Feature

OVER: Final = 1.02
"""A rate over 60 s of more than this many times the effective cap is over the cap, as in `over_cap_s`."""
ERRORS: Final = 10
"""Failed cycles within `ERRORS_WITHIN_S`, in at least `STRETCHES` stretches, that are many."""
ERRORS_WITHIN_S: Final = 600.0
STRETCHES: Final = 3
"""Fewer stretches of failures are an outage or two, which `qbittorrent_lost` reports."""
QUIET_S: Final = 30.0
"""A condition is over when it stayed away for this long, or for `after_s` if that is longer."""
COMES_BACK_S: Final = 900.0
"""A condition that comes back is notified of no sooner than this after its last notification: at most eight messages
an hour about one that comes and goes, its ends included."""
TOGETHER_S: Final = 60.0
"""Time between two messages about one kind of event; what becomes due meanwhile makes one message."""

_RATE_WINDOW_S: Final = 60.0
_LOST: Final = frozenset({"Unreachable", "AuthRejected", "Banned", "Refused"})
_UNKNOWN: Final = frozenset({"QguardarrError", "NoAddress"})
"""A defect of ours may hide how qBittorrent is. All other problems come after a read that was answered."""


class Alerts(Feature):
    """Notify people of what goes wrong, and of its end."""

    name = "notifications"

    def __init__(self, settings: Settings, messenger: Messenger) -> None:
        new = settings.notifications
        self._settings = new
        self._messenger = messenger
        self._messenger.configure(new.urls)
        self.rules = AlertRules(new.events, new.after_s, new.repeat_s)

    def on_cycle(self, status: Status) -> None:
        due = self.rules.due(status, time.monotonic())
        if due:
            self._messenger.send(due)

    def problems(self) -> Iterable[str]:
        return filter(None, [self._messenger.problem])

    def close(self) -> None:
        self._messenger.close()

    def adopt(self, settings: Settings) -> None:
        new = settings.notifications
        had_nobody, self._settings = not self._settings.urls, new
        self.rules.configure(new.events, new.after_s, new.repeat_s)
        self._messenger.configure(new.urls)
        if new.urls and had_nobody:
            self.rules.notify_again()


class _Condition:
    """Something that may last, and what people know of it."""

    def __init__(self) -> None:
        self.is_known = False
        """Whether people were notified of its beginning, and not of its end."""
        self._since = 0.0
        self._holds = False
        self._quiet_since: float | None = None
        self._notified_at = -math.inf

    def due(self, holds: bool | None, now: float, after_s: float, repeat_s: float) -> Phase | None:
        """Return the phase that people should be notified of. `holds` is None while nobody can say."""
        if holds and not self._holds and not self.is_known:
            self._since = now
        self._holds = bool(holds)
        if holds is not False:
            self._quiet_since = None
        silent_s = now - self._notified_at
        if holds:
            if self.is_known:
                return "lasts" if silent_s >= repeat_s else None
            return "begun" if now - self._since >= after_s and silent_s >= COMES_BACK_S else None
        if holds is None or not self.is_known:
            return None
        if self._quiet_since is None:
            self._quiet_since = now
        return "over" if now - self._quiet_since >= max(after_s, QUIET_S) else None

    def lasted(self, now: float) -> float:
        """Return the seconds from its beginning until now, or until it went away."""
        return (now if self._quiet_since is None else self._quiet_since) - self._since

    def notified(self, phase: Phase, now: float) -> None:
        """People were notified of this phase."""
        self.is_known, self._notified_at = phase != "over", now

    def forget(self) -> None:
        """Take it that nobody was notified."""
        self.is_known, self._notified_at = False, -math.inf


class _Case(NamedTuple):
    """A condition as it is now."""

    event: AlertEvent
    subject: str
    """Tracker id, or name of one of several qBittorrents; else empty."""
    holds: bool | None
    worded: Callable[[Phase, float], Notification]
    """Called with the phase and the seconds that it has lasted."""


class AlertRules:
    """Decide which notifications are due."""

    def __init__(self, events: Collection[str], after_s: float, repeat_s: float) -> None:
        """See `configure`."""
        self._lock = threading.Lock()
        self._conditions: dict[tuple[str, str], _Condition] = {}
        self._ceilings: dict[str, _Ceiling] = {}
        self._failures = _Failures()
        self._by_hand = _ByHand()
        self._sent_at: dict[str, float] = {}
        """Time of the last message, by event."""
        self.configure(events, after_s, repeat_s)

    @property
    def remembered(self) -> int:
        """Number of conditions and trackers kept in memory."""
        return len(self._conditions) + len(self._ceilings)

    def configure(self, events: Collection[str], after_s: float, repeat_s: float) -> None:
        """Use other settings; what people know stays known. From any thread.

        A condition is notified of once it has lasted for `after_s`, and again each `repeat_s`, both in seconds.
        """
        wanted = frozenset(events)
        with self._lock:
            self._events = wanted - {"breaker_open"} if "qbittorrent_lost" in wanted else wanted
            self._after_s, self._repeat_s = after_s, repeat_s
            self._conditions = {key: kept for key, kept in self._conditions.items() if key[0] in self._events}

    def notify_again(self) -> None:
        """Make all that lasts due again, since nobody was there to be notified until now. From any thread."""
        with self._lock:
            for condition in self._conditions.values():
                condition.forget()
            self._sent_at.clear()

    def due(self, status: Status, now: float) -> list[Notification]:
        """Return what is due after a cycle. `now`: seconds of a clock that never goes back."""
        with self._lock:
            due: dict[AlertEvent, list[Notification]] = {}
            for case in self._cases(status, now):
                if case.event not in self._events:
                    continue
                condition = self._conditions.setdefault((case.event, case.subject), _Condition())
                phase = condition.due(case.holds, now, self._after_s, self._repeat_s)
                if phase is not None and self._may_send(case.event, now):
                    due.setdefault(case.event, []).append(case.worded(phase, condition.lasted(now)))
                    condition.notified(phase, now)
            if self._by_hand.due(status, now, self._after_s, self._repeat_s) and "manual_limit" in self._events:
                due["manual_limit"] = [texts.manual_limit(self._by_hand.notified(now))]
            self._sent_at |= dict.fromkeys(due, now)
            return [texts.together(notifications) for notifications in due.values()]

    def _may_send(self, event: str, now: float) -> bool:
        return now - self._sent_at.get(event, -math.inf) >= TOGETHER_S

    def _cases(self, status: Status, now: float) -> Iterator[_Case]:
        kind = status.problem_kind
        if len(status.instances) > 1:
            for row in status.instances:
                yield _Case("qbittorrent_lost", row.name, row.problem_kind in _LOST, partial(texts.one_lost, row))
        else:
            lost = None if kind in _UNKNOWN else kind in _LOST
            yield _Case("qbittorrent_lost", "", lost, partial(texts.qbittorrent_lost, status))
        yield _Case("breaker_open", "", status.breaker != "closed", partial(texts.breaker_open, status))
        refused = None if kind not in ("", "UnsafePlan") else bool(kind)
        yield _Case("plan_refused", "", refused, partial(texts.plan_refused, status))
        foreign = None if status.state in (State.STARTING, State.FAILING, State.WAITING) else bool(status.foreign)
        yield _Case("foreign_limits", "", foreign, partial(texts.foreign_limits, status))
        many = self._failures.are_many(status, now)
        yield _Case("errors", "", many, partial(texts.errors, self._failures.count, self._failures.problem))
        yield from self._over_caps(status, now)

    def _over_caps(self, status: Status, now: float) -> Iterator[_Case]:
        """Yield a case for each group, and for known ones that are gone. Only who holds caps can tell."""
        rows = {row.id: row for row in status.groups}
        known = {id_ for (event, id_), found in self._conditions.items() if event == "over_cap" and found.is_known}
        for id_ in [id_ for event, id_ in self._conditions if event == "over_cap" and id_ not in rows.keys() | known]:
            self._conditions.pop(("over_cap", id_), None)
        self._ceilings = {id_: self._ceilings.get(id_) or _Ceiling() for id_ in rows}
        for id_ in (*rows, *sorted(known - rows.keys())):
            row = rows.get(id_)
            over = row is not None and self._is_over(row, now)
            holds = over if status.state == State.HOLDING else None
            yield _Case("over_cap", id_, holds, partial(texts.over_cap, id_, row))

    def _is_over(self, row: TrackerRow | ParentRow, now: float) -> bool:
        allowed = self._ceilings[row.id].highest(math.inf if row.effective is None else row.effective, now)
        return row.rate_60s > OVER * allowed


class _Ceiling:
    """The highest cap within the window of a rate: what was uploaded before a cap fell is not over it."""

    def __init__(self) -> None:
        self._highest = 0.0
        self._at = -math.inf

    def highest(self, effective: float, now: float) -> float:
        if effective >= self._highest or now - self._at > _RATE_WINDOW_S:
            self._highest, self._at = effective, now
        return self._highest


class _Failures:
    """Failed cycles of the last ten minutes."""

    def __init__(self) -> None:
        self.count = 0
        self.problem = ""
        """The newest of them, in words."""
        self._failed: deque[tuple[float, int, bool]] = deque()
        """Times, numbers of failed cycles, and whether a stretch of them began."""
        self._total: int | None = None
        self._failing = False

    def are_many(self, status: Status, now: float) -> bool | None:
        """Return None if they are neither many nor few, or in a stretch that is not over yet."""
        grown = 0 if self._total is None else max(0, status.failed_cycles - self._total)
        was_failing, self._failing = self._failing, status.state == State.FAILING
        self._total = status.failed_cycles
        if self._failing:
            self.problem = status.problem
        if grown or (self._failing and not was_failing):
            self._failed.append((now, grown, self._failing and not was_failing))
        while self._failed and now - self._failed[0][0] > ERRORS_WITHIN_S:
            self._failed.popleft()
        self.count = sum(grown for _, grown, _ in self._failed)
        if self.count >= ERRORS and sum(began for *_, began in self._failed) >= STRETCHES:
            return True
        return None if self._failing or self.count > ERRORS // 2 else False


class _ByHand:
    """Limits found set by hand that nobody was notified of. Those of `repeat_s` make one message."""

    def __init__(self) -> None:
        self._total: int | None = None
        self._new = 0
        self._since = 0.0
        self._notified_at = -math.inf

    def due(self, status: Status, now: float, after_s: float, repeat_s: float) -> bool:
        grown = 0 if self._total is None else status.set_by_hand - self._total
        self._total = status.set_by_hand
        if grown > 0:
            self._since = self._since if self._new else now
            self._new += grown
        return self._new > 0 and now - self._since >= after_s and now - self._notified_at >= repeat_s

    def notified(self, now: float) -> int:
        """Return how many there are; they are known from now on."""
        count, self._new, self._notified_at = self._new, 0, now
        return count
