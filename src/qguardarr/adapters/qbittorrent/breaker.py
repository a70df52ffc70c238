"""A circuit breaker: after several failures in a row, leave qBittorrent alone for a while, longer each time."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Final

import pybreaker

from qguardarr.errors import AuthRejected, Banned, Refused

FAILURES: Final = 5
"""Failures in a row after which it opens."""
FIRST_PAUSE_S: Final = 4.0
LONGEST_PAUSE_S: Final = 30.0


class _MonotonicStorage(pybreaker.CircuitMemoryStorage):
    """Remember by the monotonic clock when it opened, so that a clock set back does not keep it open."""

    _opened_monotonic: float | None = None

    @property
    def opened_at(self) -> datetime | None:
        if self._opened_monotonic is None:
            return None
        return datetime.now(UTC) - timedelta(seconds=time.monotonic() - self._opened_monotonic)

    @opened_at.setter
    def opened_at(self, datetime: datetime) -> None:  # noqa: ARG002 - the wall clock is not asked
        self._opened_monotonic = time.monotonic()


class _LongerPauses(pybreaker.CircuitBreakerListener):
    """Double the pause each time a probe fails, and start over once one succeeds."""

    def state_change(
        self,
        cb: pybreaker.CircuitBreaker,
        old_state: pybreaker.CircuitBreakerState | None,
        new_state: pybreaker.CircuitBreakerState,
    ) -> None:
        if new_state.name == pybreaker.STATE_CLOSED:
            cb.reset_timeout = FIRST_PAUSE_S
        elif new_state.name == pybreaker.STATE_OPEN and old_state and old_state.name == pybreaker.STATE_HALF_OPEN:
            cb.reset_timeout = min(2 * cb.reset_timeout, LONGEST_PAUSE_S)


def new_breaker() -> pybreaker.CircuitBreaker:
    """Make a breaker that counts `Unreachable` alone: a qBittorrent that refuses a request is there."""
    return pybreaker.CircuitBreaker(
        fail_max=FAILURES,
        reset_timeout=FIRST_PAUSE_S,
        exclude=[AuthRejected, Banned, Refused],
        listeners=[_LongerPauses()],
        state_storage=_MonotonicStorage(pybreaker.STATE_CLOSED),
        throw_new_error_on_trip=False,
    )
