"""The lab itself, on real qBittorrent: the swarm takes what it is told to take, and counts it right."""

import itertools
import os
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from lab.peers import Swarm
from lab.qbittorrent import QBittorrent
from lab.rig import Rig
from lab.scenario import IDLE, Phase, Scenario, SetCap, TrackerSpec
from lab.torrents import LabTorrent, make_torrent
from lab.tracker import Trackers
from lab.versions import VERSIONS
from tests.support.daemon_process import until

Bench = tuple[QBittorrent, Swarm, list[LabTorrent]]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """4.5.2 with 20 torrents, their tracker and their peers."""
    folder = tmp_path_factory.mktemp("lab")
    with Trackers(["t1"]) as trackers, QBittorrent("4.5.2", folder) as qbittorrent:
        torrents = [make_torrent(f"t{n}", [trackers["t1"].announce_url]) for n in range(20)]
        trackers.set_leechers({torrent.info_hash: 4 for torrent in torrents})
        qbittorrent.add(torrents)
        qbittorrent.wait_until_seeding(len(torrents))
        with Swarm((qbittorrent.host, qbittorrent.peer_port)) as swarm:
            swarm.join({torrent.info_hash: torrent.size for torrent in torrents})
            swarm.wait_until_connected()
            yield qbittorrent, swarm, torrents


def rates(swarm: Swarm, torrents: Sequence[LabTorrent], seconds: float) -> list[float]:
    """Bytes/s of each torrent over the next seconds."""
    started, before = time.monotonic(), swarm.counts()
    time.sleep(seconds)
    after, took = swarm.counts(), time.monotonic() - started
    return [(after[torrent.info_hash] - before[torrent.info_hash]) / took for torrent in torrents]


def wait_for_silence(swarm: Swarm) -> None:
    """Wait until nothing has arrived for a second: what is under way may take a moment, more on a busy machine."""
    deadline, before = time.monotonic() + 15, swarm.counts()
    while time.monotonic() < deadline:
        time.sleep(1.0)
        sooner, before = before, swarm.counts()
        if before == sooner:
            return
    raise AssertionError("no demand, and yet bytes arrive")


def test_demands_are_met_exactly_and_at_once(bench: Bench) -> None:
    qbittorrent, swarm, torrents = bench
    qbittorrent.web.set_upload_limit(0, [torrent.info_hash for torrent in torrents])
    demands = {torrent.info_hash: 15_000 * (1 + n) for n, torrent in enumerate(torrents)}
    swarm.set_demand(demands)
    time.sleep(1.5)  # the first reads may wait for the disk
    measured = rates(swarm, torrents, 5.0)
    assert measured == pytest.approx(list(demands.values()), rel=0.02)
    swarm.set_demand(dict.fromkeys(demands, 0))
    wait_for_silence(swarm)


def test_greedy_peers_show_the_limit_that_qbittorrent_holds(bench: Bench) -> None:
    qbittorrent, swarm, torrents = bench
    qbittorrent.web.set_upload_limit(500_000, [torrent.info_hash for torrent in torrents])
    swarm.set_demand({torrent.info_hash: None for torrent in torrents})
    time.sleep(4.0)
    measured = rates(swarm, torrents, 8.0)
    swarm.set_demand({torrent.info_hash: 0 for torrent in torrents})
    assert sum(measured) == pytest.approx(500_000 * len(torrents), rel=0.02)
    assert measured == pytest.approx([500_000] * len(torrents), rel=0.25), "libtorrent sends in lumps"


def test_the_series_agrees_with_the_count(bench: Bench) -> None:
    _, swarm, torrents = bench
    info_hash = torrents[0].info_hash
    started = swarm.counts()[info_hash]
    swarm.set_demand({info_hash: 200_000})
    time.sleep(1.0)
    swarm.set_demand({info_hash: 0})
    before = swarm.counts()[info_hash]
    until(lambda: swarm.series(info_hash)[-1][1] >= before, "the samples of what had been counted")
    series = swarm.series(info_hash)
    assert started < series[-1][1] <= swarm.counts()[info_hash]  # blocks that were under way may arrive in between
    assert series == sorted(series)
    assert all(later - sooner > 0 for (sooner, _), (later, _) in itertools.pairwise(series))


