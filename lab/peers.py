"""A swarm of light leechers: they pull blocks out of qBittorrent at a chosen demand, count the bytes, and discard them.

The count is the lab's ground truth: payload bytes (those of blocks, not of protocol) as they come out of the socket,
partial blocks too, sampled every `SAMPLE_S`. Peers never say that they have anything, so they stay leechers for ever,
and ask for the same blocks again and again.

Demand of a torrent, shared by its connections:

- a number: bytes/s. A token bucket paces the *requests*; what the uploader holds back is not made up for later, except
  for at most `_OWED_S` of requests that wait at the uploader already (real clients have those too).
- None: as fast as it comes, with about `_GREEDY_QUEUED_S` of the present rate requested ahead.
- 0: connected and not interested; requests that wait are cancelled.
- `OnOff`: one of these, in turns with 0.
- `Bursty`: a mean, but asked for in bursts: all of a burst at once, then nothing until there is quota for the next.

The swarm runs in a process of its own, so that neither its load nor the GIL disturbs whoever measures.
"""

from __future__ import annotations

import asyncio
import time
from array import array
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Final, Self

from lab.demand import Demand
from lab.processes import Channel, Helper, allow_many_files, answer, given_channel
from lab.pulling import SAMPLE_S, TICK_S, PeerConnection, Torrent

_KEEP_ALIVE_S: Final = 60.0
_READ_BYTES: Final = 256 * 2**10


class Swarm:
    """Peers of one qBittorrent. A context manager; `close` ends them."""

    def __init__(self, target: tuple[str, int], sources: str | None = None) -> None:
        """`target`: address and port at which qBittorrent takes peers. `sources`: first three numbers of addresses, of
        which each connection of a torrent gets another one to come from."""
        self._helper = Helper("lab.peers")
        self._helper.ask("set_target", target, sources)

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
        """Demand of torrents, from now on."""
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


class _Peers:
    """The process's side: all torrents, and the commands of `Swarm`."""

    def __init__(self) -> None:
        self._target = ("", 0)
        self._sources: str | None = None
        self._torrents: dict[str, Torrent] = {}
        self._tasks: dict[str, list[asyncio.Task[None]]] = {}
        self._gate = asyncio.Semaphore(100)
        self._buffer = bytearray(_READ_BYTES)

    def set_target(self, target: tuple[str, int], sources: str | None) -> None:
        self._target = target
        self._sources = sources

    def join(self, info_hashes: dict[str, int], peers: int) -> None:
        loop = asyncio.get_running_loop()
        for info_hash, size in info_hashes.items():
            if info_hash not in self._torrents:
                self._torrents[info_hash] = Torrent(info_hash, size)
            torrent = self._torrents[info_hash]
            new = [PeerConnection(torrent, self._buffer) for _ in range(peers)]
            tasks = self._tasks.setdefault(info_hash, [])
            for number, member in enumerate(new, len(torrent.members) + 1):
                source = f"{self._sources}.{number}", 0
                connecting = member.stay_connected(self._target, self._gate, source if self._sources else None)
                tasks.append(loop.create_task(connecting))
            torrent.members += new

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
            next_tick = max(next_tick + TICK_S, now)
            await asyncio.sleep(next_tick - now)
            now = time.monotonic()
            sampling = now - sampled_at >= SAMPLE_S - TICK_S / 2
            for torrent in self._torrents.values():
                if sampling:
                    torrent.sample(now, sampled_at)
                if sampling and torrent.demand is None:
                    for member in torrent.members:
                        member.sample()
                torrent.tick(now)
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
