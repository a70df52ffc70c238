"""A program on a pseudo-terminal, as a person has it before them."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

PATIENCE_S: Final = 60.0
"""How long a test waits for something to appear on a busy machine."""
REDRAWN: Final = "\r\x1b[K"
"""The only control sequence that the commands use: to draw a line of progress over itself."""
CTRL_C: Final = "\x03"
CTRL_D: Final = "\x04"
CTRL_Z: Final = "\x1a"


class Terminal:
    """A process with a terminal of its own: what it prints, what is typed, and its exit code."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        cwd: Path,
        environment: Mapping[str, str],
        columns: int = 80,
        rows: int = 24,
    ) -> None:
        """`environment`: on top of this process's own."""
        self.columns = columns
        self.output = ""
        self._seen = 0
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.process = subprocess.Popen(
            command,
            cwd=cwd,
            env={**os.environ, "TERM": "xterm-256color", "LANG": "C.UTF-8", **environment},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # so that Ctrl-C reaches it
        )
        os.close(slave)

    def expect(self, text: str) -> str:
        """Wait until `text` appears; what came before it, since the last call."""
        deadline = time.monotonic() + PATIENCE_S
        while (at := self.output.find(text, self._seen)) < 0:
            assert self._read(deadline), f"{text!r} never appeared; the terminal shows:\n{self.output[self._seen :]}"
        found, self._seen = self.output[self._seen : at], at + len(text)
        return found

    def type(self, text: str) -> None:
        """Bytes that are no text may be given as lone surrogates."""
        os.write(self._master, text.encode(errors="surrogateescape"))

    def wait(self) -> int:
        """Exit code as a shell gives it, once the program has ended."""
        deadline = time.monotonic() + PATIENCE_S
        while self._read(deadline):
            pass
        code = self.process.wait(max(0.1, deadline - time.monotonic()))
        return code if code >= 0 else 128 - code

    def lines(self) -> bool:
        """Whether input comes by lines, as it has to be after a program that read key by key."""
        return bool(termios.tcgetattr(self._master)[3] & termios.ICANON)

    def echoes(self) -> bool:
        """Whether what is typed is shown, as it has to be after a program that hid it."""
        return bool(termios.tcgetattr(self._master)[3] & termios.ECHO)

    def resize(self, columns: int, rows: int = 24) -> None:
        """Give the window another size, of which the program is told."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def close(self) -> None:
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        os.close(self._master)

    def _read(self, deadline: float) -> bool:
        """Take in more; False at the end, or when time is up."""
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([self._master], [], [], left)[0]:
            return False
        try:
            piece = os.read(self._master, 65_536)
        except OSError:  # Linux's way to say that nobody has the other side open
            return False
        self.output += piece.decode("utf-8", "replace").replace("\r\n", "\n")
        return bool(piece)


@contextlib.contextmanager
def terminal(
    command: Sequence[str], *, cwd: Path, environment: Mapping[str, str], columns: int = 80
) -> Iterator[Terminal]:
    """A terminal for the length of a block."""
    opened = Terminal(command, cwd=cwd, environment=environment, columns=columns)
    try:
        yield opened
    finally:
        opened.close()


def shown(output: str) -> str:
    """What stays on the screen: without lines that were drawn over. Fails for any other control character."""
    kept = re.sub(r"\r\x1b\[K[^\r\n]*(?=\r\x1b\[K)", "", output).replace(REDRAWN, "")
    steering = sorted({sign for sign in kept if not sign.isprintable()} - {"\n"})
    assert not steering, f"control characters {steering!a} in {kept!a}"
    return kept
