"""The child process that sends one message through Apprise.

It reads an `Order` from its standard input and writes a `Result` to its standard output for each service, as a line of
JSON.
"""

from __future__ import annotations

import contextlib
import contextvars
import logging
import os
import re
import signal
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    import apprise

_AT_ONCE: Final = 16
_NO_ADDRESS: Final = "Apprise does not understand this address; write it as github.com/caronc/apprise/wiki says"


class Order(msgspec.Struct, frozen=True):
    """A message and where to send it."""

    urls: dict[str, str]
    """By place in the configuration: `notifications.urls[0]`."""
    title: str
    body: str
    type: str
    within_s: float
    """Seconds from the child's start. Services that did not answer by then have failed."""


class Result(msgspec.Struct, frozen=True):
    """Result of a message at one service."""

    place: str
    """Place of its address in the configuration: `notifications.urls[0]`."""
    service: str
    """As Apprise names it, such as `Telegram`; empty if the address is not understood."""
    problem: str
    """Why the message was not delivered; empty if it was. Free of secrets."""

    @property
    def ok(self) -> bool:
        """Whether the service took it."""
        return not self.problem

    def __str__(self) -> str:
        name = f"{self.service} ({self.place})" if self.service else self.place
        return f"{name}: {self.problem or 'delivered'}"


_heard: contextvars.ContextVar[list[str]] = contextvars.ContextVar("_heard")
"""Warnings of Apprise about the service that the present context sends to."""


class _Ear(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(LookupError):
            _heard.get().append(record.getMessage())


def main() -> None:
    """Carry out the order on standard input, and end the process."""
    started = time.monotonic()
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    signal.alarm(int(2 * order.within_s) + 1)  # should the parent die
    os.nice(10)
    with _hush(), os.fdopen(os.dup(1), "wb") as out:
        os.dup2(2, 1)  # whatever plugins print is no line of ours
        for result in _send_all(order, started):
            out.write(msgspec.json.encode(result) + b"\n")
            out.flush()  # it counts even if this process is killed
    os._exit(0)  # threads of services that do not answer would be waited for


def not_understood(urls: Sequence[str]) -> list[int]:
    """Return the indices of addresses that Apprise does not understand. Loads Apprise; sends nothing."""
    with _hush(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Apprise's own imports
        return [index for index, url in enumerate(urls) if _service(url) is None]


@contextlib.contextmanager
def _hush() -> Iterator[None]:
    """Keep Apprise's warnings, which may hold addresses, out of every log; they are collected in `_heard`."""
    ear = logging.getLogger("apprise")
    before = ear.handlers, ear.propagate
    ear.handlers, ear.propagate = [_Ear(logging.WARNING)], False
    try:
        yield
    finally:
        ear.handlers, ear.propagate = before


def _service(url: str) -> apprise.Apprise | None:
    import apprise  # noqa: PLC0415

    one = apprise.Apprise(asset=apprise.AppriseAsset(app_id="Qguardarr"))
    return one if one.add(url) else None


def _send_all(order: Order, started: float) -> Iterator[Result]:
    """Send to all services at once, so that a silent one keeps no other waiting. Yield results as they come."""
    pool = ThreadPoolExecutor(_AT_ONCE)
    asked = {}
    for place, url in order.urls.items():
        if (one := _service(url)) is not None:
            asked[pool.submit(contextvars.Context().run, _send, one, order)] = (place, str(one[0].service_name))
        else:
            yield Result(place, "", _NO_ADDRESS)
    with contextlib.suppress(TimeoutError):
        for call in as_completed(list(asked), max(0.0, started + order.within_s - time.monotonic())):
            yield Result(*asked.pop(call), call.result())
    for place, service in asked.values():
        yield Result(place, service, f"no answer within {order.within_s:.0f} s")


def _send(one: apprise.Apprise, order: Order) -> str:
    """Send to one service, and say why it failed; empty if it did not.

    Apprise's warnings may hold secrets, so only known words of them are passed on.
    """
    warned: list[str] = []
    _heard.set(warned)
    try:
        if one.notify(body=order.body, title=order.title, notify_type=order.type, body_format="text"):
            return ""
    except Exception as error:  # of a plugin
        return f"not delivered ({type(error).__name__})"
    text = " ".join(warned)
    if status := re.search(r"\berror=(\d{3})\b", text):
        return f"not delivered (HTTP {status[1]})"
    if re.search(r"(?i)connection|socket", text):
        return "not delivered (no connection, or no answer)"
    return "not delivered"


if __name__ == "__main__":
    main()
