"""Measure the cost of many torrents: a real qBittorrent with thousands of them, many active, and the real daemon.

    python bench/scale.py --torrents 30000 --active 3000 --version 5.1.0 --minutes 2

The torrents belong to three trackers in equal parts, and so do the active ones. Each of these has one peer; half are
greedy, half want half a fair share. First the daemon parks the idle ones (`--parking-minutes` at most), then it holds
for `--minutes`. What the machine bears shows in `served` (bytes that came ÷ bytes due) and in how busy the machine was:
peers that starve are no measure of the daemon.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.process import DaemonProcess, MachineUsage, Rule, Usage
from lab.demand import Demand
from lab.peers import Swarm
from lab.qbittorrent import QBittorrent
from lab.scenario import GREEDY
from lab.torrents import LabTorrent, make_torrent
from lab.tracker import Trackers
from lab.versions import VERSIONS

_TRACKERS: Final = ("t1", "t2", "t3")
_FILE_BYTES: Final = 256 * 1024
_LOOK_EVERY_S: Final = 0.2
_ANNOUNCED_WITHIN_S: Final = 120.0
_SEEDING_WITHIN_S: Final = 300.0
_CONNECTED_WITHIN_S: Final = 180.0
_LIMITED_BY_HAND: Final = 2.0
"""Limit that the active torrents have before the daemon comes, in fair shares: no rush before its first cycle."""
_LIMIT_WORKS_S: Final = 2.0
_MIB: Final = 2**20


@dataclass(frozen=True)
class Size:
    """Size of the set-up."""

    torrents: int
    active: int
    cap: int
    """Bytes/s of each tracker."""

    @property
    def due(self) -> float:
        """Bytes/s of all trackers: some torrents are greedy."""
        return len(_TRACKERS) * self.cap

    @property
    def fair_share(self) -> float:
        """Bytes/s of an active torrent."""
        return self.due / max(1, self.active)


@dataclass(frozen=True)
class Stage:
    """A stretch of the daemon's work."""

    name: str
    seconds: float
    cycles: int
    read_cycle_ms: tuple[float, float, float]
    """Cycles that wrote nothing, so a read and a decision: median, 95 %, longest. Zeros if there was none."""
    write_cycle_ms: tuple[float, float, float]
    """Cycles that wrote."""
    reads: int
    read_bytes: float
    """Mean size of an answer, as it came over the wire (compressed)."""
    calls_per_min: float
    changes_per_min: float
    cpu_percent: float
    """Of one core."""
    rss_bytes: int
    peak_rss_bytes: int
    qbittorrent_cpu_percent: float
    qbittorrent_rss_bytes: int
    peers_cpu_percent: float
    """Of one core: near 100, and they are what limits."""
    machine_percent: float
    """Of all cores."""
    served: float
    """Bytes that peers got ÷ bytes that caps and demands allow."""
    active_seen: int
    """Torrents that the daemon counts as active, at the end."""
    limited: int
    """At the end."""


class _Watch:
    """Follows the daemon through a stage."""

    def __init__(self, daemon: DaemonProcess, qbittorrent: QBittorrent, swarm: Swarm, size: Size) -> None:
        self._daemon = daemon
        self._qbittorrent = qbittorrent
        self._swarm = swarm
        self._size = size

    def follow(self, name: str, seconds: float, *, until_parked: bool) -> Stage:
        """Watch for `seconds`, or until nothing was left to change for three cycles."""
        first, usage, theirs = self._daemon.status, self._daemon.usage(), Usage.of(self._qbittorrent.pid)
        peers = Usage.of(self._swarm.pid)
        machine, came = MachineUsage.now(), sum(self._swarm.counts().values())
        started, last, quiet = time.monotonic(), first, 0
        reading: list[float] = []
        writing: list[float] = []
        while time.monotonic() < started + seconds and not (until_parked and quiet >= 3):
            time.sleep(_LOOK_EVERY_S)
            status = self._daemon.status
            if status.cycle != last.cycle:
                wrote = status.written_limits != last.written_limits
                (writing if wrote else reading).append(status.cycle_s * 1000)
                parked = status.state == "holding" and not status.planned and not status.deferred
                quiet, last = quiet + 1 if parked else 0, status
        took = time.monotonic() - started
        usage_now, theirs_now = self._daemon.usage(), Usage.of(self._qbittorrent.pid)
        reads = last.reads - first.reads
        return Stage(
            name=name,
            seconds=took,
            cycles=last.cycle - first.cycle,
            read_cycle_ms=_spread(reading),
            write_cycle_ms=_spread(writing),
            reads=reads,
            read_bytes=(last.bytes_received - first.bytes_received) / max(1, reads),
            calls_per_min=_per_minute(first.written_calls, last.written_calls, took),
            changes_per_min=_per_minute(first.written_limits, last.written_limits, took),
            cpu_percent=usage_now.cpu_percent_since(usage),
            rss_bytes=usage_now.rss_bytes,
            peak_rss_bytes=usage_now.peak_rss_bytes,
            qbittorrent_cpu_percent=theirs_now.cpu_percent_since(theirs),
            qbittorrent_rss_bytes=theirs_now.rss_bytes,
            peers_cpu_percent=Usage.of(self._swarm.pid).cpu_percent_since(peers),
            machine_percent=MachineUsage.now().percent_since(machine),
            served=(sum(self._swarm.counts().values()) - came) / (took * self._size.due),
            active_seen=sum(tracker.active for tracker in last.trackers),
            limited=last.limited,
        )


def measure(version: str, size: Size, *, parking_s: float, steady_s: float) -> Iterator[Stage]:
    """Build it all, and yield the stages as they end."""
    with guarded(version, size) as (daemon, qbittorrent, swarm):
        watch = _Watch(daemon, qbittorrent, swarm, size)
        yield watch.follow("parking", parking_s, until_parked=True)
        yield watch.follow("after", steady_s, until_parked=False)


