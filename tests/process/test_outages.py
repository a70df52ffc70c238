"""What fails around the daemon: health says so within seconds, nothing is uncapped, and all is well by itself again."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import resource
import socket
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from qguardarr.api.protocol import MOST_AHEAD
from qguardarr.app.daemon import OPEN_FILES
from qguardarr.engine.triggers import CAPACITY
from tests.support.api_client import CAP, HASHES, KEY, ORIGINALS, ServedApi, fake_with_torrents, served
from tests.support.daemon_process import DaemonProcess, until
from tests.support.fake_crossseed import HANG, FakeCrossSeed
from tests.support.fake_qbittorrent import FakeQBittorrent, FakeTorrent, Fault
from tests.support.health import ended, health, metric, wait_for_health
from tests.support.webhook_target import WebhookTarget

ANNOUNCE = "http://tracker.example.org/announce/0f1e2d3c4b5a69788796a5b4c3d2e1f0"
NEWCOMERS = tuple(f"{n:040x}" for n in range(100, 110))


def status_command(api: ServedApi) -> subprocess.CompletedProcess[str]:
    """`qguardarr status`."""
    command = [sys.executable, "-m", "qguardarr", "status", "--config", str(api.config)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def add(api: ServedApi, torrent: str) -> None:
    """A torrent that has to be limited: something to write."""
    api.fake.add(FakeTorrent(torrent, "a newcomer", (ANNOUNCE,)))


def wait_until_limited(api: ServedApi, *torrents: str) -> None:
    until(lambda: all(0 < api.limits[torrent] < CAP for torrent in torrents), f"limits of {torrents}")


def nothing_is_uncapped(api: ServedApi) -> None:
    assert all(0 < api.limits[torrent] < CAP for torrent in HASHES[:4]), api.limits


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedApi]:
    """One daemon for many outages: that it recovers without a restart is the point."""
    with served(tmp_path_factory.mktemp("shared"), qbittorrent={"timeout": 1}) as api:
        api.wait_until_parked()
        yield api


@pytest.fixture
def api(shared: ServedApi) -> ServedApi:
    """In good health."""
    wait_for_health(shared, "healthy")
    return shared


# -- qBittorrent ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outage:
    """A way in which qBittorrent fails."""

    begin: Callable[[FakeQBittorrent], None]
    end: Callable[[FakeQBittorrent], None]
    words: str
    kind: str


def fault(kind: Fault, words: str, error: str = "Unreachable") -> Outage:
    """Every request fails so."""

    def begin(fake: FakeQBittorrent) -> None:
        fake.released.clear()
        fake.trickle_s = 0.8  # below the timeout for each byte, and above it for all of them
        fake.fail_next("", *[kind] * 1000)

    def end(fake: FakeQBittorrent) -> None:
        with fake.lock:
            fake.faults.clear()
        fake.release()

    return Outage(begin, end, words, error)


OUTAGES = {
    "stopped": Outage(FakeQBittorrent.stop, FakeQBittorrent.start, "no connection to qBittorrent", "Unreachable"),
    "hangs": fault(Fault.HANG, "no answer within 1 s"),
    "drips": fault(Fault.SLOW, "took too long"),
    "fails": fault(Fault.STATUS_500, "500"),
    "talks nonsense": fault(Fault.GARBAGE, "could not be understood"),
    "stops short": fault(Fault.TRUNCATED, "could not be understood"),
    "resets": fault(Fault.RESET, "broke"),
}


@pytest.mark.parametrize("outage", OUTAGES.values(), ids=OUTAGES.keys())
def test_an_outage_of_qbittorrent_is_told_and_passes(api: ServedApi, outage: Outage) -> None:
    before = api.limits
    outage.begin(api.fake)
    wait_for_health(api, "unhealthy", outage.words)
    assert metric(api, 'health{status="unhealthy"}') == 1
    assert metric(api, f'problem{{kind="{outage.kind}"}}') == 1
    assert api.limits == before
    outage.end(api.fake)
    wait_for_health(api, "healthy")
    assert metric(api, 'health{status="healthy"}') == 1
    nothing_is_uncapped(api)


def test_a_long_outage_opens_the_breaker_and_the_webhook_goes_on(api: ServedApi) -> None:
    api.fake.stop()
    wait_for_health(api, "unhealthy", "left alone")
    until(lambda: metric(api, 'breaker_state{state="open"}') == 1, "the breaker in the metrics")
    said = status_command(api)
    assert said.returncode == 1
    assert "left alone" in said.stdout
    assert api.client.hook("add", NEWCOMERS[0]).json()["status"] == "queued"
    add(api, NEWCOMERS[0])
    api.fake.start()
    wait_for_health(api, "healthy")
    wait_until_limited(api, NEWCOMERS[0])
    assert metric(api, 'breaker_state{state="closed"}') == 1
    assert status_command(api).returncode == 0


def test_a_refused_login_is_told_and_tried_again_when_it_may_be_right(api: ServedApi) -> None:
    old, api.fake.password = api.fake.password, "another one"
    api.fake.expire_sessions()
    wait_for_health(api, "unhealthy", "password")
    assert metric(api, 'problem{kind="AuthRejected"}') == 1
    logins = api.fake.count("auth/login")
    api.next_cycle()
    assert api.fake.count("auth/login") == logins  # or it would be banned
    api.fake.password = old
    assert api.client.post("/config/reload").status == 200
    wait_for_health(api, "healthy")


def test_a_ban_is_told_and_over_after_a_reload(api: ServedApi) -> None:
    api.fake.ban()
    api.fake.expire_sessions()
    wait_for_health(api, "unhealthy", "blocks this address")
    assert metric(api, 'problem{kind="Banned"}') == 1
    api.fake.failed_logins = 0
    assert api.client.post("/config/reload").status == 200
    wait_for_health(api, "healthy")


def test_limits_that_a_restart_of_qbittorrent_lost_are_written_again(api: ServedApi) -> None:
    api.fake.stop()
    wait_for_health(api, "unhealthy")
    for torrent, original in zip(HASHES, ORIGINALS, strict=True):
        api.fake.torrents[torrent].up_limit = original
    api.fake.restart()
    wait_for_health(api, "healthy")
    wait_until_limited(api, *HASHES[:4])
    journal = api.client.get("/api/v1/journal?limit=200").json()
    assert not [line for line in journal["lines"] if line["status"] == "adopted"]


# -- cross-seed -------------------------------------------------------------------------------------------------------


def cross_seed_section(cross: FakeCrossSeed, *, key: str | None = None, timeout: float = 5) -> dict[str, Any]:
    return {"enabled": True, "url": cross.url, "api_key": key or cross.key, "timeout": timeout}


def hurry(api: ServedApi, cross: FakeCrossSeed, timeout: float) -> None:
    """Other settings: neither pauses nor back-off are waited for."""
    api.write(cross_seed=cross_seed_section(cross, timeout=timeout))
    assert api.client.post("/config/reload").status == 200


def waiting(api: ServedApi) -> int:
    return int(metric(api, "cross_seed_pending"))


def test_completions_outlive_an_outage_of_cross_seed_and_a_kill(tmp_path: Path) -> None:
    cross = FakeCrossSeed()
    cross.start()
    cross.stop()  # and the address stays known
    with served(tmp_path, cross_seed=cross_seed_section(cross)) as api, ended(cross.stop):
        for torrent in HASHES[:2]:
            assert api.client.hook("complete", torrent).status == 202
        wait_for_health(api, "degraded", "cross-seed: it cannot be reached", "(2 completions wait)")
        assert metric(api, "troubles") == 1
        api.next_cycle()
        said = status_command(api)
        assert said.returncode == 1
        assert "Trouble: cross-seed: it cannot be reached" in said.stdout
        assert "holds the caps" in said.stdout
        api.daemon.kill()
        api.start()
        until(lambda: waiting(api) == 2, "what was kept")
        cross.start()
        hurry(api, cross, timeout=4)
        cross.wait_for_searches(1, 20.0)
        hurry(api, cross, timeout=3)
        cross.wait_for_searches(2, 20.0)
        assert cross.searches == list(HASHES[:2])
        until(lambda: waiting(api) == 0, "both to be delivered")
        wait_for_health(api, "healthy")
        assert metric(api, "cross_seed_forwarded_total") == 2


def test_completions_that_arrive_while_cross_seed_hangs_outlive_a_kill(tmp_path: Path) -> None:
    with FakeCrossSeed() as cross, served(tmp_path, cross_seed=cross_seed_section(cross, timeout=60)) as api:
        cross.fail_next(HANG)
        api.client.hook("complete", HASHES[0])
        cross.wait_for_calls(1)
        for torrent in HASHES[1:3]:
            api.client.hook("complete", torrent)
        store = sqlite3.connect(api.database.with_name(api.database.name + ".store"))
        until(lambda: store.execute("SELECT count(*) FROM outbox").fetchone() == (3,), "all to be kept")
        store.close()
        api.daemon.kill()
        api.start()
        cross.wait_for_searches(1, 20.0)
        assert cross.searches == [HASHES[0]]
        until(lambda: waiting(api) == 2, "the others to wait for their turn")


def test_a_cross_seed_that_refuses_or_hangs_is_told(tmp_path: Path) -> None:
    with FakeCrossSeed() as cross, served(tmp_path, cross_seed=cross_seed_section(cross, key="wrong-key")) as api:
        api.client.hook("complete", HASHES[0])
        wait_for_health(api, "degraded", "it refuses the key (401)", "(1 completions wait)")
        hurry(api, cross, timeout=4)
        wait_for_health(api, "healthy")
        assert cross.searches == [HASHES[0]]

        cross.fail_next(400)
        api.client.hook("complete", HASHES[1])
        hurry(api, cross, timeout=3)
        wait_for_health(api, "degraded", "it refuses a completion (400)")
        assert metric(api, "cross_seed_refused_total") == 1

        cross.fail_next(*[HANG] * 5)  # on a slow machine it is tried before the other settings are in force, too
        calls = len(cross.calls)
        api.client.hook("complete", HASHES[2])
        hurry(api, cross, timeout=2)
        cross.wait_for_calls(calls + 1)
        for torrent in (*HASHES, *NEWCOMERS):
            answer = api.client.hook("add", torrent)
            assert answer.status == 202
        assert answer.json()["processing_time_ms"] < 1000
        wait_for_health(api, "degraded", "no answer within 2 s", "(1 completions wait)")
        nothing_is_uncapped(api)
        cross.fail_no_more()
        hurry(api, cross, timeout=10)
        wait_for_health(api, "healthy")
        assert cross.searches == [HASHES[0], HASHES[2]]


# -- full queues ------------------------------------------------------------------------------------------------------


def flood(port: int, first: int, count: int) -> dict[str, int]:
    """So many completions over one connection, some at a time; how many were answered how."""
    body = "event=complete&hash={:040x}"
    request = (
        f"POST /webhook?apikey={KEY} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body.format(0))}\r\n"
        f"Content-Type: application/x-www-form-urlencoded\r\n\r\n{body}"
    )
    answers = {"queued": 0, "dropped": 0}
    with socket.create_connection(("127.0.0.1", port), 30) as connection, connection.makefile("rb") as incoming:
        for start in range(first, first + count, MOST_AHEAD):
            numbers = range(start, min(start + MOST_AHEAD, first + count))
            connection.sendall("".join(map(request.format, numbers)).encode())
            for _ in numbers:
                head = iter(incoming.readline, b"\r\n")
                fields = list(itertools.takewhile(bool, head))
                length = next(int(line[15:]) for line in fields if line.lower().startswith(b"content-length:"))
                answers[msgspec.json.decode(incoming.read(length))["status"]] += 1
    return answers


def test_full_queues_drop_say_so_and_lose_nothing_that_matters(tmp_path: Path) -> None:
    """The engine hangs in a call, and cross-seed is away, while more torrents complete than both queues hold."""
    cross = FakeCrossSeed()
    cross.start()
    cross.stop()
    with served(tmp_path, qbittorrent={"timeout": 300}, cross_seed=cross_seed_section(cross)) as api:
        api.wait_until_parked()
        api.fake.fail_next("sync/maindata", Fault.LATE)
        until(lambda: not api.fake.faults, "a read that hangs")
        reads = api.fake.count("sync/maindata")
        extra = 300
        answers = flood(api.port, 1 << 20, CAPACITY + extra)
        assert answers == {"queued": CAPACITY, "dropped": extra}
        assert metric(api, "webhook_queued") == CAPACITY
        assert metric(api, "webhook_dropped_total") == extra
        until(lambda: waiting(api) == CAPACITY, "the outbox to be full")
        assert metric(api, "cross_seed_dropped_total") == extra
        wait_for_health(api, "unhealthy", "it waits for qBittorrent's answer", "webhook: more events", "never be told")

        add(api, NEWCOMERS[0])
        api.fake.release()
        api.fake.wait_for_request("sync/maindata", reads + 1)
        wait_for_health(api, "degraded", "webhook: more events", "everything was looked at", "completions wait")
        assert [r.query.get("rid") for r in api.fake.requests if r.path == "sync/maindata"][reads] == "0"
        wait_until_limited(api, NEWCOMERS[0])
        assert metric(api, "webhook_queued") == 0
        nothing_is_uncapped(api)


# -- the disk ---------------------------------------------------------------------------------------------------------


class Quota:
    """No process may make a file longer: works for everybody, everywhere."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self, daemon: DaemonProcess) -> None:
        _, hard = resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (1, hard))

    def free(self, daemon: DaemonProcess) -> None:
        _, hard = resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (hard, hard))


