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
        queue.put(name, Item(name))
    return queue


def test_the_first_that_is_due_comes_first(queue: RetryQueue[Item]) -> None:
    queue.put("a", Item("a", 60.0))
    assert queue.due(59.9) == Item("b")
    assert queue.due(60.0) == Item("a", 60.0)


def test_an_item_that_is_put_again_keeps_its_place(queue: RetryQueue[Item]) -> None:
    queue.put("b", Item("b", 7.0))
    assert [item.name for item in queue] == ["a", "b", "c"]
    queue.remove("b")
    queue.put("b", Item("b"))
    assert [item.name for item in queue] == ["a", "c", "b"]


def test_it_knows_when_to_look_again(queue: RetryQueue[Item]) -> None:
    for name, at in (("a", 9.0), ("b", 5.0), ("c", 7.0)):
        queue.put(name, Item(name, at))
    assert queue.due(4.0) is None
    assert queue.next_due_at() == 5.0
    assert RetryQueue[Item]().next_due_at() is None


def test_the_oldest_gives_way(queue: RetryQueue[Item]) -> None:
    queue.drop_oldest()
    assert "a" not in queue
    assert len(queue) == 2
    assert queue.get("a") is None
    assert queue.get("b") == Item("b")


def test_items_of_an_earlier_run_take_their_place_by_age(queue: RetryQueue[Item]) -> None:
    queue.merge([("z", Item("z", 3.0)), ("a", Item("a", 9.0))], order=lambda item: -item.next_try_at)
    assert [(item.name, item.next_try_at) for item in queue] == [("z", 3.0), ("a", 0.0), ("b", 0.0), ("c", 0.0)]


def test_a_clock_that_was_set_back_keeps_nothing_waiting(queue: RetryQueue[Item]) -> None:
    queue.put("a", Item("a", 1e9))
    assert queue.due(1e9 - 4 * LONGEST_RETRY_S) == Item("a", 1e9)
