"""The caps in force, as the calendar moves them."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec

from qguardarr.core.model import UNLIMITED
from qguardarr.core.timed import Window
from qguardarr.engine.cap_chain import CapChain
from tests.support.guard_loop import MB, policy_of, tracker

BERLIN = ZoneInfo("Europe/Berlin")
WORK = Window(days=0b1_1111, start=8 * 60, end=18 * 60, cap=2 * MB)
POLICY = policy_of(
    msgspec.structs.replace(tracker("a", 10 * MB), schedule=(WORK,)),
    uplink_schedule=(Window(start=0, end=6 * 60, cap=50 * MB),),
    timezone="Europe/Berlin",
)


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp()


def test_a_year_of_working_days() -> None:
    """Asked as the daemon asks: whenever the chain says so."""
    chain, now, end = CapChain(), at("2026-01-01T00:00"), at("2027-01-01T00:00")
    seen = []
    while now < end:
        policy = chain.in_force(POLICY, now)
        seen.append((now, policy.classes[0].cap, policy.uplink))
        again = chain.next_change(POLICY, now)
        assert again is not None
        assert again > now
        now = again
    for moment, cap, uplink in seen:
        local = datetime.fromtimestamp(moment, BERLIN)
        assert cap == (2 * MB if local.weekday() < 5 and 8 <= local.hour < 18 else 10 * MB)
        assert uplink == (50 * MB if local.hour < 6 else UNLIMITED)
    assert len(seen) > 2 * 365 + 2 * 260


def test_without_schedules_nothing_is_asked_again() -> None:
    policy = policy_of(tracker("a", MB))
    assert CapChain().in_force(policy, 1e9) is policy
    assert CapChain().next_change(policy, 1e9) is None


def test_a_clock_that_was_set_is_followed() -> None:
    chain = CapChain()
    for moment, cap in [("2026-11-30T12:00", 2), ("2026-01-04T12:00", 10), ("2030-11-29T09:00", 2)]:
        assert chain.in_force(POLICY, at(moment)).classes[0].cap == cap * MB


def test_each_cap_has_its_reason() -> None:
    caps = CapChain().caps(POLICY, at("2026-11-30T12:00"))
    assert caps["a"].reason == "schedule: mon-fri 08:00 to 18:00"
    assert caps["a"].until == at("2026-11-30T18:00")
    assert (caps["rest"].reason, caps["rest"].until) == ("configured", None)
    assert caps[""].until == at("2026-12-01T00:00")


def test_another_configuration_is_heeded_at_once() -> None:
    chain, now = CapChain(), at("2026-11-30T12:00")
    assert chain.in_force(POLICY, now).classes[0].cap == 2 * MB
    assert chain.in_force(msgspec.structs.replace(POLICY, timezone="Asia/Tokyo"), now).classes[0].cap == 10 * MB
