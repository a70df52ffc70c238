"""The simulator behind the client's interface, with faults."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from qguardarr.core.model import Observation, checked_limit
from qguardarr.engine.ports import Known
from qguardarr.errors import ClientError, Refused, Unreachable


class SimulatedQbittorrent:
    """Holds limits, loses answers, and forgets what it has not saved when it crashes."""

    def __init__(self, limits: dict[str, int]) -> None:
        self.states = {torrent: [limit] for torrent, limit in limits.items()}
        """Of each torrent, the limit saved on disk, then all limits since; the last is in force."""
        self.away: ClientError | None = None
        self.write_faults: list[str] = []
        self.calls: list[tuple[str, int]] = []
        """Each call: read or the limit, and number of torrents."""
        self.before_write: Callable[[], None] = lambda: None

    def in_force(self, torrent: str) -> int:
        return self.states[torrent][-1]

    def set_upload_limit(self, limit: int, hashes: Sequence[str]) -> None:
        checked_limit(limit)
        assert hashes
        self.calls.append((str(limit), len(hashes)))
        self.before_write()
        if self.away is not None:
            raise self.away
        fault = self.write_faults.pop(0) if self.write_faults else "none"
        if fault == "refused":
            raise Refused("HTTP 400")
        reached = {"none": len(hashes), "unanswered": len(hashes), "half": len(hashes) // 2, "lost": 0}[fault]
        for torrent in hashes[:reached]:
            if torrent in self.states:
                self.states[torrent].append(limit)
        if fault != "none":
            raise Unreachable("no answer within 30 s")

    def upload_limits(self, hashes: Sequence[str]) -> dict[str, int]:
        self.calls.append(("read", len(hashes)))
        if self.away is not None:
            raise self.away
        return {torrent: self.states[torrent][-1] for torrent in hashes if torrent in self.states}

    def save(self) -> None:
        for states in self.states.values():
            del states[:-1]

    def observe(
        self, hints: Collection[str] = (), known: Known = lambda _hash: None, *, names: bool = False
    ) -> Observation:
        raise NotImplementedError

    def v1_hashes(self, hashes: Sequence[str] | None) -> dict[str, str]:
        return {name: name for name in hashes or ()}

    def names(self, hashes: Sequence[str]) -> dict[str, str]:
        raise NotImplementedError

    def retry_login(self) -> None:
        raise NotImplementedError

    def request_full(self) -> None:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError
