"""What a status tells of parents and of the line."""

from __future__ import annotations

import math

import pytest

from qguardarr.core.model import UNLIMITED, ParentGroup
from qguardarr.engine.status import ParentRow, TrackerRow
from tests.support.guard_loop import MB, Guard, Guarded, torrents_of, tracker, tree_of

GREEDY = math.inf
PARENT = ParentGroup("private", "Private", 8 * MB, rate=4 * MB)
GROUPS = [
    tracker("hd", 8 * MB, rate=1 * MB, parent="private", weight=3),
    tracker("tv", 4 * MB, rate=2 * MB, parent="private"),
    tracker("public", 6 * MB, 1),
]


def held(guard: Guard, **changes: int) -> tuple[Guarded, dict[str, TrackerRow], dict[str, ParentRow]]:
    torrents = torrents_of("hd", [GREEDY] * 2) + torrents_of("tv", [0.0]) + torrents_of("public", [GREEDY] * 2)
    guarded = guard(tree_of(GROUPS, [PARENT], **changes), torrents)
    snapshot = guarded.run(70.0)
    return guarded, {row.id: row for row in snapshot.trackers}, {row.id: row for row in snapshot.parents}


def test_shares_loans_and_usage(guard: Guard) -> None:
    _, rows, parents = held(guard, uplink=10 * MB)
    hd, tv, private, line = rows["hd"], rows["tv"], parents["private"], parents[""]
    assert (hd.parent, hd.guaranteed, hd.ceiling, hd.weight) == ("private", 1 * MB, 8 * MB, 3)
    assert hd.effective == pytest.approx(4 * MB, rel=0.05)
    assert hd.borrowed == pytest.approx(3 * MB, rel=0.05)
    assert tv.lent == pytest.approx(2 * MB, rel=0.05)
    assert (private.name, private.parent, private.cap, private.guaranteed, private.ceiling) == (
        "Private",
        "",
        8 * MB,
        4 * MB,
        8 * MB,
    )
    assert private.effective == pytest.approx(4 * MB, rel=0.05)
    assert private.rate_60s == pytest.approx(4 * MB, rel=0.05)
    assert private.utilisation == pytest.approx(1.0, abs=0.05)
    assert (private.torrents, private.hungry) == (3, 2)
    assert (line.cap, line.effective) == (10 * MB, 10 * MB)
    assert line.rate_10s == pytest.approx(10 * MB, rel=0.05)
    assert line.torrents == 5
    assert line.total_bytes == pytest.approx(sum(row.total_bytes for row in rows.values()))


def test_without_a_line_it_is_unlimited(guard: Guard) -> None:
    _, rows, parents = held(guard)
    assert (parents[""].cap, parents[""].effective, parents[""].utilisation) == (None, None, None)
    assert rows["hd"].effective == pytest.approx(8 * MB, rel=0.05)
    assert rows["rest"].guaranteed is None


def test_a_parent_that_comes_and_goes_is_metered_from_then_on(guard: Guard) -> None:
    guarded, _, parents = held(guard, uplink=10 * MB)
    before = parents["private"].total_bytes
    guarded.adopt(tree_of([tracker("hd", 8 * MB), *GROUPS[1:]], [PARENT], uplink=10 * MB))
    snapshot = guarded.run(10.0)
    assert snapshot.parents[0].total_bytes == pytest.approx(before, rel=0.02), "it goes on from what it had"
    guarded.adopt(tree_of([tracker("hd", UNLIMITED), tracker("public", 6 * MB)], [], uplink=10 * MB))
    assert [row.id for row in guarded.run(4.0).parents] == [""]
