"""Rollback and reset: every torrent gets its original back, exactly, and nobody's own choice is undone."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from qguardarr.adapters.sqlite.journal import SqliteJournal
from qguardarr.core.model import UNLIMITED, Change
from qguardarr.core.reconcile.foreign import Mode, Note, write_note
from qguardarr.core.reconcile.signature import marked
from qguardarr.engine.ports import Touched
from qguardarr.engine.restoring import RollbackReport
from qguardarr.engine.rollback import BEGUN_REASON, foresee, reset, rollback
from qguardarr.errors import AuthRejected, Busy, JournalError, Unreachable
from tests.support.journals import guard_writes
from tests.support.simulated_client import SimulatedQbittorrent

A, B, C, D = (digit * 40 for digit in "abcd")


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[SqliteJournal]:
    journal = SqliteJournal(tmp_path / "journal.db")
    yield journal
    journal.close()


@pytest.fixture
def qbittorrent() -> SimulatedQbittorrent:
    return SimulatedQbittorrent({A: UNLIMITED, B: 5_000, C: UNLIMITED, D: 7_000})


def test_every_original_comes_back(qbittorrent: SimulatedQbittorrent, journal: SqliteJournal) -> None:
    guard_writes(qbittorrent, journal, {A: 100, B: 200, C: 100})
    guard_writes(qbittorrent, journal, {A: 300, B: 200, C: 400})
    report = rollback(qbittorrent, journal)
    assert sorted(report.restored) == [A, B, C]
    assert report.complete
    assert report.pending == ()
    assert {torrent: qbittorrent.in_force(torrent) for torrent in (A, B, C, D)} == {
        A: UNLIMITED,
        B: 5_000,
        C: UNLIMITED,
        D: 7_000,
    }
    assert journal.touched() == {}


def test_the_guard_is_paused_before_anything_is_written(
    qbittorrent: SimulatedQbittorrent, journal: SqliteJournal
) -> None:
    guard_writes(qbittorrent, journal, {A: 100})
    seen = []
    qbittorrent.before_write = lambda: seen.append(journal.paused())
    rollback(qbittorrent, journal, pause_reason="rolled back by hand")
    assert seen == [BEGUN_REASON]
    assert journal.paused() == "rolled back by hand"


def test_the_outlook_is_what_happens_then_and_writes_nothing(
    qbittorrent: SimulatedQbittorrent, journal: SqliteJournal
) -> None:
    guard_writes(qbittorrent, journal, {A: 100, B: 200, C: 100})
    qbittorrent.states[B] = [9_999]
    qbittorrent.states[C] = [UNLIMITED]
    calls, lines = len(qbittorrent.calls), journal.history()
    for hashes in (None, [A.upper(), B, C, D]):
        seen = foresee(qbittorrent, journal, hashes)
        report = seen.report
        assert (report.restored, report.by_hand, report.already_original) == ((A,), {B: 9_999}, (C,))
        assert report.untouched == (() if hashes is None else (D,))
        assert seen.originals == {A: UNLIMITED, B: 5_000, C: UNLIMITED}
        assert (seen.limits[A], seen.limits[B]) == (100, 9_999)
    assert {call for call, _ in qbittorrent.calls[calls:]} == {"read"}
    assert journal.history() == lines
    assert journal.paused() is None
    assert set(journal.touched()) == {A, B, C}
    done = rollback(qbittorrent, journal)
    assert (done.restored, done.by_hand, done.already_original) == ((A,), {B: 9_999}, (C,))


def test_the_outlook_says_why_nothing_can_be_known(qbittorrent: SimulatedQbittorrent, journal: SqliteJournal) -> None:
    guard_writes(qbittorrent, journal, {A: 100, B: 200})
    qbittorrent.away = Unreachable("away")
    seen = foresee(qbittorrent, journal)
    assert seen.report.failed == {A: "away", B: "away"}
    assert set(journal.touched()) == {A, B}


def test_the_lock_is_held_all_the_while_and_free_afterwards(
    qbittorrent: SimulatedQbittorrent, journal: SqliteJournal, tmp_path: Path
) -> None:
    guard_writes(qbittorrent, journal, {A: 100})
    daemon = SqliteJournal(tmp_path / "journal.db")

    def daemon_tries() -> None:
        with pytest.raises(Busy), daemon.exclusive(0):
            pass

    qbittorrent.before_write = daemon_tries
    rollback(qbittorrent, journal)
    with daemon.exclusive(0):
        assert daemon.paused() == "rolled back"
    daemon.close()


def test_a_busy_daemon_is_paused_even_when_the_rollback_gives_up_waiting(
    qbittorrent: SimulatedQbittorrent, journal: SqliteJournal, tmp_path: Path
) -> None:
    guard_writes(qbittorrent, journal, {A: 100})
    daemon = SqliteJournal(tmp_path / "journal.db")
    with daemon.exclusive(0), pytest.raises(Busy):
        rollback(qbittorrent, journal, lock_timeout_s=0)
    assert daemon.paused() == BEGUN_REASON
    assert qbittorrent.in_force(A) == 100
    daemon.close()


def test_one_call_for_each_distinct_original_in_bounded_chunks(journal: SqliteJournal) -> None:
    torrents = [f"{number:040x}" for number in range(2_500)]
    originals = {torrent: UNLIMITED if number % 5 else 5_000 for number, torrent in enumerate(torrents)}
    qbittorrent = SimulatedQbittorrent(originals)
    journal.applied(journal.intend([Change(torrent, 1, 100, originals[torrent], "") for torrent in torrents]))
    qbittorrent.set_upload_limit(100, torrents)
    qbittorrent.calls.clear()
    steps: list[tuple[int, int]] = []
    report = rollback(qbittorrent, journal, progress=lambda done, total: steps.append((done, total)))
    assert len(report.restored) == 2_500
    writes = [call for call in qbittorrent.calls if call[0] != "read"]
    assert writes == [("5000", 500), (str(UNLIMITED), 1_000), (str(UNLIMITED), 1_000)]
    assert max(size for _, size in qbittorrent.calls) <= 1_000
    assert steps[0] == (0, 2_500)
    assert steps[-1] == (2_500, 2_500)
    assert steps == sorted(steps)


def test_a_torrent_at_its_original_is_not_written(qbittorrent: SimulatedQbittorrent, journal: SqliteJournal) -> None:
    guard_writes(qbittorrent, journal, {B: 100})
    guard_writes(qbittorrent, journal, {B: 5_000})
    qbittorrent.calls.clear()
    assert rollback(qbittorrent, journal) == RollbackReport(already_original=(B,))
    assert qbittorrent.calls == [("read", 1)]
    assert journal.touched() == {}


def test_a_limit_set_by_hand_is_left_alone_and_no_longer_ours(
    qbittorrent: SimulatedQbittorrent, journal: SqliteJournal
) -> None:
    guard_writes(qbittorrent, journal, {A: 100, B: 100})
    qbittorrent.states[A].append(4_321)
    report = rollback(qbittorrent, journal)
    assert report == RollbackReport(restored=(B,), by_hand={A: 4_321})
    assert qbittorrent.in_force(A) == 4_321
    assert journal.touched() == {}
    assert [entry.status for entry in journal.history(hash=A)] == ["restored", "adopted", "applied"]


class TestForeignLimits:
    """Limits in force that are neither ours nor originals."""

    NAMES = tuple(f"{n:040x}" for n in range(12))

    def meddled(self, journal: SqliteJournal, value: int, *, on: int = 12) -> SimulatedQbittorrent:
        """Twelve torrents, two of them without a limit of their own, on which a program set one value."""
        originals = {name: 9_000 + n if n > 1 else UNLIMITED for n, name in enumerate(self.NAMES)}
        qbittorrent = SimulatedQbittorrent(originals)
        guard_writes(qbittorrent, journal, dict.fromkeys(self.NAMES, 2_000))
        for name in self.NAMES[:on]:
            qbittorrent.states[name] = [value]
        return qbittorrent

    def originals(self, qbittorrent: SimulatedQbittorrent) -> list[int]:
        return [qbittorrent.in_force(name) for name in self.NAMES]

    @pytest.mark.parametrize("value", [UNLIMITED, 512_000])
    def test_one_value_on_many_is_a_programs_and_does_not_stay(self, journal: SqliteJournal, value: int) -> None:
        """Regression: it was called set by hand, and left in force."""
        qbittorrent = self.meddled(journal, value)
        report = rollback(qbittorrent, journal)
        assert report.by_hand == {}
        assert self.originals(qbittorrent) == [UNLIMITED, UNLIMITED, *range(9_002, 9_012)]
        assert journal.touched() == {}

    def test_on_a_handful_it_is_a_persons(self, journal: SqliteJournal) -> None:
        report = rollback(self.meddled(journal, 512_000, on=4), journal)
        assert len(report.by_hand) == 4
        assert len(report.restored) == 8

    @pytest.mark.parametrize(("mode", "left"), [("person", 12), ("ignore", 0)])
    def test_the_setting_in_force_decides(self, journal: SqliteJournal, mode: Mode, left: int) -> None:
        qbittorrent = self.meddled(journal, 512_000)
        journal.set_foreign(write_note(Note(mode)))
        assert len(rollback(qbittorrent, journal).by_hand) == left

    def test_a_value_that_the_daemon_has_recognised_does_not_stay_on_a_single_torrent(
        self, journal: SqliteJournal
    ) -> None:
        qbittorrent = self.meddled(journal, 512_000, on=1)
        journal.set_foreign(write_note(Note(values={512_000: time.time() + 3600})))
        assert rollback(qbittorrent, journal).by_hand == {}

    def test_neither_does_another_qguardarrs(self, journal: SqliteJournal) -> None:
        assert rollback(self.meddled(journal, marked(50_000), on=1), journal).by_hand == {}

    def test_ours_rounded_to_kib_is_ours(self, journal: SqliteJournal) -> None:
        assert rollback(self.meddled(journal, 2_048, on=1), journal).by_hand == {}


def test_an_older_limit_of_ours_that_came_back_is_not_taken_for_set_by_hand(
    qbittorrent: SimulatedQbittorrent, journal: SqliteJournal
) -> None:
    guard_writes(qbittorrent, journal, {A: 100})
    guard_writes(qbittorrent, journal, {A: 200})
    qbittorrent.states[A].pop()  # killed before it saved
    assert rollback(qbittorrent, journal) == RollbackReport(restored=(A,))
    assert qbittorrent.in_force(A) == UNLIMITED


def test_a_write_whose_fate_is_unknown_is_undone(qbittorrent: SimulatedQbittorrent, journal: SqliteJournal) -> None:
    journal.intend([Change(A, UNLIMITED, 100, UNLIMITED, ""), Change(B, 5_000, 100, 5_000, "")])
    qbittorrent.set_upload_limit(100, [A])  # and then the daemon was killed
    report = rollback(qbittorrent, journal)
    assert report == RollbackReport(restored=(A,), already_original=(B,))
    assert qbittorrent.in_force(A) == UNLIMITED


def test_a_torrent_that_is_gone_is_kept_and_restored_when_it_comes_back(
    qbittorrent: SimulatedQbittorrent, journal: SqliteJournal
) -> None:
    guard_writes(qbittorrent, journal, {A: 100, B: 100})
    states = qbittorrent.states.pop(A)
    report = rollback(qbittorrent, journal)
    assert report == RollbackReport(restored=(B,), gone=(A,))
    assert report.complete
    assert report.pending == (A,)
    qbittorrent.states[A] = states
    assert rollback(qbittorrent, journal) == RollbackReport(restored=(A,))
    assert qbittorrent.in_force(A) == UNLIMITED


def test_a_gone_torrent_is_given_up_after_retention(qbittorrent: SimulatedQbittorrent, tmp_path: Path) -> None:
    at = [1_700_000_000.0]
    journal = SqliteJournal(tmp_path / "aged.db", now=lambda: at[0])
    guard_writes(qbittorrent, journal, {A: 100})
    del qbittorrent.states[A]
    rollback(qbittorrent, journal)
    at[0] += 86_400
    assert rollback(qbittorrent, journal).gone == (A,)
    journal.prune(older_than_s=3_600)
    assert rollback(qbittorrent, journal) == RollbackReport()
    journal.close()


def test_a_torrent_removed_between_write_and_reading_back_is_gone(
    qbittorrent: SimulatedQbittorrent, journal: SqliteJournal
) -> None:
    guard_writes(qbittorrent, journal, {A: 100})

    def remove() -> None:
        del qbittorrent.states[A]

    qbittorrent.before_write = remove
    assert rollback(qbittorrent, journal) == RollbackReport(gone=(A,))
    assert set(journal.touched()) == {A}


def test_with_qbittorrent_away_nothing_is_forgotten(qbittorrent: SimulatedQbittorrent, journal: SqliteJournal) -> None:
    guard_writes(qbittorrent, journal, {A: 100, B: 100})
    qbittorrent.away = AuthRejected("wrong password")
    report = rollback(qbittorrent, journal)
    assert report == RollbackReport(failed={A: "wrong password", B: "wrong password"})
    assert not report.complete
    paused = journal.paused()
    assert paused is not None
    assert paused.startswith("rolled back incompletely: 2 of 2 limits may still be ours")
    qbittorrent.away = None
    assert sorted(rollback(qbittorrent, journal).restored) == [A, B]
    assert journal.paused() == "rolled back"


def test_qbittorrent_leaving_half_way_keeps_what_was_verified_and_retries_the_rest(
    qbittorrent: SimulatedQbittorrent, journal: SqliteJournal
) -> None:
    guard_writes(qbittorrent, journal, {A: 100, B: 200, D: 300})
    writes = 0

    def leave_at_the_second_write() -> None:
        nonlocal writes
        writes += 1
        if writes == 2:
            qbittorrent.away = Unreachable("connection refused")

    qbittorrent.before_write = leave_at_the_second_write
    report = rollback(qbittorrent, journal)
    assert report.restored == (B,)  # the smallest original
    assert report.failed == {A: "connection refused", D: "connection refused"}
    assert set(journal.touched()) == {A, D}
    qbittorrent.away = None
    assert rollback(qbittorrent, journal).complete
    assert [qbittorrent.in_force(torrent) for torrent in (A, B, D)] == [UNLIMITED, 5_000, 7_000]


def test_a_write_without_an_answer_is_judged_by_what_is_read_back(
    qbittorrent: SimulatedQbittorrent, journal: SqliteJournal
) -> None:
    guard_writes(qbittorrent, journal, {A: 100, C: 100})
    qbittorrent.write_faults = ["half"]
    report = rollback(qbittorrent, journal)
    assert report == RollbackReport(restored=(A,), failed={C: "no answer within 30 s"})
    assert set(journal.touched()) == {C}


def test_a_refused_write_does_not_stop_the_others(qbittorrent: SimulatedQbittorrent, journal: SqliteJournal) -> None:
    guard_writes(qbittorrent, journal, {A: 100, B: 100})
    qbittorrent.write_faults = ["refused"]
    assert rollback(qbittorrent, journal) == RollbackReport(restored=(A,), failed={B: "HTTP 400"})


def test_a_write_that_does_not_take_is_reported(qbittorrent: SimulatedQbittorrent, journal: SqliteJournal) -> None:
    guard_writes(qbittorrent, journal, {A: 100})
    ignoring = qbittorrent.states[A].copy()

    class Deaf(SimulatedQbittorrent):
        def set_upload_limit(self, limit: int, hashes: Sequence[str]) -> None:
            assert limit == UNLIMITED

    report = rollback(Deaf({A: ignoring[-1]}), journal)
    assert report.failed == {A: "qBittorrent still has 100 bytes/s after the write"}
    assert set(journal.touched()) == {A}


def test_a_restoring_that_qbittorrent_lost_is_done_again(
    qbittorrent: SimulatedQbittorrent, journal: SqliteJournal
) -> None:
    guard_writes(qbittorrent, journal, {A: 100, B: 100, C: 100})
    rollback(qbittorrent, journal)
    qbittorrent.states[A].pop()  # killed before it saved
    qbittorrent.states[B].append(4_321)  # a person, since then
    assert rollback(qbittorrent, journal) == RollbackReport(restored=(A,))
    assert [qbittorrent.in_force(torrent) for torrent in (A, B, C)] == [UNLIMITED, 4_321, UNLIMITED]
    assert rollback(qbittorrent, journal) == RollbackReport()


def test_a_journal_that_cannot_be_written_stops_before_anything_is_written(
    qbittorrent: SimulatedQbittorrent, journal: SqliteJournal
) -> None:
    guard_writes(qbittorrent, journal, {A: 100})
    qbittorrent.calls.clear()
    journal.close()
    with pytest.raises(JournalError):
        rollback(qbittorrent, journal)
    assert qbittorrent.calls == []


class TestReset:
    def test_restores_the_chosen_ones_without_a_pause(
        self, qbittorrent: SimulatedQbittorrent, journal: SqliteJournal
    ) -> None:
        guard_writes(qbittorrent, journal, {A: 100, B: 100})
        report = reset(qbittorrent, journal, [A.upper(), D])
        assert report == RollbackReport(restored=(A,), untouched=(D,))
        assert journal.paused() is None
        assert journal.touched() == {B: Touched(B, 5_000, (100,))}

    def test_restores_all_when_none_are_chosen(self, qbittorrent: SimulatedQbittorrent, journal: SqliteJournal) -> None:
        guard_writes(qbittorrent, journal, {A: 100, B: 100})
        assert reset(qbittorrent, journal) == RollbackReport(restored=(B, A))
        assert journal.touched() == {}

    def test_of_all_does_a_lost_restoring_again(
        self, qbittorrent: SimulatedQbittorrent, journal: SqliteJournal
    ) -> None:
        guard_writes(qbittorrent, journal, {A: 100})
        reset(qbittorrent, journal)
        qbittorrent.states[A].pop()  # killed before it saved
        assert reset(qbittorrent, journal) == RollbackReport(restored=(A,))

    def test_of_nothing_asks_nothing(self, qbittorrent: SimulatedQbittorrent, journal: SqliteJournal) -> None:
        guard_writes(qbittorrent, journal, {A: 100})
        qbittorrent.calls.clear()
        assert reset(qbittorrent, journal, []) == RollbackReport()
        assert qbittorrent.calls == []

    def test_waits_for_the_lock_and_says_so(
        self, qbittorrent: SimulatedQbittorrent, journal: SqliteJournal, tmp_path: Path
    ) -> None:
        daemon = SqliteJournal(tmp_path / "journal.db")
        with daemon.exclusive(0), pytest.raises(Busy):
            reset(qbittorrent, journal, lock_timeout_s=0)
        daemon.close()

    def test_pauses_if_that_is_wanted_and_not_when_it_is_refused(
        self, qbittorrent: SimulatedQbittorrent, journal: SqliteJournal, tmp_path: Path
    ) -> None:
        guard_writes(qbittorrent, journal, {A: 100})
        daemon = SqliteJournal(tmp_path / "journal.db")
        with daemon.exclusive(0), pytest.raises(Busy):
            reset(qbittorrent, journal, [A], pause_reason="a visit", lock_timeout_s=0)
        daemon.close()
        assert journal.paused() is None
        assert reset(qbittorrent, journal, [A], pause_reason="a visit").restored == (A,)
        assert journal.paused() == "a visit"


TORRENTS = (A, B, C, D)
PERSONS = st.sampled_from([1_001, 2_001, 3_001, UNLIMITED])
OURS = st.sampled_from([10, 20, 30, 40])
FAULTS = st.sampled_from(["none", "none", "unanswered", "half", "lost"])
CHOICE = st.sets(st.sampled_from(TORRENTS), min_size=1)


class GuardedQbittorrent(RuleBasedStateMachine):
    """Anything may happen to a guarded qBittorrent; a rollback then finds the person's limit of each torrent.

    The values of persons and of the guard differ, so that the machine can tell at any time whose limit is in force:
    then the expected one is that very limit if it is a person's, else the last one that the guard has seen.
    """

    ours = OURS

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.at = 1_700_000_000.0
        self.open()
        self.qbittorrent = SimulatedQbittorrent({})
        self.known: dict[str, int] = {}
        self.persons: dict[str, set[int]] = {}
        self.unplugged: dict[str, list[int]] = {}
        self.crashed = False

    def open(self) -> None:
        self.journal = SqliteJournal(Path(self.folder.name) / "journal.db", now=lambda: self.at)

    def teardown(self) -> None:
        try:
            self.comes_back()
            expected = self.expected()
            self.roll_back([])
            assert {torrent: self.qbittorrent.in_force(torrent) for torrent in expected} == expected
        finally:
            self.journal.close()
            self.folder.cleanup()

    def expected(self) -> dict[str, int]:
        return {
            torrent: states[-1] if self.is_a_persons(torrent, states[-1]) else self.known[torrent]
            for torrent, states in self.qbittorrent.states.items()
        }

    def is_a_persons(self, torrent: str, limit: int) -> bool:
        return limit in self.persons[torrent]

    @initialize(limits=st.tuples(*[PERSONS] * len(TORRENTS)))
    def a_person_starts(self, limits: tuple[int, ...]) -> None:
        for torrent, limit in zip(TORRENTS, limits, strict=True):
            self.add(torrent, limit)

    def add(self, torrent: str, limit: int) -> None:
        self.qbittorrent.states[torrent] = [limit]
        self.persons.setdefault(torrent, set()).add(limit)

    @rule(
        chosen=CHOICE,
        limits=st.tuples(*[OURS] * len(TORRENTS)),
        faults=st.lists(FAULTS, max_size=4),
        end=st.sampled_from(["settled", "settled", "killed before", "killed after"]),
    )
    def guard_cycle(self, chosen: set[str], limits: tuple[int, ...], faults: list[str], end: str) -> None:
        self.write({name: limit for name, limit in zip(TORRENTS, limits, strict=True) if name in chosen}, faults, end)

    @rule(chosen=CHOICE, faults=st.lists(FAULTS, max_size=4), forget=st.booleans())
    def guard_releases(self, chosen: set[str], faults: list[str], forget: bool) -> None:
        """A tracker became unlimited: the originals are written like any other limit, then perhaps forgotten."""
        with self.journal.exclusive(0):
            self.adopt_what_persons_set()
            originals = {name: record.original for name, record in self.journal.touched().items() if name in chosen}
        self.write(originals, faults, "settled")
        if forget:
            with self.journal.exclusive(0):
                limits = self.qbittorrent.upload_limits(list(originals))
                self.journal.restored([name for name, limit in limits.items() if limit == originals[name]])

    def write(self, limits: dict[str, int], faults: list[str], end: str) -> None:
        with self.journal.exclusive(0):
            self.adopt_what_persons_set()
            now = self.qbittorrent.upload_limits(list(limits))
            limits = {name: limit for name, limit in limits.items() if now.get(name, limit) != limit}
            ids = self.journal.intend([Change(name, now[name], new, now[name], "") for name, new in limits.items()])
            for name in limits:
                if self.is_a_persons(name, now[name]):
                    self.known[name] = now[name]
            if end != "killed before":
                self.send(limits, ids, faults, settle=end == "settled")
        if end != "settled":
            self.daemon_restarts()

    def send(self, limits: dict[str, int], ids: Sequence[int], faults: list[str], *, settle: bool) -> None:
        self.qbittorrent.write_faults = list(faults)
        for limit in sorted(set(limits.values())):
            group = [name for name in limits if limits[name] == limit]
            own = [line for line, name in zip(ids, limits, strict=True) if name in group]
            try:
                self.qbittorrent.set_upload_limit(limit, group)
            except Unreachable:
                settled = self.journal.failed
            else:
                settled = self.journal.applied
            if settle:
                settled(own)
        self.qbittorrent.write_faults = []

    def adopt_what_persons_set(self) -> None:
        touched = self.journal.touched()
        adopted = {
            name: limit
            for name, limit in self.qbittorrent.upload_limits(list(touched)).items()
            if limit != touched[name].original
            and limit not in touched[name].written
            and not self.journal.wrote(name, limit)
        }
        self.journal.adopt(adopted)
        self.known |= adopted

    @rule(torrent=st.sampled_from(TORRENTS), limit=PERSONS)
    def a_person_sets_a_limit(self, torrent: str, limit: int) -> None:
        if torrent in self.qbittorrent.states:
            self.qbittorrent.states[torrent].append(limit)
            self.persons[torrent].add(limit)

    @rule()
    def qbittorrent_saves(self) -> None:
        self.qbittorrent.save()

    @rule(seed=st.integers(0, 999))
    def qbittorrent_crashes(self, seed: int) -> None:
        self.crashed = True
        chance = random.Random(seed)
        for states in self.qbittorrent.states.values():
            del states[chance.randint(1, len(states)) :]
            del states[:-1]

    @rule()
    def daemon_restarts(self) -> None:
        self.journal.close()
        self.open()

    @rule(torrent=st.sampled_from(TORRENTS))
    def is_unplugged(self, torrent: str) -> None:
        """Its disk is away, say."""
        if torrent in self.qbittorrent.states:
            self.unplugged[torrent] = self.qbittorrent.states.pop(torrent)[-1:]

    @rule()
    def comes_back(self) -> None:
        self.qbittorrent.states |= self.unplugged
        self.unplugged.clear()

    @rule(limit=PERSONS)
    def days_pass(self, limit: int) -> None:
        """What is away was deleted, and is added afresh; everything is saved.

        What a crash undid is noticed sooner than history is pruned: the journal promises no more.
        """
        if self.crashed:
            self.roll_back([])
        self.qbittorrent.save()
        self.at += 3 * 86_400
        self.journal.prune(older_than_s=2 * 86_400)
        for torrent in self.unplugged:
            self.add(torrent, limit)
        self.unplugged.clear()

    @rule(faults=st.lists(FAULTS, max_size=3))
    def roll_back(self, faults: list[str]) -> None:
        expected = self.expected()
        self.qbittorrent.write_faults = list(faults)
        report = rollback(self.qbittorrent, self.journal)
        self.qbittorrent.write_faults = []
        self.known |= report.by_hand
        for torrent in (*report.restored, *report.already_original, *report.by_hand):
            assert self.qbittorrent.in_force(torrent) == expected[torrent]
        if not any(fault != "none" for fault in faults):
            assert report.complete
            self.crashed = False

    @rule(chosen=st.none() | CHOICE)
    def limits_are_reset(self, chosen: set[str] | None) -> None:
        self.known |= reset(self.qbittorrent, self.journal, chosen).by_hand

    @precondition(lambda self: self.known)
    @invariant()
    def originals_are_persons_values(self) -> None:
        for torrent, record in self.journal.touched().items():
            assert record.original in self.persons[torrent]


GuardedQbittorrent.TestCase.settings = settings(
    max_examples=100,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestGuardedQbittorrent = GuardedQbittorrent.TestCase
