"""Refused logins and bans on real qBittorrent: what it counts, and how soon the daemon is back."""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
import urllib3

from lab import qbittorrent as lab
from lab.processes import free_port
from lab.qbittorrent import QBittorrent
from lab.versions import VERSIONS
from qguardarr.engine.status import Status
from tests.support.api_client import KEY, ApiClient
from tests.support.daemon_process import DaemonProcess, daemon, until

pytestmark = pytest.mark.shared

OTHER = "another-lab-password"
SECONDS = 15.0
"""What "within seconds" means here, on a machine that does other things, too; unaided it would take minutes."""


@pytest.fixture(params=VERSIONS)
def qbittorrent(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[QBittorrent]:
    with QBittorrent(request.param, tmp_path / "lab") as running:
        yield running


def send(qbittorrent: QBittorrent, method: str, path: str, **fields: str) -> urllib3.BaseHTTPResponse:
    pool = urllib3.PoolManager(retries=False, timeout=10.0)
    body = urlencode(fields).encode() if fields else None
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Connection": "close"}
    return pool.request(method, f"{qbittorrent.url}{path}", body=body, headers=headers)


def log_in(qbittorrent: QBittorrent, password: str = lab.PASSWORD) -> bool:
    answer = send(qbittorrent, "POST", "/api/v2/auth/login", username=lab.USERNAME, password=password)
    return answer.status in (200, 204) and answer.data != b"Fails."


def banned(qbittorrent: QBittorrent) -> bool:
    answer = send(qbittorrent, "POST", "/api/v2/auth/login", username=lab.USERNAME, password=lab.PASSWORD)
    return answer.status == 403


def mark(qbittorrent: QBittorrent) -> str:
    answer = send(qbittorrent, "GET", "/")
    found = re.search(rb"css/login\.css\?v=(\w+)", answer.data)
    assert found, answer.data
    assert "Set-Cookie" not in answer.headers
    return found[1].decode()


def change_password(qbittorrent: QBittorrent, password: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In its settings file, before the next start; the lab's own client is told, too."""
    file = qbittorrent.profile / "config" / "qBittorrent.conf"
    value = f'"@ByteArray({lab.password_hash(password)})"'  # 5.3 has a section [WebUI] for it
    text, count = re.subn(r"(?m)^((?:WebUI\\)?Password_PBKDF2)=.*", rf"\1={value}", file.read_text())
    assert count == 1
    file.write_text(text)
    monkeypatch.setattr(lab, "PASSWORD", password)


@contextlib.contextmanager
def guard(folder: Path, qbittorrent: QBittorrent, password: str) -> Iterator[tuple[DaemonProcess, ApiClient]]:
    config, database, port = folder / "qguardarr.yaml", folder / "journal.db", free_port()
    config.write_text(
        f"""
global: {{port: {port}, dry_run: false}}
qbittorrent: {{url: "{qbittorrent.url}", username: {qbittorrent.username}, password: "${{QBIT_PASSWORD}}"}}
auth: {{api_key: {KEY}}}
trackers: [{{id: all, pattern: '.*', max_upload_speed: 1 MB/s}}]
rollback: {{database_path: {database}}}
"""
    )
    with daemon(config, database, {**os.environ, "QBIT_PASSWORD": password}) as running:
        yield running, ApiClient(port)


def problem(running: DaemonProcess) -> Status:
    until(lambda: (s := running.status) is not None and s.login_pause is not None, "a refused login in the status")
    assert running.status is not None
    return running.status


def test_what_qbittorrent_counts_forgets_and_shows_without_a_login(qbittorrent: QBittorrent) -> None:
    first = mark(qbittorrent)
    qbittorrent.web.set_preferences({"web_ui_ban_duration": 3, "web_ui_session_timeout": 1800})
    assert mark(qbittorrent) == first  # it does not change with settings
    for _ in range(30):
        mark(qbittorrent)
        assert send(qbittorrent, "GET", "/api/v2/app/version").status == 403
    assert log_in(qbittorrent)  # none of these counts
    for _ in range(2):
        for _ in range(4):
            assert not log_in(qbittorrent, "wrong")
        assert log_in(qbittorrent)  # which forgets the four
    for _ in range(5):
        assert not log_in(qbittorrent, "wrong")
    began = time.monotonic()
    assert banned(qbittorrent)
    assert mark(qbittorrent) == first
    while banned(qbittorrent):  # asking on and on prolongs nothing, or this would not end
        assert time.monotonic() - began < 30.0
        time.sleep(0.2)
    for _ in range(5):
        assert not log_in(qbittorrent, "wrong")
    assert banned(qbittorrent)
    qbittorrent.restart()
    assert mark(qbittorrent) != first
    assert log_in(qbittorrent)


def test_a_password_that_is_changed_with_a_restart_lets_it_in_within_seconds(
    tmp_path: Path, qbittorrent: QBittorrent, monkeypatch: pytest.MonkeyPatch
) -> None:
    with guard(tmp_path, qbittorrent, OTHER) as (running, api):
        assert problem(running).problem_kind == "AuthRejected"
        health = api.get("/health")
        assert health.status == 503
        assert health.json()["login_pause"]["next_try_at"] > time.time() + 600
        qbittorrent.stop()
        change_password(qbittorrent, OTHER, monkeypatch)
        qbittorrent.start()
        began = time.monotonic()
        status = running.wait_for_state("holding")
        assert time.monotonic() - began < SECONDS
        assert (status.logins, status.login_pause) == (2, None)


def test_a_ban_that_a_restart_lifts_is_over_within_seconds(tmp_path: Path, qbittorrent: QBittorrent) -> None:
    for _ in range(5):
        assert not log_in(qbittorrent, "wrong")
    with guard(tmp_path, qbittorrent, lab.PASSWORD) as (running, _):
        assert problem(running).problem_kind == "Banned"
        cycle = running.status.cycle if running.status else 0
        until(lambda: (s := running.status) is not None and s.cycle >= cycle + 3, "three more looks")
        assert problem(running).logins == 1
        qbittorrent.restart()  # a third of a second: nobody sees that it was away
        began = time.monotonic()
        assert running.wait_for_state("holding").logins == 2
        assert time.monotonic() - began < SECONDS


def test_looks_while_it_is_refused_bring_no_ban_and_asking_tries_at_once(
    tmp_path: Path, qbittorrent: QBittorrent
) -> None:
    with guard(tmp_path, qbittorrent, OTHER) as (running, api):
        cycle = problem(running).cycle
        until(lambda: (s := running.status) is not None and s.cycle >= cycle + 5, "five more looks")
        for _ in range(10):  # somebody clicks
            said = api.post("/cycle/force")
            assert said.status == 503
            assert "the login is" in said.json()["problem"]
        assert problem(running).logins <= 3
        assert not banned(qbittorrent)
        assert log_in(qbittorrent)
