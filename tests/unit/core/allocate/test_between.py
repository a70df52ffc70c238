"""How the line is divided between groups."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qguardarr.core.allocate.between import LINE_LEAST, Node, demands, divide_line, left_of_line, loans, smoothed
from qguardarr.core.allocate.water_filling import shares

few = settings(max_examples=100, deadline=None)
some_demand = st.one_of(st.just(0.0), st.just(math.inf), st.floats(0, 2e8))


def tracker(cap: float, ceil: float, demand: float, priority: int) -> Node:
    """A tracker of a flat file: its cap is its rate, and decides in which proportion it borrows."""
    return Node(rate=cap, ceil=ceil, demand=demand, priority=priority, weight=cap)


@st.composite
def trackers(draw: st.DrawFn) -> list[Node]:
    result = []
    for _ in range(draw(st.integers(1, 8))):
        cap = draw(st.floats(1e3, 1e8))
        result.append(tracker(cap, cap * draw(st.floats(1, 3)), draw(some_demand), draw(st.integers(1, 10))))
    return result


@st.composite
def trees(draw: st.DrawFn) -> list[Node]:
    """Up to twelve groups in up to four levels, with all kinds of rates."""
    depths: list[int] = []
    result: list[Node] = []
    for i in range(draw(st.integers(1, 12))):
        above = [k for k in range(i) if depths[k] < 4]
        parent = draw(st.sampled_from([-1, *above]))
        depths.append(0 if parent < 0 else depths[parent] + 1)
        ceil = draw(st.floats(1e3, 1e8))
        rate = ceil * draw(st.sampled_from([0.0, 0.1, 0.5, 1.0]))
        result.append(
            Node(
                rate=rate,
                ceil=ceil,
                demand=draw(some_demand),
                priority=draw(st.integers(1, 3)),
                weight=draw(st.sampled_from([1.0, 2.0, 5.0, 100.0])),
                sure=draw(st.sampled_from([0.0, rate])),
                last=draw(st.sampled_from([0.0, ceil, 3 * ceil])),
                parent=parent,
            )
        )
    return result


lines = st.floats(1e3, 1e9)


def used(nodes: Sequence[Node], got: Sequence[float]) -> list[float]:
    return [min(demand, g) for demand, g in zip(demands(nodes), got, strict=True)]


def beneath(nodes: Sequence[Node], parent: int) -> list[int]:
    return [i for i, node in enumerate(nodes) if node.parent == parent]


def groups(nodes: Sequence[Node], got: Sequence[float], line: float) -> list[tuple[list[int], float]]:
    """All siblings, and what they divide."""
    inner = {node.parent for node in nodes}
    return [(beneath(nodes, parent), line if parent < 0 else got[parent]) for parent in inner]


@dataclass
class Borrower:
    """A tracker as `divide_line` saw it before there were groups of groups."""

    cap: float
    ceil: float
    demand: float
    priority: int


def divided_flat(those: Sequence[Borrower], line: float) -> list[float]:
    """Divide the line as before there were groups of groups: the reference for a file of today."""
    caps = [t.cap for t in those]
    got = shares([min(t.cap, t.demand) for t in those], caps, line)
    left = line - math.fsum(got)
    for priority in sorted({t.priority for t in those}, reverse=True):
        rank = [i for i, t in enumerate(those) if t.priority == priority and t.demand > got[i] and t.ceil > t.cap]
        wants = [max(0.0, min(those[i].ceil, those[i].demand) - got[i]) for i in rank]
        if rank and left > 0:
            for i, extra in zip(rank, shares(wants, [caps[i] for i in rank], left), strict=True):
                got[i] += extra
                left -= extra
    return [g if t.demand > g else max(g, t.cap) for t, g in zip(those, got, strict=True)]


class TestAFlatFile:
    @settings(max_examples=300, deadline=None)
    @given(trackers(), st.one_of(lines, st.just(math.inf)))
    def test_it_means_what_it_did(self, those: list[Node], line: float) -> None:
        before = divided_flat([Borrower(t.rate, t.ceil, t.demand, t.priority) for t in those], line)
        assert divide_line(those, line) == pytest.approx(before, rel=1e-9, abs=1e-6)

    def test_equal_priorities_borrow_in_proportion_to_their_rates(self) -> None:
        a, b = tracker(100, 1000, math.inf, 5), tracker(300, 1000, math.inf, 5)
        assert divide_line([a, b, tracker(400, 400, 0, 5)], 800) == pytest.approx([200, 600, 400])

    def test_a_line_shorter_than_the_caps_is_shared_in_proportion_to_them(self) -> None:
        assert divide_line([tracker(100, 100, math.inf, 9), tracker(300, 300, math.inf, 1)], 200) == [50, 150]

    def test_without_a_line_every_tracker_has_its_cap(self) -> None:
        assert divide_line([tracker(100, 100, math.inf, 1), tracker(50, 50, 0, 1)], math.inf) == [100, 50]

    def test_no_trackers(self) -> None:
        assert divide_line([], 100) == []


class TestTheTree:
    @few
    @given(trees(), lines)
    def test_children_never_use_more_than_their_parent_may(self, nodes: list[Node], line: float) -> None:
        got = divide_line(nodes, line)
        for siblings, capacity in groups(nodes, got, line):
            assert math.fsum(used(nodes, got)[i] for i in siblings) <= capacity * (1 + 1e-9)

    @few
    @given(trees(), lines)
    def test_nobody_gets_more_than_it_may_ever_use(self, nodes: list[Node], line: float) -> None:
        for node, got in zip(nodes, divide_line(nodes, line), strict=True):
            assert 0 <= got <= node.most * (1 + 1e-9)

    @few
    @given(trees())
    def test_guarantees_are_met_where_they_fit(self, nodes: list[Node]) -> None:
        """Reclaiming takes no time: loans do not enter into it."""
        sure = [node.sure for node in nodes]
        for i in reversed(range(len(nodes))):  # children come after their parents
            if found := beneath(nodes, i):
                sure[i] = max(sure[i], math.fsum(sure[k] for k in found))
        nodes = [
            msgspec.structs.replace(node, rate=max(node.rate, s), ceil=max(node.ceil, s), sure=s)
            for node, s in zip(nodes, sure, strict=True)
        ]
        line = math.fsum(sure[i] for i in beneath(nodes, -1))
        got = divide_line(nodes, line)
        for node, g, wanted in zip(nodes, got, demands(nodes), strict=True):
            assert g >= min(node.sure, wanted) * (1 - 1e-9)

    @few
    @given(trees(), lines)
    def test_nothing_that_someone_may_use_is_left(self, nodes: list[Node], line: float) -> None:
        got, wanted = divide_line(nodes, line), demands(nodes)
        for siblings, capacity in groups(nodes, got, line):
            want = math.fsum(min(nodes[i].most, wanted[i]) for i in siblings)
            assert math.fsum(used(nodes, got)[i] for i in siblings) >= min(capacity, want) * (1 - 1e-6)

    @few
    @given(trees(), lines)
    def test_higher_priority_borrows_first(self, nodes: list[Node], line: float) -> None:
        got, wanted = divide_line(nodes, line), demands(nodes)
        took = used(nodes, got)
        for siblings, _ in groups(nodes, got, line):
            for low in siblings:
                own = max(nodes[low].rate, nodes[low].sure)
                if any(node.parent == low for node in nodes):  # what is sure beneath it is its own, too
                    own = math.inf
                for high in siblings:
                    if nodes[high].priority > nodes[low].priority and took[low] > own * (1 + 1e-6) + 1e-3:
                        assert took[high] >= min(nodes[high].ceil, wanted[high]) * (1 - 1e-6)

    @few
    @given(trees(), lines, st.integers(0, 11), st.floats(1, 10))
    def test_a_higher_ceiling_never_gives_a_leaf_less(
        self, nodes: list[Node], line: float, which: int, factor: float
    ) -> None:
        leaves = [i for i in range(len(nodes)) if not beneath(nodes, i)]
        leaf = leaves[which % len(leaves)]
        raised = list(nodes)
        raised[leaf] = msgspec.structs.replace(nodes[leaf], ceil=factor * nodes[leaf].ceil)
        was, now = used(nodes, divide_line(nodes, line)), used(raised, divide_line(raised, line))
        assert now[leaf] >= was[leaf] * (1 - 1e-6)

    @few
    @given(trees(), lines)
    def test_what_is_borrowed_and_lent_adds_up(self, nodes: list[Node], line: float) -> None:
        got = divide_line(nodes, line)
        found = loans(nodes, got)
        for siblings, _ in groups(nodes, got, line):
            assert math.fsum(found[i][1] for i in siblings) <= math.fsum(found[i][0] for i in siblings) * (1 + 1e-9)
        for node, (borrowed, lent) in zip(nodes, found, strict=True):
            assert borrowed == 0.0 or lent == 0.0
            assert 0.0 <= lent <= node.rate

    def test_three_levels(self) -> None:
        """The line of 20 lends what `public` leaves; `private` of 15 lends it on to `hd`, up to its ceiling."""
        private = Node(rate=10, ceil=15, sure=10, last=15)
        hd = Node(rate=3, ceil=12, sure=3, last=12, demand=math.inf, parent=0)
        music = Node(rate=2, ceil=15, sure=2, last=15, demand=1, parent=0)
        public = Node(rate=10, ceil=10, demand=4)
        assert divide_line([private, hd, music, public], 20) == pytest.approx([15, 12, 3, 10])
        busy = msgspec.structs.replace(public, demand=math.inf)
        assert divide_line([private, hd, music, busy], 20) == pytest.approx([10, 9, 2, 10])

    def test_what_was_asked_for_comes_before_what_only_follows_from_a_cap(self) -> None:
        asked = Node(rate=10, ceil=15, sure=10, demand=math.inf, weight=10)
        follows = Node(rate=15, ceil=15, demand=math.inf, weight=15)
        assert divide_line([asked, follows], 20) == pytest.approx([10, 10])

    def test_weights_decide_where_nothing_is_guaranteed(self) -> None:
        a, b = (Node(rate=0, ceil=100, demand=math.inf, weight=weight) for weight in (2.0, 1.0))
        assert divide_line([a, b], 90) == pytest.approx([60, 30])

    def test_what_nobody_else_wants_goes_to_whoever_is_held_only_while_all_is_full(self) -> None:
        when_busy = Node(rate=2, ceil=2, last=20, demand=math.inf, priority=10)
        other = Node(rate=5, ceil=15, sure=5, demand=math.inf, priority=1)
        assert divide_line([when_busy, other], 20) == pytest.approx([5, 15])
        assert divide_line([when_busy, other], 17) == pytest.approx([2, 15])

    def test_a_group_that_wants_little_may_take_its_part_of_what_is_left(self) -> None:
        content = Node(rate=0, ceil=50, last=50, demand=10)
        other = Node(rate=0, ceil=50, last=50, demand=20)
        assert divide_line([content, other], 60) == pytest.approx([25, 35])

    @pytest.mark.parametrize(("ceil", "kept"), [(10, 6), (5, 5)])
    def test_a_group_that_wants_more_than_its_rate_keeps_more_than_it_wants_on_paper(
        self, ceil: float, kept: float
    ) -> None:
        content = Node(rate=1, ceil=ceil, demand=4, priority=5, sure=1, last=ceil)
        greedy = Node(rate=0, ceil=10, demand=math.inf, last=10)
        assert divide_line([content, greedy], 10) == pytest.approx([kept, 6])

    def test_rates_on_paper_beneath_a_parent_sum_to_its_share(self) -> None:
        parent = Node(rate=10, ceil=10)
        idle = [Node(rate=10, ceil=10, parent=0, weight=10) for _ in range(4)]
        assert divide_line([parent, *idle], 100) == pytest.approx([10, 2.5, 2.5, 2.5, 2.5])


def test_unlimited_trackers_leave_a_part_of_the_line() -> None:
    assert left_of_line(1000.0, 300.0) == 700.0
    assert left_of_line(1000.0, 5000.0) == LINE_LEAST * 1000.0


class TestSmoothing:
    def rise(self, before: float | None, target: float, *, alpha: float = 0.4) -> float:
        return smoothed(before, target, 100.0, alpha=alpha, least_change=0.1, elapsed_s=2.0)

    @given(st.none() | st.floats(0, 1e3), st.floats(0, 1e3), st.floats(0, 1))
    def test_it_is_never_above_the_target_nor_below_the_own_rate(
        self, before: float | None, target: float, alpha: float
    ) -> None:
        got = self.rise(before, target, alpha=alpha)
        assert got <= max(target, before or 0.0)
        assert got >= min(target, 100.0)

    def test_the_first_value_and_every_fall_take_effect_at_once(self) -> None:
        assert self.rise(None, 150.0) == 150.0
        assert self.rise(150.0, 120.0) == 120.0

    def test_a_small_rise_is_not_made(self) -> None:
        assert self.rise(149.0, 150.0) == 149.0

    def test_a_rise_goes_part_of_the_way(self) -> None:
        assert 110.0 < self.rise(100.0, 150.0, alpha=0.2) < 140.0
