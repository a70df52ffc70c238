"""The real clients' count, and the tracker's answers to them."""

import urllib.request

import pytest

from lab.clients.base import Counter
from lab.errors import LabError
from lab.namespace import inside
from lab.real import REAL
from lab.rig import Rig
from lab.scenario import Scenario
from lab.tracker import Trackers


def test_a_figure_that_starts_again_counts_on() -> None:
    counter = Counter(0.0)
    for now, figure in ((1.0, 100), (2.0, 300), (3.0, 50), (4.0, 60)):
        counter.note(now, figure, resets=True)
    assert counter.samples == [(0.0, 0), (1.0, 100), (2.0, 300), (3.0, 350), (4.0, 360)]


def test_a_figure_that_is_corrected_is_waited_out() -> None:
    counter = Counter(0.0)
    for now, figure in ((1.0, 300), (2.0, 250), (3.0, 310)):
        counter.note(now, figure, resets=False)
    assert [total for _, total in counter.samples] == [0, 300, 300, 310]


@pytest.mark.parametrize("name", REAL)
def test_scenarios_with_real_clients_are_complete(name: str) -> None:
    scenario: Scenario = REAL[name]()
    assert scenario.clients
    for phase in scenario.phases:
        for client in scenario.clients:
            found = phase.demands_of(client)
            assert {tracker: len(demands) for tracker, demands in found.items()} == {
                tracker.name: tracker.torrents for tracker in scenario.trackers
            }


def test_real_clients_are_refused_outside_of_a_namespace() -> None:
    assert not inside()
    with pytest.raises(LabError, match=r"lab\.namespace"):
        Rig(REAL["real_four"](), "4.5.2").__enter__()


@pytest.mark.process
def test_the_tracker_names_the_seed_to_leechers_only() -> None:
    def answer(left: int) -> bytes:
        url = f"{trackers['t1'].announce_url}?info_hash=%00{'a' * 19}&port=1&left={left}&event=started"
        with urllib.request.urlopen(url, timeout=10) as answered:
            found: bytes = answered.read()
        return found

    with Trackers(["t1"]) as trackers:
        assert b"5:peers0:" in answer(left=5)
        trackers.set_seed("10.77.0.1", 258)
        assert b"5:peers6:\x0a\x4d\x00\x01\x01\x02e" in answer(left=5)
        assert b"5:peers0:" in answer(left=0)
