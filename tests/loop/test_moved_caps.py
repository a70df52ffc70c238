"""Caps that move by themselves, in virtual time: heeded in the same second, and nothing else is disturbed."""

from __future__ import annotations

import math
from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec
import pytest

from qguardarr.core.model import UNLIMITED
from qguardarr.core.policy import Policy
from qguardarr.core.timed import Window
from qguardarr.engine.commands import Commands
from qguardarr.engine.status import State
from tests.support.guard_loop import KB, MB, Guard, Guarded, policy_of, torrents_of, tracker

ZONE = "Europe/Berlin"
EPOCH = 1e9
"""Unix time at which the simulation begins."""


def minute(after_s: float) -> int:
    """Minutes after midnight on the wall, that long after the start; rounded up."""
    at = EPOCH + after_s
    local = datetime.fromtimestamp(math.ceil(at / 60) * 60, ZoneInfo(ZONE))
    return local.hour * 60 + local.minute


def commanding(guarded: Guarded, policy: Policy) -> Commands:
    return Commands(
        guarded.controller, guarded.journal, lambda: guarded.sim, policy, wall_clock=lambda: EPOCH + guarded.sim.now
    )


def run_until(guarded: Guarded, commands: Commands, until: float) -> None:
    """Cycles, as the daemon runs them: a timer brings one forward when a cap changes."""
    while guarded.sim.now < until:
        snapshot = guarded.controller.cycle()
        assert snapshot.state is State.HOLDING
        due = guarded.sim.now + guarded.controller.rest_s(guarded.sim.now)
        changes = commands.changes_at
        if changes is not None:
            due = min(due, max(guarded.sim.now, changes - EPOCH))
        guarded.sim.run_until(due)
        commands.refresh_caps()


@pytest.mark.parametrize("lift", [False, True], ids=["half", "unlimited"])
def test_a_boundary_is_heeded_in_the_same_second_and_selects_nothing_again(
    guard: Guard, monkeypatch: pytest.MonkeyPatch, lift: bool
) -> None:
    begins = minute(120.0)
    window = Window(start=begins, end=(begins + 2) % 1440, cap=UNLIMITED if lift else 2 * MB)
    group = msgspec.structs.replace(tracker("t1", 4 * MB), schedule=(window,))
    policy = policy_of(group, tracker("t2", MB), timezone=ZONE)
    torrents = torrents_of("t1", [1.5 * MB] * 30) + torrents_of("t2", [math.inf] * 3)
    guarded = guard(policy, torrents)
    commands = commanding(guarded, policy)
    boundary = next(at for at in range(600) if minute(float(at)) == begins and (EPOCH + at) % 60 == 0)
    run_until(guarded, commands, boundary - 0.01)
    others, full_reads = guarded.limits("t2"), list[float]()
    monkeypatch.setattr(guarded.sim, "request_full", lambda: full_reads.append(guarded.sim.now))
    run_until(guarded, commands, boundary + 1.0)
    written = [at for at, _, _ in guarded.sim.writes if at >= boundary]
    assert written
    assert written[0] - boundary <= 1.0
    run_until(guarded, commands, boundary + 60.0)
    if lift:
        assert set(guarded.limits("t1").values()) == {UNLIMITED}
    else:
        assert guarded.rate("t1", boundary + 10, boundary + 60) == pytest.approx(2 * MB, rel=0.03)
    assert guarded.limits("t2") == others
    run_until(guarded, commands, boundary + 170.0)
    assert guarded.rate("t1", boundary + 130, boundary + 170) == pytest.approx(4 * MB, rel=0.03)
    assert full_reads == []


@pytest.mark.parametrize("low", [1, 1000, 10_000])
def test_torrents_come_back_after_a_cap_under_which_a_block_takes_minutes(guard: Guard, low: int) -> None:
    policy = policy_of(tracker("t1", 3 * MB))
    guarded = guard(policy, torrents_of("t1", [100 * KB] * 9 + [0.0] * 30))
    guarded.run_until(30)
    guarded.controller.adopt_policy(policy_of(tracker("t1", low)))
    guarded.run_until(60)
    assert max(guarded.limits("t1").values()) <= max(2048, low)
    guarded.controller.adopt_policy(policy)
    guarded.run_until(90)
    assert guarded.rate("t1", 70, 90) >= 0.95 * 900 * KB
