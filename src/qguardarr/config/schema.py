"""The settings of the caps, and `Config`, the whole file. `groups.py` has the entries of `trackers`, `service.py` all
other sections.

A docstring beneath each field gives meaning, unit and, at its end, the default. docs/configuration.md is made of them
(`python docs/settings.py`). `load.py` reads the settings from YAML, `environment.py` from variables, which take
precedence.

Speeds are bytes/s as a number, or text (`10 MB/s`, see `qguardarr.core.units`); `-1` or `unlimited` is no limit.
`load.py` makes relative paths start at the folder of the file, so that they mean the same wherever a command is run.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    field_serializer,
)

from qguardarr.config import validators
from qguardarr.config.fields import FilePath, Fraction, Number, Port, Section, Speed, Whole
from qguardarr.config.groups import Group
from qguardarr.config.notes import notes
from qguardarr.config.servers import NamedQBittorrent, QBittorrent, anchored
from qguardarr.config.service import Auth, CrossSeed, Http, Logging, Notifications, Rollback
from qguardarr.config.timing import LineWindow, Quota, TimeZone, quota_of, windows_of
from qguardarr.core.caps.chain import with_selecting_caps
from qguardarr.core.model import UNLIMITED
from qguardarr.core.policy import Policy
from qguardarr.core.units import SpeedError, parse_speed


def _idle_limit(value: object) -> object:
    if value is False or value == "off":  # YAML reads a bare `off` as false
        return "off"
    if value == "auto":
        return value
    try:
        speed = parse_speed(value)
    except SpeedError as error:
        also = f", or {error.hint.removeprefix('write ')}" if error.hint else ""
        raise SpeedError(error.reason, f"write 'auto' or 'off'{also}") from None
    return "off" if speed == UNLIMITED else speed


def _auth(value: object) -> object:
    """Return None for the word `none`, and an empty section for an empty text."""
    if value == "none":
        return None
    if isinstance(value, str | bool):
        raise validators.TextError(
            "must be a mapping", "write none in its place only if nobody is to be asked for a key"
        )
    return {} if value is None else value


class Global(Section):
    """How caps are held, for all trackers."""

    update_interval: Annotated[Number, Field(ge=0.5, le=3600)] = 2.0
    """Longest time between two cycles in seconds, 0.5 … 3600, fractions allowed. Shorter intervals hold a cap more
    closely, down to qBittorrent's own refresh of 1.5 s. Default 2."""
    match_mode: Literal["first", "strictest"] = "first"
    """Which rule counts for a torrent with several trackers: the `first` in the order of this file that matches any of
    them, or the `strictest` of its trackers' rules (lowest cap). Default first."""
    allocation_strategy: Literal["equal", "weighted", "soft"] = "equal"
    """How a cap is divided. `equal`: the same share for every backlogged torrent; unused shares go to the others.
    `weighted`: more for torrents with more leechers. `soft`: as weighted, and trackers lend each other unused
    bandwidth. Default equal."""
    away_after: Annotated[Number, Field(ge=0, le=604800)] | None = None
    """Several qBittorrents only. One that is away keeps its part of each cap for this many seconds; then the others
    may use it. Default none: until it is back."""
    uplink: Speed = UNLIMITED
    """Upload speed of the whole line, bytes/s or text. Trackers with a cap never use more together; the usage of
    unlimited ones is subtracted, down to half. Set it a little below the line's real speed. Default unlimited: the sum
    of the caps counts."""
    uplink_schedule: tuple[LineWindow, ...] = ()
    """Other speeds of the line by time of day, as `schedule` of a tracker. Default: none."""
    uplink_quota: Quota | None = None
    """Bytes that the whole line may upload in each period, as `quota` of a tracker. It holds groups without a cap, too.
    Default: none."""
    timezone: TimeZone = ""
    """Time zone of schedules and quotas, such as `Europe/Berlin`. Default: the machine's."""
    idle_limit: Annotated[Literal["auto", "off"] | int, BeforeValidator(_idle_limit)] = "auto"
    """Limit of a capped tracker's idle torrents, so that many waking at once cannot break the cap: `auto`, a speed, or
    `off` to leave them alone. Default auto."""
    respect_manual_limits: bool = True
    """Treat limits that a person set by hand in qBittorrent as upper bounds, never raised. Default true."""
    foreign_limits: Literal["auto", "person", "ignore"] = "auto"
    """How to treat a limit that somebody else sets on a torrent while Qguardarr limits it. `auto`: one value on many
    torrents, or again and again, is another program's; it is overwritten at once and never becomes an original. All
    others are a person's. `person`: all are a person's. `ignore`: none is; all are overwritten. Default auto."""
    rollout_percentage: Annotated[Whole, Field(ge=1, le=100)] = 100
    """Percentage of torrents that are managed, 1 … 100, chosen by hash so that the choice is stable. Uploads of the
    others still count against the cap. For a careful start. Default 100."""
    dry_run: bool = False
    """Decide and show everything, write nothing to qBittorrent. Default false."""

    active_torrent_threshold_kb: Annotated[Whole, Field(ge=0)] = 10
    """Speed in KiB/s from which a torrent counts as active. Default 10."""
    max_managed_torrents: Annotated[Whole, Field(ge=1)] = 1000
    """Largest number of torrents with a share of their own; the most demanding are chosen. Default 1000."""
    max_api_calls_per_cycle: Annotated[Whole, Field(ge=1)] = 500
    """Largest number of limit-writing calls to qBittorrent in one cycle; decreases go first. Default 500."""
    differential_threshold: Fraction = 0.2
    """Relative change, 0 … 1, below which an increase is not written (each write costs qBittorrent a file write).
    Decreases that the cap needs are always written. Default 0.2."""
    cache_ttl_seconds: Annotated[Whole, Field(ge=1)] = 1800
    """Longest time in seconds between two complete reads of all torrents, for versions of qBittorrent (before 4.6)
    where a complete read is too slow for each cycle. Default 1800."""
    auto_unlimit_on_inactive: bool = False
    """Give a torrent its original limit back when it goes quiet, instead of parking it at `idle_limit`.
    Default false."""

    borrow_threshold_ratio: Fraction = 0.9
    """`soft` only. A tracker may borrow once it uses this share of its cap, 0 … 1. Default 0.9."""
    max_borrow_fraction: Fraction = 0.5
    """`soft` only. Largest loan to a tracker, as a fraction of its own cap, 0 … 1. Default 0.5."""
    smoothing_alpha: Fraction = 0.4
    """Weight of the newest value, 0 … 1, when a loan rises: 1 is at once, 0 never. Falls are never
    delayed. Default 0.4."""
    min_effective_delta: Fraction = 0.1
    """`soft` only. Relative change, 0 … 1, below which a loan does not rise, which avoids needless writes. Default
    0.1."""

    host: Annotated[str, AfterValidator(validators.listen_host)] = "127.0.0.1"
    """Address or host name at which Qguardarr's own HTTP API listens: 0.0.0.0 for all of IPv4, :: for all of IPv6 and
    IPv4, a name for all its addresses. Default 127.0.0.1: this machine only."""
    port: Port = 8089
    """Port of Qguardarr's own HTTP API. Default 8089."""
    dry_run_store_path: FilePath = Path("data/dry_run_limits.json")
    """File to which a dry run writes the decided limits. Default data/dry_run_limits.json."""


