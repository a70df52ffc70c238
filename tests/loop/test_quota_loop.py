"""Quotas over a shortened period, in virtual time, with the store on disk: kept within 2 %, whatever happens."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from qguardarr.adapters.sqlite.store import SqliteStore
from qguardarr.core.caps.scaled import Order
from qguardarr.core.model import UNLIMITED, ParentGroup
from qguardarr.core.policy import Policy
from qguardarr.core.timed import Quota
from qguardarr.engine.commands import Commands
from qguardarr.engine.status import QuotaRow, Status
from qguardarr.engine.usage_book import UsageBook
from qguardarr.features.accounting import COPY_S, Accounting
from tests.support.guard_loop import MB, Guard, Guarded, policy_of, torrents_of, tracker
from tests.support.samples import row, status

EPOCH = 1_000_000_000
LENGTH_S = 600.0


def quota(**changes: Any) -> Quota:
    values = {"bytes": 150 * MB, "per": "every", "starts": EPOCH, "length_s": int(LENGTH_S), "pace": True, "then": 2000}
    return Quota(**{**values, **changes})


def limited(cap: int = MB, **changes: Any) -> Any:
    return msgspec.structs.replace(tracker("t1", cap), quota=quota(**changes))


class Present:
    """The store as it is now: it may be lost while the daemon runs."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    def __getattr__(self, name: str) -> Any:
        return getattr(self._daemon.store, name)


class Daemon:
    """Engine, commands and accounting, which may be killed."""

    def __init__(self, guarded: Guarded, policy: Policy, path: Path) -> None:
        self.guarded, self.policy, self.path = guarded, policy, path
        self.before: Status | None = None
        """The status that was published before the last start."""
        self.start()

    def now(self) -> float:
        return EPOCH + self.guarded.sim.now

    def start(self) -> None:
        self.store, guarded = SqliteStore(self.path), self.guarded
        store: Any = Present(self)
        book = UsageBook(store, settled=False, earlier=lambda: self.before)
        controller = guarded.controller
        self.commands = Commands(
            controller, guarded.journal, lambda: guarded.sim, self.policy, book=book, wall_clock=self.now
        )
        self.accounting = Accounting(lambda: controller.instances.all, store, book)

    def run_until(self, end: float) -> None:
        sim, controller = self.guarded.sim, self.guarded.controller
        while sim.now < end:
            snapshot = controller.cycle()
            self.accounting.on_cycle(status(state=snapshot.state, at=self.now()))
            if self.accounting.copying is not None:
                self.accounting.copying.join()
            assert list(self.accounting.problems()) == []
            self.commands.refresh_caps()
            due, changes = sim.now + controller.rest_s(sim.now), self.commands.changes_at
            if changes is not None:
                due = min(due, max(sim.now, changes - EPOCH))
            sim.run_until(min(due, end))
            self.commands.refresh_caps()

    def lose_store(self) -> None:
        self.store.close()
        for file in self.path.parent.glob(f"{self.path.name}*"):
            file.unlink()
        self.store = SqliteStore(self.path)

    def off(self, seconds: float, *, killed: bool) -> None:
        if not killed:
            self.accounting.close()
        self.store.close()
        self.guarded.sim.run_until(self.guarded.sim.now + seconds)
        self.guarded.restart_daemon()
        self.start()

    def used(self, group: str = "t1") -> int:
        return self.commands.allowances[group].used


def daemon(guard: Guard, path: Path, policy: Policy, demands: Iterable[float]) -> Daemon:
    return Daemon(guard(policy, torrents_of("t1", demands)), policy, path / "q.db.store")


def sent(one: Daemon, start: float = 0.0, end: float = LENGTH_S) -> float:
    return one.guarded.rate("t1", start, end) * (end - start)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_paced_quota_is_met_within_two_per_cent_with_kills_and_off_times(
    guard: Guard, tmp_path: Path, seed: int
) -> None:
    dice = random.Random(seed)
    one = daemon(guard, tmp_path, policy_of(limited()), [math.inf] * 4)
    for begins in sorted(dice.uniform(20.0, 500.0) for _ in range(4)):
        one.run_until(max(begins, one.guarded.sim.now + 5.0))
        one.off(dice.uniform(0.0, 25.0), killed=dice.random() < 0.6)
    one.run_until(LENGTH_S)
    assert sent(one) == pytest.approx(150 * MB, rel=0.02)
    one.store.close()


def test_a_paced_quota_makes_up_for_a_time_without_demand(guard: Guard, tmp_path: Path) -> None:
    one = daemon(guard, tmp_path, policy_of(limited()), [math.inf] * 3)
    torrents = list(one.guarded.sim.torrents.values())
    one.guarded.sim.at(100.0, lambda: [setattr(torrent, "demand", 1000.0) for torrent in torrents] and None)
    one.guarded.sim.at(300.0, lambda: [setattr(torrent, "demand", math.inf) for torrent in torrents] and None)
    one.run_until(LENGTH_S)
    assert sent(one) == pytest.approx(150 * MB, rel=0.02)
    assert one.guarded.rate("t1", 320.0, 340.0) <= 1.05 * MB
    one.store.close()


def test_the_next_period_begins_anew(guard: Guard, tmp_path: Path) -> None:
    one = daemon(guard, tmp_path, policy_of(limited(bytes=60 * MB, length_s=240)), [math.inf] * 3)
    one.run_until(480.0)
    for start in (0.0, 240.0):
        assert sent(one, start, start + 240.0) == pytest.approx(60 * MB, rel=0.02)
    one.store.close()


