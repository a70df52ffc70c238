"""A full disk: originals come back all the same, and stay.

The kernel refuses every write to a file (RLIMIT_FSIZE), which is a disk as full as can be: nothing can be given up for
it. Names can be made and removed, as on a full disk.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from qguardarr.adapters.sqlite.journal import SqliteJournal
from qguardarr.adapters.sqlite.side_files import RESERVE_BYTES
from qguardarr.core.model import UNLIMITED, Change
from qguardarr.engine.rollback import rollback
from qguardarr.errors import JournalError
from tests.support.daemon_process import daemon, until
from tests.support.fake_qbittorrent import FakeQBittorrent
from tests.support.limited_place import HASHES, ORIGINALS, Place
from tests.support.paths import ROOT
from tests.support.simulated_client import SimulatedQbittorrent


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with FakeQBittorrent() as fake:
        yield Place(tmp_path, fake)


def test_beside_a_daemon_that_cannot_write_either(place: Place) -> None:
    with daemon(place.config, place.database) as running:
        running.wait_for_state("holding")
        until(place.all_limited, "limits")
        cycles = place.fake.count("sync/maindata")
        pid = running.process.pid
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        done = place.run("rollback", "--yes", full=True)
        assert place.limits() == ORIGINALS, done.stderr
        assert done.returncode == 1
        assert "12 of these torrents could not be noted as restored" in done.stdout
        until(lambda: place.fake.count("sync/maindata") > cycles + 8, "cycles of the daemon")
        assert place.limits() == ORIGINALS
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        running.wait_for_state("paused")  # and so it stays where there is room again
        assert place.limits() == ORIGINALS
        done = place.run("rollback", "--yes", "--json")
        assert (done.returncode, len(json.loads(done.stdout)["already_original"])) == (0, 12)
        assert json.loads(place.run("status", "--json").stdout)["paused"] == "rolled back"


def test_without_a_daemon(place: Place) -> None:
    with daemon(place.config, place.database) as running:
        running.wait_for_state("holding")
        until(place.all_limited, "limits")
        assert running.end() == 0
    done = place.run("rollback", "--yes", full=True)
    assert place.limits() == ORIGINALS, done.stderr
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    with contextlib.closing(SqliteJournal(place.database)) as journal:
        assert set(journal.touched()) == set(HASHES)
        assert journal.paused() is not None
    done = place.run("rollback", "--yes")
    assert done.returncode == 0, done.stdout
    assert place.run("resume").returncode == 0
    with contextlib.closing(SqliteJournal(place.database)) as journal:
        assert (journal.touched(), journal.paused()) == ({}, None)


def test_with_the_database_lost_as_well(place: Place) -> None:
    with daemon(place.config, place.database) as running:
        until(place.all_limited, "limits")
        running.kill()
    for suffix in ("", "-wal", "-shm"):
        place.database.with_name(place.database.name + suffix).unlink()
    done = place.run("rollback", "--yes", full=True)
    assert place.limits() == ORIGINALS, done.stderr
    assert done.returncode == 1


def test_a_pause_takes_effect(place: Place) -> None:
    with daemon(place.config, place.database) as running:
        until(place.all_limited, "limits")
        assert place.run("pause", full=True).returncode == 0
        running.wait_for_state("paused")
        assert place.run("resume").returncode == 0
        running.wait_for_state("holding")
        running.end()
    assert place.run("pause", full=True).returncode == 0
    assert json.loads(place.run("status", "--json").stdout)["paused"]


class TestReserve:
    def test_the_reserve_is_given_up_so_that_a_restoring_can_be_noted(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with contextlib.closing(SqliteJournal(tmp_path / "journal.db")) as journal:
            journal.applied(journal.intend([Change(name, 9, 5, UNLIMITED, "") for name in HASHES]))
            journal.keep_safe()
            reserve = tmp_path / "journal.db.reserve"
            assert reserve.stat().st_size == RESERVE_BYTES
            noted = journal.restored

            def restored(hashes: list[str]) -> None:
                if reserve.exists():
                    raise JournalError("the disk is full")
                noted(hashes)

            monkeypatch.setattr(journal, "restored", restored)
            report = rollback(SimulatedQbittorrent(dict.fromkeys(HASHES, 5)), journal)
            assert (len(report.restored), report.unnoted) == (12, ())
            assert journal.touched() == {}
            journal.keep_safe()
            assert reserve.stat().st_size == RESERVE_BYTES

    def test_no_reserve_is_made_on_a_disk_with_little_room(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        room = os.statvfs(tmp_path)
        little = os.statvfs_result((room.f_bsize, 4096, 100, 100, 100, *tuple(room)[5:]))
        monkeypatch.setattr(os, "statvfs", lambda _: little)
        with contextlib.closing(SqliteJournal(tmp_path / "journal.db")) as journal:
            journal.keep_safe()
        assert not (tmp_path / "journal.db.reserve").exists()


READ_ONLY = """
import sys
from pathlib import Path
from qguardarr.adapters.sqlite.journal import SqliteJournal
from qguardarr.engine.rollback import rollback
from tests.support.simulated_client import SimulatedQbittorrent
client = SimulatedQbittorrent({"a" * 40: 77})
report = rollback(client, SqliteJournal(Path(sys.argv[1]), last_resort=True))
print(client.in_force("a" * 40), report.unnoted_why)
"""


def test_a_rollback_from_a_read_only_file_system_restores(tmp_path: Path) -> None:
    """A disk with errors is mounted read-only."""
    folder = tmp_path / "data"
    folder.mkdir()
    with contextlib.closing(SqliteJournal(folder / "journal.db")) as journal, journal.exclusive(1.0):
        journal.applied(journal.intend([Change("a" * 40, 5_000, 77, 5_000, "")]))
    mount = f"mount --bind '{folder}' '{folder}' && mount -o remount,ro,bind '{folder}'"
    apart = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
    if subprocess.run([*apart, mount], capture_output=True, check=False).returncode != 0:
        pytest.skip("nothing can be mounted here")
    command = f"{mount} && exec '{sys.executable}' -c '{READ_ONLY}' '{folder / 'journal.db'}'"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([*apart, command], env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("5000 journal "), done.stdout + done.stderr
