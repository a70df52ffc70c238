"""Several simulated qBittorrents in virtual time, and one controller that holds caps over all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lab.measure import STEP_S, Curve
from qguardarr.adapters.sqlite.journal import SqliteJournal
from qguardarr.core.policy import Policy
from qguardarr.engine.controller import Controller
from qguardarr.engine.instance import Instance
from qguardarr.engine.ports import TorrentClient
from qguardarr.engine.status import Snapshot
from tests.support.simulator import TICK_S, SimQBittorrent, SimTorrent

PATIENCE_S = 60.0
"""Of real time, for simulated reads that are only as slow as the machine."""


class LockstepClock:
    """`Clock` of several simulations at the same time."""

    def __init__(self, sims: Sequence[SimQBittorrent]) -> None:
        self._sims = sims

    def monotonic(self) -> float:
        return self._sims[0].now

    def wait(self, seconds: float) -> bool:
        until = self._sims[0].now + seconds
        for sim in self._sims:
            sim.run_until(until)
        return False

    def wake(self) -> None:
        """Nobody waits: time is virtual."""


class Several:
    """Simulated qBittorrents by name, a journal on disk and a controller that guards them all."""

    def __init__(
        self,
        folder: Path,
        policy: Policy,
        torrents: Mapping[str, Sequence[SimTorrent]],
        *,
        wrap: Callable[[str, SimQBittorrent], TorrentClient] = lambda _name, sim: sim,
        patience_s: float = PATIENCE_S,
        seed: int = 1,
        **sim: Any,
    ) -> None:
        """`wrap` returns the client through which one is spoken to."""
        self.sims = {
            name: SimQBittorrent(its, seed=10 * seed + number, **sim)
            for number, (name, its) in enumerate(torrents.items())
        }
        self.clock = LockstepClock(list(self.sims.values()))
        self.path = folder / "journal.db"
        self.journal = SqliteJournal(self.path, now=self.wall)
        self.clients = {name: wrap(name, one) for name, one in self.sims.items()}
        self.policy = policy
        self.patience_s = patience_s
        self.controller = self.new_controller()

    def wall(self) -> float:
        return 1e9 + self.clock.monotonic()

    def new_controller(self) -> Controller:
        """The daemon starts, or starts again."""
        for client in self.clients.values():
            client.request_full()
        self.controller = Controller(
            self.clients, self.journal, self.policy, self.clock, wall_clock=self.wall, patience_s=self.patience_s
        )
        return self.controller

    def instance(self, name: str) -> Instance:
        return next(one for one in self.controller.instances.all if one.name == name)

    def cycle(self) -> Snapshot:
        """A cycle now, then time passes until the next."""
        snapshot = self.controller.cycle(everything=False)
        self.clock.wait(self.controller.rest_s(self.clock.monotonic()))
        return snapshot

    def run_until(self, until: float) -> Snapshot:
        while self.clock.monotonic() < until:
            snapshot = self.cycle()
        return snapshot

    def limits(self, name: str) -> dict[str, int]:
        """Limits in force at one of them, by hash."""
        return {torrent.hash: torrent.limit for torrent in self.sims[name].torrents.values()}

    def truth(self, tracker: str = "", names: Sequence[str] | None = None) -> Curve:
        """All that a tracker's torrents sent, at these or all qBittorrents together."""
        sims = [sim for name, sim in self.sims.items() if names is None or name in names]
        found = [t.uploads for sim in sims for t in sim.torrents.values() if tracker in t.url]
        steps, totals = round(TICK_S / STEP_S), [0.0]
        for sent in (sum(parts) for parts in zip(*found, strict=True)):
            totals.extend([totals[-1] + sent * (k + 1) / steps for k in range(steps)])
        return Curve(0.0, tuple(totals))
