"""Keep the history of rates: what each tracker uploaded in each minute, from the status of each cycle."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator
from typing import Final

import structlog

from qguardarr.engine.feature_ports import RateHistory, RateSample
from qguardarr.engine.status import State, Status, TrackerRow
from qguardarr.errors import StoreError
from qguardarr.features.feature import Feature

MINUTE_S: Final = 60.0
LONGEST_GAP_S: Final = 300.0
"""Two readings further apart than this, and than `_GAP_INTERVALS` cycles, have a hole between them: how the bytes fall
on minutes is not known then, and the clock may have been set."""
_GAP_INTERVALS: Final = 3
THIN_EVERY_S: Final = 600.0
_NOTHING_READ: Final = frozenset({State.STARTING, State.FAILING, State.WAITING})
"""States in which the figures are those of an earlier cycle."""
SHOWN_S: Final = 180.0
"""How long a failure is shown after its last occurrence; the store is tried again each minute."""

log = structlog.get_logger("qguardarr.history")


class History(Feature):
    """Record each minute, and make old history coarser now and then."""

    name = "history of rates"

    def __init__(self, store: RateHistory) -> None:
        self._store = store
        self._recorder = RateRecorder()
        self._thinned_at = time.monotonic()
        self._problem = ""
        self._failed_at = -math.inf

    def on_cycle(self, status: Status) -> None:
        minutes = self._recorder.feed(status)
        try:
            for start, rows in minutes.items():
                self._store.record(start, rows)
                self._problem = ""
            if minutes and time.monotonic() - self._thinned_at > THIN_EVERY_S:
                self._thinned_at = time.monotonic()
                self._store.thin(status.at)
        except StoreError as error:
            problem = f"the history of rates is not kept: {error}"
            if problem != self._problem:
                log.warning("history_not_kept", reason=str(error))
            self._problem, self._failed_at = problem, time.monotonic()

    def problems(self) -> Iterator[str]:
        if self._problem and time.monotonic() - self._failed_at < SHOWN_S:
            yield self._problem

    def close(self) -> None:
        with contextlib.suppress(StoreError):
            for start, rows in self._recorder.flush().items():
                self._store.record(start, rows)


class RateRecorder:
    """Turn the status of each cycle into minutes. Not for several threads at a time."""

    def __init__(self) -> None:
        self._read_at = 0.0
        self._rows: dict[str, TrackerRow] = {}
        self._minutes: dict[float, dict[str, RateSample]] = {}

    def feed(self, status: Status) -> dict[float, list[RateSample]]:
        """Take in a status. Return the minutes that are over now, by their start (Unix time, whole minutes).

        A minute may come more than once (after the clock was set back): what is recorded of it adds up.
        """
        if status.state not in _NOTHING_READ:
            self._take(status)
        current = _minute(status.at)
        return {start: self._end(start) for start in sorted(self._minutes) if start != current}

    def flush(self) -> dict[float, list[RateSample]]:
        """Return the minutes that are not over yet, for the end of the daemon."""
        return {start: self._end(start) for start in sorted(self._minutes)}

    def _end(self, start: float) -> list[RateSample]:
        return list(self._minutes.pop(start).values())

    def _take(self, status: Status) -> None:
        began, known = self._read_at, self._rows
        self._read_at, self._rows = status.at, {row.id: row for row in status.trackers}
        longest = max(LONGEST_GAP_S, _GAP_INTERVALS * status.interval_s)
        if not 0 < status.at - began <= longest:
            return
        for row in status.trackers:
            if row.id in known:
                self._add(known[row.id], row, began, status.at)

    def _add(self, before: TrackerRow, row: TrackerRow, began: float, ended: float) -> None:
        """Spread what came between two readings over the minutes between them."""
        elapsed = ended - began
        moved = _growth(before.total_bytes, row.total_bytes)
        over_s = min(elapsed, _growth(before.over_cap_s, row.over_cap_s))
        start = _minute(began)
        while start < ended:
            seconds = min(ended, start + MINUTE_S) - max(began, start)
            share = seconds / elapsed
            minute = self._minutes.setdefault(start, {})
            sum_ = minute.get(row.id) or RateSample(row.id, 0.0, 0.0, 0.0, None, None, 0.0)
            minute[row.id] = RateSample(
                tracker=row.id,
                seconds=sum_.seconds + seconds,
                bytes=sum_.bytes + moved * share,
                peak=max(sum_.peak, row.rate_10s),
                cap=row.cap,
                effective=row.effective,
                over_s=sum_.over_s + over_s * share,
            )
            start += MINUTE_S


def _minute(at: float) -> float:
    return math.floor(at / MINUTE_S) * MINUTE_S


def _growth(before: float, now: float) -> float:
    """Return the growth of a counter that may have started again at 0."""
    return now - before if now >= before else now
