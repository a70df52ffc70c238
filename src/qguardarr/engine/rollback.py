"""Gives torrents back the limits that their person had set, and nothing else.

    pause → lock → read the limits in force → put back what is ours → read back → forget what is verified

A failure half-way undoes nothing: verified torrents are marked in the journal, and a later rollback takes up the rest.
A rollback needs no write to the disk: the report names torrents that could not be marked. Limits that a person set
meanwhile are left alone; those of another program (see `qguardarr.core.reconcile.foreign`) are not.
"""

from __future__ import annotations

import errno
import itertools
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from typing import Final

import msgspec

from qguardarr.core.model import UNLIMITED
from qguardarr.core.reconcile.foreign import bulk_values, is_rounded, read_note
from qguardarr.core.reconcile.signature import looks_like_ours
from qguardarr.engine.ports import Journal, TorrentClient, Touched
from qguardarr.errors import ClientError, JournalError, Refused, Unreachable

Progress = Callable[[int, int], None]
"""Called with (done, total), in torrents."""

PAUSE_REASON: Final = "rolled back"
BEGUN_REASON: Final = "a rollback has begun, and not ended; run `qguardarr rollback` again"
"""The reason of the pause while a rollback runs, and afterwards if it is killed."""
LOCK_TIMEOUT_S: Final = 30.0
"""Longer than any cycle, so that a running daemon has finished its own."""

_CHUNK: Final = 1_000
"""Torrents in one call: 41 kB of hashes. Each call blocks qBittorrent's main thread for milliseconds only, and a lost
answer leaves few torrents in doubt."""


