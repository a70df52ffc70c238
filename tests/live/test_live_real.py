"""Real clients: the daemon uses the cap as qBittorrent's own shared pool does, with the same swarm in the same run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from bench.real import Played
from lab.versions import VERSIONS
from tests.support.paths import ROOT

WITHIN_S = 180.0
USED_AT_LEAST = 0.88  # from 10 s on, for 20 s; aimed at: 0.97. Over half of 15 s, 0.80 to 0.97 was seen: noise
WORST_10S = 1.15  # aimed at: 1.10


@pytest.mark.parametrize("version", VERSIONS)
def test_one_hungry_torrent_among_four_of_real_clients(version: str, tmp_path: Path) -> None:
    found = tmp_path / "figures.json"
    command = ["bench.hold", "real_short", "--version", version, "--json", str(found)]
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, timeout=WITHIN_S, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    ours, pool = msgspec.json.decode(found.read_bytes(), type=tuple[Played, Played])
    assert (ours.run.guard, pool.run.guard) == ("qguardarr", "ideal pool")
    (late,), (beside,) = ours.late["t1"], pool.late["t1"]
    assert late.utilisation >= USED_AT_LEAST * min(1.0, beside.utilisation), done.stdout
    assert late.sent_worst_10s <= WORST_10S, done.stdout