@contextlib.contextmanager
def guarded(version: str, size: Size) -> Iterator[tuple[DaemonProcess, QBittorrent, Swarm]]:
    """Yield the daemon, just started, with a real qBittorrent of that size and its peers."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="qguardarr-scale-")))
        trackers = stack.enter_context(Trackers(_TRACKERS))
        torrents = _torrents(trackers, size.torrents)
        qbittorrent = QBittorrent(version, folder / "qbittorrent")
        qbittorrent.plant(torrents)
        _say(f"{len(torrents)} torrents are planted")
        stack.enter_context(qbittorrent)
        qbittorrent.wait_until_seeding(len(torrents), _SEEDING_WITHIN_S)
        _await_announces(trackers, len(torrents))
        swarm = stack.enter_context(Swarm((qbittorrent.host, qbittorrent.peer_port)))
        active = {torrent.info_hash: torrent.size for torrent in torrents[: size.active]}
        swarm.join(active, peers=1)
        swarm.wait_until_connected(_CONNECTED_WITHIN_S)
        _say(f"{len(active)} peers are connected")
        fair = int(size.fair_share)
        qbittorrent.web.set_upload_limit(int(_LIMITED_BY_HAND * fair), list(active))
        time.sleep(_LIMIT_WORKS_S)
        swarm.set_demand(_demands(list(active), fair))
        (folder / "daemon").mkdir()
        rules = [Rule(name, trackers[name].pattern, size.cap) for name in _TRACKERS]
        settings = {"max_managed_torrents": max(1000, size.active)}
        yield stack.enter_context(DaemonProcess(folder / "daemon", qbittorrent, rules, settings)), qbittorrent, swarm


def lines(stage: Stage) -> Iterator[str]:
    """A stage, for people."""
    yield f"{stage.name}, {stage.seconds:.0f} s, {stage.cycles} cycles (machine {stage.machine_percent:.0f} % busy)"
    yield (
        f"  daemon: CPU {stage.cpu_percent:.1f} % of a core, RSS {stage.rss_bytes / _MIB:.1f} MiB "
        f"(peak {stage.peak_rss_bytes / _MIB:.1f}); {stage.reads} reads of {stage.read_bytes / 1000:.1f} kB on average"
    )
    for title, (median, most, longest) in (
        ("read and decide", stage.read_cycle_ms),
        ("… and write", stage.write_cycle_ms),
    ):
        yield f"  cycles that {title}: median {median:.0f} ms, 95 % {most:.0f} ms, longest {longest:.0f} ms"
    yield f"  {stage.calls_per_min:.1f} calls/min, {stage.changes_per_min:.0f} changed limits/min"
    yield (
        f"  {stage.active_seen} active, {stage.limited} limited at the end; {stage.served:.3f} of what is due is served"
    )
    yield (
        f"  qBittorrent: CPU {stage.qbittorrent_cpu_percent:.0f} % of a core, "
        f"RSS {stage.qbittorrent_rss_bytes / _MIB:.0f} MiB; peers: {stage.peers_cpu_percent:.0f} % of a core"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--torrents", type=int, default=5000)
    parser.add_argument("--active", type=int, default=300, help="… of them; half are greedy, half want half a share")
    parser.add_argument("--cap", type=int, default=4_000_000, help="of each of three trackers, bytes/s")
    parser.add_argument("--version", default="5.1.0", choices=VERSIONS, help="of qBittorrent")
    parser.add_argument("--minutes", type=float, default=1.0, help="length of the measurement after parking")
    parser.add_argument("--parking-minutes", type=float, default=3.0, help="most time for parking")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    options = parser.parse_args(arguments)
    size = Size(options.torrents, options.active, options.cap)
    print(f"qBittorrent {options.version}, {size.torrents} torrents, {size.active} active, 3 × {size.cap / 1e6} MB/s")
    stages = []
    for stage in measure(options.version, size, parking_s=60 * options.parking_minutes, steady_s=60 * options.minutes):
        stages.append(stage)
        print(*lines(stage), sep="\n", flush=True)
    if options.json is not None:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode({"size": size, "stages": stages})))
    return 0


def _torrents(trackers: Trackers, count: int) -> list[LabTorrent]:
    """In turns of the trackers."""
    urls = [[trackers[name].announce_url] for name in _TRACKERS]
    return [make_torrent(f"scale-{n:05}", urls[n % len(urls)], _FILE_BYTES) for n in range(count)]


def _demands(info_hashes: Sequence[str], fair: int) -> dict[str, Demand]:
    """Half are greedy, half want half a fair share; pairs of trackers' turns get the same."""
    return {h: GREEDY if n // len(_TRACKERS) % 2 else fair / 2 for n, h in enumerate(info_hashes)}


def _await_announces(trackers: Trackers, count: int) -> None:
    """Until all torrents have announced themselves; after a while without them."""
    deadline = time.monotonic() + _ANNOUNCED_WITHIN_S
    while trackers.announces() < count and time.monotonic() < deadline:
        time.sleep(0.5)
    _say(f"{trackers.announces()} announces")


def _spread(milliseconds: Sequence[float]) -> tuple[float, float, float]:
    """Median, 95 %, longest; zeros if there are none."""
    if not milliseconds:
        return 0.0, 0.0, 0.0
    ordered = sorted(milliseconds)
    return statistics.median(ordered), ordered[int(0.95 * (len(ordered) - 1))], ordered[-1]


def _per_minute(before: int, after: int, seconds: float) -> float:
    return 60 * (after - before) / seconds


def _say(text: str) -> None:
    print(f"scale: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