class RollbackReport(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome for each torrent, by hash."""

    restored: tuple[str, ...] = ()
    """Had a limit of ours; the original was put back and read back."""
    already_original: tuple[str, ...] = ()
    """Had their original already."""
    by_hand: dict[str, int] = {}
    """Have a limit (bytes/s or UNLIMITED) that a person set meanwhile: left as it is, and no longer ours."""
    gone: tuple[str, ...] = ()
    """Not in qBittorrent now. Kept in the journal, since they may come back."""
    failed: dict[str, str] = {}
    """Not verified, with the reason in words. Kept in the journal for the next attempt."""
    untouched: tuple[str, ...] = ()
    """Asked for, but the journal knows no limit of ours on them."""
    unnoted: tuple[str, ...] = ()
    """Settled, but that could not be noted in the journal, which still holds them."""
    unnoted_why: str = ""
    """In words."""

    @property
    def pending(self) -> tuple[str, ...]:
        """What the journal still holds of these: `gone`, `failed` and `unnoted`."""
        return (*self.gone, *self.failed, *self.unnoted)

    @property
    def complete(self) -> bool:
        """Whether every torrent that qBittorrent has is as its person wants it."""
        return not self.failed


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

    Also puts right what an earlier restoring left behind when qBittorrent crashed right after it and lost it.
    When qBittorrent is away the report says so (`failed`), and the pause says that it is incomplete. A journal that can
    be read but not written, as on a full or a read-only disk, holds up nothing: see `unnoted`. Raises `Busy` if the
    lock is not free within `lock_timeout_s` seconds, and `JournalError`; the guard is paused even so if that could be
    noted.
    """
    _refuse_held(journal)
    _pause(journal, BEGUN_REASON)  # before the lock: a running daemon stops after its present cycle
    with journal.exclusive(lock_timeout_s):
        restoring = _Restoring(client, journal, progress, wall_clock)
        restoring.run(journal.touched(), journal.recently_restored())
        if restoring.all_read:
            restoring.note_missing()
        report = restoring.report()
        _pause(journal, _incomplete(report) if report.failed else pause_reason)
        return report


def _pause(journal: Journal, reason: str) -> None:
    """Pause; but where nothing can be written at all, restoring goes on: a daemon cannot write limits there either."""
    try:
        journal.set_paused(reason)
    except JournalError as error:
        if not (isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.EROFS):
            raise


def _incomplete(report: RollbackReport) -> str:
    """Why the guard is paused after a rollback that did not restore all."""
    total = len(report.failed) + len(report.restored) + len(report.already_original) + len(report.by_hand)
    return (
        f"rolled back incompletely: {len(report.failed)} of {total} limits may still be ours; "
        "run `qguardarr rollback` again"
    )


def _refuse_held(journal: Journal) -> None:
    problem = journal.holding()
    if problem:
        raise JournalError(problem)


def reset(
    client: TorrentClient,
    journal: Journal,
    hashes: Collection[str] | None = None,
    *,
    progress: Progress | None = None,
    lock_timeout_s: float = LOCK_TIMEOUT_S,
    wall_clock: Callable[[], float] = time.time,
) -> RollbackReport:
    """Put the originals of these torrents (None: of all) back without a pause: the next cycle decides anew.

    Raises as `rollback` does.
    """
    _refuse_held(journal)
    with journal.exclusive(lock_timeout_s):
        touched = journal.touched()
        remembered: dict[str, Touched] = {}
        untouched: tuple[str, ...] = ()
        if hashes is None:
            remembered = journal.recently_restored()
        else:
            wanted = dict.fromkeys(name if name in touched else name.lower() for name in hashes)
            untouched = tuple(name for name in wanted if name not in touched)
            touched = _only(touched, wanted)
        restoring = _Restoring(client, journal, progress, wall_clock)
        restoring.run(touched, remembered)
        return restoring.report(untouched)


class _Restoring:
    """One pass over the torrents; collects the report."""

    def __init__(
        self, client: TorrentClient, journal: Journal, progress: Progress | None, wall_clock: Callable[[], float]
    ) -> None:
        self._client = client
        self._now = wall_clock
        self._journal = journal
        self._progress = progress
        self._total = 0
        self.all_read = False
        self._foreign: dict[str, int] = {}
        """Limits that are neither ours nor originals."""
        self._at_original: list[int] = []
        """Limits of those that have their originals."""
        self.restored: list[str] = []
        self.already_original: list[str] = []
        self.by_hand: dict[str, int] = {}
        self.gone: list[str] = []
        self.failed: dict[str, str] = {}
        self._unnoted: list[str] = []
        self._unnoted_why = ""

    def run(self, touched: dict[str, Touched], remembered: dict[str, Touched]) -> None:
        self._total = len(touched)
        self._tell()
        ours: dict[int, list[str]] = {}
        try:
            limits: dict[str, int] = {}
            for chunk in _chunks([*touched, *remembered]):
                limits |= self._client.upload_limits(chunk)
            touched = self._renamed(touched, limits)
            self._sort_out(touched, limits, ours)
            self._find_returned(remembered, limits, ours)
            self._tell()
            self.all_read = True
            self._judge_foreign(touched, ours)
            for original in sorted(ours):
                for chunk in _chunks(ours[original]):
                    self._restore(original, chunk)
                    self._tell()
        except ClientError as error:
            settled = {*self.restored, *self.already_original, *self.by_hand, *self.gone, *self.failed}
            expected = dict.fromkeys([*touched, *itertools.chain.from_iterable(ours.values())])
            self.failed |= {name: str(error) for name in expected if name not in settled}

    def report(self, untouched: tuple[str, ...] = ()) -> RollbackReport:
        return RollbackReport(
            restored=tuple(self.restored),
            already_original=tuple(self.already_original),
            by_hand=self.by_hand,
            gone=tuple(self.gone),
            failed=self.failed,
            untouched=untouched,
            unnoted=tuple(self._unnoted),
            unnoted_why=self._unnoted_why,
        )

    def note_missing(self) -> None:
        """Which torrents qBittorrent lacks; without room for that nothing is lost."""
        self._note(lambda: self._journal.missing(self.gone), ())

    def _renamed(self, touched: dict[str, Touched], limits: dict[str, int]) -> dict[str, Touched]:
        """What is touched, by present ids: a hybrid torrent that was added by a v1 magnet has another one since its
        metadata arrived, and our limit. `limits` gets those of the ids found."""
        gone = [name for name in touched if name not in limits]
        if not gone:
            return touched
        ids = {v1: name for name, v1 in self._client.v1_hashes(None).items() if v1 and v1 != name}
        found = {old: ids[old] for old in gone if old in ids}
        if not found:
            return touched
        result = dict(touched)
        for old, new in found.items():
            record, other = result.pop(old), result.pop(new, None)
            result[new] = Touched(new, record.original, (*record.written, *(other.written if other else ())))
            self._note(partial(self._journal.renamed, old, new), ())
        for chunk in _chunks([new for new in found.values() if new not in limits]):
            limits |= self._client.upload_limits(chunk)
        return result

    def _sort_out(self, touched: dict[str, Touched], limits: dict[str, int], ours: dict[int, list[str]]) -> None:
        """Settle what needs no write; collect the rest in `ours`, by original."""
        originals = []
        for name, record in touched.items():
            limit = limits.get(name)
            if limit is None:
                self.gone.append(name)
            elif limit == record.original:
                originals.append(name)
                self._at_original.append(limit)
            elif (
                limit in record.written
                or any(is_rounded(limit, written) for written in record.written)
                or self._journal.wrote(name, limit)
            ):
                ours.setdefault(record.original, []).append(name)
            else:
                self._foreign[name] = limit
        if originals:
            self._note_restored(originals)
        self.already_original += originals

    def _judge_foreign(self, touched: dict[str, Touched], ours: dict[int, list[str]]) -> None:
        """Leave what a person set meanwhile; collect what another program set in `ours`."""
        note = read_note(self._journal.foreign())
        programs = bulk_values(self._foreign.values(), self._at_original, len(touched))
        programs |= note.known(self._now())
        by_hand = {}
        for name, limit in self._foreign.items():
            is_program = note.mode == "auto" and (limit in programs or looks_like_ours(limit))
            if is_program or note.mode == "ignore":
                ours.setdefault(touched[name].original, []).append(name)
            else:
                by_hand[name] = limit
        if by_hand:
            self._note(lambda: self._journal.adopt(by_hand), ())
            self._note_restored(list(by_hand))
        self.by_hand |= by_hand

    def _find_returned(
        self, remembered: dict[str, Touched], limits: dict[str, int], ours: dict[int, list[str]]
    ) -> None:
        """Collect in `ours` what was restored once, and lost that when qBittorrent crashed."""
        for name, record in remembered.items():
            limit = limits.get(name)
            if limit != record.original and limit in record.written:
                ours.setdefault(record.original, []).append(name)
                self._total += 1

    def _restore(self, original: int, hashes: Sequence[str]) -> None:
        """Write, then believe only what is read back. A write without an answer may have happened: reading tells."""
        said = ""
        try:
            self._client.set_upload_limit(original, hashes)
        except (Unreachable, Refused) as error:
            said = str(error)
        limits = self._client.upload_limits(hashes)
        verified = [name for name in hashes if limits.get(name) == original]
        if verified:
            self._note_restored(verified)
        self.restored += verified
        self.gone += [name for name in hashes if name not in limits]
        self.failed |= {
            name: said or f"qBittorrent still has {_words(limits[name])} after the write"
            for name in hashes
            if name in limits and limits[name] != original
        }

    def _note_restored(self, hashes: Sequence[str]) -> None:
        self._note(lambda: self._journal.restored(hashes), hashes)

    def _note(self, write: Callable[[], None], hashes: Sequence[str]) -> None:
        """Write to the journal; restoring goes on if that fails, since a full disk must not keep limits in force."""
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
            done = sum(map(len, (self.restored, self.already_original, self.by_hand, self.gone, self.failed)))
            self._progress(done, self._total)


def _only(records: dict[str, Touched], hashes: Iterable[str]) -> dict[str, Touched]:
    return {name: records[name] for name in hashes if name in records}


def _chunks(hashes: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(hashes), _CHUNK):
        yield hashes[start : start + _CHUNK]


def _words(limit: int) -> str:
    return "no limit" if limit == UNLIMITED else f"{limit} bytes/s"
