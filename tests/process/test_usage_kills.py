"""A daemon killed with SIGKILL at random points: usage is exact afterwards, with the store on disk."""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

from qguardarr.adapters.sqlite.store import SqliteStore, store_path
from tests.support.daemon_process import until
from tests.support.fake_qbittorrent import FakeQBittorrent
from tests.support.live_settings import Live

KILLS = 8


def usage(live: Live, *options: str) -> str:
    """`qguardarr usage`."""
    command = [sys.executable, "-m", "qguardarr", "usage", "--config", str(live.config), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def is_copied(live: Live) -> bool:
    with contextlib.closing(SqliteStore(store_path(live.database))) as store:
        return store.counted_since_copy("") is not None


def test_usage_is_exact_after_kills_at_random_points(tmp_path: Path) -> None:
    dice, pause = random.Random(3), threading.Event()
    with FakeQBittorrent() as fake:
        live = Live(tmp_path, fake).start()
        try:
            until(lambda: is_copied(live), "the counters to be copied")
            one, other = live.torrents({"added_on": int(time.time())}, {"tracker": "t2", "added_on": int(time.time())})
            with live.uploading(one, other, rate=2_000_000):
                for _ in range(KILLS):
                    pause.wait(dice.uniform(0.0, 1.5))
                    live.daemon.kill()
                    pause.wait(dice.uniform(0.0, 0.5))
                    live.start()
            live.next_cycle(4)
            assert live.daemon.end() == 0
            sent = {"t1": fake.torrents[one].uploaded_session, "t2": fake.torrents[other].uploaded_session}
            rows = json.loads(usage(live, "--json"))
            assert {row["group"]: row["bytes"] for row in rows} == {**sent, "": sum(sent.values())}
            assert usage(live, "--csv", "--by", "month").splitlines()[0] == "group,start,bytes"
            table = usage(live)
            assert "(line)" in table
            assert "GB" in table or "MB" in table
        finally:
            live.daemon.kill()
