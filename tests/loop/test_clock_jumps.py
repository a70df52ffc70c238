"""The wall clock is set forward or back: caps, alerts, history and temporary caps come through."""

from __future__ import annotations

import math

import pytest

from qguardarr.alert_events import ALERT_EVENTS
from qguardarr.core.caps.chain import next_change
from qguardarr.core.caps.temporary import Override, temporary_caps
from qguardarr.engine.health import STALE_S, health
from qguardarr.engine.triggers import Triggers
from qguardarr.features.alerts import AlertRules
from qguardarr.features.history import MINUTE_S, RateRecorder
from tests.support.guard_loop import policy_of, tracker
from tests.support.samples import MB, row, status

HOUR_S = 3600.0
JUMPS = (-30 * 365 * 24 * HOUR_S, -HOUR_S, HOUR_S, 30 * 365 * 24 * HOUR_S)
NOW = 2_000_000_000.0


@pytest.mark.parametrize("jump_s", JUMPS)
def test_health_doubts_until_the_next_cycle_and_no_longer(jump_s: float) -> None:
    before = status(at=NOW)
    assert health(before, NOW + 1.0).status == "healthy"
    doubt = health(before, NOW + 1.0 + jump_s)
    assert (doubt.status, doubt.ready) == ("unhealthy", False)
    assert health(status(at=NOW + 2.0 + jump_s), NOW + 2.5 + jump_s).status == "healthy"


def test_a_cycle_that_hangs_shows_although_the_clock_was_set_back() -> None:
    """Else it would seem to be well until the clock has caught up."""
    assert not health(status(at=NOW), NOW - HOUR_S).ready
    assert health(status(at=NOW), NOW - STALE_S / 2).ready  # adjusted a little, as time servers do


@pytest.mark.parametrize("jump_s", JUMPS)
def test_alerts_go_by_a_clock_that_nobody_sets(jump_s: float) -> None:
    alerts = AlertRules(ALERT_EVENTS, after_s=60.0, repeat_s=6 * HOUR_S)
    lost = {"state": "failing", "problem": "no connection", "problem_kind": "Unreachable"}
    assert alerts.due(status(at=NOW), 1000.0) == []
    assert alerts.due(status(at=NOW + 2, **lost), 1002.0) == []
    assert alerts.due(status(at=NOW + 4 + jump_s, **lost), 1004.0) == []  # not an hour of it
    assert [notice.event for notice in alerts.due(status(at=NOW + 62 + jump_s, **lost), 1062.0)] == ["qbittorrent_lost"]
    assert alerts.due(status(at=NOW + 64, **lost), 1064.0) == []


@pytest.mark.parametrize("jump_s", JUMPS)
def test_history_takes_neither_ages_nor_negative_time_for_uploads(jump_s: float) -> None:
    recorder, total, kept = RateRecorder(), 0.0, list[tuple[float, float, float]]()
    at = NOW
    for cycle in range(300):
        at += 2.0 + (jump_s if cycle == 150 else 0.0)
        total += 2.0 * MB
        for start, samples in recorder.feed(status(at=at, trackers=(row("a", total_bytes=total),))).items():
            kept += [(start, sample.seconds, sample.bytes) for sample in samples]
    for _, seconds, moved in kept:
        assert 0 < seconds <= MINUTE_S + 1e-6
        assert math.isclose(moved / seconds, MB)
    assert sum(moved for _, _, moved in kept) >= total - 2 * MINUTE_S * MB - 4 * MB  # what is not over, and the jump


@pytest.mark.parametrize("jump_s", JUMPS)
def test_a_temporary_cap_ends_by_its_date(jump_s: float) -> None:
    """Set forward: it is over. Set back: it lasts until its date comes (again), as every date does."""
    policy, modifiers = policy_of(tracker("a", MB)), [temporary_caps({"a": Override(5 * MB, NOW + 60.0)})]
    assert next_change(policy, modifiers, NOW) == NOW + 60.0
    assert next_change(policy, modifiers, NOW + jump_s) == (None if jump_s > 0 else NOW + 60.0)


def test_a_queue_that_was_full_shows_by_the_clock_that_nobody_sets() -> None:
    wall = iter((NOW, NOW - HOUR_S, NOW + HOUR_S))
    triggers = Triggers(lambda: None, capacity=1, wall_clock=lambda: next(wall))
    assert triggers.put("add", "a")
    assert triggers.dropped_at == -math.inf
    assert not triggers.put("add", "b")
    assert triggers.dropped_at > 0
    assert triggers.put("add", "a")
    assert triggers.counts().last_at == NOW + HOUR_S
