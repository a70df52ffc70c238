"""Every endpoint of the API on a real qBittorrent with real peers, and whether what it says is what happens."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import urllib3

from lab.peers import Swarm
from lab.processes import free_port
from lab.qbittorrent import QBittorrent
from lab.torrents import LabTorrent, make_torrent
from lab.tracker import Trackers
from lab.versions import VERSIONS
from tests.support.api_client import ApiClient, ServedApi
from tests.support.api_operations import OPERATIONS
from tests.support.daemon_process import daemon, until

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


@pytest.mark.shared
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
                     "/api/v1/history/recent", "/api/v1/history/totals?start=0", "/api/v1/usage",
                     "/api/v1/usage.csv", "/openapi.json", "/docs"):  # fmt: skip
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
        widget = ask("GET", "/api/v1/widget")
        assert (widget["state"], widget["torrents"], widget["cap"]) == ("holding", 4, CAP)
        settings = {row["setting"]: row for row in ask("GET", "/api/v1/config")["settings"]}
        assert settings["trackers[0].pattern"]["source"] == "file"
        override = "/api/v1/trackers/{tracker}/override"
        assert (
            ask("PUT", "/api/v1/trackers/t1/override", {"cap": "50 kB/s", "seconds": 60}, rule=override)["cap"]
            == 50_000
        )
        until(lambda: ask("GET", "/api/v1/trackers/t1", rule="/api/v1/trackers/{tracker}")["cap"] == 50_000, "the cap")
        ask("DELETE", "/api/v1/trackers/t1/override", expected=204, rule=override)
        for kind in ("hush", "boost"):
            assert ask("PUT", f"/api/v1/orders/{kind}", {"seconds": 60, "groups": ["t1"]})[0]["kind"] == kind
            ask("DELETE", f"/api/v1/orders/{kind}", expected=204)
        assert ask("GET", "/api/v1/orders") == []
        assert ask("PUT", "/api/v1/line/override", {"cap": CAP, "seconds": 60})["tracker"] == ""
        until(lambda: ask("GET", "/api/v1/parents")[-1]["cap"] == CAP, "the speed of the line")
        ask("DELETE", "/api/v1/line/override", expected=204)
        _edit(ask, lambda: ask("GET", "/api/v1/trackers/t1", rule="/api/v1/trackers/{tracker}")["cap"])
        _ask_qbittorrent(ask, hash_)
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

        place.qbittorrent.web.delete([place.late.info_hash])
        gone = urllib.parse.urlencode({"event": "delete", "hash": place.late.info_hash})
        assert ask("POST", f"/webhook?{gone}", expected=202)["status"] == "queued"
        until(lambda: ask("GET", "/api/v1/torrents")["total"] == len(place.torrents), "the deleted one to be forgotten")

        ask("POST", "/api/v1/session", {"username": "a", "password": "b"}, expected=403)
        ask("DELETE", "/api/v1/session", expected=204)
        with urllib3.PoolManager() as pool:
            stream = pool.request(
                "GET", f"http://127.0.0.1:{place.port}/api/v1/events", headers={"X-Api-Key": KEY}, preload_content=False
            )
            assert b"retry" in stream.read1(64)
            stream.close()
        tried.add(("GET", "/api/v1/events"))
        assert not ask("GET", "/api/v1/setup")["user"]
        ask("POST", "/api/v1/setup/user", {"username": "me", "password": "a long password"}, expected=201)
        assert {(e.method, e.path) for e in OPERATIONS} <= tried
        assert running.end() == 0
        assert KEY not in running.log


def _edit(ask: Callable[..., Any], cap: Callable[[], int]) -> None:
    """A cap in the file is changed, and put back."""
    assert ask("GET", "/api/v1/config/schema")
    edits = [{"op": "set", "path": ["trackers", "t1", "max_upload_speed"], "value": "60 kB/s"}]
    order = {"etag": ask("GET", "/api/v1/config/file")["etag"], "edits": edits}
    effect = ask("POST", "/api/v1/config/try", {**order, "effect": True})["effect"]
    assert [row["new_cap"] for row in effect["trackers"] if row["id"] == "t1"] == [60_000]
    saved = ask("POST", "/api/v1/config/save", order)
    assert saved["in_effect"]
    until(lambda: cap() == 60_000, "the new cap")
    assert ask("POST", "/api/v1/config/undo", {"etag": saved["etag"]})["in_effect"]
    until(lambda: cap() == CAP, "the cap of before")


def _ask_qbittorrent(ask: Callable[..., Any], hash_: str) -> None:
    """Questions that qBittorrent itself answers, and a message that nobody can get."""
    assert ask("POST", "/api/v1/connection/test", {})["ok"]
    ask("POST", "/api/v1/notifications/test", {}, expected=422)
    assert sum(row["torrents"] for row in ask("GET", "/api/v1/hosts")["hosts"]) == 4
    assert ask("GET", "/api/v1/labels") == {"categories": [], "tags": [], "left_out": 0}
    found = ask("GET", f"/api/v1/torrents/{hash_}/hosts", rule="/api/v1/torrents/{hash}/hosts")["hosts"]
    assert [row["rule"] for row in found] == ["t1"]
    matched = ask("POST", "/api/v1/match", {"urls": ["http://nowhere.example/announce"]})
    assert (matched["tracker"], matched["rules"][-1]["matches"]) == (matched["rules"][-1]["tracker"], True)
    recent = ask("GET", f"/api/v1/torrents/{hash_}/recent", rule="/api/v1/torrents/{hash}/recent")
    assert recent["torrent"]["hash"] == hash_
    told = ask("POST", "/api/v1/journal/restore", {"dry_run": True, "hashes": [hash_]})
    assert told["torrents"], told


class Seeding:
    """Two trackers, two greedy torrents each; the daemon in front of it all."""

    WINDOW_S = 10.0

    def __init__(self, api: ServedApi, qbittorrent: QBittorrent, swarm: Swarm, torrents: dict[str, list[LabTorrent]]):
        self.api, self.qbittorrent, self.swarm, self.torrents = api, qbittorrent, swarm, torrents

    def counted(self) -> dict[str, int]:
        """Bytes that the peers have got, by tracker."""
        counts = self.swarm.counts()
        return {name: sum(counts[t.info_hash] for t in torrents) for name, torrents in self.torrents.items()}

    def measure(self) -> tuple[dict[str, float], dict[str, Any]]:
        """What the peers got in a stretch of ten seconds, bytes/s, and what the API says of it, both by tracker."""
        began, before = time.monotonic(), self.counted()
        time.sleep(self.WINDOW_S)
        rates = {name: (now - before[name]) / (time.monotonic() - began) for name, now in self.counted().items()}
        assert self.api.client.post("/cycle/force").status == 200
        return rates, self.api.client.get("/stats/trackers").json()

    def rate_soon(self, tracker: str, low: float, high: float) -> None:
        """Measure until the tracker's peers get that much."""
        seen = []
        for _ in range(4):
            seen.append(self.measure()[0][tracker])
            if low <= seen[-1] <= high:
                return
        raise AssertionError(f"{tracker}: {seen}, wanted {low:.0f} to {high:.0f}")


