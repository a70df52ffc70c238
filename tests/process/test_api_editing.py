"""Editing through the API of a running daemon: tried, saved, taken up, undone; trackers found; connections tried; the
first user."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.api_client import CAP, HASHES, KEY, PARKED, PASSKEY, Answer, ServedApi, fake_with_torrents
from tests.support.daemon_process import DaemonProcess, until
from tests.support.fake_qbittorrent import FakeTorrent, Fault

TEXT = """\
# mine
qbittorrent:
  url: {url}
  username: admin
  password: {password}   # its password

trackers:   # rules
  - id: example   # the first
    name: An example
    pattern: 'example'
    max_upload_speed: 1 MB/s
  - id: default
    pattern: '.*'
    max_upload_speed: unlimited

global:
  update_interval: 0.5
  port: {port}
  dry_run: {dry_run}
{auth}
rollback:
  database_path: {database}
"""
KEYED = f"auth:\n  api_key: {KEY}\n"


def write(api: ServedApi, *, dry_run: bool = False, auth: str = KEYED) -> None:
    api.config.write_text(
        TEXT.format(
            url=api.fake.url,
            password=api.fake.password,
            port=api.port,
            dry_run="true" if dry_run else "false",
            auth=auth,
            database=api.database,
        )
    )


@pytest.fixture
def api(tmp_path: Path) -> Iterator[ServedApi]:
    """A daemon whose idle torrents are limited."""
    with fake_with_torrents() as fake:
        made = ServedApi(tmp_path, fake)
        write(made)
        made.start()
        made.wait_until_parked()
        yield made
        made.daemon.kill()


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[ServedApi]:
    """A first run: nothing is written, nobody has set up any access."""
    with fake_with_torrents() as fake:
        made = ServedApi(tmp_path, fake)
        write(made, dry_run=True, auth="")
        made.start("observing")
        yield made
        made.daemon.kill()


def cap(value: str) -> dict[str, Any]:
    return {"op": "set", "path": ["trackers", "example", "max_upload_speed"], "value": value}


def etag(api: ServedApi) -> str:
    found: str = api.client.get("/api/v1/config/file").json()["etag"]
    return found


def save(api: ServedApi, *edits: Any) -> Answer:
    return api.client.post("/api/v1/config/save", {"edits": edits, "etag": etag(api)})


def test_file_is_told_with_origins_and_without_secrets(api: ServedApi) -> None:
    answer = api.client.get("/api/v1/config/file")

    found = answer.json()
    assert answer.status == 200
    assert (found["file"], found["exists"], found["writable"]) == (str(api.config), True, True)
    assert found["rules"] == ["example", "default"]
    settings = {row["setting"]: row for row in found["settings"]}
    speed = settings["trackers[0].max_upload_speed"]
    assert speed["path"] == ["trackers", "example", "max_upload_speed"]
    assert (speed["value"], speed["written"], speed["source"], speed["line"]) == (CAP, "1 MB/s", "file", 11)
    assert settings["global.uplink"] | {"path": None} == {
        "setting": "global.uplink", "path": None, "value": -1, "written": None, "plain": None, "source": "default",
        "line": None, "variables": [], "editable": True, "why_not": "",
    }  # fmt: skip
    assert settings["qbittorrent.password"]["written"] == "***"
    assert not settings["rollback.database_path"]["editable"]
    assert api.fake.password.encode() not in answer.body
    assert KEY.encode() not in answer.body


def test_schedule_is_saved_shown_as_it_is_written_and_undone(api: ServedApi) -> None:
    before = api.config.read_text()
    schedule = [{"days": "mon-fri", "from": "08:00", "to": "18:00", "cap": "2 MB/s"}]
    path = ["trackers", "example", "schedule"]

    saved = save(api, {"op": "set", "path": path, "value": schedule})

    assert saved.status == 200
    assert "{days: mon-fri, from: '08:00', to: '18:00', cap: 2 MB/s}" in api.config.read_text()
    rows = api.client.get("/api/v1/config/file").json()["settings"]
    found = [row for row in rows if row["path"][:3] == path]
    assert [(row["path"], row["plain"], row["source"]) for row in found] == [(path, schedule, "file")]
    api.client.post("/api/v1/config/undo", {"etag": saved.json()["etag"]})
    assert api.config.read_text() == before


def test_every_setting_is_described(api: ServedApi) -> None:
    described = api.client.get("/api/v1/config/schema").json()
    known = {row["setting"] for row in described["settings"]}

    for row in api.client.get("/api/v1/config/file").json()["settings"]:
        assert row["setting"].replace("[0]", "[]").replace("[1]", "[]") in known


def test_trial_shows_diff_and_effect_and_writes_nothing(api: ServedApi) -> None:
    before, limits = api.config.read_bytes(), api.limits
    rule = {"id": "else", "pattern": "elsewhere", "max_upload_speed": "500 kB/s"}
    edits = [cap("100 kB/s"), {"op": "insert", "path": ["trackers"], "value": rule}]

    found = api.client.post("/api/v1/config/try", {"edits": edits}).json()

    assert found["ok"], found
    assert "-    max_upload_speed: 1 MB/s\n" in found["diff"] or "+    max_upload_speed: 100 kB/s\n" in found["diff"]
    assert api.fake.password not in json.dumps(found)
    effect = found["effect"]
    trackers = {row["id"]: row for row in effect["trackers"]}
    assert (trackers["example"]["cap"], trackers["example"]["new_cap"]) == (CAP, 100_000)
    assert trackers["else"]["new"]
    assert (trackers["else"]["new_torrents"], trackers["default"]["new_torrents"]) == (2, 0)
    assert effect["moved"] == 2
    assert {row["hash"] for row in effect["torrents"]} == set(HASHES)
    assert effect["changes"] == 6
    moved = next(row for row in effect["torrents"] if row["hash"] == HASHES[4])
    assert (moved["name"], moved["tracker"], moved["new_tracker"]) == ("torrent 4", "default", "else")
    assert moved["limit"] is None
    assert 0 < moved["new_limit"] < 500_000
    assert api.config.read_bytes() == before
    api.next_cycle()
    assert api.limits == limits


def test_trial_without_change_has_no_effect(api: ServedApi) -> None:
    found = api.client.post("/api/v1/config/try", {"edits": []}).json()

    assert (found["ok"], found["diff"], found["effect"]["changes"], found["effect"]["moved"]) == (True, "", 0, 0)


def test_trial_of_going_live_tells_which_limits_would_be_written(fresh: ServedApi) -> None:
    key = (fresh.database.parent / "api.key").read_text().strip()
    go = {"op": "set", "path": ["global", "dry_run"], "value": False}

    found = fresh.client.post("/api/v1/config/try", {"edits": [go]}, key=key).json()

    assert found["consequences"] == ["live"]
    assert {row["hash"] for row in found["effect"]["torrents"]} == set(PARKED)


def test_trial_tells_faults_by_field(api: ServedApi) -> None:
    edits = [cap("fast"), {"op": "set", "path": ["global", "update_interval"], "value": 0}]

    answer = api.client.post("/api/v1/config/try", {"edits": edits, "effect": False})

    assert answer.status == 200
    assert [(f["edit"], f["setting"], f["line"]) for f in answer.json()["faults"]] == [
        (0, "trackers[0].max_upload_speed", 11),
        (1, "global.update_interval", 17),
    ]
    refused = api.client.post("/api/v1/config/save", {"edits": edits, "etag": etag(api)})
    assert refused.problem(422, "configuration")["faults"] == answer.json()["faults"]


def test_trial_says_why_the_effect_is_unknown(api: ServedApi) -> None:
    api.fake.stop()
    edits = [{"op": "set", "path": ["trackers", "example", "pattern"], "value": "elsewhere"}]

    found = api.client.post("/api/v1/config/try", {"edits": edits}).json()

    assert (found["ok"], found["effect"]) == (True, None)
    assert "qBittorrent" in found["effect_problem"]


def test_saved_edit_is_taken_up_and_undone(api: ServedApi) -> None:
    before = api.config.read_bytes()

    saved = save(api, cap("100 kB/s")).json()

    assert (saved["in_effect"], saved["problem"]) == (True, "")
    assert api.config.read_bytes() == before.replace(b"1 MB/s", b"100 kB/s")
    until(lambda: api.client.get("/api/v1/trackers/example").json()["cap"] == 100_000, "the new cap")
    until(lambda: all(api.limits[name] < 20_000 for name in PARKED), "lower idle limits")

    undone = api.client.post("/api/v1/config/undo", {"etag": saved["etag"]}).json()
    assert undone["in_effect"]
    assert api.config.read_bytes() == before
    api.client.post("/api/v1/config/undo", {"etag": undone["etag"]}).problem(409, "nothing-to-undo")


def test_file_that_somebody_else_changed_is_left_alone(api: ServedApi) -> None:
    old = etag(api)
    api.config.write_text(api.config.read_text() + "# by hand\n")

    answer = api.client.post("/api/v1/config/save", {"edits": [cap("2 MB/s")], "etag": old})

    answer.problem(409, "config-changed")
    assert api.config.read_text().endswith("# by hand\n")
    assert "2 MB/s" not in api.config.read_text()


def test_two_saves_at_once_are_one_and_a_refusal(api: ServedApi) -> None:
    old, answers = etag(api), []

    def ask(speed: str) -> None:
        answers.append(api.client.post("/api/v1/config/save", {"edits": [cap(speed)], "etag": old}).status)

    threads = [threading.Thread(target=ask, args=(speed,)) for speed in ("2 MB/s", "3 MB/s")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(answers) == [200, 409]


def test_read_only_file_is_told_with_the_yaml_to_copy(tmp_path: Path) -> None:
    """The daemon without root's privileges, in front of a file that is not its to write."""
    with fake_with_torrents() as fake:
        folder = tmp_path / "config"
        folder.mkdir()
        api = ServedApi(folder, fake)
        write(api)
        api.database.parent.mkdir()
        api.config.chmod(0o444)
        (folder / "stderr.log").touch()
        folder.chmod(0o555)
        plain = ["setpriv", "--inh-caps=-all", "--bounding-set=-dac_override,-dac_read_search"]
        daemon = DaemonProcess(
            api.config, api.database, command=[*plain, sys.executable, "-m", "qguardarr", "serve", "--config"]
        )
        try:
            daemon.wait_for_state("holding")
            state = api.client.get("/api/v1/config/file").json()
            problem = save(api, cap("2 MB/s")).problem(409, "config-read-only")
        finally:
            daemon.kill()
            folder.chmod(0o755)
    assert (state["writable"], "may not be written by user" in state["why_not"]) == (False, True)
    assert "    max_upload_speed: 2 MB/s\n" in problem["yaml"]
    assert "2 MB/s" not in api.config.read_text()


