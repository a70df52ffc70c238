"""Rates of the last minutes, by cycle, so that a chart of a page that was just opened has no hole before now."""

from __future__ import annotations

import math
from array import array
from collections import deque
from typing import Final, NamedTuple

import msgspec

from qguardarr.engine.status import State, Status

KEPT_S: Final = 330.0
"""Five minutes, which a page shows, and as much again as the newest minute of the history may lack."""
LEAST_STEP_S: Final = 2.0
"""Cycles that follow faster are left out. 165 samples of 100 trackers take 250 KB, of 5 trackers 30 KB."""
_UNREAD: Final = frozenset({State.STARTING, State.WAITING, State.FAILING})


class TrackerRates(msgspec.Struct, frozen=True, kw_only=True):
    """Rates of one tracker, one for each time; all null where the tracker had no rule."""

    rate: list[float | None]
    """Mean rate over 10 s, bytes/s."""
    cap: list[float | None]
    """Cap in force, bytes/s; null is unlimited."""
    effective: list[float | None]
    """What the tracker was allowed to use, bytes/s; null is unlimited."""


class RecentRates(msgspec.Struct, frozen=True, kw_only=True):
    """Rates of the last five minutes."""

    at: list[float]
    """Ends of cycles, Unix seconds, oldest first."""
    trackers: dict[str, TrackerRates]
    """Rates, by id of the rule."""


class _Sample(NamedTuple):
    at: float
    trackers: tuple[str, ...]
    numbers: array[float]
    """Rate, cap, effective cap of each tracker."""


class RateMemory:
    """Keeps them. `add` is called by one thread, `recent` by any."""

    def __init__(self) -> None:
        self._samples: deque[_Sample] = deque()

    def add(self, status: Status) -> None:
        """Take in the status of a cycle; one that read nothing is left out."""
        samples = self._samples
        last = samples[-1] if samples else None
        if status.state in _UNREAD or (last is not None and abs(status.at - last.at) < LEAST_STEP_S):
            return
        if last is not None and status.at < last.at:  # the clock was set back
            samples.clear()
        trackers = tuple(row.id for row in status.trackers)
        if last is not None and last.trackers == trackers:
            trackers = last.trackers
        numbers = array("f")
        for row in status.trackers:
            numbers.extend((row.rate_10s, _number(row.cap), _number(row.effective)))
        samples.append(_Sample(status.at, trackers, numbers))
        while samples[0].at < status.at - KEPT_S:
            samples.popleft()

    def recent(self) -> RecentRates:
        """Return them as they are now."""
        samples = tuple(self._samples)
        names = dict.fromkeys(name for sample in samples for name in sample.trackers)
        found = {name: TrackerRates(rate=[], cap=[], effective=[]) for name in names}
        for sample in samples:
            places = {name: 3 * place for place, name in enumerate(sample.trackers)}
            for name, rates in found.items():
                place = places.get(name)
                for offset, values in enumerate((rates.rate, rates.cap, rates.effective)):
                    values.append(None if place is None else _rounded(sample.numbers[place + offset]))
        return RecentRates(at=[sample.at for sample in samples], trackers=found)


def _number(cap: float | None) -> float:
    return math.inf if cap is None else cap


def _rounded(number: float) -> float | None:
    return None if math.isinf(number) else round(number)
