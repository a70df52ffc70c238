"""A swarm of light leechers: they pull blocks out of qBittorrent at a chosen demand, count the bytes, and discard them.

The count is the lab's ground truth: payload bytes (those of blocks, not of protocol) as they come out of the socket,
partial blocks too, sampled every `SAMPLE_S`. Peers never say that they have anything, so they stay leechers for ever,
and ask for the same blocks again and again.

Demand of a torrent, shared by its connections:

- a number: bytes/s. A token bucket paces the *requests*; what the uploader holds back is not made up for later, except
  for at most `_OWED_S` of requests that wait at the uploader already (real clients have those too).
- None: as fast as it comes, with about `_GREEDY_QUEUED_S` of the present rate requested ahead.
- 0: connected and not interested; requests that wait are cancelled.

The swarm runs in a process of its own, so that neither its load nor the GIL disturbs whoever measures.
"""

from __future__ import annotations

import asyncio
import random
import struct
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Final, Self

from lab.processes import Channel, Helper, allow_many_files, answer, given_channel
from lab.torrents import PIECE_BYTES

SAMPLE_S: Final = 0.1
"""Seconds between samples of the series."""

Demand = float | None
"""Bytes/s; None = as fast as it comes; 0 = nothing."""

_TICK_S: Final = 0.05
_OWED_S: Final = 0.5
_GREEDY_QUEUED_S: Final = 2.0
_BLOCK: Final = 16 * 2**10
_SMALLEST_BLOCK: Final = 2**10
_MIN_OWED_BLOCKS: Final = 2
_LEAST_GREEDY_BYTES: Final = 32 * _BLOCK
_MOST_GREEDY_BYTES: Final = 500 * _BLOCK
_HANDSHAKE_BYTES: Final = 68
_RECONNECT_S: Final = 1.0
_KEEP_ALIVE_S: Final = 60.0
_READ_BYTES: Final = 256 * 2**10

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