def test_qbittorrent_comes_back_on_the_same_ports_and_peers_return(bench: Bench) -> None:
    qbittorrent, swarm, torrents = bench
    url, pid = qbittorrent.url, qbittorrent.pid
    time.sleep(1.5)  # for the limit that the test before has set
    qbittorrent.kill()
    qbittorrent.start()
    assert qbittorrent.url == url
    assert qbittorrent.pid != pid
    swarm.wait_until_connected()
    swarm.set_demand({torrents[0].info_hash: 100_000})
    time.sleep(2.5)  # libtorrent begins slowly where a limit is set
    assert rates(swarm, torrents[:1], 2.0) == pytest.approx([100_000], rel=0.05)
    swarm.set_demand({torrents[0].info_hash: 0})


@pytest.mark.shared
@pytest.mark.parametrize("version", VERSIONS)
def test_each_version_starts_takes_torrents_both_ways_and_stops(version: str, tmp_path: Path) -> None:
    with Trackers(["one", "two"]) as trackers:
        planted = make_torrent("planted", [trackers["one"].announce_url])
        added = make_torrent("added", [trackers["two"].announce_url, trackers["one"].announce_url])
        qbittorrent = QBittorrent(version, tmp_path, bypass_local_auth=True, preferences={"alt_up_limit": 2048})
        qbittorrent.plant([planted])
        with qbittorrent:
            pid = qbittorrent.pid
            qbittorrent.add([added], upload_limit=123_456)
            qbittorrent.wait_until_seeding(2)
            assert qbittorrent.web.app_version().rpartition(".")[0] == version.rpartition(".")[0]
            assert qbittorrent.web.upload_limits() == {planted.info_hash: 0, added.info_hash: 123_456}
            deadline = time.monotonic() + 10
            while trackers.announces() < 3 and time.monotonic() < deadline:
                time.sleep(0.1)
            assert trackers.announces() >= 3
        with pytest.raises(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def test_a_rig_plays_its_scenario_and_measures_it() -> None:
    trackers = (TrackerSpec("fast", 300_000, 3, peers=2), TrackerSpec("slow", 100_000, 2, peers=2))
    phases = (
        Phase(4.0, {"fast": (100_000.0,) * 3, "slow": (IDLE, 50_000.0)}),
        Phase(4.0, {"fast": (100_000.0, IDLE, IDLE), "slow": (IDLE, 50_000.0)}),
        Phase(2.0, {"fast": (IDLE, IDLE, 900_000.0), "slow": (IDLE, 50_000.0)}),
    )
    told: list[tuple[str, int | None]] = []
    scenario = Scenario("short", trackers, phases, events=(SetCap(4.0, "slow", 50_000),))
    with Rig(scenario, "4.5.2") as rig:
        outcome = rig.run(on_cap=lambda tracker, cap: told.append((tracker, cap)))
    assert told == [("slow", 50_000)]
    fast, slow = outcome.measures["fast"], outcome.measures["slow"]
    assert [round(one.span.end - one.span.start) for one in fast.spans] == [4, 4, 2]
    assert [round(one.span.end - one.span.start) for one in slow.spans] == [4, 6]
    assert [one.utilisation for one in fast.spans[:2]] == pytest.approx([1, 1], rel=0.05)
    assert [one.utilisation for one in slow.spans] == pytest.approx([1, 1], rel=0.05)
    assert fast.spans[2].utilisation == pytest.approx(3, rel=0.1), "nothing holds the cap here"
    assert fast.worst_10s == pytest.approx(fast.mean_over_cap, rel=0.01)
