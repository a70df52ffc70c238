"""Tell systemd how the service fares (`sd_notify(3)`). Without systemd, nothing is sent.

The protocol is one datagram of `NAME=value` lines to the socket that `NOTIFY_SOCKET` names: too little for a library.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator, MutableMapping
from typing import Final

from qguardarr.engine.settings import Settings
from qguardarr.engine.status import State, Status
from qguardarr.features.feature import Feature
from qguardarr.printable import printable

PULSE_SHARE: Final = 4
"""Pulses in the time that the watchdog allows. systemd advises two; a busy machine may delay some of them."""
LONGEST_REQUEST: Final = 12
"""A request may last this many times `qbittorrent.timeout`, if another thread's request is ahead of it: each may wait
once for the connection and the headers, and four times for the body (`http.ANSWER_TIMEOUTS`)."""
START_S: Final = 60.0
"""A start without a watchdog is extended by this much with each pulse."""
_MOST_DIGITS: Final = 20
"""Of a number that systemd writes."""

_READY: Final[dict[str, str]] = {
    State.HOLDING: "caps are held",
    State.OBSERVING: "dry run: it observes, and writes nothing",
    State.PAUSED: "paused until `qguardarr resume`",
}


class Systemd(Feature):
    """The service manager that started this process. Methods may be called from any thread, and never raise or wait."""

    name = "systemd"

    def __init__(self, environment: MutableMapping[str, str], *, pid: int) -> None:
        """Take systemd's variables out of `environment`: children have nothing to tell it."""
        name = environment.pop("NOTIFY_SOCKET", "")
        watchdog = environment.pop("WATCHDOG_USEC", "")
        meant = environment.pop("WATCHDOG_PID", str(pid)) == str(pid)
        self._address = "\0" + name[1:] if name.startswith("@") else name
        self._socket: socket.socket | None = None
        if name.startswith(("/", "@")):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        counts = meant and watchdog.isdecimal() and len(watchdog) <= _MOST_DIGITS
        self._configured_usec = int(watchdog) if self._socket and counts else 0
        self._allowed_usec = self._configured_usec
        self._ready = False
        self._reloading = False
        self._said = ""
        self._owed: dict[str, str] = {}
        """Changes that are not sent yet: the state, and the status in words. The last of each counts."""
        self._lock = threading.Lock()

    @property
    def pulse_s(self) -> float | None:
        """Longest time between two pulses, seconds; None: nobody counts them."""
        if self._socket is None:
            return None
        return (self._allowed_usec / 1e6 or START_S) / PULSE_SHARE

    def allow_for(self, timeout_s: float) -> None:
        """Have the watchdog wait for the longest request, given `qbittorrent.timeout`: a slow answer is no hang."""
        with self._lock:
            if self._configured_usec:
                self._allowed_usec = max(self._configured_usec, int(LONGEST_REQUEST * timeout_s * 1e6))
                self._owed["watchdog"] = f"WATCHDOG_USEC={self._allowed_usec}"
                self._send()

    def pulse(self) -> None:
        """Say that the control loop goes on."""
        with self._lock:
            self._send(pulse=True)

    def adopt(self, settings: Settings) -> None:
        self.allow_for(settings.longest_silence_s)

    def on_cycle(self, status: Status) -> None:
        """Say how the cycle ended. The first one that holds caps, or on purpose does not, completes the start."""
        text = printable(_READY.get(status.state, status.problem))
        with self._lock:
            if status.state in _READY and not self._ready:
                self._ready = True
                self._owed["state"] = "READY=1"
            if text != self._said:
                self._said = text
                self._owed["status"] = f"STATUS={text}"
            self._send(pulse=True)

    @contextlib.contextmanager
    def while_reloading(self) -> Iterator[None]:
        """Say that the configuration is read again, and that this has ended, well or not.

        Nothing is said before the start is complete: the end of the reload would complete it.
        """
        with self._lock:
            if self._ready:
                self._reloading = True
                self._owed["state"] = f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}"
                self._send()
        yield
        with self._lock:
            if self._reloading:
                self._reloading = False
                self._owed["state"] = "READY=1"
                self._send()

    def stopping(self) -> None:
        """Say that the service is about to end."""
        with self._lock:
            self._ready = self._reloading = False
            self._owed["state"] = "STOPPING=1"
            self._send()

    def close(self) -> None:
        """Say nothing any more."""
        with self._lock:
            if self._socket is not None:
                self._socket.close()
                self._socket = None

    def _send(self, *, pulse: bool = False) -> None:
        """Send what is owed. What systemd's full queue does not take now goes with the next pulse."""
        lines = [*self._owed.values()]
        if pulse and self._allowed_usec:
            lines.append("WATCHDOG=1")
        if pulse and not self._ready:  # until then systemd counts the start's own timeout
            lines.append(f"EXTEND_TIMEOUT_USEC={self._allowed_usec or int(START_S * 1e6)}")
        if self._socket is None or not lines:
            return
        with contextlib.suppress(OSError):
            self._socket.sendto("\n".join(lines).encode(), socket.MSG_DONTWAIT, self._address)
            self._owed.clear()
