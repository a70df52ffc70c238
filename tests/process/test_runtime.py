"""The daemon as a process: signals, reload, status file, what it leaves behind. And that no secret is ever logged."""

from __future__ import annotations

import base64
import json
import logging
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from lab.processes import free_port
from qguardarr.adapters import logs
from qguardarr.adapters.redaction import HIDDEN, Redactor
from qguardarr.adapters.sqlite.journal import SqliteJournal
from qguardarr.adapters.statusfile import daemon_runs, read_status, status_path
from qguardarr.app.settings import load_settings
from qguardarr.engine.settings import LogSettings
from qguardarr.errors import ConfigError
from tests.support.daemon_process import DaemonProcess, daemon, until
from tests.support.fake_qbittorrent import FakeQBittorrent, FakeTorrent, Fault

HASHES = [f"{n:040x}" for n in range(1, 5)]
ANNOUNCE = "http://tracker.example.org/announce/0123456789abcdef0123456789abcdef"


@pytest.fixture
def fake() -> Iterator[FakeQBittorrent]:
    with FakeQBittorrent() as qbittorrent:
        qbittorrent.add(*(FakeTorrent(h, f"torrent {h[-1]}", (ANNOUNCE,)) for h in HASHES))
        yield qbittorrent


class Place:
    """A folder with a configuration for the fake."""

    def __init__(self, folder: Path, fake: FakeQBittorrent) -> None:
        self.config, self.database, self.fake = folder / "qguardarr.yaml", folder / "data" / "journal.db", fake
        self.port = free_port()
        self.write()

    def write(self, *, cap: str = "1 MB/s", dry_run: bool = False, more: str = "", password: str = "") -> None:
        self.config.write_text(
            f"""
global: {{port: {self.port}, update_interval: 0.5, dry_run: {str(dry_run).lower()}}}
qbittorrent: {{url: "{self.fake.url}", username: admin, password: "{password or self.fake.password}", timeout: 30}}
trackers:
  - {{id: example, pattern: 'example', max_upload_speed: {cap}}}
  - {{id: default, pattern: '.*', max_upload_speed: unlimited}}
rollback: {{database_path: {self.database}{more}}}
"""
        )

    def serve(self) -> DaemonProcess:
        return DaemonProcess(self.config, self.database)

    @property
    def limits(self) -> set[int]:
        return {torrent.up_limit for torrent in self.fake.torrents.values()}


@pytest.fixture
def place(tmp_path: Path, fake: FakeQBittorrent) -> Place:
    return Place(tmp_path, fake)


def test_caps_are_held_and_limits_stay_when_it_ends(place: Place) -> None:
    with daemon(place.config, place.database) as running:
        running.wait_for_state("holding")
        until(lambda: 0 not in place.limits, "idle torrents to be parked")
        assert daemon_runs(place.database)
        assert running.end() == 0
        assert 0 not in place.limits
        assert not daemon_runs(place.database)
        status = read_status(status_path(place.database))
        assert status is not None
        assert status.ended_at is not None


def test_ctrl_c_ends_it_too(place: Place) -> None:
    with daemon(place.config, place.database) as running:
        running.wait_for_state("holding")
        assert running.end(signal.SIGINT) == 0


def test_it_ends_in_time_while_qbittorrent_hangs(place: Place, fake: FakeQBittorrent) -> None:
    with daemon(place.config, place.database) as running:
        running.wait_for_state("holding")
        reads = fake.count("sync/maindata")
        fake.fail_next("sync/maindata", Fault.HANG)
        fake.wait_for_request("sync/maindata", reads + 1)
        assert running.end() == 0
        assert "cycle_abandoned" in running.log


def test_it_ends_in_time_before_qbittorrent_ever_answered(place: Place, fake: FakeQBittorrent) -> None:
    fake.fail_next("auth/login", Fault.HANG)
    with daemon(place.config, place.database) as running:
        fake.wait_for_request("auth/login", timeout_s=20.0)
        assert running.end() == 0


