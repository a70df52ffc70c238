"""Rounds of recurring work: who is answered by which, with real threads."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError, Future

import pytest

from qguardarr.engine.rounds import Rounds

PATIENCE_S = 20.0


class Worker:
    """Does rounds when asked. Each begins, then waits for `let_go`; its outcome is its number."""

    def __init__(self) -> None:
        self.rounds: Rounds[int] = Rounds()
        self.begun = threading.Semaphore(0)
        self.let_go = threading.Semaphore(0)
        self.number = 0
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            self.rounds.wait()
            end_round = self.rounds.begin()
            self.number += 1
            self.begun.release()
            self.let_go.acquire()
            end_round(self.number)


def ask_from_threads(rounds: Rounds[int], count: int) -> list[Future[int]]:
    """Ask at the same moment."""
    gate, asked = threading.Barrier(count), []

    def ask() -> None:
        gate.wait(PATIENCE_S)
        asked.append(rounds.ask())

    threads = [threading.Thread(target=ask) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    return asked


def test_all_who_ask_during_a_round_share_the_next_one() -> None:
    worker = Worker()
    first = worker.rounds.ask()
    assert worker.begun.acquire(timeout=PATIENCE_S)
    later = ask_from_threads(worker.rounds, 100)
    assert not any(asked.done() for asked in (first, *later))
    worker.let_go.release()
    assert first.result(PATIENCE_S) == 1
    assert worker.begun.acquire(timeout=PATIENCE_S)
    assert not any(asked.done() for asked in later)
    latest = worker.rounds.ask()
    worker.let_go.release()
    assert {asked.result(PATIENCE_S) for asked in later} == {2}
    worker.let_go.release()
    assert latest.result(PATIENCE_S) == 3
    assert worker.number == 3


def test_who_asks_is_answered_by_the_first_round_that_begins_afterwards_not_by_the_newest() -> None:
    rounds: Rounds[str] = Rounds()
    asked = rounds.ask()
    rounds.begin()("first")
    rounds.begin()("second")
    assert asked.result(0) == "first"


def test_a_round_that_nobody_asked_for_answers_nobody() -> None:
    rounds: Rounds[str] = Rounds()
    end_round = rounds.begin()
    asked = rounds.ask()
    end_round("too old")
    assert not asked.done()
    rounds.begin()("new")
    assert asked.result(0) == "new"


def test_who_gives_up_takes_nothing_from_the_others() -> None:
    rounds: Rounds[str] = Rounds()
    impatient, patient = rounds.ask(), rounds.ask()
    assert impatient.cancel()
    end_round = rounds.begin()
    assert not patient.cancel()  # it is under way
    end_round("done")
    assert patient.result(0) == "done"
    with pytest.raises(CancelledError):
        impatient.result(0)


def test_the_worker_sleeps_until_somebody_asks_again() -> None:
    worker = Worker()
    for number in (1, 2):
        worker.let_go.release()
        assert worker.rounds.ask().result(PATIENCE_S) == number
        assert worker.begun.acquire(timeout=PATIENCE_S)
    assert not worker.begun.acquire(timeout=0.2)
    worker.let_go.release()
    assert worker.rounds.ask().result(PATIENCE_S) == 3
