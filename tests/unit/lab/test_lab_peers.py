"""A peer's end of the wire, fed by hand: however the bytes are cut, the count is right."""

import asyncio
import math
import struct
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.demand import Bursty, Demand, OnOff, wanted
from lab.pulling import PeerConnection, Torrent
from lab.torrents import DEFAULT_SIZE

HANDSHAKE = b"\x13BitTorrent protocol" + bytes(8) + bytes(20) + b"-QB0000-" + bytes(12)
CHOKE, UNCHOKE, PIECE, HAVE_ALL, REJECT = 0, 1, 7, 14, 16


class Wire(asyncio.Transport):
    """A transport that keeps written bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data


def message(kind: int, body: bytes = b"") -> bytes:
    return struct.pack("!IB", len(body) + 1, kind) + body


def piece(block: tuple[int, int, int]) -> bytes:
    number, offset, length = block
    return message(PIECE, struct.pack("!II", number, offset) + bytes(length))


class Peer:
    """One connection of a torrent with a demand, greeted and unchoked, and its requests."""

    def __init__(self, demand: float | None = None) -> None:
        self.now = 50.0
        self.buffer = bytearray(b"\xff" * 2**18)
        self.torrent = Torrent("00" * 20, DEFAULT_SIZE, clock=lambda: self.now)
        self.member = PeerConnection(self.torrent, self.buffer)
        self.torrent.members.append(self.member)
        self.torrent.demand = demand
        self.wire = Wire()
        self.member.connection_made(self.wire)
        self.wire.written.clear()  # our handshake

    def feed(self, data: bytes, cuts: list[int]) -> None:
        """Hand over `data` in pieces of the given lengths, round and round."""
        at, turn = 0, 0
        while at < len(data):
            part = data[at : at + (cuts[turn % len(cuts)] if cuts else len(data))][: len(self.buffer)]
            self.buffer[: len(part)] = part
            self.buffer[len(part) : len(part) + 64] = b"\x00\x00\x00\x05\x07" * 12 + b"\x01" * 4  # of an earlier read
            self.member.buffer_updated(len(part))
            at += len(part)
            turn += 1

    def requests(self) -> list[tuple[int, int, int]]:
        """Blocks asked for since the last look."""
        written, blocks = bytes(self.wire.written), []
        self.wire.written.clear()
        while written:
            length = int.from_bytes(written[:4])
            if length == 13 and written[4] == 6:
                blocks.append(cast(tuple[int, int, int], struct.unpack("!III", written[5:17])))
            written = written[4 + length :]
        return blocks


cuts = st.lists(st.integers(1, 40_000) | st.integers(1, 20), min_size=1, max_size=20)


@settings(deadline=None, max_examples=50)
@given(cuts=cuts)
def test_payload_is_counted_however_the_stream_is_cut(cuts: list[int]) -> None:
    peer = Peer()
    peer.feed(HANDSHAKE + message(HAVE_ALL) + bytes(4) + message(UNCHOKE), cuts)
    asked = peer.requests()
    assert asked
    assert peer.torrent.queued_bytes == sum(block[2] for block in asked)
    stream = b"".join(piece(block) + bytes(4) for block in asked[:2]) + message(20, b"extension")
    peer.feed(stream, cuts)
    assert peer.torrent.total == sum(block[2] for block in asked[:2])
    assert peer.torrent.queued_bytes == peer.member.queued_bytes >= sum(block[2] for block in asked[2:])


@settings(deadline=None, max_examples=50)
@given(cuts=cuts)
def test_rejected_requests_wait_no_longer(cuts: list[int]) -> None:
    peer = Peer()
    peer.feed(HANDSHAKE + message(UNCHOKE), cuts)
    asked = peer.requests()
    peer.feed(message(CHOKE) + b"".join(message(REJECT, struct.pack("!III", *block)) for block in asked), cuts)
    assert peer.torrent.total == peer.torrent.queued_bytes == peer.member.queued_bytes == 0
    assert peer.requests() == []
    peer.feed(message(UNCHOKE), cuts)
    assert peer.requests()


def test_a_paced_peer_never_asks_for_more_than_the_demand() -> None:
    peer = Peer(demand=0.0)
    peer.feed(HANDSHAKE + message(UNCHOKE), [])
    peer.torrent.set_demand(100_000, 50.0)
    peer.requests()
    total = 0
    for _ in range(200):
        peer.now += 0.05
        peer.torrent.pump(peer.now)
        for block in peer.requests():
            total += block[2]
            peer.feed(piece(block), [])
    assert 0.99 * 1_000_000 <= total <= 1_000_000


def test_what_the_uploader_holds_back_is_not_made_up_for() -> None:
    peer = Peer(demand=0.0)
    peer.feed(HANDSHAKE + message(UNCHOKE), [])
    peer.torrent.set_demand(100_000, 50.0)
    for _ in range(400):
        peer.now += 0.05
        peer.torrent.pump(peer.now)
    assert peer.torrent.queued_bytes <= 50_000


def test_a_lowered_demand_takes_requests_back() -> None:
    peer = Peer()
    peer.feed(HANDSHAKE + message(UNCHOKE), [])
    assert peer.torrent.queued_bytes > 0
    peer.torrent.set_demand(0, 60.0)
    assert peer.torrent.queued_bytes == peer.member.queued_bytes == 0


def served(peer: Peer, seconds: float) -> list[int]:
    """Bytes that the peer took in each tick of 0.05 s from an uploader that answers at once."""
    taken = []
    for _ in range(round(seconds / 0.05)):
        peer.now += 0.05
        peer.torrent.tick(peer.now)
        asked = peer.requests()
        for block in asked:
            peer.feed(piece(block), [])
        taken.append(sum(block[2] for block in asked))
    return taken


def test_a_bursty_peer_takes_its_mean_in_whole_bursts() -> None:
    peer = Peer(demand=0.0)
    peer.feed(HANDSHAKE + message(UNCHOKE), [])
    peer.torrent.set_demand(Bursty(20_000, 160 * 1024), peer.now)
    taken = served(peer, 100.0)
    bursts = [amount for amount in taken if amount]
    assert set(bursts) == {160 * 1024}
    assert 0.9 * 2_000_000 <= sum(bursts) <= 2_000_000


def test_a_burst_that_waits_is_not_made_up_for() -> None:
    peer = Peer(demand=0.0)
    peer.feed(HANDSHAKE + message(UNCHOKE), [])
    peer.torrent.set_demand(Bursty(20_000, 64 * 1024), peer.now)
    for _ in range(2000):
        peer.now += 0.05
        peer.torrent.tick(peer.now)
    assert peer.torrent.queued_bytes == 64 * 1024


def test_a_demand_switches_on_and_off() -> None:
    peer = Peer(demand=0.0)
    peer.feed(HANDSHAKE + message(UNCHOKE), [])
    peer.torrent.set_demand(OnOff(200_000.0, 5.0, 0.2), peer.now)
    taken = served(peer, 20.0)
    by_second = [sum(taken[at : at + 20]) for at in range(0, len(taken), 20)]
    busy = [second for second, amount in enumerate(by_second) if amount > 100_000]
    assert busy == [0, 5, 10, 15]
    assert sum(by_second) <= 4 * 1.2 * 200_000
    assert peer.torrent.demand == 0


@pytest.mark.parametrize(
    ("demand", "mean"),
    [
        (None, math.inf),
        (5.0, 5.0),
        (Bursty(7.0, 10), 7.0),
        (OnOff(10.0, 2.0, 0.5), 5.0),
        (OnOff(None, 2.0, 0.5), math.inf),
    ],
)
def test_the_mean_of_a_demand(demand: Demand, mean: float) -> None:
    assert wanted(demand) == mean
