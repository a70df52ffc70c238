"""The child process of `backtrack`. It loads `re` and little else, and takes 9 MB."""

from __future__ import annotations

import re
import resource
import signal
import struct
import sys
import warnings
from types import FrameType
from typing import IO, Final

HEAD: Final = struct.Struct("=dII")
"""Head of a question: seconds of processor time, lengths of pattern and text in bytes. Pattern and text follow; the
answer is one byte."""
FOUND: Final = b"1"
NOT_FOUND: Final = b"0"
TOO_LONG: Final = b"t"

_MOST_BYTES: Final = 512 * 1024 * 1024
"""Address space of the child; `re` keeps its backtracking on the heap."""


class _TooLong(Exception):
    pass


def main() -> None:
    """Answer questions until standard input ends."""
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_BYTES, _MOST_BYTES))
    signal.signal(signal.SIGPROF, _give_up)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGPROF})
    warnings.simplefilter("ignore")
    while head := sys.stdin.buffer.read(HEAD.size):
        cpu_s, pattern_bytes, text_bytes = HEAD.unpack(head)
        pattern, text = _read(sys.stdin.buffer, pattern_bytes), _read(sys.stdin.buffer, text_bytes)
        sys.stdout.buffer.write(_search(pattern, text, cpu_s))
        sys.stdout.buffer.flush()


def _read(source: IO[bytes], size: int) -> str:
    return source.read(size).decode("utf-8", "surrogatepass")


def _search(pattern: str, text: str, cpu_s: float) -> bytes:
    compiled = re.compile(pattern, re.IGNORECASE)  # cached by `re`
    try:
        try:
            signal.setitimer(signal.ITIMER_PROF, cpu_s)  # `re` checks for signals now and then
            return FOUND if compiled.search(text) else NOT_FOUND
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
    except (_TooLong, MemoryError, RecursionError):
        return TOO_LONG


def _give_up(_signal: int, _frame: FrameType | None) -> None:
    raise _TooLong


if __name__ == "__main__":
    main()
