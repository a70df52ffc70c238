"""What is seen of the demo: a live table in a terminal, a line now and then elsewhere, and the summary."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from types import TracebackType
from typing import Final, Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from demo.story import SCENES, STORY, scene_at
from lab.measure import Span
from lab.rig import Outcome
from qguardarr.core.units import format_speed
from qguardarr.service.status import Status

WINDOW_S: Final = 10.0
NOW_S: Final = 2.0
_LINE_EVERY_S: Final = 4.0
_BAR_COLUMNS: Final = 26
_BAR_SHOWS: Final = 1.2
"""Length of the bar, in caps: what is beyond the mark is over the cap."""


class Truth:
    """What the peers received, by tracker, over the last seconds."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, Mapping[str, int]]] = deque()

    def add(self, at: float, totals: Mapping[str, int]) -> None:
        """`totals`: payload bytes so far."""
        self._samples.append((at, totals))
        while at - self._samples[0][0] > WINDOW_S + 1.0:
            self._samples.popleft()

    def rate(self, tracker: str, window_s: float) -> float:
        """Bytes/s over the last `window_s` seconds, or since the start if that is less."""
        if len(self._samples) < 2:
            return 0.0
        end_at, end = self._samples[-1]
        start_at, start = next(
            (sample for sample in reversed(self._samples) if end_at - sample[0] >= window_s - 0.1), self._samples[0]
        )
        return (end[tracker] - start[tracker]) / (end_at - start_at)


class Show:
    """Draws; `update` is called about twice a second."""

    def __init__(self, console: Console, version: str) -> None:
        self._console = console
        self._version = version
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._scene = -1
        self._said_at = -math.inf
        self.written_limits = 0

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def update(self, elapsed_s: float, truth: Truth, status: Status | None) -> None:
        """Show this moment."""
        if status is not None:
            self.written_limits = status.written_limits
        if self._live is not None:
            self._live.update(self._picture(elapsed_s, truth, status), refresh=True)
        else:
            self._lines(elapsed_s, truth)

    def _picture(self, elapsed_s: float, truth: Truth, status: Status | None) -> Group:
        scene = SCENES[scene_at(elapsed_s)]
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for head in ("tracker", "cap", "wanted", "now"):
            table.add_column(head, justify="left" if head == "tracker" else "right", no_wrap=True)
        table.add_column(f"last {WINDOW_S:.0f} s", no_wrap=True)
        for tracker in STORY.trackers:
            cap = float(tracker.cap or math.inf)
            use = truth.rate(tracker.name, WINDOW_S) / cap
            table.add_row(
                tracker.name,
                format_speed(cap),
                _wanted(tracker.name, elapsed_s),
                format_speed(truth.rate(tracker.name, NOW_S)),
                _bar(use, ascii_only=self._console.options.ascii_only),
            )
        calls = f" in {status.written_calls} calls" if status is not None else ""
        return Group(
            Text(f"qBittorrent {self._version}, {elapsed_s:4.0f} of {STORY.duration_s:.0f} s", style="bold"),
            Text(scene.words + "\n", style="cyan"),
            table,
            Text(f"\nlimits written so far: {self.written_limits}{calls}. Rates are what the peers received."),
        )

    def _lines(self, elapsed_s: float, truth: Truth) -> None:
        scene = scene_at(elapsed_s)
        if scene != self._scene:
            self._scene = scene
            self._console.print(f"{elapsed_s:3.0f} s  {SCENES[scene].words}", soft_wrap=True)
        if elapsed_s - self._said_at >= _LINE_EVERY_S:
            self._said_at = elapsed_s
            parts = (
                f"{t.name} {format_speed(truth.rate(t.name, WINDOW_S))} of {format_speed(t.cap or math.inf)}"
                for t in STORY.trackers
            )
            self._console.print(
                f"{elapsed_s:3.0f} s  last {WINDOW_S:.0f} s: {', '.join(parts)}; "
                f"limits written so far: {self.written_limits}",
                soft_wrap=True,
            )


SUMMARY_NOTE: Final = (
    "Counted by the peers, from the first second on. use: of what cap and demand allow together. "
    "settled after: seconds from each change of demand until the rate is right."
)


def summary(outcome: Outcome) -> Table:
    """How well the caps were held."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for head in ("tracker", "cap", "mean", "use", "worst 10 s", "settled after"):
        table.add_column(head, justify="left" if head in ("tracker", "settled after") else "right", no_wrap=True)
    for tracker in STORY.trackers:
        found = outcome.measures[tracker.name]
        due = sum(s.span.due * _length(s.span) for s in found.spans)
        came = sum(s.mean_rate * _length(s.span) for s in found.spans)
        settled = (("not yet" if s.settling_s is None else f"{s.settling_s:.0f} s") for s in found.spans)
        table.add_row(
            tracker.name,
            format_speed(tracker.cap or math.inf),
            format_speed(found.mean_rate),
            f"{came / due:.1%}" if due else "-",
            f"{found.worst_10s:.2f} × cap",
            ", ".join(settled),
        )
    return table


def _length(span: Span) -> float:
    return span.end - span.start


def _wanted(tracker: str, elapsed_s: float) -> str:
    demands = STORY.phases[scene_at(elapsed_s)].demands[tracker]
    if None in demands:
        return "all it gets"
    total = sum(demand for demand in demands if demand is not None)
    return format_speed(total) if total else "nothing"


def _bar(use: float, *, ascii_only: bool) -> Text:
    """`use` is a share of the cap."""
    full, empty, mark = ("#", "-", "|") if ascii_only else ("█", "·", "│")
    at = round(_BAR_COLUMNS / _BAR_SHOWS)
    filled = min(_BAR_COLUMNS, round(use * _BAR_COLUMNS / _BAR_SHOWS))
    cells = [full if n < filled else empty for n in range(_BAR_COLUMNS)]
    if filled <= at:
        cells.insert(at, mark)
    style = "green" if use <= 1.03 else "yellow" if use <= 1.10 else "red"
    return Text.assemble(("".join(cells), style), f" {use:6.1%}")
