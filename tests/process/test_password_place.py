"""The password of qBittorrent reaches no message, whatever it is and however the server repeats it.

A short password is not searched for in texts (`qguardarr.secrecy`), so the short ones here prove that nothing of ours
puts a password into a text to begin with. The common words prove that sentences stay whole.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
import structlog

from lab.processes import free_port
from qguardarr import cli
from qguardarr.adapters.sqlite.journal import SqliteJournal
from qguardarr.adapters.statusfile import status_path
from qguardarr.cli import trackers
from qguardarr.core.model import Change
from tests.support.api_client import KEY, ApiClient
from tests.support.daemon_process import DaemonProcess, until
from tests.support.fake_qbittorrent import FakeQBittorrent, FakeTorrent, Reply, Request

DISTINCT = ("zq7", "Xy~9w/", "vK-3%t", "a long and secret pass-phrase")
COMMON = ("wrong", "a", "admin", "password", "login")
REFUSAL = "qBittorrent refuses the login: wrong user name or password, or host name"
PASSWORDS = (*DISTINCT, *COMMON)
COMMANDS = (
    ("check", "--connect"),
    ("check", "--connect", "--json"),
    ("trackers",),
    ("preview",),
    ("preview", "--json"),
    ("rollback", "--yes"),
    ("reset",),
    ("status",),
    ("history",),
    ("install-hook", "--local"),
)


class Echo(FakeQBittorrent):
    """Repeats all credentials that it got, in every part of its answers."""

    mode = "refuse"

    def __init__(self) -> None:
        super().__init__("5.3.0")
        self.heard: list[str] = []

    def reply(self, request: Request) -> Reply:
        self.heard += [*request.form.values(), request.headers.get("authorization", "")]
        heard = " ".join(dict.fromkeys(filter(None, self.heard)))
        safe = quote(heard, safe="")
        match self.mode:
            case "redirect":
                return Reply(302, headers=[("Location", f"http://{safe}:{safe}@127.0.0.1:1/{safe}?{safe}#{safe}")])
            case "break":
                return Reply(500, f"failed: {heard}".encode(), headers=[("X-Echo", safe)])
            case "speak otherwise":
                return Reply(200, f"<html>{heard}</html>".encode(), headers=[("Set-Cookie", f"SID={safe}")])
            case "echo its version" if request.path == "app/version":
                return Reply(200, f"v5.3.0 {heard}".encode())
        reply = super().reply(request)
        if reply.status >= 400:
            reply.body += heard.encode()
        reply.headers.append(("X-Echo", safe))
        return reply


MODES = ("refuse", "redirect", "break", "speak otherwise", "echo its version", "accept")
SAID = {
    "break": "status 500",
    "redirect": "redirects to 127.0.0.1:1;",
    "speak otherwise": "answers with something else",
}


@pytest.fixture
def echo() -> Iterator[Echo]:
    with Echo() as fake:
        fake.add(FakeTorrent("1" * 40, "a torrent", ("http://tracker.example/announce",)))
        yield fake


def forms(secret: str) -> set[str]:
    pair = base64.b64encode(f"admin:{secret}".encode()).decode()
    plain = {secret, quote(secret), quote(secret, safe=""), quote_plus(secret), repr(secret)[1:-1]}
    return plain | {json.dumps(secret)[1:-1], base64.b64encode(secret.encode()).decode(), pair}


def check(text: str, password: str, where: str) -> None:
    if password in DISTINCT:
        for form in forms(password):
            assert form not in text, f"{where}: {next(line for line in text.splitlines() if form in line)}"
    assert "[hidden]" not in text, where


def write(folder: Path, echo: Echo, password: str, **global_: object) -> Path:
    config = folder / "qguardarr.yaml"
    content = {
        "qbittorrent": {"url": echo.url, "username": "admin", "password": password},
        "global": {"update_interval": 0.5, "dry_run": False, **global_},
        "trackers": [
            {"id": "example", "pattern": "example", "max_upload_speed": "1 MB/s"},
            {"id": "default", "pattern": ".*", "max_upload_speed": "unlimited"},
        ],
        "auth": {"api_key": KEY},
        "rollback": {"database_path": str(folder / "data" / "journal.db")},
        "logging": {"level": "DEBUG"},
    }
    config.write_text(json.dumps(content))
    return config


@pytest.fixture
def run(tmp_path: Path, echo: Echo, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable:
    monkeypatch.setattr(trackers, "WATCH_S", 0.3)
    monkeypatch.setattr(trackers, "READ_EVERY_S", 0.1)

    def command(config: Path, *arguments: str) -> tuple[int, str]:
        capsys.readouterr()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["qguardarr", *arguments, "--config", str(config)])
            patch.setattr(sys, "stdin", io.StringIO())
            with pytest.raises(SystemExit) as ended:
                cli.main()
        structlog.reset_defaults()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out + said.err

    return command


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("password", [*DISTINCT, "wrong"], ids=range(5))  # no name of a folder holds one
def test_no_command_prints_it(tmp_path: Path, echo: Echo, run: Callable, mode: str, password: str) -> None:
    if mode in ("accept", "echo its version"):
        echo.password = password
    echo.mode = mode
    config = write(tmp_path, echo, password)
    (tmp_path / "data").mkdir()
    with contextlib.closing(SqliteJournal(tmp_path / "data" / "journal.db")) as journal:
        journal.intend([Change("1" * 40, 9000, 5000, 9000, "")])
    for arguments in COMMANDS:
        before = echo.count("auth/login")
        echo.failed_logins = 0
        code, said = run(config, *arguments)
        assert code != 70, said
        check(said, password, f"{arguments}, {mode}")
        if mode == "refuse" and echo.count("auth/login") > before:
            assert code == (1 if arguments[0] in ("rollback", "reset") else 3)  # those paused or looked, and say so
            assert REFUSAL in said
            assert echo.count("auth/login") == before + 1, f"{arguments} tries more than once"


@pytest.mark.parametrize("password", PASSWORDS, ids=range(len(PASSWORDS)))
def test_the_daemon_neither_logs_nor_publishes_nor_answers_it(tmp_path: Path, echo: Echo, password: str) -> None:
    port = free_port()
    config = write(tmp_path, echo, password, port=port)
    database = tmp_path / "data" / "journal.db"
    running, api = DaemonProcess(config, database), ApiClient(port)

    def everything() -> None:
        answers = [api.get(path).body.decode() for path in ("/health", "/config", "/api/v1/status", "/metrics")]
        forced = api.post("/cycle/force").body.decode()
        for text in (*answers, forced, status_path(database).read_text(), running.log):
            check(text, password, "the daemon")

    try:
        running.wait_for_state("failing")
        until(lambda: REFUSAL in api.get("/health").json().get("reason", ""), "the refusal in /health")
        everything()
        assert f"reason='{REFUSAL}'" in running.log
        for mode, words in SAID.items():
            echo.mode = mode
            until(lambda words=words: words in api.get("/health").json().get("reason", ""), words)
            everything()
        echo.password, echo.mode = password, "accept"
        echo.restart()
        running.wait_for_state("holding")
        everything()
        assert api.post("/config/reload").status == 200
        check(running.log, password, "the log after a reload")
        running.end()
        check(running.log, password, "the log")
    finally:
        running.kill()
