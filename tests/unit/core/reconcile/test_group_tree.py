"""How a policy in force becomes the tree that the line is divided over."""

from __future__ import annotations

import math
from typing import Any

import pytest

from qguardarr.core.allocate.between import Node
from qguardarr.core.model import UNLIMITED, ParentGroup
from qguardarr.core.policy import Policy
from qguardarr.core.reconcile.group_tree import TRICKLE, Leaf, ancestors, caps_on_waking, group_nodes, sum_of_caps
from qguardarr.core.reconcile.why import sharing
from tests.support.guard_loop import MB, tracker, tree_of

PRIVATE = ParentGroup("private", "private", 15 * MB, rate=10 * MB)
ARR = ParentGroup("arr", "arr", 12 * MB, parent="private")
HD = tracker("hd", 6 * MB, rate=3 * MB, parent="arr")
TV = tracker("tv", 6 * MB, parent="arr")
PUBLIC = tracker("public", 10 * MB)


def policy(*groups: Any, parents: tuple[ParentGroup, ...] = (PRIVATE, ARR), **changes: Any) -> Policy:
    return tree_of(groups or (HD, TV, PUBLIC), parents, **changes)


def nodes(policy: Policy, line: float = math.inf, **borrows: bool) -> dict[str, Node]:
    """The nodes by the ids of their groups, with no demand."""
    leaves = {i: Leaf(0.0, borrows=borrows.get(g.id, False)) for i, g in enumerate(policy.classes) if g.is_capped}
    found = group_nodes(policy, leaves, line, lambda _: 0.0)
    ids = [*(policy.classes[i].id for i in leaves), *(parent.id for parent in policy.parents)]
    return dict(zip(ids, found, strict=True))


def test_each_class_knows_what_is_above_it() -> None:
    assert ancestors(policy()) == [("arr", "private", ""), ("arr", "private", ""), ("",), ("",)]


def test_a_group_without_a_rate_has_its_cap_for_its_own() -> None:
    found = nodes(policy(), line=20.0 * MB)
    assert (found["tv"].rate, found["tv"].sure, found["tv"].ceil) == (6 * MB, 0, 6 * MB)
    assert (found["hd"].rate, found["hd"].sure, found["hd"].ceil) == (3 * MB, 3 * MB, 6 * MB)
    assert (found["private"].rate, found["private"].ceil) == (10 * MB, 15 * MB)


def test_where_there_is_nothing_to_share_a_group_has_its_cap() -> None:
    assert nodes(policy(tracker("a", 5 * MB, rate=1 * MB)))["a"].rate == 5 * MB
    assert nodes(policy())["private"].rate == 15 * MB


def test_a_rate_of_nothing_leaves_a_trickle_to_show_demand() -> None:
    lazy = nodes(policy(tracker("a", 5 * MB, rate=0, parent="private")))["a"]
    assert (lazy.sure, lazy.rate) == (0, TRICKLE * 15 * MB)


def test_a_parent_without_a_cap_has_the_rates_beneath_it() -> None:
    found = nodes(policy(parents=(ParentGroup("private", "private", UNLIMITED), ARR)), line=50.0 * MB)
    assert found["private"].rate == 12 * MB
    assert found["private"].ceil == math.inf


def test_only_what_the_strategy_lends_is_beyond_a_cap() -> None:
    found = nodes(policy(strategy="soft"), tv=True, hd=True)
    assert found["tv"].ceil == 9 * MB
    assert found["hd"].ceil == 6 * MB, "it has a rate of its own, and borrows up to its cap"


@pytest.mark.parametrize(("line", "most"), [(math.inf, 12 * MB), (8.0 * MB, 8 * MB)])
def test_whoever_is_held_while_all_is_full_may_have_all_that_is_above_it(line: float, most: float) -> None:
    found = nodes(policy(tracker("bulk", 2 * MB, when_busy=True, parent="arr")), line)["bulk"]
    assert (found.rate, found.ceil, found.last) == (2 * MB, 2 * MB, most)


def test_a_cap_that_counts_while_all_is_full_holds_where_nothing_can_be_full() -> None:
    found = nodes(policy(tracker("bulk", 2 * MB, when_busy=True)))["bulk"]
    assert found.most == 2 * MB


class TestWeights:
    def test_rates_are_the_weights_if_nobody_has_one(self) -> None:
        found = nodes(policy(), line=20.0 * MB)
        assert (found["hd"].weight, found["tv"].weight) == (3 * MB, 6 * MB)
        assert (found["private"].weight, found["public"].weight) == (10 * MB, 10 * MB)

    def test_who_has_no_rate_counts_like_the_mean_of_the_others(self) -> None:
        """Regression: a trickle counted as its rate, so that it got a hundredth of what was left."""
        found = nodes(policy(HD, TV, tracker("a", UNLIMITED, rate=0, parent="arr")), line=20.0 * MB)
        assert found["a"].weight == 4.5 * MB
        lazy = [tracker(name, 5 * MB, rate=0, parent="arr") for name in ("a", "b")]
        assert {nodes(policy(*lazy), line=20.0 * MB)[name].weight for name in ("a", "b")} == {1.0}

    def test_else_who_has_none_counts_as_one(self) -> None:
        heavy = tracker("heavy", 5 * MB, weight=7, parent="arr")
        found = nodes(policy(HD, heavy, PUBLIC), line=20.0 * MB)
        assert (found["hd"].weight, found["heavy"].weight) == (1.0, 7.0)
        assert found["public"].weight == 10 * MB, "it has other siblings"


def test_all_caps_together_are_those_beneath_the_line() -> None:
    assert sum_of_caps(policy()) == 25 * MB
    free = ParentGroup("private", "private", UNLIMITED)
    assert sum_of_caps(policy(parents=(free, ARR))) == 22 * MB


class TestCapsOnWaking:
    def test_those_beneath_a_parent_sum_to_its_cap(self) -> None:
        groups = [tracker(name, 12 * MB, parent="arr") for name in ("a", "b")]
        hd = tracker("c", 6 * MB, parent="private")
        caps = caps_on_waking(policy(*groups, hd, PUBLIC), [1, 1, 1, 1, 1])
        assert math.fsum(caps[:3]) == pytest.approx(15 * MB)
        assert caps[:3] == pytest.approx([5 * MB, 5 * MB, 5 * MB])
        assert caps[3] == 10 * MB

    def test_groups_without_torrents_do_not_count(self) -> None:
        groups = [tracker(name, 12 * MB, parent="arr") for name in ("a", "b")]
        assert caps_on_waking(policy(*groups), [3, 0, 0])[0] == 12 * MB

    def test_a_flat_file_keeps_its_caps(self) -> None:
        flat = policy(PUBLIC, tracker("b", 3 * MB), parents=(), uplink=5 * MB)
        assert caps_on_waking(flat, [1, 1, 1])[:2] == [10 * MB, 3 * MB]


@pytest.mark.parametrize(
    ("cap", "rate", "effective", "words"),
    [
        (6 * MB, 3 * MB, 5.0 * MB, "hd (borrows 2 MB/s)"),
        (6 * MB, None, 9.0 * MB, "hd (borrows 3 MB/s)"),
        (6 * MB, 0, 1.0 * MB, "hd (borrows 1 MB/s)"),
        (6 * MB, 3 * MB, 3.0 * MB, "hd"),
        (6 * MB, None, 2.0 * MB, "hd"),
        (UNLIMITED, None, None, "hd"),
    ],
)
def test_a_reason_says_what_is_borrowed(cap: int, rate: int | None, effective: float | None, words: str) -> None:
    assert sharing(tracker("hd", cap, rate=rate), effective) == words
