"""Commands on the journal's file: from another folder, by another user, lost, backed up, put back."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from qguardarr.adapters.sqlite.journal import SqliteJournal
from qguardarr.core.model import Change
from tests.support.daemon_process import daemon, until
from tests.support.fake_qbittorrent import FakeQBittorrent
from tests.support.forked import run_forked
from tests.support.journal_damage import OF_THE_JOURNAL, Damage, delete_all, delete_copy
from tests.support.limited_place import HASHES, ORIGINALS, Place

COMMANDS = (
    ["rollback", "--yes"], ["reset", "--yes"], ["status"], ["history"], ["pause"], ["resume"], ["preview"], ["check"],
    ["begin-anew", "--yes"], ["backup", "/dev/null/x"], ["api-key"], ["install-hook", "--print"],
)  # fmt: skip


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with FakeQBittorrent() as fake:
        (tmp_path / "config").mkdir()
        yield Place(tmp_path / "config", fake)


@pytest.fixture(scope="module")
def left_behind(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, int]]:
    """Let a daemon limit all torrents, and kill it. Return its data folder, and the limits in qBittorrent."""
    folder = tmp_path_factory.mktemp("daemon")
    with FakeQBittorrent() as fake:
        place = Place(folder, fake)
        with daemon(place.config, place.database) as running:
            until(place.all_limited, "limits")
            cycle = running.wait_for_state("holding").cycle
            until(lambda: (s := running.status) is not None and s.cycle > cycle, "the end of the cycle that wrote")
            running.kill()
        return place.database.parent, place.limits()


@pytest.fixture
def limited(place: Place, left_behind: tuple[Path, dict[str, int]]) -> Place:
    """A place as a daemon left it that was killed after it had limited all torrents."""
    data, limits = left_behind
    shutil.copytree(data, place.database.parent)
    with place.fake.lock:
        for name, limit in limits.items():
            place.fake.torrents[name].up_limit = limit
    return place


def in_folder(place: Place, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    relative = os.path.relpath(place.config, folder)
    command = [sys.executable, "-m", "qguardarr", *arguments, "--config", relative]
    environment = {**os.environ, "PYTHONPATH": str(Path("src").absolute())}
    return subprocess.run(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip


class TestPlace:
    def test_a_rollback_from_another_folder_restores_everything(self, limited: Place, tmp_path: Path) -> None:
        (tmp_path / "elsewhere").mkdir()
        done = in_folder(limited, tmp_path / "elsewhere", "rollback", "--yes")
        assert (done.returncode, limited.limits()) == (0, ORIGINALS), done.stderr
        assert list((tmp_path / "elsewhere").iterdir()) == []

    def test_a_journal_at_its_former_place_is_refused_until_it_is_moved(self, limited: Place, tmp_path: Path) -> None:
        former = tmp_path / "data" / "journal.db"
        delete_copy(limited.database)  # which no earlier version made
        limited.database.parent.rename(former.parent)
        for command in ("history", "rollback --yes", "serve"):
            done = in_folder(limited, tmp_path, *command.split())
            assert f"journal {former}: an earlier version kept it here" in done.stderr
            assert done.returncode == 4
        advice = re.search(r"`(mkdir [^`]+)`", " ".join(done.stderr.split()))
        assert advice is not None
        subprocess.run(advice[1], shell=True, check=True)
        done = in_folder(limited, tmp_path, "rollback", "--yes")
        assert (done.returncode, limited.limits()) == (0, ORIGINALS), done.stderr

    @pytest.mark.parametrize("damage", [d for d in OF_THE_JOURNAL if d.__name__ != "dangling"])
    def test_a_rollback_restores_everything_after_any_damage(self, limited: Place, damage: Damage) -> None:
        damage(limited.database)
        done = limited.run("rollback", "--yes")
        assert (done.returncode, limited.limits()) == (0, ORIGINALS), done.stderr

    def test_a_daemon_goes_on_from_the_second_copy_and_says_so(self, limited: Place) -> None:
        delete_all(limited.database)
        with daemon(limited.config, limited.database) as running:
            running.wait_for_state("holding")
            done = limited.run("status")
            assert done.returncode == 1
            assert "12 torrents were put back from" in " ".join(done.stdout.split())
            done = limited.run("rollback", "--yes")
            assert (done.returncode, limited.limits()) == (0, ORIGINALS), done.stderr


class TestLost:
    """The journal and its second copy."""

    @pytest.fixture
    def lost(self, limited: Place) -> Place:
        delete_all(limited.database)
        delete_copy(limited.database)
        return limited

    @pytest.mark.parametrize("command", [c for c in COMMANDS if c[0] not in ("api-key", "install-hook", "begin-anew")])
    def test_no_command_takes_a_lost_journal_for_an_empty_one(self, lost: Place, command: list[str]) -> None:
        done = lost.run(*command)
        assert done.returncode == 4, done.stdout
        assert re.search(r"status\.json.* says that Qguardarr ran with it.*hint: ", done.stderr)

    def test_a_daemon_writes_nothing_until_a_person_decides(self, lost: Place) -> None:
        before = lost.limits()
        with daemon(lost.config, lost.database) as running:
            status = running.wait_for_state("failing")
            assert "`qguardarr begin-anew`" in status.problem
            until(lambda: running.status is not None and running.status.cycle > status.cycle + 1, "cycles")
            assert lost.limits() == before
            assert lost.run("status").returncode == 1
            assert lost.run("rollback", "--yes").returncode == 4
            done = lost.run("begin-anew", "--yes")
            assert (done.returncode, "count as yours" in done.stdout) == (0, True)
            running.wait_for_state("holding")

    def test_limits_alone_show_that_there_was_a_journal(self, lost: Place) -> None:
        shutil.rmtree(lost.database.parent)
        with lost.fake.lock:  # as the core's signature has it
            for number, torrent in enumerate(lost.fake.torrents.values()):
                torrent.up_limit = 80_001 + number
        before = lost.limits()
        done = lost.run("rollback", "--yes")
        assert done.returncode == 4
        assert str(lost.database) in done.stderr
        shown = lost.run("preview")
        assert "Nothing would be written: the journal knows of no limit" in shown.stdout, shown.stderr
        assert "The next cycle" not in shown.stdout
        with daemon(lost.config, lost.database) as running:
            problem = running.wait_for_state("failing").problem
            assert "12 of 12 limits in qBittorrent look like Qguardarr's own" in problem
            assert lost.limits() == before
            assert lost.run("begin-anew", "--yes").returncode == 0
            running.wait_for_state("holding")

    @pytest.mark.parametrize("odd", [False, True], ids=["round limits", "one odd limit for all"])
    def test_a_first_start_needs_no_decision(self, place: Place, odd: bool) -> None:
        with place.fake.lock:
            for torrent in place.fake.torrents.values():
                torrent.up_limit = 4_999_999 if odd else torrent.up_limit // 1000 * 1000
        assert place.run("api-key").returncode == 0
        assert place.run("rollback", "--yes").returncode == 0
        with daemon(place.config, place.database) as running:
            running.wait_for_state("holding")
            until(lambda: all(limit not in (0, 4_999_999, 5_000_000) for limit in place.limits().values()), "limits")


class TestBackup:
    def test_beside_a_daemon_and_back_again(self, place: Place, tmp_path: Path) -> None:
        kept = tmp_path / "kept.db"
        with daemon(place.config, place.database) as running:
            until(place.all_limited, "limits")
            done = place.run("backup", str(kept))
            assert (done.returncode, done.stdout) == (
                0, f"{kept}: the journal, with 12 original limits that a rollback would restore\n"
            ), done.stderr  # fmt: skip
            assert stat.S_IMODE(kept.stat().st_mode) == 0o600
            assert [p.name for p in tmp_path.iterdir()].count("kept.db-wal") == 0
            done = place.run("backup", str(kept))
            assert (done.returncode, "already" in done.stderr) == (2, True)
            done = place.run("restore", str(kept))
            assert (done.returncode, "another Qguardarr" in done.stderr) == (5, True)
            running.kill()
        shutil.rmtree(place.database.parent)
        done = place.run("restore", str(kept), "--json")
        assert (done.returncode, json.loads(done.stdout)["put_aside"], done.stderr) == (0, None, "")
        done = place.run("rollback", "--yes")
        assert (done.returncode, place.limits()) == (0, ORIGINALS), done.stdout

    def test_originals_newer_than_the_backup_are_not_lost(self, limited: Place, tmp_path: Path) -> None:
        kept = tmp_path / "kept.db"
        assert limited.run("backup", str(kept)).returncode == 0
        with contextlib.closing(SqliteJournal(limited.database)) as journal:
            journal.applied(journal.intend([Change("f" * 40, 9, 5, 9, "")]))
        done = limited.run("restore", str(kept))
        assert done.returncode == 0, done.stderr
        assert re.search(r"What was there is now .*\.unusable-", done.stdout)
        with contextlib.closing(SqliteJournal(limited.database)) as journal:
            assert set(journal.touched()) == {*HASHES, "f" * 40}

    @pytest.mark.parametrize("content", [b"", b"x" * 5_000, b"SQLite format 3\0" + b"\xff" * 5_000])
    def test_a_file_that_is_no_backup_changes_nothing(self, limited: Place, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "other").write_bytes(content)
        before = limited.database.read_bytes()
        for name in ("other", "nothing"):
            done = limited.run("restore", str(tmp_path / name))
            assert (done.returncode, "Traceback" in done.stderr) == (2, False), done.stderr
        assert limited.database.read_bytes() == before
        assert not list(limited.database.parent.glob("*.unusable-*"))

    def test_begin_anew_is_refused_while_originals_are_known(self, limited: Place) -> None:
        done = limited.run("begin-anew", "--yes")
        assert (done.returncode, "originals of 12 torrents" in done.stderr) == (4, True)


def test_a_deleted_working_directory_is_no_hindrance(place: Place, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    script = 'rmdir "$0" && exec "$@"'
    for config, code, words in ((str(place.config), 0, "no faults"), ("x.yaml", 2, "x.yaml: there is no such file")):
        command = ["sh", "-c", script, str(gone), sys.executable, "-m", "qguardarr", "check", "--config", config]
        environment = {**os.environ, "PYTHONPATH": str(Path("src").absolute()), "PYTHONSAFEPATH": "1"}
        gone.mkdir(exist_ok=True)
        done = subprocess.run(
            command, cwd=gone, env=environment, capture_output=True, text=True, timeout=60, check=False
        )  # fmt: skip
        assert (done.returncode, words in done.stdout + done.stderr) == (code, True), done.stderr


Done = subprocess.CompletedProcess[str]


@contextlib.contextmanager
def readable_by_others() -> Iterator[Path]:
    """Make a configuration in a folder that another user may read."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        config = Path(name) / "qguardarr.yaml"
        config.write_text("trackers: [{id: all, pattern: '.*', max_upload_speed: 1 MB/s}]\n")
        config.chmod(0o644)
        yield config


