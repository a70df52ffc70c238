"""A torrent is recorded while somebody looks at it, and no longer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from qguardarr.engine.torrent_list import TorrentQuery
from qguardarr.engine.torrent_watch import KEPT_S, MOST, UNREAD_S, TorrentWatch
from tests.support import samples
from tests.support.guard_loop import MB, Guarded, hash_of, policy_of, torrents_of, tracker

GREEDY, IDLE = hash_of("t10"), hash_of("t11")
EPOCH = 1_800_000_000.0


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    made = Guarded(tmp_path, policy_of(tracker("t1", 1 * MB)), torrents_of("t1", [4 * MB, *[0.0] * (MOST + 1)]))
    made.run_until(30.0)
    yield made
    made.journal.close()


class Place:
    def __init__(self, guarded: Guarded) -> None:
        registry = guarded.controller.registry
        self.now = 30.0
        torrents = TorrentQuery(registry, samples.Names().of)
        self.watch = TorrentWatch(torrents, now=lambda: self.now, wall=lambda: EPOCH + self.now)

    def cycles(self, number: int, step_s: float = 2.0) -> None:
        for _ in range(number):
            self.now += step_s
            self.watch.on_cycle(EPOCH + self.now)

    def count(self, hash_: str) -> int:
        found = self.watch.recent(hash_)
        assert found is not None
        return len(found.at)


@pytest.fixture
def place(guarded: Guarded) -> Place:
    return Place(guarded)


def test_it_begins_with_what_was_measured_and_goes_on_at_each_cycle(place: Place) -> None:
    found = place.watch.recent(GREEDY)
    assert found is not None
    assert found.torrent.hash == GREEDY
    assert len(found.at) == 2
    assert EPOCH + 15 < found.at[0] < found.at[1] <= EPOCH + 31
    assert all(0.5 * MB < rate < 2 * MB for rate in found.rate)
    place.cycles(3)
    more = place.watch.recent(GREEDY)
    assert more is not None
    assert more.at[:2] == found.at
    assert more.at[2:] == [EPOCH + 32, EPOCH + 34, EPOCH + 36]
    assert more.limit[-1] == more.torrent.limit
    since = place.watch.recent(GREEDY, EPOCH + 33)
    assert since is not None
    assert since.at == [EPOCH + 34, EPOCH + 36]


def test_an_idle_one_uploads_nothing(place: Place) -> None:
    place.watch.recent(IDLE)
    place.cycles(2)
    found = place.watch.recent(IDLE)
    assert found is not None
    assert found.rate == [0.0, 0.0, 0.0]


def test_unknown_ones_are_not_watched(place: Place, guarded: Guarded) -> None:
    assert place.watch.recent("0" * 40) is None
    place.watch.recent(IDLE)
    guarded.controller.registry.forget(IDLE)
    place.cycles(1)
    assert place.watch.recent(IDLE) is None


def test_it_ends_a_minute_after_the_last_reader(place: Place) -> None:
    place.watch.recent(IDLE)
    place.cycles(int(UNREAD_S / 2))
    assert place.count(IDLE) == 1 + UNREAD_S / 2
    place.cycles(int(UNREAD_S / 2) + 1)
    assert place.count(IDLE) == 1, "started again"


def test_minutes_and_torrents_are_bounded(place: Place) -> None:
    for _ in range(20):
        place.cycles(20)
        place.watch.recent(IDLE)
    assert place.count(IDLE) == KEPT_S // 2 + 1
    for number in range(MOST):
        place.now += 0.1
        place.watch.recent(hash_of(f"t1{number + 2}"))
    assert place.count(IDLE) == 1
