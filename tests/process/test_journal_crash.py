"""Processes killed with SIGKILL at random points: afterwards the journal knows all that may have happened."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

from qguardarr.adapters.sqlite.journal import SqliteJournal
from qguardarr.core.model import Change
from qguardarr.engine.rollback import BEGUN_REASON, rollback
from tests.support import journal_worker
from tests.support.journal_worker import TORRENTS, LoggedQbittorrent, give_own_limits

ROUNDS = 20


def run_until_killed(work: str, folder: Path, seed: int, lines: int, grace_s: float) -> None:
    """Start `work`, let it report `lines` times, and kill it in the middle of the next step."""
    process = subprocess.Popen(
        [sys.executable, journal_worker.__file__, work, str(folder), str(seed)], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    for _ in range(lines):
        process.stdout.readline()
    try:
        process.wait(grace_s)
    except subprocess.TimeoutExpired:
        process.kill()
    process.stdout.close()
    assert process.wait() in (0, -9)


def test_a_guard_killed_at_any_point_leaves_all_originals_and_writes_in_the_journal(tmp_path: Path) -> None:
    client = LoggedQbittorrent(tmp_path / "qbittorrent")
    expected = give_own_limits(client, tmp_path)
    chance = random.Random(2)
    for round_ in range(ROUNDS):
        run_until_killed("guard", tmp_path, round_, chance.randint(0, 12), chance.uniform(0, 0.01))
        journal = SqliteJournal(tmp_path / "journal.db")
        touched = journal.touched()
        for torrent, limits in client.written().items():
            ours = limits[1:]
            if ours:
                assert touched[torrent].original == expected[torrent]
                assert ours[-1] in touched[torrent].written
            assert all(journal.wrote(torrent, limit) for limit in ours)
        journal.close()
    assert sum(map(len, client.written().values())) > 10 * len(TORRENTS)

    journal = SqliteJournal(tmp_path / "journal.db")
    report = rollback(client, journal)
    assert report.complete
    assert client.upload_limits(TORRENTS) == expected
    assert journal.touched() == {}
    journal.close()


def test_a_rollback_killed_at_any_point_is_finished_by_the_next(tmp_path: Path) -> None:
    client = LoggedQbittorrent(tmp_path / "qbittorrent")
    expected = give_own_limits(client, tmp_path)
    journal = SqliteJournal(tmp_path / "journal.db")
    chance = random.Random(4)
    for round_ in range(ROUNDS // 2):
        journal.set_paused(None)
        with journal.exclusive(0):  # the kernel has released the lock of the one that was killed
            now = client.upload_limits(TORRENTS)
            journal.applied(journal.intend([Change(name, now[name], 77, now[name], "") for name in TORRENTS]))
            client.set_upload_limit(77, TORRENTS)
        run_until_killed("roll_back", tmp_path, round_, chance.randint(1, len(TORRENTS)), chance.uniform(0, 0.003))
        assert journal.paused() in (BEGUN_REASON, "rolled back")
        in_force = client.upload_limits(TORRENTS)
        for name in TORRENTS:
            if name in journal.touched():
                assert journal.touched()[name].original == expected[name]
            else:
                assert in_force[name] == expected[name]
    report = rollback(client, journal)
    assert report.complete
    assert client.upload_limits(TORRENTS) == expected
    journal.close()
