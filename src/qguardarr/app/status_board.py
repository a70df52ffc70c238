"""The daemon's status: composed after each cycle, and kept up to date between two of them."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from qguardarr import __version__
from qguardarr.adapters.crossseed import CrossSeedForwarder
from qguardarr.app.parts import Connections
from qguardarr.app.state_files import Files
from qguardarr.core.caps.chain import groups_of
from qguardarr.core.model import UNLIMITED
from qguardarr.core.policy import Policy
from qguardarr.core.units import limit_or_none
from qguardarr.engine.commands import Commands
from qguardarr.engine.controller import Controller
from qguardarr.engine.instance_row import InstanceRow
from qguardarr.engine.settings import Settings
from qguardarr.engine.status import ParentRow, QuotaRow, Snapshot, Status, TrackerRow, compose, snapshot_problems
from qguardarr.features.feature import Feature
from qguardarr.features.feature_set import FeatureSet

_Row = TypeVar("_Row", TrackerRow, ParentRow)

COUNTS_DOWN_SINCE: Final = (5, 1)
"""Version of qBittorrent from which on its list of torrents shows when they announce."""
_VERSION: Final = re.compile(r"(\d+)\.(\d+)")


def notes_on_version(policy: Policy, version: str | None) -> Iterator[str]:
    """Yield what the configuration needs and this version of qBittorrent (None: not known yet) lacks."""
    saves = any(group.overspeed is not None and group.overspeed.saves for group in policy.classes)
    found = _VERSION.search(version or "")
    if saves and found is not None and (int(found[1]), int(found[2])) < COUNTS_DOWN_SINCE:
        yield (
            f"trackers: 'overspeed' with mode: saved is steady: qBittorrent {version} does not show when torrents "
            "announce; 5.1 and newer do"
        )


_HELD_BY_LINE: Final = "the quota of the line holds it, too"


class StatusBoard(Feature):
    """Hold the status that every front end shows. `publish` in one thread at a time; all else from any thread."""

    name = "status"

    def __init__(
        self,
        settings: Settings,
        config_path: Path,
        files: Files,
        controller: Controller,
        connections: Connections,
        commands: Commands,
        forwarder: CrossSeedForwarder,
        features: FeatureSet,
    ) -> None:
        self.reload_error = ""
        """Why the last reload changed nothing; empty if it did not fail."""
        self.settings = settings
        """In force."""
        self._config_path = str(config_path.absolute())
        self._files = files
        self._controller = controller
        self._connections = connections
        self._commands = commands
        self._forwarder = forwarder
        self._features = features
        self._started_at = time.time()
        self._requests = 0
        self._problems: tuple[str, ...] = ()
        self._status = self._compose(controller.snapshot, None)

    def publish(self, snapshot: Snapshot, ended_at: float | None = None) -> Status:
        """Compose the status after a cycle, or (`ended_at`, Unix seconds) at the end; return it."""
        self._problems = snapshot_problems(snapshot)
        self._status = self._compose(snapshot, ended_at)
        return self._status

    def current(self) -> Status:
        """Return the status of the last cycle, with problems and counts as they are now."""
        return msgspec.structs.replace(self._status, **self._live())

    def adopt(self, settings: Settings) -> None:
        self.settings = settings

    def problems(self) -> Iterator[str]:
        yield from self._problems

    def _live(self) -> dict[str, object]:
        return {
            "troubles": tuple(self._features.problems()),
            "reload_error": self.reload_error,
            "webhook": self._controller.triggers.counts(),
            "cross_seed": self._forwarder.counts(),
        }

    def _compose(self, snapshot: Snapshot, ended_at: float | None) -> Status:
        clients, settings = self._connections.clients, self.settings
        first, all_stats = self._connections.first, [client.stats for client in clients.values()]
        reads, writes = sum(stats.reads for stats in all_stats), sum(stats.writes for stats in all_stats)
        states = [client.breaker_state for client in clients.values()]
        before, self._requests = self._requests, reads + writes
        return compose(
            self._controller.registry.policy,
            first.stats,
            snapshot,
            pid=os.getpid(),
            version=__version__,
            started_at=self._started_at,
            ended_at=ended_at,
            state=str(snapshot.state),
            problem_since=snapshot.problem_since or None,
            journal_line=self._files.journal.newest_line,
            next_step=settings.next_steps.left(snapshot, answered=first.stats.server_version is not None),
            config_path=self._config_path,
            notes=(*settings.notes, *notes_on_version(self._commands.file_policy, first.stats.server_version)),
            cycle_calls=max(0, self._requests - before),
            qbittorrent_url=settings.connection.url,
            qbittorrent_version=first.stats.server_version,
            breaker=next((state for state in states if state != "closed"), "closed"),
            reads=reads,
            writes=writes,
            logins=sum(stats.logins for stats in all_stats),
            bytes_received=sum(stats.bytes_received for stats in all_stats),
            instances=tuple(map(self._with_connection, snapshot.instances)),
            trackers=tuple(map(self._with_reason, snapshot.trackers)),
            parents=tuple(map(self._with_reason, snapshot.parents)),
            **self._live(),
        )

    def _with_connection(self, row: InstanceRow) -> InstanceRow:
        """Add what the client of a qBittorrent knows of it."""
        client = self._connections.clients[row.name]
        stats = client.stats
        return msgspec.structs.replace(
            row,
            url=next(each.url for each in self.settings.connections if each.name == row.name),
            version=stats.server_version,
            webapi_version=stats.webapi_version,
            breaker=client.breaker_state,
        )

    def _with_reason(self, row: _Row) -> _Row:
        """Add the configured cap where another one is in force, and why that is so."""
        cap, override = self._commands.caps.get(row.id), self._commands.overrides.get(row.id)
        configured = next((group.cap for group in groups_of(self._commands.file_policy) if group.id == row.id), None)
        if cap is None or configured is None:
            return row
        line = self._commands.caps.get("", cap)
        if line.holds_all and cap.ceiling >= UNLIMITED and row.cap == limit_or_none(line.ceiling):
            cap = line if line.reason != "configured" else msgspec.structs.replace(line, reason=_HELD_BY_LINE)
        return msgspec.structs.replace(
            row,
            configured=limit_or_none(configured),
            override_until=None if override is None else override.until,
            cap_reason=cap.reason,
            cap_until=cap.until,
            quota=self._quota(row.id),
            usage_bytes=self._commands.usage_total(row.id),
        )

    def _quota(self, group: str) -> QuotaRow | None:
        """Return a group's quota as it stands now."""
        quota = next((each.quota for each in groups_of(self._commands.file_policy) if each.id == group), None)
        allowance = self._commands.allowances.get(group)
        if quota is None or allowance is None:
            return None
        return QuotaRow(
            bytes=quota.bytes,
            used=allowance.used,
            per=quota.per,
            length_s=round(allowance.end - allowance.start),
            start=allowance.start,
            end=allowance.end,
            pace=quota.pace,
            forecast=allowance.forecast(),
        )
