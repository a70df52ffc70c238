"""When cross-seed is told of a completion, and when one is given up: time passed in, no thread, no network."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import structlog.testing
from hypothesis import given
from hypothesis import strategies as st

from qguardarr.engine.feature_ports import Entry
from qguardarr.errors import StoreError
from qguardarr.features.completion_queue import (
    FIRST_RETRY_S,
    GIVE_UP_S,
    GIVE_UP_TRIES,
    KEEP_AGAIN_S,
    MOST_WAITING,
    PAUSE_S,
    CompletionQueue,
    Kind,
    Outcome,
)
from qguardarr.features.retry_queue import LONGEST_RETRY_S

NOW = 1_700_000_000.0
A, B, C = "a" * 40, "b" * 40, "c" * 40
DELIVERED, ABORTED = Outcome(Kind.DELIVERED), Outcome(Kind.ABORTED)
AWAY, FAILED = Outcome(Kind.AWAY, "no answer"), Outcome(Kind.FAILED, "it failed (500)")
REFUSED, WRONG_KEY = Outcome(Kind.REFUSED, "it refuses (400)"), Outcome(Kind.MISCONFIGURED, "it refuses the key (401)")


class MemoryOutbox:
    """An outbox in memory; `broken` is what its disk says."""

    def __init__(self) -> None:
        self.rows: dict[str, Entry] = {}
        self.broken = ""
        self.calls = self.removed = 0

    def outbox(self, limit: int) -> list[Entry]:
        self._check()
        return sorted(self.rows.values(), key=lambda entry: entry.added_at)[:limit]

    def outbox_put(self, entry: Entry) -> None:
        self._check()
        self.rows[entry.info_hash] = entry

    def outbox_remove(self, info_hash: str) -> None:
        self._check()
        self.rows.pop(info_hash, None)
        self.removed += 1

    def _check(self) -> None:
        self.calls += 1
        if self.broken:
            raise StoreError(self.broken)


class Desk:
    """CompletionQueue, with a cross-seed that answers as `answer` says, and the clock of the test."""

    def __init__(self, outbox: MemoryOutbox | None = None) -> None:
        self.outbox = outbox or MemoryOutbox()
        self.queue = CompletionQueue(self.outbox, jitter=lambda: 0.5)
        self.at = NOW
        self.told: list[tuple[float, str]] = []
        self.answer: Callable[[str], Outcome] = lambda _: DELIVERED

    def add(self, *hashes: str) -> None:
        for info_hash in hashes:
            self.queue.add(info_hash, self.at)

    def run(self, seconds: float) -> None:
        """All that happens until then."""
        end = self.at + seconds
        while True:
            self.queue.keep(self.at)
            entry = self.queue.due(self.at)
            if entry is not None:
                self.told.append((self.at - NOW, entry.info_hash))
                self.queue.settle(entry, self.answer(entry.info_hash), self.at)
                self.queue.keep(self.at)
                continue
            wait_s = self.queue.wait_s(self.at, sending=True)
            if wait_s is None or self.at + wait_s > end:
                break
            self.at += max(wait_s, 0.001)
        self.at = end

    @property
    def names(self) -> list[str]:
        return [info_hash for _, info_hash in self.told]

    @property
    def times(self) -> list[float]:
        return [round(at, 1) for at, _ in self.told]


@pytest.fixture
def desk() -> Desk:
    return Desk()


class TestInGoodHealth:
    def test_each_is_told_once_the_oldest_first_with_pauses(self, desk: Desk) -> None:
        desk.add(C, A)
        desk.at += 1
        desk.add(B, A)
        desk.run(60)
        assert desk.names == [C, A, B]
        assert desk.times == [1.0, 1.0 + PAUSE_S, 1.0 + 2 * PAUSE_S]
        assert (desk.queue.forwarded, desk.queue.pending, desk.queue.problem) == (3, 0, "")
        assert desk.outbox.rows == {}

    def test_the_same_torrent_may_come_again_later(self, desk: Desk) -> None:
        desk.add(A)
        desk.run(10)
        desk.add(A)
        desk.run(10)
        assert desk.names == [A, A]

    def test_it_is_in_the_outbox_before_it_is_told(self, desk: Desk) -> None:
        seen: list[dict[str, Entry]] = []

        def answer(_: str) -> Outcome:
            seen.append(dict(desk.outbox.rows))
            return DELIVERED

        desk.answer = answer
        desk.add(A)
        desk.run(1)
        assert seen == [{A: Entry(A, NOW)}]

    def test_with_nothing_to_do_it_sleeps_until_something_is_new(self, desk: Desk) -> None:
        desk.run(1)
        calls = desk.outbox.calls
        assert desk.queue.wait_s(desk.at, sending=True) is None
        desk.run(1000)
        assert desk.outbox.calls == calls

    def test_a_queue_of_500_is_drained_one_at_a_time(self, desk: Desk) -> None:
        hashes = [f"{number:040x}" for number in range(500)]
        desk.add(*hashes)
        desk.run(500 * PAUSE_S)
        assert desk.names == hashes
        assert min(b - a for a, b in itertools.pairwise(desk.times)) == PAUSE_S

    def test_while_nobody_is_to_be_told_all_waits_in_the_outbox(self, desk: Desk) -> None:
        desk.add(A)
        desk.queue.keep(desk.at)
        assert desk.outbox.rows == {A: Entry(A, NOW)}
        assert desk.queue.wait_s(desk.at, sending=False) is None


class TestOutage:
    def test_one_is_tried_with_growing_pauses_and_the_others_wait(self, desk: Desk) -> None:
        desk.answer = lambda _: AWAY
        desk.add(A, B, C)
        desk.run(3 * 3600)
        assert set(desk.names) == {A}
        pauses = [round(b - a, 1) for a, b in itertools.pairwise(desk.times)]
        doubling = [FIRST_RETRY_S * 2**n for n in range(9)]
        assert pauses[:9] == doubling
        assert set(pauses[9:]) == {LONGEST_RETRY_S}
        assert desk.queue.problem == "no answer"
        assert desk.queue.pending == 3

    def test_when_it_is_back_all_are_told_in_order(self, desk: Desk) -> None:
        desk.answer = lambda _: AWAY
        desk.add(A, B, C)
        desk.run(100)
        desk.answer = lambda _: DELIVERED
        desk.told.clear()
        desk.run(200)
        assert desk.names == [A, B, C]
        assert desk.queue.problem == ""

    def test_after_a_recovery_the_pauses_begin_small_again(self, desk: Desk) -> None:
        desk.answer = lambda _: AWAY
        desk.add(A)
        desk.run(1000)
        desk.answer = lambda _: DELIVERED
        desk.run(LONGEST_RETRY_S)
        desk.answer = lambda _: AWAY
        desk.told.clear()
        began = desk.at - NOW
        desk.add(B)
        desk.run(FIRST_RETRY_S)
        assert desk.times == [began, began + FIRST_RETRY_S]

    def test_pauses_are_spread(self) -> None:
        jitter = iter([0.0, 1.0])
        deliveries = CompletionQueue(MemoryOutbox(), jitter=lambda: next(jitter))
        deliveries.add(A, NOW)
        for pause in (0.75 * FIRST_RETRY_S, 1.25 * 2 * FIRST_RETRY_S):
            deliveries.settle(Entry(A, NOW), AWAY, NOW)
            deliveries.keep(NOW)
            assert deliveries.wait_s(NOW, sending=True) == pytest.approx(pause)

    def test_a_day_of_it_and_a_completion_is_given_up(self, desk: Desk) -> None:
        desk.answer = lambda _: AWAY
        desk.add(A, B)
        desk.run(GIVE_UP_S - 3600)
        desk.add(C)
        desk.run(2 * 3600)
        assert (desk.queue.expired, desk.queue.pending) == (2, 1)
        assert set(desk.outbox.rows) == {C}

    def test_after_days_without_power_nothing_is_given_up_before_it_was_tried_for_a_while(self, desk: Desk) -> None:
        desk.outbox.rows = {A: Entry(A, NOW - 5 * 86400), B: Entry(B, NOW - 5 * 86400)}
        desk.answer = lambda _: AWAY
        desk.run(20 * 60)
        desk.answer = lambda _: DELIVERED
        desk.run(3600)
        assert (desk.queue.forwarded, desk.queue.expired) == (2, 0)

    def test_what_was_ended_by_us_says_nothing(self, desk: Desk) -> None:
        answers = iter([ABORTED, DELIVERED])
        desk.answer = lambda _: next(answers)
        desk.add(A)
        desk.run(0)
        assert desk.times == [0.0, 0.0]
        assert (desk.queue.forwarded, desk.queue.problem) == (1, "")

    def test_a_reason_to_hope_ends_the_wait(self, desk: Desk) -> None:
        answers = {A: FAILED, B: AWAY}
        desk.answer = answers.__getitem__
        desk.add(A, B)
        desk.run(3 * 3600)
        desk.told.clear()
        desk.queue.retry_now()
        desk.answer = lambda _: DELIVERED
        desk.run(PAUSE_S)
        assert desk.names == [A, B]

    def test_after_a_hope_that_was_in_vain_the_pauses_begin_small_again(self, desk: Desk) -> None:
        desk.answer = lambda _: AWAY
        desk.add(A)
        desk.run(3 * 3600)
        desk.told.clear()
        began = desk.at - NOW
        desk.queue.retry_now()
        desk.run(FIRST_RETRY_S)
        assert desk.times == [began, began + FIRST_RETRY_S]


class TestRefusals:
    def test_a_wrong_key_is_tried_seldom_and_nothing_is_lost(self, desk: Desk) -> None:
        desk.answer = lambda _: WRONG_KEY
        desk.add(A, B)
        desk.run(4 * LONGEST_RETRY_S - 1)
        assert desk.times == [0.0, LONGEST_RETRY_S, 2 * LONGEST_RETRY_S, 3 * LONGEST_RETRY_S]
        assert desk.queue.problem == "it refuses the key (401)"
        desk.answer = lambda _: DELIVERED
        desk.run(LONGEST_RETRY_S)
        assert (desk.queue.forwarded, desk.queue.refused, desk.queue.problem) == (2, 0, "")

    def test_what_it_never_takes_is_given_up_and_the_next_one_tried(self, desk: Desk) -> None:
        desk.answer = {A: REFUSED, B: DELIVERED}.__getitem__
        desk.add(A)
        desk.run(1)
        assert desk.queue.problem == "it refuses (400)"
        desk.add(B)
        desk.run(60)
        assert desk.names == [A, B]
        assert (desk.queue.refused, desk.queue.forwarded, desk.queue.problem) == (1, 1, "")
        assert desk.outbox.rows == {}

    def test_one_that_makes_it_fail_holds_up_nobody(self, desk: Desk) -> None:
        desk.answer = lambda info_hash: FAILED if info_hash == A else DELIVERED
        desk.add(A, B, C)
        desk.run(60)
        assert [name for name in desk.names if name != A] == [B, C]
        desk.run(2 * GIVE_UP_S)
        assert (desk.queue.forwarded, desk.queue.expired, desk.queue.pending) == (2, 1, 0)
        assert desk.names.count(A) < 80

    def test_failures_over_all_are_an_outage(self, desk: Desk) -> None:
        desk.answer = lambda _: FAILED
        desk.add(*(f"{number:040x}" for number in range(100)))
        desk.run(3600)
        assert len(desk.told) <= GIVE_UP_TRIES + 2
        desk.answer = lambda _: DELIVERED
        desk.run(3 * 3600)
        assert desk.queue.forwarded == 100


class TestRestart:
    def test_what_waits_is_told_by_the_next_process(self, desk: Desk) -> None:
        desk.answer = lambda _: AWAY
        desk.add(A, B)
        desk.run(30)
        again = Desk(desk.outbox)
        again.at = desk.at
        again.run(60)
        assert again.names == [A, B]
        assert again.outbox.rows == {}

    def test_attempts_and_reasons_are_kept(self, desk: Desk) -> None:
        desk.answer = lambda _: FAILED
        desk.add(A)
        desk.run(0)
        assert desk.outbox.rows[A] == Entry(A, NOW, 1, NOW + 2 * FIRST_RETRY_S, "it failed (500)")
        again = Desk(desk.outbox)
        again.run(2 * FIRST_RETRY_S)
        assert again.times == [2 * FIRST_RETRY_S]

    def test_what_came_before_the_outbox_could_be_read_takes_its_place_by_age(self, desk: Desk) -> None:
        desk.outbox.rows = {A: Entry(A, NOW - 100), C: Entry(C, NOW + 100)}
        desk.outbox.broken = "the disk is full"
        desk.add(B)
        desk.queue.keep(desk.at)
        desk.outbox.broken = ""
        desk.at += KEEP_AGAIN_S
        desk.run(60)
        assert desk.names == [A, B, C]


class TestFullDisk:
    def test_completions_are_told_from_memory_and_the_problem_is_named(self, desk: Desk) -> None:
        desk.outbox.broken = "store x: the disk is full"
        desk.add(A, B)
        desk.run(60)
        assert desk.names == [A, B]
        assert desk.queue.problem == "completions are kept in memory only: store x: the disk is full"

    def test_the_outbox_is_not_asked_all_the_time(self, desk: Desk) -> None:
        desk.run(1)
        desk.outbox.broken = "full"
        desk.answer = lambda _: AWAY
        desk.add(*(f"{number:040x}" for number in range(100)))
        calls = desk.outbox.calls
        desk.run(10 * KEEP_AGAIN_S)
        assert desk.outbox.calls - calls <= 11

    def test_when_there_is_space_again_the_outbox_catches_up(self, desk: Desk) -> None:
        desk.add(A, B)
        desk.queue.keep(desk.at)
        desk.outbox.broken = "full"
        answers = {A: DELIVERED, B: AWAY, C: AWAY}
        desk.answer = answers.__getitem__
        desk.add(C)
        desk.run(KEEP_AGAIN_S - 1)
        assert set(desk.outbox.rows) == {A, B}
        desk.outbox.broken = ""
        desk.run(KEEP_AGAIN_S)
        assert set(desk.outbox.rows) == {B, C}
        assert desk.queue.problem == "no answer"

    def test_what_was_told_meanwhile_is_not_told_again_by_a_late_reading(self, desk: Desk) -> None:
        desk.outbox.rows = {A: Entry(A, NOW - 5)}
        desk.outbox.broken = "full"
        desk.add(A)
        desk.run(1)
        desk.outbox.broken = ""
        desk.run(2 * KEEP_AGAIN_S)
        assert desk.names == [A]
        assert desk.outbox.rows == {}

    def test_what_is_remembered_for_the_outbox_is_bounded(self, desk: Desk) -> None:
        for number in range(2 * MOST_WAITING + 100):
            desk.add(f"{number:040x}")
            desk.queue.settle(Entry(f"{number:040x}", NOW), DELIVERED, desk.at)
        desk.queue.keep(desk.at)
        assert desk.outbox.removed == 2 * MOST_WAITING


class TestClock:
    @pytest.mark.parametrize("jump_s", [-86400.0, -7200.0, 86400.0])
    @pytest.mark.parametrize("outcome", [AWAY, FAILED, WRONG_KEY])
    def test_a_clock_that_is_set_keeps_nothing_waiting(self, desk: Desk, jump_s: float, outcome: Outcome) -> None:
        desk.answer = lambda _: outcome
        desk.add(A)
        desk.run(300)
        desk.answer = lambda _: DELIVERED
        desk.at += jump_s
        desk.run(3 * LONGEST_RETRY_S)
        assert desk.queue.forwarded == 1

    def test_sleeps_are_short_enough_to_notice_it(self, desk: Desk) -> None:
        desk.answer = lambda _: WRONG_KEY
        desk.add(A)
        desk.run(0)
        assert desk.queue.wait_s(desk.at, sending=True) == 60.0


class TestLog:
    def test_an_outage_is_one_line_and_its_end_another(self, desk: Desk) -> None:
        with structlog.testing.capture_logs() as lines:
            desk.answer = lambda _: AWAY
            desk.add(A, B)
            desk.run(6 * 3600)
            desk.answer = lambda _: DELIVERED
            desk.run(3600)
        assert [line["event"] for line in lines] == ["cross_seed_away", "cross_seed_recovered"]

    def test_many_refusals_are_one_line(self, desk: Desk) -> None:
        with structlog.testing.capture_logs() as lines:
            desk.answer = lambda _: REFUSED
            desk.add(A, B, C)
            desk.run(60)
        assert [line["event"] for line in lines] == ["cross_seed_refused"]

    def test_a_full_disk_is_one_line(self, desk: Desk) -> None:
        with structlog.testing.capture_logs() as lines:
            desk.outbox.broken = "full"
            desk.add(A, B, C)
            desk.run(600)
        assert [line["event"] for line in lines] == ["outbox_not_kept"]

    def test_what_is_given_up_is_counted_in_a_line(self, desk: Desk) -> None:
        with structlog.testing.capture_logs() as lines:
            desk.answer = lambda _: AWAY
            desk.add(A, B)
            desk.run(2 * GIVE_UP_S)
        assert [(line["event"], line.get("count")) for line in lines][1:] == [("completions_given_up", 2)]


@given(
    st.lists(
        st.tuples(
            st.sampled_from([DELIVERED, ABORTED, AWAY, FAILED, REFUSED, WRONG_KEY]),
            st.booleans(),
            st.sampled_from([0.0, 1.0, 100.0, 4000.0, -4000.0]),
        ),
        max_size=40,
    )
)
def test_whatever_happens_nothing_gets_lost(turns: list[tuple[Outcome, bool, float]]) -> None:
    """Each completion is told, refused, expired or still waiting; and what waits is what the outbox has."""
    desk = Desk()
    for number, (outcome, broken, seconds) in enumerate(turns):
        desk.outbox.broken = "full" if broken else ""
        desk.add(f"{number:040x}")
        answers = iter([outcome])
        desk.answer = lambda _, answers=answers: next(answers, AWAY)  # type: ignore[misc]
        desk.at += min(seconds, 0.0)
        desk.run(max(seconds, 0.0))
        done = desk.queue.forwarded + desk.queue.refused + desk.queue.expired
        assert done + desk.queue.pending == number + 1
    desk.outbox.broken = ""
    desk.answer = lambda _: AWAY
    desk.run(5000 + KEEP_AGAIN_S)
    assert len(desk.outbox.rows) == desk.queue.pending
    assert all(info_hash in desk.queue for info_hash in desk.outbox.rows)
