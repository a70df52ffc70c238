"""Searches with Python's `re` in a process of its own: whatever the pattern and the text, an answer comes."""

import os
import signal
import sys
import threading
from collections.abc import Iterator

import pytest

from qguardarr.adapters import backtrack
from qguardarr.adapters.backtrack import Backtracker
from qguardarr.app.settings import python_command
from tests.support.children import children

SLOW = r"(?=h)http://([\w.-]+\.?)*x$"
HOSTILE = "http://" + "a." * 70 + "!"


@pytest.fixture
def clock() -> list[float]:
    return [0.0]


@pytest.fixture
def asked(clock: list[float]) -> Iterator[Backtracker]:
    backtracker = Backtracker(python_command("qguardarr.adapters.backtrack_child"), lambda: clock[0])
    yield backtracker
    backtracker.close()


def test_it_answers_as_re_does(asked: Backtracker) -> None:
    assert asked("^(?!.*FOO)", "http://bar/")
    assert not asked("^(?!.*FOO)", "http://foo/")
    assert asked(r"(a\ud800|ü)\1", "ÜÜ")
    assert asked("(?<=a)\n", "a\n\x00")
    assert not asked("(?=a)b", "a\ud800")
    assert asked.unanswered == {}


def test_a_text_that_takes_too_long_does_not_match_and_is_counted(asked: Backtracker) -> None:
    assert not asked(SLOW, HOSTILE)
    assert not asked(SLOW, HOSTILE + "!")
    assert asked.unanswered == {SLOW: 2}
    assert asked(SLOW, "http://tracker.example.orgx")  # the same child, and the pattern goes on
    asked.forget()
    assert asked.unanswered == {}


def test_time_in_vain_is_rationed_and_comes_back(asked: Backtracker, clock: list[float]) -> None:
    given = [asked.allowance_s()]
    for _ in range(12):
        assert not asked(SLOW, HOSTILE)
        given.append(asked.allowance_s())
    assert given[0] == backtrack.CPU_S
    assert given == sorted(given, reverse=True)
    assert given[-1] < 0.02
    assert asked(SLOW, "http://tracker.example.orgx")
    clock[0] += 60.0
    assert asked.allowance_s() == backtrack.CPU_S


def test_a_child_that_was_killed_is_replaced(asked: Backtracker) -> None:
    assert asked("(?!b)a", "a")
    (child,) = children()
    os.kill(child, signal.SIGKILL)
    assert asked("(?!b)a", "a")
    assert asked.unanswered == {}


def test_a_child_that_does_not_answer_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backtrack, "WALL_S", 0.01)
    backtracker = Backtracker([sys.executable, "-c", "import sys; sys.stdin.read()"])
    assert not backtracker("a", "a")
    assert backtracker.unanswered == {"a": 1}
    assert children() == []


@pytest.mark.parametrize("command", [["/nonexistent/python"], [sys.executable, "-c", "raise SystemExit(1)"]])
def test_a_child_that_cannot_be_started_is_told(command: list[str]) -> None:
    backtracker = Backtracker(command)
    assert not backtracker("a", "a")
    assert backtracker.problem or backtracker.unanswered


def test_closing_ends_a_search_that_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """No child of ours is known to hang; this one never answers."""
    monkeypatch.setattr(backtrack, "WALL_S", 600.0)
    backtracker = Backtracker([sys.executable, "-c", "import sys; sys.stdin.read()"])
    answers: list[bool] = []
    asking = threading.Thread(target=lambda: answers.append(backtracker("a", "a")))
    asking.start()
    while not children():
        assert asking.is_alive()
    backtracker.close()
    asking.join(60.0)
    assert answers == [False]
    assert not backtracker("a", "a")
    assert backtracker.unanswered == {}


def test_no_child_is_started_before_it_is_needed(asked: Backtracker) -> None:
    assert children() == []
