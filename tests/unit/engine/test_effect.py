"""What another policy would do to limits: told without doing it, and then found to be true."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from qguardarr.core.model import UNLIMITED, ParentGroup
from qguardarr.core.policy import Policy
from qguardarr.engine.effect import SHOWN, Effect, effect, with_names
from tests.support.guard_loop import KB, MB, Guarded, hash_of, policy_of, state_of, torrents_of, tracker, tree_of
from tests.support.guard_several import Several

PATIENCE_S = 60.0


def told(guarded: Guarded, policy: Policy, moved: dict[str, int] | None = None, *, paused: bool = False) -> Effect:
    its = None if moved is None else {"": moved}
    return guarded.controller.inspect(lambda registry: effect(registry, policy, its, paused=paused))


def made(folder: Path, policy: Policy) -> Guarded:
    """One greedy torrent, one slow one and forty idle ones on `t1`; `t2` has two idle ones."""
    torrents = [*torrents_of("t1", [9 * MB, 100 * KB, *[0.0] * 40]), *torrents_of("t2", [0.0, 0.0])]
    guarded = Guarded(folder, policy, torrents)
    guarded.run_until(60.0)
    return guarded


def limits(guarded: Guarded) -> dict[str, int]:
    return {state.torrent.hash: state.current for state in guarded.controller.registry.states()}


def test_same_policy_changes_nothing(tmp_path: Path) -> None:
    policy = policy_of(tracker("t1", 1 * MB), tracker("t2", UNLIMITED))
    guarded = made(tmp_path, policy)

    found = told(guarded, policy)

    assert (found.changes, found.moved, found.torrents, found.observing) == (0, 0, (), False)


def test_told_limits_are_those_that_come(tmp_path: Path) -> None:
    guarded = made(tmp_path, policy_of(tracker("t1", 1 * MB), tracker("t2", UNLIMITED)))
    lower = policy_of(tracker("t1", 200 * KB), tracker("t2", 300 * KB))
    before = limits(guarded)

    found = told(guarded, lower)

    assert limits(guarded) == before, "nothing was written"
    rows = {row.id: row for row in found.trackers}
    assert (rows["t1"].cap, rows["t1"].new_cap, rows["t1"].new_share) == (1 * MB, 200 * KB, 200 * KB)
    assert (rows["t2"].cap, rows["t2"].new_cap, rows["t2"].changes) == (None, 300 * KB, 2)
    assert rows["t1"].changes >= 41
    guarded.controller.adopt_policy(lower)
    guarded.run_until(60.0 + PATIENCE_S)
    for row in found.torrents:
        if row.hash not in (hash_of("t10"), hash_of("t11")):  # these upload, and are decided again each time
            assert state_of(guarded.controller.registry, row.hash).current == row.new_limit


def test_a_new_parent_holds_back_what_is_beneath_it(tmp_path: Path) -> None:
    guarded = made(tmp_path, policy_of(tracker("t1", 1 * MB), tracker("t2", UNLIMITED)))
    groups = [tracker("t1", 1 * MB, parent="all"), tracker("t2", UNLIMITED, parent="all", rate=0)]

    found = told(guarded, tree_of(groups, [ParentGroup("all", "all", 500 * KB)]))

    rows = {row.id: row for row in found.trackers}
    assert rows["t1"].share == 1 * MB
    assert rows["t1"].new_share == pytest.approx(500 * KB)
    assert (rows["t1"].new_cap, rows["t2"].new_cap) == (500 * KB, 500 * KB)
    assert rows["t2"].changes == 2, "they had no limit"


def test_lifted_cap_gives_originals_back(tmp_path: Path) -> None:
    guarded = made(tmp_path, policy_of(tracker("t1", 1 * MB), tracker("t2", UNLIMITED)))

    found = told(guarded, policy_of(tracker("t1", UNLIMITED), tracker("t2", UNLIMITED)))

    assert found.changes == 42
    assert {row.new_limit for row in found.torrents} == {None}


def test_rules_that_come_and_go(tmp_path: Path) -> None:
    guarded = made(tmp_path, policy_of(tracker("t1", 1 * MB), tracker("t2", UNLIMITED)))
    other = policy_of(tracker("t2", UNLIMITED), tracker("new", 50 * KB))
    moved = {hash_of("t20"): 1}

    found = told(guarded, other, moved)

    rows = {row.id: row for row in found.trackers}
    assert [row.id for row in found.trackers] == ["t2", "new", "rest", "t1"]
    assert (rows["new"].new, rows["new"].torrents, rows["new"].new_torrents, rows["new"].changes) == (True, 0, 1, 1)
    assert (rows["t1"].gone, rows["t1"].torrents, rows["t1"].new_torrents) == (True, 42, 0)
    assert rows["rest"].new_torrents == 42
    assert found.moved == 43
    assert found.changes == 43
    assert sum(row.torrents for row in found.trackers) == sum(row.new_torrents for row in found.trackers) == 44


def test_dry_run_is_compared_with_the_limits_in_force(tmp_path: Path) -> None:
    dry = policy_of(tracker("t1", 1 * MB), dry_run=True)
    guarded = made(tmp_path, dry)

    live = told(guarded, msgspec.structs.replace(dry, dry_run=False))
    still = told(guarded, dry)

    assert live.changes >= 41
    assert {row.limit for row in live.torrents} == {None}
    assert (live.observing, still.observing) == (False, True)
    assert still.changes == live.changes, "what would be, once it goes live"


def test_pause_hides_nothing(tmp_path: Path) -> None:
    guarded = made(tmp_path, policy_of(tracker("t1", 1 * MB)))

    found = told(guarded, policy_of(tracker("t1", 100 * KB)), paused=True)

    assert found.changes >= 41
    assert found.observing


@pytest.mark.parametrize("unlimit_idle", [False, True])
def test_no_more_are_listed_than_shown_and_all_are_counted(tmp_path: Path, unlimit_idle: bool) -> None:
    torrents = torrents_of("t1", [0.0] * (2 * SHOWN))
    guarded = Guarded(tmp_path, policy_of(tracker("t1", 5 * MB)), torrents)
    guarded.run_until(30.0)

    found = told(guarded, policy_of(tracker("t1", UNLIMITED), unlimit_idle=unlimit_idle))

    assert (found.changes, len(found.torrents)) == (2 * SHOWN, SHOWN)


def test_names_are_filled_in(tmp_path: Path) -> None:
    guarded = made(tmp_path, policy_of(tracker("t1", 1 * MB)))
    found = told(guarded, policy_of(tracker("t1", UNLIMITED)))

    named = with_names(found, lambda hashes: {hashes[0]: "a film"})

    assert [row.name for row in named.torrents[:2]] == ["a film", None]


def test_the_torrents_of_a_rule_that_is_asked_for_are_listed(tmp_path: Path) -> None:
    guarded = made(tmp_path, policy_of(tracker("t1", 1 * MB)))
    rules = policy_of(tracker("new", 1 * MB), tracker("t1", 1 * MB))
    hash_ = next(guarded.controller.registry.hashes())

    found = guarded.controller.inspect(
        lambda registry: effect(registry, rules, {"": {hash_: 0}}, paused=False, torrents_of="new")
    )

    assert [(row.hash, row.tracker) for row in found.selected] == [(hash_, "t1")]
    assert with_names(found, lambda hashes: dict.fromkeys(hashes, "x")).selected[0].name == "x"
    assert not told(guarded, rules).selected


NAMES = ("home", "box", "nas")


@pytest.fixture
def several(tmp_path: Path) -> Iterator[Several]:
    """Each has a greedy torrent and four idle ones on `t1`, with the same hashes, and one idle on `t2`."""
    torrents = {name: [*torrents_of("t1", [9 * MB, *[0.0] * 4]), *torrents_of("t2", [0.0])] for name in NAMES}
    made = Several(tmp_path, policy_of(tracker("t1", 3 * MB), tracker("t2", UNLIMITED)), torrents)
    made.run_until(60.0)
    yield made
    made.journal.close()


def told_of(several: Several, policy: Policy, moved: dict[str, dict[str, int]] | None = None, **more: Any) -> Effect:
    return several.controller.inspect(lambda whole: effect(whole, policy, moved, paused=False, **more))


def test_the_same_policy_changes_nothing_over_several(several: Several) -> None:
    found = told_of(several, several.policy)

    assert (found.changes, found.moved, found.left_out) == (0, 0, ())
    assert [row.torrents for row in found.trackers] == [15, 3, 0]


def test_what_is_told_of_several_comes_true_at_each(several: Several) -> None:
    lower = policy_of(tracker("t1", 600 * KB), tracker("t2", 300 * KB))

    found = told_of(several, lower)

    rows = {row.id: row for row in found.trackers}
    assert (rows["t1"].share, rows["t1"].new_share) == (3 * MB, 600 * KB)
    assert (rows["t1"].new_torrents, rows["t2"].changes) == (15, 3)
    assert {row.instance for row in found.torrents} == set(NAMES)
    greedy = [row for row in found.torrents if row.hash == hash_of("t10")]
    assert [row.new_limit for row in greedy] == [pytest.approx(200 * KB, rel=0.1)] * 3, "a third of the cap"
    several.controller.adopt_policy(lower)
    several.run_until(60.0 + PATIENCE_S)
    for row in found.torrents:
        if row.hash != hash_of("t10"):  # it uploads, and is decided again each time
            assert state_of(several.instance(row.instance).registry, row.hash).current == row.new_limit


def test_torrents_of_one_of_several_move_alone(several: Several) -> None:
    policy = policy_of(tracker("new", 50 * KB), tracker("t1", 3 * MB), tracker("t2", UNLIMITED))
    moved: dict[str, dict[str, int]] = {"home": {}, "box": {hash_of("t20"): 0}, "nas": {}}

    found = told_of(several, policy, moved, torrents_of="new")

    assert found.moved == 1
    assert [(row.instance, row.hash) for row in found.selected] == [("box", hash_of("t20"))]
    assert [(row.instance, row.new_tracker) for row in found.torrents] == [("box", "new")]


def test_one_that_could_not_be_asked_is_named(several: Several) -> None:
    found = told_of(several, policy_of(tracker("t1", UNLIMITED)), {"home": {}, "nas": {}})

    assert found.left_out == ("box",)
    assert {row.instance for row in found.torrents} == {"home", "nas"}
    assert [row.torrents for row in found.trackers][:1] == [10]


def test_one_that_is_away_counts_as_it_was_seen_last(several: Several) -> None:
    several.sims["box"].restart(down_s=1e6)
    several.run_until(80.0)
    assert several.instance("box").problem is not None

    found = told_of(several, policy_of(tracker("t1", UNLIMITED), tracker("t2", UNLIMITED)))

    assert (found.changes, found.left_out) == (15, ())


def test_of_several_some_of_each_are_listed(tmp_path: Path) -> None:
    torrents = {name: torrents_of("t1", [0.0] * (2 * SHOWN)) for name in NAMES[:2]}
    made = Several(tmp_path, policy_of(tracker("t1", 5 * MB)), torrents)
    made.run_until(30.0)

    found = told_of(made, policy_of(tracker("t1", UNLIMITED)))

    assert found.changes == 4 * SHOWN
    assert [sum(row.instance == name for row in found.torrents) for name in NAMES[:2]] == [SHOWN / 2] * 2
    made.journal.close()
