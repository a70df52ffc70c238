"""Rules of torrents while patterns with look-around cannot be searched: nothing is guessed, and nothing forgotten."""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec
import pytest

from qguardarr.core.model import UNLIMITED, Activity, Observation, Torrent, digest_of
from qguardarr.core.reconcile.ownership import Claim
from qguardarr.core.reconcile.registry import TorrentRegistry
from qguardarr.errors import SearchFailed
from tests.support.guard_loop import KB, MB, hash_of, policy_of, state_of, tracker, url_of

CAPPED = msgspec.structs.replace(tracker("capped", 1 * MB), pattern="(?<!x)capped")
OTHER = msgspec.structs.replace(tracker("other", 2 * MB), pattern="(?<!x)other")
POLICY = policy_of(CAPPED, OTHER)
A, B, C = (hash_of(name) for name in "ABC")


class Child:
    """A search that fails while `works` is False, or for the URLs in `deadly`."""

    def __init__(self) -> None:
        self.works = True
        self.deadly: set[str] = set()
        self.asked = 0

    def __call__(self, pattern: str, text: str) -> bool:
        self.asked += 1
        if not self.works or text in self.deadly:
            raise SearchFailed("no answer")
        return re.search(pattern, text, re.IGNORECASE) is not None


@pytest.fixture
def child() -> Child:
    return Child()


@pytest.fixture
def registry(child: Child) -> TorrentRegistry:
    return TorrentRegistry(POLICY, child)


def torrent(hash_: str, of: str = "capped", up_limit: int = UNLIMITED) -> Torrent:
    urls = (url_of(of),) if of else ()
    return Torrent(hash_, urls, Activity.IDLE, up_limit, 0, 1, 1, False, 0, digest_of(urls))


def unchanged(torrent: Torrent, up_limit: int = UNLIMITED) -> Torrent:
    """As a client shows a torrent whose URLs did not change."""
    return msgspec.structs.replace(torrent, urls=(), up_limit=up_limit)


def read(
    registry: TorrentRegistry,
    at: float,
    *torrents: Torrent,
    full: bool = False,
    removed: Iterable[str] = (),
    claims: Iterable[Claim] = (),
) -> None:
    seen = Observation(at, full, {t.hash: t for t in torrents}, frozenset(removed), None, 1.5)
    registry.bring_back(seen)
    registry.observe(seen, claims)


def rule_of(registry: TorrentRegistry, hash_: str) -> str:
    return registry.policy.classes[state_of(registry, hash_).rule].id


class TestTorrentsThatWereKnown:
    def test_one_whose_urls_change_keeps_its_rule_until_the_search_works_again(
        self, registry: TorrentRegistry, child: Child
    ) -> None:
        read(registry, 0.0, torrent(A), torrent(B), full=True)
        child.works = False
        read(registry, 2.0, torrent(A, "other"))
        assert (rule_of(registry, A), registry.selection.undecided()) == ("capped", 1)
        assert registry.counts == [2, 0, 0]
        child.works = True
        read(registry, 4.0)  # names no torrent
        assert (rule_of(registry, A), registry.selection.undecided()) == ("other", 0)
        assert registry.counts == [1, 1, 0]

    def test_a_read_that_names_it_without_urls_tries_the_ones_that_were_shown(
        self, registry: TorrentRegistry, child: Child
    ) -> None:
        read(registry, 0.0, torrent(A), full=True)
        child.works = False
        read(registry, 2.0, torrent(A, "other"))
        known = registry.known(A)
        assert known == unchanged(torrent(A, "other"))
        assert known is not None
        read(registry, 4.0, known)
        assert (rule_of(registry, A), registry.selection.undecided()) == ("capped", 1)
        child.works = True
        read(registry, 6.0, known)
        assert (rule_of(registry, A), registry.selection.undecided()) == ("other", 0)
        assert registry.known(A) == unchanged(torrent(A, "other"))

    def test_one_that_gets_its_earlier_urls_back_keeps_its_rule(self, registry: TorrentRegistry, child: Child) -> None:
        read(registry, 0.0, torrent(A), full=True)
        child.works = False
        read(registry, 2.0, torrent(A, "other"))
        child.works = True
        read(registry, 4.0, torrent(A))
        assert (rule_of(registry, A), registry.selection.undecided()) == ("capped", 0)

    def test_its_limit_stays_as_it_is_known(self, registry: TorrentRegistry, child: Child) -> None:
        """A read that does not name it shows no limit, so nothing may be concluded from the one shown before."""
        read(registry, 0.0, torrent(A), full=True)
        child.works = False
        read(registry, 2.0, torrent(A, "other"))
        registry.limits.wrote(A, 50 * KB, UNLIMITED, 3.0)
        child.works = True
        read(registry, 60.0)
        state = state_of(registry, A)
        assert (rule_of(registry, A), state.current, state.original) == ("other", 50 * KB, UNLIMITED)

    def test_one_that_is_removed_is_forgotten(self, registry: TorrentRegistry, child: Child) -> None:
        read(registry, 0.0, torrent(A), full=True)
        child.works = False
        read(registry, 2.0, torrent(A, "other"), torrent(B))
        read(registry, 4.0, removed=[A, B])
        assert (len(registry), registry.selection.undecided(), registry.counts) == (0, 0, [0, 0, 0])


