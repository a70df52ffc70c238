"""A torrent's mean rate, and when it counts as backlogged for good."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qguardarr.core.measure.burstiness import FREE_S, LONGEST_BURST_S, MEMORY_S, Backlog, Burstiness, Smoothed, combined
from qguardarr.core.measure.learnt import Learnt
from qguardarr.core.model import UNLIMITED

REFRESH_S = 1.5
STEP = 16 * 1024
BEARABLE = 300_000.0


class Watched:
    """A burstiness that sees a torrent every 1.5 s."""

    def __init__(self, limit: int) -> None:
        self.limit, self.at, self.uploaded = limit, 0.0, 0.0
        self.burstiness = Burstiness(0.0, 0.0, limit)

    def sends(self, rate: float, seconds: float) -> list[bool]:
        """Have it want `rate` bytes/s for a while; returns whether its backlog counted as lasting, at each refresh."""
        verdicts = []
        for _ in range(round(seconds / REFRESH_S)):
            moved = min(rate, self.limit) * REFRESH_S
            self.at += REFRESH_S
            self.uploaded += moved
            self.burstiness.sample(self.at, self.uploaded, self.limit, STEP)
            held_back = rate > 0.95 * self.limit
            self.burstiness.judge(moved, REFRESH_S, held_back=held_back, slow=False, bearable=BEARABLE)
            verdicts.append(self.burstiness.lasting)
        return verdicts

    def bursts(self, size: float, gap_s: float, times: int) -> list[bool]:
        """Have it ask for `size` bytes as fast as its limit lets them through, then for nothing, and so on."""
        verdicts = []
        for _ in range(times):
            verdicts += self.sends(math.inf, size / self.limit)
            verdicts += self.sends(0.0, gap_s)
        return verdicts

    def relimit(self, limit: int, lag_s: float = 0.5) -> None:
        self.burstiness.relimit(self.limit, limit, self.at + lag_s)
        self.limit = limit


class TestSmoothed:
    @given(st.lists(st.tuples(st.floats(0, 1e9), st.floats(0.1, 60)), min_size=1, max_size=60))
    def test_it_stays_within_its_samples(self, samples: list[tuple[float, float]]) -> None:
        mean = Smoothed()
        for sample, elapsed in samples:
            mean.add(sample, elapsed)
        values = [sample for sample, _ in samples]
        assert min(values) * (1 - 1e-9) - 1e-6 <= mean.level <= max(values) * (1 + 1e-9) + 1e-6
        assert mean.spread >= 0.0

    def test_a_change_that_lasts_is_followed_at_once(self) -> None:
        mean = Smoothed()
        for _ in range(20):
            mean.add(100.0, REFRESH_S)
        mean.add(500.0, REFRESH_S)
        assert mean.level == pytest.approx(500.0)

    @pytest.mark.parametrize("gap", [3, 5, 7])
    def test_bursts_leave_it_near_their_mean(self, gap: int) -> None:
        mean = Smoothed()
        levels = []
        for n in range(40 * (gap + 1)):
            mean.add(0.0 if n % (gap + 1) else 1000.0, REFRESH_S)
            levels.append(mean.level)
        true = 1000.0 / (gap + 1)
        late = levels[len(levels) // 2 :]
        assert 0.5 * true <= sum(late) / len(late) <= 1.6 * true
        assert max(late) < 700.0


class TestLasting:
    def test_a_torrent_that_uses_all_its_limit_lets_through_is_backlogged_for_good(self) -> None:
        assert Watched(100_000).sends(math.inf, 6.0)[-1]

    def test_one_that_stops_no_longer_is(self) -> None:
        torrent = Watched(100_000)
        torrent.sends(math.inf, 30.0)
        assert not torrent.sends(0.0, 6.0)[-1]

    def test_one_that_uses_most_of_its_limit_and_is_not_held_back_is_not(self) -> None:
        """Regression: between the two bounds it stayed what it had been: a fifth of the cap was stranded."""
        torrent = Watched(100_000)
        torrent.sends(math.inf, 30.0)
        assert not torrent.sends(80_000.0, FREE_S + 2 * REFRESH_S)[-1]

    def test_bursts_soon_count_as_such(self) -> None:
        """20 kB/s in the mean, as real clients take it."""
        torrent = Watched(100_000)
        torrent.bursts(200_000.0, 9.0, times=4)
        assert not any(torrent.bursts(200_000.0, 9.0, times=10))
        assert torrent.burstiness.burst == pytest.approx(150_000.0, rel=0.5)

    def test_a_bursty_one_may_be_backlogged_for_good_later(self) -> None:
        torrent = Watched(100_000)
        torrent.bursts(200_000.0, 9.0, times=10)
        assert torrent.sends(math.inf, 12.0)[-1]

    def test_more_than_the_cap_can_bear_is_no_burst(self) -> None:
        torrent = Watched(1_000_000)
        torrent.bursts(2 * BEARABLE, 9.0, times=3)
        assert torrent.burstiness.burst == 0.0

    def test_demand_that_lasts_is_no_burst(self) -> None:
        torrent = Watched(5_000)
        torrent.sends(math.inf, LONGEST_BURST_S + 6.0)
        torrent.sends(0.0, 6.0)
        assert torrent.burstiness.burst == 0.0

    def test_use_is_measured_against_the_limits_that_were_in_force(self) -> None:
        """A raise at every refresh: each new limit takes effect half a second later, and is used up then."""
        torrent = Watched(100_000)
        torrent.sends(math.inf, 6.0)
        for _ in range(6):
            before = torrent.limit
            torrent.relimit(round(1.3 * before))
            moved = 0.5 * before + (REFRESH_S - 0.5) * torrent.limit
            torrent.at += REFRESH_S
            torrent.uploaded += moved
            torrent.burstiness.sample(torrent.at, torrent.uploaded, torrent.limit, STEP)
        assert torrent.burstiness.use.level == pytest.approx(1.0)


def test_after_a_deep_cut_nothing_is_learnt_until_the_silence_is_over() -> None:
    """Regression: bytes sent in it had to be guessed, and use of the next limit came out at half its value."""
    torrent = Watched(900_000)
    torrent.sends(math.inf, 12.0)
    torrent.relimit(300_000)
    torrent.burstiness.skip(torrent.at + 3.0)
    torrent.sends(0.0, 3.0)
    torrent.sends(math.inf, 6.0)
    assert torrent.burstiness.use.level == pytest.approx(1.0)


def test_a_torrent_on_its_way_to_a_raised_limit_uses_it_as_far_as_is_known() -> None:
    torrent = Watched(100_000)
    torrent.sends(math.inf, 12.0)
    torrent.relimit(400_000, lag_s=0.9)
    torrent.sends(110_000.0, 3.0)
    assert torrent.burstiness.use.level == pytest.approx(1.0)
    torrent.sends(110_000.0, 12.0)
    assert torrent.burstiness.use.level < 0.5


def test_bursts_leave_the_rate_in_doubt() -> None:
    steady, bursty = Watched(100_000), Watched(100_000)
    steady.sends(40_000.0, 8 * MEMORY_S)
    bursty.bursts(200_000.0, 9.0, times=10)
    assert steady.burstiness.doubt(100_000) < 1_000
    assert bursty.burstiness.doubt(100_000) > 10_000


@given(
    st.lists(
        st.tuples(
            st.sampled_from([0.0, 0.5, 1.5, 5.0, 20.0]),
            st.floats(0.0, 2.0),
            st.lists(st.tuples(st.integers(1, UNLIMITED), st.sampled_from([0.4, 0.9])), max_size=2),
        ),
        max_size=30,
    )
)
def test_use_is_a_part_however_quickly_limits_follow_each_other(
    refreshes: list[tuple[float, float, list[tuple[int, float]]]],
) -> None:
    limit, at, uploaded = 100_000, 0.0, 0.0
    burstiness = Burstiness(at, uploaded, limit)
    for elapsed, part, limits in refreshes:
        at, uploaded = at + elapsed, uploaded + part * min(limit, 10**9) * elapsed
        burstiness.sample(at, uploaded, limit, STEP)
        assert burstiness.use.level == -1.0 or 0.0 <= burstiness.use.level <= 1.0
        for new, lag_s in limits:
            burstiness.relimit(limit, new, at + lag_s)
            limit = new


def test_a_cut_right_after_a_raise_leaves_the_allowed_bytes_as_they_were() -> None:
    """Regression: less than nothing was allowed until the raise would have taken effect."""
    burstiness = Burstiness(0.0, 0.0, 10_000)
    burstiness.relimit(10_000, UNLIMITED, 20.9)
    burstiness.relimit(UNLIMITED, 10_000, 20.5)
    burstiness.sample(20.2, 200_000.0, 10_000, STEP)
    assert burstiness.use.level == pytest.approx(0.99, abs=0.01)


def test_use_that_was_not_known_before_a_restart_is_not_known_after_it() -> None:
    """Regression: it was taken for no use at all, so that a lasting backlog ended."""
    burstiness = Burstiness(0.0, 0.0, 100_000)
    burstiness.recall(Learnt("a" * 40, 1.0, 100_000, rate=100_000, hungry=True, lasting=True))
    burstiness.judge(100_000.0, 1.0, held_back=True, slow=False, bearable=BEARABLE)
    assert burstiness.lasting


class TestBacklog:
    def test_a_torrent_below_its_limit_has_none(self) -> None:
        torrent = Watched(100_000)
        torrent.sends(40_000.0, 30.0)
        assert torrent.burstiness.backlog(held_back=False) is Backlog.NONE

    def test_demand_of_a_bursty_torrent_is_a_known_burst_at_first_and_lasting_in_the_end(self) -> None:
        torrent = Watched(100_000)
        torrent.bursts(200_000.0, 9.0, times=10)
        assert torrent.burstiness.bursty
        kinds = []
        for _ in range(10):
            torrent.sends(math.inf, REFRESH_S)
            kinds.append(torrent.burstiness.backlog(held_back=True))
        assert (kinds[0], kinds[-1]) == (Backlog.KNOWN_BURST, Backlog.LASTING)
        assert kinds == sorted(kinds, key=lambda kind: kind.value)

    def test_without_known_bursts_it_is_a_new_one_while_the_mean_use_is_low(self) -> None:
        burstiness = Burstiness(0.0, 0.0, 100_000)
        burstiness.recall(Learnt("a" * 40, 1.0, 100_000, rate=40_000, mean=40_000, use=0.4))
        burstiness.judge(100_000.0, 1.0, held_back=True, slow=False, bearable=BEARABLE)
        assert burstiness.backlog(held_back=True) is Backlog.NEW_BURST

    def test_it_lasts_until_the_torrent_has_been_free_for_a_while(self) -> None:
        torrent = Watched(100_000)
        torrent.sends(math.inf, 30.0)
        assert torrent.burstiness.backlog(held_back=True) is Backlog.LASTING
        assert torrent.burstiness.backlog(held_back=False) is Backlog.LASTING

    def test_doubts_add_like_independent_errors(self) -> None:
        assert combined([3.0, 4.0]) == pytest.approx(5.0)
        assert combined([]) == 0.0
