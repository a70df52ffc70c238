"""Items that wait to be sent, and to be sent again after a failure. No thread, no clock: time is passed in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, Generic, Protocol, TypeVar

LONGEST_RETRY_S: Final = 1800.0
"""Longest pause before an item is sent again."""


class Waiting(Protocol):
    """An item of the queue."""

    @property
    def next_try_at(self) -> float:
        """When it is due, seconds of the caller's clock."""
        ...


ItemT = TypeVar("ItemT", bound=Waiting)


class RetryQueue(Generic[ItemT]):
    """Items by key, in the order in which they were put; the first one that is due comes first. For one thread."""

    def __init__(self) -> None:
        self._items: dict[str, ItemT] = {}

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, key: str) -> bool:
        return key in self._items

    def __iter__(self) -> Iterator[ItemT]:
        return iter(list(self._items.values()))

    def get(self, key: str) -> ItemT | None:
        """Return an item; None if it does not wait."""
        return self._items.get(key)

    def put(self, key: str, item: ItemT) -> None:
        """Put an item at the end, or in the place of the one with the same key."""
        self._items[key] = item

    def remove(self, key: str) -> None:
        """Remove an item, if it waits."""
        self._items.pop(key, None)

    def drop_oldest(self) -> None:
        """Remove the item that has waited longest."""
        del self._items[next(iter(self._items))]

    def merge(self, older: Iterable[tuple[str, ItemT]], order: Callable[[ItemT], float]) -> None:
        """Add items unless their key waits already, and put all in this order."""
        self._items = dict(sorted((dict(older) | self._items).items(), key=lambda entry: order(entry[1])))

    def due(self, now: float) -> ItemT | None:
        """Return the first item that is due; None if none is."""
        return next((item for item in self._items.values() if has_come(item.next_try_at, now)), None)

    def next_due_at(self) -> float | None:
        """Return when the first item will be due; None if nothing waits."""
        return min((item.next_try_at for item in self._items.values()), default=None)


def has_come(at: float, now: float) -> bool:
    """Tell whether a time has come. One that is too far ahead was noted before the clock was set back."""
    return at <= now or at > now + 3 * LONGEST_RETRY_S
