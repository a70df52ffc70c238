"""Tell whether one selector takes all torrents of another, as far as that can be seen without torrents."""

from __future__ import annotations

import math

from qguardarr.core.model import Range, Selector
from qguardarr.core.select.matcher import is_catch_all


def takes_all_of(one: Selector, other: Selector) -> bool:
    """Return whether every torrent that `other` selects is selected by `one`. False if it is not plain to see."""
    return (
        (not one.pattern or one.pattern == other.pattern or is_catch_all(one.pattern) is True)
        and (not one.category or (bool(other.category) and all(_is_in(name, one.category) for name in other.category)))
        and _is_part(other.tags, one.tags)
        and one.private in (None, other.private)
        and _holds(one.ratio, other.ratio)
        and _holds(one.age, other.age)
        and _holds(one.size, other.size)
        and one.state in (None, other.state)
        and one.name in ("", other.name)
        and _is_part(other.instance, one.instance)
        and all(any(takes_all_of(no, left_out) for no in other.unless) for left_out in one.unless)
    )


def _is_in(category: str, wanted: tuple[str, ...]) -> bool:
    return any(category == name or (name and category.startswith(f"{name}/")) for name in wanted)


def _is_part(names: tuple[str, ...], of: tuple[str, ...]) -> bool:
    return not of or (bool(names) and set(names) <= set(of))


def _holds(outer: Range, inner: Range) -> bool:
    lowest, highest = (-math.inf if r.above is None else r.above for r in (outer, inner))
    above = lowest <= highest
    least, most = (math.inf if r.below is None else r.below for r in (inner, outer))
    return above and least <= most
