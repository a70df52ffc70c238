"""Limits of torrents that do not upload, in numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qguardarr.core.allocate.idle import (
    IDLE_FEW,
    IDLE_LEAST,
    IDLE_MOST,
    IDLE_SUM,
    idle_limit,
    limit_beyond_managed,
    needed_idle_limit,
    waking_at_once,
)
from qguardarr.core.model import UNLIMITED

CAP = 1_000_000


@given(st.integers(1, 10**10), st.integers(0, 100_000))
def test_an_idle_limit_lies_between_the_bounds(cap: int, count: int) -> None:
    limit = idle_limit(cap, count, 0)
    assert limit is not None
    assert IDLE_LEAST <= limit <= max(IDLE_LEAST, IDLE_MOST * cap)
    assert idle_limit(cap, count, limit) is None, "and is kept"


def test_of_few_all_may_wake_at_once_and_stay_within_half_the_cap() -> None:
    limit = idle_limit(CAP, IDLE_FEW, 0)
    assert limit == pytest.approx(IDLE_SUM * CAP / IDLE_FEW, abs=1)


def test_of_many_the_square_root_counts() -> None:
    assert waking_at_once(0) == 1.0
    assert waking_at_once(4 * IDLE_FEW) == 2 * IDLE_FEW
    limit = idle_limit(CAP, 4 * IDLE_FEW, 0)
    assert limit is not None
    assert limit * 2 * IDLE_FEW == pytest.approx(IDLE_SUM * CAP, rel=0.01)


def test_an_idle_limit_is_kept_while_it_is_near_enough() -> None:
    kept = idle_limit(CAP, 20, 0)
    assert kept is not None
    assert idle_limit(CAP, 35, kept) is None
    assert idle_limit(CAP, 400, kept) is not None


@given(st.integers(1, 10_000), st.floats(1, 1e8), st.integers(2048, 100_000))
def test_those_beyond_the_managed_ones_get_a_part_of_the_cap_together(count: int, capacity: float, idle: int) -> None:
    limit = limit_beyond_managed(idle, count, capacity)
    assert 1 <= limit <= idle
    assert limit == 1 or count * limit <= IDLE_SUM * capacity


class TestTheLimitThatAnIdleTorrentNeeds:
    def needed(self, current: int, *, most: int = UNLIMITED, exact: bool = False, level: float = 1e9) -> int | None:
        return needed_idle_limit(current, 10_000, most=most, exact=exact, level=level)

    def test_an_unlimited_one_gets_the_idle_limit(self) -> None:
        assert self.needed(UNLIMITED) == 10_000

    @pytest.mark.parametrize("current", [5_000, 10_000, 20_000])
    def test_one_that_is_near_enough_is_left_alone(self, current: int) -> None:
        assert self.needed(current) is None

    @pytest.mark.parametrize("current", [5_000, 20_000])
    def test_a_limit_that_a_person_chose_is_exact(self, current: int) -> None:
        assert self.needed(current, exact=True) == 10_000

    def test_a_bound_set_by_hand_is_kept(self) -> None:
        assert self.needed(UNLIMITED, most=3_000) == 3_000
        assert self.needed(15_000, most=12_000) == 10_000

    def test_nothing_is_raised_above_the_share_of_a_backlogged_torrent(self) -> None:
        assert self.needed(1_000, level=4_000.0) == 4_000
        assert self.needed(3_000, level=4_000.0) is None
