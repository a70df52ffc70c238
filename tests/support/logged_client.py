"""A client that logs its writes before it makes them, for processes that are killed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import msgspec

from qguardarr.core.model import Observation

TORRENTS = [f"{number:040x}" for number in range(40)]


class LoggedQbittorrent:
    """Limits live in a file that several processes may append to, one after the other."""

    def __init__(self, log: Path) -> None:
        self._log = log

    def written(self) -> dict[str, list[int]]:
        """All limits that each torrent ever had, oldest first."""
        written: dict[str, list[int]] = {}
        for line in self._log.read_text().splitlines():
            limit, hashes = msgspec.json.decode(line, type=tuple[int, list[str]])
            for torrent in hashes:
                written.setdefault(torrent, []).append(limit)
        return written

    def set_upload_limit(self, limit: int, hashes: Sequence[str]) -> None:
        with self._log.open("ab", buffering=0) as log:
            log.write(msgspec.json.encode((limit, list(hashes))) + b"\n")

    def upload_limits(self, hashes: Sequence[str]) -> dict[str, int]:
        written = self.written()
        return {torrent: written[torrent][-1] for torrent in hashes if torrent in written}

    def v1_hashes(self, hashes: Sequence[str] | None) -> dict[str, str]:
        return {name: name for name in hashes or ()}

    def names(self, hashes: Sequence[str]) -> dict[str, str]:
        raise NotImplementedError

    def observe(self, hints: Collection[str] = ()) -> Observation:
        raise NotImplementedError

    def retry_login(self) -> None:
        raise NotImplementedError

    def request_full(self) -> None:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


def originals(client: LoggedQbittorrent, folder: Path) -> dict[str, int]:
    """Each torrent gets its own, so that a mix-up shows. Larger than all that the guard writes."""
    (folder / "qbittorrent").touch()
    limits = {torrent: 1_000_000 + number for number, torrent in enumerate(TORRENTS)}
    for torrent, limit in limits.items():
        client.set_upload_limit(limit, [torrent])
    return limits
