"""What the user wants, as the core reads it: plain values, checked by `config`, swapped whole between cycles."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from qguardarr.core.model import UNLIMITED, ParentGroup, TrackerClass
from qguardarr.core.timed import Quota, Window


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """All settings that a decision depends on. Made by `qguardarr.config.Config.policy()`."""

    classes: tuple[TrackerClass, ...]
    """Tracker rules in the order of the file; the last one is a catch-all."""
    match_mode: Literal["first", "strictest"]
    """Which rule counts for a torrent with several trackers (see `qguardarr.core.select.matcher`)."""
    strategy: Literal["equal", "weighted", "soft"]
    """How a cap is divided: equal weights, weights from swarm demand, or weights and borrowing between trackers."""
    interval_s: float
    """Seconds between the starts of two cycles."""
    uplink: int
    """Bytes/s of the whole line, shared by all capped trackers, or UNLIMITED. The effective caps never sum to more."""
    active_threshold: int
    """Bytes/s above which a torrent counts as active."""
    max_managed: int
    """Most torrents that get a share of their own at one time."""
    max_calls_per_cycle: int
    """Most limit-writing calls in one cycle; decreases go first."""
    differential_threshold: float
    """Relative change (0 … 1) below which an increase is not worth a write."""
    rollout_percentage: int
    """1 … 100: share of the torrents that are managed, chosen stably by hash."""
    inventory_s: float
    """Longest time in seconds between two full reads, where the server's version needs them."""
    borrow_threshold_ratio: float
    """`soft`: a tracker may borrow once it uses this share (0 … 1) of its cap."""
    max_borrow_fraction: float
    """`soft`: most that a tracker may borrow, as a fraction (0 … 1) of its own cap."""
    smoothing_alpha: float
    """`soft`: weight (0 … 1) of the newest value when an effective cap rises; 1 = at once. Falls are never smoothed."""
    min_effective_delta: float
    """`soft`: relative change (0 … 1) below which an effective cap does not rise."""
    idle_limit: Literal["auto"] | int | None
    """Limit of idle torrents of a capped tracker: chosen by us, bytes/s, or None to leave them alone."""
    respect_manual_limits: bool
    """Limits that a person set by hand are upper bounds that we never raise."""
    foreign_limits: Literal["auto", "person", "ignore"]
    """Whose limits those are that others set meanwhile (see `qguardarr.core.reconcile.foreign`)."""
    unlimit_idle: bool
    """Give a torrent that went quiet its original limit back (instead of parking it)."""
    dry_run: bool
    """Decide everything, write nothing."""
    away_after_s: float | None = None
    """Of several qBittorrents one that is away keeps its part of each cap for this long, seconds; None: until it is
    back."""
    parents: tuple[ParentGroup, ...] = ()
    """Groups of groups, without the line. Among groups with the same parent and priority, what is lent goes by weight:
    if one of them has a weight, those without count as 1, else all are in proportion to their rates."""

    uplink_schedule: tuple[Window, ...] = ()
    uplink_quota: Quota | None = None
    timezone: str = ""
    """IANA name of the zone of schedules, quotas and days; empty: the machine's."""

    @property
    def line(self) -> ParentGroup:
        """The root of the tree: the whole line, whose cap is `uplink`."""
        return ParentGroup("", "line", self.uplink, schedule=self.uplink_schedule, quota=self.uplink_quota)


def selectors(policy: Policy) -> tuple[object, ...]:
    """Return all of a policy that decides which rule a torrent belongs to."""
    rules = tuple((tracker.id, tracker.pattern, tracker.where) for tracker in policy.classes)
    if policy.match_mode == "first":
        return policy.match_mode, rules
    return policy.match_mode, rules, sorted(range(len(rules)), key=lambda i: policy.classes[i].selecting_cap)


_MOVED: Final = ("cap", "priority", "rate", "weight", "parent", "when_busy", "schedule", "quota", "may_rise")


def without_caps(policy: Policy) -> Policy:
    """Return a policy without what only moves or shares caps, to compare all else."""
    plain = {field: getattr(ParentGroup("", "", UNLIMITED), field) for field in _MOVED}
    classes = tuple(msgspec.structs.replace(group, **plain, file_cap=None) for group in policy.classes)
    return msgspec.structs.replace(
        policy, classes=classes, parents=(), uplink=UNLIMITED, uplink_schedule=(), uplink_quota=None, timezone=""
    )
