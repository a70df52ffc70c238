"""When counters were refreshed, how fast a torrent is, and whether it is backlogged."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qguardarr.core.measure.rate_estimator import RateEstimator
from qguardarr.core.measure.refresh_clock import AGAIN_S, SOON_S, RefreshClock
from qguardarr.core.model import UNLIMITED
from tests.support.simulator import BLOCK, TICK_S, SimTorrent

REFRESH_S = 1.5


def refreshes(first: float, slip_s: float, rng: random.Random) -> Iterator[float]:
    """Times at which qBittorrent refreshes its counters."""
    at = first
    while True:
        yield at
        at += REFRESH_S + rng.uniform(-0.005, 0.005) + rng.uniform(0, 2 * slip_s)


def clock_errors(
    *, interval: float, phase: float, jitter: float, seed: int, slip_s: float = 0.0, seconds: float = 120.0
) -> list[tuple[float, float]]:
    """(Time, error in seconds) of each estimate, as the registry asks for them while something uploads steadily."""
    rng = random.Random(seed)
    clock = RefreshClock()
    source = refreshes(phase - REFRESH_S, slip_s, rng)
    upcoming, newest = next(source), -math.inf
    second = rng.random()
    now, read_before, told = 0.0, None, -math.inf
    errors = []
    while now < seconds:
        now += interval + rng.uniform(0, jitter)
        while upcoming <= now:
            newest, upcoming = upcoming, next(source)
        if newest > told:
            counted = implied = None
            if told > -math.inf:
                counted = float(int(newest + 100 + second) - int(told + 100 + second)) or None
                implied = (newest - told) * rng.uniform(0.9, 1.1)
            estimate = clock.advance(now, REFRESH_S, counted_s=counted, implied_s=implied, not_before=read_before)
            errors.append((now, estimate - newest))
            told = newest
        read_before = now
    return errors


def jumps(errors: list[tuple[float, float]], *, after: float) -> list[float]:
    """By how much each distance between two refreshes was misjudged, seconds."""
    return [abs(b - a) for (at, a), (_, b) in itertools.pairwise(errors) if at > after]


class TestRefreshClock:
    @pytest.mark.parametrize("interval", [0.5, 0.7, 1.0, 2.0, 4.0, 5.0])
    @pytest.mark.parametrize("jitter", [0.0, 0.05])
    def test_it_finds_the_phase_within_a_few_reads(self, interval: float, jitter: float) -> None:
        worst = {}
        for i in range(30):
            phase = REFRESH_S * (i + 0.5) / 30
            errors = clock_errors(interval=interval, phase=phase, jitter=jitter, seed=i, seconds=20 * interval + 20)
            worst[phase] = max(abs(error) for at, error in errors if at > 8 * interval)
        off = {phase: error for phase, error in worst.items() if error > 0.35}
        assert len(off) <= 1, off

    @pytest.mark.parametrize("interval", [2.0, 2.5, 5.0])
    def test_the_first_seconds_of_a_wrong_phase_are_not_kept_for_ever(self, interval: float) -> None:
        """Regression: a first guess half a refresh off excluded the right count of refreshes, again and again."""
        for i in range(20):
            errors = clock_errors(interval=interval, phase=REFRESH_S * (i + 0.5) / 20, jitter=0.02, seed=100 + i)
            assert max(jumps(errors, after=8 * interval)) < 0.4

    @pytest.mark.parametrize("interval", [1.5, 3.0, 6.0])
    def test_reads_in_step_with_the_refreshes_tell_the_distances_all_the_same(self, interval: float) -> None:
        """The age of the counters cannot be known then; it does not change, and that is enough for rates."""
        for i in range(10):
            errors = clock_errors(interval=interval, phase=0.15 * i + 0.07, jitter=0.0, seed=i, seconds=30 * interval)
            assert sum(jump > 0.4 for jump in jumps(errors, after=3 * interval)) <= 4

    @pytest.mark.parametrize("slip_s", [0.02, 0.04])
    def test_a_timer_that_slips_is_learnt(self, slip_s: float) -> None:
        for i in range(10):
            errors = clock_errors(
                interval=2.0, phase=0.15 * i + 0.07, jitter=0.05, seed=i, slip_s=slip_s, seconds=200.0
            )
            late = [abs(error) for at, error in errors if at > 60]
            assert sum(late) / len(late) < 0.3
            assert max(late) < 0.7

    @settings(max_examples=40)
    @given(
        st.lists(
            st.tuples(st.floats(0.01, 100), st.none() | st.floats(0, 30), st.none() | st.floats(0, 30)), max_size=30
        )
    )
    def test_whatever_it_is_told_a_refresh_is_not_younger_than_its_answer(
        self, reads: list[tuple[float, float | None, float | None]]
    ) -> None:
        clock, now, last = RefreshClock(), 0.0, -math.inf
        for step, counted, implied in reads:
            now += step
            at = clock.advance(now, REFRESH_S, counted_s=counted, implied_s=implied)
            assert now - 2 * 1.02 * REFRESH_S - 1e-6 <= at <= now + 1e-6
            assert now - at < 60.0
            last = max(last, at)

    def test_the_next_read_falls_right_after_the_last_refresh_before_it_is_due(self) -> None:
        clock = RefreshClock()
        clock.at = 100.0
        assert clock.next_look(100.1, 102.1, REFRESH_S) == pytest.approx(101.5 + SOON_S)
        assert clock.next_look(100.1, 105.1, REFRESH_S) == pytest.approx(104.5 + SOON_S)
        assert clock.next_look(100.1, 100.6, REFRESH_S) == 100.6
        assert clock.next_look(100.1, 103.1, REFRESH_S) == pytest.approx(103.0 + SOON_S)

    def test_a_refresh_that_was_late_is_looked_for_once_more(self) -> None:
        clock = RefreshClock()
        clock.at = 100.0
        late = 101.5 + SOON_S + 0.01
        again = clock.next_look(late, late + 2.0, REFRESH_S)
        assert again == pytest.approx(late + AGAIN_S)
        assert clock.next_look(again, again + 2.0, REFRESH_S) == pytest.approx(103.0 + SOON_S)

    @given(st.floats(0, 1000), st.floats(0, 100), st.floats(0.5, 10), st.floats(0.5, 5))
    def test_the_next_read_lies_ahead_and_is_not_put_off(
        self, at: float, since: float, interval: float, refresh_s: float
    ) -> None:
        clock = RefreshClock()
        now = at + since
        assert clock.next_look(now, now + interval, refresh_s) == now + interval
        clock.at = at
        assert now < clock.next_look(now, now + interval, refresh_s) <= now + interval + SOON_S + 1e-6

    def test_after_a_long_silence_it_starts_again(self) -> None:
        clock = RefreshClock()
        clock.advance(10.0, REFRESH_S, counted_s=None, implied_s=None)
        assert clock.advance(500.0, REFRESH_S, counted_s=None, implied_s=None) == pytest.approx(499.25, abs=0.8)


def watch(
    torrent: SimTorrent,
    seconds: float,
    *,
    estimator: RateEstimator | None = None,
    start: float = 0.0,
    error_s: float = 0.0,
) -> tuple[RateEstimator, list[bool]]:
    """Watch a simulated torrent, refreshed every 1.5 s ± `error_s`.

    Returns its estimator, and whether it was backlogged at each refresh.
    """
    rng = random.Random(1)
    estimator = estimator or RateEstimator(start, int(torrent.sent), torrent.limit)
    backlogged = []
    for tick in range(1, int(seconds / TICK_S) + 1):
        now = start + tick * TICK_S
        torrent.tick(now, 1.0 + rng.uniform(-0.05, 0.05))
        if tick % 3 == 0:
            estimator.measure(now + rng.uniform(-error_s, error_s), int(torrent.sent), torrent.leechers)
            backlogged.append(estimator.backlogged)
    return estimator, backlogged


def greedy(limit: int, peers: int = 4) -> SimTorrent:
    return SimTorrent("a" * 40, "http://t", math.inf, limit, leechers=peers)


class TestRateEstimator:
    @pytest.mark.parametrize("limit", [50_000, 200_000, 1_000_000, 10_000_000])
    @pytest.mark.parametrize("peers", [1, 4])
    def test_a_torrent_that_its_limit_holds_back_is_backlogged(self, limit: int, peers: int) -> None:
        estimator, seen = watch(greedy(limit, peers), 60.0, error_s=0.05)
        assert estimator.backlogged
        assert all(seen[len(seen) // 2 :])
        assert estimator.rate == pytest.approx(limit, rel=0.25)

    @pytest.mark.parametrize("limit", [40_000, 100_000, 400_000])
    def test_steps_of_the_counter_do_not_make_a_greedy_torrent_content(self, limit: int) -> None:
        torrent = greedy(limit)
        estimator = RateEstimator(0.0, 0, limit)
        estimator.backlogged = True
        _, seen = watch(torrent, 90.0, estimator=estimator, error_s=0.05)
        assert all(seen)

    @pytest.mark.parametrize("demand", [20_000, 100_000, 500_000])
    @pytest.mark.parametrize("headroom", [1.5, 3.0])
    def test_a_content_torrent_is_not_called_backlogged_for_long(self, demand: float, headroom: float) -> None:
        torrent = SimTorrent("a" * 40, "http://t", demand, int(headroom * demand))
        estimator = RateEstimator(0.0, 0, torrent.limit)
        estimator.backlogged = True  # as a newcomer is
        _, seen = watch(torrent, 60.0, estimator=estimator, error_s=0.05)
        assert not any(seen[len(seen) // 2 :])

    def test_without_a_limit_nothing_is_held_back(self) -> None:
        estimator, _ = watch(SimTorrent("a" * 40, "http://t", 5e6), 20.0)
        assert not estimator.backlogged
        assert estimator.rate == pytest.approx(5e6, rel=0.06)

    def test_one_that_still_grows_after_a_raise_stays_backlogged(self) -> None:
        """Regression: libtorrent's rates rise over some seconds; meanwhile it was taken for content."""
        torrent = greedy(50_000)
        estimator, backlogged = watch(torrent, 20.0)
        assert backlogged[-1]
        torrent.limit = 3_000_000
        estimator.relimit(torrent.limit, 20.0)
        _, backlogged = watch(torrent, 15.0, estimator=estimator, start=20.0)
        assert all(backlogged)

    def test_one_that_falls_quiet_is_no_longer_backlogged(self) -> None:
        torrent = greedy(200_000)
        estimator, _ = watch(torrent, 30.0)
        torrent.demand = 0.0
        watch(torrent, 15.0, estimator=estimator, start=30.0)
        assert not estimator.backlogged
        assert estimator.rate < 40_000

    def test_one_that_wants_more_again_is_seen(self) -> None:
        torrent = SimTorrent("a" * 40, "http://t", 100_000, 400_000)
        estimator, _ = watch(torrent, 30.0)
        assert not estimator.backlogged
        torrent.demand = math.inf
        watch(torrent, 9.0, estimator=estimator, start=30.0)
        assert estimator.backlogged

    def test_a_new_limit_does_not_change_what_is_known_until_it_has_shown_its_effect(self) -> None:
        estimator, _ = watch(greedy(200_000), 30.0)
        estimator.relimit(2_000_000, 30.0)
        assert estimator.backlogged
        assert estimator.rate == pytest.approx(200_000, rel=0.1)
        assert estimator.window_s <= 0.0

    def test_one_whose_limit_changes_with_each_refresh_is_measured_all_the_same(self) -> None:
        """Regression: each change was taken for another deep cut from the rate before the first one, so that nothing
        was measured for minutes: such a torrent stayed at a twentieth of the cap, others ran above their shares."""
        estimator, _ = watch(greedy(1_000_000), 30.0)
        uploaded = estimator.last_bytes
        for k in range(1, 16):
            limit = 100_000 if k % 2 else 120_000
            estimator.relimit(limit, 30.0 + REFRESH_S * (k - 1))
            uploaded += limit * REFRESH_S
            estimator.measure(30.0 + REFRESH_S * k, int(uploaded), 4)
        assert estimator.rate <= 300_000

    def test_a_change_amid_the_silence_after_a_deep_cut_does_not_end_it(self) -> None:
        estimator, _ = watch(greedy(1_000_000), 30.0)
        estimator.relimit(150_000, 30.0)
        silent_until = estimator.base_at
        assert silent_until >= 36.0
        estimator.relimit(200_000, 32.0)
        assert estimator.base_at == silent_until

    @settings(max_examples=100)
    @given(
        st.lists(
            st.tuples(st.floats(0.0, 20.0), st.integers(0, 10**9), st.integers(0, 40), st.integers(1, UNLIMITED)),
            max_size=30,
        )
    )
    def test_whatever_the_counters_do_rates_are_never_negative(
        self, refreshes: list[tuple[float, int, int, int]]
    ) -> None:
        """Counters fall to 0 on stop, restart and recheck."""
        estimator, at = RateEstimator(0.0, 500, 1_000_000), 0.0
        for step, uploaded, leechers, limit in refreshes:
            at += step
            moved = estimator.measure(at, uploaded, leechers)
            assert moved >= 0
            assert estimator.rate >= 0.0
            assert math.isfinite(estimator.rate)
            estimator.relimit(limit, at)

    def test_a_restart_is_not_counted_as_a_burst(self) -> None:
        estimator, _ = watch(SimTorrent("a" * 40, "http://t", 100_000, 500_000), 30.0)
        before = estimator.rate
        assert estimator.measure(31.5, 20_000, 1) == 20_000
        estimator.measure(33.0, 170_000, 1)
        estimator.measure(34.5, 320_000, 1)
        assert estimator.rate == pytest.approx(before, rel=0.2)

    @given(st.integers(0, 5000), st.integers(0, 10**6))
    def test_weights_are_bounded(self, leechers: int, swarm: int) -> None:
        estimator = RateEstimator(0.0, 0, 1000)
        estimator.weigh(leechers, swarm)
        assert 0.99 <= estimator.weight <= 4.01

    def test_weight_does_not_grow_with_speed(self) -> None:
        """Speed would beget speed."""
        slow, _ = watch(SimTorrent("a" * 40, "http://t", 10_000, UNLIMITED), 30.0)
        fast, _ = watch(SimTorrent("a" * 40, "http://t", 10_000_000, UNLIMITED), 30.0)
        slow.weigh(8, 40)
        fast.weigh(8, 40)
        assert slow.weight == fast.weight

    def test_weight_grows_with_the_swarm_and_stays_where_it_is_for_a_leecher_more_or_less(self) -> None:
        estimator = RateEstimator(0.0, 0, 1000)
        estimator.weigh(20, 100)
        popular = estimator.weight
        for leechers in (19, 21, 18, 22):
            estimator.weigh(leechers, 100)
            assert estimator.weight == popular
        estimator.weigh(1, 0)
        assert estimator.weight < popular

    def test_one_that_wakes_below_its_limit_counts_as_content_until_more_is_seen(self) -> None:
        estimator = RateEstimator(0.0, 0, 50_000)
        estimator.wake(BLOCK, 1.5)
        assert not estimator.backlogged

    def test_one_that_wakes_at_its_limit_counts_as_backlogged(self) -> None:
        estimator = RateEstimator(0.0, 0, 50_000)
        estimator.wake(75_000, 1.5)
        assert estimator.backlogged
