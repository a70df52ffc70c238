"""Qguardarr as its users run it: a configuration file, `qguardarr serve` as a process, `qguardarr rollback`."""

from __future__ import annotations

import contextlib
import json
import math
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from lab.processes import free_port
from lab.rig import Rig
from qguardarr.adapters.keys import hash_password
from qguardarr.adapters.statusfile import read_status, status_path
from qguardarr.core.units import format_speed
from qguardarr.engine.status import Status

USER: Final = "demo"
_START_TIMEOUT_S: Final = 30.0
_END_TIMEOUT_S: Final = 10.0
_ROLLBACK_TIMEOUT_S: Final = 60.0


class GuardError(Exception):
    """Qguardarr failed."""


class Guard:
    """A running `qguardarr serve`."""

    def __init__(self, folder: Path, rig: Rig, settings: Mapping[str, Any] | None = None) -> None:
        """`settings`: in place of those of the story, by section; those within `global` beside them."""
        self._config = folder / "qguardarr.yaml"
        self._database = folder / "qguardarr.db"
        self._log = folder / "qguardarr.log"
        port = free_port()
        self.password = secrets.token_urlsafe(9)
        """Of `USER`, for the page."""
        self.address = f"http://127.0.0.1:{port}/"
        """Of the page."""
        content: dict[str, Any] = {
            **_configuration(rig, self._database, port),
            "auth": {"username": USER, "password": hash_password(self.password)},
        }
        for section, found in (settings or {}).items():
            content[section] = {**content["global"], **found} if section == "global" else found
        self._config.write_text(json.dumps(content))  # JSON is YAML
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*_qguardarr("serve"), "--config", str(self._config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the demo, which ends it in order
            )

    @property
    def status(self) -> Status | None:
        """Return the status that it published last. GuardError if it no longer runs."""
        if self._process.poll() is not None:
            raise GuardError(f"qguardarr ended with {self._process.returncode}:\n{self._log.read_text()[-2000:]}")
        return read_status(status_path(self._database))

    def wait_until_holding(self) -> None:
        """Wait until it holds the caps and has nothing left to write."""
        deadline = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < deadline:
            status = self.status
            if status is not None and status.state == "holding" and status.cycle > 1 and status.planned == 0:
                return
            time.sleep(0.2)
        raise GuardError(f"qguardarr holds nothing after {_START_TIMEOUT_S:.0f} s:\n{self._log.read_text()[-2000:]}")

    def wait_until_reading(self) -> None:
        """Wait until it has read qBittorrent's torrents and published them."""
        deadline = time.monotonic() + _START_TIMEOUT_S
        while (status := self.status) is None or not status.torrents:
            if time.monotonic() >= deadline:
                raise GuardError(
                    f"qguardarr read nothing in {_START_TIMEOUT_S:.0f} s:\n{self._log.read_text()[-2000:]}"
                )
            time.sleep(0.2)

    def end(self) -> None:
        """SIGTERM, and wait."""
        self._process.terminate()
        try:
            self._process.wait(_END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def rollback(self) -> str:
        """Put every limit back; return the first line that the command prints."""
        done = subprocess.run(
            [*_qguardarr("rollback"), "--yes", "--config", str(self._config)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_ROLLBACK_TIMEOUT_S,
            check=False,
        )
        if done.returncode != 0:
            raise GuardError(f"rollback ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout.partition("\n")[0]


@contextlib.contextmanager
def guard(folder: Path, rig: Rig, settings: Mapping[str, Any] | None = None) -> Iterator[Guard]:
    """A running guard for the length of a block."""
    started = Guard(folder, rig, settings)
    try:
        yield started
    finally:
        started.end()


def _configuration(rig: Rig, database: Path, port: int) -> dict[str, object]:
    qbittorrent = rig.qbittorrent
    rules = [
        {
            "id": tracker.name,
            "pattern": rig.pattern(tracker.name),
            "max_upload_speed": format_speed(tracker.cap or math.inf),
        }
        for tracker in rig.scenario.trackers
    ]
    return {
        "qbittorrent": {
            "url": qbittorrent.url,
            "username": qbittorrent.username,
            "password": qbittorrent.password,
        },
        "trackers": [*rules, {"id": "default", "pattern": ".*", "max_upload_speed": "unlimited"}],
        "global": {"port": port, "allocation_strategy": rig.scenario.strategy, **rig.scenario.settings},
        "rollback": {"database_path": str(database)},
    }


def _qguardarr(command: str) -> list[str]:
    return [sys.executable, "-m", "qguardarr", command]
