"""Compare the measurements with the promises. The verdict can be bad."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from lab.measure import TrackerMeasure

LONG_RUN: Final = 1.01
"""Most of what the caps allow over the whole run: docs/promises.md says that the cap holds in the long run."""
WORST_10S: Final = 1.25
"""Most over ten seconds, with jumps of demand in them: the worst in docs/measurements.md (twenty wake at once)."""
LEAST_USE: Final = 0.8
"""Least of what caps and demand allow together. Two changes of demand in 51 s cost a tracker up to 10 s each on a busy
machine: 0.847, 0.862 (alpha; 4.5.2, two cores at a load of 6). Once settled it is 0.95 and more."""
SETTLED_S: Final = 20.0
"""Longest from a change of demand until the rate is right; docs/measurements.md has 2 to 5 s, and 18 s at worst."""


class Finding(NamedTuple):
    """One promise, and whether it was kept."""

    kept: bool
    words: str
    promise: str


class Verdict(NamedTuple):
    """All findings."""

    findings: tuple[Finding, ...]

    @property
    def good(self) -> bool:
        """Whether every promise was kept."""
        return all(finding.kept for finding in self.findings)

    def lines(self) -> Iterator[str]:
        """In words."""
        yield "Verdict: " + ("every cap was held, and used." if self.good else "NOT all that was promised.")
        for finding in self.findings:
            yield f"  {'kept  ' if finding.kept else 'BROKEN'}  {finding.words}"
            yield f"          promised: {finding.promise}"


def verdict(measures: Mapping[str, TrackerMeasure]) -> Verdict:
    """Judge a run."""
    return Verdict((_long_run(measures), _worst(measures), _use(measures), _settling(measures)))


def use_of(measure: TrackerMeasure) -> float:
    """Bytes ÷ what cap and demand allow together, changes of demand included; 1 if nothing is allowed."""
    due = sum(span.span.due * (span.span.end - span.span.start) for span in measure.spans)
    came = sum(span.mean_rate * (span.span.end - span.span.start) for span in measure.spans)
    return came / due if 0 < due < math.inf else 1.0


def _long_run(measures: Mapping[str, TrackerMeasure]) -> Finding:
    most = max(measure.mean_over_cap for measure in measures.values())
    each = ", ".join(f"{name} {measure.mean_over_cap:.1%}" for name, measure in measures.items())
    return Finding(most <= LONG_RUN, f"whole run: {each} of the cap", "at most 100% of each cap")


def _worst(measures: Mapping[str, TrackerMeasure]) -> Finding:
    name, worst = max(((name, m.worst_10s) for name, m in measures.items()), key=lambda item: item[1])
    steady = [s.settled_worst_10s for m in measures.values() for s in m.spans if s.settled_worst_10s is not None]
    calm = f"; {max(steady):.2f} × once settled" if steady else ""
    words = f"worst 10 s: {worst:.2f} × the cap ({name}){calm}"
    return Finding(worst <= WORST_10S, words, f"near the cap; at most {WORST_10S} × after a jump of demand")


def _use(measures: Mapping[str, TrackerMeasure]) -> Finding:
    uses = {name: use_of(measure) for name, measure in measures.items()}
    each = ", ".join(f"{name} {use:.1%}" for name, use in uses.items())
    steady = [s.settled_utilisation for m in measures.values() for s in m.spans if s.settled_utilisation is not None]
    calm = f"; at least {min(steady):.1%} once settled" if steady else ""
    promise = f"at least {LEAST_USE:.0%} of what cap and demand allow, changes included"
    return Finding(min(uses.values()) >= LEAST_USE, f"use: {each}{calm}", promise)


def _settling(measures: Mapping[str, TrackerMeasure]) -> Finding:
    times = [span.settling_s for measure in measures.values() for span in measure.spans[1:]]
    never = sum(time is None for time in times)
    longest = max((time for time in times if time is not None), default=0.0)
    words = f"right again after {longest:.0f} s, the longest of {len(times)} changes of demand"
    if never:
        words = f"not right again before the next change: {never} of {len(times)}"
    promise = f"within 5 % after a few seconds, at most {SETTLED_S:.0f} s"
    return Finding(not never and longest <= SETTLED_S, words, promise)
