"""Keep in the journal what each of several qBittorrents uses of the caps, for a start while one of them is away.

Its limits stay in force whatever becomes of us, so that their part of each cap cannot be given to others before it has
been read. Nobody else knows it then: the journal has limits, but no rules.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from qguardarr.engine.ports import Journal
from qguardarr.errors import JournalError

NOTED_EVERY_S: Final = 20.0
"""It is noted this often at most, seconds, if it has changed."""
_CHANGED: Final = 0.05
"""Smaller relative changes are not noted."""

_DECODER: Final = msgspec.json.Decoder(dict[str, float])


class HeldParts:
    """What each qBittorrent uses of each group's cap, bytes/s by id of the group."""

    def __init__(self, journals: Mapping[str, Journal]) -> None:
        """`journals`: by name of the qBittorrent. Read at once."""
        self._journals = journals
        self._noted = {name: _read(journal) for name, journal in journals.items()}
        self._at: dict[str, float] = {}

    def of(self, name: str) -> Mapping[str, float]:
        """Return what was noted last, by this process or an earlier one."""
        return self._noted[name]

    def note(self, name: str, used: Callable[[], Mapping[str, float]], now: float) -> None:
        """Note what one uses now, if it is time. `now`: monotonic seconds."""
        if now - self._at.setdefault(name, now) < NOTED_EVERY_S:  # at first little is measured
            return
        self._at[name] = now
        before, found = self._noted[name], {id_: round(rate) for id_, rate in used().items() if rate > 0.0}
        if all(_is_near(before.get(id_, 0.0), found.get(id_, 0.0)) for id_ in {*before, *found}):
            return
        with contextlib.suppress(JournalError):  # limits are more important; whatever is wrong will show with them
            self._journals[name].set_in_use(msgspec.json.encode(found).decode())
            self._noted[name] = found


def _is_near(one: float, other: float) -> bool:
    return abs(one - other) <= _CHANGED * max(one, other)


def _read(journal: Journal) -> Mapping[str, float]:
    try:
        return _DECODER.decode(journal.in_use() or "{}")
    except msgspec.DecodeError:  # of another version
        return {}
