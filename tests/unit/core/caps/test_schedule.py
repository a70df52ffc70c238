"""Schedules change a cap at the moments that the engine worked out."""

from __future__ import annotations

import math

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from qguardarr.core.allocate.between import divide_line
from qguardarr.core.caps.chain import Cap, cap_in_force, next_change, with_caps
from qguardarr.core.caps.schedule import Segment, scheduled
from qguardarr.core.caps.temporary import Override, temporary_caps
from qguardarr.core.model import UNLIMITED
from qguardarr.core.policy import selectors
from qguardarr.core.reconcile.group_tree import Leaf, group_nodes
from qguardarr.core.select.matcher import Matcher
from qguardarr.core.timed import Window
from tests.support.guard_loop import MB, policy_of, tracker, url_of

NOW = 1_700_000_000.0
RULE = tracker("a", 10 * MB)
POLICY = policy_of(RULE, tracker("b", 5 * MB))
DAY = Window(cap=2 * MB, priority=9)
TIMES = {"a": [Segment(NOW, None), Segment(NOW + 10, DAY, "schedule: by day"), Segment(NOW + 20, None)]}


def test_a_window_changes_cap_and_priority_until_it_ends() -> None:
    assert cap_in_force(RULE, [scheduled(TIMES)], NOW) == Cap(10 * MB, until=NOW + 10, priority=5)
    within = Cap(2 * MB, "schedule: by day", NOW + 20, priority=9)
    assert cap_in_force(RULE, [scheduled(TIMES)], NOW + 10) == within
    assert cap_in_force(RULE, [scheduled(TIMES)], NOW + 19.9) == within
    assert cap_in_force(RULE, [scheduled(TIMES)], NOW + 20) == Cap(10 * MB, priority=5)


def test_before_what_was_worked_out_and_without_a_schedule_nothing_changes() -> None:
    assert cap_in_force(RULE, [scheduled(TIMES)], NOW - 1) == Cap(10 * MB, until=NOW, priority=5)
    assert with_caps(POLICY, [scheduled({})], NOW) is POLICY


def test_what_a_window_does_not_name_stays() -> None:
    quick = {"a": [Segment(NOW, Window(priority=1), "schedule: x")]}
    assert cap_in_force(RULE, [scheduled(quick)], NOW) == Cap(10 * MB, "schedule: x", priority=1)


NUMBERS = st.one_of(st.none(), st.integers(1, 10 * MB))
WINDOWS = st.builds(Window, cap=NUMBERS, rate=NUMBERS, priority=st.one_of(st.none(), st.integers(1, 10)))


@given(st.lists(st.tuples(st.floats(1.0, 1000.0), st.one_of(st.none(), WINDOWS)), max_size=6), st.floats(0.0, 5000.0))
def test_at_any_time_each_number_is_that_of_the_window_or_of_the_group(
    steps: list[tuple[float, Window | None]], after: float
) -> None:
    at, segments, holds = NOW, [Segment(NOW, None)], None
    for length, window in steps:
        at += length
        segments.append(Segment(at, window, "schedule: x"))
        holds = window if NOW + after >= at else holds
    group = msgspec.structs.replace(RULE, rate=3 * MB)
    found = cap_in_force(group, [scheduled({"a": segments})], NOW + after)
    holds = holds or Window()
    assert found.ceiling == (10 * MB if holds.cap is None else holds.cap)
    assert found.rate == (3 * MB if holds.rate is None else holds.rate)
    assert found.priority == (5 if holds.priority is None else holds.priority)
    assert found.until == next((each.start for each in segments if each.start > NOW + after), None)


def test_a_window_that_guarantees_more_gives_more() -> None:
    policy = policy_of(tracker("a", 10 * MB, rate=0), tracker("b", 10 * MB, rate=2 * MB), uplink=10 * MB)
    night = [scheduled({"a": [Segment(NOW, None), Segment(NOW + 10, Window(rate=7 * MB), "schedule: by night")]})]

    def share(at: float) -> float:
        greedy = {0: Leaf(math.inf), 1: Leaf(math.inf)}
        return divide_line(group_nodes(with_caps(policy, night, at), greedy, 10.0 * MB, lambda _: 0.0), 10.0 * MB)[0]

    assert share(NOW) <= 5 * MB
    assert 7 * MB <= share(NOW + 10) <= 8 * MB


def test_the_line_may_have_a_schedule() -> None:
    line = {"": [Segment(NOW, DAY, "schedule: by day"), Segment(NOW + 60, None)]}
    assert with_caps(POLICY, [scheduled(line)], NOW).uplink == 2 * MB
    assert with_caps(POLICY, [scheduled(line)], NOW + 60).uplink == UNLIMITED
    assert next_change(POLICY, [scheduled(line)], NOW) == NOW + 60


def test_an_override_has_the_last_word() -> None:
    modifiers = [scheduled(TIMES), temporary_caps({"a": Override(MB, NOW + 15)})]
    assert cap_in_force(RULE, modifiers, NOW + 12).ceiling == MB
    assert cap_in_force(RULE, modifiers, NOW + 15).ceiling == 2 * MB


def test_a_changed_cap_selects_no_other_torrents() -> None:
    """Also where the strictest rule counts: it is the one with the lowest cap in the file."""
    policy = policy_of(tracker("t1", 10 * MB), tracker("t2", 5 * MB), match_mode="strictest")
    changed = with_caps(policy, [scheduled({"t1": TIMES["a"]})], NOW + 10)
    assert changed.classes[0].cap == 2 * MB
    assert selectors(changed) == selectors(policy)
    urls = (url_of("t1"), url_of("t2"))
    assert Matcher(changed.classes, "strictest").match(urls) == Matcher(policy.classes, "strictest").match(urls) == 1
    assert with_caps(changed, [], NOW) is changed
