"""A scenario made real: qBittorrent, trackers, torrents and peers, and a run that plays the phases and measures.

The rig knows nothing of the daemon: whoever runs the scenario starts it against `rig.qbittorrent.url`.

    with Rig(hungry_moves(), "4.5.2") as rig:
        daemon = start(rig.qbittorrent.url, rig.qbittorrent.username, rig.qbittorrent.password,
                       rules=[(t.name, rig.pattern(t.name), t.cap) for t in rig.scenario.trackers])
        outcome = rig.run()
        outcome.measures["t1"].worst_10s
"""

from __future__ import annotations

import contextlib
import math
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from lab import namespace
from lab.clients import FAMILIES, Client, ensure
from lab.demand import Demand, wanted
from lab.errors import LabError
from lab.measure import Curve, Span, TrackerMeasure, curve, measure
from lab.peers import Swarm
from lab.qbittorrent import QBittorrent
from lab.scenario import Event, KillQBittorrent, Phase, RestartGuard, Scenario, SetCap, StartQBittorrent, TrackerSpec
from lab.sent import SentCounter
from lab.torrents import DEFAULT_SIZE, LabTorrent, make_torrent
from lab.tracker import Trackers

CLIENT_SIZE: Final = 2 * 2**30
"""Bytes of a torrent that real clients download: more than a run takes. They keep them, in memory if they can."""

_WATCH_S: Final = 0.5
_COUNTED_AFTER_S: Final = 2.0
"""Until all clients, and qBittorrent itself, have been asked once more."""
_ORIGIN_VERSION: Final = "4.5.2"
_DOWNLOAD_RATE: Final = 3_000_000
"""Bytes/s of each torrent that the rig's qBittorrent downloads: more than leechers may take of it."""
_DOWNLOADS_WITHIN_S: Final = 60.0
_MEMORY: Final = Path("/dev/shm")
_MEMORY_LEAST: Final = 6 * 2**30


@dataclass(frozen=True)
class Outcome:
    """Result of a run."""

    started: float
    """CLOCK_MONOTONIC seconds."""
    curves: dict[str, Curve]
    """Payload bytes of all torrents, counted by peers and clients; by tracker."""
    spans: dict[str, tuple[Span, ...]]
    """Allowed and wanted bytes over time, by tracker."""
    measures: dict[str, TrackerMeasure]
    """Figures by tracker."""
    info_hashes: dict[str, tuple[str, ...]]
    """Torrents by tracker."""
    sent: dict[str, Curve]
    """Bytes sent by qBittorrent's own count, by tracker; only with real clients."""


@dataclass(frozen=True)
class _Change:
    """Conditions from a moment of the run on."""

    at: float
    phase: Phase
    caps: dict[str, int | None]
    away: bool
    """Whether qBittorrent is not running, so that nothing can be wanted of it."""

    def allowed(self, tracker: str) -> float:
        """Bytes/s that the tracker may use; `inf` = no cap."""
        cap = self.phase.allowed.get(tracker, self.caps[tracker])
        return math.inf if cap is None else cap


