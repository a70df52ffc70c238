"""`install-hook` on real qBittorrent: what it runs, when, and with which torrent's id."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import structlog
import typer
from typer.testing import CliRunner

from lab.qbittorrent import QBittorrent
from lab.torrents import LabTorrent, make_torrent
from lab.versions import VERSIONS
from qguardarr.cli.hook import install_hook
from tests.support.daemon_process import until
from tests.support.webhook_target import WebhookTarget

pytestmark = pytest.mark.shared

KEY = "0123456789abcdef%K%N\"'&#?{1,2}[a]\\$HOME;+"
app = typer.Typer()
app.command()(install_hook)


class Place:
    def __init__(self, folder: Path, qbittorrent: QBittorrent, target: WebhookTarget) -> None:
        self.folder, self.qbittorrent, self.target = folder, qbittorrent, target
        (folder / "qguardarr.yaml").write_text(
            f"""
qbittorrent: {{url: "{qbittorrent.url}", username: {qbittorrent.username}, password: "{qbittorrent.password}"}}
global: {{port: {target.port}}}
auth: {{api_key: {json.dumps(KEY)}}}
trackers: [{{id: all, pattern: '.*', max_upload_speed: 1 MB/s}}]
"""
        )

    def run(self, *arguments: str) -> tuple[int, str]:
        """Exit code and stdout."""
        result = CliRunner().invoke(app, ["--config", str(self.folder / "qguardarr.yaml"), *arguments])
        structlog.reset_defaults()
        return result.exit_code, result.stdout

    def add_without_payload(self, torrent: LabTorrent) -> None:
        """It has to be downloaded."""
        self.qbittorrent.web.add([torrent], self.folder / "downloads", complete=False)

    def state(self, torrent: LabTorrent) -> str | None:
        return next((str(info["state"]) for info in self.qbittorrent.web.info(hashes=torrent.info_hash)), None)

    def wait(self) -> tuple[str, str]:
        """Event and hash of the next request."""
        request = self.target.wait()
        at, fields = urlsplit(request.path), parse_qs(request.body)
        assert (at.path, parse_qs(at.query)) == ("/webhook", {"apikey": [KEY]})
        (event,), (torrent_hash,) = fields["event"], fields["hash"]
        return event, torrent_hash


@pytest.fixture(params=VERSIONS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    with WebhookTarget() as target, QBittorrent(request.param, tmp_path / "lab") as qbittorrent:
        yield Place(tmp_path, qbittorrent, target)


def test_qbittorrent_tells_of_torrents_added_and_completed(place: Place, tmp_path: Path) -> None:
    assert place.run()[0] == 0
    torrent = make_torrent("downloaded (ü) \"x\" 'y' $HOME", [])
    with QBittorrent(place.qbittorrent.version, tmp_path / "other") as other:
        other.add([torrent])
        other.wait_until_seeding(1)
        place.add_without_payload(torrent)
        assert place.wait() == ("add", torrent.info_hash)
        until(lambda: place.state(torrent) == "stalledDL", "a torrent that waits for peers")
        peer = f"{other.host}:{other.peer_port}"
        place.qbittorrent.web.post("torrents/addPeers", hashes=torrent.info_hash, peers=peer)
        assert place.wait() == ("complete", torrent.info_hash)

    assert json.loads(place.run("--json")[1]) == {"add": "unchanged", "complete": "unchanged"}
    assert json.loads(place.run("--remove", "--json")[1]) == {"add": "removed", "complete": "removed"}
    preferences = json.loads(place.qbittorrent.web.get("app/preferences"))
    assert {value for name, value in preferences.items() if name.startswith("autorun_")} == {"", False}


def test_a_program_that_is_already_there_is_kept_and_runs_on(place: Place) -> None:
    mine = place.folder / "mine.log"
    line = f"cp /etc/hostname {mine}"
    place.qbittorrent.web.set_preferences(
        {"autorun_on_torrent_added_enabled": True, "autorun_on_torrent_added_program": line}
    )
    code, out = place.run("--json")
    assert (code, json.loads(out)) == (1, {"add": "kept", "complete": "installed"})
    place.qbittorrent.add([make_torrent("added", [])])
    until(mine.exists, "the person's own program")
    assert json.loads(place.run("--force", "--json")[1]) == {"add": "installed", "complete": "unchanged"}
    later = make_torrent("added later", [])
    place.add_without_payload(later)
    events = iter(place.wait, None)  # 5.3 also tells that the first is complete, which it was when it was added
    assert next(torrent_hash for event, torrent_hash in events if event == "add") == later.info_hash
