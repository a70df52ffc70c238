"""Every endpoint of the API on a real qBittorrent with real peers."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3

from lab.peers import Swarm
from lab.processes import free_port
from lab.qbittorrent import QBittorrent
from lab.torrents import LabTorrent, make_torrent
from lab.tracker import Trackers
from lab.versions import VERSIONS
from qguardarr.api.app import ENDPOINTS
from tests.daemon_process import daemon, until

pytestmark = pytest.mark.live

CAP = 400_000
KEY = "a-key-of-the-live-test"


class Place:
    def __init__(self, folder: Path, qbittorrent: QBittorrent, torrents: list[LabTorrent], late: LabTorrent) -> None:
        self.qbittorrent, self.torrents, self.late, self.port = qbittorrent, torrents, late, free_port()
        self.config, self.database = folder / "qguardarr.yaml", folder / "journal.db"
        self.config.write_text(
            f"""
global: {{port: {self.port}, update_interval: 30}}
auth: {{api_key: {KEY}}}
qbittorrent: {{url: "{qbittorrent.url}", username: {qbittorrent.username}, password: {qbittorrent.password}}}
trackers:
  - {{id: t1, pattern: '.*', max_upload_speed: {CAP}}}
rollback: {{database_path: {self.database}}}
"""
        )

    def ask(self, method: str, path: str, body: Any = None, expected: int = 200) -> Any:
        """The JSON of an answer, or its text."""
        headers = {"X-Api-Key": KEY, "Content-Type": "application/json"}
        sent = None if body is None else json.dumps(body)
        answer = urllib3.request(
            method, f"http://127.0.0.1:{self.port}{path}", body=sent, headers=headers, retries=False, timeout=60.0
        )
        assert answer.status == expected, (method, path, answer.status, answer.data[:300])
        is_json = "json" in answer.headers.get("Content-Type", "")
        return json.loads(answer.data) if is_json else answer.data.decode()

    def limits(self) -> dict[str, int]:
        return self.qbittorrent.web.upload_limits()


@pytest.fixture(params=VERSIONS)
def place(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    with Trackers(["t1"]) as trackers, QBittorrent(request.param, tmp_path / "lab") as qbittorrent:
        url = [trackers["t1"].announce_url]
        torrents = [make_torrent(f"t{n}", url) for n in range(3)]
        qbittorrent.add(torrents)
        qbittorrent.wait_until_seeding(len(torrents))
        with Swarm((qbittorrent.host, qbittorrent.peer_port)) as swarm:
            swarm.join({torrent.info_hash: torrent.size for torrent in torrents[:2]})
            swarm.wait_until_connected()
            swarm.set_demand({torrent.info_hash: 600_000.0 for torrent in torrents[:2]})
            yield Place(tmp_path, qbittorrent, torrents, make_torrent("late", url))


def test_every_endpoint(place: Place) -> None:
    originals = place.limits()
    hash_ = place.torrents[0].info_hash
    with daemon(place.config, place.database) as running:
        running.wait_for_state("holding")
        tried: set[tuple[str, str]] = set()

        def ask(method: str, path: str, body: Any = None, expected: int = 200, *, rule: str = "") -> Any:
            tried.add((method, rule or path.partition("?")[0]))
            return place.ask(method, path, body, expected)

        for _ in range(8):
            assert ask("POST", "/cycle/force")["status"] == "completed"
        until(lambda: all(place.limits()[t.info_hash] for t in place.torrents), "all to be limited")

        place.qbittorrent.add([place.late])
        form = urllib.parse.urlencode({"event": "add", "hash": place.late.info_hash})
        assert ask("POST", f"/webhook?{form}", expected=202)["status"] == "queued"
        until(lambda: place.limits()[place.late.info_hash] > 0, "the new torrent to be limited, long before its turn")

        for path in ("/", "/health", "/health/live", "/health/ready", "/config", "/stats", "/stats/managed", "/metrics",
                     "/preview/next-cycle", "/api/v1/status", "/api/v1/overrides", "/api/v1/history", "/api/v1/session",
                     "/openapi.json", "/docs"):  # fmt: skip
            assert ask("GET", path) is not None
        assert ask("GET", "/stats/trackers")["t1"]["configured_limit"] == CAP
        assert (
            ask("GET", "/match/test?url=" + urllib.parse.quote("http://x.example/announce"))["matched_tracker"] == "t1"
        )
        rows = {row["hash"]: row for row in ask("GET", "/api/v1/torrents")["torrents"]}
        assert {h: row["limit"] for h, row in rows.items()} == place.limits()
        assert ask("GET", f"/api/v1/torrents/{hash_}", rule="/api/v1/torrents/{hash}")["name"] == place.torrents[0].name
        assert ask("GET", "/api/v1/trackers")[0]["torrents"] == 4
        assert ask("GET", "/api/v1/trackers/t1", rule="/api/v1/trackers/{tracker}")["cap"] == CAP
        assert ask("GET", "/api/v1/journal")["lines"]
        override = "/api/v1/trackers/{tracker}/override"
        assert (
            ask("PUT", "/api/v1/trackers/t1/override", {"cap": "50 kB/s", "seconds": 60}, rule=override)["cap"]
            == 50_000
        )
        until(lambda: ask("GET", "/api/v1/trackers/t1", rule="/api/v1/trackers/{tracker}")["cap"] == 50_000, "the cap")
        ask("DELETE", "/api/v1/trackers/t1/override", expected=204, rule=override)
        assert ask("POST", "/config/reload")["status"] == "reloaded"
        assert ask("POST", "/rollout", {"percentage": 100})["rollout_percentage"] == 100
        assert ask("POST", "/smoothing/reset", {"all": True})["status"] == "ok"
        reset = "/api/v1/torrents/{hash}/reset"
        assert ask("POST", f"/api/v1/torrents/{hash_}/reset", rule=reset)["restored"] == [hash_]
        assert ask("POST", "/limits/reset", {"confirm": True})["status"] == "ok"
        assert ask("POST", "/api/v1/pause", {})["paused"]
        assert ask("POST", "/rollback", {"confirm": True})["status"] == "completed"
        assert place.limits() == originals | {place.late.info_hash: 0}
        assert ask("POST", "/api/v1/resume")["paused"] is None
        ask("POST", "/api/v1/session", {"username": "a", "password": "b"}, expected=403)
        ask("DELETE", "/api/v1/session", expected=204)
        with urllib3.PoolManager() as pool:
            stream = pool.request(
                "GET", f"http://127.0.0.1:{place.port}/api/v1/events", headers={"X-Api-Key": KEY}, preload_content=False
            )
            assert b"retry" in stream.read1(64)
            stream.close()
        tried.add(("GET", "/api/v1/events"))
        assert {(e.method, e.path.replace(":path", "")) for e in ENDPOINTS} <= tried
        assert running.end() == 0
        assert KEY not in running.log
