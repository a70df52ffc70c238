"""The daemon stays small: this guards what it loads. With many torrents, `bench/scale.py` measures it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.support.api_client import ServedApi, fake_with_torrents
from tests.support.api_operations import OPERATIONS
from tests.support.fake_qbittorrent import FakeTorrent

TORRENTS: Final = 1000
MOST_MIB: Final = 54.0
"""Peak with every call of the API made twice. Measured: 52 (Python 3.11, glibc). It takes 13 more without what
`app/process.py` and `-OO` save."""
WITHOUT: Final = {"/api/v1/events", "/api/v1/setup/user"}
"""Not called: the stream has no end; with a user, each login takes 7 MiB more for the moment of its Argon2."""


@pytest.fixture
def api(tmp_path: Path) -> Iterator[ServedApi]:
    with fake_with_torrents() as fake:
        for number in range(TORRENTS):
            fake.add(FakeTorrent(f"{number:040x}", f"torrent {number}", ("http://tracker.example/announce",)))
        served = ServedApi(tmp_path, fake)
        assert served.start().end() == 0  # the first start may have to compile modules, which takes memory
        served.start()
        try:
            yield served
        finally:
            served.daemon.kill()


def test_the_peak_with_the_api_in_use(api: ServedApi) -> None:
    for operation in OPERATIONS * 2:
        if operation.path not in WITHOUT:
            query = "?limit=500" if operation.path == "/api/v1/torrents" else ""
            api.client.ask(operation.method, operation.real_path + query, operation.body_example)
    status = Path(f"/proc/{api.daemon.process.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    assert int(found[1]) / 1024 < MOST_MIB, found[0]


def test_tls_is_loaded_once_it_is_spoken(tmp_path: Path) -> None:
    code = (
        "import sys; from qguardarr.app.process import main; status = main(); "
        "assert 'ssl' not in sys.modules; import ssl; ssl.create_default_context(); print(status)"
    )
    command = [sys.executable, "-P", "-c", code, str(tmp_path / "missing.yaml")]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "2\n"
