"""On real qBittorrent: a changed tag or category moves a torrent to another group in the next cycle."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from lab.processes import free_port
from lab.qbittorrent import QBittorrent
from lab.torrents import make_torrent
from lab.versions import VERSIONS
from tests.support.daemon_process import daemon, until

pytestmark = pytest.mark.shared

LISTED_S = 2
"""Before 4.6 idle torrents are read that often, seconds, or a little later."""


@pytest.mark.parametrize("version", VERSIONS)
def test_tags_and_categories_move_a_torrent_between_groups(version: str, tmp_path: Path) -> None:
    config, database = tmp_path / "qguardarr.yaml", tmp_path / "journal.db"
    with QBittorrent(version, tmp_path / "qbittorrent", refresh_interval_ms=500) as qbittorrent:
        torrent = make_torrent("A.Show.S01E02", ("http://127.0.0.1:9/announce",))
        qbittorrent.add([torrent])
        groups = [
            {"id": "gold", "tags": "gold", "not": {"category": "slow"}, "max_upload_speed": "5 MB/s"},
            {"id": "films", "category": "movies", "private": version != "4.5.2" or None, "max_upload_speed": "2 MB/s"},
            {"id": "shows", "torrent_name": r"s\d\de\d\d", "size": {"below": "1 GiB"}, "max_upload_speed": "1 MB/s"},
            {"id": "rest", "pattern": ".*", "max_upload_speed": -1},
        ]
        content = {
            "global": {"port": free_port(), "cache_ttl_seconds": LISTED_S},
            "qbittorrent": {"url": qbittorrent.url, "username": qbittorrent.username, "password": "${QBIT_PASSWORD}"},
            "trackers": groups,
            "rollback": {"database_path": str(database)},
        }
        config.write_text(json.dumps(content))
        hashes = torrent.info_hash
        with daemon(config, database, {**os.environ, "QBIT_PASSWORD": QBittorrent.password}) as running:

            def is_in(group: str) -> bool:
                status = running.status
                return status is not None and {row.id for row in status.trackers if row.torrents} == {group}

            def moves_to(group: str, path: str, **fields: str) -> None:
                qbittorrent.web.post(path, hashes=hashes, **fields)
                before = running.status
                assert before is not None
                until(lambda: is_in(group), f"the torrent in {group}")
                after = running.status
                assert after is not None
                if version != "4.5.2":
                    assert after.cycle - before.cycle <= 3

            running.wait_for_state("holding")
            until(lambda: is_in("shows"), "the torrent by its name")
            for category in ("movies/uhd", "slow"):
                qbittorrent.web.post("torrents/createCategory", category=category, savePath="")
            moves_to("films", "torrents/setCategory", category="movies/uhd")
            moves_to("gold", "torrents/addTags", tags="gold")
            moves_to("shows", "torrents/setCategory", category="slow")
            moves_to("gold", "torrents/setCategory", category="")
            moves_to("shows", "torrents/removeTags", tags="gold")
            running.end()
