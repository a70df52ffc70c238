"""A first start without a configuration, and a daemon that takes settings from its environment: as processes."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from urllib3 import PoolManager

from lab.processes import free_port
from qguardarr.config.starter import starter_file
from qguardarr.smallfile import write_new
from tests.support.api_client import KEY
from tests.support.configs import load
from tests.support.daemon_process import DaemonProcess, until
from tests.support.fake_qbittorrent import FakeQBittorrent, FakeTorrent

ANNOUNCE = "http://tracker.example.org/announce/0123456789abcdef0123456789abcdef"
RULES = [
    {"id": "example", "pattern": "example", "max_upload_speed": "1 MB/s"},
    {"id": "default", "pattern": ".*", "max_upload_speed": "unlimited"},
]
QGUARDARR = (sys.executable, "-m", "qguardarr")


@pytest.fixture
def fake() -> Iterator[FakeQBittorrent]:
    with FakeQBittorrent() as qbittorrent:
        qbittorrent.add(*(FakeTorrent(f"{n:040x}", f"torrent {n}", (ANNOUNCE,)) for n in range(1, 4)))
        yield qbittorrent


class Container:
    """A folder `/config` as a container would have it, and what is given to the container by its environment."""

    def __init__(self, folder: Path) -> None:
        self.config, self.port = folder / "config" / "qguardarr.yaml", free_port()
        self.config.parent.mkdir()
        self.database = self.config.parent / "data" / "qguardarr.db"
        self.environment = {
            "QGUARDARR_CONFIG": str(self.config),
            "QGUARDARR_FIRST_START": "1",
            "QGUARDARR_API_KEY": KEY,
            "QGUARDARR__GLOBAL__PORT": str(self.port),
            "QGUARDARR__GLOBAL__UPDATE_INTERVAL": "0.5",
        }
        self.daemon: DaemonProcess | None = None

    def start(self, **environment: str) -> DaemonProcess:
        """Serve, with this in the environment besides."""
        self.environment |= environment
        log_beside = self.config.parent.parent / "log"  # whatever becomes of the folder
        self.daemon = DaemonProcess(
            log_beside,
            self.database,
            self.environment,
            command=("sh", "-c", f'exec "{sys.executable}" -m qguardarr serve'),
        )
        return self.daemon

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """A command in the same container."""
        given = {**os.environ, **self.environment, **environment}
        return subprocess.run(
            [*QGUARDARR, *arguments], env=given, capture_output=True, text=True, timeout=60, check=False
        )

    def get(self, path: str, accept: str = "application/json", key: str | None = KEY) -> tuple[int, str]:
        headers = {"Accept": accept} | ({"X-Api-Key": key} if key else {})
        with PoolManager() as pool:
            answer = pool.request("GET", f"http://127.0.0.1:{self.port}{path}", headers=headers, retries=20)
            return answer.status, answer.data.decode()

    def origin(self, setting: str) -> Mapping[str, Any]:
        rows = json.loads(self.get("/api/v1/config")[1])["settings"]
        return next(row for row in rows if row["setting"] == setting)


@pytest.fixture
def container(tmp_path: Path) -> Iterator[Container]:
    made = Container(tmp_path)
    yield made
    if made.daemon is not None:
        made.daemon.kill()


def login(fake: FakeQBittorrent) -> dict[str, str]:
    return {"QBIT_URL": fake.url, "QBIT_USERNAME": fake.username, "QBIT_PASSWORD": fake.password}


def replace(path: Path, edit: Callable[[str], str]) -> None:
    """Save a file as editors do."""
    fresh = path.with_name("fresh")
    fresh.write_text(edit(path.read_text()))
    fresh.replace(path)


def test_an_address_is_all_that_it_takes(container: Container, fake: FakeQBittorrent) -> None:
    daemon = container.start(**login(fake))
    status = daemon.wait_for_state("observing")
    assert (status.torrents, status.limited, status.reload_error) == (3, 0, "")
    assert "`qguardarr trackers --yaml`" in status.next_step
    assert str(container.config) in status.next_step
    daemon.wait_for_log("next_step")
    assert daemon.log.count("first_start") == 1

    assert container.get("/health")[0] == 200
    code, page = container.get("/", "text/html", key=None)
    assert (code, "What to do next" in page, "qguardarr trackers --yaml" in page) == (200, True, True)
    assert str(container.config.parent) not in page
    assert json.loads(container.get("/")[1])["next_step"] == status.next_step
    shown = container.run("status")
    assert (shown.returncode, f"Next: {status.next_step}" in shown.stdout) == (0, True)

    text = container.config.read_text()
    assert stat.S_IMODE(container.config.stat().st_mode) == 0o600
    assert load(container.config, {}).global_.dry_run
    assert [path.name for path in container.config.parent.iterdir()] == ["qguardarr.yaml", "data"]
    for secret in (fake.password, KEY):
        assert secret not in text + daemon.log + page + shown.stdout
    assert {torrent.up_limit for torrent in fake.torrents.values()} == {0}

    assert daemon.end() == 0
    replace(container.config, lambda text: text + "# mine\n")
    container.start().wait_for_state("observing")
    assert container.config.read_text() == text + "# mine\n"
    assert container.daemon is not None
    assert container.daemon.log.count("first_start") == 1


def test_without_any_address_it_waits_for_one_and_takes_it_up(container: Container, fake: FakeQBittorrent) -> None:
    daemon = container.start()
    status = daemon.wait_for_state("waiting")
    for words in (f"into {container.config} as qbittorrent.url", "QBIT_URL"):
        assert words in status.next_step
        assert words in daemon.log
    assert (status.failed_cycles, status.problem_since) == (0, None)
    assert container.get("/health/live")[0] == 200
    assert container.get("/health/ready")[0] == 200
    assert json.loads(container.get("/health")[1])["reason"].startswith("qBittorrent's address is not known")
    assert "QBIT_URL" in container.get("/", "text/html", key=None)[1]
    shown = container.run("status")
    assert shown.returncode == 1
    assert "waits: the configuration does not say where qBittorrent is" in shown.stdout
    assert container.run("check").returncode == 0
    asked = container.run("check", "--connect")
    assert (asked.returncode, "qBittorrent's address is not known" in asked.stderr) == (3, True)

    account = f"url: {fake.url}\n  username: {fake.username}\n  password: {json.dumps(fake.password)}\n"
    replace(container.config, lambda text: text.replace("url: ''", account))
    assert daemon.wait_for_state("observing").torrents == 3
    assert container.origin("qbittorrent.password") | {"line": 0} == {
        "setting": "qbittorrent.password", "value": "***", "source": "file", "line": 0, "variables": [],
    }  # fmt: skip
    replace(container.config, lambda text: text.replace(account, "url: ''"))
    daemon.wait_for_state("waiting")
    assert daemon.end() == 0


def test_what_a_person_does_next_leads_to_held_caps(container: Container, fake: FakeQBittorrent) -> None:
    daemon = container.start(**login(fake))
    daemon.wait_for_state("observing")
    rule = "trackers:\n  - {id: example, pattern: example, max_upload_speed: 1 MB/s}\n"
    replace(container.config, lambda text: text.replace("trackers:\n", rule))
    until(lambda: "`qguardarr preview`" in (s.next_step if (s := daemon.status) else ""), lambda: daemon.log)
    replace(container.config, lambda text: text.replace("dry_run: true", "dry_run: false"))
    daemon.wait_for_state("holding")
    until(lambda: 0 not in {torrent.up_limit for torrent in fake.torrents.values()}, "the torrents to be limited")
    status = daemon.status
    assert status is not None
    assert status.next_step == ""
    assert "What to do next" not in container.get("/", "text/html", key=None)[1]


def test_a_wrong_password_in_a_secret_file_is_told_and_read_again(
    container: Container, fake: FakeQBittorrent, tmp_path: Path
) -> None:
    secret = tmp_path / "password"
    secret.write_text("wrong-wrong-wrong\n")
    given = login(fake) | {"QBIT_PASSWORD_FILE": str(secret)}
    del given["QBIT_PASSWORD"]
    daemon = container.start(**given)
    status = daemon.wait_for_state("failing")
    assert status.problem_kind == "AuthRejected"
    assert status.next_step == "See whether qBittorrent runs; check its address (QBIT_URL) and login (QBIT_USERNAME)."
    assert container.get("/health/live")[0] == 200
    replace(secret, lambda _: fake.password + "\n")
    assert daemon.wait_for_state("observing").torrents == 3
    assert container.origin("qbittorrent.password")["variables"] == ["QBIT_PASSWORD_FILE"]
    assert fake.password not in daemon.log + container.get("/api/v1/config")[1] + container.get("/config")[1]


def test_an_address_where_nobody_answers_leaves_it_alive(container: Container) -> None:
    daemon = container.start(QBIT_URL=f"http://127.0.0.1:{free_port()}")
    status = daemon.wait_for_state("failing")
    assert (status.problem_kind, status.next_step[:28]) == ("Unreachable", "See whether qBittorrent runs")
    assert container.get("/health/live")[0] == 200
    assert container.get("/health/ready")[0] == 503
    assert daemon.end() == 0


def test_where_the_file_cannot_be_written_the_environment_is_enough(
    container: Container, fake: FakeQBittorrent, tmp_path: Path
) -> None:
    container.config, container.database = (
        Path("/proc/qguardarr.yaml"),
        tmp_path / "journal.db",
    )  # no file can be made there
    container.environment |= {
        "QGUARDARR_CONFIG": str(container.config),
        "QGUARDARR__ROLLBACK__DATABASE_PATH": str(container.database),
        "QGUARDARR__GLOBAL__DRY_RUN_STORE_PATH": str(tmp_path / "dry.json"),
    }
    daemon = container.start(**login(fake))
    status = daemon.wait_for_state("observing")
    (note,) = status.notes
    assert note.startswith("/proc/qguardarr.yaml is missing and cannot be written (")
    assert "settings come from the environment alone" in note
    daemon.wait_for_log("settings come from the environment alone")
    daemon.reload()
    daemon.wait_for_log(" reloaded ")
    assert daemon.end() == 0

    given = {"QGUARDARR__TRACKERS": json.dumps(RULES), "QGUARDARR__GLOBAL__DRY_RUN": "false"}
    daemon = container.start(**given)
    assert daemon.wait_for_state("holding").next_step == ""
    until(lambda: 0 not in {torrent.up_limit for torrent in fake.torrents.values()}, "the torrents to be limited")
    assert container.origin("trackers[0].id")["variables"] == ["QGUARDARR__TRACKERS"]
    shown = container.run("status")
    assert (shown.returncode, "settings come from the environment alone" in shown.stderr) == (0, True)
    done = container.run("rollback", "--yes")
    assert done.returncode == 0, done.stderr
    assert {torrent.up_limit for torrent in fake.torrents.values()} == {0}


def test_a_configuration_that_was_lost_is_no_quiet_first_start(container: Container, fake: FakeQBittorrent) -> None:
    container.config.write_text(starter_file().replace("dry_run: true", "dry_run: false"))
    daemon = container.start(**login(fake), QGUARDARR__TRACKERS=json.dumps(RULES))
    daemon.wait_for_state("holding")
    until(lambda: 0 not in {torrent.up_limit for torrent in fake.torrents.values()}, "the torrents to be limited")
    daemon.end()
    limits = [torrent.up_limit for torrent in fake.torrents.values()]
    container.config.unlink()
    daemon = container.start()
    daemon.wait_for_state("observing")
    daemon.wait_for_log("the journal holds limits of an earlier one: put that back")
    daemon.end()
    daemon = container.start()  # which finds the file that the last start wrote
    status = daemon.wait_for_state("observing")
    assert status.next_step.startswith("Limits of an earlier run are in force, and a dry run does not adapt them.")
    assert status.next_step in container.run("status").stdout
    assert [torrent.up_limit for torrent in fake.torrents.values()] == limits
    assert container.run("rollback", "--yes").returncode == 0
    assert {torrent.up_limit for torrent in fake.torrents.values()} == {0}
    until(lambda: (s := daemon.status) is not None and "earlier run" not in s.next_step, "the warning to go")


def test_a_path_that_was_mistyped_is_an_error(container: Container, tmp_path: Path) -> None:
    done = container.run("serve", "--config", str(tmp_path / "cofnig" / "q.yaml"))
    assert done.returncode == 2
    assert (
        f"there is no folder {tmp_path / 'cofnig'} to write a first configuration to. hint: correct --config"
        in done.stderr
    )
    done = container.run("serve", "--config", str(tmp_path / "q.yaml"), QGUARDARR_FIRST_START="")
    assert (done.returncode, "there is no such file" in done.stderr) == (2, True)
    assert not (tmp_path / "q.yaml").exists()
    (tmp_path / "file").touch()
    done = container.run(
        "serve", "--config", str(tmp_path / "file" / "q.yaml")
    )  # perhaps it is there, and closed to us
    assert (done.returncode, "cannot be read: Not a directory" in done.stderr) == (2, True)


def test_a_place_where_nothing_can_be_written_is_an_error_with_its_mend(container: Container) -> None:
    done = container.run("serve", "--config", "/proc/qguardarr.yaml")
    assert done.returncode == 4
    assert "journal /proc/data/qguardarr.db: its folder cannot be made: " in done.stderr
    assert f"make that possible for user {os.geteuid()}, or set rollback.database_path" in done.stderr


def test_a_file_that_is_there_is_never_written_over(container: Container) -> None:
    container.config.write_text("global: {uplink: lots}\n")
    done = container.run("serve", "--first-start")
    assert (done.returncode, "qguardarr.yaml:1: global.uplink" in done.stderr) == (2, True)
    container.config.unlink()
    container.config.symlink_to("nowhere.yaml")
    done = container.run("serve", "--first-start")
    assert (done.returncode, "there is no such file" in done.stderr) == (2, True)
    assert [path.name for path in container.config.parent.iterdir()] == ["qguardarr.yaml"]


def test_a_new_file_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "q.yaml"
    write_new(path, b"one")
    with pytest.raises(FileExistsError):
        write_new(path, b"two")
    assert path.read_bytes() == b"one"

    def no_links(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")  # as on vfat

    monkeypatch.setattr(os, "link", no_links)
    with pytest.raises(FileExistsError):
        write_new(path, b"two")
    write_new(tmp_path / "other.yaml", b"two")
    assert (path.read_bytes(), (tmp_path / "other.yaml").read_bytes()) == (b"one", b"two")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_new(tmp_path / "third.yaml", b"three")
    assert sorted(found.name for found in tmp_path.iterdir()) == ["other.yaml", "q.yaml"]


def test_the_environment_stays_in_force_when_the_file_changes(container: Container, fake: FakeQBittorrent) -> None:
    container.config.write_text(starter_file().replace("dry_run: true", "dry_run: false"))
    daemon = container.start(**login(fake), QGUARDARR__GLOBAL__DRY_RUN="true")
    status = daemon.wait_for_state("observing")
    assert status.interval_s == 0.5
    replace(
        container.config, lambda text: text.replace("global:\n", "global:\n  update_interval: 9\n  uplink: 5 MB/s\n")
    )
    until(lambda: container.origin("global.uplink")["value"] == 5_000_000, lambda: daemon.log)
    assert container.origin("global.uplink")["source"] == "file"
    assert container.origin("global.dry_run") == {
        "setting": "global.dry_run", "value": True, "source": "environment", "line": None,
        "variables": ["QGUARDARR__GLOBAL__DRY_RUN"],
    }  # fmt: skip
    assert container.origin("global.update_interval")["value"] == 0.5
    daemon.process.send_signal(signal.SIGHUP)
    daemon.wait_for_log(" reloaded ", 2)
    assert container.origin("global.update_interval")["source"] == "environment"


def test_check_says_where_each_setting_comes_from(container: Container) -> None:
    container.config.write_text(starter_file({"url": "http://nas:1", "username": "me", "password": "${QBIT_PASSWORD}"}))
    short = container.run("check", QBIT_PASSWORD="a long secret")
    names = "QGUARDARR__GLOBAL__UPDATE_INTERVAL, QGUARDARR__GLOBAL__PORT, QGUARDARR_API_KEY"
    assert f"from the environment: {names} (`qguardarr check --sources`" in short.stdout
    listed = container.run("check", "--sources", QBIT_PASSWORD="a long secret").stdout
    lines = {line.split()[0]: line.split()[1:] for line in listed.splitlines()}
    assert lines["global.port"] == ["QGUARDARR__GLOBAL__PORT", str(container.port)]
    assert lines["qbittorrent.password"][2:] == ["QBIT_PASSWORD", "***"]
    assert lines["logging.format"] == ["default", "console"]
    rows = json.loads(container.run("check", "--json", QBIT_PASSWORD="a long secret").stdout)["settings"]
    assert len(rows) == sum(1 for name in lines if "." in name and name != f"{container.config}:")
    broken = container.run("check", QGUARDARR__GLOBAL__PROT="a long secret")
    assert broken.returncode == 2
    assert "QGUARDARR__GLOBAL__PROT: is not a setting. hint: did you mean QGUARDARR__GLOBAL__PORT?" in broken.stderr
    assert "next: Give your trackers caps: " in listed
    assert "a long secret" not in listed + short.stdout + broken.stderr
