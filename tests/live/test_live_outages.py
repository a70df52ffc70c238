"""A real qBittorrent that hangs, dies and comes back: the whole service says so, and goes on by itself."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from lab.qbittorrent import QBittorrent
from lab.torrents import make_torrent
from lab.versions import VERSIONS
from tests.support.api_client import CAP, ServedApi
from tests.support.daemon_process import until
from tests.support.health import ended, metric, wait_for_health

pytestmark = pytest.mark.shared

ANNOUNCE = "http://127.0.0.1:9/announce/example"
TORRENTS = 8


@pytest.fixture(params=VERSIONS)
def qbittorrent(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[QBittorrent]:
    with QBittorrent(request.param, tmp_path / "lab", refresh_interval_ms=500) as started:
        started.add([make_torrent(f"idle {number}", [ANNOUNCE]) for number in range(TORRENTS)])
        started.wait_until_seeding(TORRENTS)
        yield started


def limited(qbittorrent: QBittorrent) -> int:
    return sum(0 < limit < CAP for limit in qbittorrent.web.upload_limits().values())


def test_a_qbittorrent_that_hangs_dies_and_comes_back(qbittorrent: QBittorrent, tmp_path: Path) -> None:
    api = ServedApi(tmp_path, cast("Any", qbittorrent), qbittorrent={"timeout": 2})
    with ended(api.start().kill):
        until(lambda: limited(qbittorrent) == TORRENTS, "limits")
        wait_for_health(api, "healthy")

        os.kill(qbittorrent.pid, signal.SIGSTOP)
        try:
            wait_for_health(api, "unhealthy", "no answer within 2 s")
            assert api.client.hook("add", "ab" * 20).json()["status"] == "queued"
            assert metric(api, 'problem{kind="Unreachable"}') == 1
        finally:
            os.kill(qbittorrent.pid, signal.SIGCONT)
        wait_for_health(api, "healthy")
        assert limited(qbittorrent) == TORRENTS

        qbittorrent.kill()
        wait_for_health(api, "unhealthy", "no connection to qBittorrent")
        until(lambda: metric(api, 'breaker_state{state="open"}') == 1, "the breaker")
        qbittorrent.start()
        wait_for_health(api, "healthy")
        until(lambda: limited(qbittorrent) == TORRENTS, "limits after the restart")  # also those that the kill lost
        newcomer = make_torrent("a newcomer", [ANNOUNCE])
        qbittorrent.add([newcomer])
        assert api.client.hook("add", newcomer.info_hash).json()["status"] == "queued"
        until(lambda: limited(qbittorrent) == TORRENTS + 1, "the newcomer's limit")
