"""One torrent of the lab's own peers: its demand, the count of what came, and its connections, on the wire."""

from __future__ import annotations

import asyncio
import random
import struct
import time
from array import array
from collections import deque
from collections.abc import Callable
from typing import Final

from lab.demand import Bursty, Demand, OnOff, Plain
from lab.torrents import PIECE_BYTES

SAMPLE_S: Final = 0.1
"""Seconds between samples of the series."""
TICK_S: Final = 0.05

_OWED_S: Final = 0.5
_GREEDY_QUEUED_S: Final = 2.0
_BLOCK: Final = 16 * 2**10
_SMALLEST_BLOCK: Final = 2**10
_MIN_OWED_BLOCKS: Final = 2
_LEAST_GREEDY_BYTES: Final = 32 * _BLOCK
_MOST_GREEDY_BYTES: Final = 500 * _BLOCK
_HANDSHAKE_BYTES: Final = 68
_RECONNECT_S: Final = 1.0

_HEADER: Final = struct.Struct("!IB")
_REQUEST: Final = struct.Struct("!IBIII")
_PAIR: Final = struct.Struct("!II")
_TRIPLE: Final = struct.Struct("!III")
_PROTOCOL: Final = b"\x13BitTorrent protocol"
_FAST_EXTENSION: Final = bytes((0, 0, 0, 0, 0, 0, 0, 4))

_CHOKE, _UNCHOKE, _INTERESTED, _NOT_INTERESTED = 0, 1, 2, 3
_REQUEST_ID, _PIECE, _CANCEL = 6, 7, 8
_HAVE_NONE, _REJECT = 15, 16

_Block = tuple[int, int, int]
"""Piece, offset, length."""


