"""Figures of the container image: its size, how long it takes from exec to healthy, and its memory.

    python -m bench.image               # as root; builds the image first

A start counts until `/health/ready` says 200 and the image's own health check has agreed. The container has a read-only
root file system and no capabilities, and qBittorrent 5.1.0 has 100 torrents that are all idle.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import urllib3

from lab.container import Container, Options, running
from lab.errors import LabError
from lab.image import build, mounted, revision
from lab.processes import free_port
from lab.qbittorrent import QBittorrent
from lab.torrents import make_torrent

STARTS: Final = 7
SETTLED_S: Final = 10.0
_PATIENCE_S: Final = 60.0
_REPO: Final = Path(__file__).resolve().parent.parent
_LOOK_EVERY_S: Final = 0.02
_RULES: Final = json.dumps(
    [
        {"id": "t", "pattern": "tracker", "max_upload_speed": "1 MB/s"},
        {"id": "default", "pattern": ".*", "max_upload_speed": -1},
    ]
)


def main() -> int:
    """Build the image, start it some times, and print the figures."""
    try:
        built = build(_REPO, arguments=revision(_REPO))
        with mounted(built.name) as root, tempfile.TemporaryDirectory(prefix="bench-image-") as folder:
            place = Path(folder)
            place.chmod(0o755)
            with QBittorrent("5.1.0", place / "lab") as qbittorrent:
                torrents = [make_torrent(f"torrent {n}", ["http://tracker.example.org/announce"]) for n in range(100)]
                qbittorrent.add(torrents)
                qbittorrent.wait_until_seeding(len(torrents))
                config, port = place / "config", free_port()
                config.mkdir()
                os.chown(config, 1000, 1000)
                env = {
                    "QBIT_URL": qbittorrent.url,
                    "QBIT_USERNAME": qbittorrent.username,
                    "QBIT_PASSWORD": qbittorrent.password,
                    "QGUARDARR__GLOBAL__HOST": "127.0.0.1",
                    "QGUARDARR__GLOBAL__PORT": str(port),
                    "QGUARDARR__GLOBAL__DRY_RUN": "false",
                    "QGUARDARR__TRACKERS": _RULES,
                }
                options = Options(env=env, volumes={config: "/config"}, capabilities=(), tmpfs=())
                times, memory = [], 0
                for _ in range(STARTS):
                    with running(root, built.config, options, place / "log") as container:
                        times.append(_until_healthy(container, port))
                        if len(times) == STARTS:
                            time.sleep(SETTLED_S)
                            memory = _resident_kib(container.pid)
                        container.stop(5.0)
    except LabError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    unpacked, packed = built.unpacked_bytes / 1e6, built.packed_bytes / 1e6
    print(f"size     {unpacked:.0f} MB above the base, {packed:.0f} MB compressed in all")
    print(f"healthy  {times[0]:.2f} s at the first start; then median {statistics.median(times[1:]):.2f} s")
    print(f"memory   {memory / 1024:.1f} MiB resident, all processes, after {SETTLED_S:.0f} s")
    return 0


def _until_healthy(container: Container, port: int) -> float:
    """Seconds from the container's start until it is healthy."""
    deadline = time.monotonic() + _PATIENCE_S
    while not _ready(port):
        if time.monotonic() > deadline:
            raise LabError(f"not healthy within {_PATIENCE_S:.0f} s; the log:\n{container.log}")
        time.sleep(_LOOK_EVERY_S)
    done = container.execute(*container.config["Healthcheck"]["Test"][1:])
    if done.returncode != 0:
        raise LabError(f"the health check says {done.stdout}{done.stderr}")
    return time.monotonic() - container.started_at


def _ready(port: int) -> bool:
    try:
        return urllib3.request("GET", f"http://127.0.0.1:{port}/health/ready", retries=False).status == 200
    except urllib3.exceptions.HTTPError:
        return False


def _resident_kib(pid: int) -> int:
    """Of process 1 of the container, and its children."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    own = int(next(line for line in lines if line.startswith("VmRSS")).split()[1])
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()
    return own + sum(_resident_kib(int(child)) for child in children)


if __name__ == "__main__":
    sys.exit(main())