class Rig:
    """Everything that a scenario needs.

    On entering all torrents seed, all peers are connected, and the phases `before` the guard have been played. Nothing
    else is wanted yet.
    """

    def __init__(self, scenario: Scenario, version: str, *, refresh_interval_ms: int = 1500) -> None:
        self.scenario = scenario
        self.version = version
        self.torrents: dict[str, tuple[LabTorrent, ...]] = {}
        """Torrents by tracker."""
        self.qbittorrent: QBittorrent
        self.trackers: Trackers
        self.swarm: Swarm
        self.clients: dict[str, Client] = {}
        """Real clients by family."""
        self.sent: SentCounter | None = None
        self._refresh_interval_ms = refresh_interval_ms
        self._cleanup = contextlib.ExitStack()

    def pattern(self, tracker: str) -> str:
        """A regular expression that matches the tracker's announce URLs."""
        return self.trackers[tracker].pattern

    def totals(self) -> dict[str, int]:
        """Payload bytes received so far, by tracker."""
        counts = [self.swarm.counts(), *(client.counts() for client in self.clients.values())]
        return {
            name: sum(count.get(torrent.info_hash, 0) for torrent in torrents for count in counts)
            for name, torrents in self.torrents.items()
        }

    def series(self) -> dict[str, dict[str, list[tuple[float, int]]]]:
        """Return (CLOCK_MONOTONIC seconds, bytes so far), by torrent and receiver (a client's family, or `peers`)."""
        hashes = [torrent.info_hash for torrents in self.torrents.values() for torrent in torrents]
        found = {
            info_hash: {family: client.series(info_hash) for family, client in self.clients.items()}
            for info_hash in hashes
        }
        for info_hash, samples in self.swarm.all_series(self._of_peers).items():
            found[info_hash]["peers"] = samples
        return found

    def set_phase(self, phase: Phase) -> None:
        """Give the peers the demands of the phase, now."""
        told: dict[str, Demand] = {}
        for name, demands in phase.demands.items():
            told.update(zip((t.info_hash for t in self.torrents[name]), demands, strict=True))
        self.swarm.set_demand({info_hash: told[info_hash] for info_hash in self._of_peers})
        for family, client in self.clients.items():
            for name, demands in phase.demands_of(family).items():
                client.set_demand(dict(zip((t.info_hash for t in self.torrents[name]), demands, strict=True)))

    def run(
        self,
        *,
        on_cap: Callable[[str, int | None], None] | None = None,
        on_restart: Callable[[], None] | None = None,
        watch: Callable[[float], bool | None] | None = None,
        scenario: Scenario | None = None,
    ) -> Outcome:
        """Play the phases and events, then measure; of another scenario with the same torrents, if one is given.

        `on_cap(tracker, cap)` carries out a change of a cap (bytes/s, None = unlimited); `on_restart()` restarts the
        guard, if there is anything to restart; `watch(elapsed_s)` is called
        about twice a second, and ends the run early by returning True.
        """
        scenario = scenario or self.scenario
        agenda: list[tuple[float, Phase | Event]] = [(event.at_s, event) for event in scenario.events]
        at_s = 0.0
        for phase in scenario.phases:
            agenda.append((at_s, phase))
            at_s += phase.duration_s
        agenda.sort(key=lambda entry: entry[0])
        caps: dict[str, int | None] = {tracker.name: tracker.cap for tracker in scenario.trackers}
        changes: list[_Change] = []
        phase, away = scenario.phases[0], False
        started = time.monotonic()
        for due_s, entry in agenda:
            if self._wait_until(started + due_s, started, watch):
                break
            at = time.monotonic()
            match entry:
                case Phase():
                    phase = entry
                    self.set_phase(phase)
                case SetCap():
                    if on_cap is None:
                        raise ValueError(f"{scenario.name} changes caps: pass on_cap")
                    on_cap(entry.tracker, entry.cap)
                    caps[entry.tracker] = entry.cap
                case RestartGuard():
                    if on_restart is not None:
                        on_restart()
                case KillQBittorrent():
                    self.qbittorrent.kill()
                    away = True
                case StartQBittorrent():
                    self.qbittorrent.start()
                    at, away = time.monotonic(), False
            changes.append(_Change(at, phase, dict(caps), away))
        else:
            self._wait_until(started + at_s, started, watch)
        ended = time.monotonic()
        if self.clients:
            time.sleep(_COUNTED_AFTER_S)
        return self._outcome(changes, ended)

    def __enter__(self) -> Self:
        with self._cleanup as cleanup:
            folder = Path(
                cleanup.enter_context(tempfile.TemporaryDirectory(prefix="qguardarr-lab-", dir=self._scratch()))
            )
            if self.scenario.clients:
                _check_namespace()
                self.trackers = Trackers(self._tracker_names(), namespace.TRACKER_SUBNET)
                self.qbittorrent = self._make_qbittorrent(folder / "seed", peer_host=namespace.SEED_HOST, plain=True)
            else:
                self.trackers = Trackers(self._tracker_names())
                self.qbittorrent = self._make_qbittorrent(folder)
            cleanup.enter_context(self.trackers)
            for spec in self.scenario.trackers:
                self.torrents[spec.name] = self._make_torrents(spec)
            everything = [torrent for torrents in self.torrents.values() for torrent in torrents]
            coming = [t for spec in self.scenario.trackers for t in self.torrents[spec.name][: spec.downloading]]
            complete = [torrent for torrent in everything if torrent not in coming]
            self.qbittorrent.plant(complete)
            cleanup.enter_context(self.qbittorrent)
            self.qbittorrent.wait_until_seeding(len(complete))
            if coming:
                self._start_downloads(coming, cleanup.enter_context(self._origin_of(coming, folder / "origin")))
            sources = namespace.PEER_SUBNET if self.scenario.clients else None
            place = (self.qbittorrent.peer_host, self.qbittorrent.peer_port)
            self.swarm = cleanup.enter_context(Swarm(place, sources))
            for spec in self.scenario.trackers:
                if spec.peers:
                    self.swarm.join({t.info_hash: t.size for t in self.torrents[spec.name]}, peers=spec.peers)
            self.swarm.wait_until_connected()
            self.trackers.set_seed(*place)
            for number, family in enumerate(self.scenario.clients):
                ensure(family)
                client = FAMILIES[family](folder / family, namespace.client_host(number))
                self.clients[family] = cleanup.enter_context(client)
                client.add(everything)
            if self.scenario.clients:
                self.sent = cleanup.enter_context(SentCounter(self.qbittorrent))
            self._play_before()
            self._cleanup = cleanup.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cleanup.close()

    def _origin_of(self, torrents: Sequence[LabTorrent], folder: Path) -> QBittorrent:
        """Another qBittorrent, not started yet, that has them."""
        origin = QBittorrent(_ORIGIN_VERSION, folder, peer_host=namespace.ORIGIN_HOST, plain=True)
        origin.plant(torrents)
        return origin

    def _start_downloads(self, torrents: Sequence[LabTorrent], origin: QBittorrent) -> None:
        """Have the rig's qBittorrent download them; returns when it has some of each."""
        origin.wait_until_seeding(len(torrents))
        self.trackers.set_seed(origin.peer_host, origin.peer_port, to=self.qbittorrent.peer_host)
        hashes = [torrent.info_hash for torrent in torrents]
        origin.web.set_upload_limit(_DOWNLOAD_RATE, hashes)
        self.qbittorrent.web.add(torrents, self.qbittorrent.payload, complete=False)
        deadline = time.monotonic() + _DOWNLOADS_WITHIN_S
        while not all(info["downloaded"] for info in self.qbittorrent.web.info() if info["hash"] in hashes):
            if time.monotonic() > deadline:
                raise LabError(f"qBittorrent downloads nothing within {_DOWNLOADS_WITHIN_S:.0f} s")
            time.sleep(_WATCH_S)

    def _play_before(self) -> None:
        for name, limit in self.scenario.by_hand.items():
            self.qbittorrent.web.set_upload_limit(limit, [t.info_hash for t in self.torrents[name]])
        for phase in self.scenario.before:
            self.set_phase(phase)
            time.sleep(phase.duration_s)

    @property
    def _of_peers(self) -> list[str]:
        """Torrents that the lab's own peers download."""
        return [t.info_hash for spec in self.scenario.trackers if spec.peers for t in self.torrents[spec.name]]

    def _tracker_names(self) -> list[str]:
        return [tracker.name for tracker in self.scenario.trackers]

    def _scratch(self) -> Path | None:
        """Where all files go: memory, if clients download and there is enough of it."""
        if self.scenario.clients and _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free >= _MEMORY_LEAST:
            return _MEMORY
        return None

    def _make_qbittorrent(self, folder: Path, *, peer_host: str = QBittorrent.host, plain: bool = False) -> QBittorrent:
        return QBittorrent(
            self.version, folder, refresh_interval_ms=self._refresh_interval_ms, peer_host=peer_host, plain=plain
        )

    def _make_torrents(self, spec: TrackerSpec) -> tuple[LabTorrent, ...]:
        url = self.trackers[spec.name].announce_url
        size = CLIENT_SIZE if self.scenario.clients else DEFAULT_SIZE
        torrents = tuple(make_torrent(f"{spec.name}-{n:03}", [url], size) for n in range(spec.torrents))
        leechers = spec.peers + len(self.scenario.clients)
        self.trackers.set_leechers({torrent.info_hash: leechers for torrent in torrents})
        return torrents

    def _wait_until(self, deadline: float, started: float, watch: Callable[[float], bool | None] | None) -> bool:
        """Wait, and return whether `watch` ends the run before the deadline."""
        while (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, _WATCH_S))
            if watch is not None and watch(time.monotonic() - started):
                return True
        return False

    def _demands(self, phase: Phase, tracker: str) -> tuple[Demand, ...]:
        """Return each torrent's demand by the lab's peers and by each client."""
        (spec,) = (spec for spec in self.scenario.trackers if spec.name == tracker)
        every = [phase.demands[tracker]] if spec.peers else []
        every += [phase.demands_of(family)[tracker] for family in self.clients]
        return tuple(demand for demands in every for demand in demands)

    def _outcome(self, changes: list[_Change], ended: float) -> Outcome:
        started = changes[0].at
        curves: dict[str, Curve] = {}
        spans: dict[str, tuple[Span, ...]] = {}
        series = self.series()
        for name, torrents in self.torrents.items():
            counted = (samples for torrent in torrents for samples in series[torrent.info_hash].values())
            curves[name] = curve(counted, started, ended)
            spans[name] = tuple(_spans(name, changes, ended, self._demands))
        measures = {name: measure(curves[name], spans[name], self.scenario.settled_at) for name in self.torrents}
        info_hashes = {name: tuple(t.info_hash for t in torrents) for name, torrents in self.torrents.items()}
        return Outcome(started, curves, spans, measures, info_hashes, self._sent_curves(started, ended))

    def _sent_curves(self, started: float, ended: float) -> dict[str, Curve]:
        if self.sent is None:
            return {}
        sent = self.sent
        return {
            name: curve((sent.series(torrent.info_hash) for torrent in torrents), started, ended)
            for name, torrents in self.torrents.items()
        }


def _check_namespace() -> None:
    if not namespace.inside():
        raise LabError("real clients need a network of their own: start this by `python -m lab.namespace MODULE …`")


def _spans(
    tracker: str, changes: list[_Change], ended: float, demands_in: Callable[[Phase, str], tuple[Demand, ...]]
) -> Iterator[Span]:
    """Yield stretches in which neither the allowed bytes of the tracker nor any demand of its torrents changed."""
    mine = [
        (change.at, () if change.away else demands_in(change.phase, tracker), change.allowed(tracker))
        for change in changes
    ]
    kept = mine[:1] + [now for before, now in pairwise(mine) if now[1:] != before[1:]]
    ends = [at for at, _, _ in kept[1:]] + [ended]
    for (start, demands, cap), end in zip(kept, ends, strict=True):
        yield Span(start=start, end=end, cap=cap, wanted=sum(map(wanted, demands)))
