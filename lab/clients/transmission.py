"""Transmission as a leecher, over its RPC. uTP first, then TCP."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any, ClassVar, Final

from lab.clients.base import Client
from lab.clients.rpc import post_json
from lab.errors import LabError
from lab.processes import free_port
from lab.torrents import LabTorrent

_SESSION: Final = "X-Transmission-Session-Id"
_KB: Final = 1000


class Transmission(Client):
    """Counts `downloadedEver`: every byte of payload as it comes. Its limits are whole kB/s."""

    family: ClassVar[str] = "transmission"
    package: ClassVar[str] = "transmission-daemon"
    program: ClassVar[str] = "transmission-daemon"
    counter_resets: ClassVar[bool] = False

    def __init__(self, folder: Path, host: str) -> None:
        super().__init__(folder, host)
        self._port = free_port()
        self._session = ""

    def _command(self) -> list[str]:
        settings = {
            "bind-address-ipv4": self.host,
            "bind-address-ipv6": "::1",
            "dht-enabled": False,
            "download-dir": str(self.payload),
            "download-queue-enabled": False,
            "lpd-enabled": False,
            "peer-port": free_port(self.host),
            "pex-enabled": False,
            "port-forwarding-enabled": False,
            "preallocation": 0,
            "rpc-authentication-required": False,
            "rpc-bind-address": "127.0.0.1",
            "rpc-port": self._port,
            "seed-queue-enabled": False,
        }
        config = self.folder / "config"
        config.mkdir()
        (config / "settings.json").write_text(json.dumps(settings))
        return [self.program, "--foreground", "--config-dir", str(config)]

    def _check_ready(self) -> None:
        self._call("session-get", fields=["version"])

    def _add(self, torrent: LabTorrent) -> None:
        self._call("torrent-add", metainfo=base64.b64encode(torrent.metainfo).decode(), paused=True)

    def _limit(self, info_hash: str, limit: int | None) -> None:
        if limit is None:
            self._call("torrent-set", ids=[info_hash], downloadLimited=False)
        else:
            self._call("torrent-set", ids=[info_hash], downloadLimited=True, downloadLimit=max(1, round(limit / _KB)))

    def _run(self, info_hash: str, *, running: bool) -> None:
        self._call("torrent-start-now" if running else "torrent-stop", ids=[info_hash])

    def _figures(self) -> dict[str, int]:
        return self._of_all("downloadedEver")

    def connected(self) -> dict[str, int]:
        return self._of_all("peersConnected")

    def _of_all(self, field: str) -> dict[str, int]:
        found = self._call("torrent-get", fields=["hashString", field])
        return {entry["hashString"]: int(entry[field]) for entry in found["torrents"]}

    def _call(self, method: str, **arguments: object) -> dict[str, Any]:
        message = {"method": method, "arguments": arguments}
        url = f"http://127.0.0.1:{self._port}/transmission/rpc"
        answer, headers = post_json(url, message, {_SESSION: self._session})
        if _SESSION in headers and "result" not in answer:
            self._session = headers[_SESSION]
            answer, _ = post_json(url, message, {_SESSION: self._session})
        if answer.get("result") != "success":
            raise LabError(f"Transmission {method}: {answer}")
        given: dict[str, Any] = answer["arguments"]
        return given
