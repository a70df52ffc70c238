"""What a site computes from announces."""

from __future__ import annotations

from lab.site import Announce, intervals


def told(at: float, uploaded: int, event: str = "", peer: str = "a") -> Announce:
    return Announce(at, "f" * 40, peer, uploaded, event)


def computed(*announces: Announce) -> list[tuple[int, int, str]]:
    return [(found.seconds, found.sent, found.event) for found in intervals(announces)]


def test_bytes_since_the_last_announce_and_whole_seconds() -> None:
    assert computed(told(100.9, 5, "started"), told(160.1, 605), told(190.0, 700)) == [(60, 600, ""), (30, 95, "")]
    (first,) = intervals([told(100.9, 5, "started"), told(160.1, 605)])
    assert first.rate == 10.0


def test_events_end_intervals_and_a_stop_ends_the_session() -> None:
    found = computed(
        told(100.0, 0, "started"),
        told(102.0, 40, "completed"),
        told(120.0, 90, "stopped"),
        told(130.0, 0, "started"),
        told(150.0, 7),
    )
    assert found == [(2, 40, "completed"), (18, 50, "stopped"), (20, 7, "")]


def test_a_repeated_announce_and_one_within_a_second_do_not_count() -> None:
    assert computed(told(100.0, 0), told(104.0, 40), told(110.0, 90)) == [(10, 90, "")]
    assert computed(told(100.1, 0), told(100.9, 40, "completed"), told(110.0, 90)) == [(10, 50, "")]


def test_each_peer_has_a_session_of_its_own() -> None:
    assert computed(told(100.0, 50), told(110.0, 10, peer="b"), told(120.0, 80)) == [(20, 30, "")]
