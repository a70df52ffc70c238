"""Measure how well a tracker's cap was held, from the swarm's ground truth. Pure functions over numbers."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

STEP_S: Final = 0.1
"""Grid on which curves are kept and windows slide, seconds."""

SETTLED_WINDOW_S: Final = 10.0
SETTLED_UTILISATION: Final = 0.97
SETTLED_OVERSHOOT: Final = 1.10

_ROUNDING: Final = 1e-9


@dataclass(frozen=True)
class Curve:
    """Bytes so far, every `STEP_S` seconds from `start`."""

    start: float
    """Seconds on the clock of the samples."""
    totals: tuple[float, ...]

    @property
    def end(self) -> float:
        return self.start + (len(self.totals) - 1) * STEP_S

    def mean_rate(self, start: float, end: float) -> float:
        """Bytes/s between two times; 0 if they are equal."""
        if end <= start:
            return 0.0
        return (self.total_at(end) - self.total_at(start)) / (end - start)

    def total_at(self, time: float) -> float:
        """Bytes so far; between grid points in proportion, outside as at the nearest end."""
        position = min(max((time - self.start) / STEP_S, 0.0), len(self.totals) - 1.0)
        index = int(position)
        if index + 1 >= len(self.totals):
            return self.totals[-1]
        share = position - index
        return self.totals[index] * (1 - share) + self.totals[index + 1] * share


@dataclass(frozen=True)
class Span:
    """A stretch of time in which neither cap nor demand of a tracker changed."""

    start: float
    """Seconds."""
    end: float
    """Seconds."""
    cap: float
    """Bytes/s that the tracker may use; `inf` = no cap."""
    wanted: float
    """Sum of its torrents' demands, bytes/s; `inf` = at least one takes all it can get."""

    @property
    def due(self) -> float:
        """Bytes/s that a perfect guard would let through; `inf` if nothing bounds it."""
        return min(self.cap, self.wanted)


@dataclass(frozen=True)
class SpanMeasure:
    """Figures of one span."""

    span: Span
    mean_rate: float
    """Bytes/s over the whole span."""
    utilisation: float
    """`mean_rate` ÷ `span.due`, from the span's first moment on; 1 if nothing is due or nothing bounds it."""
    settling_s: float | None
    """See `settling_time`."""
    settled_utilisation: float | None
    """`utilisation` from the settling time on; None if it never settled."""
    settled_worst_10s: float | None
    """Highest rate of a 10 s window that begins after the settling time, ÷ cap; None if it never settled."""


@dataclass(frozen=True)
class TrackerMeasure:
    """Figures of one tracker over a run."""

    spans: tuple[SpanMeasure, ...]
    mean_rate: float
    """Bytes/s over the whole run."""
    mean_over_cap: float
    """All bytes ÷ all that the caps allowed."""
    worst_10s: float
    """Highest ratio, over all 10 s windows of the run, of the bytes to what the caps allowed in that window."""
    worst_60s: float
    """The same over 60 s windows (over the whole run if it is shorter)."""


def curve(series: Iterable[Sequence[tuple[float, int]]], start: float, end: float) -> Curve:
    """The sum of several series of (seconds, bytes so far), from `start` to `end`, counted from 0 at `start`."""
    count = round((end - start) / STEP_S) + 1
    grid = [start + step * STEP_S for step in range(count)]
    sums = [0.0] * count
    for samples in series:
        if not samples:
            continue
        times = [time for time, _ in samples]
        for step, time in enumerate(grid):
            sums[step] += _interpolated(samples, times, time)
    return Curve(start, tuple(total - sums[0] for total in sums))


