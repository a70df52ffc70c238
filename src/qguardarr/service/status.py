"""What the running daemon says of itself: one frozen picture for each cycle, the same for every reader."""

from __future__ import annotations

import enum
import math
from typing import Final

import msgspec

from qguardarr.core.decide import TrackerReport
from qguardarr.core.fleet import Fleet
from qguardarr.core.meter import Meter
from qguardarr.core.model import UNLIMITED
from qguardarr.core.saved import Overrun
from qguardarr.core.units import format_speed

TOLD_OF: Final = 1.05
"""Torrents above their own limits are no trouble while their tracker's rate is no more than its cap times this."""


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
    total_bytes: float
    """Uploaded by its torrents since the start, as far as seen."""


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
    problem_kind: str = ""
    """Name of the error (`Unreachable`, `UnsafePlan`, …; see `qguardarr.errors`); empty if nothing is wrong."""
    failed_cycles: int = 0
    """Since the start."""
    set_by_hand: int = 0
    """Limits that were found set by a person while we managed the torrent, since the start."""
    flushed: int = 0
    """Times that a torrent was made to lose quota saved under an earlier limit, since the start."""


def tracker_status(fleet: Fleet, reports: tuple[TrackerReport, ...]) -> tuple[TrackerStatus, ...]:
    """Reports of a decision with the meters beside them."""
    return tuple(_one(report, meter) for report, meter in zip(reports, fleet.meters, strict=True))


def _one(report: TrackerReport, meter: Meter) -> TrackerStatus:
    return TrackerStatus(report, meter.rate(10.0), meter.rate(60.0), meter.over_s, max(0.0, meter.debt), meter.total)


# -- as published -----------------------------------------------------------------------------------------------------


class TrackerRow(msgspec.Struct, frozen=True, kw_only=True):
    """One tracker. Rates in bytes/s; None: without bound."""

    id: str
    name: str
    configured: int | None
    """Cap in the configuration."""
    cap: int | None
    """Cap in force: `configured`, or what overrides it for a while."""
    override_until: float | None
    """Unix time at which a temporary override of the cap ends; None if there is none."""
    effective: float | None
    """What it may use now, with what it borrows and without what it pays back."""
    borrowed: float
    """What of `effective` is other trackers' and lent to it."""
    rate: float
    """Newest rate, over one refresh of qBittorrent or a few."""
    rate_10s: float
    """Mean rate of the last 10 s."""
    rate_60s: float
    """Mean rate of the last 60 s."""
    demand: float | None
    """What its torrents want; None: more than they have."""
    utilisation: float | None
    """Rate over 60 s ÷ the lesser of effective cap and demand; None if nothing is wanted or nothing is capped."""
    torrents: int
    active: int
    hungry: int
    """Active torrents that want more."""
    over_cap_s: float
    """Seconds since the start in which the rate over 10 s was above 1.02 × the cap."""
    debt_bytes: float
    """Bytes over the cap that are still to be paid back, by staying a little below it."""
    total_bytes: float
    """Uploaded since the start."""
    priority: int
    above_limits: int = 0
    """Torrents that ran above their own limits within the last 10 s: they spend quota saved under earlier ones."""
    above_limits_rate: float = 0.0
    """By how much they do so now, together. The others pay for it at once."""


class WebhookCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Events of the webhook since the start."""

    received: int = 0
    coalesced: int = 0
    """Of them, those that said what an event in the queue said already."""
    dropped: int = 0
    """Of them, those that found the queue full. Nothing is lost but the hurry: a full read follows."""
    rejected: int = 0
    """Requests without a usable event; not in `received`."""
    queued: int = 0
    """Torrents in the queue now."""
    last_at: float | None = None
    """Unix time of the last event."""


class CourierCounts(msgspec.Struct, frozen=True, kw_only=True):
    """What became of completions that were to be told to cross-seed."""

    enabled: bool = False
    pending: int = 0
    """Waiting now; they outlive a restart."""
    forwarded: int = 0
    """Since the start, as the others."""
    refused: int = 0
    """Answered with a refusal (4xx) and given up."""
    expired: int = 0
    """Given up after a day of trying."""
    dropped: int = 0
    """Found the queue full."""
    problem: str = ""
    """Why the last attempt failed; empty after one that succeeded. Free of secrets."""


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """All that the daemon says of itself: the one picture that every front end shows. Times are Unix seconds."""

    pid: int
    version: str
    started_at: float
    at: float
    """End of the last cycle."""
    ended_at: float | None = None
    """When the daemon ended in order."""
    state: str
    """A `State`."""
    problem: str
    """Why caps cannot be held, or why it is paused; empty if neither."""
    problem_kind: str
    problem_since: float | None
    troubles: tuple[str, ...]
    """What else is wrong, in words: caps are held all the same."""
    config_path: str
    reload_error: str
    """Why the last reload of the configuration changed nothing; empty if it did not fail."""
    notes: tuple[str, ...]
    interval_s: float
    strategy: str
    dry_run: bool
    rollout_percentage: int
    cycle: int
    cycle_s: float
    cycle_calls: int
    """Requests to qBittorrent in the last cycle."""
    failed_cycles: int
    qbittorrent_url: str
    qbittorrent_version: str | None
    webapi_version: str | None
    breaker: str
    """`closed`: all is well. `open`: qBittorrent is left alone for a while. `half-open`: it is being tried."""
    reads: int
    writes: int
    logins: int
    bytes_received: int
    torrents: int
    limited: int
    planned: int
    deferred: int
    written_calls: int
    written_limits: int
    set_by_hand: int
    flushed: int = 0
    """Times that a torrent was made to lose quota saved under an earlier limit, since the start."""
    trackers: tuple[TrackerRow, ...]
    webhook: WebhookCounts = WebhookCounts()
    cross_seed: CourierCounts = CourierCounts()


def tracker_row(
    tracker: TrackerStatus, *, configured: int | None = None, override_until: float | None = None
) -> TrackerRow:
    """A tracker as it is published. `configured`: bytes/s in the configuration, if another cap is in force."""
    report = tracker.report
    effective = _finite(report.effective)
    demand = _finite(report.demand)
    due = min(math.inf if effective is None else effective, math.inf if demand is None else demand)
    return TrackerRow(
        id=report.id,
        name=report.name,
        configured=_finite_limit(report.cap if configured is None else configured),
        cap=_finite_limit(report.cap),
        override_until=override_until,
        effective=effective,
        borrowed=report.borrowed,
        rate=report.rate,
        rate_10s=tracker.rate_10s,
        rate_60s=tracker.rate_60s,
        demand=demand,
        utilisation=tracker.rate_60s / due if effective is not None and due > 0 else None,
        torrents=report.torrents,
        active=report.active,
        hungry=report.hungry,
        over_cap_s=tracker.over_cap_s,
        debt_bytes=tracker.debt_bytes,
        total_bytes=tracker.total_bytes,
        priority=report.priority,
        above_limits=report.overrun.torrents,
        above_limits_rate=report.overrun.rate,
    )


def overrun_troubles(trackers: tuple[TrackerStatus, ...]) -> tuple[str, ...]:
    """A sentence for each tracker that is over its cap because torrents run above their own limits."""
    return tuple(
        _overrun_words(t.report.name, t.report.overrun)
        for t in trackers
        if t.report.overrun.torrents and max(t.report.rate, t.rate_10s) > TOLD_OF * t.report.cap
    )


def _overrun_words(name: str, found: Overrun) -> str:
    one = found.torrents == 1
    who = (
        "1 torrent runs above its own limit and spends"
        if one
        else (f"{found.torrents} torrents run above their own limits and spend")
    )
    under = f"limits of up to {format_speed(found.earlier)}" if found.earlier else "limits"
    if found.rate <= 0.0:
        so_far = "just ended"
    elif math.isinf(found.left_s):
        so_far = f"{format_speed(int(found.rate))} too much"
    else:
        so_far = f"{format_speed(int(found.rate))} too much, for at most {math.ceil(found.left_s)} s more"
    return f"{name}: {who} quota saved under earlier {under} ({so_far})"


def _finite(rate: float) -> float | None:
    return rate if math.isfinite(rate) and rate < UNLIMITED else None


def _finite_limit(limit: int) -> int | None:
    return None if limit >= UNLIMITED else limit
