"""Items that wait to be sent, and to be sent again after a failure. No thread, no clock: time is passed in."""

from __future__ import annotations

from typing import Final, Protocol, TypeVar

LONGEST_RETRY_S: Final = 1800.0
"""Longest pause before an item is sent again."""


class Waiting(Protocol):
    """An item of the queue."""

    @property
    def next_try_at(self) -> float:
        """When it is due, seconds of the caller's clock."""
        ...


ItemT = TypeVar("ItemT", bound=Waiting)


class RetryQueue(dict[str, ItemT]):
    """Items by key, in the order in which they were put; the first one that is due comes first. For one thread."""

    def due(self, now: float) -> ItemT | None:
        """Return the first item that is due; None if none is."""
        return next((item for item in self.values() if has_come(item.next_try_at, now)), None)

    def next_due_at(self) -> float | None:
        """Return when the first item will be due; None if nothing waits."""
        return min((item.next_try_at for item in self.values()), default=None)


def has_come(at: float, now: float) -> bool:
    """Tell whether a time has come. One that is too far ahead was noted before the clock was set back."""
    return at <= now or at > now + 3 * LONGEST_RETRY_S
