"""Search with Python's `re`, in a child process, for the few patterns that RE2 cannot express.

`re` may backtrack for ever on a text that a stranger chose. Each search has a budget of processor time; a text that
exceeds it counts as no match, and the status says so. The child itself ends such a search and says so. A child that
cannot be started, dies or falls silent has told nothing: that is a `SearchFailed`, never a "no match". It is killed,
and replaced when the next question comes. It is started when first needed, and ends with this process.
"""

from __future__ import annotations

import contextlib
import select
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from qguardarr.adapters.backtrack_child import FOUND, HEAD, NOT_FOUND, TOO_LONG
from qguardarr.errors import SearchFailed

CPU_S: Final = 0.25
"""Processor time of one search. An ordinary announce URL takes a thousandth of it."""
LEAST_CPU_S: Final = 0.01
"""Processor time of a search when many before it ran out of time; the resolution of the kernel's timer."""
WASTE_S: Final = 1.0
"""Processor time that failing searches may waste each minute; each of them may take a quarter of the rest."""
WALL_S: Final = 5.0
"""Silence after which the child is killed. The processor time should have ended the search long before."""
START_S: Final = 15.0
"""The same for a child's first answer, seconds: on a busy small machine it takes a while to start, and killing it then
would begin that again and again."""
PAUSE_S: Final = 0.5
"""After a failure nothing is asked for as long as it took, and for this long at least: thousands of torrents may wait
for answers within one cycle."""

log = structlog.get_logger("qguardarr.backtrack")


class Backtracker:
    """Ask the child, one question at a time. Usable from any thread."""

    def __init__(
        self, command: Sequence[str], clock: Callable[[], float] = time.monotonic, *, reports: bool = True
    ) -> None:
        """Prepare it. `command` runs `backtrack_child`; `clock`: monotonic seconds.

        `reports`: what takes too long or fails is logged and counted.
        """
        self._reports = reports
        self._command = list(command)
        self._clock = clock
        self._turn = threading.Lock()
        """Held while a question is asked."""
        self._lock = threading.Lock()
        """Guards the child and the flag."""
        self._child: subprocess.Popen[bytes] | None = None
        self._has_answered = False
        """Whether the present child ever did."""
        self._closed = False
        self._waste_s = WASTE_S
        self._refilled_at = clock()
        self.unanswered: dict[str, int] = {}
        """Number of texts that took too long, by pattern. They count as no match."""
        self.problem = ""
        """Why the last search failed, as what the child did; empty if it gave an answer."""
        self._ask_from = clock()

    def __call__(self, pattern: str, text: str) -> bool:
        """Tell whether `re` finds the pattern in the text, ignoring case. False if the child says that takes too long.

        SearchFailed if the child says nothing.
        """
        with self._turn:
            asked_at = self._clock()
            if asked_at < self._ask_from:
                raise self._failure()
            cpu_s = self.allowance_s()
            try:
                answer = self._ask(_question(pattern, text, cpu_s))
            except _NoAnswer as error:
                self._note_problem(str(error))
                now = self._clock()
                self._ask_from = now + max(PAUSE_S, now - asked_at)
                raise self._failure() from None
            self._note_problem("")
            if answer == TOO_LONG:
                self._waste_s = max(0.0, self._waste_s - cpu_s)
                if self._reports:
                    self._note_slow(pattern)
            return answer == FOUND

    def allowance_s(self) -> float:
        """Return the processor time of the next search, seconds; it shrinks with time spent in vain."""
        now = self._clock()
        self._waste_s = min(WASTE_S, self._waste_s + (now - self._refilled_at) * WASTE_S / 60.0)
        self._refilled_at = now
        return max(LEAST_CPU_S, min(CPU_S, self._waste_s / 4))

    def forget(self) -> None:
        """Forget which texts took too long: all are matched again."""
        with self._turn:
            self.unanswered = {}

    def close(self) -> None:
        """End the child. A search under way, and all later ones, fail."""
        with self._lock:
            self._closed = True
        self._end_child()

    def _failure(self) -> SearchFailed:
        return SearchFailed(
            f"the process that searches patterns with look-around {self.problem}",
            hint="it is started again by itself; write patterns without look-around and back-references, and none is "
            "needed",
        )

    def _note_slow(self, pattern: str) -> None:
        if pattern not in self.unanswered:
            log.warning("pattern_too_slow", pattern=pattern, advice="URLs that take too long count as no match")
        self.unanswered[pattern] = self.unanswered.get(pattern, 0) + 1

    def _note_problem(self, problem: str) -> None:
        before, self.problem = self.problem, problem
        if self._closed or problem == before or not self._reports:
            return
        if problem:
            log.warning("pattern_search_fails", problem=f"the process {problem}", advice="torrents keep their rules")
        else:
            log.info("pattern_search_works_again")

    def _ask(self, question: bytes) -> bytes:
        """Return the answer, or raise _NoAnswer. A child that has died meanwhile is replaced once."""
        for _ in range(2):
            child = self._running()
            assert child.stdin is not None
            assert child.stdout is not None
            with contextlib.suppress(OSError, ValueError):
                child.stdin.write(question)
                child.stdin.flush()
                patience_s = WALL_S if self._has_answered else START_S
                ready, _, _ = select.select([child.stdout], [], [], patience_s)
                if not ready:
                    self._end_child()
                    raise _NoAnswer(f"gave no answer within {patience_s:.0f} s")
                if (answer := child.stdout.read(1)) in (FOUND, NOT_FOUND, TOO_LONG):
                    self._has_answered = True
                    return answer
            self._end_child()
        raise _NoAnswer("ended without an answer")

    def _running(self) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._closed:
                raise _NoAnswer("has ended with this one")
            if self._child is not None:
                return self._child
            try:
                self._child = subprocess.Popen(  # noqa: S603 # our own
                    self._command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    bufsize=0,
                    start_new_session=True,  # Ctrl-C is not meant for it
                )
            except OSError as error:
                raise _NoAnswer(f"cannot be started: {error.strerror or type(error).__name__}") from None
            self._has_answered = False
            return self._child

    def _end_child(self) -> None:
        with self._lock:
            child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.wait()
            for pipe in (child.stdin, child.stdout):
                assert pipe is not None
                with contextlib.suppress(OSError):
                    pipe.close()


class _NoAnswer(Exception):
    """What the child did in place of an answer, in words."""


def _question(pattern: str, text: str, cpu_s: float) -> bytes:
    a, b = pattern.encode("utf-8", "surrogatepass"), text.encode("utf-8", "surrogatepass")
    return HEAD.pack(cpu_s, len(a), len(b)) + a + b
