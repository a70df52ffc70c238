"""Values that the daemon publishes, for tests of those who read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qguardarr.engine.instance_row import InstanceRow
from qguardarr.engine.status import ParentRow, QuotaRow, Status, TrackerRow

MB = 1_000_000


class Names:
    """Names of torrents: known ones, and no others."""

    def __init__(self, **known: str) -> None:
        self._known = known

    def of(self, hashes: Sequence[str]) -> dict[str, str]:
        return {hash_: self._known[hash_] for hash_ in hashes if hash_ in self._known}


def row(id: str, **changes: Any) -> TrackerRow:  # noqa: A002
    """A tracker that holds a cap of 1 MB/s."""
    values: dict[str, Any] = {
        "id": id, "name": id.upper(), "configured": MB, "cap": MB, "override_until": None, "effective": 1.0 * MB,
        "borrowed": 0.0, "rate": 0.9 * MB, "rate_10s": 0.95 * MB, "rate_60s": 0.97 * MB, "demand": None,
        "utilisation": 0.97, "torrents": 12, "active": 3, "hungry": 2, "over_cap_s": 4.0, "debt_bytes": 1000.0,
        "total_bytes": 5e9, "priority": 1,
    }  # fmt: skip
    return TrackerRow(**values | changes)


def parent_row(id: str = "p", parent: str = "", **changes: Any) -> ParentRow:  # noqa: A002
    """A parent, or the line with an empty id, with a cap of 15 MB/s."""
    values: dict[str, Any] = {
        "id": id, "name": id.upper() or "line", "parent": parent, "configured": 15 * MB, "cap": 15 * MB,
        "effective": 12.0 * MB, "guaranteed": 10.0 * MB, "ceiling": 15.0 * MB, "borrowed": 2.0 * MB, "lent": 0.0,
        "rate": 11.8 * MB, "rate_10s": 11.9 * MB, "rate_60s": 11.7 * MB, "demand": None, "utilisation": 0.98,
        "torrents": 30, "active": 8, "hungry": 5, "over_cap_s": 2.0, "debt_bytes": 0.0, "total_bytes": 9e9,
        "priority": 1, "weight": None,
    }  # fmt: skip
    return ParentRow(**values | changes)


def instance(name: str, **changes: Any) -> InstanceRow:
    """One of several qBittorrents, which answers."""
    values: dict[str, Any] = {
        "name": name, "state": "read", "problem": "", "problem_kind": "", "away_since": None, "login_pause": None,
        "read_at": 2000.0, "torrents": 12, "limited": 11, "url": f"http://{name or 'localhost'}:8080",
        "version": "v5.1.0", "webapi_version": "2.11.4", "breaker": "closed",
    }  # fmt: skip
    return InstanceRow(**values | changes)


def quota_row(**changes: Any) -> QuotaRow:
    """A quota of a month, half of which is over."""
    values: dict[str, Any] = {
        "bytes": 100 * MB, "used": 50 * MB, "per": "month", "length_s": 30 * 86400, "start": 0.0, "end": 30 * 86400.0,
        "pace": False, "forecast": 100 * MB,
    }  # fmt: skip
    return QuotaRow(**values | changes)


def status(**changes: Any) -> Status:
    """A daemon that holds its caps."""
    values: dict[str, Any] = {
        "pid": 4711, "version": "0.1.0", "started_at": 1000.0, "at": 2000.0, "state": "holding", "problem": "",
        "problem_kind": "", "problem_since": None, "troubles": (), "config_path": "/etc/qguardarr.yaml",
        "reload_error": "", "notes": (), "interval_s": 2.0, "strategy": "equal", "dry_run": False,
        "rollout_percentage": 100, "cycle": 500, "cycle_s": 0.05, "cycle_calls": 2, "failed_cycles": 7,
        "qbittorrent_url": "http://localhost:8080", "qbittorrent_version": "v5.1.0", "webapi_version": "2.11.4",
        "breaker": "closed", "reads": 510, "writes": 61, "logins": 2, "bytes_received": 123456, "torrents": 12,
        "limited": 11, "planned": 5, "deferred": 1, "written_calls": 60, "written_limits": 90, "set_by_hand": 3,
        "trackers": (row("a"),),
    }  # fmt: skip
    return Status(**values | changes)
