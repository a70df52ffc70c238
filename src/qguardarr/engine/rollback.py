"""Give torrents back the limits that their person had set, and nothing else.

    pause → lock → read the limits in force → put back what is ours → read back → forget what is verified

A failure half-way undoes nothing: verified torrents are marked in the journal, and a later rollback takes up the rest.
A rollback needs no write to the disk: the report names the torrents that could not be marked. Limits that a person set
meanwhile stay; those of another program (see `qguardarr.core.reconcile.foreign`) do not.

Client and journal belong to one qBittorrent: torrents of another instance are neither read nor written.
"""

from __future__ import annotations

import errno
import itertools
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Final

from qguardarr.core.model import UNLIMITED
from qguardarr.core.reconcile.foreign import bulk_values, is_rounded, read_note
from qguardarr.core.reconcile.signature import looks_like_ours
from qguardarr.engine.ports import Journal, TorrentClient, Touched
from qguardarr.engine.rollback_report import RollbackReport
from qguardarr.engine.safety import refuse_held
from qguardarr.errors import ClientError, JournalError, Refused, Unreachable

Progress = Callable[[int, int], None]
"""Called with (done, total), in torrents."""

PAUSE_REASON: Final = "rolled back"
BEGUN_REASON: Final = "a rollback has begun, and not ended; run `qguardarr rollback` again"
"""Reason of the pause while a rollback runs, and afterwards if it is killed."""
LOCK_TIMEOUT_S: Final = 30.0
"""Longer than any cycle, so that a running daemon has finished its own."""

_CHUNK: Final = 1_000
"""Torrents in one call: 41 kB of hashes. Each call blocks qBittorrent's main thread for milliseconds only, and a lost
answer leaves few torrents in doubt."""


def rollback(
    client: TorrentClient,
    journal: Journal,
    *,
    progress: Progress | None = None,
    pause_reason: str = PAUSE_REASON,
    lock_timeout_s: float = LOCK_TIMEOUT_S,
    wall_clock: Callable[[], float] = time.time,
) -> RollbackReport:
    """Pause the guard, over restarts too, and put every original back.

    This also repairs an earlier restoring that qBittorrent lost by crashing right after it. While qBittorrent is away
    the report says so (`failed`), and the pause says that the rollback is incomplete. A journal that can be read but
    not written, as on a full or a read-only disk, holds up nothing: see `unnoted`.

    Raises `Busy` if the lock is not free within `lock_timeout_s` seconds, and `JournalError`. The guard is paused all
    the same, if that could be noted.
    """
    refuse_held(journal)
    _pause(journal, BEGUN_REASON)  # before the lock: a running daemon stops after its present cycle
    with journal.exclusive(lock_timeout_s):
        restoring = _Restoring(client, journal, progress, wall_clock)
        if restoring.run(journal.touched(), journal.recently_restored()):
            restoring.note_missing()
        report = restoring.report()
        _pause(journal, pause_reason if report.complete else report.why_incomplete)
        return report


def reset(
    client: TorrentClient,
    journal: Journal,
    hashes: Collection[str] | None = None,
    *,
    progress: Progress | None = None,
    lock_timeout_s: float = LOCK_TIMEOUT_S,
    wall_clock: Callable[[], float] = time.time,
) -> RollbackReport:
    """Put the originals of these torrents (None: of all) back without a pause: the next cycle decides again.

    Raises as `rollback` does.
    """
    refuse_held(journal)
    with journal.exclusive(lock_timeout_s):
        touched = journal.touched()
        remembered: dict[str, Touched] = {}
        untouched: tuple[str, ...] = ()
        if hashes is None:
            remembered = journal.recently_restored()
        else:
            wanted = dict.fromkeys(name if name in touched else name.lower() for name in hashes)
            untouched = tuple(name for name in wanted if name not in touched)
            touched = {name: touched[name] for name in wanted if name in touched}
        restoring = _Restoring(client, journal, progress, wall_clock)
        restoring.run(touched, remembered)
        return restoring.report(untouched)


def _pause(journal: Journal, reason: str) -> None:
    """Pause. Go on without on a read-only disk, where a daemon cannot write limits either."""
    try:
        journal.set_paused(reason)
    except JournalError as error:
        if not (isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.EROFS):
            raise