def test_it_waits_for_a_qbittorrent_that_is_away(place: Place, fake: FakeQBittorrent) -> None:
    fake.stop()
    with daemon(place.config, place.database) as running:
        status = running.wait_for_state("failing")
        assert "qBittorrent" in status.problem
        fake.start()
        assert running.wait_for_state("holding").problem == ""


def test_originals_come_back_at_the_end_if_wanted(place: Place, fake: FakeQBittorrent) -> None:
    fake.torrents[HASHES[0]].up_limit = 5_000_000
    place.write(more=", on_shutdown: restore")
    with daemon(place.config, place.database) as running:
        running.wait_for_state("holding")
        until(lambda: not place.limits & {0, 5_000_000}, "torrents to be parked")
        assert running.end() == 0
        assert [fake.torrents[h].up_limit for h in HASHES] == [5_000_000, 0, 0, 0]
    journal = SqliteJournal(place.database)
    assert journal.touched() == {}
    assert journal.paused() is None
    journal.close()


def test_a_restore_that_hangs_is_given_up_and_stays_noted(place: Place, fake: FakeQBittorrent) -> None:
    place.write(more=", on_shutdown: restore")
    with daemon(place.config, place.database) as running:
        running.wait_for_state("holding")
        until(lambda: 0 not in place.limits, "torrents to be parked")
        fake.fail_next("torrents/info", Fault.HANG)
        running.process.send_signal(signal.SIGTERM)
        fake.wait_for_request("torrents/info", timeout_s=20.0)
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(5.0) == 0
        assert "not_all_restored" in running.log
    journal = SqliteJournal(place.database)
    assert set(journal.touched()) == set(HASHES)
    journal.close()


def test_a_second_daemon_on_the_same_journal_is_refused(place: Place) -> None:
    with daemon(place.config, place.database) as running:
        running.wait_for_state("holding")
        second = subprocess.run(
            [sys.executable, "-m", "qguardarr", "serve", "-c", str(place.config)],
            capture_output=True, text=True, timeout=20, check=False,
        )  # fmt: skip
        assert second.returncode == 5
        assert f"pid {running.process.pid}" in second.stderr
        assert running.process.poll() is None


def test_a_killed_daemon_is_known_to_be_dead_and_may_be_followed_by_another(place: Place) -> None:
    with daemon(place.config, place.database) as running:
        running.wait_for_state("holding")
        running.kill()
        assert not daemon_runs(place.database)
        with daemon(place.config, place.database) as next_one:
            next_one.wait_for_state("holding")


def test_a_reload_takes_effect_without_a_restart(place: Place) -> None:
    place.write(dry_run=True)
    with daemon(place.config, place.database) as running:
        running.wait_for_state("observing")
        assert place.limits == {0}
        place.write(cap="2 MB/s")
        running.reload()
        status = running.wait_for_state("holding")
        assert [row.cap for row in status.trackers] == [2_000_000, None]
        until(lambda: 0 not in place.limits, "torrents to be parked")


def test_a_faulty_file_changes_nothing_and_is_shown(place: Place) -> None:
    with daemon(place.config, place.database) as running:
        running.wait_for_state("holding")
        place.write(cap="fast")
        running.reload()
        running.wait_for_log("reload_failed")
        until(lambda: (s := running.status) is not None and "trackers[0]" in s.reload_error, "the fault in the status")
        status = running.wait_for_state("holding")
        assert status.trackers[0].cap == 1_000_000
        place.write(cap="3 MB/s")
        running.reload()
        until(lambda: (s := running.status) is not None and s.trackers[0].cap == 3_000_000, "the new cap")
        status = running.status
        assert status is not None
        assert status.reload_error == ""


def test_a_reload_with_other_credentials_logs_in_again(place: Place, fake: FakeQBittorrent) -> None:
    place.write(password="wrong")
    with daemon(place.config, place.database) as running:
        running.wait_for_state("failing")
        place.write()
        running.reload()
        running.wait_for_state("holding")


def test_the_status_file_is_private(place: Place) -> None:
    with daemon(place.config, place.database) as running:
        running.wait_for_state("holding")
        mode = status_path(place.database).stat().st_mode
        assert stat.S_IMODE(mode) == 0o600


