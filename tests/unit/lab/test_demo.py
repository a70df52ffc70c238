"""The demo's verdict is computed from measurements, and can be bad."""

from __future__ import annotations

import io
import math
from collections.abc import Callable

import pytest
from rich.console import Console

from demo.show import Show, Truth
from demo.story import SCENES, STORY
from demo.verdict import verdict
from lab.measure import Curve, Span, TrackerMeasure, measure

CAP = 1_000_000.0


def measured(rate: Callable[[float], float], *, wanted: float = math.inf, seconds: int = 40) -> TrackerMeasure:
    """A run of one change of demand in the middle, at this rate (× the cap) by the second."""
    totals = [0.0]
    for step in range(seconds * 10):
        totals.append(totals[-1] + rate(step / 10) * CAP / 10)
    half = seconds / 2
    spans = (Span(0.0, half, CAP, math.inf), Span(half, float(seconds), CAP, wanted))
    return measure(Curve(0.0, tuple(totals)), spans)


def broken(**runs: TrackerMeasure) -> list[str]:
    return [line.split()[1] for line in verdict(runs).lines() if line.startswith("  BROKEN")]


def test_caps_that_were_held_and_used_are_called_so() -> None:
    good = {"a": measured(lambda _: 0.99), "b": measured(lambda at: 1.0 if at < 20 else 0.5, wanted=CAP / 2)}
    lines = list(verdict(good).lines())
    assert lines[0] == "Verdict: every cap was held, and used."
    assert "whole run: a 99.0%, b 75.0% of the cap" in lines[1]
    assert not broken(**good)
    assert all(len(line) <= 80 for line in lines)


@pytest.mark.parametrize(
    ("rate", "promises"),
    [
        (lambda _: 1.03, ["whole"]),
        (lambda at: 1.4 if 20 <= at < 30 else 0.9, ["whole", "worst", "not"]),
        (lambda _: 0.78, ["use:", "not"]),
        (lambda at: 0.99 if at < 20 else 0.93 if at < 35 else 0.99, ["not"]),
        (lambda _: 0.0, ["use:", "not"]),
    ],
    ids=["over in the long run", "a bad ten seconds", "unused", "late", "nothing at all"],
)
def test_a_promise_that_was_broken_is_called_so(rate: Callable[[float], float], promises: list[str]) -> None:
    assert broken(good=measured(lambda _: 0.99), bad=measured(rate)) == promises
    assert next(verdict({"bad": measured(rate)}).lines()) == "Verdict: NOT all that was promised."


def test_settling_late_is_a_promise_broken() -> None:
    late = measured(lambda at: 0.93 if 40 <= at < 65 else 0.99, seconds=80)
    assert late.spans[1].settling_s is not None
    assert broken(late=late) == ["right"]


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("elapsed_s", [-5.0, 0.0, 20.0, STORY.duration_s])
def test_the_picture_fits_the_terminal(width: int, elapsed_s: float) -> None:
    console = Console(file=io.StringIO(), width=width, height=24, force_terminal=True, color_system=None)
    truth = Truth()
    for second in range(12):
        truth.add(float(second), {tracker.name: second * 1_000_000 for tracker in STORY.trackers})
    with console.capture() as capture:
        console.print(Show(console, "5.1.0").picture(elapsed_s, truth, None))
    lines = capture.get().splitlines()
    assert len(lines) < 20
    assert max(map(len, lines)) <= width
    assert ("Not counted yet" in " ".join(lines)) is (elapsed_s < 0)
    assert any("25%" in line for line in lines if line.startswith("gamma"))


def test_all_scenes_are_told() -> None:
    assert sum(scene.duration_s for scene in SCENES) == STORY.duration_s