class Swarm:
    """Peers of one qBittorrent. A context manager; `close` ends them."""

    def __init__(self, target: tuple[str, int]) -> None:
        """`target`: address and port at which qBittorrent takes peers."""
        self._helper = Helper("lab.peers")
        self._helper.ask("set_target", target)

    @property
    def pid(self) -> int:
        """The process of the peers."""
        return self._helper.pid

    def join(self, info_hashes: Mapping[str, int], *, peers: int = 4) -> None:
        """Connect `peers` to each torrent (info hash → size in bytes), with demand 0."""
        self._helper.ask("join", dict(info_hashes), peers)

    def leave(self, info_hashes: Iterable[str]) -> None:
        """Disconnect from these torrents; their counts stay."""
        self._helper.ask("leave", list(info_hashes))

    def set_demand(self, demands: Mapping[str, Demand]) -> None:
        """Demand of torrents in bytes/s, from now on (None = as fast as it comes, 0 = nothing)."""
        self._helper.ask("set_demand", dict(demands))

    def counts(self) -> dict[str, int]:
        """Payload bytes received so far, by info hash."""
        counts: dict[str, int] = self._helper.ask("counts")
        return counts

    def series(self, info_hash: str) -> list[tuple[float, int]]:
        """(CLOCK_MONOTONIC seconds, payload bytes so far), ascending; only the samples that tell something."""
        return self.all_series([info_hash])[info_hash]

    def all_series(self, info_hashes: Iterable[str]) -> dict[str, list[tuple[float, int]]]:
        """`series` of several torrents at once."""
        packed: dict[str, tuple[array[float], array[int]]] = self._helper.ask("packed_series", list(info_hashes))
        return {info_hash: list(zip(times, totals, strict=True)) for info_hash, (times, totals) in packed.items()}

    def connected(self) -> dict[str, int]:
        """Connections that are past the handshake, by info hash."""
        connected: dict[str, int] = self._helper.ask("connected")
        return connected

    def wait_until_connected(self, timeout_s: float = 30.0) -> None:
        """Wait until every peer of every torrent is connected; TimeoutError otherwise."""
        deadline = time.monotonic() + timeout_s
        while (missing := self._helper.ask("missing")) > 0:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{missing} peers are not connected after {timeout_s:.0f} s")
            time.sleep(0.05)

    def close(self) -> None:
        self._helper.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Torrent:
    """One torrent's demand, connections and count."""

    def __init__(self, info_hash: str, size: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        """Seconds, monotonic."""
        self.info_hash = bytes.fromhex(info_hash)
        self.size = size
        self.demand: Demand = 0.0
        self.members: list[_Member] = []
        self.block = _BLOCK
        self.queued_bytes = 0
        """Requested, not yet arrived, over all members."""
        self.total = 0
        self.times = array("d", [clock()])
        self.totals = array("q", [0])
        self._tokens = 0.0
        self._refilled_at = clock()
        self._turn = 0

    def set_demand(self, demand: Demand, now: float) -> None:
        if demand is not None and demand < 0:
            raise ValueError(f"a demand is 0 bytes/s or more, not {demand}")
        self._note(now)  # so that what comes from now on is not spread over the time before
        self.demand = demand
        self._refilled_at = now
        if demand is None:
            self.block = _BLOCK
        else:
            self.block = int(min(_BLOCK, max(_SMALLEST_BLOCK, demand * _TICK_S)))
            self._tokens = 0.0
            for member in self.members:
                member.cancel_down_to(int(demand * _OWED_S / len(self.members)))
        for member in self.members:
            member.show_interest(wanted=demand != 0)
        self.pump(now)

    def pump(self, now: float) -> None:
        """Ask for what the demand allows by now."""
        if self.demand is None:
            for member in self.members:
                member.request_greedily()
        elif self.demand > 0:
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

    def _least_busy_member(self) -> _Member | None:
        """Whoever has least to wait for; in turns among equals. None if nobody may request."""
        count = len(self.members)
        self._turn += 1
        best: _Member | None = None
        for step in range(count):
            member = self.members[(self._turn + step) % count]
            if member.may_request and (best is None or member.queued_bytes < best.queued_bytes):
                best = member
                if best.queued_bytes == 0:
                    break
        return best


class _Member(asyncio.BufferedProtocol):
    """One connection of a torrent, made anew when it is lost."""

    def __init__(self, torrent: _Torrent, buffer: bytearray) -> None:
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

    async def stay_connected(self, target: tuple[str, int], gate: asyncio.Semaphore) -> None:
        """Connect, and again whenever the connection is lost, until cancelled."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                self._lost = loop.create_future()
                try:
                    async with gate:
                        await loop.create_connection(lambda: self, *target)
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
        """How many bytes decide what comes next: handshake; length; length and id; and the numbers some ids bring."""
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


class _Peers:
    """The process's side: all torrents, and the commands of `Swarm`."""

    def __init__(self) -> None:
        self._target = ("", 0)
        self._torrents: dict[str, _Torrent] = {}
        self._tasks: dict[str, list[asyncio.Task[None]]] = {}
        self._gate = asyncio.Semaphore(100)
        self._buffer = bytearray(_READ_BYTES)

    def set_target(self, target: tuple[str, int]) -> None:
        self._target = target

    def join(self, info_hashes: dict[str, int], peers: int) -> None:
        loop = asyncio.get_running_loop()
        for info_hash, size in info_hashes.items():
            if info_hash not in self._torrents:
                self._torrents[info_hash] = _Torrent(info_hash, size)
            torrent = self._torrents[info_hash]
            new = [_Member(torrent, self._buffer) for _ in range(peers)]
            torrent.members += new
            self._tasks.setdefault(info_hash, []).extend(
                loop.create_task(member.stay_connected(self._target, self._gate)) for member in new
            )

    def leave(self, info_hashes: list[str]) -> None:
        for info_hash in info_hashes:
            for task in self._tasks.pop(info_hash, []):
                task.cancel()
            self._torrents[info_hash].members = []

    def set_demand(self, demands: dict[str, Demand]) -> None:
        now = time.monotonic()
        for info_hash, demand in demands.items():
            self._torrents[info_hash].set_demand(demand, now)

    def counts(self) -> dict[str, int]:
        return {info_hash: torrent.total for info_hash, torrent in self._torrents.items()}

    def packed_series(self, info_hashes: list[str]) -> dict[str, tuple[array[float], array[int]]]:
        return {h: (self._torrents[h].times, self._torrents[h].totals) for h in info_hashes}

    def connected(self) -> dict[str, int]:
        return {h: sum(member.connected for member in t.members) for h, t in self._torrents.items()}

    def missing(self) -> int:
        return sum(not member.connected for torrent in self._torrents.values() for member in torrent.members)

    async def tick_forever(self) -> None:
        """Pace requests each tick; sample at each `SAMPLE_S`; keep connections alive."""
        now = time.monotonic()
        next_tick, sampled_at, kept_alive_at = now, now, now
        while True:
            next_tick = max(next_tick + _TICK_S, now)
            await asyncio.sleep(next_tick - now)
            now = time.monotonic()
            sampling = now - sampled_at >= SAMPLE_S - _TICK_S / 2
            for torrent in self._torrents.values():
                if sampling:
                    torrent.sample(now, sampled_at)
                if torrent.demand != 0:
                    if sampling and torrent.demand is None:
                        for member in torrent.members:
                            member.sample()
                    torrent.pump(now)
            if sampling:
                sampled_at = now
            if now - kept_alive_at >= _KEEP_ALIVE_S:
                kept_alive_at = now
                for torrent in self._torrents.values():
                    for member in torrent.members:
                        member.keep_alive()


async def _run(channel: Channel) -> None:
    peers, gone = _Peers(), asyncio.Event()

    def on_command() -> None:
        if not answer(channel, peers):
            gone.set()

    asyncio.get_running_loop().add_reader(channel.fileno(), on_command)
    ticking = asyncio.create_task(peers.tick_forever())
    ending = asyncio.create_task(gone.wait())
    await asyncio.wait((ticking, ending), return_when=asyncio.FIRST_COMPLETED)
    if ticking.done():
        ticking.result()


if __name__ == "__main__":
    allow_many_files()
    asyncio.run(_run(given_channel()))
