"""Originals, values that may be in force, and limits set by hand."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from qguardarr.adapters.sqlite.journal import SqliteJournal
from qguardarr.adapters.sqlite.journal_schema import UNSYNCED_S
from qguardarr.core.model import UNLIMITED
from qguardarr.engine.ports import Touched
from tests.support.journals import A, B, C, Now, change, write


class TestOriginals:
    def test_the_first_touch_wins(self, journal: SqliteJournal) -> None:
        write(journal, A, 100, original=5_000)
        write(journal, A, 200, original=100)
        assert journal.touched() == {A: Touched(A, 5_000, (200,))}

    def test_the_first_of_two_changes_in_one_batch_wins(self, journal: SqliteJournal) -> None:
        journal.intend([change(A, 100, original=5_000), change(A, 200, original=100)])
        assert journal.touched() == {A: Touched(A, 5_000, (200, 100))}

    def test_originals_survive_a_restart(self, journal: SqliteJournal, path: Path) -> None:
        write(journal, A, 100, original=UNLIMITED)
        journal.close()
        again = SqliteJournal(path)
        assert again.touched() == {A: Touched(A, UNLIMITED, (100,))}
        again.close()

    def test_originals_of_chosen_torrents(self, journal: SqliteJournal) -> None:
        write(journal, A, 100)
        write(journal, B, 200)
        write(journal, B, 300)
        assert journal.touched([B, "0" * 40]) == {B: Touched(B, 5_000, (300,))}
        assert journal.touched([]) == {}

    def test_all_records_are_recalled_one_by_one(self, journal: SqliteJournal) -> None:
        journal.applied(journal.intend([change(A, 100), change(B, 300)]))
        journal.restored([B])
        recalled = list(journal.recall())
        assert [(found.hash, held) for found, held in recalled] == [(B, False), (A, True)]
        assert {found.hash: found for found, held in recalled if held} == journal.touched()
        assert {found.hash: found for found, held in recalled if not held} == journal.recently_restored()

    def test_a_restored_torrent_is_no_longer_touched(self, journal: SqliteJournal) -> None:
        write(journal, A, 100)
        write(journal, B, 100)
        journal.restored([A, C])
        assert set(journal.touched()) == {B}

    def test_after_a_restoring_the_next_touch_captures_again(self, journal: SqliteJournal) -> None:
        write(journal, A, 100, original=5_000)
        journal.restored([A])
        write(journal, A, 200, original=7_000)
        assert journal.touched() == {A: Touched(A, 7_000, (200,))}

    def test_a_value_of_ours_that_came_back_after_a_restoring_is_not_taken_for_an_original(
        self, journal: SqliteJournal
    ) -> None:
        write(journal, A, 100, original=5_000)
        journal.restored([A])
        journal.intend([change(A, 300, original=100)])  # qBittorrent crashed and lost the restoring
        assert journal.touched()[A].original == 5_000

    def test_a_superseded_value_may_come_back_as_well(self, journal: SqliteJournal, now: Now) -> None:
        write(journal, A, 100, original=5_000)
        now.at += 10
        write(journal, A, 200)
        now.at += 10
        journal.restored([A])
        assert journal.recently_restored() == {A: Touched(A, 5_000, (200, 100))}
        journal.intend([change(A, 300, original=100)])
        assert journal.touched()[A].original == 5_000

    def test_a_value_superseded_long_before_the_restoring_may_be_an_original(
        self, journal: SqliteJournal, now: Now
    ) -> None:
        write(journal, A, 100, original=5_000)
        write(journal, A, 200)
        now.at += UNSYNCED_S + 1
        journal.restored([A])
        assert journal.recently_restored() == {A: Touched(A, 5_000, (200,))}
        journal.intend([change(A, 300, original=100)])
        assert journal.touched()[A].original == 100

    def test_hashes_come_back_as_they_were_given(self, journal: SqliteJournal) -> None:
        odd = ["A" * 40, "t1", "ab cd", "", "abc", C]
        journal.intend([change(torrent, 100) for torrent in odd])
        assert list(journal.touched()) == odd


class TestWritten:
    def test_an_intent_without_a_result_may_be_in_force(self, journal: SqliteJournal) -> None:
        write(journal, A, 100)
        journal.intend([change(A, 200)])
        assert journal.touched()[A].written == (200, 100)

    def test_a_failed_write_may_be_in_force(self, journal: SqliteJournal) -> None:
        write(journal, A, 100)
        journal.failed(journal.intend([change(A, 200)]))
        journal.failed(journal.intend([change(A, 300)]))
        assert journal.touched()[A].written == (300, 200, 100)

    def test_an_applied_write_settles_all_before_it(self, journal: SqliteJournal) -> None:
        journal.failed(journal.intend([change(A, 100)]))
        write(journal, A, 200)
        assert journal.touched()[A].written == (200,)

    def test_a_late_result_does_not_hide_a_newer_intent(self, journal: SqliteJournal) -> None:
        first = journal.intend([change(A, 100)])
        journal.intend([change(A, 200)])
        journal.applied(first)
        assert journal.touched()[A].written == (200, 100)

    def test_a_repeated_value_counts_once_as_the_newest(self, journal: SqliteJournal) -> None:
        write(journal, A, 100)
        write(journal, A, 200)
        journal.intend([change(A, 100)])
        assert journal.touched()[A].written == (100, 200)

    def test_ids_match_the_changes_one_to_one(self, journal: SqliteJournal) -> None:
        ids = journal.intend([change(A, 100), change(B, 200), change(C, 300)])
        assert [(entry.id, entry.hash) for entry in reversed(journal.history())] == list(
            zip(ids, (A, B, C), strict=True)
        )

    def test_no_intent_writes_nothing(self, journal: SqliteJournal) -> None:
        assert list(journal.intend([])) == []
        assert journal.history() == []


class TestRenamed:
    def test_a_new_id_takes_over_all_records(self, journal: SqliteJournal) -> None:
        write(journal, A, 100, original=5_000)
        journal.missing([A])
        journal.renamed(A, B)
        assert journal.touched() == {B: Touched(B, 5_000, (100,))}
        assert journal.wrote(B, 100)
        assert [entry.new for entry in journal.history(hash=B)] == [100]
        journal.renamed(A, C)  # which nobody knows any more
        assert set(journal.touched()) == {B}

    def test_a_new_id_taken_for_another_torrent_gives_way(self, journal: SqliteJournal) -> None:
        write(journal, A, 100, original=5_000)
        write(journal, B, 200, original=100)
        journal.renamed(A, B)
        assert journal.touched()[B].original == 5_000
        assert set(journal.touched()[B].written) == {100, 200}
        assert [entry.new for entry in journal.history()] == [200, 100]


class TestAdopt:
    def test_the_value_set_by_hand_becomes_the_original(self, journal: SqliteJournal) -> None:
        write(journal, A, 100, original=5_000)
        journal.adopt({A: 900})
        assert journal.touched() == {A: Touched(A, 900, (100,))}
        entry = journal.history()[0]
        assert (entry.status, entry.old, entry.new) == ("adopted", 100, 900)
        journal.adopt({A: 950})
        journal.restored([A])
        lines = [(entry.status, entry.old, entry.new) for entry in journal.history(limit=2)]
        assert lines == [("restored", 950, 950), ("adopted", 900, 950)]

    def test_a_persons_value_is_no_longer_taken_for_ours(self, journal: SqliteJournal) -> None:
        write(journal, A, 900, original=5_000)
        write(journal, A, 5_000, original=5_000)  # released: the person's own value
        journal.adopt({A: 900})
        assert journal.touched() == {A: Touched(A, 900, ())}
        assert not journal.wrote(A, 900)

    def test_a_torrent_that_is_not_ours_is_left_out(self, journal: SqliteJournal) -> None:
        write(journal, A, 100, original=5_000)
        journal.restored([A])
        before = journal.recently_restored()
        journal.adopt({A: 100, B: 900})
        assert journal.touched() == {}
        assert journal.recently_restored() == before
        assert [entry.status for entry in journal.history()] == ["restored", "applied"]


class TestAtSize:
    def test_ten_thousand_changes_take_well_under_a_second(self, journal: SqliteJournal) -> None:
        changes = [change(f"{number:040x}", 100) for number in range(10_000)]
        started = time.process_time()
        ids = journal.intend(changes)
        journal.applied(ids)
        assert time.process_time() - started < 1.0  # 0.3 s; of this process, since others may be busy
        assert len(journal.touched()) == 10_000

    def test_no_batch_reads_all_of_history(self, journal: SqliteJournal) -> None:
        statements: list[str] = []
        with journal.file.reading() as raw:
            raw.set_trace_callback(statements.append)
        write(journal, A, 100)
        journal.adopt({A: 900})
        journal.wrote(A, 100)
        journal.history(hash=A)
        journal.restored([A])
        raw.set_trace_callback(None)
        plans = [
            str(row[3])
            for statement in set(statements)
            if statement.startswith(("INSERT", "UPDATE", "DELETE", "SELECT", "\n"))
            for row in raw.execute(f"EXPLAIN QUERY PLAN {statement}")
        ]
        assert plans
        assert not [plan for plan in plans if plan.startswith("SCAN changes")]

    def test_several_threads_may_use_one_handle(self, journal: SqliteJournal) -> None:
        failures: list[BaseException] = []

        def work(digit: str) -> None:
            try:
                for limit in range(1, 30):
                    write(journal, digit * 40, limit)
                    journal.touched()
                    journal.generation()
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=(digit,)) for digit in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert {touched.written for touched in journal.touched().values()} == {(29,)}
