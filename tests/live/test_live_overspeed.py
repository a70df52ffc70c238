"""On real qBittorrent: a site that computes from announces never sees more than its overspeed limit."""

from __future__ import annotations

import pytest

from bench.overspeed import LIMIT, Event, play

SECONDS = 60.0
EVENTS = (
    Event(18.0, 1, "force"),
    Event(22.0, 2, "stop"),
    Event(25.0, 2, "start"),
    Event(31.0, 3, "force"),
    Event(45.0, 1, "force"),
    Event(48.0, 2, "stop"),
    Event(50.0, 2, "start"),
)


@pytest.mark.parametrize(
    ("version", "rule"),
    [
        ("4.5.2", {"margin": 0.2}),  # it does not show when it announces, so that short intervals need a larger margin
        ("5.1.0", {"mode": "saved"}),
        ("5.3.0", {}),
    ],
)
def test_no_interval_between_announces_is_above_the_limit_and_the_limit_is_used(
    version: str, rule: dict[str, object]
) -> None:
    seen = play(version, rule, SECONDS, EVENTS, interval_s=1800)
    found = [(i.event, i.seconds, round(i.rate / LIMIT, 3)) for i in seen.found]
    assert len(found) >= 2, found
    assert seen.worst(20.0 if rule.get("mode") == "saved" else 12.0) <= 1.0, found
    bound = 1.0 - float(str(rule.get("margin", 0.05)))
    assert seen.used[0] >= 0.9 * bound, (seen.used, found)
