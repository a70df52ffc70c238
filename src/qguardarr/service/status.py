"""What the running daemon says of itself: one frozen picture for each cycle, the same for every reader."""

from __future__ import annotations

import enum

import msgspec

from qguardarr.core.decide import TrackerReport
from qguardarr.core.fleet import Fleet
from qguardarr.core.meter import Meter


class State(enum.StrEnum):
    """What the guard is doing."""

    STARTING = "starting"
    """Nothing was read yet."""
    HOLDING = "holding"
    """Caps are held."""
    OBSERVING = "observing"
    """Dry run: everything is decided, nothing is written."""
    PAUSED = "paused"
    """Rolled back, or paused by a person, until `qguardarr resume`."""
    FAILING = "failing"
    """The last cycle failed; limits stay as they are."""


class TrackerStatus(msgspec.Struct, frozen=True):
    """A tracker, as decided and as measured. Rates in bytes/s."""

    report: TrackerReport
    rate_10s: float
    rate_60s: float
    over_cap_s: float
    """Seconds since the start in which the rate over 10 s was above 1.02 × the effective cap."""
    debt_bytes: float
    """Bytes over the cap still to be paid back."""


class Snapshot(msgspec.Struct, frozen=True):
    """The state after one cycle."""

    state: State
    at: float
    """Unix time, seconds."""
    cycle: int
    problem: str = ""
    """What is wrong, in words; empty if nothing is."""
    problem_since: float = 0.0
    """Unix time of the first of the failures in a row; 0 if none."""
    trackers: tuple[TrackerStatus, ...] = ()
    torrents: int = 0
    limited: int = 0
    """Torrents whose limit is ours now."""
    written_calls: int = 0
    """Limit-writing calls since the start."""
    written_limits: int = 0
    """Limits changed since the start."""
    planned: int = 0
    """Changes that the last cycle decided on."""
    deferred: int = 0
    """… and those that did not fit into its calls."""
    cycle_s: float = 0.0
    """How long the last cycle took, seconds."""


def tracker_status(fleet: Fleet, reports: tuple[TrackerReport, ...]) -> tuple[TrackerStatus, ...]:
    """Reports of a decision with the meters beside them."""
    return tuple(_one(report, meter) for report, meter in zip(reports, fleet.meters, strict=True))


def _one(report: TrackerReport, meter: Meter) -> TrackerStatus:
    return TrackerStatus(report, meter.rate(10.0), meter.rate(60.0), meter.over_s, max(0.0, meter.debt))
