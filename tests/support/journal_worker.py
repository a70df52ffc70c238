"""Programs that use the journal until they are killed, with a qBittorrent that is a log of writes.

The last line about a torrent in that log is its limit in force. The kernel keeps the writes of a killed process, as
qBittorrent keeps the limits that it was told.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

import msgspec

from qguardarr.adapters.sqlite.journal import SqliteJournal
from qguardarr.core.model import Change, Observation
from qguardarr.engine.ports import Known
from qguardarr.engine.rollback import rollback

TORRENTS = [f"{number:040x}" for number in range(40)]


class LoggedQbittorrent:
    """Keeps limits in a file that several processes may append to, one after the other."""

    def __init__(self, log: Path) -> None:
        self._log = log

    def written(self) -> dict[str, list[int]]:
        """Return all limits that each torrent ever had, oldest first."""
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

    def observe(
        self, hints: Collection[str] = (), known: Known = lambda _hash: None, *, names: bool = False
    ) -> Observation:
        raise NotImplementedError

    def retry_login(self) -> None:
        raise NotImplementedError

    def request_full(self) -> None:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


def guard(journal: SqliteJournal, client: LoggedQbittorrent, chance: random.Random) -> None:
    """Run cycles without end. Each change claims another original, of which only the first may count."""
    while True:
        with journal.exclusive(10):
            chosen = chance.sample(TORRENTS, chance.randint(1, len(TORRENTS)))
            limit = chance.randint(1, 10_000)
            now = client.upload_limits(chosen)
            ids = journal.intend([Change(torrent, now[torrent], limit, now[torrent], "") for torrent in chosen])
            client.set_upload_limit(limit, chosen)
            settle = chance.choice([journal.applied, journal.applied, journal.failed])
            settle(ids)
        print("cycle", flush=True)


def roll_back(journal: SqliteJournal, client: LoggedQbittorrent, _: random.Random) -> None:
    rollback(client, journal, progress=lambda done, _: print("done", done, flush=True))


def give_own_limits(client: LoggedQbittorrent, folder: Path) -> dict[str, int]:
    """Give each torrent a limit of its own, larger than those of the guard, so that a mix-up shows. Return them."""
    (folder / "qbittorrent").touch()
    limits = {torrent: 1_000_000 + number for number, torrent in enumerate(TORRENTS)}
    for torrent, limit in limits.items():
        client.set_upload_limit(limit, [torrent])
    return limits


if __name__ == "__main__":
    work = {"guard": guard, "roll_back": roll_back}[sys.argv[1]]
    folder = Path(sys.argv[2])
    work(SqliteJournal(folder / "journal.db"), LoggedQbittorrent(folder / "qbittorrent"), random.Random(sys.argv[3]))
