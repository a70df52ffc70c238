"""The order of rows in tables: as the tree that they make."""

from __future__ import annotations

from qguardarr.engine.status import ParentRow, TrackerRow
from qguardarr.engine.tree_rows import in_tree
from tests.support.samples import parent_row, row


def tracker(id_: str, parent: str = "") -> TrackerRow:
    return row(id_, parent=parent)


def shown(trackers: list[TrackerRow], parents: list[ParentRow]) -> list[tuple[int, str]]:
    return [(depth, row.id) for depth, row in in_tree(trackers, parents)]


LINE = parent_row("", cap=None)


def test_a_flat_file_has_no_tree() -> None:
    assert shown([tracker("a"), tracker("b")], [LINE]) == [(0, "a"), (0, "b")]
    assert shown([], []) == []


def test_a_line_with_a_cap_is_above_all() -> None:
    assert shown([tracker("a")], [parent_row("", cap=1000)]) == [(0, ""), (1, "a")]


def test_parents_stand_where_the_first_of_their_groups_does() -> None:
    trackers = [tracker("first"), tracker("hd", "arr"), tracker("music", "private"), tracker("tv", "arr")]
    parents = [parent_row("private"), parent_row("arr", "private"), LINE]
    assert shown([*trackers, tracker("rest")], parents) == [
        (0, "first"),
        (0, "private"),
        (1, "arr"),
        (2, "hd"),
        (2, "tv"),
        (1, "music"),
        (0, "rest"),
    ]


def test_a_tracker_whose_parent_is_unknown_stands_beneath_the_line() -> None:
    assert shown([tracker("a", "gone")], [LINE]) == [(0, "a")]
