"""Trackers by host: counted from a list that goes by, and remembered for a moment."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import pytest

from qguardarr.core.model import UNLIMITED
from qguardarr.core.select.matcher import Matcher
from qguardarr.engine.hosts import KEPT_S, MOST_HOSTS, NO_TRACKER, Hosts, host_id, host_pattern, moved_torrents
from qguardarr.engine.ports import ListedTorrent
from tests.support.guard_loop import MB, policy_of, tracker

T = TypeVar("T")


class Lister:
    def __init__(self, *torrents: ListedTorrent) -> None:
        self.torrents = torrents
        self.reads = 0

    def listed(self, fold: Callable[[Iterator[ListedTorrent]], T], hashes: Sequence[str] | None = None) -> T:
        self.reads += 1
        return fold(torrent for torrent in self.torrents if hashes is None or torrent.hash in hashes)


A, B = "https://alpha.example/announce?passkey=secret", "udp://beta.example:6969/announce"
POLICY = policy_of(tracker("alpha", 1 * MB))


def test_hosts_are_counted_and_told_which_rules_take_them() -> None:
    lister = Lister(
        ListedTorrent("1" * 40, (A, B), 300),
        ListedTorrent("2" * 40, (A,), 0),
        ListedTorrent("3" * 40, (), 5),
        ListedTorrent("4" * 40, ("no url",), 0),
    )

    found = Hosts(lambda: lister, lambda: POLICY).list()

    assert found.torrents == 4
    assert [(row.host, row.torrents, row.uploading, row.rate, row.rules, row.named) for row in found.hosts] == [
        ("alpha.example", 2, 1, 300, ("alpha",), True),
        ("beta.example:6969", 1, 1, 300, ("rest",), False),
        (NO_TRACKER, 2, 1, 5, ("rest",), False),
    ]
    assert [row.suggested_id for row in found.hosts] == ["alpha-example", "beta-example-6969", ""]
    assert "secret" not in repr(found)


def test_list_is_shown_again_until_it_is_old_or_rules_differ() -> None:
    lister, now, policy = Lister(), [1000.0], [POLICY]
    hosts = Hosts(lambda: lister, lambda: policy[0], now=lambda: now[0])
    for seconds, reads in ((0.0, 1), (KEPT_S - 1, 1), (2.0, 2), (1.0, 2)):
        now[0] += seconds
        hosts.list()
        assert lister.reads == reads
    policy[0] = policy_of(tracker("alpha", UNLIMITED))
    hosts.list()
    assert lister.reads == 3
    now[0] += 0.001
    hosts.list(fresh=True)
    assert lister.reads == 4


def test_flood_of_hosts_is_bounded() -> None:
    torrents = [ListedTorrent(f"{n:040x}", (f"http://h{n}.example/",), 0) for n in range(MOST_HOSTS + 5)]

    found = Hosts(lambda: Lister(*torrents), lambda: POLICY).list()

    assert (len(found.hosts), found.left_out) == (MOST_HOSTS, 5)


def test_moved_torrents_are_those_whose_rule_differs() -> None:
    lister = Lister(
        ListedTorrent("1" * 40, (A,), 0), ListedTorrent("2" * 40, (B,), 0), ListedTorrent("3" * 40, (A,), 0)
    )
    now = {"1" * 40: 0, "2" * 40: 0}

    assert moved_torrents(lister, Matcher(POLICY.classes), now.get) == {"2" * 40: 1}


@pytest.mark.parametrize("host", ["tracker.example.org", "[2001:db8::1]:80", "a_b.example:81", "bücher.example"])
def test_pattern_of_a_host_matches_it(host: str) -> None:
    found = policy_of(tracker("x", 1 * MB)).classes[0]
    rule = type(found)("x", "x", host_pattern(host), 1, 1)

    matcher = Matcher((rule, POLICY.classes[-1]))

    assert matcher.match((f"http://{host}/announce",)) == 0
    assert matcher.match(("http://other.test/announce",)) == 1


def test_id_of_a_host_is_free() -> None:
    assert host_id("a.b", {"a-b", "a-b-2"}) == "a-b-3"
    assert host_id("…", set()) == "tracker"
