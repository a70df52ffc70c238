"""Say in words which condition of a rule a torrent fulfils, and which it does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from qguardarr.core.model import Range, Selector
from qguardarr.core.select.conditions import Field
from qguardarr.core.select.matcher import Selectable

_DAY: Final = 86_400
_UNITS: Final = ((7 * _DAY, "w"), (_DAY, "d"), (3600, "h"), (60, "m"), (1, "s"))


def fulfilled(selector: Selector, torrent: Selectable, now: float, instance: str = "") -> str:
    """Return the conditions of a rule that selects a torrent, as the torrent fulfils them.

    `instance`: name of the qBittorrent that has the torrent, if there are several.
    """
    found = list(_fulfilled(selector, torrent, now, instance))
    return ", ".join(found) or "it takes every torrent"


def missing(field: Field, selector: Selector, torrent: Selectable, now: float, instance: str = "") -> str:
    """Return the condition of a rule that a torrent does not fulfil, and what it has in its place.

    `instance`: see `fulfilled`.
    """
    labels = torrent.labels
    match field:
        case "pattern":
            return f"no announce URL matches {selector.pattern!r}"
        case "category":
            has = f"its category is {labels.category!r}" if labels.category else "it has no category"
            return f"{has}, not {_either(selector.category, 'none')}"
        case "tags":
            has = f"its tags are {', '.join(labels.tags)}" if labels.tags else "it has no tags"
            return f"{has}, not {_either(selector.tags, 'none')}"
        case "private":
            known = {None: "it is not known whether it is private", True: "it is private", False: "it is not private"}
            return known[labels.private]
        case "state":
            return "it is complete" if selector.state == "downloading" else "it is not complete"
        case "ratio":
            return f"its ratio {torrent.ratio:.3g} is not {_range(selector.ratio, '{:.6g}'.format)}"
        case "age":
            age = _rounded_age(now - torrent.added_on if torrent.added_on else 0.0)
            return f"its age {age} is not {_range(selector.age, duration_words)}"
        case "size":
            return f"its size {size_words(torrent.size)} is not {_range(selector.size, size_words)}"
        case "name":
            return f"its name does not match {selector.name!r}"
        case "instance":
            has = f"it is on {instance!r}, not" if instance else "it is not on"
            return f"{has} {_either(selector.instance, '')}"
        case "not":
            return "it is among those that the rule leaves out"


def _fulfilled(selector: Selector, torrent: Selectable, now: float, instance: str) -> Iterator[str]:
    labels = torrent.labels
    if selector.pattern:
        yield f"announce URL matches {selector.pattern!r}"
    if selector.category:
        yield f"category {labels.category!r}" if labels.category else "no category"
    if selector.tags:
        found = [tag for tag in labels.tags if tag in selector.tags]
        yield f"tag {', '.join(found)}" if found else "no tags"
    if selector.private is not None:
        yield "private" if selector.private else "not private"
    if selector.state is not None:
        yield selector.state
    if selector.ratio != Range():
        yield f"ratio {torrent.ratio:.3g}"
    if selector.age != Range():
        yield f"age {_rounded_age(now - torrent.added_on if torrent.added_on else 0.0)}"
    if selector.size != Range():
        yield f"size {size_words(torrent.size)}"
    if selector.name:
        yield f"name matches {selector.name!r}"
    if selector.instance:
        yield f"on {_either([instance] if instance else selector.instance, '')}"
    if selector.unless:
        yield "not among those left out"


def duration_words(seconds: float) -> str:
    """Return a duration with the largest unit of which it is a whole number: `30d`, `90m`."""
    for unit, letter in _UNITS:
        if seconds and seconds % unit == 0:
            return f"{seconds / unit:.0f}{letter}"
    return f"{seconds:g}s"


def size_words(size: float) -> str:
    """Return a size with three digits and a binary unit: `1.5 GiB`."""
    amount, unit = float(size), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    return f"{amount:.4g} {unit}"


def _rounded_age(seconds: float) -> str:
    for unit, letter in _UNITS[1:]:
        if seconds >= 2 * unit:
            return f"{seconds // unit:.0f}{letter}"
    return f"{max(0.0, seconds):.0f}s"


def _range(wanted: Range, words: Callable[[float], str]) -> str:
    parts = []
    if wanted.above is not None:
        parts.append(f"{words(wanted.above)} or more")
    if wanted.below is not None:
        parts.append(f"less than {words(wanted.below)}")
    return " and ".join(parts)


def _either(names: Sequence[str], none: str) -> str:
    return " or ".join(repr(name) if name else none for name in names)