def as_nobody(config: Path, folder: Path, *commands: list[str], cwd: Path | None = None) -> list[Done]:
    told = [[*command, "--config", str(config)] for command in commands]
    return run_forked(told, folder / "output", user=65534, warm=config, cwd=cwd)


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, Done]]]:
    """Return the configuration beside a closed folder with a journal, and what each command says there."""
    with readable_by_others() as config:
        SqliteJournal(config.parent / "data" / "qguardarr.db").close()
        done = as_nobody(config, tmp_path_factory.mktemp("closed"), *COMMANDS)
        yield config, {each.args[0]: each for each in done}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
class TestClosed:
    """The data folder belongs to another user."""

    @pytest.fixture
    def config(self) -> Iterator[Path]:
        with readable_by_others() as config:
            yield config

    @pytest.mark.parametrize("command", [command[0] for command in COMMANDS])
    def test_each_command_names_the_unreadable_folder(self, closed: tuple[Path, dict[str, Done]], command: str) -> None:
        config, done = closed[0], closed[1][command]
        assert "Traceback" not in done.stderr, done.stderr
        assert done.returncode in (2, 4), done.stdout + done.stderr
        assert str(config.parent / "data") in done.stderr

    def test_check_knows_a_folder_that_cannot_be_written(self, config: Path, tmp_path: Path) -> None:
        (config.parent / "data").mkdir(mode=0o755)
        (done,) = as_nobody(config, tmp_path, ["check"])
        assert (done.returncode, "no faults" in done.stdout) == (4, False)
        assert f"{config.parent / 'data'} cannot be written by this user" in done.stderr

    def test_a_working_directory_that_may_not_be_entered_is_no_hindrance(self, config: Path, tmp_path: Path) -> None:
        (config.parent / "data").mkdir(mode=0o777)
        (config.parent / "data").chmod(0o777)
        tmp_path.chmod(0o700)
        (done,) = as_nobody(config, tmp_path, ["check"], cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
