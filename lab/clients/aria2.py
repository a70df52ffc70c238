"""aria2 as a leecher, over its JSON-RPC. TCP only: it knows no uTP."""

from __future__ import annotations

import base64
import secrets
from pathlib import Path
from typing import Any, ClassVar, Final

from lab.clients.base import Client
from lab.clients.rpc import post_json
from lab.errors import LabError
from lab.processes import free_port
from lab.torrents import LabTorrent

_FIELDS: Final = ["gid", "infoHash", "completedLength", "connections", "status"]
_MOST_DOWNLOADS: Final = 1000


class Aria2(Client):
    """Counts `completedLength`, which grows by whole blocks of 16 KiB."""

    family: ClassVar[str] = "aria2"
    package: ClassVar[str] = "aria2"
    program: ClassVar[str] = "aria2c"
    counter_resets: ClassVar[bool] = False

    def __init__(self, folder: Path, host: str) -> None:
        super().__init__(folder, host)
        self._port = free_port()
        self._token = secrets.token_hex(16)
        self._gids: dict[str, str] = {}

    def _command(self) -> list[str]:
        return [
            self.program,
            "--no-conf",
            "--quiet",
            "--enable-rpc",
            f"--rpc-listen-port={self._port}",
            f"--rpc-secret={self._token}",
            f"--interface={self.host}",
            f"--listen-port={free_port(self.host)}",
            f"--dir={self.payload}",
            "--file-allocation=none",
            f"--max-concurrent-downloads={_MOST_DOWNLOADS}",
            "--enable-dht=false",
            "--enable-dht6=false",
            "--enable-peer-exchange=false",
            "--bt-enable-lpd=false",
            "--disable-ipv6",
        ]

    def _check_ready(self) -> None:
        self._call("getVersion")

    def _add(self, torrent: LabTorrent) -> None:
        encoded = base64.b64encode(torrent.metainfo).decode()
        self._gids[torrent.info_hash] = self._call("addTorrent", encoded, [], {"pause": "true"})

    def _limit(self, info_hash: str, limit: int | None) -> None:
        self._call("changeOption", self._gids[info_hash], {"max-download-limit": str(limit or 0)})

    def _run(self, info_hash: str, *, running: bool) -> None:
        gid = self._gids[info_hash]
        paused = self._call("tellStatus", gid, ["status"])["status"] == "paused"
        if running == paused:
            self._call("unpause" if running else "pause", gid)

    def _figures(self) -> dict[str, int]:
        return {entry["infoHash"]: int(entry["completedLength"]) for entry in self._all()}

    def connected(self) -> dict[str, int]:
        return {entry["infoHash"]: int(entry["connections"]) for entry in self._all()}

    def _all(self) -> list[dict[str, Any]]:
        active: list[dict[str, Any]] = self._call("tellActive", _FIELDS)
        waiting: list[dict[str, Any]] = self._call("tellWaiting", 0, _MOST_DOWNLOADS, _FIELDS)
        return active + waiting

    def _call(self, method: str, *arguments: object) -> Any:
        url = f"http://127.0.0.1:{self._port}/jsonrpc"
        parameters = [f"token:{self._token}", *arguments]
        answer, _ = post_json(url, {"jsonrpc": "2.0", "id": "lab", "method": f"aria2.{method}", "params": parameters})
        if "error" in answer:
            raise LabError(f"aria2 {method}: {answer['error']}")
        return answer["result"]
