"""The announce budget alone, against a torrent that sends as much as it may at the worst moments."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qguardarr.core.measure.announce_budget import AnnounceBudget
from qguardarr.core.model import UNLIMITED, Overspeed

MB = 1_000_000
STEADY, SAVED = Overspeed(MB), Overspeed(MB, saves=True)
COPY_S = 1.5


class Pulled:
    """A torrent with a bucket, whose peers take all that they can get whenever they want anything."""

    def __init__(self, rule: Overspeed) -> None:
        self.rule = rule
        self.now, self.sent, self.bucket = 0.0, 0.0, 0.0
        self.limit = rule.steady
        self.told: list[tuple[float, float]] = [(0.0, 0.0)]
        self.due = 1800.0
        self.budget = AnnounceBudget(0.0, 0, rule, announced=True)
        self.backlogged = False

    def announce(self) -> None:
        self.told.append((self.now, self.sent))
        self.due = self.now + 1800.0

    def copy(self, *, wants: float) -> None:
        """A copy of the counters later. `wants`: part of what it may send that it does."""
        self.bucket = min(1.5 * self.limit, self.bucket + self.limit * COPY_S)
        moved = self.bucket * wants
        self.bucket -= moved
        self.sent += moved * 1.01
        self.now += COPY_S
        self.backlogged = wants > 0.99
        if self.now >= self.due:
            self.announce()
        self.budget.observe(
            self.now,
            int(self.sent),
            int(self.due - self.now),
            self.rule,
            limit=self.limit,
            backlogged=self.backlogged,
        )
        self.limit = self.budget.limit

    def worst(self, least_s: float) -> float:
        """Highest rate since an announce ÷ limit, of the moment now, if that is so long ago."""
        at, sent = self.told[-1]
        elapsed = self.now - at
        return (self.sent - sent) / (elapsed - 1.0) / self.rule.limit if elapsed >= least_s else 0.0


@pytest.mark.parametrize("rule", [STEADY, SAVED])
@given(
    st.lists(st.tuples(st.integers(1, 400), st.sampled_from([0.0, 0.3, 1.0]), st.booleans()), min_size=1, max_size=12)
)
@settings(max_examples=100, deadline=None)
def test_at_every_moment_the_rule_holds_from_some_seconds_on_after_an_announce(
    rule: Overspeed, phases: list[tuple[int, float, bool]]
) -> None:
    torrent = Pulled(rule)
    for copies, wants, announces in phases:
        for _ in range(copies):
            torrent.copy(wants=wants)
            assert torrent.worst(20.0 if rule.saves else 12.0) <= 1.0, torrent.told
            assert torrent.limit <= (3.0 if rule.saves else 1.0) * rule.steady
        if announces:
            torrent.announce()


def observed(
    budget: AnnounceBudget,
    at: float,
    sent: float,
    reannounce: int,
    *,
    alone: bool = True,
    limit: int = UNLIMITED,
    backlogged: bool = True,
) -> int:
    budget.observe(at, int(sent), reannounce, budget.rule, limit=limit, backlogged=backlogged, alone=alone)
    return budget.limit


def test_without_a_known_announce_the_limit_is_the_steady_one() -> None:
    for reannounce in (-1, 1000):
        budget = AnnounceBudget(0.0, 500 * MB, SAVED, announced=False)
        assert observed(budget, 100.0, 600 * MB, reannounce) == SAVED.steady
        assert budget.announced is None


def test_an_announce_is_seen_by_the_countdown_and_counts_from_the_copy_before() -> None:
    budget = AnnounceBudget(0.0, 0, STEADY, announced=False)
    observed(budget, 1.5, MB, 900)
    observed(budget, 3.0, 2 * MB, 898)
    assert budget.announced is None
    assert observed(budget, 4.5, 3 * MB, 1799) < STEADY.steady
    found = budget.announced
    assert found is not None
    assert (found.at, found.sent) == (4.5, MB)
    for step in range(12):
        observed(budget, 6.0 + 1.5 * step, 3.5 * MB + 0.5 * MB * step, int(1797 - 1.5 * step))
    assert budget.limit == STEADY.steady, "later on it is as before"


def test_a_forced_announce_of_5_1_that_waits_for_its_turn_counts_once_it_is_made() -> None:
    """The countdown first falls to what is left of the least interval."""
    budget = AnnounceBudget(0.0, 0, STEADY, announced=False)
    for at, left in ((1.5, 1500), (3.0, 24), (4.5, 23), (27.0, 1)):
        observed(budget, at, at * MB / 2, left)
        assert budget.announced is None
    observed(budget, 28.5, 14 * MB, 1800)
    assert budget.announced is not None


def test_a_torrent_that_was_started_again_has_announced_with_no_bytes() -> None:
    budget = AnnounceBudget(0.0, 900 * MB, STEADY, announced=False)
    observed(budget, 10.0, MB, -1)
    found = budget.announced
    assert found is not None
    assert (found.at, found.sent) == (10.0, MB)


def test_what_was_left_unused_may_be_used_later_but_not_before_an_announce_is_due() -> None:
    budget = AnnounceBudget(0.0, 0, SAVED, announced=True)
    observed(budget, 1.5, 0, 898)
    assert observed(budget, 300.0, 0, 600, backlogged=False) == SAVED.steady, "it wants no more"
    high = observed(budget, 301.5, 0, 598, limit=SAVED.steady)
    assert 2.0 * SAVED.steady < high <= 3.0 * SAVED.steady
    assert observed(budget, 303.0, 4 * MB, 597, limit=high, backlogged=False) == high, "each write costs a file"
    assert observed(budget, 890.0, 4 * MB, 9, limit=high) == SAVED.steady


@pytest.mark.parametrize(("alone", "reannounce"), [(False, 600), (True, -1)])
def test_nothing_is_saved_where_an_announce_may_go_unseen(alone: bool, reannounce: int) -> None:
    budget = AnnounceBudget(0.0, 0, SAVED, announced=True)
    observed(budget, 1.5, 0, 898 if reannounce >= 0 else -1)
    assert observed(budget, 300.0, 0, reannounce, alone=alone, limit=SAVED.steady) == SAVED.steady


def test_the_announce_of_an_idle_torrent_is_placed_where_it_was_due() -> None:
    budget = AnnounceBudget(0.0, 0, SAVED, announced=False)
    observed(budget, 1.5, 0, 10)
    observed(budget, 12.0, 0, 0)
    observed(budget, 13.5, 0, 1800)
    observed(budget, 2500.0, MB, 1800 - (2500 - 1813))  # once since then, at 1813
    found = budget.announced
    assert found is not None
    assert 1813 <= found.at <= 1820
    observed(budget, 3000.0, 2 * MB, 1500)  # and once by force
    found = budget.announced
    assert found is not None
    assert found.at == 3000.0


def test_a_torrent_that_wakes_uses_nothing_saved_before_its_countdown_is_shown() -> None:
    """Regression: it may have announced while it was idle. An interval of a minute was 1.6 × the limit."""
    budget = AnnounceBudget(0.0, 0, SAVED, announced=True)
    observed(budget, 1.5, 0, 1800)
    assert observed(budget, 600.0, 0, -1, limit=SAVED.steady) == SAVED.steady
    assert observed(budget, 601.5, 0, 1700, limit=SAVED.steady) < SAVED.steady, "it did"


def test_a_countdown_shown_long_after_a_start_may_be_that_of_a_later_announce() -> None:
    """Regression: one that had sent nothing was started once more. An interval of a minute was 1.6 × the limit."""
    budget = AnnounceBudget(0.0, 9 * MB, SAVED, announced=False)
    observed(budget, 1.5, 0, -1, backlogged=False)
    observed(budget, 600.0, 0, -1, backlogged=False)
    assert observed(budget, 601.5, MB, 1790, limit=SAVED.steady) < SAVED.steady
    assert budget.announced is not None
    assert budget.announced.at == 601.5


def test_another_rule_counts_at_once() -> None:
    budget = AnnounceBudget(0.0, 0, STEADY, announced=True)
    half = Overspeed(MB // 2)
    observed(budget, 1.5, 0, 1098)
    budget.observe(100.0, 0, 1000, half, limit=STEADY.steady, backlogged=False)
    assert (budget.rule, budget.limit) == (half, half.steady)
