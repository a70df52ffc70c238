"""`qguardarr serve` as a process of its own, for tests."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from lab.processes import free_port
from lab.rig import Rig
from qguardarr.adapters.statusfile import read_status, status_path
from qguardarr.engine.status import Status

END_WITHIN_S = 5.0
"""What `serve` promises after SIGTERM."""
PATIENCE_S = 60.0
"""How long a test waits for something to happen on a busy machine."""


def until(happened: Callable[[], bool], what: str | Callable[[], str]) -> None:
    """Wait for it. `what` may be a function, asked when the wait was in vain: a log is of use as it is then."""
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        if time.monotonic() >= deadline:
            raise AssertionError(f"waited in vain: {what if isinstance(what, str) else what()}")
        time.sleep(0.02)


class DaemonProcess:
    """A running daemon; its log lines (stderr) go to `log`."""

    def __init__(
        self,
        config: Path,
        database: Path,
        environment: Mapping[str, str] | None = None,
        *,
        command: Sequence[str] = (sys.executable, "-m", "qguardarr", "serve", "--config"),
    ) -> None:
        """`command`: the configuration's path is put behind it."""
        self.database = database
        self.log_path = config.with_name("stderr.log")
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, str(config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **(environment or {})},
                cwd=config.parent,
            )

    @property
    def log(self) -> str:
        return self.log_path.read_text(encoding="utf-8")

    @property
    def status(self) -> Status | None:
        """What it published last; None before it published anything."""
        found = read_status(status_path(self.database))
        return found if found is not None and found.pid == self.process.pid else None

    def wait_for_state(self, *states: str) -> Status:
        """Wait until it is in one of these states."""
        until(
            lambda: (s := self.status) is not None and s.state in states,
            lambda: f"state {states}; log:\n{self.log}",
        )
        status = self.status
        assert status is not None
        return status

    def wait_for_log(self, text: str, times: int = 1) -> None:
        until(lambda: self.log.count(text) >= times, lambda: f"{text!r} in the log:\n{self.log}")

    def reload(self) -> None:
        self.process.send_signal(signal.SIGHUP)

    def end(self, sign: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal; the exit code. Fails if the process outlives its promise."""
        self.process.send_signal(sign)
        return self.process.wait(END_WITHIN_S)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def daemon(config: Path, database: Path, environment: Mapping[str, str] | None = None) -> Iterator[DaemonProcess]:
    """A daemon for the length of a block."""
    started = DaemonProcess(config, database, environment)
    try:
        yield started
    finally:
        started.kill()


def configure(
    rig: Rig,
    config: Path,
    database: Path,
    parents: Sequence[Mapping[str, object]] = (),
    more: Mapping[str, Mapping[str, object]] | None = None,
) -> None:
    """Write a configuration that holds the caps of a rig's scenario; QBIT_PASSWORD has to be set.

    `parents`: entries that others name as their parent. `more`: further settings of trackers, by name.
    """
    trackers: list[Mapping[str, object]] = [
        {
            "id": spec.name,
            "pattern": rig.pattern(spec.name),
            "max_upload_speed": spec.cap,
            **(more or {}).get(spec.name, {}),
        }
        for spec in rig.scenario.trackers
    ]
    content = {
        "global": {"port": free_port()},
        "qbittorrent": {
            "url": rig.qbittorrent.url,
            "username": rig.qbittorrent.username,
            "password": "${QBIT_PASSWORD}",
        },
        "trackers": [*parents, *trackers, {"id": "rest", "pattern": ".*", "max_upload_speed": -1}],
        "rollback": {"database_path": str(database)},
    }
    config.write_text(json.dumps(content))
