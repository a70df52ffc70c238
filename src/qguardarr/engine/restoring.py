"""One pass over torrents that gives back their original limits, or tells what that would come to."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
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
    """Settled, but the journal could not take note, and still holds them."""
    unnoted_why: str = ""
    """Why it could not, in words."""

    @property
    def pending(self) -> tuple[str, ...]:
        """Torrents that the journal still holds: `gone`, `failed` and `unnoted`."""
        return (*self.gone, *self.failed, *self.unnoted)

    @property
    def complete(self) -> bool:
        """Whether every torrent that qBittorrent has is as its person wants it."""
        return not self.failed


def named_hash(instance: str, hash_: str) -> str:
    """Return how a report calls a torrent: by its hash, with the name of its qBittorrent if it has one."""
    return f"{instance}/{hash_}" if instance else hash_


def named(report: RollbackReport, instance: str) -> RollbackReport:
    """Return the report of one of several qBittorrents with its name before each hash."""
    if not instance:
        return report
    changed = {
        field: {named_hash(instance, hash_): kept for hash_, kept in found.items()}
        if isinstance(found, dict)
        else tuple(named_hash(instance, hash_) for hash_ in found)
        for field, found in msgspec.structs.asdict(report).items()
        if field != "unnoted_why"
    }
    return msgspec.structs.replace(report, **changed)


def joined(reports: Sequence[RollbackReport]) -> RollbackReport:
    """Return the reports of several qBittorrents as one."""
    if len(reports) == 1:
        return reports[0]
    return RollbackReport(
        restored=tuple(name for report in reports for name in report.restored),
        already_original=tuple(name for report in reports for name in report.already_original),
        by_hand={name: limit for report in reports for name, limit in report.by_hand.items()},
        gone=tuple(name for report in reports for name in report.gone),
        failed={name: why for report in reports for name, why in report.failed.items()},
        untouched=tuple(name for report in reports for name in report.untouched),
        unnoted=tuple(name for report in reports for name in report.unnoted),
        unnoted_why=next((report.unnoted_why for report in reports if report.unnoted_why), ""),
    )


class Outlook(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome that a rollback would have, and the limits that it is about."""

    report: RollbackReport
    originals: dict[str, int]
    """Limit that each torrent had before us, bytes/s or UNLIMITED."""
    limits: dict[str, int]
    """Limit in force now, bytes/s or UNLIMITED, of those that qBittorrent has."""


class Restoring:
    """One pass over the torrents; collects the report."""

    def __init__(
        self,
        client: TorrentClient,
        journal: Journal,
        progress: Progress | None,
        wall_clock: Callable[[], float],
        *,
        only_look: bool = False,
    ) -> None:
        """`only_look`: write nothing, neither to qBittorrent nor to the journal."""
        self._client = client
        self._journal = journal
        self._progress = progress
        self._now = wall_clock
        self._only_look = only_look
        self.limits: dict[str, int] = {}
        """Limits in force before anything was written, bytes/s or UNLIMITED, by present id."""
        self.touched: Mapping[str, Touched] = {}
        """Torrents to restore, by present id."""
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
            limits = self.limits
            for chunk in _chunks([*touched, *remembered]):
                limits |= self._client.upload_limits(chunk)
            touched = self.touched = self._by_present_ids(touched, limits)
            foreign = self._sort_out(touched, limits)
            self._find_returned(remembered, limits)
            self._tell()
            all_read = True
            self._judge_foreign(foreign, touched, limits)
            for original in sorted(self._ours):
                for chunk in _chunks(self._ours[original]):
                    if self._only_look:
                        self._restored += chunk
                    else:
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
        if self._only_look:
            return
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
