"""Base of all real clients: a process, torrents with a demand, a sampled count of bytes received.

Demand of a torrent, as for the lab's own peers: a number is the client's own download limit for that torrent, None is
no limit, and 0 pauses it. `OnOff` switches between a demand and almost none, as a client that was paused may take a
minute to find its peers again. Of `Bursty`, only the mean counts: a client has bursts of its own.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Final, Self

from lab.demand import Bursty, Demand, OnOff, Plain
from lab.errors import LabError
from lab.processes import allow_many_files
from lab.torrents import LabTorrent

SAMPLE_S: Final = 0.5

_START_TIMEOUT_S: Final = 30.0
_STOP_TIMEOUT_S: Final = 5.0
_LOOK_EVERY_S: Final = 0.05
_SWITCH_EVERY_S: Final = 0.1
_ALMOST_NOTHING: Final = 1000.0
"""Bytes/s."""


class Counter:
    """A torrent's bytes so far, from a figure of the client that may start again."""

    def __init__(self, now: float) -> None:
        self.samples: list[tuple[float, int]] = [(now, 0)]
        """(CLOCK_MONOTONIC seconds, bytes so far), ascending."""
        self._before = 0
        """Bytes of the times before the figure last started again."""
        self._last = 0

    @property
    def total(self) -> int:
        return self.samples[-1][1]

    def note(self, now: float, figure: int, *, resets: bool) -> None:
        """`resets`: a figure that falls has started again; else it is a correction, and waited out."""
        if figure < self._last and resets:
            self._before += self._last
            self._last = 0
        self._last = max(self._last, figure)
        self.samples.append((now, self._before + self._last))


class Client(ABC):
    """A real BitTorrent client on an address of its own, downloading. A context manager.

    No DHT, PeX, LSD, UPnP, no limits but those of torrents, else as its makers ship it.
    """

    family: ClassVar[str]
    """Name in scenarios."""
    package: ClassVar[str]
    """Debian's package of it."""
    program: ClassVar[str]
    """The command."""
    counter_resets: ClassVar[bool]
    """Whether its count of a torrent starts again when the torrent is stopped and started."""

    def __init__(self, folder: Path, host: str) -> None:
        """`folder`: for settings and payload. `host`: address that it connects from."""
        self.folder = folder
        self.host = host
        self.payload = folder / "payload"
        self.payload.mkdir(parents=True)
        self._process: subprocess.Popen[bytes] | None = None
        self._demands: dict[str, Plain] = {}
        """At present."""
        self._on_off: dict[str, tuple[OnOff, float]] = {}
        """With when it began, CLOCK_MONOTONIC seconds."""
        self._lock = threading.Lock()
        """Over both."""
        self._counters: dict[str, Counter] = {}
        self._ended = threading.Event()
        self._sampler = threading.Thread(target=self._sample, name=f"sample {self.family}", daemon=True)
        self._switcher = threading.Thread(target=self._switch, name=f"switch {self.family}", daemon=True)
        self._failure: Exception | None = None

    @abstractmethod
    def _command(self) -> list[str]:
        """Write what settings it needs; what to run."""

    @abstractmethod
    def _check_ready(self) -> None:
        """Raise LabError or OSError unless it answers."""

    @abstractmethod
    def _add(self, torrent: LabTorrent) -> None:
        """Add a torrent, running or not."""

    @abstractmethod
    def _limit(self, info_hash: str, limit: int | None) -> None:
        """Limit a torrent's download, bytes/s (None: not at all)."""

    @abstractmethod
    def _run(self, info_hash: str, *, running: bool) -> None:
        """Start or pause a torrent."""

    @abstractmethod
    def _figures(self) -> dict[str, int]:
        """Return the payload bytes received by the client's count, by torrent."""

    @abstractmethod
    def connected(self) -> dict[str, int]:
        """Return the number of connected peers, by torrent."""

    def add(self, torrents: Sequence[LabTorrent]) -> None:
        """Add them, paused."""
        for torrent in torrents:
            self._add(torrent)
            self._run(torrent.info_hash, running=False)
            self._demands[torrent.info_hash] = 0.0
            self._counters[torrent.info_hash] = Counter(time.monotonic())

    def set_demand(self, demands: Mapping[str, Demand]) -> None:
        """Set the demands by torrent, from now on. Unchanged ones are not sent again."""
        now = time.monotonic()
        with self._lock:
            for info_hash, demand in demands.items():
                self._on_off.pop(info_hash, None)
                match demand:
                    case OnOff():
                        self._on_off[info_hash] = demand, now
                        self._take_up(info_hash, demand.at(0.0))
                    case Bursty():
                        self._take_up(info_hash, demand.rate)
                    case _:
                        self._take_up(info_hash, demand)

    def _take_up(self, info_hash: str, demand: Plain) -> None:
        if info_hash in self._on_off and demand == 0:
            demand = _ALMOST_NOTHING
        before = self._demands[info_hash]
        if demand == before:
            return
        if demand != 0:
            self._limit(info_hash, None if demand is None else max(1, round(demand)))
        if (demand != 0) != (before != 0):
            self._run(info_hash, running=demand != 0)
        self._demands[info_hash] = demand

    def counts(self) -> dict[str, int]:
        """Return the payload bytes received so far, by torrent."""
        self._raise_failure()
        return {info_hash: counter.total for info_hash, counter in self._counters.items()}

    def series(self, info_hash: str) -> list[tuple[float, int]]:
        """(CLOCK_MONOTONIC seconds, payload bytes so far), ascending."""
        self._raise_failure()
        return list(self._counters[info_hash].samples)

    def __enter__(self) -> Self:
        allow_many_files()
        command = self._command()
        with (self.folder / "client.log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "HOME": str(self.folder), "TERM": "dumb"},
                cwd=self.folder,
                start_new_session=True,
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self._end_process()
            raise
        self._start_threads()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._sampler.join()
        self._switcher.join()
        self._end_process()

    def _start_threads(self) -> None:
        self._sampler.start()
        self._switcher.start()

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while True:
            if self._process is None or self._process.poll() is not None:
                tail = (self.folder / "client.log").read_text(errors="replace")[-800:]
                raise LabError(f"{self.family} ended at once: {tail}")
            try:
                self._check_ready()
            except (LabError, OSError) as error:
                if time.monotonic() > deadline:
                    raise LabError(f"{self.family} did not answer within {_START_TIMEOUT_S:.0f} s: {error}") from error
                time.sleep(_LOOK_EVERY_S)
            else:
                return

    def _end_process(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_STOP_TIMEOUT_S)
        if self._process.returncode is None:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _sample(self) -> None:
        while not self._ended.wait(SAMPLE_S):
            try:
                asked = time.monotonic()
                figures = self._figures()
                now = (asked + time.monotonic()) / 2
            except Exception as error:  # raised to whoever asks for the counts
                self._failure = error
                return
            for info_hash, counter in list(self._counters.items()):
                if info_hash in figures:
                    counter.note(now, figures[info_hash], resets=self.counter_resets)

    def _switch(self) -> None:
        while not self._ended.wait(_SWITCH_EVERY_S):
            try:
                with self._lock:
                    now = time.monotonic()
                    for info_hash, (demand, since) in self._on_off.items():
                        self._take_up(info_hash, demand.at(now - since))
            except Exception as error:  # raised to whoever asks for the counts
                self._failure = error
                return

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise LabError(f"{self.family} stopped to answer: {self._failure}") from self._failure
