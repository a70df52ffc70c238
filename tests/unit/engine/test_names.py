"""Torrents' names: asked once, again after a rename, and told as they were while qBittorrent is away."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, cast

import pytest

from qguardarr.engine import names
from qguardarr.engine.names import ASK_AGAIN_S, MOST_NAMES, Names
from qguardarr.errors import Unreachable


class Client:
    """Says of every torrent that it is called `<prefix> <hash>`."""

    def __init__(self) -> None:
        self.prefix, self.away = "old", False
        self.asked: list[Sequence[str]] = []
        self.may_answer = threading.Event()
        self.may_answer.set()

    def names(self, hashes: Sequence[str]) -> dict[str, str]:
        self.asked.append(hashes)
        if self.away:
            raise Unreachable("away")
        self.may_answer.wait(10)
        return {hash_: f"{self.prefix} {hash_}" for hash_ in hashes}


class Place:
    def __init__(self) -> None:
        self.client, self.now = Client(), 1000.0
        self.names = Names(lambda: cast("Any", self.client), lambda: self.now)


@pytest.fixture
def place() -> Place:
    return Place()


def test_only_unknown_torrents_are_asked_for(place: Place) -> None:
    assert place.names.of(["a", "b"]) == {"a": "old a", "b": "old b"}
    assert place.names.of(["c", "a"]) == {"a": "old a", "c": "old c"}
    assert place.client.asked == [["a", "b"], ["c"]]


def test_a_rename_shows_after_a_while(place: Place) -> None:
    place.names.of(["a", "b"])
    place.client.prefix = "new"
    assert place.names.of(["a"]) == {"a": "old a"}
    place.now += ASK_AGAIN_S + 1
    assert place.names.of(["a"]) == {"a": "new a"}
    assert place.names.of(["a"]) == {"a": "new a"}
    assert place.client.asked == [["a", "b"], ["a"]]


def test_old_names_are_better_than_none(place: Place) -> None:
    place.names.of(["a"])
    place.client.away = True
    place.now += ASK_AGAIN_S + 1
    assert place.names.of(["a", "b"]) == {"a": "old a"}
    assert len(place.client.asked) == 2


def test_a_list_does_not_wait_long_for_names(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "WAIT_S", 0.01)
    place.client.may_answer.clear()
    assert place.names.of(["a"]) == {}
    assert place.names.of(["a"]) == {}, "and does not ask twice at a time"
    assert place.client.asked == [["a"]]
    place.client.may_answer.set()
    monkeypatch.setattr(names, "WAIT_S", 10.0)
    assert place.names.of(["a"]) == {"a": "old a"}


def test_only_so_many_are_remembered(place: Place) -> None:
    pages = [[f"{page}-{number}" for number in range(500)] for page in range(2 * MOST_NAMES // 500)]
    for page in pages:
        assert place.names.of(page) == {hash_: f"old {hash_}" for hash_ in page}
    place.client.away = True
    assert sum(len(place.names.of(page)) for page in pages) <= MOST_NAMES
    place.client.away = False
    place.client.asked.clear()
    place.names.of(pages[-1])
    assert place.client.asked == []
    place.names.of(pages[0])
    assert place.client.asked == [pages[0]]
