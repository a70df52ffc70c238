"""One set of caps over several simulated qBittorrents: demand that moves, one that is away, one that hangs."""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from lab.measure import Span, worst_window
from qguardarr.core.model import UNLIMITED, Observation, ParentGroup, Selector
from qguardarr.engine.ports import Known
from qguardarr.engine.rollback import rollback
from qguardarr.engine.status import State, snapshot_problems
from qguardarr.errors import Unreachable
from tests.support.guard_loop import KB, MB, hash_of, policy_of, tracker, tree_of, url_of
from tests.support.guard_several import Several
from tests.support.simulator import SimQBittorrent, SimTorrent

GREEDY = math.inf
CAP = 3 * MB
NAMES = ("home", "box", "nas")
SEEDS = [1, 2, 3]

Make = Callable[..., Several]


def torrents_at(name: str, *demands: float, tracker: str = "t1") -> list[SimTorrent]:
    """One torrent at a qBittorrent for each demand."""
    return [SimTorrent(hash_of(f"{name}-{tracker}{i}"), url_of(tracker), each) for i, each in enumerate(demands)]


@pytest.fixture
def several(tmp_path: Path) -> Iterator[Make]:
    made: list[Several] = []
    numbers = itertools.count()

    def make(*args: Any, **kwargs: Any) -> Several:
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        made.append(Several(folder, *args, **kwargs))
        return made[-1]

    yield make
    for each in made:
        each.journal.close()


def use(guarded: Several, start: float, end: float, cap: float = CAP) -> float:
    return guarded.truth("t1").mean_rate(start, end) / cap


def worst(guarded: Several, start: float, end: float, cap: float = CAP) -> float:
    return worst_window(guarded.truth("t1"), [Span(start, end, cap, math.inf)], 10.0)


@pytest.mark.parametrize("seed", SEEDS)
def test_one_cap_is_shared_by_all_greedy_torrents_wherever_they_are(several: Make, seed: int) -> None:
    torrents = {"home": torrents_at("home", GREEDY, GREEDY, GREEDY, 0, 0), "box": torrents_at("box", GREEDY)}
    guarded = several(policy_of(tracker("t1", CAP)), {**torrents, "nas": torrents_at("nas", 0, 0)}, seed=seed)
    snapshot = guarded.run_until(90)
    assert (snapshot.state, snapshot.problem, snapshot.torrents) == (State.HOLDING, "", 8)
    assert 0.97 <= use(guarded, 20, 90) <= 1.015
    assert worst(guarded, 20, 90) <= 1.10
    part = guarded.truth("t1", ["home"]).mean_rate(30, 90) / guarded.truth("t1").mean_rate(30, 90)
    assert part == pytest.approx(0.75, abs=0.03), "each of four torrents gets the same"
    row = snapshot.trackers[0]
    assert (row.torrents, row.hungry) == (8, 4)
    assert row.rate_10s == pytest.approx(CAP, rel=0.03)
    assert row.utilisation == pytest.approx(1.0, abs=0.03)


def test_each_has_a_cap_of_its_own_beneath_one_of_all(several: Make) -> None:
    """Groups select by qBittorrent; what one leaves of their parent's cap is lent to the other, up to its own."""
    groups = [
        tracker(name, 2 * MB, parent="all", where=Selector(instance=(name,)), rate=1 * MB) for name in ("home", "box")
    ]
    groups = [msgspec.structs.replace(group, pattern="") for group in groups]
    torrents = {name: torrents_at(name, GREEDY, GREEDY) for name in ("home", "box")}
    guarded = several(tree_of(groups, [ParentGroup("all", "all", CAP)]), torrents)

    def rate(name: str, start: float, end: float) -> float:
        return guarded.truth("t1", [name]).mean_rate(start, end)

    def quiet() -> None:
        for torrent in torrents["box"]:
            torrent.demand = 0.0

    guarded.sims["box"].at(60, quiet)
    snapshot = guarded.run_until(120)
    assert snapshot.problem == ""
    assert [(row.id, row.torrents) for row in snapshot.trackers] == [("home", 2), ("box", 2), ("rest", 0)]
    assert (rate("home", 20, 60), rate("box", 20, 60)) == (pytest.approx(CAP / 2, rel=0.05),) * 2
    assert rate("home", 80, 120) == pytest.approx(2 * MB, rel=0.04), "no more than its own"