def settling_time(curve: Curve, span: Span, settled_at: float = SETTLED_UTILISATION) -> float | None:
    """Seconds from the start of the span until the rate is right and stays right; None if it never is.

    Precisely: the smallest s, on the grid of `STEP_S`, such that every window [w, w + 10 s] that lies in the span with
    w ≥ start + s has a mean rate of at least `settled_at` × `span.due` and at most 1.10 × `span.cap`. Only whole
    windows count, so that the bursts of one second decide nothing; in a span shorter than 10 s the only window is
    the span.
    """
    length = min(SETTLED_WINDOW_S, span.end - span.start)
    least = settled_at * span.due if math.isfinite(span.due) else 0.0
    most = SETTLED_OVERSHOOT * span.cap
    last = int((span.end - span.start - length) / STEP_S + _ROUNDING)
    settled: float | None = None
    for step in range(last, -1, -1):
        begin = span.start + step * STEP_S
        rate = curve.mean_rate(begin, begin + length)
        if not least * (1 - _ROUNDING) <= rate <= most * (1 + _ROUNDING):
            break
        settled = step * STEP_S
    return settled


def worst_window(curve: Curve, spans: Sequence[Span], window_s: float) -> float:
    """Highest ratio of the bytes of a window to the bytes that the caps allow in it, over all windows of that length
    between the first span's start and the last one's end (over the whole, if that is shorter). 0 without a cap."""
    start, end = spans[0].start, spans[-1].end
    length = min(window_s, end - start)
    last = int((end - start - length) / STEP_S + _ROUNDING)
    worst = 0.0
    for step in range(last + 1):
        begin = start + step * STEP_S
        came = curve.total_at(begin + length) - curve.total_at(begin)
        worst = max(worst, _ratio(came, _allowed(spans, begin, begin + length)))
    return worst


def measure_span(curve: Curve, span: Span, settled_at: float = SETTLED_UTILISATION) -> SpanMeasure:
    """All about one span. `settled_at`: see `settling_time`."""
    rate = curve.mean_rate(span.start, span.end)
    settling_s = settling_time(curve, span, settled_at)
    settled_utilisation: float | None = None
    settled_worst: float | None = None
    if settling_s is not None:
        settled = Span(span.start + settling_s, span.end, span.cap, span.wanted)
        settled_utilisation = _utilisation(curve.mean_rate(settled.start, settled.end), span)
        settled_worst = worst_window(curve, [settled], SETTLED_WINDOW_S)
    return SpanMeasure(
        span=span,
        mean_rate=rate,
        utilisation=_utilisation(rate, span),
        settling_s=settling_s,
        settled_utilisation=settled_utilisation,
        settled_worst_10s=settled_worst,
    )


def measure(curve: Curve, spans: Sequence[Span], settled_at: float = SETTLED_UTILISATION) -> TrackerMeasure:
    """All about one tracker; `spans` follow each other without gaps."""
    start, end = spans[0].start, spans[-1].end
    came = curve.total_at(end) - curve.total_at(start)
    return TrackerMeasure(
        spans=tuple(measure_span(curve, span, settled_at) for span in spans),
        mean_rate=curve.mean_rate(start, end),
        mean_over_cap=_ratio(came, _allowed(spans, start, end)),
        worst_10s=worst_window(curve, spans, 10.0),
        worst_60s=worst_window(curve, spans, 60.0),
    )


def _interpolated(samples: Sequence[tuple[float, int]], times: Sequence[float], time: float) -> float:
    after = bisect_right(times, time)
    if after == 0:
        return samples[0][1]
    if after == len(times):
        return samples[-1][1]
    (time_a, total_a), (time_b, total_b) = samples[after - 1], samples[after]
    return total_a + (total_b - total_a) * (time - time_a) / (time_b - time_a)


def _allowed(spans: Sequence[Span], start: float, end: float) -> float:
    """Bytes that the caps allow between two times."""
    allowed = 0.0
    for span in spans:
        overlap = min(end, span.end) - max(start, span.start)
        if overlap > 0:
            allowed += span.cap * overlap
    return allowed


def _utilisation(rate: float, span: Span) -> float:
    return rate / span.due if 0 < span.due < math.inf else 1.0


def _ratio(came: float, allowed: float) -> float:
    """`came` ÷ `allowed`; where nothing is allowed, nothing is the only right amount."""
    if allowed > 0:
        return came / allowed
    return math.inf if came > 0 else 0.0
