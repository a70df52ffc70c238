"""Conditions of a selector, compiled: each a comparison of numbers or a look into a set.

Numbers (ratio, age, size) are compared as bands: the thresholds of all rules divide them into bands, and all torrents
of a band are alike.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Literal, NamedTuple, TypeAlias

from qguardarr.core.model import Labels, Range, Selector, TrackerClass

Field: TypeAlias = Literal[
    "pattern", "category", "tags", "private", "ratio", "age", "size", "state", "name", "instance", "not"
]
_Band: TypeAlias = tuple[int, int]
"""First band, and the one after the last."""
_ALL: Final[_Band] = (0, 1 << 30)


class Facts(NamedTuple):
    """What of a torrent counts."""

    urls: int
    """Verdict on the announce URL, or on all of them."""
    all_urls: int
    """Verdict on all announce URLs together."""
    name: int
    """Verdict on the name."""
    labels: Labels
    downloading: bool
    ratio: int
    """A band, as the next two."""
    age: int
    size: int


class Bands:
    """Thresholds of all rules for one kind of number."""

    def __init__(self, ranges: Iterable[Range], rounded: Callable[[float], float] = float) -> None:
        bounds = {rounded(bound) for r in ranges for bound in (r.above, r.below) if bound is not None}
        self.thresholds: Sequence[float] = sorted(bounds)
        self._rounded = rounded

    def of(self, number: float) -> int:
        """Return the band of a number."""
        return bisect_right(self.thresholds, number)

    def band(self, wanted: Range) -> _Band:
        """Return the bands of a range."""
        first, end = _ALL
        if wanted.above is not None:
            first = bisect_left(self.thresholds, self._rounded(wanted.above)) + 1
        if wanted.below is not None:
            end = bisect_left(self.thresholds, self._rounded(wanted.below)) + 1
        return first, end


class Conditions(NamedTuple):
    """A selector, compiled."""

    urls: int
    """Bit of the pattern for announce URLs; 0 is no condition."""
    name: int
    """Bit of the pattern for names; 0 is no condition."""
    category: tuple[str, ...]
    tags: frozenset[str]
    private: bool | None
    downloading: bool | None
    ratio: _Band
    age: _Band
    size: _Band
    here: bool
    """It may select torrents of this qBittorrent."""
    unless: tuple[Conditions, ...]


def failing(wanted: Conditions, facts: Facts, *, excludes: bool = False) -> Field | None:
    """Return the first condition that does not hold; None if all do.

    `excludes`: the conditions say what is left out. A torrent of which it is not known whether it is private is
    selected neither by `private` nor by the opposite.
    """
    labels = facts.labels
    if not wanted.here:
        return "instance"
    if wanted.urls and not wanted.urls & facts.urls:
        return "pattern"
    if wanted.category and not _is_in(labels.category, wanted.category):
        return "category"
    if wanted.tags and wanted.tags.isdisjoint(labels.tags or ("",)):
        return "tags"
    unsure = excludes and labels.private is None
    if wanted.private is not None and labels.private is not wanted.private and not unsure:
        return "private"
    if wanted.downloading is not None and facts.downloading is not wanted.downloading:
        return "state"
    if not wanted.ratio[0] <= facts.ratio < wanted.ratio[1]:
        return "ratio"
    if not wanted.age[0] <= facts.age < wanted.age[1]:
        return "age"
    if not wanted.size[0] <= facts.size < wanted.size[1]:
        return "size"
    if wanted.name and not wanted.name & facts.name:
        return "name"
    if wanted.unless:
        together = facts._replace(urls=facts.all_urls)
        if any(failing(left_out, together, excludes=True) is None for left_out in wanted.unless):
            return "not"
    return None


def _is_in(category: str, wanted: tuple[str, ...]) -> bool:
    return any(category == name or (name and category.startswith(f"{name}/")) for name in wanted)


def needs(selector: Selector) -> set[Field]:
    """Return the conditions that a selector has, those of what it leaves out included."""
    found: set[Field] = {name for name in _FIELDS if getattr(selector, name) != getattr(_NOTHING, name)}
    for left_out in selector.unless:
        found |= needs(left_out)
        found.add("not")
    return found


def selectors_in(classes: Iterable[TrackerClass]) -> list[Selector]:
    """Return the selectors of rules, and those of what they leave out."""
    own = [rule.selector for rule in classes]
    return [*own, *(left_out for selector in own for left_out in selector.unless)]


_NOTHING: Final = Selector()
_FIELDS: Final[tuple[Field, ...]] = (
    "pattern", "category", "tags", "private", "ratio", "age", "size", "state", "name", "instance",
)  # fmt: skip