@pytest.mark.parametrize("seed", SEEDS)
def test_demand_that_moves_from_one_to_another_is_followed(several: Make, seed: int) -> None:
    guarded = several(
        policy_of(tracker("t1", CAP)),
        {name: torrents_at(name, GREEDY if name == "home" else 0, 30 * KB) for name in NAMES},
        seed=seed,
    )
    for number, name in enumerate(("box", "nas", "home")):
        for other in NAMES:
            torrent = guarded.sims[other].torrents[hash_of(f"{other}-t10")]

            def change(torrent: SimTorrent = torrent, demand: float = GREEDY if other == name else 0.0) -> None:
                torrent.demand = demand

            guarded.sims[other].at(30.0 * (number + 1), change)
    snapshot = guarded.run_until(120)
    assert snapshot.problem == ""
    for start in (10, 40, 70, 100):
        assert use(guarded, start, start + 20) >= 0.95, start
        assert worst(guarded, start, start + 20) <= 1.10, start
    assert worst(guarded, 10, 120) <= 1.3


@pytest.mark.parametrize("seed", SEEDS)
def test_one_that_is_killed_keeps_its_part_until_it_is_back(several: Make, seed: int) -> None:
    guarded = several(
        policy_of(tracker("t1", CAP)), {name: torrents_at(name, GREEDY, GREEDY) for name in NAMES}, seed=seed
    )
    guarded.run_until(40)
    guarded.sims["box"].restart(down_s=30)
    snapshot = guarded.run_until(60)
    assert snapshot.state is State.HOLDING
    assert guarded.instance("box").problem is not None
    assert use(guarded, 45, 60) == pytest.approx(2 / 3, abs=0.03), "its part is neither used nor given away"
    assert [row.counts for row in snapshot.instances] == ["now", "last", "now"]
    assert [row.held_back for row in snapshot.instances] == [0.0, pytest.approx(CAP / 3, rel=0.05), 0.0]
    snapshot = guarded.run_until(130)
    assert {row.counts for row in snapshot.instances} == {"now"}
    assert guarded.instance("box").problem is None
    assert worst(guarded, 20, 130) <= 1.10
    assert use(guarded, 85, 130) >= 0.97
    assert snapshot.trackers[0].rate_60s == pytest.approx(CAP, rel=0.15)


@pytest.mark.parametrize("seed", SEEDS)
def test_after_a_while_the_part_of_one_that_is_away_goes_to_the_others(several: Make, seed: int) -> None:
    policy = policy_of(tracker("t1", CAP), away_after_s=15.0)
    guarded = several(policy, {name: torrents_at(name, GREEDY, GREEDY) for name in NAMES}, seed=seed)
    guarded.run_until(40)
    guarded.sims["box"].restart(down_s=60)
    row = guarded.run_until(98).instances[1]
    assert (row.counts, row.held_back) == ("nothing", 0.0)
    guarded.run_until(160)
    assert use(guarded, 44, 54) <= 0.75
    assert use(guarded, 65, 98) >= 0.96
    assert use(guarded, 115, 160) >= 0.97
    assert worst(guarded, 115, 160) <= 1.10


def test_one_that_was_never_there_holds_back_an_equal_part(several: Make) -> None:
    guarded = several(policy_of(tracker("t1", CAP)), {name: torrents_at(name, GREEDY, GREEDY) for name in NAMES})
    guarded.sims["nas"].down_until = 50.0
    snapshot = guarded.run_until(40)
    assert (snapshot.state, snapshot.torrents) == (State.HOLDING, 4)
    assert use(guarded, 20, 40) == pytest.approx(2 / 3, abs=0.03)
    assert [row.counts for row in snapshot.instances] == ["now", "now", "equal"]
    guarded.run_until(100)
    assert use(guarded, 65, 100) >= 0.97


def test_if_all_are_away_the_cycle_fails_and_then_holds_again(several: Make) -> None:
    guarded = several(policy_of(tracker("t1", CAP)), {name: torrents_at(name, GREEDY) for name in ("home", "box")})
    guarded.run_until(30)
    for sim in guarded.sims.values():
        sim.restart(down_s=10)
    snapshot = guarded.run_until(38)
    assert snapshot.state is State.FAILING
    assert "connection refused" in snapshot.problem
    assert guarded.run_until(60).state is State.HOLDING
    assert use(guarded, 52, 60) >= 0.9


