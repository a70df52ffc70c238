"""A folder with a configuration and a journal, before a fake qBittorrent whose torrents have limits of their own."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

from lab.processes import free_port
from tests.support.fake_qbittorrent import FakeQBittorrent, FakeTorrent

HASHES = [f"{number:040x}" for number in range(1, 13)]
ORIGINALS = {name: 0 if number % 3 else 5_000_000 + number for number, name in enumerate(HASHES)}


class Place:
    """Twelve torrents with limits of their own, a configuration that caps them, and a journal."""

    def __init__(self, folder: Path, fake: FakeQBittorrent) -> None:
        self.fake = fake
        self.config, self.database = folder / "qguardarr.yaml", folder / "data" / "journal.db"
        fake.add(
            *(FakeTorrent(name, name, ("http://alpha.example/announce",), up_limit=o) for name, o in ORIGINALS.items())
        )
        self.config.write_text(
            f"""
global: {{port: {free_port()}, update_interval: 0.5}}
qbittorrent: {{url: "{fake.url}", username: {fake.username}, password: "{fake.password}"}}
rollback: {{database_path: data/journal.db}}
trackers:
  - {{id: alpha, pattern: 'alpha', max_upload_speed: 1 MB/s}}
  - {{id: default, pattern: '.*', max_upload_speed: unlimited}}
"""
        )

    def limits(self) -> dict[str, int]:
        with self.fake.lock:
            return {name: torrent.up_limit for name, torrent in self.fake.torrents.items()}

    def all_limited(self) -> bool:
        return all(limit != ORIGINALS[name] for name, limit in self.limits().items())

    def run(self, *arguments: str, full: bool = False) -> subprocess.CompletedProcess[str]:
        """Run a command. `full`: the kernel refuses every write to a file."""
        return subprocess.run(
            [sys.executable, "-m", "qguardarr", *arguments, "--config", str(self.config)],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
            preexec_fn=no_room if full else None,
        )  # fmt: skip


def no_room() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
