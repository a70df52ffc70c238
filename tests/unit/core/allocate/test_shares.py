"""How a line is divided between trackers, and a cap among its torrents."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qguardarr.core.allocate.shares import OVERCOMMIT, Borrower, Want, as_limit, divide_cap, divide_line
from qguardarr.core.model import MAX_LIMIT, UNLIMITED

MB = 1_000_000
few = settings(max_examples=50, deadline=None)
SLACK = 1.05
"""What limits may sum to, ÷ cap, before they are cut: no more than a deadband."""


@st.composite
def borrowers(draw: st.DrawFn) -> list[Borrower]:
    result = []
    for _ in range(draw(st.integers(1, 8))):
        cap = draw(st.floats(1e3, 1e8))
        demand = draw(st.one_of(st.just(0.0), st.just(math.inf), st.floats(0, 2e8)))
        result.append(Borrower(cap, cap * draw(st.floats(1, 3)), demand, draw(st.integers(1, 10))))
    return result


def used(trackers: list[Borrower], got: list[float]) -> list[float]:
    return [min(t.demand, g) for t, g in zip(trackers, got, strict=True)]


class TestDividingTheLine:
    @few
    @given(borrowers(), st.floats(1e3, 1e9))
    def test_what_is_used_is_never_more_than_the_line(self, trackers: list[Borrower], line: float) -> None:
        assert math.fsum(used(trackers, divide_line(trackers, line))) <= line * (1 + 1e-9)

    @few
    @given(borrowers(), st.floats(1e3, 1e9))
    def test_nobody_gets_more_than_its_ceiling(self, trackers: list[Borrower], line: float) -> None:
        for t, got in zip(trackers, divide_line(trackers, line), strict=True):
            assert 0 <= got <= t.ceil * (1 + 1e-9)

    @few
    @given(borrowers())
    def test_own_rate_comes_first_whoever_borrows(self, trackers: list[Borrower]) -> None:
        """Reclaiming needs no time: what was lent does not enter into it."""
        line = math.fsum(t.cap for t in trackers)
        for t, got in zip(trackers, divide_line(trackers, line), strict=True):
            assert got >= min(t.cap, t.demand) * (1 - 1e-9)

    @few
    @given(borrowers(), st.floats(1e3, 1e9))
    def test_higher_priority_borrows_first(self, trackers: list[Borrower], line: float) -> None:
        got = divide_line(trackers, line)
        gain = [max(0.0, u - min(t.cap, t.demand)) for t, u in zip(trackers, used(trackers, got), strict=True)]
        for low, lent in zip(trackers, gain, strict=True):
            if lent <= 1e-6 * low.cap:
                continue
            for high, have in zip(trackers, used(trackers, got), strict=True):
                if high.priority > low.priority:
                    assert have >= min(high.ceil, high.demand) * (1 - 1e-9)

    @few
    @given(borrowers(), st.floats(1e3, 1e9))
    def test_nothing_that_someone_may_borrow_is_left(self, trackers: list[Borrower], line: float) -> None:
        all_got = used(trackers, divide_line(trackers, line))
        wanted = math.fsum(min(t.ceil, t.demand) for t in trackers)
        assert math.fsum(all_got) >= min(line, wanted) * (1 - 1e-6)

    def test_equal_priorities_borrow_in_proportion_to_their_rates(self) -> None:
        a, b = Borrower(100, 1000, math.inf, 5), Borrower(300, 1000, math.inf, 5)
        assert divide_line([a, b, Borrower(400, 400, 0, 5)], 800) == pytest.approx([200, 600, 400])

    def test_a_line_shorter_than_the_caps_is_shared_in_proportion_to_them(self) -> None:
        assert divide_line([Borrower(100, 100, math.inf, 9), Borrower(300, 300, math.inf, 1)], 200) == [50, 150]

    def test_without_a_line_every_tracker_has_its_cap(self) -> None:
        assert divide_line([Borrower(100, 100, math.inf, 1), Borrower(50, 50, 0, 1)], math.inf) == [100, 50]

    def test_no_trackers(self) -> None:
        assert divide_line([], 100) == []


@st.composite
def want(draw: st.DrawFn) -> Want:
    bound = draw(st.one_of(st.just(UNLIMITED), st.integers(1, 20 * MB)))
    current = min(bound, draw(st.one_of(st.just(UNLIMITED), st.integers(1, 20 * MB))))
    hungry = current < UNLIMITED and draw(st.booleans())
    rate = draw(st.floats(0.95, 1.02)) * current if hungry else draw(st.floats(0, 20e6))
    return Want(
        rate=rate,
        hungry=hungry,
        current=current,
        bound=bound,
        appetite=math.inf,
        weight=draw(st.floats(1, 4)),
        proven=draw(st.booleans()),
    )


def divide(wants: list[Want], capacity: float, *, threshold: float = 0.2, gain: float = 1.0) -> float:
    return divide_cap(wants, capacity, idle_limit=10_000, differential_threshold=threshold, gain=gain)


def hungry(current: int, bound: int = UNLIMITED, weight: float = 1.0) -> Want:
    return Want(
        rate=float(current),
        hungry=True,
        current=current,
        bound=bound,
        appetite=math.inf,
        weight=weight,
        proven=True,
    )


def content(rate: float, current: int = UNLIMITED, bound: int = UNLIMITED) -> Want:
    return Want(rate=rate, hungry=False, current=current, bound=bound, appetite=math.inf, weight=1.0, proven=True)


class TestDividingACap:
    @few
    @given(st.lists(want(), max_size=12), st.floats(0, 20e6), st.floats(0.96, 1.04))
    def test_every_limit_is_one_that_qbittorrent_takes_and_within_its_bound(
        self, wants: list[Want], capacity: float, gain: float
    ) -> None:
        bounds = [w.bound for w in wants]
        divide(wants, capacity, gain=gain)
        for w, bound in zip(wants, bounds, strict=True):
            assert 1 <= w.limit <= bound
            assert w.limit <= MAX_LIMIT or w.limit == UNLIMITED

    @few
    @given(st.lists(want(), max_size=12), st.floats(1, 20e6))
    def test_what_all_are_expected_to_use_fits_into_the_cap(self, wants: list[Want], capacity: float) -> None:
        divide(wants, capacity)
        assert math.fsum(w.fit for w in wants) <= capacity * (1 + 1e-6) + 1

    @few
    @given(st.lists(want(), min_size=1, max_size=12), st.floats(1e5, 20e6))
    def test_the_same_input_gives_the_same_limits_in_any_order(self, wants: list[Want], capacity: float) -> None:
        mirrored = [msgspec.structs.replace(w) for w in reversed(wants)]
        divide(wants, capacity)
        divide(mirrored, capacity)
        hungry_ones = sorted(w.limit for w in wants if w.hungry)
        assert hungry_ones == pytest.approx(sorted(w.limit for w in mirrored if w.hungry), abs=1)

    @few
    @given(st.lists(st.integers(1000, 6000), min_size=1, max_size=12), st.floats(0.2, 0.94), st.floats(0, 1))
    def test_decreases_of_the_hungry_are_never_refused_when_the_cap_is_exceeded(
        self, currents: list[int], lower: float, threshold: float
    ) -> None:
        """Regression: a deadband that refuses decreases; lowering a cap from 10 to 8 never applied."""
        capacity = lower * sum(currents)
        wants = [hungry(current) for current in currents]
        divide(wants, capacity, threshold=threshold)
        assert sum(w.limit for w in wants) <= capacity * SLACK + len(wants)

    @few
    @given(st.lists(st.integers(1000, 20 * MB), min_size=1, max_size=12), st.floats(0.2, 0.98))
    def test_limits_that_exceed_the_cap_come_down(self, currents: list[int], lower: float) -> None:
        """Also where newcomers of unknown demand rise in steps, and what they may not use yet is lent meanwhile."""
        capacity = lower * sum(currents)
        wants = [hungry(current) for current in currents]
        divide(wants, capacity)
        assert sum(w.fit for w in wants) <= capacity + 1
        assert sum(w.limit for w in wants) <= capacity * (1 + OVERCOMMIT) + len(wants)

    @pytest.mark.parametrize("count", [500, 3000])
    def test_a_floor_per_torrent_never_breaks_the_cap(self, count: int) -> None:
        """Regression: a floor of 10 KiB/s per torrent; 500 torrents under 1 MiB/s summed to 4.9 times the cap."""
        wants = [hungry(10_240) for _ in range(count)]
        divide(wants, 1.0 * MB)
        assert sum(w.limit for w in wants) <= 1.01 * MB

    def test_more_torrents_than_bytes(self) -> None:
        wants = [hungry(100) for _ in range(2000)]
        divide(wants, 500.0)
        assert all(w.limit == 1 for w in wants)

    def test_one_hungry_torrent_gets_what_nine_lazy_ones_leave(self) -> None:
        """Regression: an equal split strands what quiet torrents do not use."""
        wants = [hungry(100_000)] + [content(10_000, 50_000) for _ in range(9)]
        divide(wants, 1.0 * MB)
        assert wants[0].limit == pytest.approx(910_000, rel=0.02)

    @few
    @given(
        st.lists(st.tuples(st.integers(10_000, 900_000), st.floats(0.8, 1.0)), min_size=1, max_size=12),
        st.floats(1.01, 3.0),
    )
    def test_hungry_torrents_of_known_appetite_stay_limited(
        self, torrents: list[tuple[int, float]], wide: float
    ) -> None:
        """Regression: where all appetites fitted into the cap, the limits were taken off: 8.4 times the cap."""
        wants = [hungry(current) for current, _ in torrents]
        for w, (current, part) in zip(wants, torrents, strict=True):
            w.appetite = part * current
        capacity = wide * sum(w.appetite for w in wants)
        before = sum(w.current for w in wants)
        divide(wants, capacity)
        assert sum(w.limit for w in wants) <= max(before, (1 + OVERCOMMIT) * capacity) + len(wants)

    def test_the_hungry_of_known_appetite_do_not_all_get_what_they_seem_to_leave(self) -> None:
        """Regression: one that wanted all there is lifted the level; thirty that seemed modest were lifted with it."""
        wants = [hungry(100_000) for _ in range(30)]
        for w in wants[1:]:
            w.appetite = 50_000.0
        divide(wants, 3.0 * MB)
        assert sum(w.limit for w in wants) <= (1 + OVERCOMMIT) * 3.0 * MB

    def test_a_hand_set_bound_leaves_the_rest_to_the_others(self) -> None:
        wants = [hungry(500_000, bound=100_000), hungry(500_000)]
        divide(wants, 1.0 * MB)
        assert wants[0].limit <= 100_000
        assert wants[1].limit == pytest.approx(900_000, rel=0.02)

    def test_weights_divide_what_the_hungry_share(self) -> None:
        wants = [hungry(500_000, weight=1.0), hungry(500_000, weight=3.0)]
        divide(wants, 1.0 * MB)
        assert [w.limit for w in wants] == pytest.approx([250_000, 750_000], rel=0.01)

    def test_a_limit_that_yields_too_much_is_set_lower(self) -> None:
        wants = [hungry(1 * MB)]
        divide(wants, 1.0 * MB, gain=1.02)
        assert wants[0].limit == pytest.approx(1 * MB / 1.02, rel=0.001)

    def test_a_settled_division_rewrites_nothing(self) -> None:
        wants = [hungry(500_000), hungry(480_000), content(19_000, 30_000)]
        divide(wants, 1.0 * MB)
        after = [w.limit for w in wants]
        again = [hungry(after[0]), hungry(after[1]), content(19_000, after[2])]
        divide(again, 1.0 * MB)
        assert [w.limit for w in again] == after

    def test_those_that_do_not_want_more_have_room_to_show_it(self) -> None:
        wants = [content(100_000, 100_500), content(10_000, 10_500)]
        divide(wants, 1.0 * MB)
        assert wants[0].limit > 110_000
        assert wants[1].limit >= 13_000

    def test_room_is_limited_in_sum(self) -> None:
        """Regression: limits of quiet torrents stayed; together they promised twenty times the cap."""
        wants = [content(10_000, 1 * MB) for _ in range(20)]
        divide(wants, 1.0 * MB)
        unused = sum(w.limit - w.fit for w in wants)
        assert unused <= OVERCOMMIT * MB + (MB - 200_000) + 1

    def test_those_that_grow_past_their_shares_are_held_to_them_before_they_are_known_to_be_hungry(self) -> None:
        """Regression: ten that rose together passed the cap by all their room."""
        wants = [content(115_000, 150_000) for _ in range(10)]
        divide(wants, 1.0 * MB)
        assert sum(w.limit for w in wants) <= 1.0 * MB

    @pytest.mark.parametrize("off", [0.97, 1.03])
    def test_what_is_stranded_counts_as_much_as_what_is_exceeded(self, off: float) -> None:
        wants = [hungry(int(0.5 * off * MB)) for _ in range(2)]
        divide(wants, 1.0 * MB)
        assert sum(w.limit for w in wants) == pytest.approx(1.0 * MB, rel=0.001)

    @pytest.mark.parametrize("off", [0.97, 1.03])
    def test_a_small_correction_among_many_takes_few_writes(self, off: float) -> None:
        """Each changed limit costs qBittorrent a file."""
        wants = [hungry(int(off * MB / 40)) for _ in range(40)]
        divide(wants, 1.0 * MB)
        assert sum(w.limit for w in wants) == pytest.approx(1.0 * MB, rel=0.005)
        assert sum(w.limit != w.current for w in wants) <= 12
        assert all(w.limit == pytest.approx(MB / 40, rel=0.11) for w in wants)

    def test_a_correction_that_few_cannot_make_is_made_by_all(self) -> None:
        wants = [hungry(int(0.97 * MB / 40)) for _ in range(40)]
        for w in wants[3:]:
            w.appetite = 1.03 * MB / 40
        divide(wants, 1.0 * MB)
        assert sum(w.limit for w in wants) == pytest.approx(1.0 * MB, rel=0.005)

    def test_no_nudge_is_larger_than_what_may_be_unfair(self) -> None:
        wants = [hungry(int(0.97 * MB / 40)) for _ in range(40)]
        divide(wants, 1.0 * MB, threshold=0.08)
        assert max(w.limit for w in wants) <= 1.04 * MB / 40
        assert sum(w.limit for w in wants) == pytest.approx(1.0 * MB, rel=0.005)

    def test_the_unlimited_are_limited_as_soon_as_they_upload(self) -> None:
        wants = [content(30 * MB), content(10_000)]
        divide(wants, 1.0 * MB)
        assert all(w.limit <= 1.5 * MB for w in wants)

    def test_a_small_limit_is_a_limit(self) -> None:
        assert as_limit(0.0) == 1
        assert as_limit(math.inf) == UNLIMITED
        assert as_limit(1234.9) == 1234
