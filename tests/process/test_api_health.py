"""Health, while qBittorrent is away, hangs, or has not been read yet."""

from __future__ import annotations

from pathlib import Path

from tests.support.api_client import HASHES, JSON, ServedApi, fake_with_torrents, served
from tests.support.daemon_process import until
from tests.support.fake_qbittorrent import Fault

USER, PASSWORD = "ada", "correct horse battery"

OVERRIDE = "/api/v1/trackers/example/override"


def test_health_is_truthful_when_qbittorrent_goes_and_comes_back(tmp_path: Path) -> None:
    with served(tmp_path) as api:
        get = api.client.get
        assert [get(f"/health{more}", key=None).status for more in ("", "/live", "/ready")] == [200] * 3
        api.fake.stop()
        until(lambda: get("/health", key=None).status == 503, "health to tell")
        assert [get(f"/health{more}", key=None).status for more in ("/live", "/ready")] == [200, 503]
        assert get("/health", key=None).json() == get("/health/ready").json() == {"status": "unhealthy"}
        shown = get("/health")
        assert (shown.status, shown.kind) == (503, JSON)
        assert "qBittorrent" in shown.json()["reason"]
        assert get("/stats").json()["errors"] > 0
        forced = api.client.post("/cycle/force")
        assert (forced.status, forced.json()["status"]) == (503, "failed")
        assert api.client.get("/preview/next-cycle").problem(503)["type"] == "/problems/unreachable"
        rows = get("/api/v1/torrents").json()["torrents"]
        assert [row["name"] for row in rows] == [None] * len(HASHES)
        api.fake.start()
        until(lambda: get("/health", key=None).status == 200, "health to recover")
        assert get("/health").json()["status"] == "healthy"


def test_a_qbittorrent_that_hangs_shows_and_stops_nobody(tmp_path: Path) -> None:
    with served(tmp_path) as api:
        hung = api.fake.count("maindata")
        api.fake.fail_next("maindata", *[Fault.HANG] * 20)
        api.fake.wait_for_request("maindata", hung + 1)
        assert api.client.get("/health", key=None).status == 200, "it may still answer"
        for path in ("/stats", "/api/v1/torrents", "/api/v1/journal", "/stats/managed", "/api/v1/status"):
            assert api.client.get(path).status == 200, path
        assert api.client.hook("add", HASHES[0]).status == 202
        assert api.client.post("/api/v1/pause", {"reason": "x"}).status == 200
        assert api.client.post("/api/v1/resume").status == 200
        assert api.client.post("/config/reload").status == 200
        assert api.client.ask("PUT", OVERRIDE, {"cap": 1000, "seconds": 1}).status == 200
        assert api.fake.count("maindata") == hung + 1, "nobody waits for qBittorrent: the first read still hangs"
        until(lambda: api.client.get("/health", key=None).status == 503, "health to tell")
        assert "hangs" in api.client.get("/health").json()["reason"]
        assert api.client.get("/health/live", key=None).status == 200
        api.fake.faults.clear()
        api.fake.release()
        until(lambda: api.client.get("/health", key=None).status == 200, "health to recover")


def test_a_daemon_that_has_read_nothing_yet_is_starting(tmp_path: Path) -> None:
    with fake_with_torrents() as fake:
        fake.fail_next("auth/login", Fault.HANG)
        api = ServedApi(tmp_path, fake)
        api.start(None)
        try:
            until(lambda: api.listens(api.port), "the API")
            answer = api.client.get("/health")
            assert (answer.status, answer.json()["status"]) == (503, "starting")
            assert api.client.get("/stats").json()["torrents_processed"] == 0
            assert api.client.get("/stats/trackers").json() == {}
            assert api.client.get("/api/v1/torrents").json()["total"] == 0
            fake.release()
            until(lambda: api.client.get("/health").status == 200, "health")
        finally:
            api.daemon.kill()
