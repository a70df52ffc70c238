"""Ports, and the lab's own helper processes: started as `python -m lab.…`, commanded over a socket pair."""

from __future__ import annotations

import contextlib
import os
import pickle
import random
import resource
import socket
import struct
import subprocess
import sys
import threading
import weakref
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from lab.errors import LabError

_LENGTH: Final = struct.Struct("!I")
_REPLY_TIMEOUT_S: Final = 60.0
_PORTS: Final = range(10_000, 32_000)
"""Below the range from which Linux takes the ports of outgoing connections."""
_REPO: Final = Path(__file__).resolve().parent.parent


def free_port(host: str = "127.0.0.1") -> int:
    """Return a TCP port of `host` that is free right now, and that no outgoing connection takes by chance."""
    for port in random.sample(_PORTS, 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((host, port))
            return port
    raise LabError(f"no free port on {host}")


def keep_port(owner: object) -> int:
    """Return a port of 127.0.0.1 that is nobody else's for as long as `owner` lives.

    Nobody listens on it, so callers are refused; a server that sets SO_REUSEADDR may listen on it at any time.
    """
    kept = socket.socket()
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    kept.bind(("127.0.0.1", 0))
    weakref.finalize(owner, kept.close)
    port: int = kept.getsockname()[1]
    return port


def allow_many_files() -> None:
    """Raise this process's limit on open files as far as it may."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Channel:
    """Whole Python objects over a stream socket, in order."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, message: object) -> None:
        data = pickle.dumps(message)
        self._socket.sendall(_LENGTH.pack(len(data)) + data)

    def receive(self) -> Any:
        """The next object; EOFError when the other side is gone."""
        (length,) = _LENGTH.unpack(self._exactly(_LENGTH.size))
        return pickle.loads(self._exactly(length))

    def close(self) -> None:
        self._socket.close()

    def _exactly(self, count: int) -> bytes:
        parts = bytearray()
        while len(parts) < count:
            part = self._socket.recv(count - len(parts))
            if not part:
                raise EOFError("the other side closed the channel")
            parts += part
        return bytes(parts)


class Helper:
    """A lab process that answers commands. Its module calls `serve_channel()`; it ends when this side closes."""

    def __init__(self, module: str) -> None:
        ours, theirs = socket.socketpair()
        ours.settimeout(_REPLY_TIMEOUT_S)
        with theirs:
            env = {**os.environ, "PYTHONPATH": str(_REPO)}
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                env=env,
                start_new_session=True,
            )
        self._channel = Channel(ours)
        self._lock = threading.Lock()

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, command: str, *arguments: object) -> Any:
        """Send a command and return its answer, or raise the exception that it raised there."""
        with self._lock:
            self._channel.send((command, arguments))
            answer = self._channel.receive()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        """End the process. More than once does no harm."""
        self._channel.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def answer(channel: Channel, handler: object) -> bool:
    """In a helper: take one command, call the handler's method of that name, answer. False when the lab is gone."""
    try:
        command, arguments = channel.receive()
    except (EOFError, OSError):
        return False
    try:
        result = getattr(handler, command)(*arguments)
    except Exception as error:  # handed to the caller, who raises it
        result = error
    with contextlib.suppress(OSError):
        channel.send(result)
    return True


def given_channel() -> Channel:
    """In a helper: the channel to the process that started it."""
    return Channel(socket.socket(fileno=int(sys.argv[1])))
