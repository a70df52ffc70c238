"""Measure how fast the webhook answers under load, while the daemon holds caps on a real qBittorrent.

    python bench/webhook.py --torrents 5000 --active 3000 --rate 500 --seconds 30

A process of its own sends requests at fixed times whatever the answers do (open loop), each on a new connection as
`curl` makes it. A latency counts from the time at which the request was due until its answer is complete. Hundreds of
peers, which elsewhere have machines of their own, and qBittorrent's dozen of threads are scheduled behind everything
else here (unless `--even`), since they would hold a small machine's cores. The same load is sent to a server that does
nothing, which shows the machine's own part. Printed: percentiles of both, their ratio, late answers, errors, and the
cycles that ran meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.process import MachineUsage
from bench.scale import Size, guarded
from lab.processes import free_port
from lab.versions import VERSIONS

PROMISE_MS: Final = 10.0
_EVENTS: Final = ("add", "complete", "delete")
_MOST_TORRENTS: Final = 20_000
_TIMEOUT_S: Final = 10.0
_IDLE_S: Final = 3.0


async def load(port: int, key: str, rate: float, seconds: float, *, keep_alive: bool) -> list[float]:
    """Send `rate` requests a second for `seconds`; return how long each took (-1: no 202)."""
    idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter, float]] = []

    async def one(number: int, due: float) -> float:
        body = f"event={_EVENTS[number % 3]}&hash={number * 7919 % _MOST_TORRENTS:040x}".encode()
        head = (
            f"POST /webhook?apikey={key} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {len(body)}\r\n"
            f"Content-Type: application/x-www-form-urlencoded\r\n{'' if keep_alive else 'Connection: close'}\r\n\r\n"
        ).replace("\r\n\r\n\r\n", "\r\n\r\n")
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                while idle and due - idle[-1][2] > _IDLE_S:  # the server may be about to close it
                    idle.pop()[1].close()
                reader, writer = idle.pop()[:2] if idle else await asyncio.open_connection("127.0.0.1", port)
                writer.write(head.encode() + body)
                answer = await reader.readuntil(b"\r\n\r\n")
                length = int(answer.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                await reader.readexactly(length)
                if keep_alive:
                    idle.append((reader, writer, due))
                else:
                    writer.close()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError):
            return -1.0
        return asyncio.get_running_loop().time() - due if answer.startswith(b"HTTP/1.1 202") else -1.0

    loop = asyncio.get_running_loop()
    started = loop.time() + 0.2
    tasks = []
    for number in range(int(rate * seconds)):
        due = started + number / rate
        delay = due - loop.time()
        if delay > 0:
            await asyncio.sleep(delay)
        tasks.append(asyncio.create_task(one(number, due)))
    return list(await asyncio.gather(*tasks))


class _Nothing(asyncio.Protocol):
    """Answers whatever comes, at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, _data: bytes) -> None:
        assert isinstance(self._transport, asyncio.WriteTransport)
        self._transport.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}")


async def nothing(port: int) -> None:
    """The yardstick's server, until it is ended."""
    server = await asyncio.get_running_loop().create_server(_Nothing, "127.0.0.1", port)
    await server.serve_forever()


def percentiles(took: Sequence[float]) -> dict[str, float]:
    """Return the percentiles of answered requests, milliseconds; infinite if none was answered."""
    good = sorted(1000 * s for s in took if s >= 0) or [math.inf]
    return {name: good[min(len(good) - 1, int(share * len(good)))] for name, share in _MARKS.items()}


def line(name: str, took: Sequence[float]) -> str:
    """Return the result as a line for people."""
    failed, late = sum(s < 0 for s in took), sum(1000 * s > PROMISE_MS for s in took)
    marks = ", ".join(f"{n} {ms:.2f}" for n, ms in percentiles(took).items())
    return f"{name}: {marks} ms; {len(took)} requests, {failed} failed, {late} above {PROMISE_MS:.0f} ms"


def put_behind(pid: int) -> None:
    """Schedule all threads of a process behind everything else (Linux's SCHED_IDLE)."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setscheduler(int(task.name), os.SCHED_IDLE, os.sched_param(0))


_MARKS: Final = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999, "longest": 1.0}


def sent(port: int, key: str, options: argparse.Namespace) -> list[float]:
    """Load from a process of its own; seconds each request took."""
    sender = [sys.executable, __file__, "--load", str(port), key, "--rate", str(options.rate)]
    sender += ["--seconds", str(options.seconds), *(["--keep-alive"] if options.keep_alive else [])]
    found: list[float] = json.loads(subprocess.run(sender, capture_output=True, check=True).stdout)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--torrents", type=int, default=5000)
    parser.add_argument("--active", type=int, default=1000)
    parser.add_argument("--cap", type=int, default=4_000_000, help="of each of three trackers, bytes/s")
    parser.add_argument("--version", default="5.1.0", choices=VERSIONS, help="of qBittorrent")
    parser.add_argument("--rate", type=float, default=500.0, help="requests a second")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--keep-alive", action="store_true", help="connections are used again")
    parser.add_argument("--even", action="store_true", help="qBittorrent and peers are scheduled like the rest")
    parser.add_argument("--nothing", metavar="PORT", help="only serve, as the yardstick")
    parser.add_argument("--load", nargs=2, metavar=("PORT", "KEY"), help="only send, to a daemon that runs already")
    options = parser.parse_args(arguments)
    if options.load:
        port, key = options.load
        gc.disable()  # its pauses, with thousands of requests under way, would be taken for the daemon's
        took = asyncio.run(load(int(port), key, options.rate, options.seconds, keep_alive=options.keep_alive))
        print(json.dumps(took))
        return 0
    if options.nothing:
        asyncio.run(nothing(int(options.nothing)))
    size = Size(options.torrents, options.active, options.cap)
    print(f"qBittorrent {options.version}, {size.torrents} torrents, {size.active} active, {options.rate:g} requests/s")
    with guarded(options.version, size) as (daemon, qbittorrent, swarm):
        if not options.even:
            put_behind(qbittorrent.pid)
            put_behind(swarm.pid)
        daemon.wait_until_holding(10, 120.0)
        before, usage, machine = daemon.status, daemon.usage(), MachineUsage.now()
        took = sent(daemon.port, daemon.key, options)
        after, usage_now = daemon.status, daemon.usage()
        print(line("webhook", took))
        print(
            f"meanwhile {after.cycle - before.cycle} cycles, the last of {1000 * after.cycle_s:.0f} ms; daemon "
            f"{usage_now.cpu_percent_since(usage):.0f} % of a core, RSS {usage_now.rss_bytes / 2**20:.1f} MiB; machine "
            f"{MachineUsage.now().percent_since(machine):.0f} % busy; webhook {after.webhook}"
        )
        port = free_port()
        yardstick = subprocess.Popen([sys.executable, __file__, "--nothing", str(port)])
        try:
            time.sleep(1.0)
            idle = sent(port, "-", options)
        finally:
            yardstick.kill()
            yardstick.wait()
        print(line("a server that does nothing", idle))
        p99, least = percentiles(took)["p99"], percentiles(idle)["p99"]
        print(f"p99 ÷ promise {p99 / PROMISE_MS:.2f}, ÷ p99 of the server that does nothing {p99 / least:.2f}")
        deadline = time.monotonic() + 30.0
        while daemon.status.webhook.queued and time.monotonic() < deadline:
            time.sleep(0.2)
        print(f"events in the queue afterwards: {daemon.status.webhook.queued}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
