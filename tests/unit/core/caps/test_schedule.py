"""Schedules change a cap at the moments that the engine worked out."""

from __future__ import annotations

from qguardarr.core.caps.chain import Cap, cap_in_force, next_change, with_caps
from qguardarr.core.caps.schedule import Segment, scheduled
from qguardarr.core.caps.temporary import Override, temporary_caps
from qguardarr.core.model import UNLIMITED
from qguardarr.core.policy import selectors
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
