"""Rows of torrents: filtered, sorted, page by page, and values that stay as they were."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from qguardarr.core.model import Selector
from qguardarr.core.reconcile.registry import TorrentRegistry
from qguardarr.core.select.matcher import NOTHING_KNOWN
from qguardarr.engine.torrent_list import Sort, TorrentFilter, TorrentQuery
from qguardarr.errors import UnknownInstance
from tests.support import samples
from tests.support.guard_loop import KB, MB, Guarded, hash_of, policy_of, torrents_of, tracker, url_of

GREEDY, SLOW, IDLE = hash_of("t10"), hash_of("t11"), hash_of("t12")
FREE = hash_of("other0")


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """Rule `t1` with a cap, on which one torrent wants more, one is slow and one is idle; `other` without a cap."""
    torrents = [*torrents_of("t1", [9 * MB, 100 * KB, 0.0]), *torrents_of("other", [50 * KB])]
    rules = policy_of(tracker("t1", 1 * MB), tracker("other", 2**31 - 1))
    made = Guarded(tmp_path_factory.mktemp("rows"), rules, torrents)
    made.run_until(60.0)
    yield made
    made.journal.close()


@pytest.fixture
def query(guarded: Guarded) -> TorrentQuery:
    return TorrentQuery(guarded.controller.registry, samples.Names(**{GREEDY: "a film", SLOW: "a song"}).of)


def found(query: TorrentQuery, sort: Sort = "hash", *, descending: bool = False, **wanted: Any) -> list[str]:
    page = query.page(TorrentFilter(**wanted), sort=sort, descending=descending, offset=0, limit=100)
    assert page.total == len(page.torrents)
    return [row.hash for row in page.torrents]


def test_a_torrent_in_full(query: TorrentQuery) -> None:
    row = query.one(GREEDY)
    assert row is not None
    assert (row.name, row.tracker, row.activity, row.hungry, row.demand) == ("a film", "t1", "active", True, None)
    assert row.limited
    assert row.original is None
    assert row.limit is not None
    assert row.limit < 2 * MB
    assert row.reason.startswith("fair share of ")
    assert query.one("0" * 40) is None


def test_filters_let_through_what_they_say(query: TorrentQuery) -> None:
    everything = sorted([GREEDY, SLOW, IDLE, FREE])
    assert found(query) == everything
    assert found(query, tracker="other") == [FREE]
    assert found(query, tracker="nobody") == []
    assert found(query, hungry=True) == [GREEDY]
    assert found(query, hungry=False) == sorted([SLOW, IDLE, FREE]), "idle ones want no more either"
    assert found(query, uploading=False) == [IDLE]
    assert found(query, activity="idle") == [IDLE]
    assert found(query, limited=False) == [FREE]
    assert found(query, hash_prefix=SLOW[:12].upper()) == [SLOW]
    assert found(query, set_by_hand=True) == []
    assert found(query, set_by_hand=False) == everything


def test_the_largest_come_first_or_last(query: TorrentQuery) -> None:
    assert found(query, "rate", descending=True)[::3] == [GREEDY, IDLE]
    assert found(query, "rate")[::3] == [IDLE, GREEDY]
    assert found(query, "demand", descending=True)[0] == GREEDY
    assert found(query, "limit", descending=True)[0] == FREE
    assert found(query, "hash", descending=True) == sorted([GREEDY, SLOW, IDLE, FREE], reverse=True)


@pytest.mark.parametrize("descending", [True, False])
def test_pages_join_to_the_whole_list(query: TorrentQuery, descending: bool) -> None:
    """Equal keys are told apart by the hash, whichever way the list is sorted."""
    pages = [
        query.page(TorrentFilter(), sort="original", descending=descending, offset=at, limit=2) for at in (0, 2, 4)
    ]
    assert [page.total for page in pages] == [4, 4, 4]
    assert [row.hash for page in pages for row in page.torrents] == sorted([GREEDY, SLOW, IDLE, FREE])


def test_names_are_asked_for_only_if_wanted(query: TorrentQuery) -> None:
    page = query.page(TorrentFilter(), sort="hash", descending=False, offset=0, limit=9, names=False)
    assert {row.name for row in page.torrents} == {None}


def test_limited_torrents_by_rule(guarded: Guarded, query: TorrentQuery) -> None:
    limited = query.limited()
    assert {rule: sorted(torrent.hash for torrent in torrents) for rule, torrents in limited.items()} == {
        "t1": sorted([GREEDY, SLOW, IDLE])
    }
    assert {torrent.hash: torrent.limit for torrent in limited["t1"]} == {
        hash_: limit for hash_, limit in guarded.limits("t1").items() if limit
    }


def test_each_rule_says_whether_it_matches(query: TorrentQuery) -> None:
    matches = [(rule.id, found) for rule, found in query.match("https://t1.example.org/announce")]
    assert matches[0] == ("t1", True)
    assert matches[-1][1], "the last rule catches all"


def test_of_several_qbittorrents_the_one_that_is_named_is_judged_for() -> None:
    here = msgspec.structs.replace(tracker("here", 1 * MB), pattern="", where=Selector(instance=("box",)))
    policy = policy_of(here, tracker("t1", 1 * MB))
    query = TorrentQuery([TorrentRegistry(policy, instance=name) for name in ("home", "box")], samples.Names().of)

    def judged(instance: str | None) -> tuple[str, str]:
        found = query.judge((url_of("t1"),), NOTHING_KNOWN, 0.0, instance)
        return found.instance, found.tracker

    assert [judged(name) for name in (None, "home", "box")] == [("home", "t1"), ("home", "t1"), ("box", "here")]
    with pytest.raises(UnknownInstance, match="known: home, box"):
        judged("nas")
    assert [(rule.id, takes) for rule, takes in query.match(url_of("x"))] == [
        ("here", True),
        ("t1", False),
        ("rest", True),
    ]


def test_a_row_does_not_change_while_the_engine_goes_on(tmp_path: Path) -> None:
    made = Guarded(tmp_path, policy_of(tracker("t1", 1 * MB)), torrents_of("t1", [0.0, 2 * MB]))
    made.run_until(30.0)
    query = TorrentQuery(made.controller.registry, samples.Names().of)
    row, page = query.one(GREEDY), query.page(TorrentFilter(), sort="rate", descending=True, offset=0, limit=2)
    before = (repr(row), repr(page))
    made.sim.torrents[GREEDY].demand = 5 * MB
    made.run_until(60.0)
    assert (repr(row), repr(page)) == before
    assert query.one(GREEDY) != row
    made.journal.close()
