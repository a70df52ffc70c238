"""Show the demo: a live table in a terminal, a line now and then elsewhere, and the summary."""

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

from demo.story import SCENES, STORY, WARM_UP_S, scene_at
from demo.verdict import use_of
from lab.demand import wanted
from lab.rig import Outcome
from qguardarr.core.units import format_speed
from qguardarr.engine.status import Status

WINDOW_S: Final = 10.0
NOW_S: Final = 2.0
_LINE_EVERY_S: Final = 4.0
_BAR_COLUMNS: Final = range(8, 33)
"""Shortest to longest."""
_BESIDE_BARS: Final = 48
"""Columns of all that is no bar."""
_BAR_SHOWS: Final = 1.2
"""Length of the bar, in caps: the part beyond the mark is over the cap."""


class Truth:
    """Bytes that the peers received over the last seconds, by tracker."""

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
        draws = console.is_terminal and not console.is_dumb_terminal
        self._live = Live(console=console, auto_refresh=False) if draws else None
        self._scene = -2
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
        """Show this moment; before 0 it is the warm-up."""
        if status is not None:
            self.written_limits = status.written_limits
        if self._live is not None:
            self._live.update(self.picture(elapsed_s, truth, status), refresh=True)
        else:
            self._lines(elapsed_s, truth)

    def picture(self, elapsed_s: float, truth: Truth, status: Status | None) -> Group:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for head in ("tracker", "cap", "wanted"):
            table.add_column(head, justify="left" if head == "tracker" else "right", no_wrap=True)
        for window_s in (NOW_S, WINDOW_S):
            table.add_column(f"last {window_s:.0f} s", no_wrap=True)
        room = (self._console.width - _BESIDE_BARS) // 2
        bar_columns = min(_BAR_COLUMNS[-1], max(_BAR_COLUMNS[0], room))
        for tracker in STORY.trackers:
            cap = float(tracker.cap or math.inf)
            table.add_row(
                tracker.name,
                format_speed(cap),
                _wanted(tracker.name, elapsed_s),
                *(
                    _bar(truth.rate(tracker.name, window_s) / cap, bar_columns, self._console.options.ascii_only)
                    for window_s in (NOW_S, WINDOW_S)
                ),
            )
        calls = f" in {status.written_calls} calls" if status is not None else ""
        return Group(
            Text(f"qBittorrent {self._version}, {_clock(elapsed_s)}", style="bold"),
            Text(_words(elapsed_s) + "\n", style="cyan"),
            table,
            Text(f"\n{'|' if self._console.options.ascii_only else '│'} is the cap. Rates are those of the peers."),
            Text(f"Limits written so far: {self.written_limits}{calls}."),
        )

    def _lines(self, elapsed_s: float, truth: Truth) -> None:
        scene = -1 if elapsed_s < 0 else scene_at(elapsed_s)
        if scene != self._scene:
            self._scene = scene
            self._console.print(f"{_clock(elapsed_s)}: {_words(elapsed_s)}", soft_wrap=True)
        if elapsed_s - self._said_at >= _LINE_EVERY_S:
            self._said_at = elapsed_s
            parts = (
                f"{t.name} {truth.rate(t.name, NOW_S) / (t.cap or math.inf):.0%}/"
                f"{truth.rate(t.name, WINDOW_S) / (t.cap or math.inf):.0%}"
                for t in STORY.trackers
            )
            self._console.print(
                f"{_clock(elapsed_s)}: of the cap, last {NOW_S:.0f} s/{WINDOW_S:.0f} s: {', '.join(parts)}; "
                f"limits written: {self.written_limits}",
                soft_wrap=True,
            )


def _clock(elapsed_s: float) -> str:
    if elapsed_s < 0:
        return f"warming up, {-elapsed_s:.0f} s to go"
    return f"{elapsed_s:.0f} of {STORY.duration_s:.0f} s"


def _words(elapsed_s: float) -> str:
    words = SCENES[max(0, scene_at(elapsed_s))].words
    return f"{words} Not counted yet." if elapsed_s < 0 else words


SUMMARY_NOTE: Final = (
    f"Counted by the peers, without the {WARM_UP_S:.0f} s of warm-up. use: of what cap and demand allow together, "
    "changes included. settled after: seconds from each change of demand until the rate is right."
)


def summary(outcome: Outcome) -> Table:
    """Return how well the caps were held."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for head in ("tracker", "cap", "mean", "use", "worst 10 s", "settled after"):
        table.add_column(head, justify="left" if head in ("tracker", "settled after") else "right", no_wrap=True)
    for tracker in STORY.trackers:
        found = outcome.measures[tracker.name]
        settled = (("not yet" if s.settling_s is None else f"{s.settling_s:.0f} s") for s in found.spans[1:])
        table.add_row(
            tracker.name,
            format_speed(tracker.cap or math.inf),
            format_speed(found.mean_rate),
            f"{use_of(found):.1%}",
            f"{found.worst_10s:.2f} × cap",
            ", ".join(settled) or "(no change)",
        )
    return table


def _wanted(tracker: str, elapsed_s: float) -> str:
    total = sum(map(wanted, STORY.phases[max(0, scene_at(elapsed_s))].demands[tracker]))
    if math.isinf(total):
        return "all it gets"
    return format_speed(total) if total else "nothing"


def _bar(use: float, length: int, ascii_only: bool) -> Text:
    """`use` is a share of the cap."""
    full, empty, mark = ("#", "-", "|") if ascii_only else ("█", "·", "│")
    at = round(length / _BAR_SHOWS)
    filled = min(length, round(use * length / _BAR_SHOWS))
    cells = [full if n < filled else empty for n in range(length)]
    cells.insert(at, mark)
    style = "green" if use <= 1.03 else "yellow" if use <= 1.10 else "red"
    return Text.assemble(("".join(cells), style), f" {use:4.0%}")
