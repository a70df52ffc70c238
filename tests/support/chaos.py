"""A real qBittorrent with limits of every kind, and a daemon on it that may be killed."""

from __future__ import annotations

import contextlib
import json
import random
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from lab.peers import Swarm
from lab.processes import free_port
from lab.qbittorrent import QBittorrent
from lab.torrents import LabTorrent, make_torrent
from lab.tracker import Trackers
from qguardarr.adapters.sqlite.journal import SqliteJournal
from tests.support.daemon_process import DaemonProcess, daemon, until

CAPS: Final = {"t1": 600_000, "t2": 200_000}
ORIGINALS: Final = {
    "t1": (0, 0, 0, 1, 123_457, 500_000, 2_147_483_646, 16_384),
    "t2": (0, 3_000_017, 2_048, 0),
}
"""What the person had set, by tracker, bytes/s; 0 = unlimited."""
GREEDY: Final = 800_000.0
"""Bytes/s, more than a cap; not boundless, since without limits that would take the whole machine."""
INTERVAL_S: Final = 0.5
INTENDED, APPLIED, ADOPTED = 0, 1, 4


class Place:
    """One qBittorrent with limits of every kind, peers that want much, and what each torrent's person had set."""

    def __init__(self, version: str, folder: Path, cleanup: contextlib.ExitStack) -> None:
        self.dice = random.Random(version)
        self.trackers = cleanup.enter_context(Trackers(list(ORIGINALS)))
        self.qbittorrent = QBittorrent(version, folder, refresh_interval_ms=500)
        self.originals: dict[str, int] = {}
        self.torrents: list[LabTorrent] = []
        self.of_tracker: dict[str, list[str]] = {}
        """Info hashes."""
        for tracker, limits in ORIGINALS.items():
            url = self.trackers[tracker].announce_url
            torrents = [make_torrent(f"{tracker}-{n}", [url]) for n in range(len(limits))]
            self.torrents += torrents
            self.of_tracker[tracker] = [torrent.info_hash for torrent in torrents]
            self.originals |= dict(zip(self.of_tracker[tracker], limits, strict=True))
        self.qbittorrent.plant(self.torrents)
        cleanup.enter_context(self.qbittorrent)
        self.qbittorrent.wait_until_seeding(len(self.torrents))
        self.swarm = cleanup.enter_context(Swarm((self.qbittorrent.host, self.qbittorrent.peer_port)))
        self.swarm.join({torrent.info_hash: torrent.size for torrent in self.torrents}, peers=2)
        self.swarm.wait_until_connected()  # before the limits: at 1 byte/s a handshake takes a minute
        for info_hash, limit in self.originals.items():
            self.set_limit(info_hash, limit)
        self.wait_until_saved(self.originals)

    def limits(self) -> dict[str, int]:
        return self.qbittorrent.web.upload_limits()

    def limits_of(self, tracker: str) -> list[int]:
        limits = self.limits()
        return [limits[info_hash] for info_hash in self.of_tracker[tracker]]

    def set_limit(self, info_hash: str, limit: int) -> None:
        self.qbittorrent.web.set_upload_limit(limit, [info_hash])

    def unlimited(self) -> list[str]:
        """Torrents without a limit of their own: all of them get one of ours."""
        return [info_hash for info_hash, limit in self.originals.items() if limit == 0]

    def all_limited(self) -> bool:
        limits = self.limits()
        return all(limits[info_hash] for info_hash in self.unlimited())

    def all_greedy(self) -> None:
        self.swarm.set_demand(dict.fromkeys(self.originals, GREEDY))

    def shift_demand(self) -> None:
        """New wishes: each torrent's peers want much, nothing, or something."""
        wishes = (GREEDY, GREEDY, 0.0, self.dice.uniform(5_000, 400_000))
        self.swarm.set_demand({info_hash: self.dice.choice(wishes) for info_hash in self.originals})

    def wait_until_saved(self, limits: dict[str, int]) -> None:
        """Until these limits are in qBittorrent's files, and so outlive SIGKILL."""
        until(lambda: all(self._saved(info_hash) == limit for info_hash, limit in limits.items()), "limits in files")

    def saves(self) -> list[Path]:
        """The files in which qBittorrent keeps limits."""
        return sorted((self.qbittorrent.profile / "data" / "BT_backup").glob("*.fastresume"))

    def _saved(self, info_hash: str) -> int:
        for path in self.saves():
            if path.stem == info_hash:
                found = re.search(rb"17:upload_rate_limiti(-?\d+)e", path.read_bytes())
                return max(0, int(found[1])) if found else 0
        raise AssertionError(f"no resume data of {info_hash}")