class SmallDisk:
    """A file system of 2 MB."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self, daemon: DaemonProcess) -> None:
        with contextlib.suppress(OSError), (self.folder / "data" / "ballast").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        for name in ("qguardarr.log", "journal.db.originals"):  # their last blocks have room
            path = self.folder / "data" / name
            with path.open("ab") as file:
                file.write(b"\n" * (-path.stat().st_size % 4096))

    def free(self, daemon: DaemonProcess) -> None:
        (self.folder / "data" / "ballast").unlink()


@pytest.fixture(params=["quota", "small disk"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Quota | SmallDisk]:
    """A place whose disk can be filled."""
    if request.param == "quota":
        yield Quota(tmp_path)
        return
    data = tmp_path / "data"
    data.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(data)], check=False)
    if mounted.returncode != 0:
        pytest.skip("file systems cannot be mounted here; the quota stands for it")
    try:
        yield SmallDisk(tmp_path)
    finally:
        subprocess.run(["umount", "--lazy", str(data)], check=True)


def test_a_full_disk_stops_writing_and_all_goes_on_when_there_is_space(disk: Quota | SmallDisk) -> None:
    folder = disk.folder
    cross = FakeCrossSeed()
    cross.start()
    cross.stop()
    sections: dict[str, Any] = {
        "logging": {"file": str(folder / "data" / "qguardarr.log")},
        "cross_seed": cross_seed_section(cross),
    }
    with served(folder, **sections) as api:
        api.wait_until_parked()
        wait_for_health(api, "healthy")
        disk.fill(api.daemon)
        add(api, NEWCOMERS[0])
        wait_for_health(api, "unhealthy", "journal", "disk")
        writes = api.fake.count("setUploadLimit")
        assert (
            api.client.ask("PUT", "/api/v1/trackers/example/override", {"cap": "2 MB/s", "seconds": 60}).status >= 500
        )
        api.client.hook("complete", HASHES[0])
        wait_for_health(api, "unhealthy", "in memory only", "status.json", "qguardarr.log")
        assert api.client.post("/config/reload").status == 200
        assert api.fake.count("setUploadLimit") == writes
        assert api.limits[NEWCOMERS[0]] == 0
        nothing_is_uncapped(api)
        old = api.daemon.status
        assert old is not None  # a file that is whole, not the half that found room
        disk.free(api.daemon)
        wait_until_limited(api, NEWCOMERS[0])
        until(lambda: "in memory only" not in health(api).words, "the outbox to be kept")
        api.write(**{"global": {"update_interval": 1, "port": api.port}})
        wait_for_health(api, "degraded", "(1 completions wait)")
        until(lambda: "qguardarr.log" not in health(api).words, "lines in the log again")
        assert "status.json" not in health(api).words
        status = api.daemon.status
        assert status is not None
        assert status.at > old.at
        assert "recovered" in (folder / "data" / "qguardarr.log").read_text()


def dropping_root_s_privileges() -> list[str]:
    """Root may write anywhere; without that capability it is a user as any other."""
    return ["setpriv", "--inh-caps=-all", "--bounding-set=-dac_override"] if os.geteuid() == 0 else []


def test_a_folder_that_cannot_be_written_is_told_and_caps_are_held(tmp_path: Path) -> None:
    with fake_with_torrents() as fake:
        api = ServedApi(tmp_path, fake)
        command = [
            "prlimit",
            "--nofile=256:",
            *dropping_root_s_privileges(),
            sys.executable,
            "-m",
            "qguardarr",
            "serve",
            "--config",
        ]
        api.daemon = DaemonProcess(api.config, api.database, command=command)
        with ended(api.daemon.kill):
            api.daemon.wait_for_state("holding")
            wait_for_health(api, "healthy")
            _, hard = limits = resource.prlimit(api.daemon.process.pid, resource.RLIMIT_NOFILE)
            assert limits == (min(OPEN_FILES, hard), hard)
            api.database.parent.chmod(0o500)
            wait_for_health(api, "degraded", "`qguardarr status` sees old figures", "Permission denied")
            add(api, NEWCOMERS[0])
            wait_until_limited(api, NEWCOMERS[0])
            api.database.parent.chmod(0o700)
            wait_for_health(api, "healthy")
            until(lambda: status_command(api).returncode == 0, "the status to be right again")


def test_a_locked_journal_stops_writing_until_it_is_free(api: ServedApi) -> None:
    other = sqlite3.connect(api.database, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    add(api, NEWCOMERS[1])
    wait_for_health(api, "unhealthy", "another program keeps it locked")
    assert api.limits[NEWCOMERS[1]] == 0
    nothing_is_uncapped(api)
    said = status_command(api)
    assert said.returncode == 1
    assert "another program keeps it locked" in said.stdout
    other.execute("ROLLBACK")
    other.close()
    wait_until_limited(api, NEWCOMERS[1])
    wait_for_health(api, "healthy")


def test_a_deleted_journal_is_there_again_with_all_originals(api: ServedApi) -> None:
    for file in api.database.parent.glob(api.database.name + "*"):
        if not file.name.endswith((".daemon", ".lock", ".json")):
            file.unlink()
    until(api.database.exists, "the journal to be written again")
    add(api, NEWCOMERS[2])
    wait_until_limited(api, NEWCOMERS[2])
    wait_for_health(api, "healthy")
    lines = api.client.get("/api/v1/journal?limit=200").json()["lines"]
    assert {HASHES[0], NEWCOMERS[2]} <= {line["hash"] for line in lines}
    torrent = api.client.get(f"/api/v1/torrents/{HASHES[0]}").json()
    assert torrent["original"] == ORIGINALS[0]


# -- the API ----------------------------------------------------------------------------------------------------------


def test_caps_are_held_while_another_program_has_the_port(tmp_path: Path) -> None:
    with fake_with_torrents() as fake, contextlib.ExitStack() as stack:
        api = ServedApi(tmp_path, fake, **{"global": {"update_interval": 3600}})
        other = socket.create_server(("127.0.0.1", api.port))
        stack.callback(other.close)
        api.daemon = DaemonProcess(api.config, api.database)
        stack.callback(api.daemon.kill)
        api.wait_until_parked()
        said = status_command(api)
        assert said.returncode == 1
        assert "holds the caps" in said.stdout
        assert "Trouble: global.host, global.port: the HTTP API cannot listen at 127.0.0.1" in said.stdout
        assert "attempting" not in said.stdout  # the address is told once
        other.close()
        wait_for_health(api, "healthy")


def resident_mib(api: ServedApi) -> float:
    text = Path(f"/proc/{api.daemon.process.pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+)", text)
    assert found is not None
    return int(found[1]) / 1024


def test_idle_slow_and_many_connections_keep_nobody_out(api: ServedApi) -> None:
    def connect() -> socket.socket:
        return stack.enter_context(socket.create_connection(("127.0.0.1", api.port), 30))

    before = resident_mib(api)
    with contextlib.ExitStack() as stack:
        listeners = [connect() for _ in range(21)]
        for listener in listeners:
            listener.sendall(f"GET /api/v1/events HTTP/1.1\r\nHost: x\r\nX-Api-Key: {KEY}\r\n\r\n".encode())
        answers = [listener.recv(12) for listener in listeners]
        assert sorted(answers) == [b"HTTP/1.1 200"] * 20 + [b"HTTP/1.1 503"]
        for number in range(600):
            connection = connect()
            with contextlib.suppress(ConnectionError):
                if number % 3 == 0:
                    connection.sendall(b"GET /health HTTP/1.1\r\nX-Slow: ")
                elif number % 3 == 1:
                    head = f"POST /webhook HTTP/1.1\r\nHost: x\r\nX-Api-Key: {KEY}\r\nContent-Length: 60000\r\n\r\n"
                    connection.sendall(head.encode() + b"event=add&")
        for torrent in HASHES:
            assert api.client.hook("add", torrent).status == 202
        assert wait_for_health(api, "healthy")
        api.next_cycle()
        nothing_is_uncapped(api)
        assert resident_mib(api) - before < 30
    until(lambda: api.client.raw(b"GET /api/v1/events HTTP/1.1\r\nHost: x\r\n\r\n", 0.5)[9:12] == b"401", "no key")
    wait_for_health(api, "healthy")


# -- notifications ----------------------------------------------------------------------------------------------------


def test_a_service_for_notifications_that_is_away_is_told_without_its_secret(tmp_path: Path) -> None:
    secret = "a-token-of-the-service"
    with WebhookTarget() as target:
        port = target.port
    urls = [f"json://127.0.0.1:{port}/{secret}"]
    with served(tmp_path, notifications={"urls": urls, "after": 0}) as api:
        api.fake.stop()
        wait_for_health(api, "unhealthy", "no connection", "notifications.urls[0]")
        cycle = api.cycle
        api.fake.start()
        said = wait_for_health(api, "degraded", "notifications.urls[0]")
        assert secret not in said.words
        assert secret not in api.daemon.log
        assert api.cycle > cycle
        assert secret not in status_command(api).stdout
        with WebhookTarget() as target:
            api.write(notifications={"urls": [f"json://127.0.0.1:{target.port}/{secret}"], "after": 0})
            assert "qBittorrent" in target.wait().body
            wait_for_health(api, "healthy")


# -- defects ----------------------------------------------------------------------------------------------------------

BROKEN_FEATURES = """
    import sys
    from pathlib import Path
    from qguardarr.api import events
    from qguardarr.app import daemon
    from qguardarr.features import alerts, dry_run, history

    mended = Path(sys.argv[1]).with_name("mended")

    def breaking(owner, name):
        whole = getattr(owner, name)

        def broken(self, *arguments):
            if not mended.exists():
                raise ZeroDivisionError("a secret of the person")
            return whole(self, *arguments)

        setattr(owner, name, broken)

    breaking(events.Events, "tick")
    breaking(daemon.Metrics, "on_cycle")
    breaking(daemon.Commands, "refresh_caps")
    breaking(alerts.AlertRules, "due")
    breaking(history.RateRecorder, "feed")
    breaking(dry_run.DryRunFile, "on_cycle")
    sys.exit(daemon.serve(Path(sys.argv[1])))
"""


def test_a_defect_beside_the_engine_ends_nothing(tmp_path: Path) -> None:
    parts = ("event stream", "metrics", "temporary caps", "notifications", "history of rates", "file of the dry run")
    with fake_with_torrents() as fake:
        api = ServedApi(tmp_path, fake)
        command = [sys.executable, "-c", textwrap.dedent(BROKEN_FEATURES)]
        api.daemon = DaemonProcess(api.config, api.database, command=command)
        with ended(api.daemon.kill):
            api.daemon.wait_for_state("holding")
            wait_for_health(api, "degraded", *(f"{part}: internal error (ZeroDivisionError)" for part in parts))
            api.wait_until_parked()
            api.next_cycle()
            assert api.daemon.log.count("ZeroDivisionError: a secret") == len(parts)  # each once
            (tmp_path / "mended").touch()
            wait_for_health(api, "healthy")
