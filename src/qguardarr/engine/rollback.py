"""Give torrents back the limits that their person had set, and nothing else.

    pause → lock → read the limits in force → put back what is ours → read back → forget what is verified

A failure half-way undoes nothing: verified torrents are marked in the journal, and a later rollback takes up the rest.
A rollback needs no write to the disk: the report names the torrents that could not be marked. Limits that a person set
meanwhile stay; those of another program (see `qguardarr.core.reconcile.foreign`) do not.

A target belongs to one qBittorrent: torrents of another one are neither read nor written.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, NamedTuple

from qguardarr.engine.ports import Journal, TorrentClient, Touched
from qguardarr.engine.restoring import Outlook, Progress, Restoring, RollbackReport, joined, named, named_hash
from qguardarr.engine.safety import refuse_held
from qguardarr.errors import JournalError

PAUSE_REASON: Final = "rolled back"
BEGUN_REASON: Final = "a rollback has begun, and not ended; run `qguardarr rollback` again"
"""Reason of the pause while a rollback runs, and afterwards if it is killed."""
LOCK_TIMEOUT_S: Final = 30.0
"""Longer than any cycle, so that a running daemon has finished its own."""


class Target(NamedTuple):
    """A qBittorrent whose limits are to be restored."""

    client: TorrentClient
    journal: Journal
    """As it knows this one's torrents."""
    name: str = ""
    """Of one of several. Its torrents stand in the report as `name/hash`."""


def rollback(
    client: TorrentClient,
    journal: Journal,
    *,
    progress: Progress | None = None,
    pause_reason: str = PAUSE_REASON,
    lock_timeout_s: float = LOCK_TIMEOUT_S,
    wall_clock: Callable[[], float] = time.time,
) -> RollbackReport:
    """Pause the guard, over restarts too, and put every original of one qBittorrent back; see `rollback_all`."""
    return rollback_all(
        [Target(client, journal)],
        progress=progress,
        pause_reason=pause_reason,
        lock_timeout_s=lock_timeout_s,
        wall_clock=wall_clock,
    )


def rollback_all(
    targets: Sequence[Target],
    *,
    progress: Progress | None = None,
    pause_reason: str = PAUSE_REASON,
    lock_timeout_s: float = LOCK_TIMEOUT_S,
    wall_clock: Callable[[], float] = time.time,
) -> RollbackReport:
    """Pause the guard, over restarts too, and put every original back.

    This also repairs an earlier restoring that qBittorrent lost by crashing right after it. While one is away
    the report says so (`failed`), and the pause says that the rollback is incomplete. A journal that can be read but
    not written, as on a full or a read-only disk, holds up nothing: see `unnoted`.

    Raises `Busy` if the lock is not free within `lock_timeout_s` seconds, and `JournalError`. The guard is paused all
    the same, if that could be noted.
    """
    journal = targets[0].journal
    refuse_held(journal)
    _pause(journal, BEGUN_REASON)  # before the lock: a running daemon stops after its present cycle
    reports = []
    with journal.exclusive(lock_timeout_s):
        for target in targets:
            restoring = Restoring(target.client, target.journal, progress, wall_clock)
            if restoring.run(target.journal.touched(), target.journal.recently_restored()):
                restoring.note_missing()
            reports.append(named(restoring.report(), target.name))
        report = joined(reports)
        _pause(journal, _incomplete(report) if report.failed else pause_reason)
        return report


def reset(
    client: TorrentClient,
    journal: Journal,
    hashes: Collection[str] | None = None,
    *,
    pause_reason: str | None = None,
    progress: Progress | None = None,
    lock_timeout_s: float = LOCK_TIMEOUT_S,
    wall_clock: Callable[[], float] = time.time,
) -> RollbackReport:
    """Put the originals of these torrents (None: of all) of one qBittorrent back; see `reset_all`."""
    return reset_all(
        [Target(client, journal)],
        hashes,
        pause_reason=pause_reason,
        progress=progress,
        lock_timeout_s=lock_timeout_s,
        wall_clock=wall_clock,
    )


