"""Torrents that come to belong to other groups since their labels, numbers or names change."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from qguardarr.core.model import UNLIMITED, Activity, Labels, Observation, Range, Selector, Torrent, digest_of
from qguardarr.core.policy import Policy
from qguardarr.core.reconcile.registry import TorrentRegistry
from tests.support.guard_loop import MB, hash_of, policy_of, state_of, tracker, url_of

A, B = hash_of("A"), hash_of("B")
NOW, DAY = 1_800_000_000.0, 86_400.0


def shown(hash_: str = A, of: str = "t1", **values: Any) -> Torrent:
    urls = (url_of(of),)
    known = {"added_on": int(NOW), "urls_digest": digest_of(urls)} | values
    return Torrent(hash_, urls, Activity.IDLE, UNLIMITED, 0, 1, 1, False, **known)


def changed(registry: TorrentRegistry, hash_: str = A, **values: Any) -> Torrent:
    """As a partial read shows a torrent: texts that did not change are missing."""
    known = registry.known(hash_)
    assert known is not None
    return msgspec.structs.replace(known, **values)


def read(registry: TorrentRegistry, at: float, *torrents: Torrent, full: bool = False) -> None:
    seen = Observation(at, full, {t.hash: t for t in torrents}, frozenset(), None, 1.5)
    registry.selection.now = NOW + at
    registry.bring_back(seen)
    registry.observe(seen)


def rule_of(registry: TorrentRegistry, hash_: str = A) -> str:
    return registry.policy.classes[state_of(registry, hash_).rule].id


def policy(**where: Any) -> Policy:
    """A group with these conditions, then one for t1."""
    chosen = msgspec.structs.replace(tracker("chosen", MB), pattern=where.pop("pattern", ""), where=Selector(**where))
    return policy_of(chosen, tracker("t1", MB))


def loaded(policy: Policy, *torrents: Torrent) -> TorrentRegistry:
    registry = TorrentRegistry(policy, instance="")
    read(registry, 0.0, *(torrents or (shown(), shown(B, "t2"))), full=True)
    return registry


@pytest.mark.parametrize(
    ("where", "values"),
    [
        ({"tags": ("keep",)}, {"labels": Labels("", ("keep", "x"), None)}),
        ({"category": ("movies",)}, {"labels": Labels("movies/uhd", (), None)}),
        ({"private": True}, {"labels": Labels("", (), True)}),
        ({"ratio": Range(above=1.0)}, {"ratio": 1.5}),
        ({"size": Range(above=5)}, {"size": 10}),
        ({"state": "downloading"}, {"downloading": True}),
        ({"name": "film"}, {"name": "A film"}),
        ({"unless": (Selector(tags=("",)),)}, {"labels": Labels("", ("keep",), None)}),
    ],
)
def test_a_change_moves_a_torrent_at_once_and_back(where: dict[str, Any], values: dict[str, Any]) -> None:
    registry = loaded(policy(**where))
    assert (rule_of(registry), rule_of(registry, B), registry.counts) == ("t1", "rest", [0, 1, 1])
    before = changed(registry)
    read(registry, 2.0, changed(registry, **values))
    assert (rule_of(registry), registry.counts) == ("chosen", [1, 0, 1])
    assert A in {state.torrent.hash for state in registry.queue.dirty()}
    read(registry, 4.0)
    assert rule_of(registry) == "chosen"
    back = {"name": "other"} if "name" in values else {name: getattr(before, name) for name in values}
    read(registry, 6.0, changed(registry, **back))
    assert (rule_of(registry), registry.counts) == ("t1", [0, 1, 1])


def test_neither_urls_nor_names_are_kept() -> None:
    registry = loaded(policy(name="film"), shown(name="A film"))
    torrent = state_of(registry, A).torrent
    assert (torrent.urls, torrent.name, rule_of(registry)) == ((), "", "chosen")


def test_a_pattern_that_matched_before_counts_beside_a_tag_that_changes() -> None:
    registry = loaded(policy(pattern="t1", tags=("keep",)))
    for tags, rule in ((("keep",), "chosen"), ((), "t1"), (("keep",), "chosen")):
        read(registry, 2.0, changed(registry, labels=Labels("", tags, None)))
        assert rule_of(registry) == rule
    read(registry, 4.0, shown(A, "t2", labels=Labels("", ("keep",), None)))
    assert rule_of(registry) == "rest"


def test_a_torrent_grows_old_without_being_read() -> None:
    registry = loaded(policy(age=Range(above=DAY, below=2 * DAY)))
    for at, rule in ((DAY - 100, "t1"), (DAY + 100, "chosen"), (DAY + 130, "chosen"), (2 * DAY, "t1")):
        read(registry, at)
        assert rule_of(registry) == rule
    assert registry.counts == [0, 1, 1]


def test_ages_are_looked_at_once_a_minute() -> None:
    registry = loaded(policy(age=Range(above=100.0)))
    rules = []
    for at in range(0, 200, 2):
        read(registry, float(at))
        rules.append(rule_of(registry))
    assert rules.index("chosen") * 2 == 120


def test_rules_with_the_same_patterns_select_at_once() -> None:
    registry = loaded(policy(tags=("keep",)), shown(labels=Labels("", ("gold",), None)))
    assert not registry.adopt_policy(policy(tags=("gold",)))
    assert (rule_of(registry), registry.counts) == ("chosen", [1, 0, 0])


def test_rules_with_other_patterns_take_a_complete_list() -> None:
    registry = loaded(policy(tags=("keep",)), shown(labels=Labels("", ("gold",), None)))
    assert registry.adopt_policy(policy(pattern="t1", tags=("gold",)))
    known = registry.known(A)
    assert known is not None
    read(registry, 2.0, msgspec.structs.replace(known, labels=Labels("", ("gold", "x"), None)))
    assert rule_of(registry) == "t1"  # what is kept of its URLs says nothing of the new pattern
    read(registry, 4.0, shown(labels=Labels("", ("gold",), None)), full=True)
    assert rule_of(registry) == "chosen"


def test_names_of_instances_are_told_from_each_other() -> None:
    for instance, rule in (("home", "chosen"), ("away", "t1")):
        registry = TorrentRegistry(policy(instance=("home",)), instance=instance)
        read(registry, 0.0, shown(), full=True)
        assert rule_of(registry) == rule


def test_an_age_that_passed_while_nothing_was_read_counts_for_a_new_rule() -> None:
    """The rule came by a reload while qBittorrent was away."""
    registry = loaded(policy(tags=("keep",)), shown(added_on=int(NOW - DAY)), shown(B, added_on=int(NOW)))
    registry.adopt_policy(policy(age=Range(above=2 * DAY)))
    assert rule_of(registry) == "t1"
    read(registry, 1.5 * DAY)
    assert (rule_of(registry), rule_of(registry, B)) == ("chosen", "t1")


def test_a_torrent_whose_trackers_are_all_removed_belongs_to_the_catch_all() -> None:
    registry = loaded(policy(tags=("keep",)))
    read(registry, 1.5, changed(registry, urls=(), urls_digest=digest_of(())))
    assert (rule_of(registry), rule_of(registry, B)) == ("rest", "rest")
    read(registry, 3.0, changed(registry, urls=(url_of("t1"),), urls_digest=digest_of((url_of("t1"),))))
    assert rule_of(registry) == "t1"
