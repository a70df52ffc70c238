"""On real qBittorrent: a script that sets limits by the documented calls, and a hybrid torrent whose id changes."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

import pytest
from urllib3.exceptions import HTTPError

from lab.processes import free_port
from lab.qbittorrent import QBittorrent
from lab.torrents import hybrid_id, make_hybrid, make_torrent
from lab.tracker import Trackers
from qguardarr.adapters.qbittorrent import QBittorrentClient
from qguardarr.adapters.sqlite.journal import SqliteJournal
from qguardarr.core.model import UNLIMITED
from qguardarr.core.reconcile.signature import looks_like_ours
from qguardarr.engine.rollback import rollback
from qguardarr.engine.settings import QBittorrentSettings
from tests.support.daemon_process import DaemonProcess, daemon, until

pytestmark = pytest.mark.shared

VERSIONS = ("4.5.2", "5.1.0", "5.3.0")
CAP = 1_000_000


@contextlib.contextmanager
def guarding(qbittorrent: QBittorrent, pattern: str, folder: Path) -> Iterator[DaemonProcess]:
    config, database = folder / "qguardarr.yaml", folder / "journal.db"
    content = {
        "global": {"port": free_port(), "cache_ttl_seconds": 2},
        "qbittorrent": {
            "url": qbittorrent.url,
            "username": qbittorrent.username,
            "password": "${QBIT_PASSWORD}",
        },
        "trackers": [
            {"id": "t1", "pattern": pattern, "max_upload_speed": CAP},
            {"id": "rest", "pattern": ".*", "max_upload_speed": -1},
        ],
        "rollback": {"database_path": str(database)},
    }
    config.write_text(json.dumps(content))
    with daemon(config, database, {**os.environ, "QBIT_PASSWORD": QBittorrent.password}) as running:
        running.wait_for_state("holding")
        yield running
        running.end()


def roll_back(qbittorrent: QBittorrent, folder: Path) -> None:
    journal = SqliteJournal(folder / "journal.db")
    settings = QBittorrentSettings(url=qbittorrent.url, username=qbittorrent.username, password=qbittorrent.password)
    client = QBittorrentClient(settings)
    try:
        report = rollback(client, journal)
        assert (report.failed, report.by_hand) == ({}, {})
    finally:
        client.close()
        journal.close()


def is_limited(qbittorrent: QBittorrent, names: Sequence[str]) -> bool:
    """Whether all have a limit of Qguardarr's."""
    limits = qbittorrent.web.upload_limits()
    return all(looks_like_ours(limits.get(name, 0)) for name in names)


def is_limit_saved(qbittorrent: QBittorrent, name: str) -> bool:
    """Whether the limit in force of a torrent is in qBittorrent's files."""
    limit = qbittorrent.web.upload_limits()[name]
    path = qbittorrent.profile / "data" / "BT_backup" / f"{name}.fastresume"
    return path.exists() and b"17:upload_rate_limiti%de" % limit in path.read_bytes()


def wait_for_cycles(running: DaemonProcess, count: int) -> None:
    before = running.wait_for_state("holding").cycle
    until(lambda: running.wait_for_state("holding").cycle >= before + count, f"{count} cycles")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("value", [0, 2_048_000])
def test_a_script_that_sets_all_limits_costs_no_original(version: str, value: int, tmp_path: Path) -> None:
    with Trackers(["t1"]) as trackers:
        torrents = [make_torrent(f"t-{n}", [trackers["t1"].announce_url]) for n in range(24)]
        qbittorrent = QBittorrent(version, tmp_path / "lab")
        qbittorrent.plant(torrents)
        with qbittorrent:
            qbittorrent.wait_until_seeding(len(torrents))
            names = [torrent.info_hash for torrent in torrents]
            for n, name in enumerate(names[:18]):
                qbittorrent.web.set_upload_limit(300_000 + 1000 * n, [name])
            before = qbittorrent.web.upload_limits()
            with guarding(qbittorrent, trackers["t1"].pattern, tmp_path) as running:
                until(lambda: is_limited(qbittorrent, names), "all are parked")
                for _ in range(2):
                    wait_for_cycles(running, 4)  # so that it has seen its own limits
                    qbittorrent.web.set_upload_limit(value, names)
                    until(lambda: is_limited(qbittorrent, names), "all are limited again")
                until(
                    lambda: (s := running.status) is not None and "another program" in s.foreign, "the program is named"
                )
                qbittorrent.web.set_upload_limit(value, names)
            roll_back(qbittorrent, tmp_path)
            assert qbittorrent.web.upload_limits() == before


@pytest.mark.parametrize("version", VERSIONS)
def test_a_hybrid_torrent_added_by_its_v1_magnet_keeps_its_original(version: str, tmp_path: Path) -> None:
    """Its id changes when the metadata arrives; 5.1 goes on without ever saying that the old one is gone.

    5.1.0 and 5.3.0 may also crash then, by themselves, while any client has a maindata session: they look up an id that
    they have just given away (`SyncController::generateMaindataSyncData`). The original must outlive that, too.
    """
    with Trackers(["t1"]) as trackers:
        url = trackers["t1"].announce_url
        torrent = make_hybrid("hybrid", [url])
        seeder, guarded = QBittorrent(version, tmp_path / "seeder"), QBittorrent(version, tmp_path / "guarded")

        def add_peers() -> None:
            for name in guarded.web.upload_limits():
                guarded.web.post("torrents/addPeers", hashes=name, peers=f"{seeder.host}:{seeder.peer_port}")

        def is_renamed() -> bool:
            if guarded.crashed:
                guarded.kill()
                guarded.start()
                with contextlib.suppress(HTTPError):  # it may crash again
                    add_peers()
            return "torrent_renamed" in running.log

        with seeder, guarded:
            seeder.add([torrent])
            until(lambda: [i["progress"] for i in seeder.web.info()] == [1], "the seeder has it")
            magnet = f"magnet:?xt=urn:btih:{torrent.info_hash}&tr={quote(url, safe='')}"
            guarded.web.post("torrents/add", urls=magnet, savepath=str(guarded.payload))
            until(lambda: torrent.info_hash in guarded.web.upload_limits(), "it is added")
            with guarding(guarded, trackers["t1"].pattern, tmp_path) as running:
                until(lambda: is_limited(guarded, [torrent.info_hash]), "it is limited")
                until(lambda: is_limit_saved(guarded, torrent.info_hash), "the limit would outlive a crash")
                add_peers()
                until(is_renamed, lambda: f"torrent_renamed in the log:\n{running.log}")
            assert list(guarded.web.upload_limits()) == [hybrid_id(torrent)]
            journal = SqliteJournal(tmp_path / "journal.db")
            assert {t.hash: t.original for t in journal.touched().values()} == {hybrid_id(torrent): UNLIMITED}
            journal.close()
            roll_back(guarded, tmp_path)
            assert guarded.web.upload_limits() == {hybrid_id(torrent): 0}
