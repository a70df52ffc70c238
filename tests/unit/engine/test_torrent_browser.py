"""Lists that stay in order while one scrolls, a search by name, and the trackers of one torrent."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from qguardarr.engine.all_names import AllNames
from qguardarr.engine.ports import ListedTorrent
from qguardarr.engine.torrent_browser import KEPT_S, MOST_VIEWS, NEW, SHARED_S, ListQuery, Order, TorrentBrowser
from qguardarr.engine.torrent_list import TorrentFilter, TorrentQuery
from tests.support import samples
from tests.support.guard_loop import MB, Guarded, hash_of, policy_of, torrents_of, tracker

NAMES = ["a film", "A Song", "another film", "zoo"]
HASHES = [hash_of(f"t1{number}") for number in range(4)]


class Client:
    """Knows names and announce URLs."""

    def __init__(self) -> None:
        self.urls: dict[str, tuple[str, ...]] = {}

    def names(self, hashes: Sequence[str]) -> dict[str, str]:
        return {hash_: name for hash_, name in zip(HASHES, NAMES, strict=True) if hash_ in hashes}

    def listed(self, hashes: Iterable[str]) -> Iterator[ListedTorrent]:
        return (ListedTorrent(hash_, self.urls[hash_], 0) for hash_ in hashes if hash_ in self.urls)


class Place:
    def __init__(self, guarded: Guarded) -> None:
        self.registry = guarded.controller.registry
        self.client, self.now = Client(), 1000.0
        names = AllNames(lambda: cast("Any", self.client), self.registry.hashes, lambda: self.now)
        torrents = TorrentQuery(self.registry, samples.Names().of)
        self.browser = TorrentBrowser(torrents, names, lambda _name: self.client, lambda: self.now)

    def found(
        self, sort: Order = "hash", *, descending: bool = False, search: str = "", view: str = NEW, **page: Any
    ) -> tuple[str, list[str]]:
        query = ListQuery(wanted=TorrentFilter(), sort=sort, descending=descending, search=search)
        got = self.browser.page(query, offset=page.get("offset", 0), limit=page.get("limit", 100), view=view)
        assert got.unnamed == 0
        return got.view, [row.hash for row in got.torrents]


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    made = Guarded(tmp_path, policy_of(tracker("t1", 1 * MB)), torrents_of("t1", [4 * MB, 2 * MB, 100_000.0, 0.0]))
    made.run_until(30.0)
    yield made
    made.journal.close()


@pytest.fixture
def place(guarded: Guarded) -> Place:
    return Place(guarded)


def test_pages_of_a_view_join_while_the_order_changes(guarded: Guarded, place: Place) -> None:
    view, first = place.found("rate", descending=True, limit=2)
    guarded.sim.torrents[first[0]].demand = 0.0
    guarded.run_until(60.0)
    same, second = place.found("rate", descending=True, limit=2, offset=2, view=view)
    assert same == view
    assert sorted(first + second) == sorted(HASHES)
    place.now += SHARED_S
    _, again = place.found("rate", descending=True)
    assert again != first + second


def test_a_view_is_shared_for_a_moment_and_dropped_when_unused(place: Place) -> None:
    view, _ = place.found("tracker")
    assert place.found("tracker")[0] == view
    place.now += SHARED_S
    assert place.found("tracker")[0] != view
    place.now += KEPT_S - SHARED_S + 1
    place.found("tracker", view=view)
    place.browser.on_cycle(0.0)
    assert place.found("tracker", view=view)[0] == view, "it was used"
    place.now += KEPT_S + 1
    place.browser.on_cycle(0.0)
    assert place.found("tracker", view=view)[0] != view


def test_views_are_bounded_and_belong_to_their_list(place: Place) -> None:
    first, _ = place.found("hash")
    assert place.found("limit", view=first)[0] != first
    for number in range(MOST_VIEWS):
        place.now += 1.0
        place.found(search=f"film {number}")
    assert place.found("hash", view=first)[0] != first


def test_a_torrent_that_is_gone_leaves_no_hole(guarded: Guarded, place: Place) -> None:
    view, before = place.found()
    guarded.controller.registry.forget(before[1])
    again, rows = place.found(view=view)
    assert again != view
    assert rows == [hash_ for hash_ in before if hash_ != before[1]]


def test_names_are_searched_and_sorted(place: Place) -> None:
    assert [NAMES[HASHES.index(hash_)] for hash_ in place.found("name")[1]] == NAMES
    assert place.found("name", descending=True)[1] == HASHES[::-1]
    assert place.found("name", search="FILM")[1] == [HASHES[0], HASHES[2]]
    assert place.found(search=HASHES[3][:8].upper())[1] == [HASHES[3]], "or the hash"
    assert place.found(search=HASHES[3][:5])[1] == []
    query = ListQuery(wanted=TorrentFilter(), search="zoo")
    assert [row.name for row in place.browser.page(query, offset=0, limit=9).torrents] == ["zoo"]


def test_reasons_are_sorted_by_kind(place: Place) -> None:
    query = ListQuery(wanted=TorrentFilter(), sort="reason", descending=False)
    kinds = [row.reason.split()[0] for row in place.browser.page(query, offset=0, limit=9).torrents]
    assert kinds == sorted(kinds, key=["fair", "uses", "idle"].index)


def test_trackers_of_a_torrent_by_host_with_their_rules(place: Place) -> None:
    place.client.urls[HASHES[0]] = (
        "https://t1.example.org/announce?passkey=secret",
        "https://t1.example.org/other",
        "udp://elsewhere.example:6969/secret",
        "no url",
    )
    found = place.browser.hosts(HASHES[0])
    assert found is not None
    assert [(host.host, host.rule) for host in found.hosts] == [
        ("t1.example.org", "t1"),
        ("elsewhere.example:6969", "rest"),
    ]
    assert "secret" not in repr(found)
    assert [(rule.tracker, rule.matches, rule.reason) for rule in found.rules] == [
        ("t1", True, "announce URL matches 't1'")
    ]
    assert place.browser.hosts(HASHES[1]) is None


def test_a_page_of_a_long_list_costs_little(tmp_path: Path) -> None:
    """By the processor time of this thread, so that a busy machine does not matter."""
    many = torrents_of("many", [0.0] * 5000)
    made = Guarded(tmp_path, policy_of(tracker("many", 1 * MB)), many)
    made.run_until(4.0)
    place = Place(made)
    view, _ = place.found("rate", limit=1)
    began = time.thread_time()
    for offset in range(0, 1000, 100):
        place.found("rate", offset=offset, view=view)
    assert (time.thread_time() - began) / 10 < 0.02
    made.journal.close()


def test_names_are_searched_at_once_and_then_at_hand(place: Place) -> None:
    assert set(place.browser.named("FILM")) == {HASHES[0], HASHES[2]}
    assert place.browser.names(HASHES[:1]) == {HASHES[0]: "a film"}
