"""Version 1 of the API on a running daemon, and reloading."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from typing import Any

import pytest

from lab.processes import free_port
from qguardarr.api.v1.daemon import widget
from tests.support import samples
from tests.support.api_client import CAP, HASHES, ORIGINALS, PARKED, ServedApi, fake_with_torrents, served
from tests.support.daemon_process import until

# -- reload -----------------------------------------------------------------------------------------------------------


def test_a_reload_takes_up_the_file_and_refuses_a_broken_one(api: ServedApi) -> None:
    example = {"id": "example", "pattern": "example", "max_upload_speed": 2 * CAP}
    rest = {"id": "default", "pattern": ".*", "max_upload_speed": -1}
    try:
        api.write(trackers=[example, rest], **{"global": {"allocation_strategy": "soft"}})
        assert api.client.post("/config/reload").json()["strategy"] == "soft"
        assert api.client.post("/cycle/force").status == 200
        assert api.client.get("/api/v1/trackers/example").json()["cap"] == 2 * CAP
        assert api.client.get("/config").json()["trackers"][0]["max_upload_speed"] == 2 * CAP

        api.write(trackers=[{**example, "max_upload_speed": "10 M"}, {**rest, "pattern": "("}])
        faults = [
            fault["detail"] for fault in api.client.post("/config/reload").problem(422, "configuration")["errors"]
        ]
        assert any("10 M" in fault for fault in faults)
        until(lambda: api.client.get("/health").json()["status"] == "degraded", "a broken file to show")
        health = api.client.get("/health")
        assert health.status == 200
        assert "old one stays in force" in health.json()["troubles"][0]
        assert api.client.get("/api/v1/trackers/example").json()["cap"] == 2 * CAP
    finally:
        api.write()
        assert api.client.post("/config/reload").status == 200
    assert api.client.get("/health").json()["status"] == "healthy"
    assert api.client.post("/cycle/force").status == 200


# -- version 1 --------------------------------------------------------------------------------------------------------


def test_torrents_are_filtered_sorted_and_paged(api: ServedApi) -> None:
    def hashes(query: str) -> list[str]:
        return [row["hash"] for row in api.client.get(f"/api/v1/torrents?{query}").json()["torrents"]]

    assert hashes("sort=hash&order=asc") == list(HASHES)
    assert hashes("sort=hash&order=desc&limit=2&offset=1") == [HASHES[4], HASHES[3]]
    assert set(hashes("limited=true")) == set(PARKED)
    assert set(hashes("limited=false")) == set(HASHES[3:])
    assert set(hashes("tracker=default")) == set(HASHES[4:])
    assert hashes("tracker=nobody") == hashes("activity=active") == hashes("hungry=true") == []
    assert hashes(f"hash_prefix={HASHES[2].upper()}") == [HASHES[2]]
    assert hashes("sort=original&order=asc")[:2] == [HASHES[3], HASHES[0]]
    page = api.client.get("/api/v1/torrents?limit=1&offset=5&sort=hash&order=asc").json()
    assert (page["total"], page["offset"], page["torrents"][0]["name"]) == (6, 5, "torrent 5")
    assert api.client.get("/api/v1/torrents?offset=6").json()["torrents"] == []


def test_a_torrent_says_its_limit_original_and_why(api: ServedApi) -> None:
    found = api.client.get(f"/api/v1/torrents/{HASHES[0].upper()}").json()
    assert (found["name"], found["tracker"], found["activity"]) == ("torrent 0", "example", "idle")
    assert (found["limit"], found["original"]) == (api.limits[HASHES[0]], ORIGINALS[0])
    assert found["limited"]
    assert "An example" in found["reason"]
    other = api.client.get(f"/api/v1/torrents/{HASHES[5]}").json()
    assert (other["limit"], other["original"], other["limited"]) == (None, None, False)
    api.client.get(f"/api/v1/torrents/{'e' * 40}").problem(404)
    assert "path.hash" in api.client.get("/api/v1/torrents/abc").problem(400)["detail"]


def test_one_torrent_gets_its_own_limit_back(api: ServedApi) -> None:
    newest = api.client.get("/api/v1/journal?limit=1").json()["lines"][0]["id"]
    done = api.client.post(f"/api/v1/torrents/{HASHES[0].upper()}/reset").json()
    assert (done["restored"], done["never_limited"]) == ([HASHES[0]], [])
    until(lambda: api.limits[HASHES[0]] not in (0, ORIGINALS[0]), "the next cycle to decide again")
    lines = api.client.get(f"/api/v1/journal?hash={HASHES[0].upper()}").json()["lines"]
    assert ORIGINALS[0] in [line["new"] for line in lines if line["status"] == "restored" and line["id"] > newest]
    assert api.client.post(f"/api/v1/torrents/{HASHES[4]}/reset").json()["never_limited"] == [HASHES[4]]


def test_the_journal_is_read_by_pages(api: ServedApi) -> None:
    whole = api.client.get("/api/v1/journal?limit=1000").json()["lines"]
    assert [line["id"] for line in whole] == sorted((line["id"] for line in whole), reverse=True)
    pages: list[Any] = []
    page = api.client.get("/api/v1/journal?limit=2").json()
    while pages.extend(page["lines"]) or page["next_before_id"] is not None:
        page = api.client.get(f"/api/v1/journal?limit=2&before_id={page['next_before_id']}").json()
        assert len(page["lines"]) <= 2
    assert pages == whole
    assert {line["hash"] for line in api.client.get(f"/api/v1/journal?hash={HASHES[1]}").json()["lines"]} == {HASHES[1]}


def test_the_journal_is_read_by_tracker_time_and_status(api: ServedApi) -> None:
    def lines(query: str) -> list[Any]:
        found: list[Any] = api.client.get(f"/api/v1/journal?limit=1000&{query}").json()["lines"]
        return found

    whole = lines("")
    assert {line["tracker"] for line in whole} == {"example"}
    assert {line["name"] for line in whole} == {None}
    assert lines("tracker=example") == whole
    assert lines("tracker=default") == []
    named = {line["name"] for line in lines("names=true")}
    assert None not in named
    assert {line["hash"] for line in lines(f"hash_prefix={HASHES[1].upper()}")} == {HASHES[1]}
    assert {line["status"] for line in lines("status=applied")} == {"applied"}
    (name,) = {line["name"] for line in lines(f"names=true&hash={HASHES[1]}")}
    assert {line["hash"] for line in lines(f"search={name.upper()}")} == {HASHES[1]}
    assert lines(f"search={HASHES[1][:39]}") == [line for line in whole if line["hash"].startswith(HASHES[1][:39])]
    assert lines("search=nothing+that+is+there") == []
    newest = whole[0]["at"]
    assert lines(f"start={newest + 1}") == []
    assert lines(f"end={whole[-1]['at']}") == []
    assert [line for line in whole if line["at"] < newest] == lines(f"end={newest}")
    assert api.client.get("/api/v1/journal?tracker=example&limit=1").json()["next_before_id"] == whole[0]["id"]
    for query in ("hash_prefix=xyz", "status=lost", "start=-1", "tracker="):
        api.client.get(f"/api/v1/journal?{query}").problem(400)


def test_a_restoring_is_told_before_and_done_then(api: ServedApi) -> None:
    path = "/api/v1/journal/restore"
    api.client.post(path, {"hashes": [HASHES[0]]}).problem(400)  # nobody restores by leaving something out
    api.client.post(path, {"dry_run": True, "hashes": ["abc"]}).problem(400)
    api.client.post(path, {"dry_run": True, "hashes": []}).problem(400)
    before = api.limits
    told = api.client.post(path, {"dry_run": True}).json()
    assert (told["dry_run"], told["paused"]) == (True, None)
    assert told["counts"]["restored"] == len(told["torrents"])
    assert {row["hash"]: row["original"] for row in told["torrents"]}[HASHES[0]] == ORIGINALS[0]
    row = next(row for row in told["torrents"] if row["hash"] == HASHES[0])
    assert (row["outcome"], row["known"], row["limit"], row["tracker"]) == (
        "restored",
        True,
        before[HASHES[0]],
        "example",
    )
    assert sum(group["torrents"] for group in told["originals"]) == told["counts"]["restored"]
    assert api.client.get("/api/v1/status").json()["state"] == "holding"
    assert api.limits == before
    body = {"dry_run": False, "hashes": [HASHES[0], HASHES[4]], "reason": "a \x1bvisit"}
    done = api.client.post(path, body).json()
    assert (done["counts"]["restored"], done["counts"]["never_limited"], done["paused"]) == (1, 1, "a visit")
    api.daemon.wait_for_state("paused")
    assert api.limits[HASHES[0]] == ORIGINALS[0]
    assert api.limits[HASHES[1]] == before[HASHES[1]], "others stay"
    done = api.client.post(path, {"dry_run": False}).json()
    assert (done["counts"]["failed"], done["paused"]) == (0, "rolled back")
    assert [api.limits[name] for name in HASHES] == [limit or 0 for limit in ORIGINALS]
    assert api.client.post(path, {"dry_run": True}).json()["counts"]["restored"] == 0
    api.client.post("/api/v1/resume")
    api.daemon.wait_for_state("holding")
    until(lambda: api.limits[HASHES[0]] not in (0, ORIGINALS[0]), "the caps to be held again")
    api.client.post(path, {"dry_run": False, "pause": False, "hashes": [HASHES[0]]})
    assert api.client.get("/api/v1/status").json()["state"] == "holding"


def test_pause_stops_the_writing_and_resume_begins_again(api: ServedApi) -> None:
    assert api.client.post("/api/v1/pause", {"reason": "a visit"}).json() == {"paused": "a visit"}
    assert api.daemon.wait_for_state("paused").problem == "a visit"
    assert api.client.get("/health").status == 200
    before = api.limits
    api.fake.torrents[HASHES[1]].up_limit = 0  # would be parked again
    api.next_cycle()
    assert api.limits == {**before, HASHES[1]: 0}
    assert api.client.post("/api/v1/resume").json() == {"paused": None}
    api.wait_until_parked()


# -- temporary caps ---------------------------------------------------------------------------------------------------


def cap(api: ServedApi, tracker: str = "example") -> Any:
    return api.client.get(f"/api/v1/trackers/{tracker}").json()["cap"]


def test_a_temporary_cap_is_in_force_in_the_next_cycle_until_it_is_cleared(api: ServedApi) -> None:
    parked_at = api.limits[HASHES[1]]
    began = time.time()
    made = api.client.ask("PUT", "/api/v1/trackers/example/override", {"cap": "200 kB/s", "seconds": 600}).json()
    assert (made["tracker"], made["cap"]) == ("example", 200_000)
    assert 595 < made["until"] - began < 610
    until(lambda: cap(api) == 200_000, "the cap")
    until(lambda: 0 < api.limits[HASHES[1]] < parked_at, "limits that fit the cap")
    row = api.client.get("/api/v1/trackers/example").json()
    assert (row["configured"], row["override_until"]) == (CAP, made["until"])
    assert api.client.get("/stats/trackers").json()["example"]["configured_limit"] == CAP
    assert api.client.get("/api/v1/overrides").json() == [made]

    assert api.client.ask("PUT", "/api/v1/trackers/example/override", {"cap": -1, "seconds": 60}).json()["cap"] is None
    until(lambda: cap(api) is None, "no cap")
    assert api.client.post("/config/reload").status == 200
    assert len(api.client.get("/api/v1/overrides").json()) == 1, "a reload ends no temporary cap"

    assert api.client.ask("DELETE", "/api/v1/trackers/example/override").status == 204
    assert api.client.get("/api/v1/overrides").json() == []
    until(lambda: cap(api) == CAP, "the configured cap")
    assert api.client.ask("DELETE", "/api/v1/trackers/example/override").status == 204
    api.wait_until_parked()


@pytest.mark.parametrize("command", ["boost", "hush"])
def test_nothing_is_ordered_before_the_first_run(tmp_path: Any, command: str) -> None:
    """Regression: the store that it made looked as if a journal had been lost, so that commands refused to work."""
    with fake_with_torrents() as fake:
        place = ServedApi(tmp_path, fake)
        done = subprocess.run(
            [sys.executable, "-m", "qguardarr", command, "--config", str(place.config)],
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode != 0
    assert "nothing has run with it yet" in done.stderr
    assert not place.database.parent.exists()


def test_the_line_may_have_a_temporary_speed(api: ServedApi) -> None:
    def line() -> Any:
        return api.client.get("/api/v1/parents").json()[-1]

    before = line()["cap"]
    made = api.client.ask("PUT", "/api/v1/line/override", {"cap": "300 kB/s", "seconds": 600}).json()
    assert (made["tracker"], made["cap"]) == ("", 300_000)
    until(lambda: line()["cap"] == 300_000, "the speed of the line")
    assert (line()["id"], line()["override_until"]) == ("", made["until"])
    assert api.client.get("/api/v1/overrides").json() == [made]
    assert b"\nqguardarr_overrides_active 1.0\n" in api.client.get("/metrics").body
    assert api.client.ask("DELETE", "/api/v1/line/override").status == 204
    until(lambda: line()["cap"] == before, "the line as it was")
    api.wait_until_parked()


def test_a_hush_by_the_command_and_a_boost_by_the_api(api: ServedApi) -> None:
    def told(*command: str) -> str:
        run = [sys.executable, "-m", "qguardarr", *command, "--config", str(api.config)]
        return subprocess.run(run, capture_output=True, text=True, timeout=60, check=True).stdout

    parked_at = api.limits[HASHES[1]]
    assert told("hush", "--for", "30m").startswith("Hush until ")
    until(lambda: cap(api) == CAP // 10, "a tenth of the cap")
    until(lambda: 0 < api.limits[HASHES[1]] < parked_at, "limits that fit the cap")
    [order] = api.client.get("/api/v1/orders").json()
    row = api.client.get("/api/v1/trackers/example").json()
    assert (row["cap_reason"], row["cap_until"], row["override_until"]) == ("hush", order["until"], None)
    assert re.search(r"\* example: .* instead of .* until .* \(hush\)", told("status"))
    assert "cap of example: " in told("preview")
    assert told("hush", "--end") == "The hush is over.\n"
    until(lambda: cap(api) == CAP, "the configured cap")

    made = api.client.ask("PUT", "/api/v1/orders/boost", {"seconds": 600, "groups": ["example"], "factor": 3}).json()
    assert made == [{"group": "example", "kind": "boost", "factor": 3.0, "speed": None, "until": made[0]["until"]}]
    until(lambda: cap(api) == 3 * CAP, "three times the cap")
    assert api.client.ask("PUT", "/api/v1/orders/boost", {"seconds": 600, "groups": ["gone"]}).status == 404
    assert api.client.ask("DELETE", "/api/v1/orders/boost").status == 204
    until(lambda: cap(api) == CAP, "the configured cap")
    api.wait_until_parked()


def test_a_temporary_cap_ends_by_itself(api: ServedApi) -> None:
    api.client.ask("PUT", "/api/v1/trackers/example/override", {"cap": 300_000, "seconds": 1.5})
    until(lambda: cap(api) == 300_000, "the cap")
    until(lambda: cap(api) == CAP, "its end")
    assert api.client.get("/api/v1/overrides").json() == []
    api.daemon.wait_for_log("override_expired")


@pytest.mark.parametrize("body", [{}, {"cap": 0, "seconds": 1}, {"cap": "10 M", "seconds": 1}, {"cap": 1},
                                  {"cap": 5, "seconds": 0}, {"cap": 5, "seconds": 1e9}, {"cap": 2**70, "seconds": 1},
                                  {"cap": True, "seconds": 1}, {"cap": None, "seconds": 1}])  # fmt: skip
def test_a_faulty_temporary_cap_changes_nothing(api: ServedApi, body: dict[str, Any]) -> None:
    assert "body" in api.client.ask("PUT", "/api/v1/trackers/example/override", body).problem(400)["detail"]
    assert api.client.get("/api/v1/overrides").json() == []


def test_a_tracker_that_does_not_exist_has_no_cap(api: ServedApi) -> None:
    api.client.get("/api/v1/trackers/nobody").problem(404)
    api.client.ask("PUT", "/api/v1/trackers/nobody/override", {"cap": 1000, "seconds": 1}).problem(404)
    api.client.ask("DELETE", "/api/v1/trackers/nobody/override").problem(404)


def test_history_caps_and_pause_outlive_the_daemon(tmp_path: Any) -> None:
    odd = "a/b c%2F ü"
    trackers = [{"id": odd, "pattern": "example", "max_upload_speed": CAP}, {"id": "r", "pattern": ".*",
                                                                             "max_upload_speed": -1}]  # fmt: skip
    path = "/api/v1/trackers/a%2Fb%20c%252F%20%C3%BC"
    with served(tmp_path, trackers=trackers) as api:
        assert api.client.get(path).json()["id"] == odd
        assert api.client.ask("PUT", f"{path}/override", {"cap": 123_456, "seconds": 600}).status == 200
        assert api.client.ask("PUT", "/api/v1/trackers/r/override", {"cap": 9_999, "seconds": 0.01}).status == 200
        assert api.client.post("/api/v1/pause", {"reason": "over night"}).status == 200
        api.daemon.wait_for_state("paused")
        api.daemon.kill()

        api.start("paused")
        assert api.client.get(path).json()["cap"] == 123_456
        assert [row["tracker"] for row in api.client.get("/api/v1/overrides").json()] == [odd]
        assert api.client.get("/api/v1/status").json()["problem"] == "over night"
        api.next_cycle()
        assert api.daemon.end() == 0

        api.start("paused")
        (points,) = [rows for name, rows in api.client.get("/api/v1/history").json()["trackers"].items() if name == odd]
        assert points[-1]["seconds"] > 0
        assert (points[-1]["rate"], points[-1]["cap"]) == (0.0, 123_456)
        assert api.client.get(f"/api/v1/history?tracker=r&start={time.time() - 600}").json()["trackers"].keys() == {"r"}
        assert api.client.get(f"/api/v1/history?start=0&end={time.time() - 86400}").json() == {"trackers": {}}
        api.client.get("/api/v1/history?start=10&end=5").problem(400)


def test_the_api_moves_to_another_port_by_reload(tmp_path: Any) -> None:
    with served(tmp_path) as api:
        old, new = api.port, free_port()
        api.set_up_again(**{"global": {"port": new}})
        api.client.port = new
        assert api.client.get("/health").json()["status"] == "healthy"
        assert not api.listens(old)


def test_the_widget_is_flat_and_agrees_with_the_status(api: ServedApi) -> None:
    status, found = api.client.get("/api/v1/status").json(), api.client.get("/api/v1/widget").json()
    assert all(isinstance(value, int | float | str) for value in found.values()), "a dashboard looks no deeper"
    assert (found["status"], found["state"], found["problem"]) == ("healthy", "holding", "")
    assert (found["cap"], found["trackers"], found["over_cap"]) == (CAP, 1, 0)
    assert (found["torrents"], found["limited_torrents"]) == (status["torrents"], status["limited"])
    assert found["qbittorrent"] == status["qbittorrent_version"]


def test_the_widget_adds_up() -> None:
    trackers = (
        samples.row("a"),
        samples.row(
            "b", cap=2 * samples.MB, rate_10s=1.0 * samples.MB, rate_60s=2.2 * samples.MB, active=1, total_bytes=1e9
        ),
        samples.row("open", cap=None, rate_10s=3.0 * samples.MB, rate_60s=3.0 * samples.MB, active=0, total_bytes=0.0),
    )
    found = widget(samples.status(trackers=trackers, troubles=("the first", "another")), 2001.0)
    assert (found.upload, found.capped_upload, found.cap, found.used_percent) == (
        4_950_000,
        1_950_000,
        3 * samples.MB,
        65.0,
    )
    assert (found.trackers, found.over_cap, found.active_torrents, found.uploaded) == (2, 1, 4, 6_000_000_000)
    assert (found.status, found.problem) == ("degraded", "the first")
