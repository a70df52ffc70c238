"""Questions to the journal: own limits, and history."""

from __future__ import annotations

from typing import Any

from qguardarr.adapters.sqlite.journal import SqliteJournal
from qguardarr.core.model import UNLIMITED
from qguardarr.engine.ports import HistoryFilter
from tests.support.journals import A, B, C, Now, change, write


class TestWrote:
    def test_all_our_values_in_history_are_known(self, journal: SqliteJournal) -> None:
        write(journal, A, 100)
        journal.failed(journal.intend([change(A, 200)]))
        write(journal, A, 300)
        assert [journal.wrote(A, limit) for limit in (100, 200, 300, 400)] == [True, True, True, False]
        assert not journal.wrote(B, 100)

    def test_a_restored_original_is_not_ours(self, journal: SqliteJournal) -> None:
        write(journal, A, 100, original=UNLIMITED)
        write(journal, A, UNLIMITED)
        assert not journal.wrote(A, UNLIMITED)
        journal.restored([A])
        assert not journal.wrote(A, UNLIMITED)


class TestHistory:
    def test_history_is_newest_first(self, journal: SqliteJournal, now: Now) -> None:
        ids = journal.intend([change(A, 100, old=4_000, original=5_000, reason="fair share of t1")])
        journal.applied(ids)
        now.at += 60
        journal.restored([A])
        newest, oldest = journal.history()
        assert (oldest.hash, oldest.old, oldest.new, oldest.status) == (A, 4_000, 100, "applied")
        assert (oldest.reason, oldest.at) == ("fair share of t1", now.at - 60)
        assert (newest.old, newest.new, newest.status, newest.at) == (100, 5_000, "restored", now.at)

    def test_is_paged_without_gaps(self, journal: SqliteJournal) -> None:
        journal.intend([change(A if number % 2 else B, 100 + number) for number in range(25)])
        for torrent, expected in ((None, 25), (A, 12), (C, 0)):
            seen: list[int] = []
            before_id = None
            while page := journal.history(hash=torrent, limit=4, before_id=before_id):
                seen += [entry.id for entry in page]
                before_id = seen[-1]
            assert len(seen) == expected
            assert seen == sorted(set(seen), reverse=True)

    def test_is_filtered_by_time_torrent_and_status(self, journal: SqliteJournal, now: Now) -> None:
        began = now.at
        for number in range(40):
            now.at = began + 60 * number
            write(journal, A if number % 2 else B, 100 + number)
        journal.restored([B])

        def found(**wanted: Any) -> list[float]:
            lines = journal.history(limit=1000, wanted=HistoryFilter(**wanted))
            return [(line.at - began) / 60 for line in lines][::-1]

        assert found() == [*range(40), 39]
        assert found(start=began + 600, end=began + 900) == [10, 11, 12, 13, 14]
        assert found(start=began + 590, end=began + 901) == [10, 11, 12, 13, 14, 15]
        assert found(end=began) == []
        assert found(end=began + 1) == [0]
        assert found(start=now.at) == [39, 39]
        assert found(start=now.at + 1) == []
        assert found(start=began + 600, end=began + 900, hash_prefix=A[:7]) == [11, 13]
        assert found(hash_prefix="0" * 40) == []
        assert found(status="restored") == [39]
        assert found(status="restored", hash_prefix=A) == []

    def test_an_empty_history_has_no_lines_of_any_time(self, journal: SqliteJournal) -> None:
        assert journal.history(wanted=HistoryFilter(start=1.0, end=2e9)) == []

    def test_a_limit_of_nothing_or_less_gives_nothing(self, journal: SqliteJournal) -> None:
        write(journal, A, 100)
        assert journal.history(limit=0) == journal.history(limit=-1) == []
