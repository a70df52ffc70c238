"""The daemon's state: a `Snapshot` of the engine after each cycle, and the flat `Status` that every front end shows."""

from __future__ import annotations

import enum
from typing import Any

import msgspec

from qguardarr.engine.instance_row import InstanceRow, LoginPause


class State(enum.StrEnum):
    """State of the guard."""

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


class QuotaRow(msgspec.Struct, frozen=True, kw_only=True):
    """A quota and its present period. Times are Unix seconds."""

    bytes: int
    """Bytes that may be uploaded in a period."""
    used: int
    """Bytes that were, also while Qguardarr was off."""
    per: str
    """`hour`, `day`, `week`, `month`, or `every` with a length of its own."""
    length_s: int
    """Length of the present period, seconds."""
    start: float
    """When the period began, Unix seconds."""
    end: float
    """When it ends, Unix seconds."""
    pace: bool
    """What is left is spread over the time that is left."""
    forecast: int | None
    """Bytes at its end if it goes on as so far; null at its beginning."""


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
    """Cap as it counts now, with borrowed bandwidth added and repayment taken off, bytes/s; null is unlimited."""
    borrowed: float
    """Part of `effective` that other trackers lend to it, bytes/s."""
    rate: float
    """Newest rate, over one refresh of qBittorrent or a few, bytes/s."""
    rate_10s: float
    """Mean rate of the last 10 s, bytes/s."""
    rate_60s: float
    """Mean rate of the last 60 s, bytes/s."""
    demand: float | None
    """Demand of its torrents, bytes/s; null: more than they have."""
    utilisation: float | None
    """Rate over 60 s ÷ the mean over the same time of the lesser of effective cap and demand, 0 … 1 or a little more;
    null if nothing is wanted or nothing is capped."""
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
    usage_bytes: int | None = None
    """Bytes uploaded since usage is counted, also while Qguardarr was off; null: not known."""
    priority: int
    """1 … 10; decides who borrows first."""
    parent: str = ""
    """Id of the group above it; empty: the line."""
    guaranteed: float | None = None
    """Part of `effective` that is its own, before anybody borrows, bytes/s; null is unlimited."""
    ceiling: float | None = None
    """Most that it may use, with what others lend it, bytes/s; null is unlimited."""
    lent: float = 0.0
    """Part of its own that others use now, bytes/s."""
    weight: int | None = None
    """1 … 100, its share of what is lent beside groups of the same parent; null: in proportion to the rates."""
    bounded: int = 0
    """Number of hungry torrents that an overspeed rule or a tier holds back, not the cap."""
    above_limits: int = 0
    """Torrents that ran above their own limits within the last 10 s: they spend quota saved under earlier ones."""
    above_limits_rate: float = 0.0
    """By how much they do so now, together, bytes/s. The others pay for it at once."""
    cap_reason: str = "configured"
    """Why the cap is what it is, in words: `configured`, `schedule: …`, `quota: …`, `temporary cap`, `boost` or
    `hush`."""
    cap_until: float | None = None
    """When the cap changes by itself, Unix seconds; null if it does not."""
    quota: QuotaRow | None = None
    """Its quota; null if it has none."""


class ParentRow(msgspec.Struct, frozen=True, kw_only=True):
    """A group of groups, or the line. All rates are those of the torrents beneath it together, bytes/s."""

    id: str
    """Id of the group; empty for the line."""
    name: str
    """Name of the group."""
    parent: str
    """Id of the group above it; empty: the line. The line itself has none."""
    configured: int | None
    """Cap in the configuration, bytes/s; null is unlimited."""
    cap: int | None
    """Cap in force, bytes/s; null is unlimited."""
    override_until: float | None = None
    """When a temporary override of the cap ends, Unix seconds; null if there is none."""
    cap_reason: str = "configured"
    """Why the cap in force is what it is, in words."""
    cap_until: float | None = None
    """When it changes by itself, Unix seconds; null if it does not."""
    quota: QuotaRow | None = None
    """Its quota; null if it has none."""
    effective: float | None
    """What the groups beneath it may use now, bytes/s; null is unlimited."""
    guaranteed: float | None
    """Part of that which is its own, before anybody borrows, bytes/s; null is unlimited."""
    ceiling: float | None
    """Most that they may use, with what others lend, bytes/s; null is unlimited."""
    borrowed: float
    """What they use beyond its own, bytes/s."""
    lent: float
    """Part of its own that groups beside it use now, bytes/s."""
    rate: float
    """Newest rate, bytes/s."""
    rate_10s: float
    """Mean rate of the last 10 s, bytes/s."""
    rate_60s: float
    """Mean rate of the last 60 s, bytes/s."""
    demand: float | None
    """What the groups beneath it want and may use, bytes/s; null: more than they have."""
    utilisation: float | None
    """Rate over 60 s ÷ the mean over the same time of the lesser of `effective` and `demand`, 0 … 1 or a little more;
    null if nothing is wanted or nothing is capped."""
    torrents: int
    """Number of torrents."""
    active: int
    """Number of those that upload."""
    hungry: int
    """Number of active torrents that want more."""
    over_cap_s: float
    """Seconds since the start in which the rate over 10 s was above 1.02 × the cap."""
    debt_bytes: float
    """Bytes over the cap that are still to be paid back."""
    total_bytes: float
    """Bytes uploaded since the start."""
    usage_bytes: int | None = None
    """Bytes uploaded since usage is counted, also while Qguardarr was off; null: not known."""
    priority: int
    """1 … 10; decides who borrows first."""
    weight: int | None
    """1 … 100, its share of what is lent; null: in proportion to the rates."""


