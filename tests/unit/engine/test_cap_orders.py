"""Boosts and hushes: over restarts, from the API and from commands beside the daemon."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from qguardarr.adapters.sqlite.store import SqliteStore
from qguardarr.core.caps.scaled import ALL, Order
from qguardarr.core.model import ParentGroup
from qguardarr.core.policy import Policy
from qguardarr.core.timed import Window
from qguardarr.engine.cap_orders import CapOrders, UnknownTracker
from tests.support.guard_loop import MB, Guard, policy_of, tracker

POLICY = policy_of(
    tracker("t1", 4 * MB), tracker("t2", MB), parents=(ParentGroup("top", "top", 9 * MB),), uplink=6 * MB
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    made = SqliteStore(tmp_path / "q.db.store")
    yield made
    made.close()


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def caps(policy: Policy) -> list[int]:
    return [group.cap for group in policy.classes[:2]]


def test_a_hush_of_all_and_its_end(guard: Guard, store: SqliteStore) -> None:
    guarded, clock = guard(POLICY, []), Clock()
    orders = CapOrders(guarded.controller, POLICY, store, wall_clock=clock)
    orders.set_orders([], Order("hush", 1_060.0, 0.1))
    assert caps(guarded.controller.policy) == [400_000, 100_000]
    assert guarded.controller.policy.uplink == 600_000
    assert orders.caps["t1"].reason == "hush"
    assert orders.changes_at == 1_060.0
    clock.now = 1_060.0
    orders.refresh_caps()
    assert caps(guarded.controller.policy) == [4 * MB, MB]
    assert orders.orders == {}


def test_one_group_a_parent_or_the_line(guard: Guard, store: SqliteStore) -> None:
    guarded = guard(POLICY, [])
    orders = CapOrders(guarded.controller, POLICY, store, wall_clock=Clock())
    orders.set_orders(["t1", "top", ""], Order("hush", 1_060.0, 0.5))
    policy = guarded.controller.policy
    assert (caps(policy), policy.parents[0].cap, policy.uplink) == ([2 * MB, MB], 4_500_000, 3 * MB)
    with pytest.raises(UnknownTracker):
        orders.set_orders(["gone"], Order("hush", 1_060.0, 0.5))
    assert orders.clear_orders("boost") == 0
    assert orders.clear_orders("hush") == 3
    assert guarded.controller.policy == POLICY


def test_it_outlives_a_restart(guard: Guard, store: SqliteStore) -> None:
    guarded = guard(POLICY, [])
    CapOrders(guarded.controller, POLICY, store, wall_clock=Clock()).set_orders([], Order("boost", 1_060.0, 2.0))
    again = guard(POLICY, [])
    orders = CapOrders(again.controller, POLICY, store, wall_clock=Clock())
    assert orders.orders == {ALL: Order("boost", 1_060.0, 2.0)}
    assert caps(again.controller.policy) == [6 * MB, 2 * MB]


def test_a_command_beside_the_daemon_is_heeded_at_the_next_cycle(guard: Guard, store: SqliteStore) -> None:
    guarded = guard(POLICY, [])
    orders = CapOrders(guarded.controller, POLICY, store, wall_clock=Clock())
    with_command = SqliteStore(store.path)
    with_command.set_orders([ALL], Order("hush", 1_060.0, 1.0, 300_000))
    orders.refresh_caps()
    assert guarded.controller.policy.uplink == 300_000
    assert with_command.clear_orders("hush") == 1
    with_command.close()
    orders.refresh_caps()
    assert guarded.controller.policy == POLICY


def test_a_boundary_of_the_schedule_is_heeded_during_a_hush(guard: Guard, store: SqliteStore) -> None:
    window = Window(start=0, end=1, cap=MB)  # from 0:00 to 0:01
    policy = policy_of(tracker("t1", 4 * MB, schedule=(window,)), timezone="UTC")
    guarded, clock = guard(policy, []), Clock()
    clock.now = 86_340.0
    orders = CapOrders(guarded.controller, policy, store, wall_clock=clock)
    orders.set_orders([], Order("hush", 90_000.0, 0.5))
    assert (orders.caps["t1"].ceiling, orders.changes_at) == (2 * MB, 86_400.0)
    clock.now = 86_400.0
    orders.refresh_caps()
    assert (orders.caps["t1"].ceiling, orders.caps["t1"].until, orders.changes_at) == (MB // 2, 90_000.0, 86_460.0)
