"""A read in a thread of its own: its outcome, its failure, and one that comes too late."""

from __future__ import annotations

import threading
from collections.abc import Collection
from typing import Any, cast

import pytest

from qguardarr.engine.instance import Instance
from qguardarr.engine.reader import Reader
from qguardarr.errors import Unreachable


class Reads:
    """Stands in for an instance."""

    def __init__(self) -> None:
        self.answer: Any = "seen"
        self.go_on = threading.Event()
        self.go_on.set()

    def read(self, hints: Collection[str] = ()) -> Any:
        assert self.go_on.wait(60)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer, set(hints)


@pytest.fixture
def reads() -> Reads:
    return Reads()


def reader_of(reads: Reads, wake: threading.Event) -> Reader:
    return Reader(cast("Instance", reads), wake.set)


def test_outcome_and_failure(reads: Reads) -> None:
    woken = threading.Event()
    reader = reader_of(reads, woken)
    assert not reader.busy
    reader.start({"a"})
    assert reader.busy
    assert reader.take(60) == ("seen", {"a"})
    assert not reader.busy
    reads.answer = Unreachable("gone")
    reader.start(())
    assert reader.take(60) is reads.answer
    assert not woken.is_set()


def test_a_late_one_wakes_the_engine_and_is_still_taken(reads: Reads) -> None:
    woken = threading.Event()
    reader = reader_of(reads, woken)
    reads.go_on.clear()
    reader.start(())
    assert reader.take(0.01) is None
    assert reader.busy
    reads.go_on.set()
    assert woken.wait(60)
    assert reader.take(60) == ("seen", set())
