"""The benches on a real qBittorrent, in small: they play, measure and print, so that they cannot rot unnoticed."""

from __future__ import annotations

import functools
from dataclasses import replace

import msgspec
import pytest

from bench import hold, scale, webhook
from bench.figures import PhaseFigures, Run, TrackerFigures, missed_bounds
from bench.guards import Hiring, qguardarr
from lab.scenario import GREEDY, KB, MB, Phase, Scenario, SetCap, TrackerSpec


def short(name: str = "short") -> Scenario:
    """20 s of one greedy torrent beside a lazy one; the cap is lowered halfway."""
    phase = Phase(20.0, {"t1": (GREEDY, 20.0 * KB)})
    events = (SetCap(10.0, "t1", MB // 2),)
    return Scenario(name, (TrackerSpec("t1", 1 * MB, 2, peers=2),), (phase,), events=events)


@pytest.mark.live
def test_a_short_scenario_is_played_measured_and_printed() -> None:
    ours = hold.play(short(), "5.1.0", functools.partial(qguardarr, interval_s=1.0))
    assert ours.daemon is not None
    assert ours.daemon.cycles >= 10
    assert ours.daemon.reads >= ours.daemon.cycles - 1
    assert ours.daemon.cpu_percent > 0
    assert 10 * 2**20 < ours.daemon.rss_bytes <= ours.daemon.peak_rss_bytes
    (tracker,) = ours.trackers
    assert [phase.cap for phase in tracker.phases] == [MB, MB // 2]
    assert 0 < sum(phase.changes for phase in tracker.phases) == pytest.approx(tracker.changes_per_min / 3, abs=3)
    assert ours.daemon.calls_per_min == pytest.approx(tracker.calls_per_min, rel=0.2)
    assert 0.3 < tracker.utilisation < 2.5

    table = "\n".join(hold.lines(ours)) + "\n".join(hold.comparison(ours, [ours]))
    assert "short, qBittorrent 5.1.0, qguardarr, 20 s" in table
    assert "(1.000)" in table
    assert msgspec.json.decode(msgspec.json.encode(ours))["daemon"]["cycles"] == ours.daemon.cycles


@pytest.mark.live
@pytest.mark.parametrize("hire", hold.yardsticks(short()))
def test_the_yardsticks_hold_a_short_scenario(hire: Hiring) -> None:
    phase = Phase(6.0, {"t1": (GREEDY, GREEDY)})
    scenario = Scenario("even", (TrackerSpec("t1", 1 * MB, 2, peers=2),), (phase,))
    theirs = hold.play(scenario, "5.1.0", hire)
    assert theirs.daemon is None
    assert theirs.trackers[0].utilisation == pytest.approx(1, abs=0.3)
    assert theirs.trackers[0].changes_per_min == 0


@pytest.mark.live
def test_hundreds_of_torrents_are_parked_and_held_in_the_memory_promised() -> None:
    parking, after = scale.measure("5.1.0", scale.Size(torrents=600, active=90, cap=MB), parking_s=90.0, steady_s=15.0)
    assert parking.changes_per_min > 0
    assert after.limited >= 510, "all that are idle"
    assert 10e6 < after.rss_bytes <= after.peak_rss_bytes < 60e6
    assert after.served == pytest.approx(1.0, abs=0.3)
    assert after.reads >= 5
    assert "of what is due is served" in "".join(scale.lines(after))


@pytest.mark.live
@pytest.mark.shared
def test_a_load_on_the_webhook_is_sent_measured_and_printed(capsys: pytest.CaptureFixture[str]) -> None:
    size = ["--torrents", "60", "--active", "6", "--cap", "100000"]
    assert webhook.main([*size, "--rate", "50", "--seconds", "3"]) == 0
    printed = capsys.readouterr().out
    assert "; 150 requests, 0 failed" in printed
    assert "a server that does nothing: p50" in printed
    assert "events in the queue afterwards: 0" in printed


def test_missed_bounds_are_named() -> None:
    phase = PhaseFigures(
        start_s=0.0, length_s=60.0, cap=1e6, wanted=1e9, utilisation=1.0, settled_utilisation=0.96, settling_s=11.0,
        worst_10s=1.2, worst_60s=1.0, settled_worst_10s=1.05, calls=9, steady_calls=7, changes=20,
    )  # fmt: skip
    tracker = TrackerFigures(
        name="t1", phases=(phase,), utilisation=1.0, mean_over_cap=1.02, worst_10s=1.4, worst_60s=1.0,
        calls_per_min=21.0, steady_calls_per_min=7.0, changes_per_min=20.0, changes_per_active_min=3.5,
    )  # fmt: skip
    steady = Run("all_greedy", "5.1.0", "qguardarr", 60.0, 20.0, (tracker,), None)
    words = " ".join(missed_bounds(steady))
    assert len(list(missed_bounds(steady))) == 4
    assert all(part in words for part in ("7.0 calls", "1.020 > 1.01", "after 11.0 s", "0.960 < 0.97"))
    assert list(missed_bounds(replace(steady, scenario="wake"))) == ["t1: worst 10 s 1.400 > 1.3"]
    words = " ".join(missed_bounds(replace(steady, scenario="random_demands_100")))
    assert "21.0 calls a minute > 20" in words
    assert "3.5 changes per active torrent" in words


def test_unknown_scenarios_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        hold.main(["no_such"])
    assert "all_greedy" in capsys.readouterr().err
