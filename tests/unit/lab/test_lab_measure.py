"""The measures of the lab, on curves drawn by hand."""

import math

import pytest

from lab.measure import STEP_S, Curve, Span, curve, measure, measure_span, settling_time, worst_window

MB = 1_000_000.0


def drawn(*stretches: tuple[float, float], start: float = 100.0) -> Curve:
    """A curve made of (seconds, bytes/s) stretches."""
    totals = [0.0]
    for seconds, rate in stretches:
        for _ in range(round(seconds / STEP_S)):
            totals.append(totals[-1] + rate * STEP_S)
    return Curve(start, tuple(totals))


def span_of(drawing: Curve, cap: float = MB, wanted: float = math.inf) -> Span:
    return Span(drawing.start, drawing.end, cap, wanted)


def test_series_are_summed_and_counted_from_the_start() -> None:
    one = [(99.0, 50), (100.0, 100), (101.0, 300)]
    other = [(100.0, 7), (100.5, 7), (101.0, 107)]
    both = curve([one, other, []], 100.0, 102.0)
    assert both.totals[0] == 0
    assert both.mean_rate(100.0, 101.0) == pytest.approx(300)
    assert both.mean_rate(100.0, 100.5) == pytest.approx(200)
    assert both.mean_rate(101.0, 102.0) == 0


def test_a_steady_rate_at_the_cap_is_settled_from_the_first_moment() -> None:
    steady = drawn((30, MB))
    result = measure_span(steady, span_of(steady))
    assert result.settling_s == 0
    assert result.utilisation == pytest.approx(1)
    assert result.settled_worst_10s == pytest.approx(1)


def test_settling_time_is_when_the_last_bad_window_is_over() -> None:
    late = drawn((5, 0), (35, MB))
    settled = settling_time(late, span_of(late))
    assert settled == pytest.approx(5 - 0.3, abs=STEP_S + 1e-6), "0.3 s of silence in 10 s still are 0.97"


def test_a_dip_later_in_the_phase_counts() -> None:
    dip = drawn((20, MB), (2, 0), (18, MB))
    assert settling_time(dip, span_of(dip)) == pytest.approx(22 - 0.3, abs=STEP_S + 1e-6)


def test_going_over_the_cap_counts_as_unsettled() -> None:
    over = drawn((10, 2 * MB), (30, MB))
    assert settling_time(over, span_of(over)) == pytest.approx(9, abs=STEP_S + 1e-6)


def test_what_never_settles_has_no_settling_time() -> None:
    starved = drawn((30, MB / 2))
    result = measure_span(starved, span_of(starved))
    assert result.settling_s is None
    assert result.settled_utilisation is None
    assert result.utilisation == pytest.approx(0.5)


def test_a_bad_end_means_never_settled() -> None:
    ending = drawn((30, MB), (5, 0))
    assert settling_time(ending, span_of(ending)) is None


def test_a_span_shorter_than_the_window_is_judged_as_a_whole() -> None:
    short = drawn((1, 0.9 * MB), (3, MB))
    assert settling_time(short, span_of(short)) == 0


def test_bursts_within_a_window_do_no_harm() -> None:
    bursty = drawn(*[(1, 2 * MB), (1, 0)] * 20)
    assert settling_time(bursty, span_of(bursty)) == 0


def test_utilisation_is_against_the_demand_when_that_is_below_the_cap() -> None:
    modest = drawn((20, 0.3 * MB))
    result = measure_span(modest, span_of(modest, wanted=0.3 * MB))
    assert result.utilisation == pytest.approx(1)
    assert result.settling_s == 0


def test_an_idle_span_is_fully_used_and_settled() -> None:
    idle = drawn((20, 0))
    result = measure_span(idle, span_of(idle, wanted=0))
    assert (result.utilisation, result.settling_s) == (1, 0)


def test_without_a_cap_only_the_demand_counts() -> None:
    free = drawn((20, 3 * MB))
    result = measure(free, [span_of(free, cap=math.inf, wanted=3 * MB)])
    assert result.worst_10s == 0
    assert result.mean_over_cap == 0
    assert result.spans[0].utilisation == pytest.approx(1)


def test_worst_window_finds_the_burst_wherever_it_is() -> None:
    burst = drawn((31.7, MB), (2, 6 * MB), (30, MB))
    assert worst_window(burst, [span_of(burst)], 10.0) == pytest.approx(2.0)
    assert worst_window(burst, [span_of(burst)], 60.0) == pytest.approx(70 / 60)
    assert worst_window(burst, [span_of(burst)], 1000.0) == pytest.approx(73.7 / 63.7)


def test_a_window_across_a_lowered_cap_is_allowed_what_both_caps_allow() -> None:
    lowered = drawn((20, 2 * MB), (20, MB))
    spans = [Span(100, 120, 2 * MB, math.inf), Span(120, 140, MB, math.inf)]
    result = measure(lowered, spans)
    assert result.worst_10s == pytest.approx(1)
    assert result.mean_over_cap == pytest.approx(1)
    assert [one.settling_s for one in result.spans] == [0, 0]


def test_bytes_where_nothing_is_allowed_are_infinitely_many() -> None:
    leak = drawn((20, 10.0))
    assert worst_window(leak, [span_of(leak, cap=0)], 10.0) == math.inf
