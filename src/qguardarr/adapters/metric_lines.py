"""The metrics that are read from a `Status`, as a table. Names that end in `_total` are counters, others gauges."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from qguardarr.engine.status import ParentRow, Status, TrackerRow

_T = TypeVar("_T", Status, TrackerRow, ParentRow)


@dataclass(frozen=True)
class Line(Generic[_T]):
    """One metric."""

    name: str
    """Without the prefix `qguardarr_`."""
    help: str
    read: Callable[[_T], float | None]
    """None: there is no such number now."""
    summed: bool = True
    """Whether the sum over trackers means anything."""


def _bound(rate: float | None) -> float:
    return math.inf if rate is None else rate


USAGE_HELP: Final = (
    "Payload bytes uploaded since usage is counted, also while Qguardarr was off. Goes on after a restart."
)

PARENT_LINES: Final[tuple[Line[ParentRow], ...]] = (
    Line("group_cap_bytes_per_second", "Cap in force. +Inf is unlimited.", lambda g: _bound(g.cap)),
    Line(
        "group_effective_cap_bytes_per_second",
        "Upload rate that the trackers beneath the group may use now. +Inf is unlimited.",
        lambda g: _bound(g.effective),
    ),
    Line(
        "group_guaranteed_bytes_per_second",
        "Upload rate that the group has before anybody borrows. +Inf is unlimited.",
        lambda g: _bound(g.guaranteed),
    ),
    Line("group_borrowed_bytes_per_second", "Upload rate that other groups lend.", lambda g: g.borrowed),
    Line("group_lent_bytes_per_second", "Upload rate that other groups borrow.", lambda g: g.lent),
    Line("group_upload_10s_bytes_per_second", "Upload rate over the last 10 seconds.", lambda g: g.rate_10s),
    Line("group_upload_60s_bytes_per_second", "Upload rate over the last 60 seconds.", lambda g: g.rate_60s),
    Line(
        "group_demand_bytes_per_second",
        "Rate that the trackers beneath the group want and may use. +Inf is more than they have.",
        lambda g: _bound(g.demand),
    ),
    Line(
        "group_utilisation_ratio",
        "Rate over 60 seconds, divided by the lesser of effective cap and demand. "
        "Absent while there is no cap or nothing is wanted.",
        lambda g: g.utilisation,
    ),
    Line("group_debt_bytes", "Bytes uploaded over the cap that are still to be paid back.", lambda g: g.debt_bytes),
    Line("group_uploaded_bytes_total", "Payload bytes uploaded since the start.", lambda g: g.total_bytes),
    Line("group_usage_bytes_total", USAGE_HELP, lambda g: g.usage_bytes),
    Line(
        "group_over_cap_seconds_total",
        "Seconds in which the rate over 10 seconds was more than 2 percent above the cap.",
        lambda g: g.over_cap_s,
    ),
)
"""Of the groups that others name as their parent, and of the line."""

TRACKER_LINES: Final[tuple[Line[TrackerRow], ...]] = (
    Line("tracker_cap_bytes_per_second", "Cap in force. +Inf is unlimited.", lambda t: _bound(t.cap)),
    Line(
        "tracker_configured_cap_bytes_per_second",
        "Cap in the configuration. +Inf is unlimited.",
        lambda t: _bound(t.configured),
    ),
    Line(
        "tracker_effective_cap_bytes_per_second",
        "Cap in force, less what the line lacks, plus what the tracker borrows. +Inf is unlimited.",
        lambda t: _bound(t.effective),
    ),
    Line(
        "tracker_guaranteed_bytes_per_second",
        "Upload rate that the tracker has before anybody borrows. +Inf is unlimited.",
        lambda t: _bound(t.guaranteed),
    ),
    Line("tracker_borrowed_bytes_per_second", "Upload rate that other trackers lend.", lambda t: t.borrowed),
    Line("tracker_lent_bytes_per_second", "Upload rate that other trackers borrow.", lambda t: t.lent),
    Line("tracker_upload_10s_bytes_per_second", "Upload rate over the last 10 seconds.", lambda t: t.rate_10s),
    Line("tracker_upload_60s_bytes_per_second", "Upload rate over the last 60 seconds.", lambda t: t.rate_60s),
    Line(
        "tracker_demand_bytes_per_second",
        "Rate that the tracker's torrents want. +Inf is more than they have.",
        lambda t: _bound(t.demand),
    ),
    Line(
        "tracker_utilisation_ratio",
        "Rate over 60 seconds, divided by the lesser of effective cap and demand. "
        "Absent while the tracker has no cap or wants nothing.",
        lambda t: t.utilisation,
        summed=False,
    ),
    Line("tracker_debt_bytes", "Bytes uploaded over the cap that are still to be paid back.", lambda t: t.debt_bytes),
    Line("tracker_uploaded_bytes_total", "Payload bytes uploaded since the start.", lambda t: t.total_bytes),
    Line("tracker_usage_bytes_total", USAGE_HELP, lambda t: t.usage_bytes),
    Line(
        "tracker_over_cap_seconds_total",
        "Seconds in which the rate over 10 seconds was more than 2 percent above the effective cap.",
        lambda t: t.over_cap_s,
    ),
    Line(
        "tracker_quota_bytes",
        "Bytes that may be uploaded in a period. Absent without a quota.",
        lambda t: t.quota.bytes if t.quota else None,
        summed=False,
    ),
    Line(
        "tracker_quota_used_bytes",
        "Bytes of the quota that are used in this period.",
        lambda t: t.quota.used if t.quota else None,
        summed=False,
    ),
    Line("tracker_torrents", "Torrents that belong to the tracker's rule.", lambda t: t.torrents),
    Line("tracker_active_torrents", "Torrents of the tracker that upload.", lambda t: t.active),
    Line("tracker_hungry_torrents", "Active torrents that want more than they have.", lambda t: t.hungry),
    Line("tracker_bounded_torrents", "Those of them that an overspeed rule or a tier holds back.", lambda t: t.bounded),
    Line(
        "tracker_above_limit_torrents",
        "Torrents that exceeded their own limits within the last 10 seconds, by quota saved under earlier limits.",
        lambda t: t.above_limits,
    ),
    Line(
        "tracker_above_limit_bytes_per_second",
        "Sum of the rates by which torrents exceed their limits now.",
        lambda t: t.above_limits_rate,
    ),
    Line("tracker_override_active", "1 while a temporary cap is in force.", lambda t: t.override_until is not None),
)

LINES: Final[tuple[Line[Status], ...]] = (
    Line("torrents", "Torrents in qBittorrent.", lambda s: s.torrents),
    Line("limited_torrents", "Torrents whose upload limit is Qguardarr's now.", lambda s: s.limited),
    Line("planned_changes", "Changes of limits that the last cycle decided on.", lambda s: s.planned),
    Line("deferred_changes", "Changes of limits that the last cycle had no calls left for.", lambda s: s.deferred),
    Line("limit_calls_total", "Calls to qBittorrent that wrote limits.", lambda s: s.written_calls),
    Line("limits_changed_total", "Upload limits changed.", lambda s: s.written_limits),
    Line("saved_quota_flushes_total", "Times that a torrent was made to lose saved quota.", lambda s: s.flushed),
    Line("limits_set_by_hand_total", "Upload limits found changed by a person.", lambda s: s.set_by_hand),
    Line("limits_set_by_program_total", "Limits of other programs, written over.", lambda s: s.set_by_program),
    Line("qbittorrent_reads_total", "Reading requests to qBittorrent.", lambda s: s.reads),
    Line("qbittorrent_writes_total", "Writing requests to qBittorrent.", lambda s: s.writes),
    Line("qbittorrent_logins_total", "Logins to qBittorrent.", lambda s: s.logins),
    Line("qbittorrent_received_bytes_total", "Bytes of qBittorrent's answers.", lambda s: s.bytes_received),
    Line("cycles_total", "Control cycles, including failed ones.", lambda s: s.cycle),
    Line("failed_cycles_total", "Control cycles that failed; limits stayed as they were.", lambda s: s.failed_cycles),
    Line("last_cycle_timestamp_seconds", "Unix time at which the last cycle ended.", lambda s: s.at),
    Line("cycle_interval_seconds", "Configured time between two cycles.", lambda s: s.interval_s),
    Line(
        "overrides_active",
        "Temporary caps in force.",
        lambda s: sum(group.override_until is not None for group in s.groups),
    ),
    Line("troubles", "Things that are wrong although caps are held.", lambda s: len(s.troubles)),
    Line(
        "config_last_reload_successful",
        "1 if the configuration in the file is in force, 0 if the last reload failed and changed nothing.",
        lambda s: not s.reload_error,
    ),
    Line("webhook_events_total", "Usable events received by the webhook.", lambda s: s.webhook.received),
    Line("webhook_coalesced_total", "Events that repeated one in the queue.", lambda s: s.webhook.coalesced),
    Line("webhook_dropped_total", "Events that found the queue full.", lambda s: s.webhook.dropped),
    Line("webhook_rejected_total", "Requests to the webhook without a usable event.", lambda s: s.webhook.rejected),
    Line("webhook_queued", "Torrents in the webhook's queue.", lambda s: s.webhook.queued),
    Line(
        "webhook_last_event_timestamp_seconds",
        "Unix time of the webhook's last event. Absent before the first.",
        lambda s: s.webhook.last_at,
    ),
    Line("cross_seed_enabled", "1 if cross-seed is told of completions.", lambda s: s.cross_seed.enabled),
    Line("cross_seed_pending", "Completions that wait to be forwarded.", lambda s: s.cross_seed.pending),
    Line("cross_seed_failing", "1 if the last attempt failed.", lambda s: bool(s.cross_seed.problem)),
    Line("cross_seed_forwarded_total", "Completions that cross-seed took.", lambda s: s.cross_seed.forwarded),
    Line("cross_seed_refused_total", "Completions that cross-seed refused.", lambda s: s.cross_seed.refused),
    Line("cross_seed_expired_total", "Completions given up after a day of trying.", lambda s: s.cross_seed.expired),
    Line("cross_seed_dropped_total", "Completions that found the queue full.", lambda s: s.cross_seed.dropped),
)
