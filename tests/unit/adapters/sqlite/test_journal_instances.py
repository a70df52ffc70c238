"""A torrent's key in the journal is (instance, hash); journals of earlier formats have one instance, without a name."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from qguardarr.adapters.sqlite.journal import SqliteJournal
from qguardarr.adapters.sqlite.journal_schema import JOURNAL, MIGRATIONS
from qguardarr.adapters.sqlite.originals import SUFFIX, Originals
from qguardarr.adapters.sqlite.side_files import beside
from qguardarr.core.model import UNLIMITED, Change
from qguardarr.engine.ports import Touched
from qguardarr.engine.restoring import RollbackReport
from qguardarr.engine.rollback import reset, rollback
from qguardarr.errors import JournalError
from tests.support.journals import guard_writes
from tests.support.simulated_client import SimulatedQbittorrent

A, B, C = (digit * 40 for digit in "abc")

FORMAT_2 = f"""
PRAGMA application_id = {JOURNAL.application_id};
PRAGMA user_version = 2;
CREATE TABLE torrents (
    id INTEGER PRIMARY KEY, hash BLOB NOT NULL UNIQUE, original INTEGER NOT NULL, restored_at REAL,
    missing_since REAL, missing_until REAL);
CREATE TABLE changes (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, torrent INTEGER NOT NULL, old INTEGER NOT NULL,
    new INTEGER NOT NULL, own INTEGER NOT NULL, status INTEGER NOT NULL, reason TEXT NOT NULL);
CREATE INDEX changes_by_torrent ON changes (torrent, new, own);
CREATE TABLE in_force (
    torrent INTEGER NOT NULL, value INTEGER NOT NULL, change INTEGER NOT NULL, superseded_at REAL,
    PRIMARY KEY (torrent, value)) WITHOUT ROWID;
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO torrents VALUES (1, x'{A}', 300000, NULL, NULL, NULL);
INSERT INTO torrents VALUES (2, x'{B}', 5000, NULL, 1700000008.0, 1700000008.0);
INSERT INTO torrents VALUES (3, x'{C}', 9000, 1700000004.0, NULL, NULL);
INSERT INTO torrents VALUES (4, 'not-hex', 7000, NULL, NULL, NULL);
INSERT INTO changes VALUES (1, 1700000000.0, 1, {UNLIMITED}, 100003, 1, 1, 'fair share of alpha');
INSERT INTO changes VALUES (2, 1700000001.0, 1, 100003, 200003, 1, 1, 'fair share of alpha');
INSERT INTO changes VALUES (3, 1700000002.0, 2, 5000, 4003, 1, 1, 'fair share of alpha');
INSERT INTO changes VALUES (4, 1700000003.0, 3, 9000, 8003, 1, 1, 'fair share of alpha');
INSERT INTO changes VALUES (5, 1700000004.0, 3, 8003, 9000, 0, 3, 'original restored');
INSERT INTO changes VALUES (6, 1700000005.0, 4, 7000, 6003, 1, 0, 'fair share of beta');
INSERT INTO changes VALUES (7, 1700000006.0, 1, 200003, 300000, 0, 4, 'set by hand');
INSERT INTO changes VALUES (8, 1700000007.0, 1, 300000, 100003, 1, 1, 'fair share of alpha');
INSERT INTO in_force VALUES (1, 100003, 8, NULL), (1, 200003, 2, 1700000007.0), (2, 4003, 3, NULL), (3, 8003, 4, NULL),
    (4, 6003, 6, NULL);
INSERT INTO settings VALUES ('configuration', 'digest'), ('copy', 'e62442ea 7'), ('foreign', '{{"mode":"auto"}}'),
    ('paused', 'a holiday');
