"""The journal and the second copy of its originals: every original survives the loss or damage of either file."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from qguardarr.adapters.sqlite.journal import SqliteJournal
from qguardarr.adapters.sqlite.originals import SUFFIX, Originals
from qguardarr.adapters.sqlite.side_files import beside
from qguardarr.core.model import UNLIMITED, Change
from qguardarr.core.reconcile.signature import looks_like_ours
from qguardarr.engine.rollback import rollback
from qguardarr.errors import JournalError
from tests.support.guard_loop import KB, MB, Guarded, policy_of, torrents_of, tracker
from tests.support.journal_damage import (
    OF_THE_COPY,
    OF_THE_JOURNAL,
    Damage,
    delete_all,
    delete_copy,
    delete_log,
    garble_log,
)
from tests.support.simulated_client import SimulatedQbittorrent

pytestmark = pytest.mark.slow

HASHES = [f"{number:040x}" for number in range(12)]
A, B = HASHES[:2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


def touch(path: Path, *names: str, original: int = 5_000, limit: int = 77) -> None:
    with contextlib.closing(SqliteJournal(path)) as journal:
        journal.applied(journal.intend([Change(name, original, limit, original, "") for name in names]))


@contextlib.contextmanager
def opened(path: Path, known_line: int = 0) -> Iterator[SqliteJournal]:
    with contextlib.closing(SqliteJournal(path, known_line=known_line)) as journal:
        yield journal


@pytest.mark.parametrize("damage", [d for d in OF_THE_JOURNAL if d not in (delete_log, garble_log)])
def test_originals_come_back_and_an_unusable_file_is_put_aside(path: Path, damage: Damage) -> None:
    touch(path, A, B, original=UNLIMITED)
    damage(path)
    was_there = os.path.lexists(path) and (path.is_symlink() or path.stat().st_size > 0)
    with opened(path) as journal:
        assert {name: record.original for name, record in journal.touched().items()} == {A: UNLIMITED, B: UNLIMITED}
        assert "2 torrents were put back" in journal.recovered
        assert journal.wrote(A, 12_345)
    assert len(list(path.parent.glob("*.unusable-*"))) == was_there
    with opened(path) as journal:
        assert journal.recovered == ""


@pytest.mark.parametrize("damage", OF_THE_COPY)
def test_a_lost_copy_is_made_again_with_a_warning(path: Path, damage: Damage) -> None:
    touch(path, A, B)
    damage(path)
    with opened(path) as journal:
        assert "made again" in journal.recovered
        assert not journal.wrote(A, 12_345)  # what was written is known
    delete_all(path)
    with opened(path) as journal:
        assert set(journal.touched()) == {A, B}


def test_the_pause_comes_back_as_well(path: Path) -> None:
    touch(path, A)
    with opened(path) as journal:
        journal.set_paused("on holiday")
    delete_all(path)
    with opened(path) as journal:
        assert journal.paused() == "on holiday"


def test_a_journal_without_a_known_line_is_an_older_one(path: Path) -> None:
    touch(path, A)
    with opened(path, known_line=1) as journal:
        assert not journal.wrote(A, 12_345)
    with opened(path, known_line=2) as journal:
        assert "older" in journal.recovered
        assert journal.wrote(A, 12_345)
        assert list(journal.intend([Change(B, 1, 2, 1, "")])) == [3]
        journal.settle_unknown({A: 12_345}.get)
        assert journal.touched()[A].written == (12_345, 77)
        assert not journal.wrote(A, 54_321)


def test_after_a_restoring_no_limit_is_unknown(path: Path) -> None:
    """A limit that a person sets afterwards is the person's, and an original again."""
    touch(path, A, original=9)
    delete_all(path)
    with opened(path) as journal:
        client = SimulatedQbittorrent({A: 12_345})
        assert rollback(client, journal).restored == (A,)
        journal.settle_unknown({A: 77_000}.get)
        journal.intend([Change(A, 77_000, 5, 77_000, "")])
        assert journal.touched()[A].original == 77_000


def test_after_an_uncommitted_revision_only_its_own_torrents_are_unknown(path: Path) -> None:
    """Killed between the two files."""
    touch(path, A)
    shutil.copy(path, path.with_name("before"))
    touch(path, B, original=9)
    delete_all(path)
    path.with_name("before").rename(path)
    with opened(path) as journal:
        journal_knows = {name: record.original for name, record in journal.touched().items()}
        assert journal_knows == {A: 5_000, B: 9}
        assert (journal.wrote(A, 12_345), journal.wrote(B, 12_345)) == (False, True)


def test_steady_work_writes_nothing_to_the_copy(path: Path) -> None:
    touch(path, A, B)
    before = beside(path, SUFFIX).stat()
    for limit in range(50):
        touch(path, A, B, limit=100 + limit)
    after = beside(path, SUFFIX).stat()
    assert (after.st_ino, after.st_size, after.st_mtime_ns) == (before.st_ino, before.st_size, before.st_mtime_ns)


def test_a_copy_lost_while_the_journal_is_in_use_is_made_again_at_the_next_change(path: Path) -> None:
    with opened(path) as journal:
        journal.applied(journal.intend([Change(A, 9, 1, 9, "")]))
        delete_copy(path)
        journal.applied(journal.intend([Change(B, 8, 1, 8, "")]))
        state = Originals(path).state()
        assert state is not None
        assert state.originals == {"": {A: 9, B: 8}}


