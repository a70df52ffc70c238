"""The chain of bounds: the lowest one counts, and says whose it is."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qguardarr.core.caps.bounds import NO_BOUND, Bounded, bound_of
from qguardarr.core.model import UNLIMITED, Overspeed, Tier, TrackerClass
from tests.support.guard_loop import KB, MB, tracker

GUARD = Overspeed(50 * MB)
SEEDED = Tier(500 * KB, above_ratio=2.0)
OLD = Tier(200 * KB, above_age_s=90 * 86400.0)
OLD_AND_SEEDED = Tier(100 * KB, above_ratio=3.0, above_age_s=3600.0)


def group(overspeed: Overspeed | None = None, *tiers: Tier) -> TrackerClass:
    return msgspec.structs.replace(tracker("a", 10 * MB), overspeed=overspeed, tiers=tiers)


@pytest.mark.parametrize(
    ("which", "torrent", "limit", "reason"),
    [
        (group(), Bounded(), UNLIMITED, ""),
        (group(), Bounded(2 * MB), 2 * MB, "limit set by hand: 2 MB/s"),
        (group(GUARD), Bounded(), 47_500_000, "site's overspeed rule: 47.5 MB/s"),
        (group(GUARD), Bounded(2 * MB), 2 * MB, "limit set by hand: 2 MB/s"),
        (group(GUARD), Bounded(90 * MB), 47_500_000, "site's overspeed rule: 47.5 MB/s"),
        (group(GUARD), Bounded(allowed=60 * MB), 60 * MB, "site's overspeed rule: 60 MB/s"),
        (group(GUARD, SEEDED), Bounded(ratio=2.0), 500 * KB, "above ratio 2: 500 kB/s"),
        (group(GUARD, SEEDED), Bounded(ratio=1.9999), 47_500_000, "site's overspeed rule: 47.5 MB/s"),
        (group(None, SEEDED), Bounded(300 * KB, 9.0), 300 * KB, "limit set by hand: 300 kB/s"),
        (group(None, SEEDED, OLD), Bounded(ratio=2.5, age_s=9e6), 200 * KB, "above 90 days: 200 kB/s"),
        (group(None, OLD, SEEDED), Bounded(ratio=2.5, age_s=9e6), 200 * KB, "above 90 days: 200 kB/s"),
        (group(None, OLD_AND_SEEDED), Bounded(ratio=3.0, age_s=3600.0), 100 * KB, "above ratio 3 and 1 h: 100 kB/s"),
        (group(None, OLD_AND_SEEDED), Bounded(ratio=3.0, age_s=3599.0), UNLIMITED, ""),
        (group(None, OLD_AND_SEEDED), Bounded(age_s=1e9), UNLIMITED, ""),
    ],
)
def test_the_lowest_bound_counts(which: TrackerClass, torrent: Bounded, limit: int, reason: str) -> None:
    bound = bound_of(which, torrent)
    assert (bound.limit, bound.reason) == (limit, reason)


limits = st.integers(1, UNLIMITED)
tiers = st.builds(Tier, limits, st.none() | st.floats(0, 10), st.none() | st.floats(0, 1e8))


@given(
    limits, st.none() | limits, st.lists(tiers, max_size=4), st.none() | st.floats(0, 10), st.none() | st.floats(0, 1e8)
)
def test_no_bound_is_above_any_other_that_holds(
    by_hand: int, guard: int | None, several: list[Tier], ratio: float | None, age_s: float | None
) -> None:
    rule = None if guard is None else Overspeed(guard)
    torrent = Bounded(by_hand, ratio, age_s)
    whole = bound_of(group(rule, *several), torrent)
    parts = [group(), group(rule), *(group(None, tier) for tier in several)]
    assert whole.limit == min(bound_of(part, torrent).limit for part in parts)
    assert (whole == NO_BOUND) is (whole.limit == UNLIMITED)
    assert bound_of(group(rule, *reversed(several)), torrent).limit == whole.limit
