"""`install-hook` on a fake qBittorrent; and its command lines, run as qBittorrent would."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import structlog
import typer
from typer.testing import CliRunner, Result

from qguardarr.adapters.keys import api_key
from qguardarr.cli import opening
from qguardarr.cli.hook import HOOKS, command, install_hook, is_ours
from qguardarr.config.environment import API_KEY_VARIABLE
from qguardarr.errors import ConfigError, Refused
from tests.support.fake_qbittorrent import FakeQBittorrent, Fault
from tests.support.webhook_target import WebhookTarget

KEY = "0123456789abcdef-KEY"
ODD_KEY = "0123456789abcdef%K%F\"'&#?{1,2}[a]\\$HOME+"
HASH = "1" * 40
OFF = {
    "autorun_enabled": False,
    "autorun_program": "",
    "autorun_on_torrent_added_enabled": False,
    "autorun_on_torrent_added_program": "",
}

app = typer.Typer()
app.command()(install_hook)


class Place:
    """A configuration and its fake qBittorrent."""

    def __init__(self, folder: Path, fake: FakeQBittorrent) -> None:
        self.folder, self.fake = folder, fake
        self.auth, self.more = f"auth: {{api_key: {json.dumps(KEY)}}}", ""
        self.qbittorrent_url = fake.url

    def run(self, *arguments: str) -> Result:
        config = self.folder / "qguardarr.yaml"
        config.write_text(
            f"""
