"""A call in a thread of its own: its outcome, its failure, and one that comes too late."""

from __future__ import annotations

import threading

from qguardarr.engine.caller import Caller
from qguardarr.errors import Unreachable


class Calls:
    """Answers when it is let go."""

    def __init__(self) -> None:
        self.answer: object = "seen"
        self.go_on = threading.Event()
        self.go_on.set()

    def __call__(self) -> object:
        assert self.go_on.wait(60)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_outcome_and_failure() -> None:
    calls, woken = Calls(), threading.Event()
    caller = Caller(woken.set)
    assert not caller.busy
    caller.start(calls)
    assert caller.busy
    assert caller.take(60) == "seen"
    assert not caller.busy
    calls.answer = Unreachable("gone")
    caller.start(calls)
    assert caller.take(60) is calls.answer
    assert not woken.is_set()


def test_a_late_one_wakes_the_engine_and_is_still_taken() -> None:
    calls, woken = Calls(), threading.Event()
    caller = Caller(woken.set)
    calls.go_on.clear()
    caller.start(calls)
    assert caller.take(0.01) is None
    assert caller.busy
    calls.go_on.set()
    assert woken.wait(60)
    assert caller.take(60) == "seen"
