"""A real qbittorrent-nox on 127.0.0.1 with a profile of its own, and a small blocking client for the lab's needs."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import urllib3

from lab.errors import LabError
from lab.processes import allow_many_files, free_port
from lab.torrents import LabTorrent
from lab.versions import ensure

USERNAME: Final = "admin"
PASSWORD: Final = "lab-password"

_START_TIMEOUT_S: Final = 120.0
_STOP_TIMEOUT_S: Final = 60.0
_ADDED_PER_CALL: Final = 500
_GENEROUS: Final[Mapping[str, object]] = {
    "Session\\BTProtocol": "TCP",
    "Session\\ChokingAlgorithm": "FixedSlots",
    "Session\\Encryption": 2,
    "Session\\MaxConnections": -1,
    "Session\\MaxConnectionsPerTorrent": -1,
    "Session\\MaxUploads": -1,
    "Session\\MaxUploadsPerTorrent": -1,
    "Session\\MultiConnectionsPerIp": True,
    "Session\\SocketBacklogSize": 1000,
    "Session\\uTPRateLimited": True,
}
"""Settings under which neither slots nor connections nor uTP's own control of the rate decide anything."""


class QBittorrent:
    """One qbittorrent-nox. Start and stop it as often as needed; profile and ports stay the same.

    No DHT, PeX, LSD, UPnP, no queueing, and no limit on the ratio; torrents start seeding as they are. Unless it is
    `plain`: TCP in the clear, no limits on slots and connections.
    """

    host: Final = "127.0.0.1"
    username: Final = USERNAME
    password: Final = PASSWORD

    def __init__(
        self,
        version: str,
        folder: Path,
        *,
        bypass_local_auth: bool = False,
        refresh_interval_ms: int = 1500,
        preferences: Mapping[str, object] | None = None,
        peer_host: str = "127.0.0.1",
        plain: bool = False,
    ) -> None:
        """`folder` gets the profile and the payload files. `preferences`: WebUI preferences, set at each start.
        `peer_host`: address for BitTorrent; the WebUI is on 127.0.0.1. `plain`: slots, connections, encryption and
        protocols as its makers ship them."""
        self.version = version
        self.folder = folder
        self.payload = folder / "payload"
        self.port = free_port()
        self.peer_host = peer_host
        self.peer_port = free_port(peer_host)
        self.web = WebUI(self.url)
        self._binary = ensure(version)
        self._preferences = dict(preferences or {})
        self._process: subprocess.Popen[bytes] | None = None
        self.payload.mkdir(parents=True, exist_ok=True)
        self._write_settings(bypass_local_auth=bypass_local_auth, refresh_interval_ms=refresh_interval_ms, plain=plain)

    @property
    def url(self) -> str:
        """Base URL of the Web API's host."""
        return f"http://{self.host}:{self.port}"

    @property
    def profile(self) -> Path:
        """qBittorrent's own folder: `config`, and `data` with `BT_backup`."""
        return self.folder / "profile" / "qBittorrent"

    @property
    def pid(self) -> int:
        if self._process is None:
            raise LabError("qBittorrent is not running")
        return self._process.pid

    @property
    def crashed(self) -> bool:
        """Whether it ended by itself since `start`. `kill` then makes way for another start."""
        return self._process is not None and self._process.poll() is not None

    def start(self) -> None:
        """Start it and wait until its WebUI answers (all torrents are restored by then)."""
        if self._process is not None:
            raise LabError("qBittorrent is running already")
        allow_many_files()
        command = [*self._binary.command, f"--profile={self.folder / 'profile'}"]
        env = {**os.environ, **dict(self._binary.env), "HOME": str(self.folder)}
        with (self.folder / "qbittorrent.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env, start_new_session=True
            )
        try:
            self._wait_until_ready()
            if self._preferences:
                self.web.set_preferences(self._preferences)
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """SIGTERM, and wait; it saves its state. Nothing happens if it is not running."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def kill(self) -> None:
        """SIGKILL, and wait. Nothing happens if it is not running."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        self._process = None

    def restart(self) -> None:
        self.stop()
        self.start()

    def add(self, torrents: Sequence[LabTorrent], *, upload_limit: int | None = None) -> None:
        """Add while running; they seed at once. `upload_limit` in bytes/s. Best for up to a few thousand."""
        for torrent in torrents:
            torrent.create_file(self.payload)
        for start in range(0, len(torrents), _ADDED_PER_CALL):
            self.web.add(torrents[start : start + _ADDED_PER_CALL], self.payload, upload_limit)

    def plant(self, torrents: Sequence[LabTorrent]) -> None:
        """Write them into the profile of a qBittorrent that is not running; they seed when it starts."""
        if self._process is not None:
            raise LabError("stop qBittorrent before planting torrents")
        backup = self.profile / "data" / "BT_backup"
        backup.mkdir(parents=True, exist_ok=True)
        for torrent in torrents:
            torrent.create_file(self.payload)
            (backup / f"{torrent.info_hash}.torrent").write_bytes(torrent.metainfo)
            (backup / f"{torrent.info_hash}.fastresume").write_bytes(torrent.resume_data(self.payload))

    def wait_until_seeding(self, count: int, timeout_s: float = 60.0) -> None:
        """Wait until at least `count` torrents are complete and started."""
        deadline = time.monotonic() + timeout_s
        while True:
            asked = time.monotonic()
            seeding = sum(info["state"] in ("uploading", "stalledUP") for info in self.web.info())
            if seeding >= count:
                return
            if time.monotonic() > deadline:
                raise LabError(f"only {seeding} of {count} torrents seed after {timeout_s:.0f} s")
            time.sleep(max(0.1, time.monotonic() - asked))  # with many torrents the question is a burden

    def delete_files(self) -> None:
        """Remove profile and payload, after `stop` or `kill`."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                tail = (self.folder / "qbittorrent.log").read_text(errors="replace")[-800:]
                raise LabError(f"qBittorrent {self.version} ended at once: {tail}")
            try:
                self.web.login()
            except urllib3.exceptions.HTTPError:
                time.sleep(0.05)
            else:
                return
        raise LabError(f"the WebUI of qBittorrent {self.version} did not answer within {_START_TIMEOUT_S:.0f} s")

    def _write_settings(self, *, bypass_local_auth: bool, refresh_interval_ms: int, plain: bool) -> None:
        sections: dict[str, dict[str, object]] = {
            "LegalNotice": {"Accepted": True},
            "Network": {"PortForwardingEnabled": False},
            "Core": {"AutoDeleteAddedTorrentFile": "Never"},
            "BitTorrent": {
                "Session\\AddExtensionToIncompleteFiles": False,
                "Session\\AnnounceToAllTrackers": True,
                "Session\\DHTEnabled": False,
                "Session\\DefaultSavePath": self.payload,
                "Session\\DisableAutoTMMByDefault": True,
                "Session\\IgnoreLimitsOnLAN": False,
                "Session\\Interface": "lo",
                "Session\\InterfaceAddress": self.peer_host,
                "Session\\InterfaceName": "lo",
                "Session\\LSDEnabled": False,
                "Session\\PeXEnabled": False,
                "Session\\Port": self.peer_port,
                "Session\\QueueingSystemEnabled": False,
                "Session\\RefreshInterval": refresh_interval_ms,
                "Session\\TempPathEnabled": False,
                **({} if plain else _GENEROUS),
            },
            "Preferences": {
                "Bittorrent\\MaxRatio": -1,
                "Connection\\ResolvePeerCountries": False,
                "WebUI\\Address": self.host,
                "WebUI\\LocalHostAuth": not bypass_local_auth,
                "WebUI\\Password_PBKDF2": f'"@ByteArray({password_hash(PASSWORD)})"',
                "WebUI\\Port": self.port,
                "WebUI\\UseUPnP": False,
                "WebUI\\Username": USERNAME,
            },
        }
        lines: list[str] = []
        for section, settings in sections.items():
            lines.append(f"[{section}]")
            lines += [f"{key}={_setting(value)}" for key, value in settings.items()]
        config = self.profile / "config"
        config.mkdir(parents=True, exist_ok=True)
        (config / "qBittorrent.conf").write_text("\n".join(lines) + "\n")


class WebUI:
    """The calls of qBittorrent's Web API that the lab needs, on all versions. Each raises LabError unless it succeeds.

    Every call has a connection of its own: qBittorrent closes idle ones after 7 s.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._pool = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(60.0))
        self._cookie = ""

    def login(self) -> None:
        """Get a session. urllib3's HTTPError if there is no answer."""
        answer = self._request("POST", "auth/login", fields={"username": USERNAME, "password": PASSWORD})
        if answer.data.startswith(b"Fails"):
            raise LabError("qBittorrent rejects the lab's password")
        self._cookie = answer.headers.get("Set-Cookie", "").partition(";")[0]

    def get(self, path: str, **parameters: str) -> bytes:
        """Body of `GET /api/v2/<path>`."""
        return self._request("GET", path, fields=parameters).data

    def post(self, path: str, **fields: str) -> bytes:
        """Body of the answer to `POST /api/v2/<path>` with a form."""
        return self._request("POST", path, fields=fields).data

    def app_version(self) -> str:
        return self.get("app/version").decode().removeprefix("v")

    def info(self, **parameters: str) -> list[dict[str, Any]]:
        """`torrents/info`: one dictionary for each torrent."""
        infos: list[dict[str, Any]] = json.loads(self.get("torrents/info", **parameters))
        return infos

    def upload_limits(self) -> dict[str, int]:
        """Limit of every torrent by info hash, bytes/s as qBittorrent says it (0 = unlimited)."""
        return {info["hash"]: int(info["up_limit"]) for info in self.info()}

    def set_upload_limit(self, limit: int, hashes: Sequence[str]) -> None:
        """`limit` in bytes/s, 0 = unlimited, for each of `hashes`."""
        self.post("torrents/setUploadLimit", hashes="|".join(hashes), limit=str(limit))

    def set_global_upload_limit(self, limit: int) -> None:
        """`limit` in bytes/s (kept in whole KiB by qBittorrent), 0 = unlimited."""
        self.post("transfer/setUploadLimit", limit=str(limit))

    def set_preferences(self, preferences: Mapping[str, object]) -> None:
        self.post("app/setPreferences", json=json.dumps(dict(preferences)))

    def add(
        self,
        torrents: Sequence[LabTorrent],
        save_path: Path,
        upload_limit: int | None = None,
        *,
        complete: bool = True,
    ) -> None:
        """Add in one call, started; `upload_limit` in bytes/s. `complete`: the payload is there and not checked."""
        fields: list[tuple[str, Any]] = [
            ("savepath", str(save_path)),
            ("skip_checking", str(complete).lower()),
            ("paused", "false"),
            ("stopped", "false"),
            ("autoTMM", "false"),
        ]
        if upload_limit is not None:
            fields.append(("upLimit", str(upload_limit)))
        fields += [
            ("torrents", (f"{torrent.name}.torrent", torrent.metainfo, "application/x-bittorrent"))
            for torrent in torrents
        ]
        self._request("POST", "torrents/add", fields=fields, multipart=True)

    def delete(self, hashes: Sequence[str]) -> None:
        self.post("torrents/delete", hashes="|".join(hashes), deleteFiles="false")

    def _request(self, method: str, path: str, *, fields: Any, multipart: bool = False) -> urllib3.BaseHTTPResponse:
        headers = {"Cookie": self._cookie, "Connection": "close"}
        url = f"{self._url}/api/v2/{path}"
        if method == "POST":
            answer = self._pool.request("POST", url, fields=fields, headers=headers, encode_multipart=multipart)
        else:
            answer = self._pool.request("GET", url, fields=fields, headers=headers)
        if not 200 <= answer.status < 300:
            raise LabError(f"{method} {path}: {answer.status} {answer.data[:200].decode(errors='replace')}")
        return answer


def password_hash(password: str) -> str:
    """qBittorrent's form: base64 of the salt, colon, base64 of PBKDF2-HMAC-SHA-512 with 100,000 rounds."""
    salt = os.urandom(16)
    key = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, 100_000)
    return f"{base64.b64encode(salt).decode()}:{base64.b64encode(key).decode()}"


def _setting(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