def test_no_limit_rises_while_a_decrease_elsewhere_fails(several: Make) -> None:
    guarded = several(
        policy_of(tracker("t1", CAP)), {"home": torrents_at("home", GREEDY), "box": torrents_at("box", 0.0)}
    )
    guarded.run_until(30)
    [greedy], [quiet] = guarded.limits("home").values(), guarded.limits("box").values()
    assert quiet < greedy < UNLIMITED
    guarded.sims["home"].write_faults += ["lost"] * 100
    guarded.sims["box"].torrents[hash_of("box-t10")].demand = GREEDY
    guarded.run_until(50)
    assert max(guarded.limits("box").values()) <= quiet
    assert worst(guarded, 20, 50) <= 1.10
    guarded.sims["home"].write_faults.clear()
    guarded.run_until(70)
    assert guarded.truth("t1", ["box"]).mean_rate(60, 70) == pytest.approx(CAP / 2, rel=0.2)


class Hanging:
    """A client whose calls hang until they are let go: reads, writes, or the look-up of v1 hashes."""

    def __init__(self, sim: SimQBittorrent) -> None:
        self._sim = sim
        self.hangs = False
        self.writes_hang = False
        self.look_ups_hang = False
        self.writing = threading.Event()
        """A write hangs."""
        self.go_on = threading.Event()

    def set_upload_limit(self, limit: int, hashes: Sequence[str]) -> None:
        if self.writes_hang:
            self.writing.set()
            assert self.go_on.wait(60)
        self._sim.set_upload_limit(limit, hashes)

    def v1_hashes(self, hashes: Sequence[str] | None) -> dict[str, str]:
        if self.look_ups_hang:
            assert self.go_on.wait(60)
        return self._sim.v1_hashes(hashes)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sim, name)

    def observe(
        self, hints: Collection[str] = (), known: Known = lambda _hash: None, *, names: bool = False
    ) -> Observation:
        seen = self._sim.observe(hints, known, names=names)
        if self.hangs:
            assert self.go_on.wait(60)
        return seen


def test_one_that_hangs_holds_up_no_other(several: Make) -> None:
    hanging: dict[str, Hanging] = {}

    def wrap(name: str, sim: SimQBittorrent) -> Any:
        hanging[name] = Hanging(sim)
        return hanging[name]

    torrents = {name: torrents_at(name, GREEDY, GREEDY) for name in NAMES}
    guarded = several(policy_of(tracker("t1", CAP)), torrents, wrap=wrap)
    guarded.run_until(30)
    guarded.controller.instances.patience_s = 0.05
    hanging["box"].hangs = True
    before = guarded.sims["home"].reads
    guarded.run_until(60)
    assert guarded.sims["home"].reads - before >= 15
    assert 0.9 <= use(guarded, 35, 60) <= 1.02, "the one that hangs goes on under its last limits"
    hanging["box"].hangs = False
    hanging["box"].go_on.set()
    guarded.controller.instances.patience_s = 60.0
    assert guarded.run_until(90).problem == ""
    assert use(guarded, 65, 90) >= 0.97


def with_one_that_hangs(several: Make, *demands: float) -> tuple[Several, Hanging]:
    """`home` has greedy torrents, and `box`, which may hang, ones with these demands; after half a minute."""
    hanging: dict[str, Hanging] = {}

    def wrap(name: str, sim: SimQBittorrent) -> Any:
        return hanging.setdefault(name, Hanging(sim))

    torrents = {"home": torrents_at("home", GREEDY, GREEDY), "box": torrents_at("box", *demands)}
    guarded = several(policy_of(tracker("t1", CAP)), torrents, wrap=wrap)
    guarded.run_until(30)
    return guarded, hanging["box"]