"""
"""A journal as the version before instances wrote it: limits applied, intended, restored, adopted, a pause."""
COPY_2 = [
    {"j": "e62442ea", "r": 7, "n": 8, "h": A, "o": 300000},
    {"j": "e62442ea", "r": 7, "n": 8, "h": B, "o": 5000},
    {"j": "e62442ea", "r": 7, "n": 8, "h": "not-hex", "o": 7000},
    {"j": "e62442ea", "r": 7, "n": 8, "p": "a holiday", "e": True},
]


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """Return the path of a journal of format 2 with its second copy."""
    path = tmp_path / "journal.db"
    with closing(sqlite3.connect(path)) as db:
        db.executescript(FORMAT_2)
    write_copy_2(path)
    return path


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[SqliteJournal]:
    with closing(SqliteJournal(tmp_path / "journal.db")) as journal:
        yield journal


def write_copy_2(path: Path) -> None:
    lines = [json.dumps(line, separators=(",", ":")).encode() for line in COPY_2]
    beside(path, SUFFIX).write_bytes(b"".join(b"%b\t%08x\n" % (line, zlib.crc32(line)) for line in lines))


class TestMigration:
    def test_a_journal_of_format_2_keeps_all_it_knows(self, earlier: Path) -> None:
        with closing(SqliteJournal(earlier)) as journal:
            assert journal.recovered == ""
            assert journal.touched() == {
                A: Touched(A, 300_000, (100_003,)),
                B: Touched(B, 5_000, (4_003,)),
                "not-hex": Touched("not-hex", 7_000, (6_003,)),
            }
            assert journal.recently_restored() == {C: Touched(C, 9_000, (8_003,))}
            assert [(line.id, line.hash, line.old, line.new, line.status) for line in journal.history()] == [
                (8, A, 300_000, 100_003, "applied"),
                (7, A, 200_003, 300_000, "adopted"),
                (6, "not-hex", 7_000, 6_003, "intended"),
                (5, C, 8_003, 9_000, "restored"),
                (4, C, 9_000, 8_003, "applied"),
                (3, B, 5_000, 4_003, "applied"),
                (2, A, 100_003, 200_003, "applied"),
                (1, A, UNLIMITED, 100_003, "applied"),
            ]
            assert journal.wrote(A, 200_003)
            assert (journal.paused(), journal.foreign(), journal.configuration()) == (
                "a holiday",
                '{"mode":"auto"}',
                "digest",
            )
            assert list(journal.intend([Change(B, 4_003, 3_003, 5_000, "")])) == [9]

    def test_its_second_copy_goes_on(self, earlier: Path) -> None:
        with closing(SqliteJournal(earlier)) as journal:
            guard_writes(SimulatedQbittorrent({C: 9_000}), journal, {C: 8_003})
        state = Originals(earlier).state()
        assert state is not None
        assert state.originals == {"": {A: 300_000, B: 5_000, C: 9_000, "not-hex": 7_000}}
        assert state.paused == "a holiday"

    def test_a_lost_journal_comes_back_from_a_copy_of_format_2(self, tmp_path: Path) -> None:
        path = tmp_path / "journal.db"
        write_copy_2(path)
        with closing(SqliteJournal(path)) as journal:
            assert {name: record.original for name, record in journal.touched().items()} == {
                A: 300_000,
                B: 5_000,
                "not-hex": 7_000,
            }
            assert journal.paused() == "a holiday"

    def test_an_earlier_version_refuses_it_and_leaves_it_alone(self, earlier: Path) -> None:
        SqliteJournal(earlier).close()
        content = earlier.read_bytes()
        with pytest.raises(JournalError, match=r"newer Qguardarr \(format 3, this one knows 2\)"):
            SqliteJournal(earlier, format_=JOURNAL._replace(migrations=MIGRATIONS[:2]))
        assert earlier.read_bytes() == content

    def test_a_rollback_after_it_restores_the_originals(self, earlier: Path) -> None:
        qbittorrent = SimulatedQbittorrent({A: 100_003, B: 4_003, C: 9_000, "not-hex": 6_003})
        with closing(SqliteJournal(earlier)) as journal:
            assert sorted(rollback(qbittorrent, journal).restored) == [A, B, "not-hex"]
        assert qbittorrent.upload_limits([A, B, C, "not-hex"]) == {A: 300_000, B: 5_000, C: 9_000, "not-hex": 7_000}


class TestTwoInstances:
    def test_the_originals_of_all_are_counted(self, journal: SqliteJournal) -> None:
        for instance in ("", "home", "seedbox"):
            guard_writes(SimulatedQbittorrent({A: 5_000}), journal.of(instance), {A: 100}, instance)
        assert (journal.originals(), len(journal.touched())) == (3, 1)

    def test_the_same_torrent_is_restored_in_each_apart(self, journal: SqliteJournal) -> None:
        home, seedbox = SimulatedQbittorrent({A: 5_000, B: UNLIMITED}), SimulatedQbittorrent({A: 9_000, C: 7_000})
        of_home, of_seedbox = journal.of("home"), journal.of("seedbox")
        guard_writes(home, of_home, {A: 100, B: 200}, "home")
        guard_writes(seedbox, of_seedbox, {A: 100, C: 300}, "seedbox")
        assert of_home.touched() == {A: Touched(A, 5_000, (100,)), B: Touched(B, UNLIMITED, (200,))}
        assert of_seedbox.touched() == {A: Touched(A, 9_000, (100,)), C: Touched(C, 7_000, (300,))}
        assert journal.touched() == {}

        assert rollback(home, of_home) == RollbackReport(restored=(A, B))
        assert (home.in_force(A), home.in_force(B)) == (5_000, UNLIMITED)
        assert (seedbox.in_force(A), seedbox.in_force(C)) == (100, 300)
        assert set(of_home.recently_restored()) == {A, B}
        assert set(of_seedbox.touched()) == {A, C}

        assert reset(seedbox, of_seedbox, [A]) == RollbackReport(restored=(A,))
        assert (seedbox.in_force(A), seedbox.in_force(C)) == (9_000, 300)

    def test_one_batch_may_hold_changes_of_both(self, journal: SqliteJournal) -> None:
        ids = journal.intend([Change(A, 5, 1, 5, "", "home"), Change(A, 9, 2, 9, "", "seedbox")])
        journal.applied(ids)
        assert journal.of("home").touched() == {A: Touched(A, 5, (1,))}
        assert journal.of("seedbox").touched() == {A: Touched(A, 9, (2,))}

    def test_neither_answers_for_the_other(self, journal: SqliteJournal) -> None:
        home, seedbox = journal.of("home"), journal.of("seedbox")
        journal.applied(journal.intend([Change(A, 5, 1, 5, "", "home"), Change(A, 9, 2, 9, "", "seedbox")]))
        assert (home.wrote(A, 1), home.wrote(A, 2)) == (True, False)
        assert (seedbox.wrote(A, 1), seedbox.wrote(A, 2)) == (False, True)
        assert [line.new for line in home.history()] == [1]
        assert [line.new for line in seedbox.history(hash=A)] == [2]
        assert home.touched_at([A])
        assert home.hashes("aa", limit=5) == [A]
        home.adopt({A: 50})
        home.missing([A])
        home.renamed(A, B)
        home.set_foreign("a program")
        assert home.touched() == {B: Touched(B, 50, (1,))}
        assert seedbox.touched() == {A: Touched(A, 9, (2,))}
        assert (home.foreign(), seedbox.foreign()) == ("a program", "")
        home.restored([B])
        assert set(seedbox.touched()) == {A}

    def test_what_one_lacks_is_not_missing_from_the_other(self, journal: SqliteJournal) -> None:
        journal.applied(journal.intend([Change(A, 5, 1, 5, "", "home"), Change(A, 9, 2, 9, "", "seedbox")]))
        journal.of("home").missing([A])
        journal.of("seedbox").missing([])
        journal.of("home").missing([A])
        journal.prune(older_than_s=-1.0, give_up_s=-1.0)
        assert journal.of("home").touched() == {}
        assert set(journal.of("seedbox").touched()) == {A}

    def test_both_come_back_from_the_second_copy(self, journal: SqliteJournal) -> None:
        journal.applied(journal.intend([Change(A, 5, 1, 5, "", "home"), Change(A, 9, 2, 9, "", "seedbox")]))
        path = journal.file.path
        journal.close()
        for suffix in ("", "-wal", "-shm"):
            beside(path, suffix).unlink(missing_ok=True)
        with closing(SqliteJournal(path)) as again:
            assert "the originals of 2 torrents were put back" in again.recovered
            assert [again.of(name).touched()[A].original for name in ("home", "seedbox")] == [5, 9]
            again.of("home").settle_unknown({A: 1}.get)
            assert again.of("home").touched() == {A: Touched(A, 5, (1,))}
            assert again.of("seedbox").wrote(A, 12_345)  # any limit but the original may be ours

    def test_one_that_is_gone_for_good_is_given_up(self, journal: SqliteJournal) -> None:
        home, seedbox = journal.of("home"), journal.of("seedbox")
        changes = [Change(A, 5, 1, 5, "", "home"), Change(A, 9, 2, 9, "", "seedbox"), Change(B, 9, 3, 9, "", "seedbox")]
        journal.applied(journal.intend(changes))
        seedbox.set_configuration("digest")
        home.set_configuration("digest of home")
        assert journal.give_up("seedbox") == 2
        assert (journal.instances(), journal.originals()) == ({"home": 1}, 1)
        assert (seedbox.touched(), seedbox.configuration()) == ({}, "")
        assert (home.touched(), home.configuration()) == ({A: Touched(A, 5, (1,))}, "digest of home")
        assert [(line.hash, line.new, line.status) for line in seedbox.history()] == [
            (B, 3, "applied"),
            (A, 2, "applied"),
        ]
        state = Originals(journal.file.path).state()
        assert state is not None
        assert state.originals == {"home": {A: 5}}
        assert journal.give_up("seedbox") == 0

    def test_given_up_values_are_known_if_it_comes_back_all_the_same(self, journal: SqliteJournal) -> None:
        """The limit that is in force is then not taken for a person's."""
        seedbox = journal.of("seedbox")
        journal.applied(journal.intend([Change(A, 9, 2, 9, "", "seedbox")]))
        journal.give_up("seedbox")
        assert [(found.original, found.written, held) for found, held in seedbox.recall([A])] == [(9, (2,), False)]
        journal.applied(journal.intend([Change(A, 2, 4, 2, "", "seedbox")]))
        assert seedbox.touched()[A].original == 9

    def test_a_pause_and_a_generation_are_of_all(self, journal: SqliteJournal) -> None:
        home, seedbox = journal.of("home"), journal.of("seedbox")
        journal.applied(journal.intend([Change(A, 5, 1, 5, "", "home")]))
        before = seedbox.generation()
        home.set_paused("a holiday")
        assert seedbox.paused() == "a holiday"
        assert seedbox.generation() != before
        assert seedbox.newest_line == home.newest_line == 1
