"""The paths of the earlier Qguardarr on a running daemon: they kept their fields and their meaning."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.api_client import ANNOUNCE, CAP, HASHES, ORIGINALS, PARKED, PASSKEY, ServedApi
from tests.support.daemon_process import until

MIB = 2**20
MATCH = f"/match/test?detailed=true&url={ANNOUNCE}{PASSKEY}"

OLD_FIELDS = {
    "GET /": "name version description status endpoints",
    "GET /health": "status uptime_seconds version last_cycle_time last_cycle_duration rollout_percentage "
    "update_interval dry_run active_torrents managed_torrents api_calls_last_cycle",
    "GET /stats": "allocation_cycles api_calls_last_cycle torrents_processed limits_applied errors "
    "last_cycle_duration last_cycle_time active_torrents managed_torrents managed_torrent_count score_distribution "
    "cache_stats estimated_memory_mb strategy dry_run",
    "GET /stats score_distribution": "high medium low ignored",
    "GET /stats cache_stats": "cache_size cache_hits cache_misses hit_rate_percent pattern_matches failed_matches",
    "GET /stats/trackers example": "name configured_limit_mbps priority active_torrents current_usage_mbps "
    "effective_cap_mbps borrowed_mbps efficiency_percent",
    "GET /stats/managed": "generated_at total counts_by_tracker trackers",
    "GET /stats/managed trackers.example.0": "hash current_limit added_at last_seen age_seconds",
    f"GET {MATCH}": "url matched_tracker matches",
    f"GET {MATCH} matches.0": "tracker_id pattern matches",
    "POST /config/reload": "status rollout_percentage strategy",
    "POST /cycle/force": "status duration_seconds timestamp",
    'POST /rollout {"percentage":100}': "status rollout_percentage timestamp",
    'POST /limits/reset {"confirm":true,"scope":"all","mark_restored":false}': "status count mode",
    'POST /smoothing/reset {"all":true}': "status cleared_count tracker strategy timestamp message",
    'POST /smoothing/reset {"tracker_id":"example"}': "status cleared_count tracker strategy timestamp message",
    'POST /rollback {"confirm":true,"reason":"a test"}': "status changes_reversed duration_seconds reason timestamp",
    'POST /webhook {"event":"add","hash":"0000000000000000000000000000000000000001"}': "status queue_size "
    "processing_time_ms",
}
"""What the earlier Qguardarr answered: fields of the answer, or of what steps within it lead to."""

OLD_PREVIEW = {
    "": "strategy torrents_considered proposed_count proposed_changes trackers summary",
    "trackers.example": "base_cap effective_cap borrowed",
    "summary": "trackers top_changes",
    "summary.trackers.0": "id base_cap_mbps base_cap_h effective_cap_mbps effective_cap_h borrowed_mbps borrowed_h",
    "summary.top_changes.0": "hash new_limit_kib new_limit_h delta_kib delta_h",
}


def within(found: Any, steps: str) -> Any:
    for step in steps.split(".") if steps else ():
        found = found[int(step)] if step.isdigit() else found[step]
    return found


@pytest.mark.parametrize("what", OLD_FIELDS)
def test_the_fields_of_the_earlier_qguardarr_are_all_there(api: ServedApi, what: str) -> None:
    method, path, *more = what.split(" ", 2)
    is_body = bool(more) and more[0].startswith("{")
    answer = api.client.ask(method, path, body=more[0].encode() if is_body else None)
    assert answer.status == (202 if path == "/webhook" else 200)
    found = within(answer.json(), "" if is_body or not more else more[0])
    assert set(OLD_FIELDS[what].split()) - found.keys() == set()


@pytest.mark.parametrize("steps", OLD_PREVIEW)
def test_the_fields_of_the_old_preview_are_all_there(observing: ServedApi, steps: str) -> None:
    found = within(observing.client.get("/preview/next-cycle").json(), steps)
    assert set(OLD_PREVIEW[steps].split()) - found.keys() == set()


def test_stats_are_in_the_old_units(api: ServedApi) -> None:
    found = api.client.get("/stats/trackers").json()
    assert found["example"]["configured_limit_mbps"] == found["example"]["effective_cap_mbps"] == round(CAP / MIB, 2)
    assert (found["example"]["name"], found["example"]["priority"]) == ("An example", 7)
    assert (found["example"]["total_torrents"], found["default"]["total_torrents"]) == (4, 2)
    assert found["default"]["configured_limit_mbps"] is None
    assert (found["example"]["configured_limit"], found["default"]["configured_limit"]) == (CAP, None)

    stats = api.client.get("/stats").json()
    assert (stats["torrents_processed"], stats["managed_torrents"], stats["managed_torrent_count"]) == (6, 3, 3)
    assert stats["score_distribution"] == {"high": 0, "medium": 0, "low": 3, "ignored": 3}
    assert (stats["cache_stats"]["pattern_matches"], stats["cache_stats"]["failed_matches"]) == (4, 2)
    assert (stats["strategy"], stats["dry_run"], stats["errors"]) == ("equal", False, 0)
    assert 10 < stats["estimated_memory_mb"] < 200


def test_managed_torrents_are_those_whose_limit_is_ours(api: ServedApi) -> None:
    found = api.client.get("/stats/managed").json()
    assert (found["total"], found["counts_by_tracker"], list(found["trackers"])) == (3, {"example": 3}, ["example"])
    assert {row["hash"]: row["current_limit"] for row in found["trackers"]["example"]} == {
        name: api.limits[name] for name in PARKED
    }
    for row in found["trackers"]["example"]:
        assert row["age_seconds"] == found["generated_at"] - row["added_at"]


def test_a_preview_is_what_a_dry_run_decides(observing: ServedApi) -> None:
    found = observing.client.get("/preview/next-cycle").json()
    assert set(found["proposed_changes"]) == set(PARKED)
    assert (found["proposed_count"], found["torrents_considered"], found["strategy"]) == (3, 6, "soft")
    assert found["trackers"]["example"] == {"base_cap": CAP, "effective_cap": CAP, "borrowed": 0}
    assert found["trackers"]["default"] == {"base_cap": -1, "effective_cap": -1, "borrowed": 0}
    change = next(c for c in found["summary"]["top_changes"] if c["hash"] == HASHES[0])
    assert change["new_limit_kib"] == found["proposed_changes"][HASHES[0]] // 1024
    assert change["delta_kib"] == (found["proposed_changes"][HASHES[0]] - ORIGINALS[0]) // 1024
    unlimited = next(c for c in found["summary"]["top_changes"] if c["hash"] == HASHES[1])
    assert unlimited["delta_kib"] is None
    assert tuple(observing.limits.values()) == ORIGINALS
    written = observing.folder / "dry.json"
    until(lambda: written.exists() and written.read_text() != "", "the dry run's file")
    assert observing.fake.count("setUploadLimit") == 0


def test_a_url_is_matched_and_not_repeated(api: ServedApi) -> None:
    answer = api.client.get(MATCH)
    assert PASSKEY.encode() not in answer.body
    assert answer.json()["matched_tracker"] == "example"
    matches = {m["tracker_id"]: (m["pattern"], m["matches"]) for m in answer.json()["matches"]}
    assert matches == {"example": ("example", True), "default": (".*", True)}
    plain = api.client.get("/match/test?url=udp://other.test:1337").json()
    assert plain == {"url": "udp://other.test:1337/…", "matched_tracker": "default", "matches": []}


def test_a_cycle_can_be_forced(observing: ServedApi) -> None:
    before = observing.client.get("/stats").json()["allocation_cycles"]
    done = observing.client.post("/cycle/force").json()
    assert (done["status"], done["problem"]) == ("completed", "")
    assert observing.client.get("/stats").json()["allocation_cycles"] > before


def test_the_rollout_is_in_force_until_the_file_is_read_again(api: ServedApi) -> None:
    assert api.client.post("/rollout", {"percentage": 1}).json()["rollout_percentage"] == 1
    until(lambda: api.limits[HASHES[0]] == ORIGINALS[0], "torrents outside of the rollout to get their limits back")
    until(lambda: api.client.get("/health").json()["rollout_percentage"] == 1, "that to be published")
    assert not any(row["managed"] for row in api.client.get("/api/v1/torrents").json()["torrents"])
    assert api.client.post("/config/reload").json() == {
        "status": "reloaded", "rollout_percentage": 100, "strategy": "equal",
    }  # fmt: skip
    api.wait_until_parked()


def test_a_rollback_puts_every_original_back_and_pauses(api: ServedApi) -> None:
    done = api.client.post("/rollback", {"confirm": True, "reason": "moving house"}).json()
    assert (done["status"], done["changes_reversed"], done["reason"]) == ("completed", 3, "moving house")
    assert tuple(api.limits.values()) == ORIGINALS
    status = api.daemon.wait_for_state("paused")
    assert status.problem == "moving house"
    assert api.client.get("/health").json()["status"] == "healthy"
    api.next_cycle()
    assert tuple(api.limits.values()) == ORIGINALS
    assert api.client.post("/rollback", {"confirm": True}).json()["changes_reversed"] == 0
    assert api.client.post("/api/v1/resume").json() == {"paused": None}
    api.wait_until_parked()


def test_a_limit_set_by_hand_is_no_rollbacks_business(api: ServedApi) -> None:
    assert api.client.post("/api/v1/pause").json() == {"paused": "paused through the API"}
    api.daemon.wait_for_state("paused")  # a cycle under way would take the limit for a person's, and forget the torrent
    api.fake.torrents[HASHES[0]].up_limit = 777_777
    try:
        done = api.client.post("/rollback", {"confirm": True}).json()
        assert (done["changes_reversed"], done["set_by_hand"]) == (2, 1)
        assert api.limits[HASHES[0]] == 777_777
    finally:
        api.fake.torrents[HASHES[0]].up_limit = ORIGINALS[0]
        api.next_cycle()


def test_a_reset_restores_and_decides_again(api: ServedApi) -> None:
    newest = api.client.get("/api/v1/journal?limit=1").json()["lines"][0]["id"]
    assert api.client.post("/limits/reset", {"confirm": True}).json() == {
        "status": "ok", "count": 3, "failed": 0, "mode": "real",
    }  # fmt: skip

    def since(status: str) -> dict[str, int | None]:
        lines = api.client.get("/api/v1/journal").json()["lines"]
        return {line["hash"]: line["new"] for line in lines if line["id"] > newest and line["status"] == status}

    assert since("restored") == {name: original or None for name, original in zip(PARKED, ORIGINALS, strict=False)}
    until(lambda: since("applied").keys() == set(PARKED), "the limits of ours in the journal")
    api.wait_until_parked()


def test_smoothing_is_reset_for_one_tracker_or_all(observing: ServedApi) -> None:
    ask = observing.client.post
    assert ask("/smoothing/reset", {"tracker_id": "example"}).json()["tracker"] == "example"
    done = ask("/smoothing/reset", {"all": True}).json()
    assert (done["tracker"], done["strategy"], "message" in done) == ("all", "soft", False)
    for everything in ({}, None):
        assert ask("/smoothing/reset", everything).json()["tracker"] == "all"
    assert ask("/smoothing/reset", {"tracker_id": "nobody"}).json()["cleared_count"] == 0


@pytest.mark.parametrize("path", ["/rollback", "/limits/reset"])
def test_what_undoes_wants_to_be_confirmed(api: ServedApi, path: str) -> None:
    for body in ({"confirm": False}, {}, {"reason": "x"}):
        assert "confirm" in api.client.post(path, body).problem(400)["detail"]
    for wrong in ("true", False):
        problem = api.client.post(path, {"confirm": wrong}).problem(400, "invalid-request")
        assert problem["errors"][0]["pointer"] == "#/confirm"
    assert api.client.get("/api/v1/status").json()["state"] == "holding"