class CycleReport(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of the last cycle that the engine finds and every front end shows."""

    at: float
    """When the last cycle ended, Unix seconds."""
    cycle: int
    """Number of the last cycle, since the start."""
    cycle_s: float
    """How long the last cycle took, seconds."""
    failed_cycles: int
    """Number of cycles that failed since the start."""
    problem: str
    """Why caps cannot be held, or why it is paused; empty if neither."""
    problem_kind: str
    """Name of the error behind `problem`, such as `Unreachable` or `UnsafePlan`; empty if there is none."""
    login_pause: LoginPause | None = None
    """Set while qBittorrent refuses the login: when that is tried again."""
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
    """How another program interferes with limits, or one qBittorrent stands in the configuration twice, in words; empty
    if none does."""
    flushed: int = 0
    """Times that a torrent was made to lose quota saved under an earlier limit, since the start."""
    trackers: tuple[TrackerRow, ...]
    """All trackers, in the order of their rules."""
    instances: tuple[InstanceRow, ...] = ()
    """All qBittorrents, in the order of the file."""
    parents: tuple[ParentRow, ...] = ()
    """Groups of trackers, in the order of the file, then the line, with an empty id."""

    @property
    def groups(self) -> tuple[TrackerRow | ParentRow, ...]:
        """All that may have a cap: trackers, groups of them, and the line."""
        return (*self.trackers, *self.parents)


class Snapshot(CycleReport, frozen=True, kw_only=True):
    """The state of the engine after one cycle."""

    state: State
    problem_since: float = 0.0
    """Unix time of the first of the failures in a row; 0 if none."""
    overruns: tuple[str, ...] = ()
    """Sentences about trackers over their caps because torrents run above their own limits."""

    @classmethod
    def before_the_first(cls, at: float) -> Snapshot:
        """Return the state before anything was read. `at`: Unix time, seconds."""
        return cls(
            state=State.STARTING,
            at=at,
            cycle=0,
            cycle_s=0.0,
            failed_cycles=0,
            problem="",
            problem_kind="",
            torrents=0,
            limited=0,
            planned=0,
            deferred=0,
            written_calls=0,
            written_limits=0,
            set_by_hand=0,
            trackers=(),
        )


# -- as published -----------------------------------------------------------------------------------------------------


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
    """Results of forwarding completed torrents to cross-seed."""

    enabled: bool = False
    """Completed torrents are forwarded to cross-seed."""
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


class Status(CycleReport, frozen=True, kw_only=True):
    """Status of the daemon, as every front end shows it. Times are Unix seconds."""

    pid: int
    """The daemon's process id."""
    version: str
    """The daemon's version."""
    started_at: float
    """When the daemon started, Unix seconds."""
    ended_at: float | None = None
    """When the daemon ended in order, Unix seconds; null while it runs."""
    state: str
    """State of the guard: starting, waiting (for an address of qBittorrent), holding, observing (dry run), paused or
    failing."""
    problem_since: float | None
    """When the first of the failures in a row came, Unix seconds; null if none did."""
    journal_line: int = 0
    """Number of the newest line of the journal's history: a journal that lacks it is an older one."""
    next_step: str = ""
    """Next step for a person until caps are held, in words; empty if there is nothing left to set up."""
    troubles: tuple[str, ...]
    """Warnings in words: caps are held all the same."""
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
    cycle_calls: int
    """Number of requests to qBittorrent in the last cycle."""
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
    webhook: WebhookCounts = WebhookCounts()
    """Events of the webhook."""
    cross_seed: CrossSeedCounts = CrossSeedCounts()
    """Completions for cross-seed."""


def compose(*parts: object, **more: Any) -> Status:
    """Join parts, such as a snapshot and a policy, into one flat `Status`.

    A part gives every field that it has under the same name as `Status`; `more` gives the rest, and takes precedence.
    """
    given = {name: getattr(part, name) for part in parts for name in Status.__struct_fields__ if hasattr(part, name)}
    return Status(**given | more)


def snapshot_problems(snapshot: Snapshot) -> tuple[str, ...]:
    """Return in words what the engine found wrong, although caps are held."""
    refused = snapshot.problem if snapshot.state is State.HOLDING else ""  # a part of the plan
    several = len(snapshot.instances) > 1 and snapshot.state is not State.FAILING
    away = (f"qBittorrent {row.name} is away: {row.problem}" for row in snapshot.instances if several and row.problem)
    return tuple(filter(None, (refused, *away, snapshot.foreign, *snapshot.overruns)))
