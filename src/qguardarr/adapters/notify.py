"""Sends notifications, through Apprise.

Apprise takes tens of megabytes, so it runs in a child process that lives for one message: `python -m
qguardarr.adapters.notify` reads an `Order` from its standard input and prints a `Line` for each service.
Addresses hold tokens: they go through that pipe alone, and of what Apprise says only known words come back.
"""

from __future__ import annotations

import contextlib
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec
import structlog

from qguardarr.adapters.notify_child import Line, Order, main
from qguardarr.engine.ports import Notification

CHILD_TIMEOUT_S: Final = 60.0
"""For one message to all services."""
RETRIES_S: Final = (60.0, 300.0, 1800.0)
"""A service that failed is tried again after these, then given up."""
MOST_WAITING: Final = 100
"""More of them, and the oldest is dropped."""
PROBLEM_S: Final = 86400.0
"""Longest that a failure is shown after its last occurrence: perhaps nothing is sent for weeks after it."""
CLOSE_S: Final = 1.5

_ANSWER_WITHIN: Final = 0.8
"""So much of its time the child waits for services; then it says which did not answer."""

log = structlog.get_logger("qguardarr.notify")


class Result(msgspec.Struct, frozen=True):
    """What became of a message at one service."""

    place: str
    """In the configuration: `notifications.urls[0]`."""
    service: str
    """`Telegram`, …; empty if it is not known."""
    problem: str
    """Why it was not delivered; empty if it was. Free of secrets."""

    @property
    def ok(self) -> bool:
        """Whether the service took it."""
        return not self.problem

    def __str__(self) -> str:
        name = f"{self.service} ({self.place})" if self.service else self.place
        return f"{name}: {self.problem or 'delivered'}"


TEST: Final = Notification(
    "test", "Qguardarr: a test", "This is what notifications of Qguardarr look like. Nothing is wrong.", "info"
)


class _Waiting:
    """A notification on its way."""

    def __init__(self, notification: Notification, due_at: float) -> None:
        self.notification = notification
        self.due_at = due_at
        self.attempts = 0
        self.delivered: set[str] = set()
        """Addresses that have it."""


class Backlog:
    """What waits to be sent, at most `MOST_WAITING`. Times are seconds of one clock, passed in."""

    def __init__(self, retries_s: Sequence[float] = RETRIES_S) -> None:
        self.dropped = 0
        self._retries_s = retries_s
        self._waiting: deque[_Waiting] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, notification: Notification, now: float) -> None:
        """It is due now. The oldest gives way if there are too many."""
        self._put(_Waiting(notification, now))

    def take(self, now: float) -> _Waiting | None:
        """The first that is due; None if none is."""
        first = min(self._waiting, key=lambda waiting: waiting.due_at, default=None)
        if first is None or first.due_at > now:
            return None
        self._waiting.remove(first)
        return first

    def next_due_at(self) -> float | None:
        """When the first is due; None if nothing waits."""
        return min((waiting.due_at for waiting in self._waiting), default=None)

    def again(self, failed: _Waiting, now: float) -> float | None:
        """Put it back after a failure: after how many seconds it is due; None if it was tried often enough."""
        if failed.attempts >= len(self._retries_s):
            return None
        after_s = self._retries_s[failed.attempts]
        failed.attempts += 1
        failed.due_at = now + after_s
        self._put(failed)
        return after_s

    def hurry(self, now: float) -> None:
        """All are due now: what made them fail may be mended."""
        for waiting in self._waiting:
            waiting.due_at = min(waiting.due_at, now)

    def _put(self, waiting: _Waiting) -> None:
        if len(self._waiting) >= MOST_WAITING:
            self._waiting.popleft()
            self.dropped += 1
        self._waiting.append(waiting)


