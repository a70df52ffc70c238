"""The order of the modifiers: which of schedule, boost, quota, temporary cap and hush has the last word."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from qguardarr.core.caps.chain import Cap
from qguardarr.core.caps.quota import Allowance
from qguardarr.core.caps.scaled import ALL, Order
from qguardarr.core.caps.temporary import Override
from qguardarr.core.model import UNLIMITED
from qguardarr.core.timed import Quota, Window
from qguardarr.engine.cap_chain import CapChain
from tests.support.guard_loop import MB, policy_of, tracker

NOW = 1_700_000_000.0  # a Tuesday, 22:13 UTC
NIGHT = Window(start=22 * 60, end=6 * 60, cap=4 * MB)
BOOST, HUSH = Order("boost", NOW + 60, 100.0), Order("hush", NOW + 60, 0.5)


def cap(used: int, *, cap: int = MB, order: Order | None = None, override: int = 0, **changes: Any) -> Cap:
    """The cap in force of a group with a quota of 100 MB a day, of which so much is used."""
    quota = msgspec.structs.replace(Quota(bytes=100 * MB, per="day", then=20_000), **changes)
    group = msgspec.structs.replace(tracker("t1", cap), quota=quota)
    chain, policy = CapChain(), policy_of(group, timezone="UTC")
    chain.allowances = {"t1": Allowance(NOW - 3600, NOW + 7200, used, NOW)}
    chain.orders = {} if order is None else {ALL: order}
    chain.overrides = {} if not override else {"t1": Override(override, NOW + 60)}
    return chain.caps(policy, NOW)["t1"]


@pytest.mark.parametrize(("used", "then", "most"), [(100 * MB, 20_000, 20_000), (94 * MB, 20_000, MB)])
def test_a_boost_breaks_no_quota(used: int, then: int, most: int) -> None:
    boosted = cap(used, order=BOOST, then=then)
    assert boosted.ceiling <= most
    assert boosted.reason.startswith("quota: ")


def test_a_boost_keeps_to_the_pace() -> None:
    assert cap(50 * MB, pace=True, order=BOOST).ceiling == cap(50 * MB, cap=100 * MB, pace=True).ceiling


def test_a_temporary_cap_counts_before_a_quota_and_a_boost_and_may_raise_what_rests() -> None:
    found = cap(100 * MB, order=BOOST, override=3 * MB, then=None)
    assert (found.ceiling, found.reason, found.may_rise) == (3 * MB, "temporary cap", True)


def test_a_hush_lowers_even_what_a_quota_leaves() -> None:
    assert cap(100 * MB, order=HUSH).ceiling == 10_000


def test_a_boundary_behind_a_boost_is_heeded() -> None:
    group = msgspec.structs.replace(tracker("t1", MB), schedule=(NIGHT,))
    chain, policy = CapChain(), policy_of(group, timezone="UTC")
    chain.orders = {ALL: Order("boost", NOW + 7 * 86_400, 2.0)}
    assert chain.caps(policy, NOW)["t1"].ceiling == 8 * MB
    end = NOW - NOW % 86_400 + 86_400 + 6 * 3600
    assert chain.next_change(policy, NOW) == end


def test_a_quota_of_the_line_holds_groups_without_a_cap() -> None:
    policy = policy_of(tracker("t1", UNLIMITED), tracker("t2", MB), uplink_quota=Quota(bytes=MB, per="day", then=5000))
    chain = CapChain()
    chain.allowances = {"": Allowance(NOW - 60, NOW + 60, MB, NOW)}
    assert [group.cap for group in chain.in_force(policy, NOW).classes[:2]] == [5000, MB]
    chain.allowances = {}
    assert chain.in_force(policy, NOW) == policy