def test_a_database_of_the_earlier_qguardarr_is_left_alone_with_advice(place: Place) -> None:
    place.database.parent.mkdir()
    earlier = sqlite3.connect(place.database)
    earlier.execute("CREATE TABLE rollback_entries (id INTEGER)")
    earlier.close()
    before = place.database.read_bytes()
    done = subprocess.run(
        [sys.executable, "-m", "qguardarr", "serve", "-c", str(place.config)],
        capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip
    assert done.returncode == 4
    assert "earlier Qguardarr" in done.stderr
    assert f"journal {place.database}" in done.stderr
    assert "set rollback.database_path to a new file" in done.stderr
    assert place.database.read_bytes() == before


def test_a_faulty_configuration_starts_nothing(place: Place) -> None:
    place.write(cap="fast")
    done = subprocess.run(
        [sys.executable, "-m", "qguardarr", "serve", "-c", str(place.config)],
        capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert f"{place.config}:5: trackers[0].max_upload_speed" in done.stderr
    assert not place.database.exists()


PRINT_MODULES = "import sys; sys.modules['rich'] = None; import qguardarr.app.daemon; print(*sys.modules)"


def test_the_daemon_loads_neither_command_line_nor_schema(place: Place) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PRINT_MODULES],
        capture_output=True,
        text=True,
        check=True,
    )
    assert not {"qguardarr.config", "typer", "yaml", "rich.console"} & set(done.stdout.split())


# -- secrets ----------------------------------------------------------------------------------------------------------

PASSWORD = 'p"w ü/1&x'
API_KEY = "qbt_AbCdEfGhIjKlMnOpQrStUvWxYz12"
SECRETS = (PASSWORD, "tiny-one", "a-hook-key-of-cross-seed")


@pytest.fixture
def log_file(tmp_path: Path) -> Iterator[Path]:
    root = logging.getLogger()
    handlers, level, noisy = root.handlers, root.level, logging.raiseExceptions
    root.handlers = []
    yield tmp_path / "log" / "qguardarr.log"
    for handler in root.handlers:
        handler.close()
    root.handlers, logging.raiseExceptions = handlers, noisy
    root.setLevel(level)
    structlog.reset_defaults()


def _everything_through_every_path(text: str) -> None:
    log = structlog.get_logger("qguardarr.test")
    log.info("event " + text)
    log.warning("event", value=text, nested={"list": [text, (text,)]}, key=text.encode())
    log.bind(bound=text).error("event")
    logging.getLogger("some.library").warning("message %s", text)
    logging.getLogger("some.library").warning("extra", extra={"more": text})
    for logger in (log, logging.getLogger("some.library")):
        try:
            raise ValueError(text) from KeyError(text)
        except ValueError:
            logger.exception("failed")


@pytest.mark.parametrize("style", ["console", "json"])
def test_no_known_secret_reaches_a_line(style: Any, log_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logs.prepare(Redactor(SECRETS, username="admin"), LogSettings(style=style, file=str(log_file), level="DEBUG"))()
    for secret in SECRETS:
        _everything_through_every_path(secret)
        _everything_through_every_path(f"before {secret} after")
        _everything_through_every_path(json.dumps({"x": secret}))
        _everything_through_every_path(base64.b64encode(f"admin:{secret}".encode()).decode())
    for shown in (log_file.read_text(encoding="utf-8"), capsys.readouterr().err):
        assert "event" in shown
        assert "ValueError" in shown
        assert HIDDEN in shown
        for secret in SECRETS:
            for spelling in (secret, json.dumps(secret)[1:-1], repr(secret)[1:-1]):
                assert spelling not in shown
            assert base64.b64encode(f"admin:{secret}".encode()).decode() not in shown


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("GET https://tracker.example.org/0123abcd/announce failed", "0123abcd"),
        ("udp://tracker.example.org:1337/announce?passkey=k9k9k9k9", "k9k9k9k9"),
        ("http://user:hunter2@host.example/", "hunter2"),
        ("magnet:?xt=urn:btih:00&tr=http%3A%2F%2Ftr.example%2Fsecretkey", "secretkey"),
        ("?tr=http%3A%2F%2Ftr.example%2Fsecretkey&x=1", "secretkey"),
        ("Cookie: SID=abcdefgh; x=1", "abcdefgh"),
        ("QBT_SID_8080=abcdefgh", "abcdefgh"),
        ("Set-Cookie: session=abcdefgh", "abcdefgh"),
        (f"key {API_KEY}", API_KEY[4:]),
        ("Authorization: Bearer abcdefgh12345", "abcdefgh12345"),
        ("'authorization': 'Basic YWRtaW46c2VjcmV0'", "YWRtaW46c2VjcmV0"),
        ("form password=hunter2&username=admin", "hunter2"),
        ('{"passkey": "hunter2"}', "hunter2"),
        ("torrent_pass=hunter2", "hunter2"),
        ("the passkey 0123456789abcdef0123456789abcdef itself", "0123456789abcdef0123456789abcdef"),
    ],
)
def test_what_looks_like_a_secret_is_hidden(text: str, secret: str) -> None:
    assert secret not in Redactor().text(text)