def test_a_write_that_hangs_holds_up_no_other(several: Make) -> None:
    guarded, box = with_one_that_hangs(several, GREEDY, GREEDY, GREEDY)
    guarded.controller.instances.patience_s = 0.05
    box.writes_hang = True
    guarded.sims["box"].torrents[hash_of("box-t10")].demand = 0.0  # the limits of the others are to rise
    while not box.writing.is_set():
        guarded.cycle()
    started, reads = guarded.clock.monotonic(), guarded.sims["home"].reads
    calls = guarded.sims["box"].calls
    guarded.run_until(started + 20)
    assert guarded.sims["home"].reads - reads >= 10
    assert worst(guarded, 20, started + 20) <= 1.10
    guarded.controller.instances.patience_s = 60.0
    box.writes_hang = False
    box.go_on.set()
    while guarded.sims["box"].calls == calls:
        guarded.cycle()
    assert guarded.run_until(started + 60).problem == ""
    assert use(guarded, started + 40, started + 60) >= 0.97
    assert not rollback(guarded.sims["box"], guarded.journal.of("box")).failed
    assert set(guarded.limits("box").values()) == {UNLIMITED}


@pytest.mark.parametrize("restored", [False, True], ids=["alone", "restored"])
def test_after_a_write_that_hung_the_plan_is_carried_on_with_unless_limits_are_restored(
    several: Make, restored: bool
) -> None:
    guarded, box = with_one_that_hangs(several, GREEDY, GREEDY)
    for number in (2, 3):
        guarded.sims["box"].add(torrents_at("box", GREEDY, tracker=f"t{number}")[0])
    caps = [tracker(f"t{number}", number * CAP) for number in (1, 2, 3)]
    guarded.controller.adopt_policy(policy_of(*caps))
    guarded.run_until(60)
    guarded.controller.instances.patience_s = 0.05
    box.writes_hang = True
    guarded.controller.adopt_policy(policy_of(*(msgspec.structs.replace(group, cap=group.cap // 3) for group in caps)))
    while not box.writing.is_set():
        guarded.cycle()
    assert not restored or not rollback(guarded.sims["box"], guarded.journal.of("box")).failed
    calls, hung = guarded.sims["box"].calls, guarded.clock.monotonic()
    box.writes_hang = False
    box.go_on.set()
    while guarded.sims["box"].calls < calls + (1 if restored else 3):
        time.sleep(0.01)  # in another thread
    guarded.controller.instances.patience_s = 60.0
    guarded.run_until(hung + 30)
    if restored:
        assert guarded.sims["box"].calls == calls + 1, "the write that hung, and none of the others"
    else:
        assert use(guarded, hung + 15, hung + 30, CAP // 3) >= 0.97
    rollback(guarded.sims["box"], guarded.journal.of("box"))
    assert set(guarded.limits("box").values()) == {UNLIMITED}


def test_a_look_up_that_hangs_holds_up_no_other(several: Make) -> None:
    guarded, box = with_one_that_hangs(several, GREEDY)
    guarded.controller.instances.patience_s = 0.05
    box.look_ups_hang = True
    guarded.sims["box"].add(SimTorrent(hash_of("new"), url_of("t1"), GREEDY, limit=900 * KB))
    reads = guarded.sims["home"].reads
    guarded.run_until(50)
    assert guarded.sims["home"].reads - reads >= 10
    box.look_ups_hang = False
    box.go_on.set()
    guarded.controller.instances.patience_s = 60.0
    assert guarded.run_until(80).torrents == 4
    assert use(guarded, 60, 80) >= 0.97


def test_answers_of_the_others_are_read_again_if_one_breaks_the_cycle(several: Make) -> None:
    guarded, box = with_one_that_hangs(several, 0.0)
    new = SimTorrent(hash_of("new"), url_of("t1"))
    guarded.sims["home"].add(new)
    broken = box.observe
    box.observe = lambda *_, **__: 1 // 0  # type: ignore[method-assign,assignment,return-value]
    snapshot = guarded.controller.cycle()
    assert "internal error" in snapshot.problem
    box.observe = broken  # type: ignore[method-assign]
    guarded.run_until(40)
    assert guarded.instance("home").registry.get(new.hash) is not None


def test_the_same_torrent_at_two_of_them_has_two_limits_and_two_originals(several: Make) -> None:
    twins = {name: [SimTorrent(hash_of("twin"), url_of("t1"), GREEDY)] for name in ("home", "box")}
    twins["box"][0].limit = 500 * KB
    guarded = several(policy_of(tracker("t1", CAP)), twins)
    guarded.run_until(60)
    assert guarded.limits("box") == {hash_of("twin"): 500 * KB}
    assert guarded.truth("t1", ["home"]).mean_rate(30, 60) == pytest.approx(CAP - 505 * KB, rel=0.03)
    report = rollback(guarded.sims["home"], guarded.journal.of("home"))
    assert report.restored == (hash_of("twin"),)
    assert guarded.limits("home") == {hash_of("twin"): UNLIMITED}


def test_a_rollback_of_one_leaves_the_limits_of_the_others(several: Make) -> None:
    torrents = {name: torrents_at(name, GREEDY, 0) for name in NAMES}
    torrents["home"][0].limit = 700 * KB
    guarded = several(policy_of(tracker("t1", CAP)), torrents)
    guarded.run_until(30)
    before = guarded.limits("box")
    assert not rollback(guarded.sims["home"], guarded.journal.of("home")).failed
    assert list(guarded.limits("home").values()) == [700 * KB, UNLIMITED]
    assert guarded.limits("box") == before
    assert UNLIMITED not in before.values()
    for name in ("box", "nas"):
        assert not rollback(guarded.sims[name], guarded.journal.of(name)).failed
        assert set(guarded.limits(name).values()) == {UNLIMITED}


def test_after_a_kill_the_next_run_knows_the_originals_of_all(several: Make) -> None:
    torrents = {name: torrents_at(name, GREEDY, 0) for name in NAMES}
    torrents["box"][1].limit = 900 * KB
    guarded = several(policy_of(tracker("t1", CAP)), torrents)
    guarded.run_until(30)
    guarded.new_controller()
    snapshot = guarded.run_until(60)
    assert (snapshot.state, snapshot.set_by_hand) == (State.HOLDING, 0)
    originals = [state.original for state in guarded.instance("box").registry.states()]
    assert sorted(originals) == [900 * KB, UNLIMITED]
    assert use(guarded, 40, 60) >= 0.97


class Cut:
    """A client whose network is cut: its qBittorrent goes on uploading."""

    def __init__(self, sim: SimQBittorrent) -> None:
        self._sim = sim
        self.is_cut = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sim, name)

    def observe(
        self, hints: Collection[str] = (), known: Known = lambda _hash: None, *, names: bool = False
    ) -> Observation:
        if self.is_cut:
            self._sim.request_full()
            raise Unreachable("no route to host")
        return self._sim.observe(hints, known, names=names)


@pytest.mark.parametrize("demands", [[100 * KB] * 8, [20 * KB] * 30, [0.0] * 30], ids=["content", "slow", "idle"])
def test_limits_count_while_nobody_sees_what_is_used_under_them(several: Make, demands: list[float]) -> None:
    cut: dict[str, Cut] = {}

    def wrap(name: str, sim: SimQBittorrent) -> Any:
        return cut.setdefault(name, Cut(sim))

    torrents = {"home": torrents_at("home", *[GREEDY] * 4), "box": torrents_at("box", *demands)}
    guarded = several(policy_of(tracker("t1", CAP)), torrents, wrap=wrap)
    guarded.run_until(60)
    assert use(guarded, 40, 60) >= 0.97
    cut["box"].is_cut = True
    guarded.run_until(75)
    for torrent in torrents["box"]:
        torrent.demand = GREEDY
    guarded.run_until(130)
    assert use(guarded, 80, 130) <= 1.16, "1.25 to 1.45 by what was seen in use"
    assert guarded.truth("t1", ["home"]).mean_rate(80, 130) >= 0.45 * CAP, "an equal part is left to the others"


@pytest.mark.parametrize("is_cut", [True, False], ids=["away", "there"])
def test_after_a_restart_the_part_of_one_that_is_away_is_what_it_used(several: Make, is_cut: bool) -> None:
    """Four of five greedy torrents are there: an equal part would be half the cap, and they use four fifths."""
    cut: dict[str, Cut] = {}

    def wrap(name: str, sim: SimQBittorrent) -> Any:
        return cut.setdefault(name, Cut(sim))

    torrents = {"home": torrents_at("home", GREEDY), "box": torrents_at("box", *[GREEDY] * 4)}
    guarded = several(policy_of(tracker("t1", CAP)), torrents, wrap=wrap)
    guarded.run_until(60)
    assert guarded.truth("t1", ["box"]).mean_rate(40, 60) == pytest.approx(0.8 * CAP, rel=0.05)
    cut["box"].is_cut = is_cut
    guarded.new_controller()
    guarded.run_until(120)
    assert use(guarded, 70, 120) <= 1.05
    assert guarded.truth("t1", ["home"]).mean_rate(80, 120) == pytest.approx(0.2 * CAP, rel=0.15)
    guarded.new_controller()
    guarded.run_until(180)
    assert use(guarded, 130, 180) <= 1.05, "it is remembered although it was not seen in between"
    cut["box"].is_cut = False
    guarded.run_until(240)
    assert 0.97 <= use(guarded, 200, 240) <= 1.02


@pytest.mark.parametrize("seed", SEEDS)
def test_at_a_restart_nobody_takes_the_part_of_those_that_are_not_measured_yet(several: Make, seed: int) -> None:
    """Regression: the first of them to be measured got the whole cap for two seconds, beside what the others used."""
    torrents = {name: torrents_at(name, GREEDY) for name in NAMES}
    guarded = several(policy_of(tracker("t1", CAP)), torrents, seed=seed)
    guarded.run_until(40)
    guarded.clock.wait(3.0)
    guarded.new_controller()
    began = guarded.clock.monotonic()
    guarded.run_until(began + 30)
    assert max(use(guarded, began + second, began + second + 3) for second in range(27)) <= 1.1
    assert use(guarded, began, began + 30) >= 0.97


def test_a_hung_answer_of_a_moment_cuts_no_limits(several: Make) -> None:
    hanging: dict[str, Hanging] = {}

    def wrap(name: str, sim: SimQBittorrent) -> Any:
        return hanging.setdefault(name, Hanging(sim))

    torrents = {"home": torrents_at("home", GREEDY), "box": torrents_at("box", *[100 * KB] * 8)}
    guarded = several(policy_of(tracker("t1", CAP)), torrents, wrap=wrap)
    guarded.run_until(60)
    [before] = guarded.limits("home").values()
    hanging["box"].hangs = True
    guarded.controller.instances.patience_s = 0.05
    guarded.run_until(66)
    assert list(guarded.limits("home").values()) == [pytest.approx(before, rel=0.1)]
    hanging["box"].go_on.set()
    guarded.controller.instances.patience_s = 60.0
    guarded.run_until(70)


class Address:
    """One of several addresses of the same qBittorrent: a session of its own."""

    def __init__(self, sim: SimQBittorrent) -> None:
        self._sim = sim

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sim, name)

    def observe(
        self, hints: Collection[str] = (), known: Known = lambda _hash: None, *, names: bool = False
    ) -> Observation:
        self._sim.request_full()
        return self._sim.observe(hints, known, names=names)


def test_the_same_qbittorrent_under_two_names_is_told(several: Make) -> None:
    sims: list[SimQBittorrent] = []

    def wrap(_name: str, sim: SimQBittorrent) -> Any:
        sims.append(sim)
        return Address(sims[0])

    torrents = {"home": torrents_at("home", GREEDY, 0.0, GREEDY), "lan": torrents_at("lan")}
    guarded = several(policy_of(tracker("t1", CAP)), torrents, wrap=wrap)
    snapshot = guarded.run_until(40)
    assert "'lan' is the same as 'home'" in snapshot.foreign
    assert snapshot.foreign in snapshot_problems(snapshot)
    for name in ("lan", "home"):
        assert not rollback(guarded.sims["home"], guarded.journal.of(name)).failed
    assert set(guarded.limits("home").values()) == {UNLIMITED}


def test_two_that_have_the_same_torrents_are_not_taken_for_one(several: Make) -> None:
    shared = [hash_of(f"shared {number}") for number in range(8)]
    torrents = {
        name: [SimTorrent(hash_, url_of("t1"), GREEDY, sent_before=MB * number) for hash_ in shared]
        for number, name in enumerate(NAMES)
    }
    assert several(policy_of(tracker("t1", CAP)), torrents).run_until(90).foreign == ""
