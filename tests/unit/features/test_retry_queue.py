"""Items that wait: their order, and when they are due."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from qguardarr.features.retry_queue import LONGEST_RETRY_S, RetryQueue


@dataclass
class Item:
    name: str
    next_try_at: float = 0.0


@pytest.fixture
def queue() -> RetryQueue[Item]:
    queue: RetryQueue[Item] = RetryQueue()
    for name in "abc":
        queue[name] = Item(name)
    return queue


def test_the_first_that_is_due_comes_first(queue: RetryQueue[Item]) -> None:
    queue["a"] = Item("a", 60.0)
    assert queue.due(59.9) == Item("b")
    assert queue.due(60.0) == Item("a", 60.0)


def test_an_item_that_is_put_again_keeps_its_place(queue: RetryQueue[Item]) -> None:
    queue["b"] = Item("b", 7.0)
    assert [item.name for item in queue.values()] == ["a", "b", "c"]
    del queue["b"]
    queue["b"] = Item("b")
    assert [item.name for item in queue.values()] == ["a", "c", "b"]


def test_it_knows_when_to_look_again(queue: RetryQueue[Item]) -> None:
    for name, at in (("a", 9.0), ("b", 5.0), ("c", 7.0)):
        queue[name] = Item(name, at)
    assert queue.due(4.0) is None
    assert queue.next_due_at() == 5.0
    assert RetryQueue[Item]().next_due_at() is None


def test_a_clock_that_was_set_back_keeps_nothing_waiting(queue: RetryQueue[Item]) -> None:
    queue["a"] = Item("a", 1e9)
    assert queue.due(1e9 - 4 * LONGEST_RETRY_S) == Item("a", 1e9)