class TestNewTorrents:
    def test_one_is_left_out_until_the_search_works_again(self, registry: TorrentRegistry, child: Child) -> None:
        read(registry, 0.0, full=True)
        child.works = False
        read(registry, 2.0, torrent(A, up_limit=70 * KB), torrent(B, "free"))
        assert (A in registry, registry.limit_shown(A)) == (False, 70 * KB)
        assert rule_of(registry, B) == "rest"
        child.works = True
        read(registry, 4.0)
        assert (rule_of(registry, A), registry.counts, registry.selection.undecided()) == ("capped", [1, 0, 1], 0)
        assert [state.torrent.hash for state in registry.queue.newcomers()] == [B, A]

    def test_the_journal_tells_of_it_when_it_comes_in(self, registry: TorrentRegistry, child: Child) -> None:
        claim = Claim(A, UNLIMITED, (50 * KB,), held=True)
        child.works = False
        read(registry, 0.0, torrent(A, up_limit=50 * KB), full=True, claims=[claim])
        child.works = True
        read(registry, 2.0, claims=[claim])
        state = state_of(registry, A)
        assert (state.original, state.current, state.ours) == (UNLIMITED, 50 * KB, True)

    def test_one_without_urls_may_need_the_search_too(self, child: Child) -> None:
        rule = msgspec.structs.replace(tracker("bare", 1 * MB), pattern="^(?!.)")
        child.works = False
        registry = TorrentRegistry(policy_of(rule), child)
        read(registry, 0.0, torrent(A, ""), full=True)
        assert (len(registry), registry.selection.undecided()) == (0, 1)
        child.works = True
        read(registry, 2.0)
        assert rule_of(registry, A) == "bare"

    def test_a_changed_answer_about_it_is_merged(self, registry: TorrentRegistry, child: Child) -> None:
        child.works = False
        read(registry, 0.0, torrent(A), full=True)
        assert registry.known(A) == unchanged(torrent(A))
        read(registry, 2.0, unchanged(torrent(A), 30 * KB))
        assert registry.limit_shown(A) == 30 * KB
        child.works = True
        read(registry, 4.0)
        assert (rule_of(registry, A), state_of(registry, A).current) == ("capped", 30 * KB)


class TestManyTorrents:
    def test_one_question_a_read_tells_that_the_search_still_fails(
        self, registry: TorrentRegistry, child: Child
    ) -> None:
        child.works = False
        read(registry, 0.0, *(torrent(hash_of(i)) for i in range(100)), full=True)
        child.asked = 0
        read(registry, 2.0)
        assert (child.asked, registry.selection.undecided()) == (1, 100)
        child.works = True
        read(registry, 4.0)
        assert registry.counts == [100, 0, 0]

    def test_one_that_fails_each_time_does_not_hold_up_the_others(
        self, registry: TorrentRegistry, child: Child
    ) -> None:
        child.works = False
        read(registry, 0.0, torrent(A), torrent(B, "other"), torrent(C, "other"), full=True)
        child.works, child.deadly = True, {url_of("capped")}
        read(registry, 2.0)
        read(registry, 4.0)
        assert (registry.selection.undecided(), registry.counts) == (1, [0, 2, 0])


class TestOtherRules:
    def test_torrents_of_a_rule_that_stays_keep_it(self, registry: TorrentRegistry, child: Child) -> None:
        read(registry, 0.0, torrent(A), torrent(B, "other"), full=True)
        child.works = False
        narrowed = msgspec.structs.replace(CAPPED, pattern="(?<!x)capped(?!y)")
        assert registry.adopt_policy(policy_of(narrowed, OTHER))
        read(registry, 2.0, torrent(A), torrent(B, "other"), full=True)
        assert (rule_of(registry, A), rule_of(registry, B)) == ("capped", "other")
        child.works = True
        read(registry, 4.0)
        assert registry.selection.undecided() == 0

    def test_torrents_whose_rule_is_gone_are_left_out_as_new_ones(
        self, registry: TorrentRegistry, child: Child
    ) -> None:
        read(registry, 0.0, torrent(A), torrent(B, "free"), full=True)
        child.works = False
        renamed = msgspec.structs.replace(CAPPED, id="renamed")
        registry.adopt_policy(policy_of(renamed, OTHER))
        read(registry, 2.0, torrent(A, up_limit=50 * KB), torrent(B, "free"), full=True)
        assert (A in registry, registry.limit_shown(A), registry.counts) == (False, 50 * KB, [0, 0, 1])
        child.works = True
        read(registry, 4.0, claims=[Claim(A, UNLIMITED, (50 * KB,), held=True)])
        assert (rule_of(registry, A), state_of(registry, A).ours) == ("renamed", True)
