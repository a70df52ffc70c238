"""Fixed-size rows found by a 20-byte key: plain bytes in place of an object for each of tens of thousands of torrents.

`Rows` is an array of rows with a hash index beside it: 9 bytes for each row on top of its own size, where a dictionary
of objects takes 400. A row has a number, its *slot*, which stays the same until the row is removed. `SlotQueue` is an
ordered set of slots.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from struct import Struct
from typing import Any, Final

KEY_BYTES: Final = 20
"""A v1 info hash. qBittorrent cuts v2 hashes to this length, too, in its ids."""

_EMPTY, _REMOVED = -1, -2
_FULLEST: Final = 2 / 3
"""Share of the index that may be in use: beyond it, looking for a key that is missing takes long. As in `dict`."""
_USED, _LISTED, _QUEUED = 1, 2, 4
"""Flags of a slot: there is a row; `SlotQueue` lists it, and has a place for it."""


class Rows:
    """Rows of bytes by key. Other threads may call `find` and copy `data`; only one may change it."""

    def __init__(self, size: int) -> None:
        """Make an empty array; each row has `size` bytes, of which the first KEY_BYTES are its key."""
        self.size = size
        self.data = bytearray()
        self.flags = bytearray()
        self._index = array("i", [_EMPTY]) * 16
        self._occupied = 0
        """Places of the index that are not empty, those of removed rows included."""
        self._free = array("i")
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def find(self, key: bytes) -> int:
        """Return the slot of the row with this key; -1 if there is none."""
        index, size, data = self._index, self.size, self.data
        mask = len(index) - 1
        place = hash(key) & mask
        while (slot := index[place]) != _EMPTY:
            if slot >= 0 and data[slot * size : slot * size + KEY_BYTES] == key:
                return slot
            place = (place + 1) & mask
        return -1

    def add(self, key: bytes) -> int:
        """Make room for a row with this key, which must be new, and return its slot. Only the key is set."""
        if self._occupied + 1 > _FULLEST * len(self._index):
            self._reindex(4 * (self._count + 1))
        if self._free:
            slot = self._free.pop()
        else:
            slot = len(self.flags)
            self.data += bytes(self.size)
            self.flags.append(0)
        self.data[slot * self.size : slot * self.size + KEY_BYTES] = key
        self.flags[slot] |= _USED
        self._place(key, slot)
        self._count += 1
        return slot

    def remove(self, slot: int) -> None:
        """Remove a row. Its slot may be given to another one."""
        mask = len(self._index) - 1
        place = hash(self.key(slot)) & mask
        while self._index[place] != slot:
            place = (place + 1) & mask
        self._index[place] = _REMOVED
        self.flags[slot] &= ~(_USED | _LISTED)
        self._free.append(slot)
        self._count -= 1

    def key(self, slot: int) -> bytes:
        """Return the key of a row."""
        return bytes(self.data[slot * self.size : slot * self.size + KEY_BYTES])

    def slots(self) -> list[int]:
        """Return the slots of all rows."""
        return [slot for slot, flags in enumerate(self.flags) if flags & _USED]

    def unpacked(self, form: Struct) -> Iterator[tuple[int, tuple[Any, ...]]]:
        """Yield the slot and fields of each row; `form` is as long as a row. No row may be added meanwhile."""
        rows = enumerate(zip(self.flags, form.iter_unpack(self.data), strict=True))
        return ((slot, fields) for slot, (flags, fields) in rows if flags & _USED)

    def _place(self, key: bytes, slot: int) -> None:
        mask = len(self._index) - 1
        place = hash(key) & mask
        while self._index[place] >= 0:
            place = (place + 1) & mask
        self._occupied += self._index[place] == _EMPTY
        self._index[place] = slot

    def _reindex(self, least: int) -> None:
        """Build the index again, with `least` places or more."""
        self._index = array("i", [_EMPTY]) * (1 << (least - 1).bit_length())
        self._occupied = 0
        for slot in self.slots():
            self._place(self.key(slot), slot)


class SlotQueue:
    """The slots of rows that somebody has to look at, in order, each once."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._order = array("i")
        """Slots in order; those that were discarded since are passed over."""
        self._discarded = 0

    def __iter__(self) -> Iterator[int]:
        """Yield the slots. Nothing is to be discarded before the iteration has ended."""
        if 2 * self._discarded > len(self._order):
            self.replace([slot for slot in self._order if slot in self])
        flags = self._rows.flags
        return (slot for slot in self._order if flags[slot] & _LISTED)

    def __contains__(self, slot: int) -> bool:
        return bool(self._rows.flags[slot] & _LISTED)

    def add(self, slot: int) -> None:
        """Append a slot, unless it is in the queue."""
        flags = self._rows.flags
        if not flags[slot] & _QUEUED:
            self._order.append(slot)
        flags[slot] |= _LISTED | _QUEUED

    def discard(self, slot: int) -> None:
        """Take a slot out."""
        if slot in self:
            self._rows.flags[slot] &= ~_LISTED
            self._discarded += 1

    def move_to_front(self, slots: Iterable[int]) -> None:
        """Put these slots before all others."""
        first = dict.fromkeys(slots)
        self.replace([*first, *(slot for slot in self if slot not in first)])

    def move_to_end(self, slots: Iterable[int]) -> None:
        """Put these slots, as far as they are in the queue, after all others."""
        last = {slot: None for slot in slots if slot in self}
        self.replace([*(slot for slot in self if slot not in last), *last])

    def replace(self, slots: Sequence[int]) -> None:
        """Have these slots, in this order, and no others."""
        flags = self._rows.flags
        for slot in self._order:
            flags[slot] &= ~(_LISTED | _QUEUED)
        self._order, self._discarded = array("i", slots), 0
        for slot in slots:
            flags[slot] |= _LISTED | _QUEUED
