"""The commands on a fake qBittorrent: what they print, what they change, and their exit codes."""

from __future__ import annotations

import contextlib
import io
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import structlog
import yaml

from lab.processes import free_port
from qguardarr import cli
from qguardarr.adapters import keys
from qguardarr.adapters.sqlite.journal import SqliteJournal
from qguardarr.adapters.statusfile import StatusFile, only_daemon, status_path
from qguardarr.cli import check, trackers, undo
from qguardarr.cli.text import moment
from qguardarr.core.model import UNLIMITED, Change
from qguardarr.core.select.matcher import Matcher
from tests.support import samples
from tests.support.api_client import ApiClient
from tests.support.configs import loads
from tests.support.daemon_process import daemon, until
from tests.support.fake_qbittorrent import FakeQBittorrent, FakeTorrent, Fault

HASHES = [f"{n:040x}" for n in range(1, 5)]
PASSKEY = "0123456789abcdef"
ALPHA = f"https://tracker.alpha.example/{PASSKEY}/announce"
BETA = f"udp://beta.example:6969/announce?key={PASSKEY}"


class Done(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Bench:
    """A configuration, its fake qBittorrent, and `qguardarr` run in this process."""

    def __init__(self, folder: Path, fake: FakeQBittorrent, capsys: pytest.CaptureFixture[str]) -> None:
        self.config, self.database, self.fake = folder / "config/qguardarr.yaml", folder / "data/journal.db", fake
        self.port = free_port()
        self.config.parent.mkdir()
        self._capsys = capsys
        self.write()

    def write(self, *, trackers: str | None = None, main: str = "", more: str = "") -> None:
        rules = """
trackers:
  - {id: alpha, pattern: 'alpha', max_upload_speed: 1 MB/s}
  - {id: default, pattern: '.*', max_upload_speed: unlimited}
"""
        self.config.write_text(
            f"""
global: {{port: {self.port}, update_interval: 0.5{main}}}
qbittorrent: {{url: "{self.fake.url}", username: admin, password: "{self.fake.password}"}}
rollback: {{database_path: {self.database}}}
{rules if trackers is None else trackers}{more}
"""
        )

    def run(self, *arguments: str) -> Done:
        """`qguardarr ARGUMENTS` in the folder of the configuration."""
        self._capsys.readouterr()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["qguardarr", *arguments])
            patch.setattr(sys, "stdin", io.StringIO())
            patch.chdir(self.config.parent.parent)
            with pytest.raises(SystemExit) as ended:
                cli.main()
        structlog.reset_defaults()
        captured = self._capsys.readouterr()
        assert PASSKEY not in captured.out + captured.err
        assert self.fake.password not in captured.out + captured.err
        assert "Traceback" not in captured.err
        code = ended.value.code
        return Done(code if isinstance(code, int) else 0, captured.out, captured.err)

    def journal(self) -> SqliteJournal:
        return SqliteJournal(self.database)

    def touch(self, limit: int, *hashes: str, original: int = UNLIMITED) -> None:
        """As if a daemon had limited these."""
        journal = self.journal()
        changes = [Change(h, original, limit, original, "fair share of alpha") for h in hashes]
        journal.applied(journal.intend(changes))
        journal.close()
        for torrent_hash in hashes:
            self.fake.torrents[torrent_hash].up_limit = limit


