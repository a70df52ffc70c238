"""Strangers choose the announce URLs of torrents. None of them may stall the daemon, or make it grow.

Times are bounded by the watchdogs of `tests.support.daemon_process` alone: where a search runs away, nothing here ever
happens.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.processes import free_port
from tests.support.daemon_process import DaemonProcess, daemon, until
from tests.support.fake_qbittorrent import FakeQBittorrent, FakeTorrent

NEAR_MISSES = [
    "http://" + "a." * 70 + "!",
    "http://" + "a." * 70 + "example.orgs/",
    "http://" + "a" * 150 + "/",
    "http://" + "." * 150 + "/",
    "http://a." + "%61." * 40 + "%21",
    "http://" + "ä." * 70 + "!",
]
RULES = [r"//([\w.-]+\.)*example\.org\b", r"//([^/]+\.)*example\.org", r"(?:(\w+\.?)+)+!x"]
BEYOND_RE2 = r"(?<!x)//([\w.%-]+\.?)*example\.net(?!\.)"
MIB = 2**20


@pytest.fixture
def fake() -> Iterator[FakeQBittorrent]:
    with FakeQBittorrent() as qbittorrent:
        yield qbittorrent


@pytest.fixture
def config(tmp_path: Path, fake: FakeQBittorrent) -> Path:
    rules = "".join(
        f"  - {{id: r{n}, pattern: '{pattern}', max_upload_speed: {n + 1} MB/s}}\n" for n, pattern in enumerate(RULES)
    )
    path = tmp_path / "qguardarr.yaml"
    path.write_text(
        f"""
global: {{port: {free_port()}, update_interval: 0.5}}
qbittorrent: {{url: "{fake.url}", username: admin, password: "{fake.password}"}}
auth: none
trackers:
{rules}
  - {{id: beyond, pattern: '{BEYOND_RE2}', max_upload_speed: 9 MB/s}}
  - {{id: default, pattern: '.*', max_upload_speed: unlimited}}
rollback: {{database_path: {tmp_path / "data" / "journal.db"}}}
"""
    )
    return path


def running(config: Path) -> DaemonProcess:
    return DaemonProcess(config, config.parent / "data" / "journal.db")


def torrent(number: int, *urls: str) -> FakeTorrent:
    return FakeTorrent(f"{number:040x}", f"torrent {number}", urls)


def health(config: Path) -> int:
    port = config.read_text().partition("port: ")[2].partition(",")[0]
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def resident_mib(process: DaemonProcess) -> float:
    fields = Path(f"/proc/{process.process.pid}/statm").read_text().split()
    return int(fields[1]) * 4096 / MIB


def counts(process: DaemonProcess) -> dict[str, int]:
    status = process.status
    assert status is not None
    return {tracker.id: tracker.torrents for tracker in status.trackers}


def test_cycles_health_and_signals_go_on_beside_hostile_urls(config: Path, fake: FakeQBittorrent) -> None:
    fake.add(*(torrent(n, url) for n, url in enumerate(NEAR_MISSES, 1)))
    fake.add(torrent(100, "http://tracker.example.org/announce"), torrent(101, "http://a.b.example.net:80/announce"))
    with daemon(config, config.parent / "data" / "journal.db") as process:
        first = process.wait_for_state("holding")
        until(lambda: (s := process.status) is not None and s.cycle > first.cycle, "another cycle")
        found = counts(process)
        assert found["r0"] >= 1
        assert found["beyond"] == 1  # whatever the others did to its pattern
        assert sum(found.values()) == len(NEAR_MISSES) + 2
        assert health(config) == 200
        fake.add(*(torrent(200 + n, url + "/again") for n, url in enumerate(NEAR_MISSES)))
        until(lambda: sum(counts(process).values()) == 2 * len(NEAR_MISSES) + 2, "those that came later")
        process.reload()
        process.wait_for_log("reloaded")
        assert health(config) == 200
        assert process.end() == 0


def test_a_slow_pattern_is_reported_without_the_url(config: Path, fake: FakeQBittorrent) -> None:
    hostile = "http://secretpasskey//" + "a." * 70 + "example.net."
    fake.add(torrent(1, hostile), torrent(2, "http://a.example.net/announce"))
    with daemon(config, config.parent / "data" / "journal.db") as process:
        status = process.wait_for_state("holding")
        assert any("'beyond' took too long" in trouble for trouble in status.troubles), (status.troubles, process.log)
        assert counts(process)["beyond"] == 1
        assert "secretpasskey" not in process.log
        assert "secretpasskey" not in str(status)
        assert process.end() == 0


def test_neither_long_links_nor_many_trackers_make_it_grow(config: Path, fake: FakeQBittorrent) -> None:
    fake.add(torrent(1, "http://tracker.example.org/announce"))
    rng = random.Random(1)
    with daemon(config, config.parent / "data" / "journal.db") as process:
        process.wait_for_state("holding")
        before = resident_mib(process)
        fake.add(torrent(2, *(f"http://{n}{'a.' * 70}!" for n in range(10_000))))
        fake.add(*(torrent(3 + n, f"http://{n}.example.org/{rng.randbytes(500_000).hex()}") for n in range(4)))
        until(lambda: sum(counts(process).values()) == 6, "all of them")
        assert counts(process)["default"] == 5  # long URLs count for nothing
        status = process.status
        assert status is not None
        until(lambda: (s := process.status) is not None and s.cycle > status.cycle + 3, "more cycles")
        assert health(config) == 200
        grown = resident_mib(process) - before
        assert grown < 30  # an answer of some 6 MB was read
        assert process.end() == 0


@pytest.mark.parametrize("command", ["check --connect", "trackers", "preview"])
def test_commands_match_as_the_daemon_does(command: str, config: Path, fake: FakeQBittorrent) -> None:
    fake.add(torrent(1, "http://tracker.example.org/announce"), torrent(2, "http://a.example.net/announce"))
    fake.add(torrent(3, NEAR_MISSES[0]), torrent(4, "http://secretpasskey//" + "a." * 70 + "example.net."))
    done = subprocess.run(
        [sys.executable, "-m", "qguardarr", *command.split(), "--json", "--config", str(config)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    if command == "trackers":
        rules = {host["host"]: host["rules"] for host in found}
        assert (rules["tracker.example.org"], rules["a.example.net"]) == (["r0"], ["beyond"])
    elif command == "preview":
        counted = {tracker["id"]: tracker["torrents"] for tracker in found["trackers"]}
        assert counted == {"r0": 1, "r1": 0, "r2": 0, "beyond": 1, "default": 2}
    else:
        assert found["qbittorrent"]["torrents_by_rule"] == {"r0": 1, "r1": 0, "r2": 0, "beyond": 1, "default": 2}
        assert any("'beyond' is matched by a slower search" in note for note in found["notes"])
