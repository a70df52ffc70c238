"""The cost of frames in the browser: processor time of the page's thread, out of Chromium's own tracing."""

from __future__ import annotations

import bisect
import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

MARK: Final = "frame"
"""What the page marks by `performance.mark` at each frame."""
_TASK: Final = "ThreadControllerImpl::RunTask"


class Frame(NamedTuple):
    """Work of the page's thread from one mark to the next, ms."""

    cpu: float
    wall: float


@contextlib.contextmanager
def traced(browser: Any, page: Any) -> Iterator[Callable[[], list[Frame]]]:
    """Trace the page for the length of a block; afterwards the function returns its frames."""
    browser.start_tracing(page=page, categories=["toplevel", "blink.user_timing"])
    found: list[bytes] = []
    try:
        yield lambda: _frames(found[0])
    finally:
        found.append(browser.stop_tracing())


def _frames(trace: bytes) -> list[Frame]:
    events = json.loads(trace)["traceEvents"]
    marks = [event for event in events if event["name"] == MARK]
    thread = (marks[0]["pid"], marks[0]["tid"])
    ends = sorted(event["ts"] for event in marks)
    cpu, wall = [0.0] * len(ends), [0.0] * len(ends)
    for event in events:
        if event["name"] == _TASK and (event["pid"], event["tid"]) == thread and "tdur" in event:
            place = bisect.bisect_left(ends, event["ts"])
            if place < len(ends):
                cpu[place] += event["tdur"] / 1000
                wall[place] += event["dur"] / 1000
    return [Frame(*times) for times in zip(cpu[1:], wall[1:], strict=True)]
