"""Checks of the tree that the entries of `trackers` make: parents that exist, no circles, guarantees that fit.

They work on plain mappings, as `checks` does. Values of a wrong type are reported elsewhere, and count as absent.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from qguardarr.config.selectors import SELECTORS, is_set
from qguardarr.core.model import UNLIMITED
from qguardarr.core.units import SpeedError, format_speed, parse_rate, parse_speed
from qguardarr.errors import Fault

MOST_LEVELS: Final = 8
"""Levels of parents. Nobody needs more, and each makes the tree harder to see through."""


class Tree:
    """The entries by their ids, and who is above whom."""

    def __init__(self, entries: Sequence[object]) -> None:
        """Of several entries with the same id, which is reported elsewhere, the first counts."""
        self.entries = [entry if isinstance(entry, Mapping) else {} for entry in entries]
        self.index: dict[str, int] = {}
        for number, entry in enumerate(self.entries):
            if isinstance(entry.get("id"), str):
                self.index.setdefault(entry["id"], number)
        self.children: dict[str, list[int]] = {}
        for number, entry in enumerate(self.entries):
            if isinstance(entry.get("parent"), str):
                self.children.setdefault(entry["parent"], []).append(number)

    def name(self, number: int) -> str:
        """Return the id of an entry."""
        return str(self.entries[number].get("id"))

    def beneath(self, number: int) -> list[int]:
        """Return the entries that name this one as their parent."""
        name = self.entries[number].get("id")
        return self.children.get(name, []) if isinstance(name, str) and self.index[name] == number else []

    def above(self, number: int) -> list[int]:
        """Return the parents of an entry, the nearest first. A circle ends where it begins."""
        found: list[int] = []
        while isinstance(parent := self.entries[number].get("parent"), str) and parent in self.index:
            number = self.index[parent]
            if number in found:
                break
            found.append(number)
        return found

    def is_parent(self, number: int) -> bool:
        """Return whether other entries name this one as their parent."""
        return bool(self.beneath(number))

    def cap(self, number: int) -> int:
        """Return `max_upload_speed` of an entry, bytes/s or UNLIMITED."""
        found = _speed(self.entries[number].get("max_upload_speed"), parse_speed)
        return UNLIMITED if found is None else found

    def rate(self, number: int) -> int | None:
        """Return the `rate` that an entry asks for, bytes/s."""
        return _speed(self.entries[number].get("rate"), parse_rate)


def tree_faults(entries: Sequence[object], uplink: object) -> Iterator[Fault]:
    """Yield all faults of the tree. `uplink`: the setting, as it is written."""
    tree = Tree(entries)
    line = _speed(uplink, parse_speed) or UNLIMITED
    circles = {number for number in range(len(tree.entries)) if number in tree.above(number)}
    yield from _parent_faults(tree, circles)
    for number, entry in enumerate(tree.entries):
        if not tree.is_parent(number):
            yield from _nothing_selected(tree, number)
        else:
            for key in SELECTORS:
                if is_set(entry.get(key)):
                    yield Fault(
                        ("trackers", number, key),
                        f"selects torrents, though {tree.name(tree.beneath(number)[0])!r} names this entry as its "
                        "parent",
                        "remove it; an entry beneath this one may have it",
                    )
        rate, cap = tree.rate(number), tree.cap(number)
        if rate is not None and rate > cap:
            reason = f"is more than max_upload_speed ({format_speed(cap)})"
            yield Fault(("trackers", number, "rate"), reason, "lower it, or raise max_upload_speed")
        elif rate is not None and rate > line:
            reason = f"is more than global.uplink ({format_speed(line)})"
            yield Fault(("trackers", number, "rate"), reason, "lower it, or raise global.uplink")
        yield from _window_faults(tree, number)
        if entry.get("when_busy") is True:
            yield from _never_busy(tree, number, line)
    if tree.entries and tree.is_parent(len(tree.entries) - 1):
        yield Fault(
            ("trackers", len(tree.entries) - 1, "id"),
            "the last entry must be a catch-all, which takes torrents of all other trackers and of none",
            "move this one up",
        )
    if not circles:
        yield from _broken_promises(tree, line)


def _parent_faults(tree: Tree, circles: set[int]) -> Iterator[Fault]:
    told: set[int] = set()
    for number, entry in enumerate(tree.entries):
        parent, place = entry.get("parent"), ("trackers", number, "parent")
        if not isinstance(parent, str):
            continue
        if parent not in tree.index:
            close = difflib.get_close_matches(parent, tree.index, 1)
            hint = f"did you mean {close[0]!r}?" if close else "write the id of another entry"
            yield Fault(place, "there is no entry with this id", hint)
        elif number in circles and number not in told:
            way = [number, *tree.above(number)]
            told.update(way)
            names = " → ".join(tree.name(each) for each in way)
            yield Fault(place, f"goes in a circle: {names}", "remove 'parent' from one of them")
        elif number not in circles and len(tree.above(number)) > MOST_LEVELS:
            yield Fault(place, f"is more than {MOST_LEVELS} levels deep", "name a parent further up")


def _nothing_selected(tree: Tree, number: int) -> Iterator[Fault]:
    entry = tree.entries[number]
    if entry and not any(is_set(entry.get(key)) for key in SELECTORS):
        hint = (
            "add it, or another condition, such as 'tags' or 'category'; without any an entry is the parent of others, "
            "which name its id as their 'parent'"
        )
        yield Fault(("trackers", number, "pattern"), "is missing", hint)


def _window_faults(tree: Tree, number: int) -> Iterator[Fault]:
    """Yield faults of rates in a schedule that are more than the cap at that time."""
    windows = tree.entries[number].get("schedule")
    for index, window in enumerate(windows if isinstance(windows, list | tuple) else ()):
        if not isinstance(window, Mapping):
            continue
        rate, own = _speed(window.get("rate"), parse_rate), _speed(window.get("cap"), parse_speed)
        cap = tree.cap(number) if own is None else own
        if rate is not None and rate > cap:
            place = ("trackers", number, "schedule", index, "rate")
            whose = "max_upload_speed" if own is None else "the cap in this window"
            yield Fault(
                place, f"is more than {whose} ({format_speed(cap)})", "lower it, or give the window a higher cap"
            )


def _never_busy(tree: Tree, number: int, line: int) -> Iterator[Fault]:
    place = ("trackers", number, "when_busy")
    if tree.cap(number) >= UNLIMITED:
        yield Fault(place, "there is no cap that could count", "set max_upload_speed, or remove 'when_busy'")
    elif line >= UNLIMITED and all(tree.cap(above) >= UNLIMITED for above in tree.above(number)):
        yield Fault(
            place,
            "the cap would never count: nothing above this entry has a cap, so that nothing is ever full",
            "set global.uplink, or max_upload_speed of a parent",
        )


def _broken_promises(tree: Tree, line: int) -> Iterator[Fault]:
    """Yield faults of rates that do not fit into what is above them. Only those that are asked for are promises."""
    promised: dict[int, int] = {}
    for number in sorted(range(len(tree.entries)), key=lambda each: -len(tree.above(each))):
        beneath, own = tree.beneath(number), tree.rate(number) or 0
        total = sum(promised[each] for each in beneath)
        if total > tree.cap(number):
            yield Fault(
                ("trackers", number, "max_upload_speed"),
                f"is less than the rates that are guaranteed beneath it: {_list(tree, beneath, promised)}",
                "raise it, or lower their 'rate'",
            )
        promised[number] = min(tree.cap(number), max(own, total))
    tops = [number for number in range(len(tree.entries)) if not tree.above(number)]
    if math.fsum(promised[number] for number in tops) > line:
        yield Fault(
            ("global", "uplink"),
            f"is less than the rates that are guaranteed: {_list(tree, tops, promised)}",
            "raise it, or lower their 'rate'",
        )


def _list(tree: Tree, numbers: Sequence[int], promised: Mapping[int, int]) -> str:
    shown = [f"{tree.name(each)} {format_speed(promised[each])}" for each in numbers if promised[each]]
    return ", ".join(shown)


def _speed(value: object, parse: Callable[[Any], int]) -> int | None:
    if value is None:
        return None
    try:
        return parse(value)
    except SpeedError:
        return None
