"""How the line is divided between trackers."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qguardarr.core.allocate.between import LINE_LEAST, Borrower, divide_line, left_of_line, smoothed

few = settings(max_examples=50, deadline=None)


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
        """Reclaiming takes no time: loans do not enter into it."""
        line = math.fsum(t.cap for t in trackers)
        for t, got in zip(trackers, divide_line(trackers, line), strict=True):
            assert got >= min(t.cap, t.demand) * (1 - 1e-9)

    @few
    @given(borrowers(), st.floats(1e3, 1e9))
    def test_higher_priority_borrows_first(self, trackers: list[Borrower], line: float) -> None:
        got = divide_line(trackers, line)
        lent_to = [max(0.0, u - min(t.cap, t.demand)) for t, u in zip(trackers, used(trackers, got), strict=True)]
        for low, lent in zip(trackers, lent_to, strict=True):
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


def test_unlimited_trackers_leave_a_part_of_the_line() -> None:
    assert left_of_line(1000.0, 300.0) == 700.0
    assert left_of_line(1000.0, 5000.0) == LINE_LEAST * 1000.0


class TestSmoothing:
    def rise(self, before: float | None, target: float, *, alpha: float = 0.4) -> float:
        return smoothed(before, target, 100.0, alpha=alpha, least_change=0.1, elapsed_s=2.0)

    @given(st.none() | st.floats(0, 1e3), st.floats(0, 1e3), st.floats(0, 1))
    def test_it_is_never_above_the_target_nor_below_the_own_rate(
        self, before: float | None, target: float, alpha: float
    ) -> None:
        got = self.rise(before, target, alpha=alpha)
        assert got <= max(target, before or 0.0)
        assert got >= min(target, 100.0)

    def test_the_first_value_and_every_fall_take_effect_at_once(self) -> None:
        assert self.rise(None, 150.0) == 150.0
        assert self.rise(150.0, 120.0) == 120.0

    def test_a_small_rise_is_not_made(self) -> None:
        assert self.rise(149.0, 150.0) == 149.0

    def test_a_rise_goes_part_of_the_way(self) -> None:
        assert 110.0 < self.rise(100.0, 150.0, alpha=0.2) < 140.0