def test_the_copy_does_not_grow_without_bound(path: Path) -> None:
    with opened(path) as journal:
        for _ in range(200):
            journal.intend([Change(name, 9, 1, 9, "") for name in HASHES])
            journal.restored(HASHES)
        assert beside(path, SUFFIX).stat().st_size > 200_000
        journal.prune(older_than_s=0)
        assert beside(path, SUFFIX).stat().st_size < 1_000


def test_without_a_writable_copy_nothing_is_intended(path: Path) -> None:
    with opened(path) as journal:
        beside(path, SUFFIX).unlink()
        beside(path, SUFFIX).mkdir()
        (beside(path, SUFFIX) / "file").touch()
        with pytest.raises(JournalError):
            journal.intend([Change(A, 9, 1, 9, "")])
        assert journal.touched() == {}
        shutil.rmtree(beside(path, SUFFIX))
        journal.intend([Change(A, 9, 1, 9, "")])
        assert set(journal.touched()) == {A}


def test_the_copy_of_another_journal_is_refused(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    touch(path, A)
    touch(other, B)
    beside(other, SUFFIX).replace(beside(path, SUFFIX))
    with pytest.raises(JournalError, match=r"second copy of another journal.*hint: "):
        SqliteJournal(path)


def test_a_copy_of_the_main_file_alone_holds_the_originals(path: Path, tmp_path: Path) -> None:
    with opened(path) as journal:
        journal.applied(journal.intend([Change(A, 9, 1, 9, "")]))
        shutil.copy(path, tmp_path / "alone.db")
    with opened(tmp_path / "alone.db") as journal:
        assert journal.touched()[A].original == 9


def test_a_torrent_that_was_renamed_is_known_by_its_new_name(path: Path) -> None:
    with opened(path) as journal:
        journal.intend([Change(A, 9, 1, 9, ""), Change(B, 1, 1, 1, "")])
        journal.renamed(A, B)  # B was taken for another torrent for a moment
    delete_all(path)
    with opened(path) as journal:
        assert {name: found.original for name, found in journal.touched().items()} == {B: 9}


def test_writes_of_an_earlier_version_reach_the_copy_at_the_next_opening(path: Path) -> None:
    touch(path, A)
    with contextlib.closing(sqlite3.connect(path)) as db, db:  # the earlier version knows nothing of a copy
        db.execute("INSERT INTO torrents (hash, original) VALUES (?, 7)", (bytes.fromhex(B),))
        db.execute("UPDATE torrents SET restored_at = 1.0 WHERE hash = ?", (bytes.fromhex(A),))
        db.execute("INSERT INTO settings VALUES ('paused', 'by hand')")
    SqliteJournal(path).close()
    delete_all(path)
    with opened(path) as journal:
        assert {name: found.original for name, found in journal.touched().items()} == {B: 7}
        assert journal.paused() == "by hand"


def test_with_an_older_pair_of_files_later_torrents_keep_their_originals(tmp_path: Path) -> None:
    """Limits of ours must not be taken for originals; nothing is written until a person decides."""
    mine = torrents_of("t1", [50 * KB] * 20)
    guarded = Guarded(tmp_path, policy_of(tracker("t1", 1 * MB)), mine[:10])
    guarded.run(10.0)
    guarded.journal.close()
    kept = {path: path.read_bytes() for path in (guarded.path, beside(guarded.path, SUFFIX))}
    guarded.restart_daemon_with(guarded.open_journal())
    guarded.sim.torrents |= {torrent.hash: torrent for torrent in mine[10:]}
    guarded.run(20.0)
    assert all(looks_like_ours(limit) for limit in guarded.limits().values())
    known_line = guarded.journal.newest_line
    guarded.journal.close()
    for path, content in kept.items():
        path.write_bytes(content)
    for _ in range(2):  # at each start
        guarded.restart_daemon_with(SqliteJournal(guarded.path, known_line=known_line))
        before = guarded.limits()
        snapshot = guarded.run(10.0)
        assert "the journal is older than the last one in use" in snapshot.problem
        assert guarded.limits() == before
        guarded.journal.close()
    with opened(guarded.path) as journal:
        assert len(rollback(guarded.sim, journal).restored) == 10
        journal.set_paused(None)
        journal.begin_anew()
    guarded.restart_daemon_with(SqliteJournal(guarded.path, known_line=known_line))
    assert guarded.run(10.0).problem == ""
    guarded.journal.close()


class TestBothLost:
    @pytest.mark.parametrize("sign", [".status.json", ".store", "-wal", SUFFIX])
    def test_a_file_beside_it_shows_that_there_was_a_journal(self, path: Path, sign: str) -> None:
        beside(path, sign).write_bytes(b"some text")
        for _ in range(2):
            with opened(path) as journal:
                assert "`qguardarr begin-anew`" in journal.holding()
                assert not journal.has_begun()
                with pytest.raises(JournalError, match="says that Qguardarr ran with it"):
                    rollback(SimulatedQbittorrent({}), journal)
        with opened(path) as journal:
            journal.begin_anew()
        with opened(path) as journal:
            assert (journal.holding(), journal.has_begun()) == ("", True)

    def test_a_second_copy_that_comes_back_ends_the_hold(self, path: Path) -> None:
        touch(path, A)
        beside(path, SUFFIX).rename(path.with_name("kept"))
        delete_all(path)
        beside(path, ".status.json").write_text("{}")
        with opened(path) as journal:
            assert journal.holding()
        path.with_name("kept").rename(beside(path, SUFFIX))
        with opened(path) as journal:
            assert (journal.holding(), set(journal.touched())) == ("", {A})

    def test_without_such_a_file_it_is_a_first_start(self, path: Path) -> None:
        with opened(path) as journal:
            assert (journal.holding(), journal.has_begun(), journal.recovered) == ("", False, "")
