"""Several qBittorrents under one set of caps: the daemon, its API and the commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.processes import free_port
from qguardarr.adapters.sqlite.journal import SqliteJournal
from tests.support.api_client import KEY, ApiClient
from tests.support.daemon_process import DaemonProcess, daemon, until
from tests.support.fake_qbittorrent import FakeQBittorrent, FakeTorrent
from tests.support.live_settings import rule
from tests.support.terminal import terminal

NAMES = ("home", "box")
TWIN = "7" * 40
"""A torrent that both have."""
OWN = {"home": "1" * 40, "box": "2" * 40}
ORIGINAL = 700_000


def torrent(hash_: str) -> FakeTorrent:
    return FakeTorrent(hash_, trackers=("http://alpha.example/announce",))


class Place:
    """Two fake qBittorrents, and a configuration that names both."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config, self.database = folder / "qguardarr.yaml", folder / "data" / "journal.db"
        self.port = free_port()
        self.fakes = {name: FakeQBittorrent() for name in NAMES}
        for name, fake in self.fakes.items():
            fake.__enter__()
            fake.refresh_interval_ms = 500
            fake.add(torrent(OWN[name]), torrent(TWIN))
        self.fakes["box"].torrents[TWIN].up_limit = ORIGINAL

    def close(self) -> None:
        for fake in self.fakes.values():
            fake.__exit__(None, None, None)

    def connection(self, name: str, /, **more: Any) -> dict[str, Any]:
        fake = self.fakes[name]
        return {"url": fake.url, "username": fake.username, "password": fake.password, **more}

    def write(self, connection: object, **settings: Any) -> None:
        """The file, with this section `qbittorrent`."""
        content = {
            "qbittorrent": connection,
            "global": {"port": self.port, "update_interval": 0.5, **settings},
            "trackers": [rule("t", pattern="alpha"), rule("default", pattern=".*", max_upload_speed=-1)],
            "auth": {"api_key": KEY},
            "rollback": {"database_path": str(self.database)},
        }
        fresh = self.config.with_name("fresh")
        fresh.write_text(json.dumps(content, indent=1))
        fresh.replace(self.config)

    def write_both(self, **settings: Any) -> None:
        self.write([self.connection(name, name=name) for name in NAMES], **settings)

    def limits(self, name: str) -> dict[str, int]:
        with self.fakes[name].lock:
            return {torrent.hash: torrent.up_limit for torrent in self.fakes[name].torrents.values()}

    def all_limited(self) -> bool:
        return all(0 < limit < ORIGINAL for name in NAMES for limit in self.limits(name).values())

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command."""
        return subprocess.run(
            [sys.executable, "-m", "qguardarr", *arguments, "--config", str(self.config)],
            env={**os.environ, "PYTHONPATH": str(Path("src").absolute())},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def limited_and_killed(self) -> None:
        """A daemon limits all torrents, and is killed."""
        with daemon(self.config, self.database) as running:
            until(self.all_limited, "limits at both")
            cycle = running.wait_for_state("holding").cycle
            until(lambda: (s := running.status) is not None and s.cycle > cycle, "the end of the cycle that wrote")
            running.kill()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.close()


def row(running: DaemonProcess, name: str) -> Any:
    status = running.status
    return None if status is None else next((row for row in status.instances if row.name == name), None)


def test_both_are_held_and_shown_and_one_may_go_and_come_back(place: Place) -> None:
    place.write_both()
    api = ApiClient(place.port, KEY)
    with daemon(place.config, place.database) as running:
        until(place.all_limited, "limits at both")
        status = running.wait_for_state("holding")
        assert [(one.name, one.state, one.torrents) for one in status.instances] == [
            ("home", "read", 2),
            ("box", "read", 2),
        ]
        assert (status.torrents, status.troubles) == (4, ())
        assert [one.url for one in status.instances] == [place.fakes[name].url for name in NAMES]

        listed = api.get("/api/v1/torrents?sort=hash&order=asc").json()["torrents"]
        assert [(one["instance"], one["hash"]) for one in listed] == [
            ("home", OWN["home"]),
            ("box", OWN["box"]),
            ("home", TWIN),
            ("box", TWIN),
        ]
        only = api.get("/api/v1/torrents?instance=box&view=new").json()
        assert {one["instance"] for one in only["torrents"]} == {"box"}
        assert api.get(f"/api/v1/torrents/{OWN['box']}").json()["instance"] == "box"
        refused = api.get(f"/api/v1/torrents/{TWIN}")
        assert (refused.status, refused.json()["type"]) == (409, "/problems/several-have-it")
        assert api.get(f"/api/v1/torrents/{TWIN}?instance=box").json()["original"] == ORIGINAL
        assert api.get(f"/api/v1/torrents/{TWIN}/recent?instance=home").json()["torrent"]["original"] is None
        lines = api.get("/api/v1/journal?limit=50").json()["lines"]
        assert {line["instance"] for line in lines} == set(NAMES)
        lines = api.get("/api/v1/journal?instance=home").json()["lines"]
        assert {line["instance"] for line in lines} == {"home"}
        assert 'qguardarr_instance_up{instance="box"} 1.0' in api.get("/metrics").body.decode()

        event = {"event": "add", "hash": OWN["box"], "instance": "box"}
        assert api.post("/webhook", event).status == 202
        assert api.post("/webhook", {**event, "instance": "elsewhere"}).status == 400

        shown = place.run("status")
        assert "home           qBittorrent" in shown.stdout
        assert f"at {place.fakes['box'].url}; 2 torrents, 2 with a limit of ours" in shown.stdout

        place.fakes["box"].stop()
        until(lambda: row(running, "box").state == "away", "box to be away")
        until(lambda: any("box is away" in line for line in running.status.troubles), "a trouble")  # type: ignore[union-attr]
        assert running.status.state == "holding"  # type: ignore[union-attr]
        place.fakes["home"].add(torrent("3" * 40))
        until(lambda: place.limits("home")["3" * 40] > 0, "a limit for a new torrent at the other one")
        assert 'qguardarr_instance_up{instance="box"} 0.0' in api.get("/metrics").body.decode()
        place.fakes["box"].start()
        until(lambda: row(running, "box").state == "read", "box to be back")
        until(lambda: running.status.troubles == (), "no trouble any more")  # type: ignore[union-attr]


def test_questions_about_rules_are_answered_for_all_and_for_each(place: Place) -> None:
    """Which rule a torrent gets, why it has it, and what a change would do to limits."""
    place.write_both()
    api = ApiClient(place.port, KEY)
    with daemon(place.config, place.database) as running:
        until(place.all_limited, "limits at both")
        running.wait_for_state("holding")
        box = {"op": "insert", "path": ["trackers"], "before": "t"}
        box["value"] = {"id": "b", "instance": "box", "max_upload_speed": "50 kB/s"}
        lower = {"op": "set", "path": ["trackers", "t", "max_upload_speed"], "value": "300 kB/s"}
        tried = api.post("/api/v1/config/try", {"edits": [box, lower], "effect": True, "torrents_of": "b"}).json()
        assert tried["effect_problem"] == ""
        effect = tried["effect"]
        assert {row["id"]: (row["torrents"], row["new_torrents"]) for row in effect["trackers"]} == {
            "b": (0, 2),
            "t": (4, 2),
            "default": (0, 0),
        }
        assert (effect["moved"], effect["changes"], effect["left_out"]) == (2, 4, [])
        assert {(row["instance"], row["new_tracker"]) for row in effect["torrents"]} == {("home", "t"), ("box", "b")}
        assert {row["instance"] for row in effect["selected"]} == {"box"}

        etag = api.get("/api/v1/config/file").json()["etag"]
        saved = api.post("/api/v1/config/save", {"edits": [box], "etag": etag}).json()
        assert saved["in_effect"], saved
        until(lambda: max(place.limits("box").values()) <= 50_000, "the new cap at one of them")
        assert min(place.limits("home").values()) > 50_000
        judged = api.post("/api/v1/match", {"instance": "box"}).json()
        assert (judged["instance"], judged["tracker"], judged["rules"][0]["reason"]) == ("box", "b", "on 'box'")
        judged = api.post("/api/v1/match", {}).json()
        assert (judged["instance"], judged["tracker"]) == ("home", "default")
        assert api.post("/api/v1/match", {"instance": "elsewhere"}).status == 404
        assert api.get(f"/api/v1/torrents/{TWIN}/hosts").status == 409
        why = api.get(f"/api/v1/torrents/{TWIN}/hosts?instance=home").json()["rules"]
        assert why[0]["reason"] == "it is on 'home', not 'box'"
        why = api.get(f"/api/v1/torrents/{TWIN}/hosts?instance=box").json()["rules"]
        assert [(rule["tracker"], rule["reason"]) for rule in why] == [("b", "on 'box'")]
        for name, fake in place.fakes.items():
            logins = fake.count("auth/login")
            tried = api.post("/api/v1/connection/test", {"instance": name}).json()
            assert (tried["ok"], fake.count("auth/login")) == (True, logins + 1)
        assert api.post("/api/v1/connection/test", {"instance": "elsewhere"}).status == 404
        refused = api.post("/api/v1/connection/test", {"instance": "box", "url": place.fakes["home"].url}).json()
        assert refused["kind"] == "invalid", "a stored password goes to no other address, not even another entry's"
        hosts = api.get("/api/v1/hosts?fresh=true").json()["hosts"]
        assert [host["rules"] for host in hosts] == [["b", "t"]]


def test_a_rollback_of_one_and_then_of_all_after_a_kill(place: Place) -> None:
    place.write_both()
    place.limited_and_killed()
    before = place.limits("home")
    refused = place.run("rollback", "--yes", "--instance", "elsewhere")
    assert refused.returncode
    assert "known: home, box" in refused.stderr
    done = place.run("rollback", "--yes", "--instance", "box", "--json")
    assert done.returncode == 0, done.stderr
    assert sorted(json.loads(done.stdout)["restored"]) == [f"box/{OWN['box']}", f"box/{TWIN}"]
    assert place.limits("box") == {OWN["box"]: 0, TWIN: ORIGINAL}
    assert place.limits("home") == before
    done = place.run("rollback", "--yes")
    assert done.returncode == 0, done.stderr
    assert set(place.limits("home").values()) == {0}
    lines = json.loads(place.run("history", "--instance", "box", "--json").stdout)
    assert {line["instance"] for line in lines} == {"box"}


def test_a_torrent_of_both_is_reset_at_the_one_that_is_named(place: Place) -> None:
    place.write_both()
    place.limited_and_killed()
    refused = place.run("reset", TWIN)
    assert "give --instance" in refused.stderr
    assert place.run("reset", TWIN, "--instance", "box").returncode == 0
    assert place.limits("box")[TWIN] == ORIGINAL
    assert place.limits("home")[TWIN] > 0
    assert place.run("reset", OWN["home"][:8]).returncode == 0
    assert place.limits("home")[OWN["home"]] == 0


def test_while_one_is_away_a_rollback_restores_the_others_and_says_so(place: Place) -> None:
    place.write_both()
    place.limited_and_killed()
    place.fakes["box"].stop()
    done = place.run("rollback", "--yes")
    assert done.returncode
    assert "2 torrents could not be restored" in done.stdout
    assert set(place.limits("home").values()) == {0}
    place.fakes["box"].start()
    assert place.run("rollback", "--yes").returncode == 0
    assert place.limits("box") == {OWN["box"]: 0, TWIN: ORIGINAL}


def test_limits_of_the_mapping_are_claimed_by_an_entry_of_the_list_or_nothing_starts(place: Place) -> None:
    place.fakes["home"].torrents[TWIN].up_limit = ORIGINAL
    place.write(place.connection("home"))
    with daemon(place.config, place.database) as running:
        until(lambda: all(0 < limit < ORIGINAL for limit in place.limits("home").values()), "limits")
        cycle = running.wait_for_state("holding").cycle
        until(lambda: (s := running.status) is not None and s.cycle > cycle, "the end of the cycle that wrote")
        place.write_both()
        until(lambda: "at a restart only" in running.status.reload_error, "a refusal")  # type: ignore[union-attr]
    before = place.limits("home")
    refused = place.run("serve")
    assert refused.returncode
    assert "limits of 2 torrents of the qBittorrent that had no name" in refused.stderr
    assert 'write `formerly: ""` into the entry' in refused.stderr
    told = place.run("rollback", "--yes")
    assert told.returncode
    assert "which is not in the file" in told.stderr
    assert place.limits("home") == before, "nobody knows which one it is"
    place.run("resume")
    place.write([place.connection("home", name="home", formerly=""), place.connection("box", name="box")])
    with daemon(place.config, place.database) as running:
        until(place.all_limited, "limits at both")
        running.kill()
    journal = SqliteJournal(place.database)
    assert set(journal.instances()) == set(NAMES)
    journal.close()
    place.write_both()
    assert place.run("rollback", "--yes").returncode == 0
    assert place.limits("home") == {OWN["home"]: 0, TWIN: ORIGINAL}
    assert place.limits("box") == {OWN["box"]: 0, TWIN: ORIGINAL}


def test_a_rollback_finds_limits_under_an_earlier_name(place: Place) -> None:
    place.write(place.connection("home"))
    with daemon(place.config, place.database) as running:
        until(lambda: all(place.limits("home").values()), "limits")
        running.kill()
    place.write([place.connection("home", name="home", formerly=""), place.connection("box", name="box")])
    assert place.run("rollback", "--yes").returncode == 0
    assert set(place.limits("home").values()) == {0}


def test_an_entry_with_limits_is_not_taken_out(place: Place) -> None:
    place.write_both()
    place.limited_and_killed()
    place.write([place.connection("home", name="home")])
    refused = place.run("serve")
    assert refused.returncode
    assert "limits of 2 torrents of the qBittorrent 'box'" in refused.stderr
    assert "qguardarr rollback --instance box" in refused.stderr


def test_one_that_is_gone_for_good_is_forgotten(place: Place) -> None:
    place.write_both()
    with daemon(place.config, place.database) as running:
        until(place.all_limited, "limits at both")
        cycle = running.wait_for_state("holding").cycle
        until(lambda: (s := running.status) is not None and s.cycle > cycle, "the end of the cycle that wrote")
        place.write([place.connection("home", name="home")])
        refused = place.run("forget", "--instance", "box", "--yes")
        assert (refused.returncode, "stop it first" in refused.stderr) == (5, True), "it is still guarded"
        running.kill()
    place.fakes["box"].stop()
    assert "`qguardarr forget --instance box` if it is gone for good" in place.run("serve").stderr
    with terminal(
        [sys.executable, "-m", "qguardarr", "forget", "--instance", "box", "--config", str(place.config)],
        cwd=place.folder,
        environment={"PYTHONPATH": str(Path("src").absolute())},
    ) as opened:
        assert "2 torrents there" in " ".join(opened.expect("[y/N]: ").split())
        opened.type("n\n")
        opened.expect("Nothing was done")
    done = place.run("forget", "--instance", "box", "--yes", "--json")
    assert (done.returncode, json.loads(done.stdout)) == (0, {"instance": "box", "torrents": 2})
    with daemon(place.config, place.database) as running:
        assert running.wait_for_state("holding").torrents == 2
    assert place.run("rollback", "--yes").returncode == 0
    assert set(place.limits("home").values()) == {0}
    assert set(place.limits("box").values()) != {0, ORIGINAL}, "nothing is written there"


def test_rules_that_ask_a_server_for_what_it_does_not_tell_are_remarked(place: Place) -> None:
    """qBittorrent 4.x does not say which torrents are private. A rule without torrents is no warning of the daemon."""
    place.fakes["box"].version = "4.5.2"
    for each in place.fakes["home"].torrents.values():
        each.private = False
    place.write_both()
    content = json.loads(place.config.read_text())
    own = {"id": "own", "private": True, "max_upload_speed": "1 MB/s"}
    place.config.write_text(json.dumps({**content, "trackers": [own, *content["trackers"]]}))
    told = "qBittorrent v4.5.2 at 'box' does not tell which torrents are private (5.0 and newer do), so the rule 'own'"
    told += " takes none of its torrents"
    with daemon(place.config, place.database) as running:
        until(lambda: (s := running.status) is not None and s.troubles == (told,), "a trouble, and no more than that")
        assert told in place.run("status").stdout.replace("\n", " ")
        assert place.run("health").returncode == 0
        running.kill()
    none = "the rule 'own' has selected no torrent so far"
    assert json.loads(place.run("preview", "--json").stdout)["notes"] == [told, none]
    shown = place.run("check", "--connect")
    assert f"warning: {told}\n" in shown.stdout
    assert f"warning: {none}\n" in shown.stdout


def test_check_names_each(place: Place) -> None:
    place.write_both()
    shown = place.run("check", "--connect")
    assert shown.returncode == 0, shown.stderr
    for name in NAMES:
        assert f"{name}: qBittorrent" in shown.stdout
    rows = [line.split() for line in shown.stdout.splitlines()]
    assert ["rule", "cap", "torrents", "home", "box"] in rows
    assert ["t", "1", "MB/s", "4", "2", "2"] in rows
    found = json.loads(place.run("check", "--connect", "--json").stdout)
    assert {name: one["torrents"] for name, one in found["qbittorrent"].items()} == {"home": 2, "box": 2}
    place.fakes["box"].stop()
    shown = place.run("check", "--connect")
    assert shown.returncode == 3
    assert "home: qBittorrent" in shown.stdout
    assert "qguardarr: box: no connection" in shown.stderr
    found = json.loads(place.run("check", "--connect", "--json").stdout)
    assert (found["ok"], found["qbittorrent"]["home"]["torrents"]) == (False, 2)
    assert found["qbittorrent"]["box"]["error"]
    place.fakes["box"].start()
    hosts = json.loads(place.run("trackers", "--json").stdout)
    assert [(host["host"], host["torrents"], host["instances"], host["rules"]) for host in hosts] == [
        ("alpha.example", 4, ["home", "box"], ["t"])
    ]
    shown = place.run("install-hook", "--print", "--instance", "box")
    assert "-d instance=box " in shown.stdout
    assert "give --instance: home, box" in place.run("install-hook", "--print").stderr
    found = json.loads(place.run("preview", "--json").stdout)
    assert {change["instance"] for change in found["changes"]} == set(NAMES)
