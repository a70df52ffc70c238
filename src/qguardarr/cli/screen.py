"""A whole terminal for a program that redraws it: keys as they are typed, and all as it was at the end."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import termios
import tty
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Any, Final

from rich.console import Console
from rich.text import Text

_ENTER: Final = "\x1b[?1049h\x1b[?25l\x1b[2J"
"""Another screen, without a cursor."""
_LEAVE: Final = "\x1b[?25h\x1b[?1049l\x1b[0m"
_ARROWS: Final = {"\x1b[A": "up", "\x1b[B": "down", "\x1b[5~": "page up", "\x1b[6~": "page down"}
_ARROWS_TOO: Final = {"\x1bOA": "up", "\x1bOB": "down"}
_LONGEST_KEY: Final = 64


class Screen:
    """The terminal while it is ours. Use it within `screen()`."""

    def __init__(self) -> None:
        self._console = Console(force_terminal=True, legacy_windows=False, highlight=False, markup=False, emoji=False)
        self._input, self._output = sys.stdin.fileno(), sys.stdout.fileno()
        self._before = termios.tcgetattr(self._input)
        self._woken, self._waker = os.pipe()
        os.set_blocking(self._waker, False)
        os.set_blocking(self._woken, False)

    @property
    def plain(self) -> bool:
        """Whether only ASCII can be shown."""
        return "utf" not in (sys.stdout.encoding or "").lower()

    def size(self) -> tuple[int, int]:
        """Return columns and rows."""
        found = os.get_terminal_size(self._output)
        return found.columns or 80, found.lines or 24

    def draw(self, lines: Sequence[Text]) -> None:
        """Put these lines over the screen, in one write, so that nothing flickers."""
        columns, rows = self.size()
        self._console.size = (columns, rows)
        shown = []
        for line in lines[:rows]:
            with self._console.capture() as captured:
                self._console.print(line, no_wrap=True, overflow="crop", crop=True, end="")
            shown.append(captured.get() + "\x1b[0m\x1b[K")
        self._write("\x1b[H" + "\r\n".join(shown) + "\x1b[J")

    def key(self, timeout_s: float) -> str:
        """Return the next key; empty after that time, a change of size or a call of `wake`."""
        ready, _, _ = select.select([self._input, self._woken], [], [], timeout_s)
        if self._woken in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(self._woken, 4096)
        if self._input not in ready:
            return ""
        typed = os.read(self._input, _LONGEST_KEY)
        if not typed:
            raise SystemExit(0)  # nobody is there any more
        text = typed.decode("utf-8", "replace")
        return _ARROWS.get(text) or _ARROWS_TOO.get(text) or text[:1]

    def wake(self) -> None:
        """End the present wait for a key. For any thread."""
        with contextlib.suppress(OSError):
            os.write(self._waker, b".")

    def enter(self) -> None:
        """Take the terminal over."""
        tty.setcbreak(self._input)
        self._write(_ENTER)

    def leave(self) -> None:
        """Give the terminal back as it was."""
        with contextlib.suppress(OSError):
            self._write(_LEAVE)
        with contextlib.suppress(OSError, termios.error):  # it may be gone
            termios.tcsetattr(self._input, termios.TCSAFLUSH, self._before)

    def close(self) -> None:
        os.close(self._woken)
        os.close(self._waker)

    def _write(self, text: str) -> None:
        data = text.encode(sys.stdout.encoding or "ascii", "replace")
        while data:
            data = data[os.write(self._output, data) :]


@contextlib.contextmanager
def screen() -> Iterator[Screen]:
    """Take the terminal over for a block. However that ends, by a signal too, all is as it was afterwards."""
    found = Screen()

    def end(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    def rest(_number: int, _frame: FrameType | None) -> None:
        """Ctrl-Z: the shell gets its screen, and we ours when it lets us go on."""
        found.leave()
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, rest)
        found.enter()
        found.wake()

    handlers: dict[signal.Signals, Any] = {
        signal.SIGTERM: end,
        signal.SIGHUP: end,
        signal.SIGTSTP: rest,
        signal.SIGWINCH: lambda _number, _frame: found.wake(),
    }
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        found.enter()
        yield found
    finally:
        found.leave()
        for number, handler in before.items():
            signal.signal(number, handler)
        found.close()
