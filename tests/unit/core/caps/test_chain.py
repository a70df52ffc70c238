"""The chain of modifiers: each sees the cap that the ones before it left."""

from __future__ import annotations

import msgspec
import pytest

from qguardarr.core.caps.chain import Cap, Group, Modifier, cap_in_force, next_change, with_caps
from qguardarr.core.caps.temporary import Override, temporary_caps
from qguardarr.core.model import UNLIMITED, ParentGroup
from tests.support.guard_loop import MB, policy_of, tracker

NOW = 1_700_000_000.0
RULE = tracker("a", 10 * MB)
POLICY = policy_of(RULE, tracker("b", 5 * MB))


def at_most(rate: int, reason: str) -> Modifier:
    def modify(_rule: Group, cap: Cap, _now: float) -> Cap:
        return Cap(rate, reason, priority=cap.priority) if rate < cap.ceiling else cap

    return modify


def test_without_modifiers_the_configured_cap_is_in_force() -> None:
    assert cap_in_force(RULE, [], NOW) == Cap(10 * MB, priority=5)
    assert with_caps(POLICY, [], NOW) is POLICY


def test_each_modifier_sees_what_the_ones_before_it_left() -> None:
    modifiers = [at_most(4 * MB, "at night"), at_most(6 * MB, "quota")]
    assert cap_in_force(RULE, modifiers, NOW) == Cap(4 * MB, "at night", priority=5)
    assert cap_in_force(RULE, [*modifiers, at_most(2 * MB, "quota")], NOW) == Cap(2 * MB, "quota", priority=5)


def test_a_temporary_cap_has_the_last_word_until_it_ends() -> None:
    modifiers = [at_most(4 * MB, "at night"), temporary_caps({"a": Override(20 * MB, NOW + 60)})]
    assert cap_in_force(RULE, modifiers, NOW) == Cap(20 * MB, "temporary cap", NOW + 60, priority=5)
    assert cap_in_force(RULE, modifiers, NOW + 60) == Cap(4 * MB, "at night", priority=5)


def test_a_modifier_that_gives_no_limit_is_a_defect() -> None:
    with pytest.raises(ValueError, match="not a limit"):
        with_caps(POLICY, [lambda _rule, _cap, _now: Cap(0)], NOW)


def test_a_group_is_capped_by_its_parents_but_not_by_the_line() -> None:
    top, inner = ParentGroup("top", "top", 8 * MB), ParentGroup("inner", "inner", UNLIMITED, parent="top")
    free, small = tracker("free", UNLIMITED), tracker("small", MB)
    classes = [msgspec.structs.replace(group, parent="inner") for group in (free, small)]
    policy = policy_of(*classes, parents=(inner, top), uplink=5 * MB)
    changed = with_caps(policy, [], NOW)
    assert [group.cap for group in changed.classes] == [8 * MB, MB, UNLIMITED]
    assert [group.cap for group in changed.parents] == [8 * MB, 8 * MB]
    assert with_caps(changed, [], NOW) is changed


def test_what_caps_only_while_the_line_is_full_makes_no_child_capped() -> None:
    top = ParentGroup("top", "top", 8 * MB, when_busy=True)
    policy = policy_of(msgspec.structs.replace(tracker("free", UNLIMITED), parent="top"), parents=(top,))
    assert with_caps(policy, [], NOW) is policy


def test_modifiers_reach_parents_and_the_line_with_rate_and_priority() -> None:
    def at_night(group: Group, cap: Cap, now: float) -> Cap:
        if group.id == "top":
            return Cap(4 * MB, "at night", NOW + 60, rate=MB, priority=9)
        return Cap(6 * MB, "at night", NOW + 30) if not group.id else cap

    top = ParentGroup("top", "top", 8 * MB)
    policy = policy_of(msgspec.structs.replace(tracker("a", 9 * MB), parent="top"), parents=(top,), uplink=20 * MB)
    changed = with_caps(policy, [at_night], NOW)
    assert changed.parents == (ParentGroup("top", "top", 4 * MB, 9, rate=MB),)
    assert (changed.classes[0].cap, changed.uplink) == (4 * MB, 6 * MB)
    assert next_change(policy, [at_night], NOW) == NOW + 30