class Guard:
    """A configuration and a journal; daemon and commands with them."""

    def __init__(self, place: Place, folder: Path) -> None:
        self.place = place
        self.config, self.database = folder / "qguardarr.yaml", folder / "journal.db"
        self.port = free_port()
        self.configure()
        SqliteJournal(self.database).close()

    def configure(
        self, *, caps: dict[str, int] = CAPS, password: str = QBittorrent.password, **settings: object
    ) -> None:
        """Write the file; `settings` belong to `global`."""
        qbittorrent = self.place.qbittorrent
        rules = [{"id": name, "pattern": self.place.trackers[name].pattern} for name in CAPS]
        rules += [{"id": "rest", "pattern": ".*"}]
        content = {
            "global": {"port": self.port, "update_interval": INTERVAL_S, **settings},
            "qbittorrent": {"url": qbittorrent.url, "username": qbittorrent.username, "password": password},
            "trackers": [{**rule, "max_upload_speed": caps.get(rule["id"], -1)} for rule in rules],
            "rollback": {"database_path": str(self.database)},
        }
        self.config.write_text(json.dumps(content))

    def serve(self) -> contextlib.AbstractContextManager[DaemonProcess]:
        return daemon(self.config, self.database)

    def run(self, *arguments: str) -> str:
        """What a command that succeeds prints."""
        done = subprocess.run(
            [sys.executable, "-m", "qguardarr", *arguments, "--config", str(self.config)],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout

    def resume(self) -> None:
        with contextlib.closing(SqliteJournal(self.database)) as journal:
            journal.set_paused(None)

    def roll_back(self) -> Any:
        """By the command; what it reports. All originals are in force then, and nothing is left in the journal."""
        report = json.loads(self.run("rollback", "--yes", "--json"))
        assert self.place.limits() == self.place.originals
        with contextlib.closing(SqliteJournal(self.database)) as journal:
            assert journal.touched().keys() == set(report["gone"])
        return report

    def lines(self, after: int = 0) -> list[tuple[int, str, int, int]]:
        """Id, info hash, new limit and status of the journal's lines, newest first."""
        with contextlib.closing(sqlite3.connect(self.database)) as journal:
            journal.execute("PRAGMA query_only = 1")
            return journal.execute(
                """SELECT changes.id, lower(hex(hash)), new, status FROM changes JOIN torrents ON torrents.id = torrent
                WHERE changes.id > ? ORDER BY changes.id DESC""",
                (after,),
            ).fetchall()

    def newest_line(self) -> int:
        return max((line[0] for line in self.lines()), default=0)

    def set_by_hand(self, info_hash: str, limit: int) -> None:
        """Beside the daemon, as a person does it who looks whether it took: a write of the daemon's may cross it."""
        before = self.newest_line()
        noticed = (info_hash, limit, ADOPTED)
        for _ in range(5):
            self.place.set_limit(info_hash, limit)
            deadline = time.monotonic() + 4.0
            while time.monotonic() < deadline:
                if noticed in {line[1:] for line in self.lines(before)}:
                    self.place.originals[info_hash] = limit
                    return
                time.sleep(0.05)
        raise AssertionError(f"{limit} set by hand was never noticed: {self.lines(before)}")


def cycles(running: DaemonProcess, count: int) -> Iterable[int]:
    """The numbers of the next cycles, each as soon as it is over."""
    status = running.status
    last = first = 0 if status is None else status.cycle
    while last < first + count:
        until(lambda: (s := running.status) is not None and s.cycle > last, "another cycle")  # noqa: B023
        assert running.status is not None
        last = running.status.cycle
        yield last
