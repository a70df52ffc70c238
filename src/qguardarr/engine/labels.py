"""Categories and tags that torrents have now, to choose from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec

from qguardarr.core.model import Labels

MOST_LABELS: Final = 1000
"""Listed categories, and tags: those of most torrents. A browser offers no more than these at a time."""

MOST_LEVELS: Final = 16
"""Categories above one that are listed: whoever makes up a name of slashes gets no more."""


class LabelRow(msgspec.Struct, frozen=True, kw_only=True):
    """A category or a tag."""

    name: str
    """Its name, as a selector takes it."""
    torrents: int
    """Number of torrents that have it; those in categories below it included."""


class LabelList(msgspec.Struct, frozen=True, kw_only=True):
    """All categories and tags of torrents, those of most torrents first; 1,000 of each at most."""

    categories: tuple[LabelRow, ...]
    """Also those that only have torrents in categories below them."""
    tags: tuple[LabelRow, ...]
    """Tags that no torrent has are not known."""
    left_out: int
    """Number of categories and tags that are not listed."""


def label_list(counted: Iterable[Mapping[Labels, int]]) -> LabelList:
    """Return the categories and tags of torrents. `counted`: number of torrents by labels, for each qBittorrent."""
    categories, tags = Counter[str](), Counter[str]()
    for counts in counted:
        for labels, number in counts.items():
            for name in {labels.category, *_above(labels.category)} - {""}:
                categories[name] += number
            for tag in labels.tags:
                tags[tag] += number
    listed = [_most(each) for each in (categories, tags)]
    left_out = len(categories) + len(tags) - sum(map(len, listed))
    return LabelList(categories=listed[0], tags=listed[1], left_out=left_out)


def _above(category: str) -> Iterator[str]:
    """Yield the categories above one, the innermost of many left out."""
    end = -1
    for _ in range(MOST_LEVELS):
        end = category.find("/", end + 1)
        if end < 0:
            return
        yield category[:end]


def _most(counts: Counter[str]) -> tuple[LabelRow, ...]:
    rows = sorted(counts.items(), key=lambda row: (-row[1], row[0]))
    return tuple(LabelRow(name=name, torrents=number) for name, number in rows[:MOST_LABELS])
