"""The daemon's state in a small file beside the journal, for other processes; and the lock that says it is alive."""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from qguardarr.adapters._journal_lock import FileLock
from qguardarr.core.model import UNLIMITED
from qguardarr.errors import Busy, JournalError
from qguardarr.service.status import Snapshot, TrackerStatus

_START_TIMEOUT_S: Final = 1.0
"""Whoever looks whether a daemon runs holds its lock for a moment."""


class TrackerRow(msgspec.Struct, frozen=True, kw_only=True):
    """One tracker. Rates in bytes/s; None: without bound."""

    id: str
    name: str
    cap: int | None
    effective: float | None
    """What it may use now, with what it borrows and without what it pays back."""
    borrowed: float
    rate_10s: float
    rate_60s: float
    demand: float | None
    """What its torrents want; None: more than they have."""
    torrents: int
    active: int
    hungry: int
    """Active torrents that want more."""
    over_cap_s: float
    """Seconds since the start in which the rate over 10 s was above 1.02 × the cap."""
    debt_bytes: float
    priority: int


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """What the daemon says of itself. Times are Unix seconds."""

    pid: int
    version: str
    started_at: float
    at: float
    """End of the last cycle."""
    ended_at: float | None = None
    """When the daemon ended in order."""
    state: str
    problem: str
    problem_since: float | None
    config_path: str
    reload_error: str
    """Why the last reload of the configuration changed nothing; empty if it did not fail."""
    notes: tuple[str, ...]
    interval_s: float
    cycle: int
    cycle_s: float
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
    trackers: tuple[TrackerRow, ...]


def tracker_rows(snapshot: Snapshot) -> tuple[TrackerRow, ...]:
    """The trackers of a snapshot, as they are published."""
    return tuple(_row(tracker) for tracker in snapshot.trackers)


def status_path(database_path: Path) -> Path:
    """Where the daemon with this journal publishes."""
    return database_path.with_name(database_path.name + ".status.json")


def write_status(path: Path, status: Status) -> None:
    """Replace the file as a whole. Raises OSError. Not synced: it means nothing after a power cut."""
    temporary = path.with_name(path.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, msgspec.json.encode(status))
    finally:
        os.close(descriptor)
    temporary.replace(path)


def read_status(path: Path) -> Status | None:
    """What was published last; None if nothing was, or if another version wrote it."""
    with contextlib.suppress(FileNotFoundError, msgspec.DecodeError):
        try:
            return msgspec.json.decode(path.read_bytes(), type=Status)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise JournalError(f"status {path}: cannot be read: {error.strerror or 'unknown reason'}") from None
    return None


@contextmanager
def only_daemon(database_path: Path) -> Iterator[None]:
    """Be the one daemon of this journal. `Busy` if there is another."""
    try:
        database_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise JournalError(f"journal {database_path}: its folder cannot be made: {error.strerror}") from None
    held = contextlib.ExitStack()
    try:
        held.enter_context(FileLock(_lock_path(database_path)).held(_START_TIMEOUT_S))
    except Busy:
        known = read_status(status_path(database_path))
        pid = f" (pid {known.pid})" if known is not None else ""
        raise Busy(
            f"another Qguardarr{pid} runs with the journal {database_path}; stop it first, or give each "
            "qBittorrent a configuration with a rollback.database_path of its own"
        ) from None
    with held:
        yield


def daemon_runs(database_path: Path) -> bool:
    """Whether a daemon with this journal is alive."""
    try:
        descriptor = os.open(_lock_path(database_path), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise JournalError(f"lock {_lock_path(database_path)}: cannot be read: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _lock_path(database_path: Path) -> Path:
    return database_path.with_name(database_path.name + ".daemon")


def _row(tracker: TrackerStatus) -> TrackerRow:
    report = tracker.report
    return TrackerRow(
        id=report.id,
        name=report.name,
        cap=None if report.cap >= UNLIMITED else report.cap,
        effective=_finite(report.effective),
        borrowed=report.borrowed,
        rate_10s=tracker.rate_10s,
        rate_60s=tracker.rate_60s,
        demand=_finite(report.demand),
        torrents=report.torrents,
        active=report.active,
        hungry=report.hungry,
        over_cap_s=tracker.over_cap_s,
        debt_bytes=tracker.debt_bytes,
        priority=report.priority,
    )


def _finite(rate: float) -> float | None:
    return rate if math.isfinite(rate) and rate < UNLIMITED else None
