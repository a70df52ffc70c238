"""How a cap is divided among a tracker's torrents."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qguardarr.core.allocate.demand import OVERCOMMIT, Demand
from qguardarr.core.allocate.shares import divide_cap
from qguardarr.core.measure.burstiness import Backlog
from qguardarr.core.model import MAX_LIMIT, UNLIMITED

MB = 1_000_000
few = settings(max_examples=50, deadline=None)
SLACK = 1.05
"""What limits may sum to, ÷ cap, before they are cut: no more than a deadband."""


@st.composite
def demand(draw: st.DrawFn) -> Demand:
    bound = draw(st.one_of(st.just(UNLIMITED), st.integers(1, 20 * MB)))
    current = min(bound, draw(st.one_of(st.just(UNLIMITED), st.integers(1, 20 * MB))))
    limited = current < UNLIMITED
    backlog = draw(st.sampled_from(list(Backlog) if limited else [Backlog.NONE]))
    rate = draw(st.floats(0.95, 1.02)) * current if backlog is Backlog.LASTING else draw(st.floats(0, 20e6))
    return Demand(
        rate=rate,
        backlog=backlog,
        current=current,
        bound=bound,
        demand_bound=math.inf,
        weight=draw(st.floats(1, 4)),
        observed=draw(st.booleans()),
        latest=rate * draw(st.floats(0, 2)),
        bursty=draw(st.booleans()),
        doubt=draw(st.sampled_from([0.0, 1e4])),
    )


def divide(demands: list[Demand], capacity: float, *, threshold: float = 0.2, limiter_yield: float = 1.0) -> float:
    return divide_cap(
        demands, capacity, idle_limit=10_000, differential_threshold=threshold, limiter_yield=limiter_yield
    )


def backlogged(current: int, bound: int = UNLIMITED, weight: float = 1.0) -> Demand:
    return Demand(
        rate=float(current),
        backlog=Backlog.LASTING,
        current=current,
        bound=bound,
        demand_bound=math.inf,
        weight=weight,
        observed=True,
    )


def content(rate: float, current: int = UNLIMITED, bound: int = UNLIMITED) -> Demand:
    return Demand(
        rate=rate,
        backlog=Backlog.NONE,
        current=current,
        bound=bound,
        demand_bound=math.inf,
        weight=1.0,
        observed=True,
    )


class TestDividingACap:
    @few
    @given(st.lists(demand(), max_size=12), st.floats(0, 20e6), st.floats(0.96, 1.04))
    def test_every_limit_is_one_that_qbittorrent_takes_and_within_its_bound(
        self, demands: list[Demand], capacity: float, limiter_yield: float
    ) -> None:
        bounds = [d.bound for d in demands]
        divide(demands, capacity, limiter_yield=limiter_yield)
        for d, bound in zip(demands, bounds, strict=True):
            assert 1 <= d.limit <= bound
            assert d.limit <= MAX_LIMIT or d.limit == UNLIMITED

    @few
    @given(st.lists(demand(), max_size=12), st.floats(1, 20e6))
    def test_what_all_are_expected_to_use_fits_into_the_cap(self, demands: list[Demand], capacity: float) -> None:
        divide(demands, capacity)
        assert math.fsum(d.expected for d in demands) <= capacity * (1 + 1e-6) + 1

    @few
    @given(st.lists(demand(), min_size=1, max_size=12), st.floats(1e5, 20e6))
    def test_the_same_input_gives_the_same_limits_in_any_order(self, demands: list[Demand], capacity: float) -> None:
        mirrored = [msgspec.structs.replace(d) for d in reversed(demands)]
        divide(demands, capacity)
        divide(mirrored, capacity)
        shares = sorted(d.limit for d in demands if d.lasting)
        assert shares == pytest.approx(sorted(d.limit for d in mirrored if d.lasting), abs=1)

    @few
    @given(st.lists(st.integers(1000, 6000), min_size=1, max_size=12), st.floats(0.2, 0.94), st.floats(0, 1))
    def test_decreases_of_the_backlogged_are_never_refused_when_the_cap_is_exceeded(
        self, currents: list[int], lower: float, threshold: float
    ) -> None:
        """Regression: a deadband that refuses decreases; lowering a cap from 10 to 8 never applied."""
        capacity = lower * sum(currents)
        demands = [backlogged(current) for current in currents]
        divide(demands, capacity, threshold=threshold)
        assert sum(d.limit for d in demands) <= capacity * SLACK + len(demands)

    @few
    @given(st.lists(st.integers(1000, 20 * MB), min_size=1, max_size=12), st.floats(0.2, 0.98))
    def test_limits_that_exceed_the_cap_come_down(self, currents: list[int], lower: float) -> None:
        """Also where newcomers of unknown demand rise in steps, and what they may not use yet is lent meanwhile."""
        capacity = lower * sum(currents)
        demands = [backlogged(current) for current in currents]
        divide(demands, capacity)
        assert sum(d.expected for d in demands) <= capacity + 1
        assert sum(d.limit for d in demands) <= capacity * (1 + OVERCOMMIT) + len(demands)

    @pytest.mark.parametrize("count", [500, 3000])
    def test_a_floor_per_torrent_never_breaks_the_cap(self, count: int) -> None:
        """Regression: a floor of 10 KiB/s per torrent; 500 torrents under 1 MiB/s summed to 4.9 times the cap."""
        demands = [backlogged(10_240) for _ in range(count)]
        divide(demands, 1.0 * MB)
        assert sum(d.limit for d in demands) <= 1.01 * MB

    def test_more_torrents_than_bytes(self) -> None:
        demands = [backlogged(100) for _ in range(2000)]
        divide(demands, 500.0)
        assert all(d.limit == 1 for d in demands)

    def test_one_backlogged_torrent_gets_what_nine_lazy_ones_leave(self) -> None:
        """Regression: an equal split strands what quiet torrents do not use."""
        demands = [backlogged(100_000)] + [content(10_000, 50_000) for _ in range(9)]
        divide(demands, 1.0 * MB)
        assert demands[0].limit == pytest.approx(910_000, rel=0.02)

    @few
    @given(
        st.lists(st.tuples(st.integers(10_000, 900_000), st.floats(0.8, 1.0)), min_size=1, max_size=12),
        st.floats(1.01, 3.0),
    )
    def test_backlogged_torrents_of_known_demand_stay_limited(
        self, torrents: list[tuple[int, float]], wide: float
    ) -> None:
        """Regression: where all known demands fitted into the cap, the limits were taken off: 8.4 times the cap."""
        demands = [backlogged(current) for current, _ in torrents]
        for d, (current, part) in zip(demands, torrents, strict=True):
            d.demand_bound = part * current
        capacity = wide * sum(d.demand_bound for d in demands)
        before = sum(d.current for d in demands)
        divide(demands, capacity)
        assert sum(d.limit for d in demands) <= max(before, (1 + OVERCOMMIT) * capacity) + len(demands)

    def test_the_backlogged_of_known_demand_do_not_all_get_what_they_seem_to_leave(self) -> None:
        """Regression: one that wanted all there is lifted the level; thirty that seemed modest were lifted with it."""
        demands = [backlogged(100_000) for _ in range(30)]
        for d in demands[1:]:
            d.demand_bound = 50_000.0
        divide(demands, 3.0 * MB)
        assert sum(d.limit for d in demands) <= (1 + OVERCOMMIT) * 3.0 * MB

    def test_a_hand_set_bound_leaves_the_rest_to_the_others(self) -> None:
        demands = [backlogged(500_000, bound=100_000), backlogged(500_000)]
        divide(demands, 1.0 * MB)
        assert demands[0].limit <= 100_000
        assert demands[1].limit == pytest.approx(900_000, rel=0.02)

    def test_weights_divide_what_the_backlogged_share(self) -> None:
        demands = [backlogged(500_000, weight=1.0), backlogged(500_000, weight=3.0)]
        divide(demands, 1.0 * MB)
        assert [d.limit for d in demands] == pytest.approx([250_000, 750_000], rel=0.01)

    def test_a_limit_that_yields_too_much_is_set_lower(self) -> None:
        demands = [backlogged(1 * MB)]
        divide(demands, 1.0 * MB, limiter_yield=1.02)
        assert demands[0].limit == pytest.approx(1 * MB / 1.02, rel=0.001)

    def test_a_settled_division_rewrites_nothing(self) -> None:
        demands = [backlogged(500_000), backlogged(480_000), content(19_000, 30_000)]
        divide(demands, 1.0 * MB)
        after = [d.limit for d in demands]
        alimiter_yield = [backlogged(after[0]), backlogged(after[1]), content(19_000, after[2])]
        divide(alimiter_yield, 1.0 * MB)
        assert [d.limit for d in alimiter_yield] == after

    def test_those_that_do_not_want_more_have_headroom_to_show_it(self) -> None:
        demands = [content(100_000, 100_500), content(10_000, 10_500)]
        divide(demands, 1.0 * MB)
        assert demands[0].limit > 110_000
        assert demands[1].limit >= 13_000

    def test_headroom_is_limited_in_sum(self) -> None:
        """Regression: limits of quiet torrents stayed; together they promised twenty times the cap."""
        demands = [content(10_000, 1 * MB) for _ in range(20)]
        divide(demands, 1.0 * MB)
        unused = sum(d.limit - d.expected for d in demands)
        assert unused <= OVERCOMMIT * MB + (MB - 200_000) + 1

    def test_those_that_grow_past_their_shares_are_held_to_them_before_they_are_known_to_be_backlogged(self) -> None:
        """Regression: ten that rose together passed the cap by all their headroom."""
        demands = [content(115_000, 150_000) for _ in range(10)]
        divide(demands, 1.0 * MB)
        assert sum(d.limit for d in demands) <= 1.0 * MB

    @pytest.mark.parametrize("off", [0.97, 1.03])
    def test_what_is_stranded_counts_as_much_as_what_is_exceeded(self, off: float) -> None:
        demands = [backlogged(int(0.5 * off * MB)) for _ in range(2)]
        divide(demands, 1.0 * MB)
        assert sum(d.limit for d in demands) == pytest.approx(1.0 * MB, rel=0.001)

    @pytest.mark.parametrize("off", [0.97, 1.03])
    def test_a_small_correction_among_many_takes_few_writes(self, off: float) -> None:
        """Each changed limit costs qBittorrent a file."""
        demands = [backlogged(int(off * MB / 40)) for _ in range(40)]
        divide(demands, 1.0 * MB)
        assert sum(d.limit for d in demands) == pytest.approx(1.0 * MB, rel=0.005)
        assert sum(d.limit != d.current for d in demands) <= 12
        assert all(d.limit == pytest.approx(MB / 40, rel=0.11) for d in demands)

    def test_a_correction_that_few_cannot_make_is_made_by_all(self) -> None:
        demands = [backlogged(int(0.97 * MB / 40)) for _ in range(40)]
        for d in demands[3:]:
            d.demand_bound = 1.03 * MB / 40
        divide(demands, 1.0 * MB)
        assert sum(d.limit for d in demands) == pytest.approx(1.0 * MB, rel=0.005)

    def test_no_nudge_is_larger_than_what_may_be_unfair(self) -> None:
        demands = [backlogged(int(0.97 * MB / 40)) for _ in range(40)]
        divide(demands, 1.0 * MB, threshold=0.08)
        assert max(d.limit for d in demands) <= 1.04 * MB / 40
        assert sum(d.limit for d in demands) == pytest.approx(1.0 * MB, rel=0.005)

    def test_the_unlimited_are_limited_as_soon_as_they_upload(self) -> None:
        demands = [content(30 * MB), content(10_000)]
        divide(demands, 1.0 * MB)
        assert all(d.limit <= 1.5 * MB for d in demands)
