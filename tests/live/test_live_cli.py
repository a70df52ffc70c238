"""The commands and the daemon on a real qBittorrent, from first look to undoing everything."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.peers import Swarm
from lab.processes import free_port
from lab.qbittorrent import QBittorrent
from lab.torrents import LabTorrent, make_torrent
from lab.tracker import Trackers
from tests.support.daemon_process import daemon, until
from tests.support.terminal import terminal

pytestmark = pytest.mark.shared

CAP = 400_000
NOBODY = {"QBIT_PASSWORD": ""}
"""What a person's environment says, who has set no password in it."""


class Place:
    def __init__(self, folder: Path, qbittorrent: QBittorrent, torrents: list[LabTorrent], swarm: Swarm) -> None:
        self.qbittorrent, self.torrents, self.swarm = qbittorrent, torrents, swarm
        self.config, self.database = folder / "qguardarr.yaml", folder / "journal.db"
        self.port = f"port: {free_port()}"
        self.config.write_text(
            f"""
global: {{{self.port}}}
qbittorrent: {{url: "{qbittorrent.url}", username: {qbittorrent.username}, password: "${{QBIT_PASSWORD}}"}}
trackers:
  - {{id: t1, pattern: '.*', max_upload_speed: {CAP}}}
rollback: {{database_path: {self.database}}}
"""
        )

    def run(self, *arguments: str) -> tuple[int, str]:
        """Exit code and what was printed."""
        done = subprocess.run(
            [sys.executable, "-m", "qguardarr", *arguments, "--config", str(self.config)],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert "Traceback" not in done.stderr
        return done.returncode, done.stdout

    def json(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments, "--json")[1])


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """4.5.2 with two greedy torrents, one of them limited by hand."""
    with Trackers(["t1"]) as trackers, QBittorrent("4.5.2", tmp_path / "lab") as qbittorrent:
        monkeypatch.setenv("QBIT_PASSWORD", qbittorrent.password)
        torrents = [make_torrent(f"t{n}", [trackers["t1"].announce_url]) for n in range(2)]
        qbittorrent.add(torrents)
        qbittorrent.wait_until_seeding(len(torrents))
        qbittorrent.web.set_upload_limit(3_000_000, [torrents[0].info_hash])
        qbittorrent.web.set_upload_limit(2_000_000, [torrents[1].info_hash])
        with Swarm((qbittorrent.host, qbittorrent.peer_port)) as swarm:
            swarm.join({torrent.info_hash: torrent.size for torrent in torrents})
            swarm.wait_until_connected()
            swarm.set_demand({torrent.info_hash: None for torrent in torrents})
            yield Place(tmp_path, qbittorrent, torrents, swarm)


def test_a_newcomer_answers_questions_and_serves_what_was_written(place: Place, tmp_path: Path) -> None:
    config = tmp_path / "new" / "qguardarr.yaml"
    command = [sys.executable, "-m", "qguardarr"]
    with terminal([*command, "init", "--config", str(config)], cwd=tmp_path, environment=NOBODY) as opened:
        for question, text in (
            ("Address of qBittorrent's Web UI [http://localhost:8080]: ", place.qbittorrent.url),
            ("User name [admin]: ", ""),
            ("Password: ", "wrong"),
            ("User name [admin]: ", place.qbittorrent.username),
            ("Password: ", place.qbittorrent.password),
        ):
            opened.expect(question)
            opened.type(text + "\n")
        opened.expect("MB/s")  # what the peers take now
        opened.expect("Cap for 127.0.0.")
        opened.type(f"{CAP // 1000} kB/s\n")
        assert opened.wait() == 0
        assert place.qbittorrent.password not in opened.output
    config.write_text(config.read_text().replace("dry_run: true", "dry_run: false").replace("# port: 8089", place.port))
    with daemon(config, config.parent / "data/qguardarr.db", NOBODY) as running:
        status = running.wait_for_state("holding")
        assert [row.cap for row in status.trackers] == [CAP, None]
        until(lambda: sum(place.qbittorrent.web.upload_limits().values()) < 2 * CAP, "the cap to be held")


def test_from_the_first_look_to_undoing_everything(place: Place) -> None:
    originals = place.qbittorrent.web.upload_limits()
    assert set(originals.values()) == {3_000_000, 2_000_000}
    assert place.run("check", "--connect")[0] == 0
    (host,) = place.json("trackers")
    assert (host["torrents"], host["rules"]) == (2, ["t1"])
    assert host["rate"] > CAP
    assert len(place.json("preview")["changes"]) == 2
    assert place.qbittorrent.web.upload_limits() == originals
    assert place.run("status")[0] == 1

    with daemon(place.config, place.database, {**os.environ}) as running:
        running.wait_for_state("holding")
        until(lambda: 0 < sum(place.qbittorrent.web.upload_limits().values()) <= 1.5 * CAP, "limits that hold the cap")
        assert place.run("status")[0] == 0
        assert place.json("status")["daemon"]["qbittorrent_version"] == "v4.5.2"

        code, said = place.run("rollback", "--yes")
        assert code == 0, said
        assert place.qbittorrent.web.upload_limits() == originals
        running.wait_for_state("paused")

        assert place.run("resume")[0] == 0
        running.wait_for_state("holding")
        until(lambda: place.qbittorrent.web.upload_limits() != originals, "limits again")
        assert running.end() == 0
        assert place.qbittorrent.password not in running.log

    rows = place.json("history")
    assert {row["hash"] for row in rows} == set(originals)
    assert {"applied", "restored"} <= {row["status"] for row in rows}
    assert place.run("rollback", "--yes")[0] == 0
    assert place.qbittorrent.web.upload_limits() == originals
