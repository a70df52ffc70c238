"""All names: read once in small requests, searched by words, and dropped when nobody searches any longer."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, cast

import pytest

from qguardarr.engine import all_names
from qguardarr.engine.all_names import ASK_AGAIN_S, CHUNK, KEPT_S, LONGEST, AllNames
from qguardarr.errors import Unreachable
from tests.support.guard_loop import hash_of


class Place:
    """As many torrents as there are names."""

    def __init__(self, *names: str) -> None:
        self.there = {hash_of(number): name for number, name in enumerate(names)}
        self.now, self.away = 1000.0, False
        self.asked: list[int] = []
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.all = AllNames(lambda: cast("Any", self), lambda: list(self.there), lambda: self.now)

    def names(self, hashes: Sequence[str]) -> dict[str, str]:
        """As qBittorrent's client."""
        self.asked.append(len(hashes))
        self.may_answer.wait(10)
        if self.away:
            raise Unreachable("away")
        return {hash_: self.there[hash_] for hash_ in hashes if hash_ in self.there}

    def found(self, text: str) -> list[str]:
        return sorted(self.there[hash_] for hash_ in self.all.matching(text))


def test_each_word_is_found_whatever_its_case_and_script() -> None:
    place = Place("Night of the Dead 1968", "dead poets", "STRASSE und Straße", "电影 合集", "")
    assert place.all.read() == 0
    assert place.found("DEAD") == ["Night of the Dead 1968", "dead poets"]
    assert place.found("  1968 night ") == ["Night of the Dead 1968"]
    assert place.found("strasse") == ["STRASSE und Straße"]
    assert place.found("straße 合") == []
    assert place.found("合集") == ["电影 合集"]
    assert place.found("nothing") == []
    assert place.all.of([hash_of(1), hash_of(4), hash_of("unknown")]) == {hash_of(1): "dead poets"}


def test_names_are_read_in_small_requests_and_once() -> None:
    place = Place(*(f"torrent {number}" for number in range(2 * CHUNK + 1)))
    assert place.all.read() == 0
    assert place.asked == [CHUNK, CHUNK, 1]
    place.there[hash_of("new")] = "a new one"
    assert place.all.read() == 0
    assert place.asked == [CHUNK, CHUNK, 1, 1]
    assert place.found("new") == ["a new one"]


def test_a_renamed_torrent_is_found_after_a_while() -> None:
    place = Place("old")
    place.all.read()
    place.there[hash_of(0)] = "young"
    place.all.read()
    assert place.found("young") == []
    place.now += ASK_AGAIN_S + 1
    place.all.read()
    assert place.found("young") == ["young"]


def test_a_search_does_not_wait_long_and_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(all_names, "WAIT_S", 0.01)
    place = Place("a", "b")
    place.may_answer.clear()
    assert place.all.read() == 2
    assert place.all.read() == 2, "and asks once at a time"
    place.may_answer.set()
    monkeypatch.setattr(all_names, "WAIT_S", 10.0)
    assert place.all.read() == 0
    assert place.asked == [2]


def test_while_qbittorrent_is_away_nothing_is_found() -> None:
    place = Place("a")
    place.away = True
    assert place.all.read() == 1
    place.away = False
    assert place.all.read() == 0


def test_names_are_dropped_when_nobody_searches() -> None:
    place = Place("a")
    place.all.read()
    place.now += KEPT_S
    place.all.forget()
    assert place.found("a") == ["a"]
    place.now += 1
    place.all.forget()
    assert place.found("a") == []


def test_a_long_name_takes_bounded_room() -> None:
    place = Place("x" * 70_000 + "end")
    assert place.all.read() == 0
    assert place.all.of([hash_of(0)]) == {hash_of(0): "x" * LONGEST}


def test_a_long_name_of_long_characters_takes_no_more() -> None:
    place = Place("x" + "\U0001f600" * 70_000)
    assert place.all.read() == 0
    kept = place.all.of([hash_of(0)])[hash_of(0)]
    assert kept == "x" + "\U0001f600" * ((LONGEST - 1) // 4)