def test_change_that_cannot_be_taken_up_is_saved_and_says_so(api: ServedApi) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        saved = save(api, {"op": "set", "path": ["global", "port"], "value": port}).json()

        assert saved["consequences"] == ["address"]
        assert not saved["in_effect"]
        assert str(port) in saved["problem"]
        assert saved["undo"]["possible"]
        assert api.client.post("/api/v1/config/undo", {"etag": saved["etag"]}).json()["in_effect"]


@pytest.mark.parametrize("call", ["file", "schema", "try", "save", "undo"])
def test_nobody_edits_without_a_key(api: ServedApi, call: str) -> None:
    method = "GET" if call in ("file", "schema") else "POST"

    assert api.client.ask(method, f"/api/v1/config/{call}", key=None).status == 401


# -- trackers that are there ------------------------------------------------------------------------------------------


def test_hosts_are_listed_without_their_urls(api: ServedApi) -> None:
    with api.fake.lock:
        api.fake.torrents[HASHES[4]].upspeed = 7000

    answer = api.client.get("/api/v1/hosts")

    found = answer.json()
    assert PASSKEY.encode() not in answer.body
    assert found["torrents"] == 6
    assert [(h["host"], h["torrents"], h["rate"], h["rules"], h["named"]) for h in found["hosts"]] == [
        ("elsewhere.test", 2, 7000, ["default"], False),
        ("tracker.example.org", 4, 0, ["example"], True),
    ]
    assert found["hosts"][0]["pattern"] == r"//elsewhere\.test\b"


