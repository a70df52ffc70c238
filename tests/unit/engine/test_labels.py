"""Categories and tags that are offered, each with the torrents that a selector of it would take."""

from __future__ import annotations

from qguardarr.core.model import NO_LABELS, Labels
from qguardarr.engine.labels import MOST_LABELS, MOST_LEVELS, LabelRow, label_list


def names(rows: tuple[LabelRow, ...]) -> list[tuple[str, int]]:
    return [(row.name, row.torrents) for row in rows]


def test_torrents_of_all_qbittorrents_count_with_what_is_below_a_category() -> None:
    home = {Labels("movies/uhd", ("keep",), None): 2, Labels("movies", (), True): 3, NO_LABELS: 50}
    box = {Labels("tv/new/daily", ("gold", "keep"), None): 4, Labels("/odd", (), None): 1}

    found = label_list([home, box])

    assert names(found.categories) == [
        ("movies", 5), ("tv", 4), ("tv/new", 4), ("tv/new/daily", 4), ("movies/uhd", 2), ("/odd", 1),
    ]  # fmt: skip
    assert names(found.tags) == [("keep", 6), ("gold", 4)]
    assert found.left_out == 0


def test_those_of_most_torrents_are_listed_if_there_are_too_many() -> None:
    many = {Labels("", (f"tag{n:04}",), None): n + 1 for n in range(MOST_LABELS + 20)}

    found = label_list([many])

    assert len(found.tags) == MOST_LABELS
    assert found.tags[0].name == f"tag{MOST_LABELS + 19:04}"
    assert found.left_out == 20


def test_a_name_of_many_levels_makes_few_rows() -> None:
    deep = "/".join("a" * 5000)

    found = label_list([{Labels(deep, (), None): 1}])

    assert len(found.categories) == MOST_LEVELS + 1
    assert deep in [row.name for row in found.categories]