qbittorrent: {{url: "{self.qbittorrent_url}", username: admin, password: "{self.fake.password}"}}
rollback: {{database_path: {self.folder}/journal.db}}
trackers: [{{id: all, pattern: '.*', max_upload_speed: 1 MB/s}}]
{self.auth}
{self.more}
"""
        )
        result = CliRunner().invoke(app, ["--config", str(config), *arguments])
        structlog.reset_defaults()
        return result

    def lines(self, *arguments: str) -> list[str]:
        """What `--print` prints, without what stands before the lines."""
        result = self.run("--print", *arguments)
        assert result.exit_code == 0, result.exception
        labels = ("on added:    ", "on finished: ")
        lines = result.stdout.splitlines()
        assert all(line.startswith(label) for line, label in zip(lines, labels, strict=True))
        return [line.removeprefix(label) for line, label in zip(lines, labels, strict=True)]

    @property
    def programs(self) -> dict[str, Any]:
        return {name: self.fake.preferences[name] for name in OFF}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.delenv(API_KEY_VARIABLE, raising=False)
    opening.known_secrets.clear()
    with FakeQBittorrent() as fake:
        yield Place(tmp_path, fake)


def on(added: str, complete: str) -> dict[str, Any]:
    return {
        "autorun_enabled": True,
        "autorun_program": complete,
        "autorun_on_torrent_added_enabled": True,
        "autorun_on_torrent_added_program": added,
    }


def arguments_of(line: str) -> list[str]:
    """As qBittorrent splits on Linux: at spaces outside of double quotes; then surrounding quotes fall off."""
    parts = re.findall(r'(?:[^ "]|"[^"]*")+', line)
    bare = [part[1:-1] if part[0] == part[-1] == '"' else part for part in parts]
    return [re.sub("%K", HASH, part) for part in bare]


def test_both_programs_are_installed(place: Place) -> None:
    result = place.run()
    assert result.exit_code == 0
    assert place.programs == on(
        f'curl -fsS -m 5 -o /dev/null -d event=add -d hash=%K "http://127.0.0.1:8089/webhook?apikey={KEY}"',
        f'curl -fsS -m 5 -o /dev/null -d event=complete -d hash=%K "http://127.0.0.1:8089/webhook?apikey={KEY}"',
    )
    assert place.fake.preferences["proxy_password"] == "not yours"
    assert result.stdout.count(": installed: curl ") == 2
    assert result.stdout.count("?apikey=…") == 2
    assert KEY not in result.output
    assert opening.known_secrets.count(KEY) > 0


def test_a_second_time_changes_nothing(place: Place) -> None:
    place.run()
    written = place.fake.count("setPreferences")
    result = place.run("--json")
    assert (result.exit_code, json.loads(result.stdout)) == (0, {"add": "unchanged", "complete": "unchanged"})
    assert place.fake.count("setPreferences") == written


def test_print_only_prints_and_with_the_key(place: Place) -> None:
    added, complete = place.lines()
    assert KEY in added
    assert place.fake.requests == []
    assert json.loads(place.run("--print", "--json").stdout) == {"add": added, "complete": complete}
    place.run()
    assert place.programs == on(added, complete)


def test_a_program_of_a_person_is_kept_and_the_other_installed(place: Place) -> None:
    mine = "/usr/local/bin/mine.sh --token=geheim %K"
    place.fake.preferences["autorun_program"] = mine
    result = place.run("--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout) == {"add": "installed", "complete": "kept"}
    assert place.programs == {**on(place.lines()[0], mine), "autorun_enabled": False}
    assert "/usr/local/bin/mine.sh" in result.stderr
    assert "--force" in result.stderr
    assert "geheim" not in result.output
    assert "complete: kept\n" in place.run().stdout


def test_force_replaces_a_program_of_a_person(place: Place) -> None:
    place.fake.preferences["autorun_program"] = "/usr/local/bin/mine.sh"
    assert place.run("--force").exit_code == 0
    assert place.programs == on(*place.lines())


@pytest.mark.parametrize(
    "earlier",
    [
        'curl -X POST http://localhost:8089/webhook -d "event=complete" -d "hash=%I" -d "name=%N"',
        '/usr/bin/curl --data-urlencode event=complete --data-urlencode "hash=%I" http://nas:8089/webhook',
        'curl "http://localhost:8089/webhook?event=complete&hash=%I"',
        command("complete", "https://elsewhere.example/q", "another key", None),
    ],
)
def test_a_hook_of_ours_is_brought_up_to_date(place: Place, earlier: str) -> None:
    place.fake.preferences |= {"autorun_program": earlier, "autorun_enabled": True}
    assert place.run().exit_code == 0
    assert place.programs == on(*place.lines())


def test_a_hook_of_ours_that_is_switched_off_is_switched_on(place: Place) -> None:
    place.run()
    place.fake.preferences["autorun_enabled"] = False
    assert json.loads(place.run("--json").stdout) == {"add": "unchanged", "complete": "installed"}
    assert place.fake.preferences["autorun_enabled"] is True


@pytest.mark.parametrize(
    "line",
    [
        "",
        "   ",
        "curl http://localhost:2468/api/webhook?apikey=x -d infoHash=%I",
        "curl http://localhost:9000/?event=complete",
        'bash -c "mine.sh; curl -d event=complete http://127.0.0.1:8089/webhook"',
        "/opt/my curl/webhook event=add",
    ],
)
def test_what_others_made_is_not_ours(line: str) -> None:
    assert not is_ours(line)


def test_remove_takes_away_ours_and_nothing_else(place: Place) -> None:
    place.run()
    place.fake.preferences["autorun_program"] = "/usr/local/bin/mine.sh"
    result = place.run("--remove", "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (0, {"add": "removed", "complete": "absent"})
    assert place.programs == {**OFF, "autorun_enabled": True, "autorun_program": "/usr/local/bin/mine.sh"}
    assert "is added: absent\n" in place.run("--remove").stdout


def test_remove_needs_no_key(place: Place, tmp_path: Path) -> None:
    place.auth = ""
    assert place.run("--remove").exit_code == 0
    assert not (tmp_path / "api.key").exists()


@pytest.mark.parametrize("option", [("--force",), ("--print",), ("--url", "http://a"), ("--header-file", "/a")])
def test_remove_goes_alone(place: Place, option: tuple[str, ...]) -> None:
    assert isinstance(place.run("--remove", *option).exception, ConfigError)
    assert place.fake.requests == []


def test_without_a_configured_key_the_kept_one_is_used(place: Place, tmp_path: Path) -> None:
    place.auth = ""
    assert place.run().exit_code == 0
    kept = api_key(tmp_path, None)
    assert place.fake.preferences["autorun_program"].endswith(f'/webhook?apikey={kept}"')
    assert kept in opening.known_secrets


def test_without_auth_there_is_no_key(place: Place, tmp_path: Path) -> None:
    place.auth = "auth: none"
    assert place.lines()[0].endswith('"http://127.0.0.1:8089/webhook"')
    assert not (tmp_path / "api.key").exists()


def test_a_header_file_keeps_the_key_out(place: Place) -> None:
    added, _ = place.lines("--header-file", "/home/q b/qguardarr.header")
    assert added.endswith(' -H "@/home/q b/qguardarr.header" "http://127.0.0.1:8089/webhook"')
    assert KEY not in added


@pytest.mark.parametrize("path", ["relative", '/a"b', "/a%Nb", "/a\nb", ""])
def test_a_header_file_that_qbittorrent_would_misread_is_refused(place: Place, path: str) -> None:
    assert isinstance(place.run("--header-file", path).exception, ConfigError)


@pytest.mark.parametrize(
    ("settings", "base"),
    [
        ("global: {host: 0.0.0.0, port: 9999}\nhttp: {base_path: /guard}", "http://127.0.0.1:9999/guard"),
        ("global: {host: '::'}", "http://[::1]:8089"),
        ("global: {host: '::1'}", "http://[::1]:8089"),
        ("global: {host: guard.lan}", "http://guard.lan:8089"),
    ],
)
def test_the_address_is_the_one_of_the_configuration(place: Place, settings: str, base: str) -> None:
    place.more = settings
    result = place.run("--print")
    assert f'"{base}/webhook?' in result.stdout
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("given", "base"),
    [
        ("http://nas:8089", "http://nas:8089"),
        ("https://example.org/guard/", "https://example.org/guard"),
        ("http://[fd00::1]:8089/webhook", "http://[fd00::1]:8089"),
    ],
)
def test_another_address_may_be_given(place: Place, given: str, base: str) -> None:
    assert f'"{base}/webhook?' in place.lines("--url", given)[0]


@pytest.mark.parametrize(
    "given", ["nas:8089", "http://u:p@nas", "http://nas/?a=1", 'http://nas/"', "http://nas/%N", "http://nas/a b", ""]
)
def test_an_address_that_would_be_misread_is_refused(place: Place, given: str) -> None:
    error = place.run("--url", given).exception
    assert isinstance(error, ConfigError)
    assert str(error).startswith("--url: ")


def test_a_qbittorrent_elsewhere_cannot_reach_loopback(place: Place) -> None:
    place.qbittorrent_url = "http://nas:8080"
    assert "qBittorrent is at nas." in place.run("--print").stderr
    assert place.run("--print", "--url", "http://guard:8089").stderr == ""
    place.more = "global: {host: guard.lan}"
    assert place.run("--print").stderr == ""


@pytest.mark.parametrize("arguments", [(), ("--remove",)])
def test_a_change_that_did_not_take_is_an_error(
    place: Place, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    if arguments:
        place.run()
    place.fake.fail_next("setPreferences", Fault.GARBAGE)  # success, and nothing done
    assert isinstance(place.run(*arguments).exception, Refused)


@pytest.mark.parametrize("key", [KEY, ODD_KEY])
def test_the_command_lines_say_what_the_webhook_understands(place: Place, key: str) -> None:
    place.auth = f"auth: {{api_key: {json.dumps(key)}}}"
    with WebhookTarget() as target:
        for hook, line in zip(HOOKS, place.lines("--url", f"{target.url}/guard"), strict=True):
            assert re.findall("%[A-Za-z]", line) == ["%K"]  # nothing else that qBittorrent would put a value for
            assert subprocess.run(arguments_of(line), timeout=20, check=False).returncode == 0
            request = target.wait()
            assert urlsplit(request.path).path == "/guard/webhook"
            assert parse_qs(urlsplit(request.path).query) == {"apikey": [key]}
            assert parse_qs(request.body) == {"event": [hook.event], "hash": [HASH]}


def test_the_key_in_a_header_file_is_sent(place: Place, tmp_path: Path) -> None:
    header = tmp_path / "with a space"
    header.write_text(f"X-Api-Key: {KEY}\n")
    with WebhookTarget() as target:
        line = place.lines("--url", target.url, "--header-file", str(header))[1]
        assert subprocess.run(arguments_of(line), timeout=20, check=False).returncode == 0
        request = target.wait()
    assert (request.path, request.headers["X-Api-Key"]) == ("/webhook", KEY)