def test_list_of_hosts_is_shown_again_for_a_while(api: ServedApi) -> None:
    first = api.client.get("/api/v1/hosts").json()
    api.fake.add(FakeTorrent("a" * 40, trackers=("http://third.test/announce",)))

    assert api.client.get("/api/v1/hosts").json() == first
    assert len(api.client.get("/api/v1/hosts?fresh=true").json()["hosts"]) == 3


def test_categories_and_tags_of_torrents_are_offered(api: ServedApi) -> None:
    with api.fake.lock:
        for number, category, tags in ((0, "films/uhd", "keep, gold"), (1, "films", "keep")):
            torrent = api.fake.torrents[HASHES[number]]
            torrent.category, torrent.tags = category, tags
    wanted = {
        "categories": [{"name": "films", "torrents": 2}, {"name": "films/uhd", "torrents": 1}],
        "tags": [{"name": "keep", "torrents": 2}, {"name": "gold", "torrents": 1}],
        "left_out": 0,
    }

    until(lambda: api.client.get("/api/v1/labels").json() == wanted, "labels of the next read")
    assert api.client.get("/api/v1/labels", key=None).status == 401


# -- trying things out ------------------------------------------------------------------------------------------------


def test_connection_is_tried(api: ServedApi) -> None:
    def ask(**body: Any) -> Any:
        return api.client.post("/api/v1/connection/test", body).json()

    right = {"url": api.fake.url, "username": api.fake.username, "password": api.fake.password}
    assert ask()["version"] == "v5.1.0"
    assert ask(**right)["ok"]
    wrong = ask(**right | {"password": "wrong"})
    assert (wrong["ok"], wrong["kind"]) == (False, "credentials")
    assert "password" in wrong["hint"]
    assert ask(url="http://127.0.0.1:1", username="a", password="b")["kind"] == "unreachable"
    assert ask(url="ftp://127.0.0.1", username="a", password="b")["kind"] == "invalid"
    assert ask(url="http://127.0.0.1:1")["kind"] == "invalid", "the stored password stays here"


