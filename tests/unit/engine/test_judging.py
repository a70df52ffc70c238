"""Why a torrent has its rule, in words."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from qguardarr.core.model import Labels, Observation, Range, Selector, TrackerClass, digest_of
from qguardarr.core.reconcile.registry import TorrentRegistry
from qguardarr.core.select.matcher import NOTHING_KNOWN
from qguardarr.engine.judging import judge, why_selected
from tests.support.guard_loop import MB, hash_of, policy_of, tracker, url_of

NOW, DAY = 1_800_000_000.0, 86_400
KNOWN = msgspec.structs.replace(
    NOTHING_KNOWN,
    labels=Labels("movies/uhd", ("gold", "keep"), private=True),
    ratio=1.25,
    size=3 * 2**30,
    added_on=int(NOW) - 40 * DAY,
    name="A film",
)


def registry_of(where: Selector) -> TorrentRegistry:
    rule = msgspec.structs.replace(
        tracker("chosen", MB), pattern=where.pattern, where=msgspec.structs.replace(where, pattern="")
    )
    return TorrentRegistry(policy_of(rule, tracker("t1", MB)))


@pytest.mark.parametrize(
    ("where", "condition", "words"),
    [
        (Selector(pattern="elsewhere"), "pattern", "no announce URL matches 'elsewhere'"),
        (Selector(category=("tv", "")), "category", "its category is 'movies/uhd', not 'tv' or none"),
        (Selector(tags=("slow",)), "tags", "its tags are gold, keep, not 'slow'"),
        (Selector(private=False), "private", "it is private"),
        (Selector(ratio=Range(above=2)), "ratio", "its ratio 1.25 is not 2 or more"),
        (Selector(ratio=Range(above=2, below=3)), "ratio", "its ratio 1.25 is not 2 or more and less than 3"),
        (Selector(age=Range(below=30.0 * DAY)), "age", "its age 40d is not less than 30d"),
        (Selector(size=Range(below=2**30)), "size", "its size 3 GiB is not less than 1 GiB"),
        (Selector(state="downloading"), "state", "it is complete"),
        (Selector(name=r"S\d\d"), "torrent_name", r"its name does not match 'S\\d\\d'"),
        (Selector(instance=("home",)), "instance", "it is not on 'home'"),
        (Selector(unless=(Selector(tags=("gold",)),)), "not", "it is among those that the rule leaves out"),
    ],
)
def test_the_first_condition_that_fails_is_told(where: Selector, condition: str, words: str) -> None:
    found = judge(registry_of(where), (url_of("t1"),), KNOWN, NOW)
    assert found.tracker == "t1"
    assert [(rule.tracker, rule.matches) for rule in found.rules] == [("chosen", False), ("t1", True), ("rest", True)]
    assert (found.rules[0].condition, found.rules[0].reason) == (condition, words)
    assert found.rules[1].reason == "announce URL matches 't1'"


@pytest.mark.parametrize(
    ("instance", "chosen", "words"),
    [("home", "here", "on 'home'"), ("nas", "t1", "it is on 'nas', not 'home' or 'box'")],
)
def test_the_qbittorrent_of_a_torrent_is_told(instance: str, chosen: str, words: str) -> None:
    rule = TrackerClass("here", "here", "", MB, 1, where=Selector(instance=("home", "box")))
    found = judge(TorrentRegistry(policy_of(rule, tracker("t1", MB)), instance=instance), (url_of("t1"),), KNOWN, NOW)
    assert (found.instance, found.tracker, found.rules[0].reason) == (instance, chosen, words)


def test_the_conditions_that_hold_are_told() -> None:
    where = Selector(
        pattern="t1",
        category=("movies",),
        tags=("keep", "x"),
        private=True,
        ratio=Range(above=1),
        age=Range(above=30.0 * DAY),
        size=Range(above=1),
        state="seeding",
        name="film",
        unless=(Selector(tags=("slow",)),),
    )
    found = judge(registry_of(where), (url_of("t1"),), KNOWN, NOW)
    assert found.tracker == "chosen"
    assert found.rules[0].reason == (
        "announce URL matches 't1', category 'movies/uhd', tag keep, private, seeding, ratio 1.25, age 40d, "
        "size 3 GiB, name matches 'film', not among those left out"
    )


def test_a_torrent_that_is_known_is_judged_from_memory() -> None:
    registry = registry_of(Selector(tags=("slow",)))
    hash_, urls = hash_of("A"), (url_of("t1"),)
    values: dict[str, Any] = {"hash": hash_, "urls": urls, "urls_digest": digest_of(urls)}
    shown = msgspec.structs.replace(KNOWN, **values)
    registry.observe(Observation(0.0, True, {hash_: shown}, frozenset(), None, 1.5))
    found = why_selected(registry, hash_, NOW)
    assert [(rule.tracker, rule.matches, rule.condition) for rule in found] == [
        ("chosen", False, "tags"),
        ("t1", True, ""),
    ]
    assert why_selected(registry, hash_of("B"), NOW) == ()


def test_nothing_known_belongs_to_the_last_rule() -> None:
    found = judge(registry_of(Selector(category=("x",))), (), NOTHING_KNOWN, NOW)
    assert (found.tracker, found.rules[-1].reason) == ("rest", "announce URL matches '.*'")
    assert found.rules[0].reason == "it has no category, not 'x'"
