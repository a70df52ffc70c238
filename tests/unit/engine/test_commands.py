"""Orders of people and programs to the running engine."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from qguardarr.core.model import UNLIMITED, ParentGroup
from qguardarr.engine.commands import Commands
from tests.support.daemon_process import until
from tests.support.guard_loop import MB, Guard, policy_of, tracker


def test_a_temporary_cap_ends_in_time_though_the_clock_was_set_back(guard: Guard) -> None:
    """Regression: the timer fired too early by the new clock, and the cap stayed until the next cycle, in an hour."""
    policy = policy_of(tracker("t1", 1 * MB))
    guarded = guard(policy, [])
    ours = threading.get_ident()
    by_the_timer: Iterator[float] = iter([999.9, 999.9])

    def clock() -> float:
        return 1_000.0 if threading.get_ident() == ours else next(by_the_timer, 2_000.0)

    commands = Commands(guarded.controller, guarded.journal, lambda: {"": guarded.sim}, policy, wall_clock=clock)
    commands.set_override("t1", UNLIMITED, 0.01)
    assert guarded.controller.policy != policy
    until(lambda: not commands.overrides, "the end of the temporary cap")
    assert next(by_the_timer, None) is None
    assert guarded.controller.policy == policy


def test_a_temporary_cap_of_a_parent_holds_all_beneath_it(guard: Guard) -> None:
    groups = [tracker("hd", 5 * MB, parent="private"), tracker("free", UNLIMITED, parent="private", rate=0)]
    policy = policy_of(*groups, parents=(ParentGroup("private", "private", 8 * MB),))
    guarded = guard(policy, [])
    commands = Commands(guarded.controller, guarded.journal, lambda: guarded.sim, policy)
    assert [group.cap for group in guarded.controller.policy.classes] == [5 * MB, 8 * MB, UNLIMITED]
    commands.set_override("private", 2 * MB, 600.0)
    assert [group.cap for group in guarded.controller.policy.classes] == [2 * MB, 2 * MB, UNLIMITED]
    assert guarded.controller.policy.parents[0].cap == 2 * MB
    assert commands.clear_override("private")
    assert guarded.controller.policy.parents[0].cap == 8 * MB