class Notifier:
    """Sends in a thread of its own, which is started with the first message.

    Args:
        command: runs this module with the Python of the installation.
        retries_s: pauses between attempts, seconds.
        timeout_s: for one attempt, seconds.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        retries_s: Sequence[float] = RETRIES_S,
        timeout_s: float = CHILD_TIMEOUT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._command = tuple(command)
        self._timeout_s = timeout_s
        self._urls: tuple[str, ...] = ()
        self._backlog = Backlog(retries_s)
        self._clock = clock
        self._problem = ""
        self._tried_at = 0.0
        self._changed = threading.Condition()
        self._closing = False
        self._thread: threading.Thread | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._child_lock = threading.Lock()

    @property
    def problem(self) -> str:
        """Why the last message did not arrive everywhere; empty if it did. Free of secrets."""
        return self._problem if self._clock() - self._tried_at < PROBLEM_S else ""

    @property
    def dropped(self) -> int:
        """Messages that gave way to newer ones."""
        return self._backlog.dropped

    def configure(self, urls: Sequence[str]) -> None:
        """Other addresses; what waits is sent to those of them that do not have it yet."""
        with self._changed:
            if tuple(urls) == self._urls:
                return
            self._urls = tuple(urls)
            self._problem = ""
            self._backlog.hurry(self._clock())
            self._changed.notify()

    def send(self, notifications: Iterable[Notification]) -> None:
        """Never waits, never raises. Without addresses nothing is sent."""
        with self._changed:
            if not self._urls or self._closing:
                return
            before = self._backlog.dropped
            for notification in notifications:
                self._backlog.add(notification, self._clock())
            if self._backlog.dropped > before:
                log.warning("notifications_dropped", count=self._backlog.dropped - before, reason="too many wait")
            if self._thread is None and len(self._backlog):
                self._thread = threading.Thread(target=self._run, name="notify", daemon=True)
                self._thread.start()
            self._changed.notify()

    def test(self) -> list[Result]:
        """Send a test message to all addresses, and wait for what becomes of it."""
        return self._deliver(self._urls, TEST)

    def close(self) -> None:
        """Give up what waits; within 2 s."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        with self._child_lock:
            if self._child is not None:
                self._child.kill()
        if self._thread is not None:
            self._thread.join(CLOSE_S)
        if len(self._backlog):
            log.warning("notifications_not_sent", count=len(self._backlog))

    # -- in the thread ------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while (waiting := self._next()) is not None:
            try:
                self._attempt(waiting)
            except Exception:  # a defect must not end the thread: later messages may matter more
                log.exception("defect")

    def _next(self) -> _Waiting | None:
        """Wait for the next that is due; None at the end."""
        with self._changed:
            while not self._closing:
                now = self._clock()
                waiting = self._backlog.take(now)
                if waiting is not None:
                    return waiting
                due_at = self._backlog.next_due_at()
                self._changed.wait(None if due_at is None else max(0.0, due_at - now))
        return None

    def _attempt(self, waiting: _Waiting) -> None:
        with self._changed:
            urls = [url for url in self._urls if url not in waiting.delivered]
        if not urls:
            return
        results = self._deliver(urls, waiting.notification)
        waiting.delivered |= {url for url, result in zip(urls, results, strict=True) if result.ok}
        failed = [result for result in results if not result.ok]
        told = waiting.notification.event
        with self._changed:
            if self._closing:
                return
            now = self._clock()
            self._problem, self._tried_at = "; ".join(map(str, failed)), now
            again_s = self._backlog.again(waiting, now) if failed else None
        for result in failed:
            log.warning("notification_failed", of=told, result=str(result), tried_again_after_s=again_s)
        if not failed:
            log.info("notified", of=told, services=len(results))

    def _deliver(self, urls: Sequence[str], notification: Notification) -> list[Result]:
        """One attempt at all `urls`, each with its result."""
        order = Order(
            tuple(urls),
            notification.title,
            notification.body,
            notification.severity,
            _ANSWER_WITHIN * self._timeout_s,
        )
        said, why_not = self._run_child(msgspec.json.encode(order))
        lines = {line.index: line for line in map(_line, said.splitlines()) if line is not None}
        missing = Line(-1, "", why_not)
        return [
            Result(f"notifications.urls[{self._place(url)}]", line.service, line.problem)
            for line, url in ((lines.get(index, missing), url) for index, url in enumerate(urls))
        ]

    def _place(self, url: str) -> str:
        return str(self._urls.index(url)) if url in self._urls else "?"

    def _run_child(self, order: bytes) -> tuple[bytes, str]:
        """What the child printed, and why it may have left services out."""
        try:
            with self._child_lock:
                if self._closing:
                    return b"", "not sent: Qguardarr ends"
                child = self._child = subprocess.Popen(  # noqa: S603 # our own
                    self._command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
        except OSError as error:
            return b"", f"the process that sends it cannot be started: {error.strerror or type(error).__name__}"
        try:
            said, _ = child.communicate(order, self._timeout_s)
        except subprocess.TimeoutExpired:
            child.kill()
            said, _ = child.communicate()
            return said, f"no answer within {self._timeout_s:.0f} s"
        finally:
            with self._child_lock:
                self._child = None
        return said, f"the process that sends it ended with {child.returncode}"


def _line(text: bytes) -> Line | None:
    with contextlib.suppress(msgspec.DecodeError):
        return msgspec.json.decode(text, type=Line)
    return None


if __name__ == "__main__":
    main()