def reset_all(
    targets: Sequence[Target],
    hashes: Collection[str] | None = None,
    *,
    pause_reason: str | None = None,
    progress: Progress | None = None,
    lock_timeout_s: float = LOCK_TIMEOUT_S,
    wall_clock: Callable[[], float] = time.time,
) -> RollbackReport:
    """Put the originals of these torrents (None: of all) back. Without a pause the next cycle decides again.

    Args:
        hashes: torrents of each of the targets.
        pause_reason: None for no pause. What is refused pauses nothing.

    Raises as `rollback` does.
    """
    journal = targets[0].journal
    refuse_held(journal)
    reports = []
    with journal.exclusive(lock_timeout_s):
        if pause_reason is not None:
            _pause(journal, pause_reason)
        for target in targets:
            touched, remembered, untouched = _wanted(target.journal, hashes)
            restoring = Restoring(target.client, target.journal, progress, wall_clock)
            restoring.run(touched, remembered)
            reports.append(named(restoring.report(untouched), target.name))
    return joined(reports)


def foresee(
    client: TorrentClient,
    journal: Journal,
    hashes: Collection[str] | None = None,
    *,
    wall_clock: Callable[[], float] = time.time,
) -> Outlook:
    """Return the outcome that a rollback or a reset would have now, and write nothing; see `foresee_all`."""
    return foresee_all([Target(client, journal)], hashes, wall_clock=wall_clock)


def foresee_all(
    targets: Sequence[Target],
    hashes: Collection[str] | None = None,
    *,
    wall_clock: Callable[[], float] = time.time,
) -> Outlook:
    """Return the outcome that a rollback or a reset would have now, and write nothing.

    The limits in force are read from qBittorrent; torrents that would be restored stand under `restored`. Raises
    `JournalError`.
    """
    refuse_held(targets[0].journal)
    reports = []
    originals: dict[str, int] = {}
    limits: dict[str, int] = {}
    for target in targets:
        touched, remembered, untouched = _wanted(target.journal, hashes)
        restoring = Restoring(target.client, target.journal, None, wall_clock, only_look=True)
        restoring.run(touched, remembered)
        reports.append(named(restoring.report(untouched), target.name))
        known = {hash_: found.original for its in (remembered, restoring.touched) for hash_, found in its.items()}
        originals |= {named_hash(target.name, hash_): original for hash_, original in known.items()}
        limits |= {named_hash(target.name, hash_): limit for hash_, limit in restoring.limits.items()}
    return Outlook(report=joined(reports), originals=originals, limits=limits)


def _pause(journal: Journal, reason: str) -> None:
    """Pause. Go on without on a read-only disk, where a daemon cannot write limits either."""
    try:
        journal.set_paused(reason)
    except JournalError as error:
        if not (isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.EROFS):
            raise


def _incomplete(report: RollbackReport) -> str:
    """Return the reason of the pause after a rollback that did not restore all."""
    total = len(report.failed) + len(report.restored) + len(report.already_original) + len(report.by_hand)
    return (
        f"rolled back incompletely: {len(report.failed)} of {total} limits may still be ours; "
        "run `qguardarr rollback` again"
    )


def _wanted(
    journal: Journal, hashes: Collection[str] | None
) -> tuple[Mapping[str, Touched], Mapping[str, Touched], tuple[str, ...]]:
    """Return the torrents to restore (None: all), those restored lately, and hashes without a limit of ours."""
    touched = journal.touched()
    if hashes is None:
        return touched, journal.recently_restored(), ()
    wanted = dict.fromkeys(name if name in touched else name.lower() for name in hashes)
    untouched = tuple(name for name in wanted if name not in touched)
    return {name: touched[name] for name in wanted if name in touched}, {}, untouched
