"""Send notifications through Apprise, in a child process that lives for one message: Apprise takes tens of megabytes.

Addresses hold tokens: they reach `python -m qguardarr.adapters.notify_child` through its standard input alone, and only
known words of Apprise's messages come back.
"""

from __future__ import annotations

import contextlib
import itertools
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec
import structlog

from qguardarr.adapters.notify_child import Order, Result
from qguardarr.engine.feature_ports import Notification
from qguardarr.features.retry_queue import RetryQueue

CHILD_TIMEOUT_S: Final = 60.0
"""For one message to all services."""
RETRIES_S: Final = (60.0, 300.0, 1800.0)
"""Pauses before a failed message is sent again to the services that lack it; then it is given up."""
MOST_WAITING: Final = 100
"""Messages that wait; a further one replaces the oldest."""
PROBLEM_S: Final = 86400.0
"""How long a failure is shown, as perhaps nothing is sent for weeks after it."""
CLOSE_S: Final = 1.5
"""How long `close` waits for the thread."""

_ANSWER_WITHIN: Final = 0.8
"""Part of its time that the child waits for services; in the rest it says which did not answer."""

log = structlog.get_logger("qguardarr.notify")


TEST: Final = Notification(
    "test", "Qguardarr: a test", "This is what notifications of Qguardarr look like. Nothing is wrong.", "info"
)


@dataclass
class _Message:
    """A notification on its way."""

    key: str
    notification: Notification
    next_try_at: float
    """Monotonic seconds."""
    attempts: int = 0
    delivered: set[str] = field(default_factory=set)
    """Addresses that have it."""


class Notifier:
    """Send in a thread of its own, which starts with the first message. Usable from any thread."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        retries_s: Sequence[float] = RETRIES_S,
        timeout_s: float = CHILD_TIMEOUT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare it. `command` runs `notify_child`; `timeout_s`: of one attempt; `clock`: monotonic seconds."""
        self._command = tuple(command)
        self._timeout_s = timeout_s
        self._urls: dict[str, str] = {}
        """By place in the configuration."""
        self._retries_s = retries_s
        self._queue: RetryQueue[_Message] = RetryQueue()
        self._sent = itertools.count()
        self.dropped = 0
        """Messages that gave way to newer ones."""
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
        """Why the last message did not reach all services; empty if it did. Free of secrets."""
        return self._problem if self._clock() - self._tried_at < PROBLEM_S else ""

    @property
    def waiting(self) -> int:
        """Number of messages that wait, without the one that is being sent."""
        return len(self._queue)

    @property
    def next_try_at(self) -> float | None:
        """When the next message is due, by `clock`; None if none waits."""
        with self._changed:
            return self._queue.next_due_at()

    def configure(self, urls: Sequence[str]) -> None:
        """Take up other addresses. Messages that wait are sent at once to those of them that lack the message."""
        with self._changed:
            new = {f"notifications.urls[{index}]": url for index, url in enumerate(urls)}
            if new == self._urls:
                return
            self._urls = new
            self._problem = ""
            for message in self._queue.values():
                message.next_try_at = min(message.next_try_at, self._clock())
            self._changed.notify()

    def send(self, notifications: Iterable[Notification]) -> None:
        """Have notifications sent. Without addresses they are dropped. Never waits, never raises."""
        with self._changed:
            if not self._urls or self._closing:
                return
            before = self.dropped
            for notification in notifications:
                self._put(_Message(str(next(self._sent)), notification, self._clock()))
            if self.dropped > before:
                log.warning("notifications_dropped", count=self.dropped - before, reason="too many wait")
            if self._thread is None and self._queue:
                self._thread = threading.Thread(target=self._run, name="notify", daemon=True)
                self._thread.start()
            self._changed.notify()

    def test(self) -> list[Result]:
        """Send a test message to all addresses, and wait for the results."""
        return self._deliver(self._urls, TEST)

    def close(self) -> None:
        """End within 2 s. Messages that wait are given up."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        with self._child_lock:
            if self._child is not None:
                self._child.kill()
        if self._thread is not None:
            self._thread.join(CLOSE_S)
        if self._queue:
            log.warning("notifications_not_sent", count=len(self._queue))

    # -- in the thread ------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while (message := self._next()) is not None:
            try:
                self._attempt(message)
            except Exception:  # a defect must not end the thread: later messages may matter more
                log.exception("defect")

    def _put(self, message: _Message) -> None:
        if len(self._queue) >= MOST_WAITING:
            del self._queue[next(iter(self._queue))]
            self.dropped += 1
        self._queue[message.key] = message

    def _next(self) -> _Message | None:
        """Wait until a message is due, and take it out of the queue; None at the end."""
        with self._changed:
            while not self._closing:
                now = self._clock()
                if (message := self._queue.due(now)) is not None:
                    return self._queue.pop(message.key)
                due_at = self._queue.next_due_at()
                self._changed.wait(None if due_at is None else max(0.0, due_at - now))
        return None

    def _attempt(self, message: _Message) -> None:
        with self._changed:
            urls = {place: url for place, url in self._urls.items() if url not in message.delivered}
        if not urls:
            return
        results = self._deliver(urls, message.notification)
        message.delivered |= {urls[result.place] for result in results if result.ok}
        failed = [result for result in results if not result.ok]
        event, pause_s = message.notification.event, None
        with self._changed:
            if self._closing:
                return
            self._problem, self._tried_at = "; ".join(map(str, failed)), self._clock()
            if failed and message.attempts < len(self._retries_s):
                pause_s = self._retries_s[message.attempts]
                message.attempts += 1
                message.next_try_at = self._tried_at + pause_s
                self._put(message)
        for result in failed:
            log.warning("notification_failed", of=event, result=str(result), tried_again_after_s=pause_s)
        if not failed:
            log.info("notified", of=event, services=len(results))

    def _deliver(self, urls: Mapping[str, str], notification: Notification) -> list[Result]:
        """Make one attempt. Return the result at each of the `urls`, which are given by place."""
        within_s = _ANSWER_WITHIN * self._timeout_s
        order = Order(dict(urls), notification.title, notification.body, notification.severity, within_s)
        output, why_not = self._run_child(msgspec.json.encode(order))
        results = {}
        for line in output.splitlines():
            with contextlib.suppress(msgspec.DecodeError):
                result = msgspec.json.decode(line, type=Result)
                results[result.place] = result
        return [results.get(place) or Result(place, "", why_not) for place in urls]

    def _run_child(self, order: bytes) -> tuple[bytes, str]:
        """Return the output of the child, and why it may have left services out."""
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
            output, _ = child.communicate(order, self._timeout_s)
        except subprocess.TimeoutExpired:
            child.kill()
            output, _ = child.communicate()
            return output, f"no answer within {self._timeout_s:.0f} s"
        finally:
            with self._child_lock:
                self._child = None
        return output, f"the process that sends it ended with {child.returncode}"