@pytest.fixture
def bench(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    for name in ("QGUARDARR_CONFIG", "QBIT_PASSWORD", "QBIT_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(trackers, "WATCH_S", 1.2)
    monkeypatch.setattr(trackers, "READ_EVERY_S", 0.1)
    with FakeQBittorrent() as fake:
        fake.add(
            FakeTorrent(HASHES[0], "first", (ALPHA,)),
            FakeTorrent(HASHES[1], "second \x1b[31m[red]", (ALPHA, BETA)),
            FakeTorrent(HASHES[2], "third", (BETA,)),
            FakeTorrent(HASHES[3], "fourth", ()),
        )
        yield Bench(tmp_path, fake, capsys)


# -- check ------------------------------------------------------------------------------------------------------------


def test_a_good_configuration_passes(bench: Bench) -> None:
    done = bench.run("check")
    assert done.code == 0
    assert "no faults; 2 rules, 1 of them with a cap" in done.out
    assert not bench.database.exists()
    bench.write(trackers="trackers: [{id: default, pattern: '.*', max_upload_speed: unlimited}]")
    assert "no faults; 1 rule, none of them with a cap" in bench.run("check").out


def test_notes_are_shown(bench: Bench) -> None:
    bench.write(main=", uplink: 500 kB/s")
    assert "note: trackers: the cap of 'alpha' is more than global.uplink" in bench.run("check").out


def test_all_faults_are_listed_with_their_lines(bench: Bench) -> None:
    bench.write(main=", updatee: 3", more="logging: {level: loud}")
    done = bench.run("check")
    assert done.code == 2
    assert "qguardarr.yaml:2: global.updatee" in done.err
    assert "logging.level" in done.err
    as_json = bench.run("check", "--json")
    assert as_json.code == 2
    assert as_json.json["ok"] is False
    first = as_json.json["faults"][0]
    assert (first["file"], first["line"]) == ("config/qguardarr.yaml", 2)
    assert first["text"].startswith("global.updatee: is not a setting")


def test_a_missing_file_is_a_fault_of_the_configuration(bench: Bench) -> None:
    done = bench.run("check", "-c", "nowhere.yaml")
    assert done.code == 2
    assert f"{bench.config.parents[1]}/nowhere.yaml: there is no such file" in done.err
    assert "--config" in done.err  # whoever stands in another folder needs that, not an example to copy
    (fault,) = bench.run("check", "-c", "nowhere.yaml", "--json").json["faults"]
    assert (fault["file"], fault["line"]) == (None, None)
    assert "there is no such file" in fault["text"]


def test_an_address_that_apprise_does_not_understand_is_a_fault(bench: Bench) -> None:
    bench.write(
        more=f"notifications:\n  urls:\n    - json://127.0.0.1/x\n    - nonsense://{PASSKEY}\n    - tgram://x\n"
    )
    done = bench.run("check")
    assert done.code == 2
    line = len(bench.config.read_text().rstrip().splitlines())
    assert f"qguardarr.yaml:{line - 1}: notifications.urls[1]: Apprise does not understand this address" in done.err
    assert f"qguardarr.yaml:{line}: notifications.urls[2]: Apprise" in done.err
    assert "urls[0]" not in done.err
    assert done.err.count(". hint: write it as https://github.com/caronc/apprise/wiki says") == 2
    assert bench.run("check", "--json").json["faults"][0]["line"] == line - 1
    bench.write(more="notifications: {urls: ['json://127.0.0.1/x']}")
    assert bench.run("check").code == 0


def test_the_environment_may_name_the_file(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QGUARDARR_CONFIG", "nowhere.yaml")
    assert "nowhere.yaml" in bench.run("check").err


def test_the_connection_is_checked_with_versions_counts_and_warnings(bench: Bench) -> None:
    bench.fake.global_up_limit = 500_000
    done = bench.run("check", "--connect")
    assert done.code == 0
    assert "qBittorrent v5.1.0" in done.out
    assert "accepts the login of admin" in done.out
    assert "4 torrents; qBittorrent's own global upload limit: 500 kB/s" in done.out
    assert "more than qBittorrent's own global limit" in done.out
    found = bench.run("check", "--connect", "--json").json["qbittorrent"]
    assert found["torrents_by_rule"] == {"alpha": 2, "default": 2}
    assert found["global_limit"] == 500_000


def test_a_rule_without_torrents_is_worth_a_warning(bench: Bench) -> None:
    bench.fake.remove(*HASHES[:2])
    assert "the rule 'alpha' has selected no torrent so far" in bench.run("check", "--connect").out


@pytest.mark.parametrize("command", [("check", "--connect"), ("trackers",), ("preview",)])
def test_a_qbittorrent_that_is_away_or_refuses_has_an_exit_code(bench: Bench, command: tuple[str, ...]) -> None:
    bench.fake.password = "another password"
    done = bench.run(*command)
    assert done.code == 3
    assert "refuses" in done.err
    assert "not tried again" not in done.err
    assert bench.fake.failed_logins == 1
    bench.fake.stop()
    done = bench.run(*command)
    assert done.code == 3
    assert "no connection to qBittorrent" in done.err
    assert done.err.count("qguardarr: ") == 1


def test_a_journal_that_is_none_has_an_exit_code(bench: Bench) -> None:
    bench.database.parent.mkdir()
    bench.database.write_text("no journal")
    for command in ("check", "status", "history", "resume"):
        assert bench.run(command).code == 4


# -- trackers ---------------------------------------------------------------------------------------------------------


def test_trackers_are_listed_with_torrents_and_rules(bench: Bench) -> None:
    done = bench.run("trackers")
    assert done.code == 0
    lines = {line.split()[0]: line.split() for line in done.out.splitlines()}
    assert lines["tracker.alpha.example"][1] == "2"
    assert lines["tracker.alpha.example"][-1] == "alpha"
    assert lines["beta.example:6969"][1] == "2"
    assert lines["(none)"][1] == "1"


def test_speeds_are_measured_from_counters(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    steps, began = iter(range(100)), time.monotonic()

    def sleep(_seconds: float) -> None:
        if next(steps) % 4 == 0:  # qBittorrent's counters move more rarely than they are read
            torrent = bench.fake.torrents[HASHES[2]]
            torrent.state, torrent.uploaded_session = "uploading", int(250_000 * (time.monotonic() - began)) + 1
        waited.wait(0.1)

    waited = threading.Event()
    monkeypatch.setattr(trackers.time, "sleep", sleep)
    hosts = {host["host"]: host for host in bench.run("trackers", "--json").json}
    assert hosts["beta.example:6969"]["uploading"] == 1
    assert 100_000 < hosts["beta.example:6969"]["rate"] < 400_000
    assert hosts["tracker.alpha.example"]["rate"] == 0


def test_trackers_need_no_more_than_the_way_to_qbittorrent(bench: Bench) -> None:
    bench.write(trackers="")
    done = bench.run("trackers")
    assert done.code == 0
    assert "tracker.alpha.example" in done.out
    assert "has faults" in done.err


def test_trackers_need_no_configuration_at_all(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.config.unlink()
    assert "or give --url" in bench.run("trackers").err
    by_url = ("trackers", "--url", bench.fake.url, "--username", "admin")
    assert bench.run(*by_url).code == 2
    monkeypatch.setenv("QBIT_PASSWORD", bench.fake.password)
    assert "tracker.alpha.example" in bench.run(*by_url).out
    assert {tuple(host["rules"]) for host in bench.run(*by_url, "--json").json} == {()}


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("localhost:8080", "qguardarr: --url: must be an address such as"),
        ("ftp://x", "qguardarr: --url: must be an address such as"),
        ("http://admin:hunter2@x", "qguardarr: --url: must not hold credentials. hint: write them as --username"),
    ],
)
def test_an_address_of_qbittorrent_that_is_none_is_a_fault_of_the_command_line(
    bench: Bench, url: str, words: str
) -> None:
    for more in ((), ("--username", "admin")):
        done = bench.run("trackers", "--url", url, *more)
        assert done.code == 2
        assert done.err.startswith(words)
        assert "hunter2" not in done.err


def test_a_user_name_without_an_address_would_mean_nothing(bench: Bench) -> None:
    done = bench.run("trackers", "--username", "somebody")
    assert done.code == 2
    assert "--username goes with --url" in done.err


def test_the_rules_that_are_proposed_load_and_match(bench: Bench) -> None:
    rules = yaml.safe_load(bench.run("trackers", "--yaml").out)
    config = loads(yaml.safe_dump(rules))
    assert [rule.id for rule in config.trackers] == ["beta-example-6969", "tracker-alpha-example", "default"]
    matcher = Matcher(config.policy().classes)
    assert [matcher.match((url,)) for url in (BETA, ALPHA, "http://elsewhere.example/a")] == [0, 1, 2]


def test_a_host_does_not_take_the_torrents_of_one_that_begins_alike(bench: Bench) -> None:
    """One torrent with the tracker `http://tracker/` must not take those of tracker.alpha.example out of their rule."""
    others = ("http://tracker/announce", "udp://tracker.alpha.example:6969/announce", "http://beta/announce")
    bench.fake.add(*(FakeTorrent(f"{n:040x}", "alike", (url,)) for n, url in enumerate(others, 0xE0)))
    config = loads(bench.run("trackers", "--yaml").out)
    matcher = Matcher(config.policy().classes)
    urls = (ALPHA, BETA, *others)
    assert len({matcher.match((url,)) for url in urls}) == len(urls), [rule.pattern for rule in config.trackers]


def test_a_hosts_name_of_any_length_gets_a_rule_that_loads(bench: Bench) -> None:
    long = "z" * 400
    bench.fake.add(
        FakeTorrent("e" * 40, "hostile", (f"http://{long}/announce",)),
        FakeTorrent("f" * 40, "hostile", (f"http://{long}y/announce",)),
    )
    config = loads(bench.run("trackers", "--yaml").out)
    assert len({rule.id for rule in config.trackers}) == 5
    matcher = Matcher(config.policy().classes)
    assert config.trackers[matcher.match((f"http://{long}y/announce",))].id == "z" * 60 + "-2"


# -- preview ----------------------------------------------------------------------------------------------------------


def test_a_preview_says_what_would_be_written_and_writes_nothing(bench: Bench) -> None:
    done = bench.run("preview")
    assert done.code == 0
    assert re.search(r"The next cycle would change 2 limits in (1 call|2 calls):", done.out)
    line = next(line for line in done.out.splitlines() if line.startswith("first"))
    assert "unlimited  →" in line
    assert "idle on alpha" in line
    assert "\x1b" not in done.out
    assert bench.fake.count("setUploadLimit") == 0
    assert not bench.database.exists()


def test_a_preview_in_json_can_be_cut(bench: Bench) -> None:
    found = bench.run("preview", "--json").json
    assert {change["hash"] for change in found["changes"]} == set(HASHES[:2])
    assert all(change["old"] is None and change["new"] > 0 for change in found["changes"])
    cut = bench.run("preview", "--json", "--limit", "1").json
    assert (len(cut["changes"]), cut["total_changes"]) == (1, 2)


def test_a_preview_says_which_conditions_matched(bench: Bench) -> None:
    bench.fake.torrents[HASHES[2]].tags = "keep, slow"
    kept = "  - {id: kept, tags: [keep, gold], max_upload_speed: 1 MB/s}\n"
    bench.write(
        trackers=f"trackers:\n{kept}  - {{id: default, pattern: '.*', max_upload_speed: 2 MB/s}}\n",
    )
    found = {change["hash"]: change for change in bench.run("preview", "--json").json["changes"]}
    assert (found[HASHES[2]]["tracker"], found[HASHES[2]]["selected_by"]) == ("kept", "tag keep")
    assert found[HASHES[0]]["tracker"] == "default"
    out = bench.run("preview").out
    assert out.count("; selected by tag keep") == out.count("selected by") == 1


def test_a_preview_leaves_the_journal_as_it_was(bench: Bench) -> None:
    bench.touch(50_000, HASHES[0])
    bench.fake.torrents[HASHES[0]].up_limit = 70_000  # by hand
    journal = bench.journal()
    before = journal.touched(), journal.history()
    bench.run("preview")
    assert (journal.touched(), journal.history()) == before
    journal.close()


@pytest.mark.process
def test_a_preview_reckons_with_what_the_running_daemon_was_told(bench: Bench) -> None:
    with daemon(bench.config, bench.database) as running:
        running.wait_for_state("holding")
        api = ApiClient(bench.port, keys.api_key(bench.database.parent, None))
        assert api.post("/rollout", {"percentage": 1}).status == 200
        cap = {"cap": "300 kB/s", "seconds": 600}
        assert api.ask("PUT", "/api/v1/trackers/alpha/override", cap).status == 200
        until(
            lambda: (
                (told := running.status) is not None and (told.rollout_percentage, told.trackers[0].cap) == (1, 300_000)
            ),
            "the status with both",
        )
        done = bench.run("preview")
        assert "was told: rollout_percentage 1." in done.out
        assert "was told: cap of alpha: 300 kB/s until" in done.out
        assert bench.run("preview", "--json").json["trackers"][0]["cap"] == 300_000
    assert bench.run("preview", "--json").json["told"] == []


def test_a_preview_says_that_a_pause_is_on(bench: Bench) -> None:
    bench.touch(50_000, HASHES[0])
    bench.run("pause", "--reason", "a test")
    assert "paused (a test)" in bench.run("preview").out


# -- status and history -----------------------------------------------------------------------------------------------


def test_without_a_daemon_the_status_says_so(bench: Bench) -> None:
    done = bench.run("status")
    assert done.code == 1
    assert "No daemon runs" in done.out
    assert bench.run("status", "--json").json == {"running": False, "stale_s": None, "paused": None, "daemon": None}


@pytest.mark.process
def test_the_status_of_a_daemon(bench: Bench) -> None:
    with daemon(bench.config, bench.database) as running:
        running.wait_for_state("holding")
        done = bench.run("status")
        assert done.code == 0
        assert "holds the caps" in done.out
        assert "qBittorrent v5.1.0" in done.out
        assert bench.run("status", "--json").json["daemon"]["trackers"][0]["cap"] == 1_000_000
        bench.write(main=", updatee: 3")
        assert bench.run("status").code == 0  # a file that is being edited
        bench.fake.stop()
        running.wait_for_state("failing")
        done = bench.run("status")
        assert done.code == 1
        assert "Problem" in done.out
        running.kill()
        done = bench.run("status")
        assert done.code == 1
        assert "died without a word" in done.out


@contextlib.contextmanager
def picture(bench: Bench, **changes: Any) -> Iterator[None]:
    """As if a daemon ran and had published this a moment ago."""
    now = time.time()
    with only_daemon(bench.database):
        StatusFile(status_path(bench.database)).write(samples.status(**{"started_at": now - 90, "at": now} | changes))
        yield


def test_the_status_shows_what_is_not_as_the_file_says(bench: Bench) -> None:
    until_s = time.time() + 600
    moved = {"cap": 2_000_000, "override_until": until_s, "cap_reason": "temporary cap", "cap_until": until_s}
    rows = (samples.row("a", **moved), samples.row("b", cap=None, configured=None))
    with picture(bench, rollout_percentage=20, trackers=rows):
        out = bench.run("status").out
    assert "Rollout        only 20 % of the torrents are managed\n" in out
    assert "By hand        3 limits set in qBittorrent since the start\n" in out
    assert "11 of them with a limit of ours, 1 change waits for the next cycle\n" in out
    shown = {line.split("  ")[0]: line for line in out.splitlines()}
    assert "  * 2 MB/s  " in shown["a"]
    assert "*" not in shown["b"]
    assert out.endswith(f"\n* a: 2 MB/s instead of 1 MB/s until {moment(until_s)} (temporary cap)\n")


def test_a_window_that_leaves_the_cap_alone_is_told_without_another_cap(bench: Bench) -> None:
    night = {"cap": 1_000_000, "configured": 1_000_000, "cap_reason": "schedule: daily 00:00 to 08:00, rate 500 kB/s"}
    with picture(bench, trackers=(samples.row("a", **night),)):
        assert bench.run("status").out.endswith("\n* a: 1 MB/s (schedule: daily 00:00 to 08:00, rate 500 kB/s)\n")


def test_the_status_shows_groups_as_the_tree_that_they_are(bench: Bench) -> None:
    rows = (samples.row("hd", parent="private"), samples.row("rest"))
    moved = {"cap": 2_000_000, "cap_reason": "temporary cap"}
    with picture(bench, trackers=rows, parents=(samples.parent_row("private", **moved), samples.parent_row(""))):
        lines = bench.run("status").out.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("tracker"))
    assert [line[: len(line) - len(line.lstrip())] + line.split()[0] for line in lines[start + 1 : start + 5]] == [
        "(line)",
        "  private",
        "    hd",
        "  rest",
    ]
    assert lines[-1] == "* private: 2 MB/s instead of 15 MB/s (temporary cap)"


def test_the_status_says_nothing_of_what_is_as_usual(bench: Bench) -> None:
    with picture(bench, set_by_hand=0, deferred=0, cycle=1, reads=1, written_limits=1, written_calls=1):
        out = bench.run("status").out
    assert "1 cycle, 1 read, 1 limit written in 1 call\n" in out
    for words in ("Rollout", "By hand", "Dry run", "*", "wait"):
        assert words not in out


def test_the_status_of_a_dry_run_counts_what_would_be_written(bench: Bench) -> None:
    with picture(bench, state="observing", dry_run=True):
        out = bench.run("status").out
    assert "only observes" in out
    assert "Dry run        6 limits would be changed now\n" in out
    assert "next cycle" not in out


def test_the_status_does_not_contradict_a_pause_that_the_daemon_has_not_seen(bench: Bench) -> None:
    bench.touch(50_000, HASHES[0])
    bench.run("pause")
    with picture(bench):
        out = bench.run("status").out
        assert "has not seen the pause yet, and pauses with its next cycle.\nPaused: by hand." in out
        assert "holds the caps" not in out
        assert "11 of them with a limit of ours at its last look\n" in out
    with picture(bench, state="paused", problem="by hand"):
        out = bench.run("status").out
        assert "is paused.\nPaused: by hand." in out
        assert "at its last look" not in out
    with picture(bench, state="paused", problem="by hand"):
        bench.run("rollback", "--yes")
        assert "11 of them with a limit of ours at its last look\n" in bench.run("status").out
        bench.run("resume")
        assert "goes on with its next cycle: the pause is over.\n" in bench.run("status").out


def test_history_is_newest_first_and_can_be_narrowed(bench: Bench) -> None:
    assert "Nothing was written yet" in bench.run("history").out
    bench.touch(50_000, HASHES[0], HASHES[1])
    bench.touch(60_000, HASHES[0])
    rows = bench.run("history", "--json").json
    assert [(row["hash"], row["new"]) for row in rows] == [
        (HASHES[0], 60_000), (HASHES[1], 50_000), (HASHES[0], 50_000),
    ]  # fmt: skip
    assert rows[0]["old"] is None
    assert len(bench.run("history", "--json", "--hash", HASHES[1]).json) == 1
    assert len(bench.run("history", "--json", "--limit", "1").json) == 1
    assert len(bench.run("history", "--json", "--before", str(rows[1]["id"])).json) == 1
    assert "60 kB/s  applied" in bench.run("history").out
    assert bench.run("history", "--hash", HASHES[2]).out == "Nothing was written to that torrent yet.\n"
    assert bench.run("history", "--before", "1").out == "Nothing was written before that.\n"
    assert len(bench.run("history", "--json", "--hash", HASHES[1].upper()).json) == 1


def test_history_shows_names_and_short_hashes(bench: Bench) -> None:
    bench.touch(50_000, HASHES[0], HASHES[1])
    with picture(bench):
        out = bench.run("history").out
    assert "first" in out
    assert "second ?[31m[red]" in out
    assert HASHES[0][:10] in out
    assert HASHES[0] not in out


def test_history_needs_neither_qbittorrent_nor_its_password(bench: Bench) -> None:
    bench.touch(50_000, HASHES[0])
    bench.fake.password = "another password"
    done = bench.run("history")
    assert (done.code, HASHES[0][:10] in done.out, done.err) == (0, True, "")
    assert bench.fake.failed_logins == 0, "no daemon was let in, so a login might fail, and bring a ban nearer"
    with picture(bench):
        done = bench.run("history")
    assert (done.code, HASHES[0][:10] in done.out, "first" in done.out) == (0, True, False)
    assert "no names" in done.err


def test_the_beginning_of_a_hash_will_do_if_there_is_only_one_such(bench: Bench) -> None:
    long = "ab" + HASHES[0][2:]
    with contextlib.closing(bench.journal()) as journal:
        changes = [Change(h, UNLIMITED, 50_000, UNLIMITED, "fair share") for h in (*HASHES[:2], long)]
        journal.applied(journal.intend(changes))
    assert [row["hash"] for row in bench.run("history", "--json", "--hash", "AB").json] == [long]
    done = bench.run("history", "--hash", "00")
    assert (done.code, done.out) == (2, "")
    assert "more than one torrent's hash begins with 00" in done.err
    assert bench.run("reset", "00", "--yes").code == 2
    assert bench.run("history", "--hash", "cd").out == "Nothing was written to that torrent yet.\n"
    assert bench.run("reset", "--json", "ab").json["gone"] == [long]


@pytest.mark.parametrize("name", ["zzz", HASHES[0] + "0", ""])
def test_history_of_what_is_no_torrent_is_a_fault_of_the_command_line(bench: Bench, name: str) -> None:
    bench.touch(50_000, HASHES[0])
    done = bench.run("history", "--hash", name)
    assert (done.code, done.out) == (2, "")
    assert "--hash: must be a hash" in done.err


# -- undoing ----------------------------------------------------------------------------------------------------------


def test_a_rollback_restores_pauses_and_reports(bench: Bench) -> None:
    bench.touch(50_000, HASHES[0], original=9_000)
    bench.touch(50_000, HASHES[1])
    done = bench.run("rollback", "--yes")
    assert done.code == 0
    assert "2 torrents have their own limits back, read back from qBittorrent.\n" in done.out
    assert "No torrent had a limit of ours: there was nothing to restore.\n" in bench.run("rollback", "--yes").out
    assert [bench.fake.torrents[h].up_limit for h in HASHES[:2]] == [9_000, 0]
    assert "Paused: rolled back" in bench.run("status").out
    assert bench.run("resume").code == 0
    assert bench.run("status", "--json").json["paused"] is None


def test_a_rollback_asks_first(bench: Bench) -> None:
    bench.touch(50_000, HASHES[0])
    done = bench.run("rollback")
    assert done.code == 2
    assert "--yes" in done.err
    assert bench.fake.torrents[HASHES[0]].up_limit == 50_000


def test_the_question_names_what_would_be_restored(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(undo, "confirm", asked.append)
    bench.touch(50_000, HASHES[0])
    bench.run("reset")
    bench.touch(50_000, *HASHES[:2])
    bench.run("rollback")
    assert asked == [
        "Give 1 torrent its own limit back?",
        "Give 2 torrents their own limits back, and pause Qguardarr?",
    ]


def test_only_a_qbittorrent_that_is_not_in_the_file_is_forgotten(bench: Bench) -> None:
    bench.touch(100, HASHES[0])
    with contextlib.closing(bench.journal()) as journal:
        journal.applied(journal.intend([Change(HASHES[0], 5, 1, 5, "", "box"), Change(HASHES[1], 9, 2, 9, "", "box")]))
    refused = bench.run("forget", "--instance", "", "--yes")
    assert (refused.code, "the only qBittorrent is in the file" in refused.err) == (2, True)
    refused = bench.run("forget", "--instance", "bocks", "--yes")
    assert (refused.code, "no limits of the qBittorrent 'bocks'. hint: it holds some of: 'box'" in refused.err) == (
        2,
        True,
    )
    assert "add --yes" in bench.run("forget", "--instance", "box").err
    assert bench.run("forget", "--instance", "box", "--yes").out.startswith(
        "Forgotten: 2 torrents are no longer counted"
    )
    with contextlib.closing(bench.journal()) as journal:
        assert journal.instances() == {"": 1}
    assert len(bench.run("history", "--instance", "box", "--json").json) == 2, "history stays"
    refused = bench.run("forget", "--instance", "box", "--yes")
    assert (refused.code, "hint: nothing has to be forgotten" in refused.err) == (2, True)


def test_a_rollback_needs_no_faultless_trackers(bench: Bench) -> None:
    bench.touch(50_000, HASHES[0])
    bench.write(trackers="trackers: [{id: x}]")
    assert bench.run("rollback", "--yes").code == 0
    assert bench.fake.torrents[HASHES[0]].up_limit == 0


def test_what_could_not_be_restored_is_said_and_tried_again(bench: Bench) -> None:
    bench.touch(50_000, *HASHES[:2])
    bench.fake.remove(HASHES[1])
    bench.fake.stop()
    done = bench.run("rollback", "--yes", "--json")
    assert done.code == 1
    assert set(done.json["failed"]) == set(HASHES[:2])
    assert done.json["paused"] is True
    done = bench.run("rollback", "--yes")
    assert "2 torrents could not be restored; noted for the next attempt:\n  2 torrents: " in done.out
    assert "own limit" not in done.out
    bench.fake.start()
    done = bench.run("rollback", "--yes")
    assert done.code == 0
    assert "1 torrent has its own limit back, read back from qBittorrent.\n" in done.out
    assert "1 torrent not in qBittorrent any more" in done.out


def test_a_rollback_without_a_journal_has_nothing_to_do(bench: Bench) -> None:
    done = bench.run("rollback", "--yes")
    assert done.code == 0
    assert "no limit was ever changed" in done.out
    assert not bench.database.exists()


def test_a_rollback_waits_for_nobody_for_ever(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.touch(50_000, HASHES[0])
    monkeypatch.setattr("qguardarr.engine.rollback.rollback.__kwdefaults__", {
        "progress": None, "pause_reason": "rolled back", "lock_timeout_s": 0.1, "wall_clock": time.time,
    })  # fmt: skip
    journal = bench.journal()
    with journal.exclusive(1.0):
        done = bench.run("rollback", "--yes")
    journal.close()
    assert done.code == 5
    assert "another Qguardarr" in done.err


def test_a_reset_takes_only_what_is_named(bench: Bench) -> None:
    bench.touch(50_000, *HASHES[:2])
    done = bench.run("reset", HASHES[0])
    assert done.code == 0
    assert [bench.fake.torrents[h].up_limit for h in HASHES[:2]] == [0, 50_000]
    assert bench.run("status", "--json").json["paused"] is None
    unknown = bench.run("reset", "ffff")
    assert unknown.code == 1
    assert "1 torrent has no limit of Qguardarr's to take back:\n  ffff\n" in unknown.out
    assert "0 " not in unknown.out
    assert bench.run("reset", "--yes").code == 0
    assert bench.fake.torrents[HASHES[1]].up_limit == 0


@pytest.mark.process
def test_a_rollback_beside_a_running_daemon_lasts(bench: Bench) -> None:
    with daemon(bench.config, bench.database) as running:
        running.wait_for_state("holding")
        until(lambda: bench.fake.torrents[HASHES[0]].up_limit > 0, "a limit")
        assert bench.run("rollback", "--yes").code == 0
        running.wait_for_state("paused")
        assert bench.fake.torrents[HASHES[0]].up_limit == 0
        bench.run("resume")
        running.wait_for_state("holding")
        until(lambda: bench.fake.torrents[HASHES[0]].up_limit > 0, "a limit again")


def test_a_resumption_says_what_comes_of_it(bench: Bench) -> None:
    bench.touch(50_000, HASHES[0])
    assert bench.run("resume").out == "Nothing was paused: no daemon runs; `qguardarr serve` starts one.\n"
    with picture(bench):
        assert bench.run("resume").out == "Nothing was paused: the daemon holds the caps.\n"
        bench.run("pause")
        assert bench.run("resume").out == "Resumed: the daemon holds the caps from its next cycle on.\n"
    with picture(bench, state="observing", dry_run=True):
        bench.run("pause")
        assert bench.run("resume").out.startswith("Resumed: the daemon only observes")
    with picture(bench, state="failing"):
        assert "cannot work at the moment" in bench.run("resume").out
        assert bench.run("resume", "--json").json == {"paused": None}
    bench.run("pause")
    assert bench.run("resume").out == "Resumed: no daemon runs; `qguardarr serve` starts one.\n"


# -- the whole --------------------------------------------------------------------------------------------------------


def test_a_garbled_answer_is_one_line(bench: Bench) -> None:
    bench.fake.fail_next("sync/maindata", Fault.GARBAGE)
    done = bench.run("check", "--connect")
    assert done.code == 3
    assert done.err.count("qguardarr: ") == 1


def test_a_defect_is_shown_without_secrets(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError(f"{ALPHA} {bench.fake.password}")

    monkeypatch.setattr(check, "connected", broken)
    monkeypatch.setattr(sys, "argv", ["qguardarr", "check", "--connect", "-c", str(bench.config)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    shown = capsys.readouterr().err
    assert ended.value.code == 70
    assert "RuntimeError" in shown
    assert "a defect" in shown
    assert PASSKEY not in shown
    assert bench.fake.password not in shown


def test_exit_codes_are_in_the_help(bench: Bench) -> None:
    done = bench.run("--help")
    assert done.code == 0
    for words in ("0 done", "1 not all", "2 configuration", "3 qBittorrent", "4 journal", "5 another"):
        assert words in " ".join(done.out.split())


def test_the_help_fits_into_a_terminal(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert "..." not in bench.run("--help").out.replace("COMMAND [ARGS]...", "")
    assert "reset [OPTIONS] [HASH]...\n" in bench.run("reset", "--help").out


def test_an_unknown_option_is_a_fault_of_the_command_line(bench: Bench) -> None:
    assert bench.run("status", "--nonsense").code == 2


def test_python_m_works() -> None:
    done = subprocess.run([sys.executable, "-m", "qguardarr", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.strip()
