"""rTorrent as a leecher, over XML-RPC on its SCGI socket. TCP only: it knows no uTP."""

from __future__ import annotations

import socket
import xmlrpc.client
from pathlib import Path
from typing import Any, ClassVar, Final

from lab.clients.base import Client
from lab.errors import LabError
from lab.processes import free_port
from lab.torrents import LabTorrent

_TIMEOUT_S: Final = 20.0
_KIB: Final = 1024
_MOST_KIB: Final = 60_000
_LEAST_KIB: Final = "1"


class RTorrent(Client):
    """Counts `d.down.total`: every byte of payload as it comes. Each torrent has a throttle of its own, in whole KiB/s.

    A throttle works on a torrent that gets it before it first starts, if it limits at all, then and later. A torrent
    that was paused or stopped finds its peers again only after minutes; so demand 0 is 1 KiB/s once it has started.
    """

    family: ClassVar[str] = "rtorrent"
    package: ClassVar[str] = "rtorrent"
    program: ClassVar[str] = "rtorrent"
    counter_resets: ClassVar[bool] = True

    def __init__(self, folder: Path, host: str) -> None:
        super().__init__(folder, host)
        self._socket = folder / "rpc.socket"
        self._started: set[str] = set()

    def _command(self) -> list[str]:
        port = free_port(self.host)
        settings = self.folder / "settings.rc"
        settings.write_text(
            "system.daemon.set = true\n"
            f"network.scgi.open_local = {self._socket}\n"
            f"network.bind_address.set = {self.host}\n"
            f"network.port_range.set = {port}-{port}\n"
            f"directory.default.set = {self.payload}\n"
            "dht.mode.set = disable\n"
            "protocol.pex.set = no\n"
            "trackers.use_udp.set = no\n"
            f"throttle.global_down.max_rate.set_kb = {_MOST_KIB}\n"  # throttles of torrents work only under one
        )
        return [self.program, "-n", "-o", f"import={settings}"]

    def _check_ready(self) -> None:
        self._call("system.client_version")

    def _add(self, torrent: LabTorrent) -> None:
        self._call("throttle.down", "", _throttle(torrent.info_hash), _LEAST_KIB)
        self._call(
            "load.raw",
            "",
            xmlrpc.client.Binary(torrent.metainfo),
            f"d.throttle_name.set={_throttle(torrent.info_hash)}",
        )

    def _limit(self, info_hash: str, limit: int | None) -> None:
        kib = _MOST_KIB if limit is None else max(1, round(limit / _KIB))
        self._call("throttle.down", "", _throttle(info_hash), str(kib))

    def _run(self, info_hash: str, *, running: bool) -> None:
        if not running:
            self._call("throttle.down", "", _throttle(info_hash), _LEAST_KIB)
        elif info_hash not in self._started:
            self._started.add(info_hash)
            self._call("d.start", info_hash.upper())

    def _figures(self) -> dict[str, int]:
        return self._of_all("d.down.total=")

    def connected(self) -> dict[str, int]:
        return self._of_all("d.peers_connected=")

    def _of_all(self, field: str) -> dict[str, int]:
        found = self._call("d.multicall2", "", "main", "d.hash=", field)
        return {str(info_hash).lower(): int(value) for info_hash, value in found}

    def _call(self, method: str, *arguments: Any) -> Any:
        body = xmlrpc.client.dumps(arguments, method).encode()
        head = b"CONTENT_LENGTH\0%d\0SCGI\x001\0" % len(body)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_TIMEOUT_S)
            connection.connect(str(self._socket))
            connection.sendall(b"%d:%s,%s" % (len(head), head, body))
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        try:
            (result,), _ = xmlrpc.client.loads(answer.partition(b"\r\n\r\n")[2])
        except xmlrpc.client.Fault as error:
            raise LabError(f"rTorrent {method}: {error.faultString}") from error
        return result


def _throttle(info_hash: str) -> str:
    return f"t{info_hash[:16]}"