class Torrent:
    """One torrent's demand, connections and count."""

    def __init__(self, info_hash: str, size: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        """Seconds, monotonic."""
        self.info_hash = bytes.fromhex(info_hash)
        self.size = size
        self.demand: Plain | Bursty = 0.0
        """At present."""
        self.members: list[PeerConnection] = []
        self.block = _BLOCK
        self.queued_bytes = 0
        """Requested, not yet arrived, over all members."""
        self.total = 0
        self.times = array("d", [clock()])
        self.totals = array("q", [0])
        self._tokens = 0.0
        self._burst_left = 0.0
        """Bytes of a burst that are still to be requested."""
        self._refilled_at = clock()
        self._turn = 0
        self._on_off: OnOff | None = None
        self._set_on_at = clock()

    def set_demand(self, demand: Demand, now: float) -> None:
        """Set the demand from now on."""
        if isinstance(demand, float | int) and demand < 0:
            raise ValueError(f"a demand is 0 bytes/s or more, not {demand}")
        self._on_off = demand if isinstance(demand, OnOff) else None
        self._set_on_at = now
        self._take_up(demand.at(0.0) if isinstance(demand, OnOff) else demand, now)

    def tick(self, now: float) -> None:
        """Switch on or off when it is time, and request the bytes that the demand allows by now."""
        if self._on_off is not None and (demand := self._on_off.at(now - self._set_on_at)) != self.demand:
            self._take_up(demand, now)
        elif self.demand != 0:
            self.pump(now)

    def _take_up(self, demand: Plain | Bursty, now: float) -> None:
        self._note(now)  # so that later bytes are not spread over the time before
        self.demand = demand
        self._refilled_at = now
        self._tokens = 0.0
        self._burst_left = 0.0
        if isinstance(demand, float | int):
            self.block = int(min(_BLOCK, max(_SMALLEST_BLOCK, demand * TICK_S)))
            for member in self.members:
                member.cancel_down_to(int(demand * _OWED_S / len(self.members)))
        else:
            self.block = _BLOCK
        for member in self.members:
            member.show_interest(wanted=demand != 0)
        self.pump(now)

    def pump(self, now: float) -> None:
        """Request the bytes that the demand allows by now."""
        match self.demand:
            case None:
                for member in self.members:
                    member.request_greedily()
            case Bursty():
                self._request_bursts(self.demand, now)
            case _ if self.demand > 0:
                self._request_paced(self.demand, now)
        for member in self.members:
            member.flush()

    def sample(self, now: float, before: float) -> None:
        """Note the total, if it changed since the sample at `before`."""
        if self.total != self.totals[-1]:
            if self.times[-1] < before:
                self.times.append(before)
                self.totals.append(self.totals[-1])
            self._note(now)

    def _note(self, now: float) -> None:
        if self.times[-1] < now:
            self.times.append(now)
            self.totals.append(self.total)

    def _request_paced(self, demand: float, now: float) -> None:
        self._tokens += demand * (now - self._refilled_at)
        self._refilled_at = now
        most_owed = max(demand * _OWED_S, _MIN_OWED_BLOCKS * self.block)
        self._tokens = min(self._tokens, most_owed - self.queued_bytes)
        while self._tokens >= self.block:
            member = self._least_busy_member()
            if member is None:
                break
            self._tokens -= member.request()

    def _request_bursts(self, demand: Bursty, now: float) -> None:
        """Save up for a burst, then ask for all of it at once. While one waits at the uploader, at most the next one
        is saved up for."""
        self._tokens = min(self._tokens + demand.rate * (now - self._refilled_at), float(demand.burst))
        self._refilled_at = now
        if self._tokens >= demand.burst and self._burst_left <= 0 and not self.queued_bytes:
            self._tokens -= demand.burst
            self._burst_left = demand.burst
        while self._burst_left > 0 and (member := self._least_busy_member()) is not None:
            self._burst_left -= member.request()

    def _least_busy_member(self) -> PeerConnection | None:
        """Return the connection with the least requested; in turns among equals. None if none may request."""
        count = len(self.members)
        self._turn += 1
        best: PeerConnection | None = None
        for step in range(count):
            member = self.members[(self._turn + step) % count]
            if member.may_request and (best is None or member.queued_bytes < best.queued_bytes):
                best = member
                if best.queued_bytes == 0:
                    break
        return best


class PeerConnection(asyncio.BufferedProtocol):
    """One connection of a torrent, made again when it is lost."""

    def __init__(self, torrent: Torrent, buffer: bytearray) -> None:
        self.queued_bytes = 0
        """Requested on this connection, not yet arrived."""
        self._torrent = torrent
        self._buffer = buffer
        """Shared by all connections: it is read out before control returns to the loop."""
        self._view = memoryview(buffer)
        self._transport: asyncio.Transport | None = None
        self._lost: asyncio.Future[None] | None = None
        self._next_offset = random.randrange(torrent.size) // _BLOCK * _BLOCK
        self._rate = 0.0
        self._forget_connection()

    def _forget_connection(self) -> None:
        self._torrent.queued_bytes -= self.queued_bytes
        self.queued_bytes = 0
        self._queued: deque[_Block] = deque()
        self._outbox = bytearray()
        self._transport = None
        self._greeted = False
        self._choked = True
        self._interested = False
        self._pending = bytearray()
        """Bytes of a message head that is not complete yet."""
        self._payload_left = 0
        """Bytes of the current block still to come."""
        self._skip_left = 0
        """Bytes of a message of no interest still to come."""
        self._current: _Block = (0, 0, 0)
        self._sampled_bytes = 0

    @property
    def connected(self) -> bool:
        """Past the handshake."""
        return self._greeted

    @property
    def may_request(self) -> bool:
        return self._greeted and not self._choked

    async def stay_connected(
        self, target: tuple[str, int], gate: asyncio.Semaphore, source: tuple[str, int] | None = None
    ) -> None:
        """Connect (from `source`), and again whenever the connection is lost, until cancelled."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                self._lost = loop.create_future()
                try:
                    async with gate:
                        await loop.create_connection(lambda: self, *target, local_addr=source)
                    await self._lost
                except OSError:
                    pass  # qBittorrent is away for now
                await asyncio.sleep(_RECONNECT_S * random.uniform(0.5, 1.0))
        finally:
            if self._transport is not None:
                self._transport.abort()
            self._forget_connection()

    def show_interest(self, *, wanted: bool) -> None:
        if self._greeted and wanted != self._interested:
            self._interested = wanted
            self._send(_HEADER.pack(1, _INTERESTED if wanted else _NOT_INTERESTED))

    def request(self) -> int:
        """Ask for the next block, round and round through the file, never across pieces. Its length in bytes."""
        torrent = self._torrent
        offset = self._next_offset if self._next_offset < torrent.size else 0
        in_piece = offset % PIECE_BYTES
        length = min(torrent.block, PIECE_BYTES - in_piece, torrent.size - offset)
        block = (offset // PIECE_BYTES, in_piece, length)
        self._next_offset = offset + length
        self._queued.append(block)
        self.queued_bytes += length
        torrent.queued_bytes += length
        self._outbox += _REQUEST.pack(13, _REQUEST_ID, *block)
        return length

    def request_greedily(self) -> None:
        """Keep about `_GREEDY_QUEUED_S` of the present rate requested ahead."""
        depth = min(max(self._rate * _GREEDY_QUEUED_S, _LEAST_GREEDY_BYTES), _MOST_GREEDY_BYTES)
        while self.may_request and self.queued_bytes < depth:
            self.request()

    def cancel_down_to(self, most_queued: int) -> None:
        """Take back the newest requests until `most_queued` bytes wait."""
        while self._queued and self.queued_bytes > most_queued:
            block = self._queued.pop()
            self._unqueue(block)
            self._outbox += _REQUEST.pack(13, _CANCEL, *block)
        self.flush()

    def flush(self) -> None:
        if self._outbox:
            self._send(bytes(self._outbox))
            self._outbox.clear()

    def keep_alive(self) -> None:
        if self._greeted:
            self._send(bytes(4))

    def sample(self) -> None:
        """Update the rate from what came since the sample before."""
        self._rate += 0.1 * (self._sampled_bytes / SAMPLE_S - self._rate)
        self._sampled_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        peer_id = b"-LB0100-" + random.randbytes(12)
        self._send(_PROTOCOL + _FAST_EXTENSION + self._torrent.info_hash + peer_id)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (asyncio's signature)
        self._forget_connection()
        if self._lost is not None and not self._lost.done():
            self._lost.set_result(None)

    def get_buffer(self, sizehint: int) -> bytearray:  # noqa: ARG002 (asyncio's signature)
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Count payload, drop it, and act on whole message heads."""
        at, blocks_done = 0, False
        while at < nbytes:
            if self._payload_left:
                part = min(self._payload_left, nbytes - at)
                self._payload_left -= part
                self._torrent.total += part
                self._sampled_bytes += part
                at += part
                if not self._payload_left:
                    self._settle(self._current)
                    blocks_done = True
            elif self._skip_left:
                part = min(self._skip_left, nbytes - at)
                self._skip_left -= part
                at += part
            else:
                part = min(self._head_bytes() - len(self._pending), nbytes - at)
                self._pending += self._view[at : at + part]
                at += part
                if len(self._pending) == self._head_bytes():
                    self._on_head()
        if blocks_done:
            self._torrent.pump(self._torrent.clock())

    def _head_bytes(self) -> int:
        """Return the number of bytes that decide the next step: handshake; length; length and id; some ids' numbers."""
        if not self._greeted:
            return _HANDSHAKE_BYTES
        if len(self._pending) < 4 or not any(self._pending[:4]):
            return 4
        if len(self._pending) < _HEADER.size:
            return _HEADER.size
        if self._pending[4] == _PIECE:
            return _HEADER.size + 8
        if self._pending[4] == _REJECT:
            return _HEADER.size + _TRIPLE.size
        return _HEADER.size

    def _on_head(self) -> None:
        head = self._pending
        if not self._greeted:
            self._pending = bytearray()
            self._greet()
            return
        if len(head) < _HEADER.size:  # keep-alive
            self._pending = bytearray()
            return
        length, kind = _HEADER.unpack_from(head)
        self._skip_left = length + 4 - len(head)
        if kind == _PIECE:
            piece, offset = _PAIR.unpack_from(head, _HEADER.size)
            self._payload_left, self._skip_left = self._skip_left, 0
            self._current = (piece, offset, self._payload_left)
        elif kind == _REJECT:
            self._settle(_TRIPLE.unpack_from(head, _HEADER.size))
        elif kind == _CHOKE:
            self._choked = True
        elif kind == _UNCHOKE:
            self._choked = False
            self._pending = bytearray()
            self._torrent.pump(self._torrent.clock())
        self._pending = bytearray()

    def _greet(self) -> None:
        self._greeted = True
        self._send(_HEADER.pack(1, _HAVE_NONE))
        self.show_interest(wanted=self._torrent.demand != 0)

    def _settle(self, block: _Block) -> None:
        """A request was answered, or refused."""
        try:
            self._queued.remove(block)
        except ValueError:
            return  # cancelled too late
        self._unqueue(block)

    def _unqueue(self, block: _Block) -> None:
        self.queued_bytes -= block[2]
        self._torrent.queued_bytes -= block[2]

    def _send(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)
