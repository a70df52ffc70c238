"""History is bounded, and never loses a line that a rollback needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from qguardarr.adapters.sqlite import journal_upkeep
from qguardarr.adapters.sqlite.journal import SqliteJournal
from qguardarr.adapters.sqlite.journal_schema import UNSYNCED_S
from qguardarr.engine.ports import Touched
from tests.support.journals import DAY_S, A, B, Now, change, write


class TestPrune:
    def test_old_lines_of_restored_torrents_are_deleted(self, journal: SqliteJournal, now: Now) -> None:
        write(journal, A, 100)
        journal.restored([A])
        now.at += 2 * DAY_S
        write(journal, B, 100)
        assert journal.prune(older_than_s=DAY_S) == 2
        assert [entry.hash for entry in journal.history()] == [B]
        assert journal.recently_restored() == {}

    def test_lines_that_a_rollback_needs_are_kept(self, journal: SqliteJournal, now: Now) -> None:
        write(journal, A, 100)
        write(journal, A, 200)
        journal.failed(journal.intend([change(A, 300)]))
        now.at += 2 * DAY_S
        assert journal.prune(older_than_s=DAY_S) == 1
        assert journal.touched() == {A: Touched(A, 5_000, (300, 200))}
        assert [journal.wrote(A, limit) for limit in (100, 200, 300)] == [False, True, True]

    def test_keeps_a_value_that_was_in_force_within_the_time(self, journal: SqliteJournal, now: Now) -> None:
        write(journal, A, 100)
        now.at += 10 * DAY_S
        write(journal, A, 200)  # 100 was in force until now, and comes back if qBittorrent crashes now
        journal.prune(older_than_s=DAY_S)
        assert journal.wrote(A, 100)

    def test_torrents_missing_at_each_look_are_given_up(self, journal: SqliteJournal, now: Now) -> None:
        write(journal, A, 100)
        write(journal, B, 100)
        journal.missing([A])
        for _ in range(3):
            now.at += DAY_S / 2
            journal.prune(older_than_s=DAY_S)
            assert set(journal.touched()) == {A, B}
            journal.missing([A])
        journal.prune(older_than_s=DAY_S)
        assert set(journal.touched()) == {B}

    def test_a_short_history_gives_up_no_original_sooner(self, journal: SqliteJournal, now: Now) -> None:
        write(journal, A, 100)
        journal.missing([A])
        for kept in (True, True, False):
            now.at += 2 * DAY_S
            journal.missing([A])
            journal.prune(older_than_s=DAY_S, give_up_s=5 * DAY_S)
            assert (A in journal.touched()) is kept

    def test_a_torrent_missing_at_one_look_is_not_given_up(self, journal: SqliteJournal, now: Now) -> None:
        write(journal, A, 100)
        journal.missing([A])
        now.at += 9 * DAY_S
        journal.prune(older_than_s=DAY_S)
        assert set(journal.touched()) == {A}

    def test_a_torrent_that_came_back_is_not_given_up(self, journal: SqliteJournal, now: Now) -> None:
        for torrent in (A, B):
            write(journal, torrent, 100)
        journal.missing([A, B])
        journal.missing([B])  # A is seen
        write(journal, B, 200)  # B is written to, so it is there
        now.at += 2 * DAY_S
        journal.missing([A, B])
        journal.prune(older_than_s=DAY_S)
        assert set(journal.touched()) == {A, B}

    @pytest.mark.slow
    def test_bounds_the_number_of_lines_and_the_size_of_the_file(
        self, path: Path, now: Now, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(journal_upkeep, "MAX_LINES", 1_000)
        journal = SqliteJournal(path, now=now)
        torrents = [f"{number:040x}" for number in range(500)]
        for round_ in range(60):
            journal.applied(journal.intend([change(torrent, 100 + round_) for torrent in torrents]))
            now.at += UNSYNCED_S + 1
        large = path.stat().st_size
        assert journal.prune(older_than_s=DAY_S) == 60 * 500 - 1_000 - 500  # and one for each torrent stays
        journal.close()
        assert path.stat().st_size < large / 5
        again = SqliteJournal(path)
        assert again.touched() == {torrent: Touched(torrent, 5_000, (159,)) for torrent in torrents}
        again.close()

    def test_a_large_backlog_takes_several_calls(
        self, journal: SqliteJournal, now: Now, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(journal_upkeep, "LINES_PER_STEP", 3)
        for limit in range(50):
            write(journal, A, 100 + limit)
        now.at += 2 * DAY_S
        assert [journal.prune(older_than_s=DAY_S) for _ in range(3)] == [30, 19, 0]
        assert journal.touched() == {A: Touched(A, 5_000, (149,))}

    def test_ids_are_never_used_twice(self, journal: SqliteJournal, now: Now) -> None:
        (first,) = journal.intend([change(A, 100)])
        journal.restored([A])
        now.at += 2 * DAY_S
        journal.prune(older_than_s=DAY_S)
        assert journal.history() == []
        assert journal.intend([change(B, 100)])[0] > first + 1