@pytest.mark.parametrize(
    "text",
    [
        "torrent 0123456789abcdef0123456789abcdef01234567 restored",
        "no connection to qBittorrent at http://localhost:8080 within 4 s",
        "qBittorrent refuses HTTP Basic (wrong user name or password, a ban, or older than 5.2)",
        "qBittorrent refuses the API key (it needs qBittorrent 5.2 or newer)",
        "config/qguardarr.yaml:4: qbittorrent.password: 'username' is missing. hint: add 'username'",
    ],
)
def test_what_a_person_needs_stays(text: str) -> None:
    assert Redactor().text(text) == text


def test_values_under_telling_keys_are_hidden(log_file: Path) -> None:
    logs.prepare(Redactor(), LogSettings(style="json", file=str(log_file)))()
    structlog.get_logger().warning("event", password="hunter2", headers={"Cookie": "abc"})
    line = json.loads(log_file.read_text().splitlines()[-1])
    assert line["password"] == HIDDEN
    assert line["headers"]["Cookie"] == HIDDEN


@pytest.mark.parametrize("kept", [0, 2])
def test_log_files_are_bounded_and_private(log_file: Path, kept: int) -> None:
    logs.prepare(Redactor(), LogSettings(file=str(log_file), max_bytes=2000, backup_count=kept))()
    for n in range(200):
        structlog.get_logger().info("a line of some length to fill the file", number=n)
    files = sorted(log_file.parent.iterdir())
    assert len(files) == kept + 1
    assert all(file.stat().st_size <= 2000 for file in files)
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in files)
    assert "number=199" in log_file.read_text()


def test_a_log_file_that_cannot_be_written_is_a_fault_of_the_configuration(log_file: Path) -> None:
    with pytest.raises(ConfigError, match=r"logging\.file"):
        logs.prepare(Redactor(), LogSettings(file=str(log_file.parent.parent)))()


def test_settings_survive_the_way_through_the_pipe(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TRACKER_KEY", "key-of-the-environment")
    monkeypatch.setenv("PW", PASSWORD)
    place.write(password="${PW}", more=", retention_days: 7")
    place.config.write_text(place.config.read_text() + "cross_seed: {url: 'http://x.example/${MY_TRACKER_KEY}'}\n")
    settings = load_settings(place.config)
    assert settings.connection.password == PASSWORD
    assert settings.retention_s == 7 * 86400
    assert {PASSWORD, "key-of-the-environment"} <= set(settings.secrets)
    assert PASSWORD not in repr(settings)
    assert PASSWORD not in repr(settings.connection)
    assert settings.policy.classes[0].cap == 1_000_000


def test_debug_logs_of_the_daemon_hold_no_secret(place: Place) -> None:
    place.write()
    place.config.write_text(place.config.read_text() + "logging: {level: DEBUG, format: json}\n")
    with daemon(place.config, place.database) as running:
        running.wait_for_state("holding")
        running.end()
        assert place.fake.password not in running.log
        assert '0123456789abcdef0123456789abcdef"' not in running.log
        assert "announce" not in running.log
        assert all(json.loads(line) for line in running.log.splitlines())
