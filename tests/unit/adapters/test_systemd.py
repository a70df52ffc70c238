"""What systemd hears of the daemon, over a real datagram socket; and how far the unit is locked down."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from qguardarr.adapters.systemd import LONGEST_REQUEST, PULSE_SHARE, Systemd
from qguardarr.engine.status import State, Status
from tests.support import samples
from tests.support.api_client import ApiClient
from tests.support.configs import loads
from tests.support.daemon_process import DaemonProcess, until
from tests.support.fake_qbittorrent import FakeQBittorrent, FakeTorrent, Fault
from tests.support.live_settings import Live
from tests.support.paths import ROOT
from tests.support.service_manager import ServiceManager

Tell = Callable[..., Systemd]

UNIT = ROOT / "deploy" / "qguardarr.service"

HANGS = """
import sys, threading
from pathlib import Path
from qguardarr.engine import instances
real, hang = instances.decide, Path(sys.argv[1]).with_name("hang")
def decide(registry):
    if hang.exists():
        hang.with_name("hung").touch()
        threading.Event().wait()
    return real(registry)
instances.decide = decide
from qguardarr.app.process import main
sys.exit(main())
"""
"""A daemon whose control loop hangs once there is a file called `hang`."""


@pytest.fixture(params=[False, True], ids=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ServiceManager]:
    with ServiceManager(tmp_path, abstract=request.param) as opened:
        yield opened


@pytest.fixture
def tell(manager: ServiceManager) -> Iterator[Tell]:
    with contextlib.ExitStack() as closed:

        def told(**started: Any) -> Systemd:
            return closed.enter_context(contextlib.closing(Systemd(manager.environment(**started), pid=1)))

        yield told


def after(state: State, problem: str = "") -> Status:
    return samples.status(state=str(state), problem=problem)


# -- what is sent ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [State.HOLDING, State.OBSERVING, State.PAUSED])
def test_the_start_is_complete_when_caps_are_held_or_on_purpose_not(
    manager: ServiceManager, tell: Tell, state: State
) -> None:
    systemd = tell()
    systemd.on_cycle(after(State.STARTING))
    systemd.on_cycle(after(State.FAILING, "no connection"))
    assert manager.drain() == 2
    assert manager.lines("STATUS=") == ["STATUS=no connection"]
    assert len(manager.lines("EXTEND_TIMEOUT_USEC=")) == 2
    assert not manager.lines("READY=1")
    systemd.on_cycle(after(state))
    assert "READY=1" in manager.receive()
    systemd.on_cycle(after(state))
    assert manager.drain() == 0, "there is nothing new to say"
    systemd.on_cycle(after(State.FAILING, "no connection"))
    assert manager.receive() == ["STATUS=no connection"]


def test_a_watchdog_that_is_no_time_is_none(manager: ServiceManager) -> None:
    with contextlib.closing(Systemd(manager.environment() | {"WATCHDOG_USEC": "9" * 5000}, pid=1)) as systemd:
        systemd.on_cycle(after(State.HOLDING))
        assert "READY=1" in manager.receive()


def test_a_strangers_text_adds_no_line(manager: ServiceManager, tell: Tell) -> None:
    systemd = tell()
    systemd.on_cycle(after(State.FAILING, "no qBittorrent\nREADY=1\udc80"))
    assert manager.receive() == ["STATUS=no qBittorrent READY=1?", "EXTEND_TIMEOUT_USEC=60000000"]


def test_a_reload_is_told_of_only_after_the_start(manager: ServiceManager, tell: Tell) -> None:
    systemd = tell()
    with systemd.while_reloading():
        pass
    assert manager.drain() == 0
    systemd.on_cycle(after(State.HOLDING))
    manager.drain()
    with systemd.while_reloading():
        first, second = manager.receive()
        assert (first, second.split("=")[0]) == ("RELOADING=1", "MONOTONIC_USEC")
    assert manager.receive() == ["READY=1"]


def test_the_watchdog_waits_for_the_longest_request(manager: ServiceManager, tell: Tell) -> None:
    systemd = tell(watchdog_s=100)
    systemd.allow_for(1.0)
    assert manager.receive() == ["WATCHDOG_USEC=100000000"]
    systemd.allow_for(30.0)
    assert manager.receive() == [f"WATCHDOG_USEC={30 * LONGEST_REQUEST}000000"]
    assert systemd.pulse_s == 30 * LONGEST_REQUEST / PULSE_SHARE
    systemd.pulse()
    assert manager.receive() == ["WATCHDOG=1", f"EXTEND_TIMEOUT_USEC={30 * LONGEST_REQUEST}000000"]
    systemd.on_cycle(after(State.HOLDING))
    assert manager.receive() == ["READY=1", "STATUS=caps are held", "WATCHDOG=1"]


def test_what_a_full_queue_did_not_take_is_said_later(manager: ServiceManager, tell: Tell) -> None:
    systemd = tell(watchdog_s=100)
    systemd.on_cycle(after(State.HOLDING))
    for _ in range(2000):  # systemd reads none of them; the kernel keeps a few
        systemd.pulse()
    with systemd.while_reloading():
        pass
    systemd.on_cycle(after(State.PAUSED))
    kept = manager.drain()
    assert kept < 2000
    assert "STATUS=paused until `qguardarr resume`" not in manager.lines("STATUS=")
    systemd.pulse()
    assert manager.receive() == ["READY=1", "STATUS=paused until `qguardarr resume`", "WATCHDOG=1"]


def test_nothing_is_said_without_systemd_or_after_it_has_gone(tmp_path: Path) -> None:
    alone = Systemd({"WATCHDOG_USEC": "1000000"}, pid=1)
    gone = Systemd({"NOTIFY_SOCKET": str(tmp_path / "gone"), "WATCHDOG_USEC": "1000000"}, pid=1)
    for systemd in (alone, gone):
        systemd.allow_for(1.0)
        systemd.on_cycle(after(State.HOLDING))
        with systemd.while_reloading():
            pass
        systemd.stopping()
        systemd.close()
    assert alone.pulse_s is None


def test_children_and_other_processes_have_nothing_to_say(manager: ServiceManager) -> None:
    environment = {**manager.environment(watchdog_s=100), "WATCHDOG_PID": "4711", "HOME": "/"}
    with contextlib.closing(Systemd(environment, pid=1)) as systemd:
        systemd.pulse()
    assert environment == {"HOME": "/"}
    assert manager.receive() == ["EXTEND_TIMEOUT_USEC=60000000"], "the watchdog is another process's"


# -- the daemon --------------------------------------------------------------------------------------------------------


@pytest.fixture
def fake() -> Iterator[FakeQBittorrent]:
    with FakeQBittorrent() as qbittorrent:
        qbittorrent.add(FakeTorrent("1" * 40, "first", ("http://t1.example/announce",)))
        yield qbittorrent


@pytest.fixture
def service(tmp_path: Path, fake: FakeQBittorrent, manager: ServiceManager) -> Iterator[Service]:
    started = Service(tmp_path, fake, manager)
    yield started
    for daemon in started.daemons:
        daemon.kill()


class Service:
    """The daemon as systemd starts it."""

    def __init__(self, folder: Path, fake: FakeQBittorrent, manager: ServiceManager) -> None:
        self.live, self.fake, self.manager = Live(folder, fake), fake, manager
        self.daemons: list[DaemonProcess] = []

    def start(self, *, watchdog_s: float = 0.0, code: str = "", **settings: object) -> DaemonProcess:
        """`settings`: `global__dry_run=True`; `code`: run instead of `serve`."""
        self.live.write(self.live.settings({name.replace("__", "."): value for name, value in settings.items()}))
        command = [sys.executable, "-c", code] if code else [sys.executable, "-m", "qguardarr", "serve", "--config"]
        environment = self.manager.environment(watchdog_s)
        self.daemons.append(DaemonProcess(self.live.file, self.live.database, environment, command=command))
        return self.daemons[-1]

    @property
    def api(self) -> ApiClient:
        return self.live.api()


@pytest.mark.process
def test_it_is_ready_only_when_caps_are_held(service: Service) -> None:
    service.fake.stop()
    daemon = service.start()
    assert "no connection to qBittorrent" in service.manager.wait_for("STATUS=")
    service.manager.wait_for("EXTEND_TIMEOUT_USEC=", times=3)
    assert not service.manager.lines("READY=1")
    service.fake.start()
    service.manager.wait_for("READY=1")
    assert daemon.status is not None
    assert daemon.status.state == "holding"
    assert service.fake.torrents["1" * 40].up_limit > 0


@pytest.mark.process
def test_a_dry_run_is_ready_when_it_observes_and_says_when_it_reloads_and_ends(service: Service) -> None:
    daemon = service.start(global__dry_run=True)
    service.manager.wait_for("READY=1")
    assert "STATUS=dry run: it observes, and writes nothing" in service.manager.said[-1]
    daemon.reload()
    service.manager.wait_for("RELOADING=1")
    service.manager.wait_for("READY=1")
    service.live.write("trackers: [")
    service.manager.wait_for("RELOADING=1")
    service.manager.wait_for("READY=1")
    assert daemon.end() == 0
    service.manager.wait_for("STOPPING=1")


@pytest.mark.process
def test_a_long_interval_and_a_qbittorrent_that_does_not_answer_are_no_hang(service: Service) -> None:
    daemon = service.start(watchdog_s=0.5, global__update_interval=3600, qbittorrent__timeout=0.5)
    assert service.manager.wait_for("WATCHDOG_USEC=") == "WATCHDOG_USEC=6000000"
    service.manager.wait_for("READY=1")
    cycles = daemon.status.cycle if daemon.status else 0
    service.manager.wait_for("WATCHDOG=1", times=3)
    assert daemon.status is not None
    assert daemon.status.cycle <= cycles + 1, "the pulses are not those of cycles"
    service.fake.fail_next("", *[Fault.HANG] * 50)
    assert service.api.post("/cycle/force").status != 404
    assert "gave no answer within 0.5 s" in service.manager.wait_for("STATUS=")
    service.manager.wait_for("WATCHDOG=1", times=5)


@pytest.mark.process
def test_a_loop_that_hangs_falls_silent_and_its_end_uncaps_nothing(service: Service) -> None:
    settings = {"qbittorrent__timeout": 0.1, "rollback__on_shutdown": "restore"}
    daemon = service.start(watchdog_s=0.1, code=HANGS, **settings)
    service.manager.wait_for("READY=1")
    until(lambda: service.live.limits() != [0], "the torrent to be limited")
    service.manager.wait_for("WATCHDOG=1")
    service.live.file.with_name("hang").touch()
    until(service.live.file.with_name("hung").exists, "the loop to hang")
    service.manager.drain()
    pulse_s = LONGEST_REQUEST * 0.1 / PULSE_SHARE
    assert service.api.get("/health/live").status == 200  # the rest of the daemon works
    assert service.api.get("/api/v1/torrents").status == 200  # and asks qBittorrent for names
    assert service.manager.receive(4 * pulse_s) == []
    daemon.process.send_signal(signal.SIGABRT)  # which is what systemd's watchdog sends
    assert daemon.process.wait(30) == -signal.SIGABRT
    assert service.live.limits() != [0]
    service.live.file.with_name("hang").unlink()
    service.start(watchdog_s=0.1, **settings)
    service.manager.wait_for("READY=1")
    assert service.live.limits() != [0]


# -- the unit ----------------------------------------------------------------------------------------------------------


def test_the_unit_is_locked_down() -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None and "CI" not in os.environ:
        pytest.skip("no systemd-analyze: apt-get install systemd")
    command = [analyze or "systemd-analyze", "security", "--offline=yes", "--threshold=19", "--no-pager", str(UNIT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None and "CI" not in os.environ:
        pytest.skip("no systemd-analyze: apt-get install systemd")
    program = tmp_path / "qguardarr"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/qguardarr/bin/qguardarr", str(program)))
    command = [analyze or "systemd-analyze", "verify", "--man=no", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_secret_that_the_unit_may_hand_over_is_one_that_is_read(tmp_path: Path) -> None:
    secrets = {"QBIT_PASSWORD": "a password\n", "QBIT_API_KEY": "", "QGUARDARR_API_KEY": "a-key-of-sixteen-signs\n"}
    assert re.findall(r"^LoadCredential=(\w+)$", UNIT.read_text(), re.MULTILINE) == list(secrets)
    for name, text in secrets.items():
        if text:
            (tmp_path / name).write_text(text)
    rules = "trackers: [{id: all, pattern: '.*', max_upload_speed: -1}]"
    environment = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    config = loads(f"qbittorrent: {{username: admin}}\n{rules}", environment=environment)
    assert config.qbittorrent.password == SecretStr("a password")
    assert config.auth is not None
    assert config.auth.api_key == SecretStr("a-key-of-sixteen-signs")
    config = loads(f"qbittorrent: {{username: admin, password: of the file}}\n{rules}", environment=environment)
    assert config.qbittorrent.password == SecretStr("of the file")
    (tmp_path / "QBIT_API_KEY").write_text("qbt_key\n")
    assert loads(rules, environment=environment).qbittorrent.api_key == SecretStr("qbt_key")
    given = loads(rules, environment={**environment, "QBIT_API_KEY": "another"})
    assert given.qbittorrent.api_key == SecretStr("another")
