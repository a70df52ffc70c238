"""Order the rows of a status as the tree that they make, for tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from qguardarr.engine.status import ParentRow, TrackerRow

Row: TypeAlias = TrackerRow | ParentRow


def in_tree(trackers: Sequence[TrackerRow], parents: Sequence[ParentRow]) -> Iterator[tuple[int, Row]]:
    """Yield each row with its depth: a parent before what is beneath it, and the line, if it has a cap, before all.

    Groups stand in the order of the file, a parent where the first group beneath it does.
    """
    line = next((row for row in parents if not row.id), None)
    inner = [row for row in parents if row.id]
    first: dict[str, int] = {}
    above = {row.id: row.parent for row in inner}
    for place, tracker in enumerate(trackers):
        id_ = tracker.parent
        for _ in inner:
            first.setdefault(id_, place)
            id_ = above.get(id_, "")
    depth = 0
    if line is not None and line.cap is not None:
        yield 0, line
        depth = 1
    yield from _beneath("", depth, trackers, inner, first)


def _beneath(
    id_: str, depth: int, trackers: Sequence[TrackerRow], inner: Sequence[ParentRow], first: dict[str, int]
) -> Iterator[tuple[int, Row]]:
    known = {row.id for row in inner}
    rows: list[tuple[int, Row]] = [
        (place, row) for place, row in enumerate(trackers) if (row.parent if row.parent in known else "") == id_
    ]
    rows += [(first.get(row.id, len(trackers)), row) for row in inner if row.parent == id_]
    for _, row in sorted(rows, key=lambda pair: pair[0]):
        yield depth, row
        if isinstance(row, ParentRow):
            yield from _beneath(row.id, depth + 1, trackers, inner, first)