@pytest.fixture
def seeding(tmp_path: Path) -> Iterator[Seeding]:
    caps = {"t1": CAP, "t2": CAP // 2}
    with Trackers([*caps]) as trackers, QBittorrent("5.1.0", tmp_path / "lab") as qbittorrent:
        torrents = {
            name: [make_torrent(f"{name}-{n}", [trackers[name].announce_url]) for n in range(2)] for name in caps
        }
        everything = [torrent for some in torrents.values() for torrent in some]
        qbittorrent.add(everything)
        qbittorrent.wait_until_seeding(len(everything))
        rules = [{"id": name, "pattern": trackers[name].pattern, "max_upload_speed": cap} for name, cap in caps.items()]
        rest = {"id": "rest", "pattern": ".*", "max_upload_speed": -1}
        every = {"update_interval": 2}
        api = ServedApi(tmp_path, cast("Any", qbittorrent), trackers=[*rules, rest], **{"global": every})
        with Swarm((qbittorrent.host, qbittorrent.peer_port)) as swarm, contextlib.ExitStack() as stack:
            swarm.join({torrent.info_hash: torrent.size for torrent in everything})
            swarm.wait_until_connected()
            stack.callback(api.start().kill)
            until(lambda: all(qbittorrent.web.upload_limits().values()), "all to be parked")
            swarm.set_demand({torrent.info_hash: None for torrent in everything})
            yield Seeding(api, qbittorrent, swarm, torrents)


def test_what_it_says_is_what_the_peers_get(seeding: Seeding) -> None:
    client = seeding.api.client
    seeding.rate_soon("t1", 0.85 * CAP, 1.15 * CAP)
    rates, told = seeding.measure()
    for name, rate in rates.items():
        assert told[name]["usage_10s"] == pytest.approx(rate, rel=0.15), name
        assert told[name]["current_usage_mbps"] == pytest.approx(rate / 2**20, abs=0.15 * CAP / 2**20)
        assert (told[name]["active_torrents"], told[name]["total_torrents"]) == (2, 2)
    rows = client.get("/api/v1/torrents").json()["torrents"]
    limits = seeding.qbittorrent.web.upload_limits()
    for name, torrents in seeding.torrents.items():
        hashes = {torrent.info_hash for torrent in torrents}
        mine = [row for row in rows if row["tracker"] == name]
        assert {row["hash"] for row in mine} == hashes
        assert {row["name"] for row in mine} == {torrent.name for torrent in torrents}
        assert sum(row["rate"] for row in mine) == pytest.approx(rates[name], rel=0.25)
        assert all(row["hungry"] and row["leechers"] for row in mine)
        assert {row["limit"] for row in mine} == {limits[h] for h in hashes}
    managed = client.get("/stats/managed").json()["trackers"]
    assert {row["hash"]: row["current_limit"] for some in managed.values() for row in some} == limits
    metrics = client.get("/metrics").body.decode().splitlines()
    (shown,) = (line for line in metrics if line.startswith("qguardarr_tracker_upload_10s") and '"t1"' in line)
    assert float(shown.split()[-1]) == pytest.approx(rates["t1"], rel=0.15)
    until(lambda: _used(client, rates) > 0.8, "the mean of 60 s to leave the start behind")


def _used(client: ApiClient, trackers: Iterable[str]) -> float:
    told = client.get("/stats/trackers").json()
    return min(told[name]["utilisation"] for name in trackers)


def test_a_temporary_cap_shows_in_real_rates_and_a_rollback_ends_it_all(seeding: Seeding) -> None:
    client = seeding.api.client
    seeding.rate_soon("t1", 0.85 * CAP, 1.15 * CAP)
    made = client.ask("PUT", "/api/v1/trackers/t1/override", {"cap": CAP // 4, "seconds": 60})
    assert made.status == 200
    seeding.rate_soon("t1", 0.2 * CAP, 0.3 * CAP)
    assert client.ask("DELETE", "/api/v1/trackers/t1/override").status == 204
    seeding.rate_soon("t1", 0.85 * CAP, 1.15 * CAP)
    done = client.post("/rollback", {"confirm": True}).json()
    assert (done["status"], done["changes_reversed"], done["failed"]) == ("completed", 4, 0)
    assert set(seeding.qbittorrent.web.upload_limits().values()) == {0}
    assert seeding.measure()[0]["t1"] > 2 * CAP


@pytest.mark.shared
@pytest.mark.parametrize("version", VERSIONS)
def test_qbittorrent_itself_calls_the_webhook_and_the_added_torrent_is_limited_at_once(
    version: str, tmp_path: Path
) -> None:
    """From `install-hook` on: nobody else tells, and the next cycle would come after half a minute."""
    with Trackers(["t1"]) as trackers, QBittorrent(version, tmp_path / "lab") as qbittorrent:
        api = ServedApi(tmp_path, cast("Any", qbittorrent), **{"global": {"update_interval": 30}})
        api.write(trackers=[{"id": "t1", "pattern": ".*", "max_upload_speed": CAP}])
        with contextlib.ExitStack() as stack:
            stack.callback(api.start().kill)
            command = [sys.executable, "-m", "qguardarr", "install-hook", "--config", str(api.config)]
            subprocess.run(command, check=True, capture_output=True, timeout=60)
            torrent = make_torrent("added", [trackers["t1"].announce_url])
            qbittorrent.add([torrent])
            until(
                lambda: qbittorrent.web.upload_limits().get(torrent.info_hash, 0) > 0, "a limit, long before its turn"
            )
            assert api.client.get("/api/v1/status").json()["webhook"]["received"] >= 1