class _Restoring:
    """One pass over the torrents; collects the report."""

    def __init__(
        self, client: TorrentClient, journal: Journal, progress: Progress | None, wall_clock: Callable[[], float]
    ) -> None:
        self._client = client
        self._journal = journal
        self._progress = progress
        self._now = wall_clock
        self._total = 0
        self._ours: dict[int, list[str]] = defaultdict(list)
        """Torrents to restore, by original."""
        self._restored: list[str] = []
        self._already_original: list[str] = []
        self._by_hand: dict[str, int] = {}
        self._gone: list[str] = []
        self._failed: dict[str, str] = {}
        self._unnoted: list[str] = []
        self._unnoted_why = ""

    def run(self, touched: Mapping[str, Touched], remembered: Mapping[str, Touched]) -> bool:
        """Restore. False if qBittorrent did not say which torrents it has.

        `remembered`: torrents restored before, which matter only if a limit of ours is back.
        """
        self._total = len(touched)
        self._tell()
        all_read = False
        try:
            limits: dict[str, int] = {}
            for chunk in _chunks([*touched, *remembered]):
                limits |= self._client.upload_limits(chunk)
            touched = self._by_present_ids(touched, limits)
            foreign = self._sort_out(touched, limits)
            self._find_returned(remembered, limits)
            self._tell()
            all_read = True
            self._judge_foreign(foreign, touched, limits)
            for original in sorted(self._ours):
                for chunk in _chunks(self._ours[original]):
                    self._restore(original, chunk)
                    self._tell()
        except ClientError as error:
            settled = {*self._restored, *self._already_original, *self._by_hand, *self._gone, *self._failed}
            expected = dict.fromkeys([*touched, *itertools.chain.from_iterable(self._ours.values())])
            self._failed |= {name: str(error) for name in expected if name not in settled}
        return all_read

    def report(self, untouched: tuple[str, ...] = ()) -> RollbackReport:
        """Return the outcome so far. `untouched`: see `RollbackReport`."""
        return RollbackReport(
            restored=tuple(self._restored),
            already_original=tuple(self._already_original),
            by_hand=self._by_hand,
            gone=tuple(self._gone),
            failed=self._failed,
            untouched=untouched,
            unnoted=tuple(self._unnoted),
            unnoted_why=self._unnoted_why,
        )

    def note_missing(self) -> None:
        """Have the journal know which torrents qBittorrent lacks. Nothing is lost if it cannot."""
        self._note(lambda: self._journal.missing(self._gone))

    def _by_present_ids(self, touched: Mapping[str, Touched], limits: dict[str, int]) -> Mapping[str, Touched]:
        """Return the touched torrents by their present ids, and add the limits of ids that are found.

        A hybrid torrent that was added by a v1 magnet has another id, and our limit, since its metadata arrived.
        """
        gone = [name for name in touched if name not in limits]
        if not gone:
            return touched
        ids = {v1: name for name, v1 in self._client.v1_hashes(None).items() if v1 and v1 != name}
        found = {old: ids[old] for old in gone if old in ids}
        result = dict(touched)
        for old, new in found.items():
            record, other = result.pop(old), result.pop(new, None)
            result[new] = Touched(new, record.original, (*record.written, *(other.written if other else ())))
            self._note(partial(self._journal.renamed, old, new))
        for chunk in _chunks([new for new in found.values() if new not in limits]):
            limits |= self._client.upload_limits(chunk)
        return result

    def _sort_out(self, touched: Mapping[str, Touched], limits: Mapping[str, int]) -> dict[str, int]:
        """Settle torrents that need no write, and collect ours. Return limits that are neither ours nor originals."""
        foreign = {}
        for name, record in touched.items():
            limit = limits.get(name)
            if limit is None:
                self._gone.append(name)
            elif limit == record.original:
                self._already_original.append(name)
            elif self._is_ours(record, limit):
                self._ours[record.original].append(name)
            else:
                foreign[name] = limit
        self._note_restored(self._already_original)
        return foreign

    def _is_ours(self, record: Touched, limit: int) -> bool:
        """Tell whether we wrote this limit, bytes/s or UNLIMITED."""
        return (
            limit in record.written
            or any(is_rounded(limit, written) for written in record.written)
            or self._journal.wrote(record.hash, limit)
        )

    def _judge_foreign(
        self, foreign: Mapping[str, int], touched: Mapping[str, Touched], limits: Mapping[str, int]
    ) -> None:
        """Leave limits that a person set meanwhile; collect those of another program with ours."""
        note = read_note(self._journal.foreign())
        programs = bulk_values(foreign.values(), [limits[name] for name in self._already_original], len(touched))
        programs |= note.known(self._now())
        for name, limit in foreign.items():
            is_program = note.mode == "auto" and (limit in programs or looks_like_ours(limit))
            if is_program or note.mode == "ignore":
                self._ours[touched[name].original].append(name)
            else:
                self._by_hand[name] = limit
        if self._by_hand:
            self._note(lambda: self._journal.adopt(self._by_hand))
            self._note_restored(list(self._by_hand))

    def _find_returned(self, remembered: Mapping[str, Touched], limits: Mapping[str, int]) -> None:
        """Collect torrents that were restored once, and lost that when qBittorrent crashed."""
        for name, record in remembered.items():
            limit = limits.get(name)
            if limit != record.original and limit in record.written:
                self._ours[record.original].append(name)
                self._total += 1

    def _restore(self, original: int, hashes: Sequence[str]) -> None:
        """Write, then believe only what is read back: a write without an answer may have happened."""
        said = ""
        try:
            self._client.set_upload_limit(original, hashes)
        except (Unreachable, Refused) as error:
            said = str(error)
        limits = self._client.upload_limits(hashes)
        verified = [name for name in hashes if limits.get(name) == original]
        self._note_restored(verified)
        self._restored += verified
        self._gone += [name for name in hashes if name not in limits]
        self._failed |= {
            name: said or f"qBittorrent still has {_words(limits[name])} after the write"
            for name in hashes
            if name in limits and limits[name] != original
        }

    def _note_restored(self, hashes: Sequence[str]) -> None:
        if hashes:
            self._note(lambda: self._journal.restored(hashes), hashes)

    def _note(self, write: Callable[[], None], hashes: Sequence[str] = ()) -> None:
        """Write to the journal, or go on without: a full disk must not keep limits in force."""
        try:
            try:
                write()
            except JournalError:
                if not self._journal.make_room():
                    raise
                write()
        except JournalError as error:
            self._unnoted += hashes
            self._unnoted_why = str(error)

    def _tell(self) -> None:
        if self._progress is not None:
            settled = (self._restored, self._already_original, self._by_hand, self._gone, self._failed)
            self._progress(sum(map(len, settled)), self._total)


def _chunks(hashes: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(hashes), _CHUNK):
        yield hashes[start : start + _CHUNK]


def _words(limit: int) -> str:
    return "no limit" if limit == UNLIMITED else f"{limit} bytes/s"
