"""What the running daemon says of itself: one frozen picture for each cycle, the same for every reader."""

from __future__ import annotations

import enum
import math
from typing import Final

import msgspec

from qguardarr.core.measure.saved_quota import Overrun
from qguardarr.core.measure.usage_meter import UsageMeter
from qguardarr.core.model import UNLIMITED
from qguardarr.core.reconcile.decide import TrackerReport
from qguardarr.core.reconcile.registry import TorrentRegistry
from qguardarr.core.units import format_speed

TOLD_OF: Final = 1.05
"""Torrents above their own limits are no trouble while their tracker's rate is no more than its cap times this."""


class State(enum.StrEnum):
    """What the guard is doing."""

    STARTING = "starting"
    """Nothing was read yet."""
    WAITING = "waiting"
    """The configuration does not say where qBittorrent is."""
    HOLDING = "holding"
    """Caps are held."""
    OBSERVING = "observing"
    """Dry run: everything is decided, nothing is written."""
    PAUSED = "paused"
    """Rolled back, or paused by a person, until `qguardarr resume`."""
    FAILING = "failing"
    """The last cycle failed; limits stay as they are."""


class LoginPause(msgspec.Struct, frozen=True):
    """qBittorrent refused the login, and it is not sent again yet."""

    next_try_at: float | None
    """When it is tried again by itself, Unix seconds; null: not before qBittorrent restarts, the configuration changes,
    or a person asks."""
    ask_from: float
    """From when on it is tried if a person asks (`POST /cycle/force`, SIGHUP), Unix seconds."""


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
    login_pause: LoginPause | None = None
    """None unless the last cycle failed for it."""
    set_by_program: int = 0
    """Limits that were found set by another program, and are written over, since the start."""
    foreign: str = ""
    """What another program does to limits, in words; empty if there is none."""
    flushed: int = 0
    """Times that a torrent was made to lose quota saved under an earlier limit, since the start."""


def tracker_status(registry: TorrentRegistry, reports: tuple[TrackerReport, ...]) -> tuple[TrackerStatus, ...]:
    """Reports of a decision with the meters beside them."""
    return tuple(_one(report, meter) for report, meter in zip(reports, registry.uploads.meters, strict=True))


def _one(report: TrackerReport, meter: UsageMeter) -> TrackerStatus:
    return TrackerStatus(report, meter.rate(10.0), meter.rate(60.0), meter.over_s, max(0.0, meter.debt), meter.total)


# -- as published -----------------------------------------------------------------------------------------------------


class TrackerRow(msgspec.Struct, frozen=True, kw_only=True):
    """One tracker. Rates in bytes/s; None: without bound."""

    id: str
    """Id of the rule."""
    name: str
    """Name of the rule."""
    configured: int | None
    """Cap in the configuration, bytes/s; null is unlimited."""
    cap: int | None
    """Cap in force, bytes/s: `configured`, or what overrides it for a while; null is unlimited."""
    override_until: float | None
    """When a temporary override of the cap ends, Unix seconds; null if there is none."""
    effective: float | None
    """What it may use now, with what it borrows and without what it pays back, bytes/s; null is unlimited."""
    borrowed: float
    """What of `effective` is other trackers' and lent to it, bytes/s."""
    rate: float
    """Newest rate, over one refresh of qBittorrent or a few, bytes/s."""
    rate_10s: float
    """Mean rate of the last 10 s, bytes/s."""
    rate_60s: float
    """Mean rate of the last 60 s, bytes/s."""
    demand: float | None
    """What its torrents want, bytes/s; null: more than they have."""
    utilisation: float | None
    """Rate over 60 s ÷ the lesser of effective cap and demand, 0 … 1 or a little more; null if nothing is wanted or
    nothing is capped."""
    torrents: int
    """Number of its torrents."""
    active: int
    """Number of torrents that upload faster than `active_torrent_threshold_kb`, or want more than their limit."""
    hungry: int
    """Number of active torrents that want more."""
    over_cap_s: float
    """Seconds since the start in which the rate over 10 s was above 1.02 × the cap."""
    debt_bytes: float
    """Bytes over the cap that are still to be paid back, by staying a little below it."""
    total_bytes: float
    """Bytes uploaded since the start."""
    priority: int
    """1 … 10; decides who borrows first with the strategy `soft`."""
    above_limits: int = 0
    """Torrents that ran above their own limits within the last 10 s: they spend quota saved under earlier ones."""
    above_limits_rate: float = 0.0
    """By how much they do so now, together, bytes/s. The others pay for it at once."""


class WebhookCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Events of the webhook since the start."""

    received: int = 0
    """Number of events."""
    coalesced: int = 0
    """Number of those that said what an event in the queue said already."""
    dropped: int = 0
    """Number of those that found the queue full. Nothing is lost but the hurry: a full read follows."""
    rejected: int = 0
    """Number of requests without a usable event; not in `received`."""
    queued: int = 0
    """Number of torrents in the queue now."""
    last_at: float | None = None
    """When the last event came, Unix seconds; null if none has."""


class CrossSeedCounts(msgspec.Struct, frozen=True, kw_only=True):
    """What became of completions that were to be told to cross-seed."""

    enabled: bool = False
    """cross-seed is told of completed torrents."""
    pending: int = 0
    """Number of completions that wait now; they outlive a restart."""
    forwarded: int = 0
    """Number of completions that cross-seed took since the start."""
    refused: int = 0
    """Number since the start that were answered with a refusal (4xx) and given up."""
    expired: int = 0
    """Number since the start that were given up after a day of trying."""
    dropped: int = 0
    """Number since the start that found the queue full."""
    problem: str = ""
    """Why the last attempt failed; empty after one that succeeded. Free of secrets."""


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """All that the daemon says of itself: the one picture that every front end shows. Times are Unix seconds."""

    pid: int
    """The daemon's process id."""
    version: str
    """The daemon's version."""
    started_at: float
    """When the daemon started, Unix seconds."""
    at: float
    """When the last cycle ended, Unix seconds."""
    ended_at: float | None = None
    """When the daemon ended in order, Unix seconds; null while it runs."""
    state: str
    """What the daemon does: starting, waiting (for an address of qBittorrent), holding, observing (dry run), paused or
    failing."""
    problem: str
    """Why caps cannot be held, or why it is paused; empty if neither."""
    problem_kind: str
    """Name of the error behind `problem`, such as `Unreachable` or `UnsafePlan`; empty if there is none."""
    problem_since: float | None
    """When the first of the failures in a row came, Unix seconds; null if none did."""
    journal_line: int = 0
    """Number of the newest line of the journal's history: a journal that lacks it is an older one."""
    next_step: str = ""
    """What a person has to do next until caps are held, in words; empty if there is nothing left to set up."""
    troubles: tuple[str, ...]
    """What else is wrong, in words: caps are held all the same."""
    config_path: str
    """Path of the configuration file."""
    reload_error: str
    """Why the last reload of the configuration changed nothing; empty if it did not fail."""
    notes: tuple[str, ...]
    """Remarks on the configuration that are no errors, as `qguardarr check` shows them."""
    interval_s: float
    """Time between two cycles, seconds."""
    strategy: str
    """How caps are divided: equal, weighted or soft."""
    dry_run: bool
    """Everything is decided, nothing is written."""
    rollout_percentage: int
    """Part of the torrents that is managed, percent."""
    cycle: int
    """Number of the last cycle, since the start."""
    cycle_s: float
    """How long the last cycle took, seconds."""
    cycle_calls: int
    """Number of requests to qBittorrent in the last cycle."""
    failed_cycles: int
    """Number of cycles that failed since the start."""
    qbittorrent_url: str
    """Address of qBittorrent's Web UI."""
    qbittorrent_version: str | None
    """qBittorrent's version; null before it has answered."""
    webapi_version: str | None
    """Version of qBittorrent's Web API; null before it has answered."""
    breaker: str
    """`closed`: all is well. `open`: qBittorrent is left alone for a while. `half-open`: it is being tried."""
    reads: int
    """Number of requests that read from qBittorrent, since the start."""
    writes: int
    """Number of requests that changed something in qBittorrent, since the start."""
    logins: int
    """Number of logins at qBittorrent, since the start."""
    bytes_received: int
    """Bytes of qBittorrent's answers, since the start."""
    torrents: int
    """Number of torrents known."""
    limited: int
    """Number of torrents whose limit is ours now."""
    planned: int
    """Number of changes that the last cycle decided on."""
    deferred: int
    """Number of those that did not fit into its calls."""
    written_calls: int
    """Number of limit-writing calls since the start."""
    written_limits: int
    """Number of limits changed since the start."""
    set_by_hand: int
    """Number of limits that were found set by a person while we managed the torrent, since the start."""
    set_by_program: int = 0
    """Limits of another program that were written over, since the start."""
    foreign: str = ""
    """What another program does to limits, in words; empty if there is none."""
    flushed: int = 0
    """Times that a torrent was made to lose quota saved under an earlier limit, since the start."""
    trackers: tuple[TrackerRow, ...]
    """All trackers, in the order of their rules."""
    login_pause: LoginPause | None = None
    """Set while qBittorrent refuses the login: when that is tried again."""
    webhook: WebhookCounts = WebhookCounts()
    """Events of the webhook."""
    cross_seed: CrossSeedCounts = CrossSeedCounts()
    """Completions for cross-seed."""


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
