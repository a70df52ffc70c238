"""Trackers by host: counted from a list that goes by, and remembered for a moment."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager

import msgspec
import pytest

from qguardarr.core.model import UNLIMITED, Selector
from qguardarr.core.policy import Policy
from qguardarr.core.select.matcher import Matcher
from qguardarr.core.select.pattern import Backtrack
from qguardarr.engine.hosts import KEPT_S, MOST_HOSTS, NO_TRACKER, Hosts, host_id, host_pattern, moved_torrents
from qguardarr.engine.ports import ListedTorrent
from qguardarr.errors import Busy, SearchFailed
from tests.support.guard_loop import MB, policy_of, tracker


class Lister:
    def __init__(self, *torrents: ListedTorrent) -> None:
        self.torrents = torrents
        self.reads = 0

    def listed(self, hashes: Iterable[str]) -> Iterator[ListedTorrent]:
        self.reads += 1
        wanted = set(hashes)
        return (torrent for torrent in self.torrents if torrent.hash in wanted)


def search() -> AbstractContextManager[Backtrack]:
    def fails(_pattern: str, _text: str) -> bool:
        raise SearchFailed("takes too long")

    return contextlib.nullcontext(fails)


def hosts_of(
    lister: Lister, policy: Callable[[], Policy] = lambda: POLICY, now: Callable[[], float] = lambda: 1000.0
) -> Hosts:
    return Hosts(lambda: lister, policy, lambda _: [torrent.hash for torrent in lister.torrents], search, now=now)


A, B = "https://alpha.example/announce?passkey=secret", "udp://beta.example:6969/announce"
POLICY = policy_of(tracker("alpha", 1 * MB))


def test_hosts_are_counted_and_told_which_rules_take_them() -> None:
    lister = Lister(
        ListedTorrent("1" * 40, (A, B), 300),
        ListedTorrent("2" * 40, (A,), 0),
        ListedTorrent("3" * 40, (), 5),
        ListedTorrent("4" * 40, ("no url",), 0),
    )

    found = hosts_of(lister).list()

    assert found.torrents == 4
    assert [(row.host, row.torrents, row.uploading, row.rate, row.rules, row.named) for row in found.hosts] == [
        ("alpha.example", 2, 1, 300, ("alpha",), True),
        ("beta.example:6969", 1, 1, 300, ("rest",), False),
        (NO_TRACKER, 2, 1, 5, ("rest",), False),
    ]
    assert [row.suggested_id for row in found.hosts] == ["alpha-example", "beta-example-6969", ""]
    assert "secret" not in repr(found)


def test_rules_that_ask_for_a_qbittorrent_take_the_torrents_that_it_has() -> None:
    here = msgspec.structs.replace(tracker("here", 1 * MB), pattern="", where=Selector(instance=("home",)))
    lister = Lister(
        ListedTorrent("1" * 40, (A,), 0, instance="home"),
        ListedTorrent("2" * 40, (A,), 0, instance="box"),
        ListedTorrent("3" * 40, (B,), 0, instance="box"),
    )

    found = hosts_of(lister, lambda: policy_of(here)).list()

    assert {row.host: row.rules for row in found.hosts} == {
        "alpha.example": ("here", "rest"),
        "beta.example:6969": ("rest",),
    }


def test_list_is_shown_again_until_it_is_old_or_rules_differ() -> None:
    lister, now, policy = Lister(), [1000.0], [POLICY]
    hosts = hosts_of(lister, lambda: policy[0], lambda: now[0])
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

    found = hosts_of(Lister(*torrents)).list()

    assert (len(found.hosts), found.left_out) == (MOST_HOSTS, 5)


def test_rule_of_a_host_is_told_to_be_unknown_where_searching_its_pattern_takes_too_long() -> None:
    rule = POLICY.classes[0]
    policy = policy_of(type(rule)("slow", "slow", "(?=h)https://alpha", 1 * MB, 1), tracker("beta", 1 * MB))
    lister = Lister(ListedTorrent("1" * 40, (A,), 0), ListedTorrent("2" * 40, (B,), 0))

    found = hosts_of(lister, lambda: policy).list()

    assert {row.host: (row.rules, row.undecided, row.named) for row in found.hosts} == {
        "alpha.example": ((), True, True),
        "beta.example:6969": (("beta",), False, True),
    }


def test_crowd_that_asks_for_hosts_is_refused_and_one_waits() -> None:
    reads, go_on, listing = threading.Semaphore(0), threading.Event(), Lister(ListedTorrent("1" * 40, (A,), 0))

    class Slow(Lister):
        def listed(self, hashes: Iterable[str]) -> Iterator[ListedTorrent]:
            reads.release()
            assert go_on.wait(30.0)
            return listing.listed(hashes)

    hosts, outcomes = hosts_of(Slow(*listing.torrents)), list[str]()

    def ask() -> None:
        try:
            hosts.list()
            outcomes.append("listed")
        except Busy:
            outcomes.append("busy")
            refused.release()

    refused = threading.Semaphore(0)
    askers = [threading.Thread(target=ask) for _ in range(9)]
    for asker in askers:
        asker.start()
    assert reads.acquire(timeout=30.0)
    for _ in range(7):
        assert refused.acquire(timeout=30.0)
    go_on.set()
    for asker in askers:
        asker.join(30.0)
    assert sorted(outcomes) == ["busy"] * 7 + ["listed"] * 2
    assert listing.reads == 1


def test_moved_torrents_are_those_whose_rule_differs() -> None:
    torrents = [ListedTorrent(digit * 40, (url,), 0) for digit, url in (("1", A), ("2", B), ("3", A))]
    now = {"1" * 40: 0, "2" * 40: 0}

    assert moved_torrents(torrents, Matcher(POLICY.classes), now.get, 0.0) == {"2" * 40: 1}


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
