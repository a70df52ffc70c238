"""Several registries as one: what a group's torrents move together, though each is read at its own times."""

from __future__ import annotations

import pytest

from qguardarr.core.model import UNLIMITED
from qguardarr.core.policy import Policy
from qguardarr.core.reconcile.joint import Joint
from qguardarr.core.reconcile.registry import TorrentRegistry
from tests.support.guard_loop import MB, policy_of, tracker

POLICY = policy_of(tracker("t1", 3 * MB))


def read(registry: TorrentRegistry, at: float, moved: float) -> None:
    """The counters of a qBittorrent were copied: this much more was sent."""
    registry.uploads.clock.at = at
    for meter in registry.uploads.meters:
        meter.add(at, round(moved), 3 * MB)


def joint_of(count: int, policy: Policy = POLICY) -> tuple[Joint, list[TorrentRegistry]]:
    registries = [TorrentRegistry(policy, instance=f"q{number}") for number in range(count)]
    return Joint(registries, policy), registries


def test_rates_of_reads_at_different_times_add_up() -> None:
    joint, registries = joint_of(3)
    for step in range(40):
        for number, registry in enumerate(registries):
            read(registry, 1.5 * step + 0.4 * number, 1.5 * MB)
            joint.uploads.measure(registries, POLICY)
    meter = joint.uploads.meters[0]
    assert meter.rate(10.0) == pytest.approx(3 * MB, rel=0.01)
    assert meter.debt < 0.3 * MB
    assert meter.over_s == 0.0
    assert meter.total == pytest.approx(40 * 3 * 1.5 * MB, rel=0.05)


def test_a_counter_never_falls_where_a_rate_ends_that_was_taken_to_go_on() -> None:
    joint, [home, box] = joint_of(2)
    totals = []
    for step in range(40):
        read(home, 1.5 * step, 1.5 * MB)
        joint.uploads.measure([home, box], POLICY)
        read(box, 1.5 * step + 0.1, 1.5 * MB if step % 8 < 4 else 0.0)
        for later in (0.1, 0.9):
            home.uploads.clock.at = 1.5 * step + later
            joint.uploads.measure([home, box], POLICY)
            totals.append(joint.uploads.meters[0].total)
    assert totals == sorted(totals)
    assert totals[-1] == pytest.approx(60 * 1.5 * MB, rel=0.05)


def test_a_group_that_comes_back_counts_from_the_beginning() -> None:
    joint, [home, box] = joint_of(2)
    for step in range(10):
        read(home, 1.5 * step, 1.5 * MB)
        joint.uploads.measure([home, box], POLICY)
    for policy in (policy_of(), POLICY):
        for registry in (home, box):
            registry.adopt_policy(policy)
        joint.adopt_policy(policy)
    for step in range(10, 20):
        read(home, 1.5 * step, 1.5 * MB)
        joint.uploads.measure([home, box], POLICY)
    assert joint.uploads.meters[0].total == pytest.approx(10 * 1.5 * MB, rel=0.1)


def test_what_was_sent_while_one_was_away_is_counted_and_owed_to_nobody() -> None:
    joint, [home, box] = joint_of(2)
    for step in range(60):
        away = 20 <= step < 40
        read(home, 1.5 * step, 1.5 * MB)
        if not away:
            read(box, 1.5 * step, 1.5 * MB * (21 if step == 40 else 1))
        joint.uploads.measure([home] if away else [home, box], POLICY)
        assert joint.uploads.meters[0].rate(10.0) < 2.1 * MB
    meter = joint.uploads.meters[0]
    assert meter.debt <= 0.0
    assert meter.total == pytest.approx(2 * 60 * 1.5 * MB, rel=0.05)


def test_nothing_is_metered_twice_or_before_the_first_read() -> None:
    joint, registries = joint_of(2)
    joint.uploads.measure(registries, POLICY)
    assert not joint.uploads.meters[0].samples
    for _ in range(3):
        read(registries[0], 10.0, MB)
        joint.uploads.measure(registries, POLICY)
    assert len(joint.uploads.meters[0].samples) == 1


def test_groups_that_stay_keep_their_meters() -> None:
    joint, registries = joint_of(2)
    read(registries[0], 1.0, MB)
    joint.uploads.measure(registries, POLICY)
    joint.uploads.effective = {"t1": 4.0 * MB, "rest": float(UNLIMITED)}
    kept = joint.uploads.meters[0]
    joint.adopt_policy(policy_of(tracker("new", MB), tracker("t1", 5 * MB)))
    assert joint.uploads.meters[1] is kept
    assert joint.uploads.effective["t1"] == 4.0 * MB
    assert len(joint.uploads.meters) == 3


def test_global_limits_count_together_only_where_each_has_one() -> None:
    joint, [home, box] = joint_of(2)
    assert joint.global_limit == UNLIMITED
    home.global_limit = MB
    assert joint.global_limit == UNLIMITED
    box.global_limit = 2 * MB
    assert joint.global_limit == 3 * MB
