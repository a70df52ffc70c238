"""systemd's side of `sd_notify`: a datagram socket, and what was said to it."""

from __future__ import annotations

import secrets
import socket
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.daemon_process import PATIENCE_S


class ServiceManager:
    """A bound socket whose messages are kept in `said`, each as its lines."""

    def __init__(self, folder: Path, *, abstract: bool = False) -> None:
        self.name = f"@qguardarr-test-{secrets.token_hex(8)}" if abstract else str(folder / "notify")
        self.said: list[list[str]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + self.name[1:] if abstract else self.name)

    def environment(self, watchdog_s: float = 0.0) -> dict[str, str]:
        """What a service is started with."""
        watchdog = {"WATCHDOG_USEC": str(round(watchdog_s * 1e6))} if watchdog_s else {}
        return {"NOTIFY_SOCKET": self.name, **watchdog}

    def receive(self, timeout_s: float = 0.0) -> list[str]:
        """The next message's lines; none if it does not come in time."""
        self._socket.settimeout(max(timeout_s, 0.0))
        try:
            self.said.append(self._socket.recv(4096).decode().split("\n"))
        except (TimeoutError, BlockingIOError):
            return []
        return self.said[-1]

    def drain(self) -> int:
        """Take in what has come; how many messages that were."""
        count = 0
        while self.receive():
            count += 1
        return count

    def wait_for(self, beginning: str, times: int = 1) -> str:
        """Wait for so many more lines that begin so; the last of them."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            for line in self.receive(deadline - time.monotonic()) or [None]:
                assert line is not None, f"no {beginning}; said: {self.said}"
                if line.startswith(beginning):
                    times -= 1
                    if not times:
                        return line

    def lines(self, beginning: str) -> list[str]:
        """All lines so far that begin so."""
        return [line for message in self.said for line in message if line.startswith(beginning)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._socket.close()
