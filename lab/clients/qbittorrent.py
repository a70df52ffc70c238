"""A second qBittorrent, 4.5.2, as a leecher, over its Web API. uTP and TCP, with its makers' settings."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import ClassVar, Final, Self

from lab.clients.base import Client
from lab.qbittorrent import QBittorrent
from lab.torrents import LabTorrent

VERSION: Final = "4.5.2"

_REFRESH_MS: Final = 500


class QBittorrentLeecher(Client):
    """Counts `downloaded_session`: every byte of payload, as of its last refresh, each 0.5 s."""

    family: ClassVar[str] = "qbittorrent"
    package: ClassVar[str] = "qbittorrent-nox"
    program: ClassVar[str] = "qbittorrent-nox"
    counter_resets: ClassVar[bool] = True

    def __init__(self, folder: Path, host: str) -> None:
        super().__init__(folder, host)
        self._server = QBittorrent(VERSION, folder, peer_host=host, plain=True, refresh_interval_ms=_REFRESH_MS)

    def __enter__(self) -> Self:
        self._server.start()
        self._start_threads()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        self._server.kill()

    def _command(self) -> list[str]:
        raise NotImplementedError  # the lab's own class starts it

    def _check_ready(self) -> None:
        self._server.web.app_version()

    def _add(self, torrent: LabTorrent) -> None:
        self._server.web.add([torrent], self.payload, complete=False)

    def _limit(self, info_hash: str, limit: int | None) -> None:
        self._server.web.post("torrents/setDownloadLimit", hashes=info_hash, limit=str(limit or 0))

    def _run(self, info_hash: str, *, running: bool) -> None:
        self._server.web.post("torrents/resume" if running else "torrents/pause", hashes=info_hash)

    def _figures(self) -> dict[str, int]:
        return self._of_all("downloaded_session")

    def connected(self) -> dict[str, int]:
        return self._of_all("num_seeds")

    def _of_all(self, field: str) -> dict[str, int]:
        return {info["hash"]: int(info[field]) for info in self._server.web.info()}
