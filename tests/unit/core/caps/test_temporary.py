"""Temporary caps replace a cap and end."""

from __future__ import annotations

import pytest

from qguardarr.core.caps.chain import next_change, with_caps
from qguardarr.core.caps.temporary import Override, temporary_caps
from qguardarr.core.model import MAX_LIMIT, UNLIMITED
from tests.support.guard_loop import MB, policy_of, tracker

NOW = 1_700_000_000.0
POLICY = policy_of(tracker("a", 10 * MB), tracker("b", 5 * MB))


def caps(**overrides: Override) -> dict[str, int]:
    return {rule.id: rule.cap for rule in with_caps(POLICY, [temporary_caps(overrides)], NOW).classes}


def test_an_override_replaces_the_cap_of_its_tracker_alone() -> None:
    assert caps(a=Override(MB, NOW + 60)) == {"a": MB, "b": 5 * MB, "rest": UNLIMITED}


def test_it_may_raise_or_lift_a_cap_and_cap_an_unlimited_tracker() -> None:
    assert caps(a=Override(UNLIMITED, NOW + 1), b=Override(20 * MB, NOW + 1), rest=Override(1, NOW + 1)) == {
        "a": UNLIMITED,
        "b": 20 * MB,
        "rest": 1,
    }


def test_all_else_of_the_policy_stays() -> None:
    changed = with_caps(POLICY, [temporary_caps({"a": Override(MB, NOW + 60)})], NOW)
    assert with_caps(changed, [temporary_caps({"a": Override(10 * MB, NOW + 60)})], NOW) == POLICY
    assert changed.classes[0].priority == POLICY.classes[0].priority


def test_what_is_over_or_of_no_tracker_is_ignored() -> None:
    over = {"a": Override(MB, NOW), "b": Override(MB, NOW - 1), "gone": Override(MB, NOW + 60)}
    assert with_caps(POLICY, [temporary_caps(over)], NOW) is POLICY


@pytest.mark.parametrize("cap", [1, MAX_LIMIT, UNLIMITED])
def test_every_limit_may_be_a_cap(cap: int) -> None:
    assert Override(cap, NOW).cap == cap


@pytest.mark.parametrize("cap", [0, -1, UNLIMITED + 1])
def test_what_is_no_limit_is_refused(cap: int) -> None:
    with pytest.raises(ValueError, match="not a limit"):
        Override(cap, NOW)


def test_caps_change_next_when_the_soonest_of_those_in_force_ends() -> None:
    modifiers = [
        temporary_caps({"a": Override(MB, NOW + 20), "b": Override(MB, NOW + 30), "gone": Override(MB, NOW + 5)})
    ]
    assert next_change(POLICY, modifiers, NOW) == NOW + 20
    assert next_change(POLICY, modifiers, NOW + 20) == NOW + 30
    assert next_change(POLICY, modifiers, NOW + 30) is None
    assert next_change(POLICY, [], NOW) is None