def test_refused_logins_come_to_no_ban(api: ServedApi) -> None:
    wrong = {"url": api.fake.url, "username": "admin", "password": "wrong"}

    answers = [api.client.post("/api/v1/connection/test", wrong) for _ in range(5)]

    assert [answer.status for answer in answers] == [200, 200, 429, 429, 429]
    assert api.fake.failed_logins == 2
    assert int(answers[-1].headers["retry-after"]) <= 10


def test_refused_logins_are_counted_whatever_the_server_is_called(api: ServedApi) -> None:
    port = api.fake.url.rsplit(":", 1)[1]
    names = ("localhost", "127.0.0.1", "127.1", "localhost.")

    answers = [
        api.client.post(
            "/api/v1/connection/test", {"url": f"http://{name}:{port}", "username": "admin", "password": "wrong"}
        )
        for name in names
        for _ in range(2)
    ]

    assert [answer.status for answer in answers] == [200, 200] + [429] * 6
    assert "try again in 10 s" in answers[2].json()["detail"]
    assert api.fake.failed_logins == 2


def test_connection_that_says_nothing_is_given_up(api: ServedApi) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        began = time.monotonic()

        found = api.client.post("/api/v1/connection/test", {"url": url, "username": "a", "password": "b"}).json()

        assert found["kind"] in ("unreachable", "timeout")
        assert time.monotonic() - began < 30


def test_connection_that_hangs_holds_up_no_cycle(api: ServedApi) -> None:
    right = {"url": api.fake.url, "username": api.fake.username, "password": api.fake.password}
    api.fake.fail_next("auth/login", Fault.HANG)
    asking = threading.Thread(target=lambda: api.client.post("/api/v1/connection/test", right))
    asking.start()

    api.next_cycle()

    assert asking.is_alive()
    api.fake.release()
    asking.join()