def test_used_up_without_pace_only_a_trickle_is_left(guard: Guard, tmp_path: Path) -> None:
    one = daemon(guard, tmp_path, policy_of(limited(bytes=50 * MB, pace=False, then=20_000)), [math.inf] * 2)
    one.run_until(120.0)
    assert one.guarded.rate("t1", 10.0, 40.0) == pytest.approx(MB, rel=0.05)
    assert one.guarded.rate("t1", 80.0, 120.0) <= 25_000
    assert one.commands.caps["t1"].reason.startswith("quota: 5")
    one.store.close()


def test_stop_raising_leaves_limits_and_raises_none(guard: Guard, tmp_path: Path) -> None:
    one = daemon(guard, tmp_path, policy_of(limited(bytes=20 * MB, pace=False, then=None)), [math.inf, 0.0])
    one.run_until(60.0)
    torrents = list(one.guarded.sim.torrents.values())
    before = one.guarded.limits("t1")
    torrents[1].demand = math.inf
    one.run_until(160.0)
    after = one.guarded.limits("t1")
    assert all(after[hash_] <= limit for hash_, limit in before.items())
    one.store.close()


def test_unlimited_then_is_the_cap_of_the_file_and_selects_nothing_again(guard: Guard, tmp_path: Path) -> None:
    one = daemon(guard, tmp_path, policy_of(limited(bytes=20 * MB, then=UNLIMITED)), [math.inf] * 2)
    one.run_until(60.0)
    early = one.guarded.rate("t1", 10.0, 40.0)
    one.run_until(LENGTH_S - 1.0)
    assert early < 60_000
    assert one.used() >= 19 * MB
    one.store.close()


def test_a_store_that_is_lost_while_off_does_not_give_the_quota_a_second_time(guard: Guard, tmp_path: Path) -> None:
    one = daemon(guard, tmp_path, policy_of(limited(bytes=60 * MB)), [math.inf] * 3)
    one.run_until(LENGTH_S / 2)
    allowance = one.commands.allowances["t1"]
    told = QuotaRow(
        bytes=60 * MB,
        used=allowance.used,
        per="every",
        length_s=int(LENGTH_S),
        start=allowance.start,
        end=allowance.end,
        pace=True,
        forecast=None,
    )
    one.before = status(trackers=(row("t1", quota=told),))
    one.lose_store()
    one.off(1.0, killed=True)
    assert one.used() == allowance.used
    one.run_until(LENGTH_S)
    assert sent(one) == pytest.approx(60 * MB, rel=0.02)
    assert one.store.usage_period("t1") == (EPOCH, pytest.approx(60 * MB, rel=0.03))
    one.store.close()


def test_a_store_that_is_lost_in_the_middle_gets_all_that_is_used(guard: Guard, tmp_path: Path) -> None:
    one = daemon(guard, tmp_path, policy_of(limited(length_s=2000)), [math.inf] * 3)
    one.run_until(100.0)
    one.lose_store()
    one.run_until(100.0 + 2 * COPY_S)
    used = one.used()
    one.off(0.0, killed=False)
    assert one.used() == used
    one.store.close()


def test_a_parent_and_the_line_may_have_quotas(guard: Guard, tmp_path: Path) -> None:
    group = msgspec.structs.replace(tracker("t1", MB), parent="all")
    parent = ParentGroup("all", "all", MB, quota=quota(bytes=60 * MB))
    line = quota(bytes=10**12)
    one = daemon(guard, tmp_path, policy_of(group, parents=(parent,), uplink_quota=line), [math.inf] * 3)
    one.run_until(LENGTH_S)
    assert sent(one) == pytest.approx(60 * MB, rel=0.02)
    one.store.close()


def test_a_quota_of_the_line_holds_groups_without_a_cap(guard: Guard, tmp_path: Path) -> None:
    line = quota(bytes=30 * MB, pace=False, then=20_000)
    one = daemon(guard, tmp_path, policy_of(tracker("t1", UNLIMITED), uplink_quota=line), [2.0 * MB] * 3)
    one.run_until(120.0)
    assert sent(one, 0.0, 120.0) <= 1.1 * 30 * MB
    one.store.close()


def test_a_group_without_a_cap_is_not_let_go_as_its_rate_falls(guard: Guard, tmp_path: Path) -> None:
    group = limited(UNLIMITED, bytes=60 * MB, length_s=120, pace=False, then=20_000)
    one = daemon(guard, tmp_path, policy_of(group), [math.inf] * 2 + [100_000.0] * 30)
    one.run_until(119.0)
    assert sent(one, 0.0, 119.0) <= 1.1 * 60 * MB
    one.store.close()


def test_a_hush_of_all_keeps_what_has_no_cap_to_the_line(guard: Guard, tmp_path: Path) -> None:
    one = daemon(guard, tmp_path, policy_of(tracker("t1", UNLIMITED), uplink=3 * MB), [2.0 * MB] * 3)
    one.run_until(20.0)
    one.commands.set_orders((), Order("hush", one.now() + 30.0, 0.1))
    one.run_until(50.0)
    assert one.guarded.rate("t1", 30.0, 50.0) <= 1.1 * 300_000
    one.run_until(70.0)
    assert set(one.guarded.limits("t1").values()) == {UNLIMITED}
    one.store.close()
