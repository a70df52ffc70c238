"""Values that many torrents share, as small numbers in their rows."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Final, Generic, TypeVar

T = TypeVar("T", bound=Hashable)

_FIRST_SWEEP: Final = 256


class Interned(Generic[T]):
    """Numbers for values. A number stays while a row has it; that of a value which no row has goes to another one.

    One thread may ask for numbers; any may look values up.
    """

    def __init__(self, in_use: Callable[[], Iterable[int]]) -> None:
        """`in_use` yields the numbers that rows have; it is asked when the values have doubled."""
        self._in_use = in_use
        self._numbers: dict[T, int] = {}
        self._values: list[T] = []
        self._free: list[int] = []
        self._sweep_at = _FIRST_SWEEP

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, number: int) -> T:
        return self._values[number]

    def number(self, value: T) -> int:
        """Return the number of a value, which may be new."""
        known = self._numbers.get(value)
        if known is not None:
            return known
        if len(self._numbers) >= self._sweep_at:
            self._sweep()
        if self._free:
            number = self._free.pop()
            self._values[number] = value
        else:
            number = len(self._values)
            self._values.append(value)
        self._numbers[value] = number
        return number

    def _sweep(self) -> None:
        """Take the numbers back of values that no row has. A thread that looks one up meanwhile still finds it."""
        used = set(self._in_use())
        for value, number in list(self._numbers.items()):
            if number not in used:
                del self._numbers[value]
                self._free.append(number)
        self._sweep_at = max(_FIRST_SWEEP, 2 * len(self._numbers))
