"""The chain of modifiers: each sees the cap that the ones before it left."""

from __future__ import annotations

import pytest

from qguardarr.core.caps.chain import Cap, Modifier, cap_in_force, with_caps
from qguardarr.core.caps.temporary import Override, temporary_caps
from qguardarr.core.model import TrackerClass
from tests.support.guard_loop import MB, policy_of, tracker

NOW = 1_700_000_000.0
RULE = tracker("a", 10 * MB)
POLICY = policy_of(RULE, tracker("b", 5 * MB))


def at_most(rate: int, reason: str) -> Modifier:
    def modify(_rule: TrackerClass, cap: Cap, _now: float) -> Cap:
        return Cap(min(rate, cap.rate), reason) if rate < cap.rate else cap

    return modify


def test_without_modifiers_the_configured_cap_is_in_force() -> None:
    assert cap_in_force(RULE, [], NOW) == Cap(10 * MB, "configured", None)
    assert with_caps(POLICY, [], NOW) is POLICY


def test_each_modifier_sees_what_the_ones_before_it_left() -> None:
    modifiers = [at_most(4 * MB, "at night"), at_most(6 * MB, "quota")]
    assert cap_in_force(RULE, modifiers, NOW) == Cap(4 * MB, "at night")
    assert cap_in_force(RULE, [*modifiers, at_most(2 * MB, "quota")], NOW) == Cap(2 * MB, "quota")


def test_a_temporary_cap_has_the_last_word_until_it_ends() -> None:
    modifiers = [at_most(4 * MB, "at night"), temporary_caps({"a": Override(20 * MB, NOW + 60)})]
    assert cap_in_force(RULE, modifiers, NOW) == Cap(20 * MB, "temporary cap", NOW + 60)
    assert cap_in_force(RULE, modifiers, NOW + 60) == Cap(4 * MB, "at night")


def test_a_modifier_that_gives_no_limit_is_a_defect() -> None:
    with pytest.raises(ValueError, match="not a limit"):
        with_caps(POLICY, [lambda _rule, _cap, _now: Cap(0)], NOW)
