"""Read from /proc how much a process uses, and run the real daemon as a process of its own."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from lab.processes import free_port
from lab.qbittorrent import QBittorrent
from qguardarr.adapters.sqlite.journal import SqliteJournal
from qguardarr.adapters.statusfile import read_status, status_path
from qguardarr.engine.ports import HistoryEntry
from qguardarr.engine.status import Status

_END_WITHIN_S: Final = 10.0
_START_WITHIN_S: Final = 30.0
_LOOK_EVERY_S: Final = 0.1
_QUIET_CYCLES: Final = 3
"""Cycles in a row without a planned change after which all idle torrents have their limits."""
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


class BenchError(Exception):
    """A precondition of the measurement failed. The message says which."""


@dataclass(frozen=True)
class Usage:
    """Resources that a process has used until a moment."""

    at: float
    """CLOCK_MONOTONIC seconds."""
    cpu_s: float
    rss_bytes: int
    peak_rss_bytes: int

    @classmethod
    def of(cls, pid: int) -> Self:
        """Now."""
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        cpu_s = (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
        memory = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        rss, peak = (int(memory[name].split()[0]) * 1024 for name in ("VmRSS", "VmHWM"))
        return cls(time.monotonic(), cpu_s, rss, peak)

    def cpu_percent_since(self, before: Usage) -> float:
        """Percent of one core."""
        return 100 * (self.cpu_s - before.cpu_s) / (self.at - before.at)


@dataclass(frozen=True)
class MachineUsage:
    """Work of all cores until a moment, in the kernel's unit."""

    busy: int
    total: int

    @classmethod
    def now(cls) -> Self:
        """Since boot; time stolen by the host counts as busy."""
        fields = [int(field) for field in Path("/proc/stat").read_text().partition("\n")[0].split()[1:9]]
        idle = fields[3] + fields[4]
        return cls(sum(fields) - idle, sum(fields))

    def percent_since(self, before: MachineUsage) -> float:
        """Percent of all cores together. High: whatever was measured meanwhile is in doubt."""
        return 100 * (self.busy - before.busy) / max(1, self.total - before.total)


@dataclass(frozen=True)
class Rule:
    """A tracker as the daemon's configuration has it."""

    id: str
    pattern: str
    cap: int | None
    """Bytes/s; None = unlimited."""
    priority: int = 5
    more: Mapping[str, object] = field(default_factory=dict)
    """Its other settings."""


class DaemonProcess:
    """`qguardarr serve`, writing, with a configuration made up in `folder`. A context manager."""

    def __init__(
        self, folder: Path, qbittorrent: QBittorrent, rules: Sequence[Rule], settings: Mapping[str, object]
    ) -> None:
        """`settings`: of the section `global`."""
        self.database = folder / "journal.db"
        self._config = folder / "qguardarr.yaml"
        self._log = folder / "daemon.log"
        self._qbittorrent = qbittorrent
        self._rules = {rule.id: rule for rule in rules}
        self._settings = {"port": free_port(), **settings}
        self.key = secrets.token_hex(16)
        """Of its API."""
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        if self._process is None or self._process.poll() is not None:
            raise BenchError(f"the daemon is not running; its log ends with\n{self._log_tail()}")
        return self._process.pid

    @property
    def status(self) -> Status:
        """The status that it published last."""
        found = self._published()
        if found is None:
            raise BenchError("the daemon has published nothing")
        return found

    @property
    def port(self) -> int:
        """Of its API, on 127.0.0.1."""
        return int(str(self._settings["port"]))

    def usage(self) -> Usage:
        return Usage.of(self.pid)

    def set_cap(self, tracker: str, cap: int | None) -> None:
        """Change a cap in its configuration and tell it to read that again. Not waited for."""
        old = self._rules[tracker]
        self._rules[tracker] = Rule(old.id, old.pattern, cap, old.priority)
        self._write_config()
        os.kill(self.pid, 1)

    def restart(self) -> None:
        """End it and start it again, on the same files; returns when it publishes its status."""
        self.end()
        self.__enter__()

    def wait_until_parked(self, timeout_s: float) -> float:
        """Wait until it holds caps and has nothing left to change; seconds that took. BenchError after `timeout_s`."""
        started = time.monotonic()
        quiet: set[int] = set()

        def parked() -> bool:
            status = self._published()
            if status is None:
                return False
            if status.state != "holding" or status.planned or status.deferred or not status.torrents:
                quiet.clear()
                return False
            quiet.add(status.cycle)
            return len(quiet) >= _QUIET_CYCLES

        self._wait(parked, timeout_s, "to hold caps with nothing left to park")
        return time.monotonic() - started

    def wait_until_holding(self, cycles: int, timeout_s: float) -> None:
        """Wait until it has held caps for that number of cycles. BenchError after `timeout_s`."""

        def holding() -> bool:
            status = self._published()
            return status is not None and status.state == "holding" and status.cycle >= cycles

        self._wait(holding, timeout_s, f"to hold caps for {cycles} cycles")

    def history(self) -> list[HistoryEntry]:
        """All changes of limits that were carried out, oldest first."""
        journal = SqliteJournal(self.database)
        try:
            entries = journal.history(limit=1_000_000_000)
        finally:
            journal.close()
        return sorted((entry for entry in entries if entry.status == "applied"), key=lambda entry: entry.id)

    def end(self) -> None:
        """SIGTERM, and wait; SIGKILL if that does not help."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_END_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise BenchError("the daemon did not end in time after SIGTERM") from None
        finally:
            self._process = None

    def __enter__(self) -> Self:
        self._write_config()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "qguardarr", "serve", "--config", str(self._config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            self._wait(lambda: self._published() is not None, _START_WITHIN_S, "to publish its status")
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def _published(self) -> Status | None:
        found = read_status(status_path(self.database))
        return found if found is not None and self._process and found.pid == self._process.pid else None

    def _wait(self, happened: Callable[[], bool], timeout_s: float, what: str) -> None:
        deadline = time.monotonic() + timeout_s
        while not happened():
            _ = self.pid  # raises if it has ended
            if time.monotonic() > deadline:
                raise BenchError(
                    f"waited {timeout_s:.0f} s for the daemon {what}; its log ends with\n{self._log_tail()}"
                )
            time.sleep(_LOOK_EVERY_S)

    def _write_config(self) -> None:
        """JSON is YAML too."""
        trackers: list[dict[str, Any]] = [
            {
                "id": rule.id,
                "pattern": rule.pattern,
                "max_upload_speed": -1 if rule.cap is None else rule.cap,
                "priority": rule.priority,
                **rule.more,
            }
            for rule in self._rules.values()
        ]
        trackers.append({"id": "rest", "pattern": ".*", "max_upload_speed": -1})
        qbittorrent = self._qbittorrent
        config = {
            "qbittorrent": {
                "url": qbittorrent.url,
                "username": qbittorrent.username,
                "password": qbittorrent.password,
            },
            "trackers": trackers,
            "global": {"dry_run": False, **self._settings},
            "auth": {"api_key": self.key},
            "rollback": {"database_path": str(self.database)},
        }
        new = self._config.with_suffix(".new")
        new.write_text(json.dumps(config, indent=1))
        new.replace(self._config)

    def _log_tail(self) -> str:
        return self._log.read_text(errors="replace")[-2000:] if self._log.exists() else "(nothing)"
