"""Guards that hold the caps during a run: the daemon, or one of two yardsticks."""

from __future__ import annotations

import contextlib
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Final, Protocol

import msgspec
import urllib3

from bench.process import DaemonProcess, Rule, Usage
from lab.errors import LabError
from lab.rig import Rig
from qguardarr.engine.ports import HistoryEntry
from qguardarr.engine.status import Status

SPLIT_EVERY_S: Final = 60.0
SPLIT_FIRST_S: Final = 30.0
"""Seconds after the caps were first divided: half an interval, as the demands of most scenarios change each minute."""
_PARK_WITHIN_S: Final = 60.0
_CYCLES_BEFORE: Final = 5
_COUNTED_SINCE_START: Final = ("cycle", "reads", "written_limits", "written_calls", "bytes_received")
"""Fields of the daemon's status."""


class Guard(Protocol):
    """Holds each tracker's cap as well as it can, from when it is made."""

    name: str

    def set_cap(self, tracker: str, cap: int | None) -> None:
        """A person changes a cap (bytes/s, None = unlimited)."""


Hiring = Callable[[Rig], AbstractContextManager[Guard]]
"""Sets a guard to work on a rig, and ready for the run."""


class Qguardarr:
    """The real daemon."""

    def __init__(self, daemon: DaemonProcess, settings: dict[str, object]) -> None:
        self.name = "qguardarr"
        self.daemon = daemon
        self.settings = settings
        self.before: tuple[Status, Usage] = daemon.status, daemon.usage()
        """When the run begins."""
        self.after = self.before
        """When it has ended; see `note_end`."""
        self.history: list[HistoryEntry] = []

    def set_cap(self, tracker: str, cap: int | None) -> None:
        self.daemon.set_cap(tracker, cap)

    def restart(self) -> None:
        """Restart the daemon; its earlier counts still count."""
        old, used = self.daemon.status, self.daemon.usage()
        self.daemon.restart()
        status, usage = self.before
        self.before = (
            msgspec.structs.replace(
                status, **{name: getattr(status, name) - getattr(old, name) for name in _COUNTED_SINCE_START}
            ),
            replace(usage, cpu_s=usage.cpu_s - used.cpu_s),
        )

    def note_end(self) -> None:
        self.after = self.daemon.status, self.daemon.usage()
        self.history = self.daemon.history()


class Pool:
    """qBittorrent's own global upload limit: a perfect shared cap, for a single tracker."""

    def __init__(self, rig: Rig) -> None:
        self.name = "ideal pool"
        self._web = rig.qbittorrent.web
        (tracker,) = rig.scenario.trackers
        self.set_cap(tracker.name, tracker.cap)

    def set_cap(self, tracker: str, cap: int | None) -> None:  # noqa: ARG002 (there is but one)
        self._web.set_global_upload_limit(cap or 0)


class EqualSplit:
    """Split each cap equally over the torrents that upload right now, every minute, as other programs do.

    All other torrents keep their limits. At first all count, which favours this guard.
    """

    def __init__(self, rig: Rig) -> None:
        self.name = f"split each {SPLIT_EVERY_S:.0f} s"
        self._rig = rig
        self._caps = {tracker.name: tracker.cap for tracker in rig.scenario.trackers}
        self._ended = threading.Event()
        self._split({tracker: [t.info_hash for t in torrents] for tracker, torrents in rig.torrents.items()})
        self._thread = threading.Thread(target=self._run, name="split")
        self._thread.start()

    def set_cap(self, tracker: str, cap: int | None) -> None:
        self._caps[tracker] = cap

    def end(self) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        wait_s = SPLIT_FIRST_S
        while not self._ended.wait(wait_s):
            wait_s = SPLIT_EVERY_S
            with contextlib.suppress(LabError, urllib3.exceptions.HTTPError):  # qBittorrent is away: next time
                self._split(self._uploading())

    def _uploading(self) -> dict[str, list[str]]:
        """Return the info hashes of torrents that upload, by tracker."""
        uploading = {info["hash"] for info in self._rig.qbittorrent.web.info() if info["upspeed"] > 0}
        return {
            tracker: [t.info_hash for t in torrents if t.info_hash in uploading]
            for tracker, torrents in self._rig.torrents.items()
        }

    def _split(self, sharers: dict[str, list[str]]) -> None:
        for tracker, hashes in sharers.items():
            cap = self._caps[tracker]
            if hashes:
                limit = 0 if cap is None else max(1, cap // len(hashes))
                self._rig.qbittorrent.web.set_upload_limit(limit, hashes)


@contextlib.contextmanager
def qguardarr(rig: Rig, interval_s: float | None = None) -> Iterator[Qguardarr]:
    """The daemon, holding and with everything parked; `interval_s` replaces its `update_interval`."""
    scenario = rig.scenario
    rules = [Rule(t.name, rig.pattern(t.name), t.cap, t.priority) for t in scenario.trackers]
    settings: dict[str, object] = {"allocation_strategy": scenario.strategy, **scenario.settings}
    if interval_s is not None:
        settings["update_interval"] = interval_s
    with (
        tempfile.TemporaryDirectory(prefix="qguardarr-bench-") as folder,
        DaemonProcess(Path(folder), rig.qbittorrent, rules, settings) as daemon,
    ):
        if scenario.clients:
            daemon.wait_until_holding(_CYCLES_BEFORE, _PARK_WITHIN_S)  # they always take something
        else:
            daemon.wait_until_parked(_PARK_WITHIN_S)
        yield Qguardarr(daemon, settings)


@contextlib.contextmanager
def pool(rig: Rig) -> Iterator[Pool]:
    """qBittorrent's global limit."""
    yield Pool(rig)


@contextlib.contextmanager
def equal_split(rig: Rig) -> Iterator[EqualSplit]:
    """The split, at work until the block ends."""
    guard = EqualSplit(rig)
    try:
        yield guard
    finally:
        guard.end()