class Config(Section):
    """The whole file."""

    global_: Global = Field(default_factory=Global, alias="global")
    """How caps are held."""
    qbittorrent: QBittorrent = Field(default_factory=QBittorrent)
    """How to reach qBittorrent."""
    qbittorrents: tuple[NamedQBittorrent, ...] = ()
    """The list that `qbittorrent` may be in the file; `qbittorrent` has its defaults then."""
    trackers: tuple[Group, ...]
    """Rules in order; the first that matches counts; the last must be the catch-all `.*`."""
    rollback: Rollback = Field(default_factory=Rollback)
    """The journal."""
    logging: Logging = Field(default_factory=Logging)
    """Logging."""
    cross_seed: CrossSeed = Field(default_factory=CrossSeed)
    """cross-seed."""
    auth: Annotated[Auth | None, BeforeValidator(_auth)] = Field(default_factory=Auth)
    """Who may use the HTTP API. None: everybody, as the file says with `auth: none`."""
    http: Http = Field(default_factory=Http)
    """The HTTP API."""
    notifications: Notifications = Field(default_factory=Notifications)
    """Messages to people."""

    @field_serializer("auth", mode="wrap")
    def _auth_as_written(self, value: Auth | None, as_mapping: SerializerFunctionWrapHandler) -> object:
        return "none" if value is None else as_mapping(value)

    def anchored(self, folder: Path) -> Config:
        """Return the same with relative paths starting at `folder`, which is absolute."""
        written = self.rollback.database_path
        rollback = self.rollback.model_copy(update={"database_path": folder / written})
        if not written.is_absolute():
            starts = [folder.parent]
            with contextlib.suppress(OSError):  # the working directory was deleted
                starts.insert(0, Path.cwd())
            # Nobody ran Qguardarr from a folder that they may not enter (commands by `su` in root's home, for example).
            former = tuple(start / written for start in starts if os.access(start, os.X_OK, effective_ids=True))
            rollback._former_paths = former  # noqa: SLF001 # our own
        log_file = self.logging.file
        update: dict[str, object] = {
            "rollback": rollback,
            "global_": self.global_.model_copy(update={"dry_run_store_path": folder / self.global_.dry_run_store_path}),
        }
        if log_file is not None:
            update["logging"] = self.logging.model_copy(update={"file": folder / log_file})
        servers = {
            "qbittorrent": anchored(self.qbittorrent, folder),
            "qbittorrents": tuple(anchored(server, folder) for server in self.qbittorrents),
        }
        return self.model_copy(update=update | servers)

    @property
    def servers(self) -> dict[str, QBittorrent]:
        """Return how to reach each qBittorrent, by name; the only one has none ("")."""
        return {server.name: server for server in self.qbittorrents} or {"": self.qbittorrent}

    @property
    def notes(self) -> tuple[str, ...]:
        """Return remarks about settings that are legal but may surprise."""
        return tuple(notes(self))

    @property
    def retention_s(self) -> float:
        """Return how long history is kept, in seconds."""
        days = self.rollback.retention_days if self.rollback.track_all_changes else 1
        return days * 86400.0

    def policy(self) -> Policy:
        """Return the settings of the decision."""
        g, parents = self.global_, {group.parent for group in self.trackers}
        policy = Policy(
            classes=tuple(group.in_policy() for group in self.trackers if group.id not in parents),
            parents=tuple(group.as_parent() for group in self.trackers if group.id in parents),
            match_mode=g.match_mode,
            strategy=g.allocation_strategy,
            interval_s=g.update_interval,
            uplink=g.uplink,
            active_threshold=g.active_torrent_threshold_kb * 1024,
            max_managed=g.max_managed_torrents,
            max_calls_per_cycle=g.max_api_calls_per_cycle,
            differential_threshold=g.differential_threshold,
            rollout_percentage=g.rollout_percentage,
            inventory_s=float(g.cache_ttl_seconds),
            borrow_threshold_ratio=g.borrow_threshold_ratio,
            max_borrow_fraction=g.max_borrow_fraction,
            smoothing_alpha=g.smoothing_alpha,
            min_effective_delta=g.min_effective_delta,
            idle_limit=None if g.idle_limit == "off" else g.idle_limit,
            respect_manual_limits=g.respect_manual_limits,
            foreign_limits=g.foreign_limits,
            unlimit_idle=g.auto_unlimit_on_inactive,
            dry_run=g.dry_run,
            away_after_s=g.away_after,
            uplink_schedule=windows_of(g.uplink_schedule),
            uplink_quota=quota_of(g.uplink_quota),
            timezone=g.timezone,
        )
        return with_selecting_caps(policy) if policy.parents else policy