def test_test_message_without_addresses_is_refused(api: ServedApi) -> None:
    api.client.post("/api/v1/notifications/test", {}).problem(422)


def test_test_message_says_what_came_of_it(api: ServedApi) -> None:
    found = api.client.post("/api/v1/notifications/test", {"urls": ["json://127.0.0.1:1/secret-token-0123"]}).json()

    assert not found["ok"]
    assert found["results"][0]["problem"]
    assert "secret-token" not in json.dumps(found)


# -- first run --------------------------------------------------------------------------------------------------------

USER = {"username": "me", "password": "correct horse battery"}


def log_in(api: ServedApi) -> Answer:
    """The API restarts to take the user up."""
    answers: list[Answer] = []

    def logged_in() -> bool:
        try:
            answers.append(api.client.post("/api/v1/session", USER, key=None))
        except Exception:
            return False
        return answers[-1].status == 200

    until(logged_in, "a login")
    return answers[-1]


def test_first_user_is_made_and_logs_in(fresh: ServedApi) -> None:
    before = fresh.client.get("/api/v1/setup", key=None).json()
    assert before == {"user": False, "open": False, "may_create_user": True, "why_not": "", "steps": None}

    made = fresh.client.post("/api/v1/setup/user", USER, key=None)

    assert (made.status, made.json()) == (201, {"user": "me", "in_effect": True, "problem": ""})
    assert "password: '$argon2id$" in fresh.config.read_text()
    session = log_in(fresh)
    cookie = session.headers["set-cookie"].partition(";")[0]
    steps = fresh.client.get("/api/v1/setup", key=None, headers={"Cookie": cookie}).json()["steps"]
    assert (steps["connection"], steps["dry_run"], steps["torrents"], steps["capped"]) == (True, True, 6, 1)
    fresh.client.post("/api/v1/setup/user", USER, key=None).problem(409, "user-exists")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 403),
        ({"Host": "203.0.113.9:8089"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "null"}, 403),
        ({"X-Forwarded-For": "192.168.1.9"}, 403),
        ({"Forwarded": "for=192.168.1.9"}, 403),
        ({"X-Api-Key": "wrong-key-of-the-tests"}, 401),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
    ],
    ids=str,
)
def test_page_or_machine_of_others_makes_no_user(fresh: ServedApi, headers: dict[str, str], status: int) -> None:
    answer = fresh.client.post("/api/v1/setup/user", USER, key=None, headers=headers)

    assert answer.status == status
    assert "access-control-allow-origin" not in answer.headers
    assert "auth:" not in fresh.config.read_text()


@pytest.mark.parametrize("body", [{"username": "me", "password": "short"}, {"username": " ", "password": "x" * 9}, {}])
def test_poor_user_is_refused(fresh: ServedApi, body: dict[str, str]) -> None:
    fresh.client.post("/api/v1/setup/user", body, key=None).problem(400)


def test_installation_that_holds_caps_asks_for_the_key(tmp_path: Path) -> None:
    with fake_with_torrents() as fake:
        api = ServedApi(tmp_path, fake)
        write(api, auth="")
        api.start()
        try:
            refused = api.client.post("/api/v1/setup/user", USER, key=None).problem(403, "setup-refused")
            assert "limits are being written" in refused["detail"]
            key = subprocess.run(
                [sys.executable, "-m", "qguardarr", "api-key", "--config", str(api.config)],
                capture_output=True, text=True, check=True,
            ).stdout.strip()  # fmt: skip
            assert api.client.post("/api/v1/setup/user", USER, key=key).status == 201
        finally:
            api.daemon.kill()


def test_many_who_come_at_once_make_one_user(fresh: ServedApi) -> None:
    answers: list[int] = []

    def ask(name: str) -> None:
        answers.append(fresh.client.post("/api/v1/setup/user", {**USER, "username": name}, key=None).status)

    threads = [threading.Thread(target=ask, args=(f"user{n}",)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(answers) == [201, 409, 409]
