"""Real processes killed with SIGKILL at random points: afterwards the journal knows all that may have happened.

qBittorrent is a log to which each write is appended: what stands last in it for a torrent is in force. The kernel keeps
what a killed process has written, as qBittorrent keeps what it was told.
"""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

import msgspec

from qguardarr.adapters.sqlite.journal import SqliteJournal
from qguardarr.core.model import Change, Observation
from qguardarr.engine.ports import Known
from qguardarr.engine.rollback import BEGUN_REASON, rollback

ROUNDS = 20
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

    def observe(self, hints: Collection[str] = (), known: Known | None = None) -> Observation:  # the port's name
        raise NotImplementedError

    def retry_login(self) -> None:
        raise NotImplementedError

    def request_full(self) -> None:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


def guard(journal: SqliteJournal, client: LoggedQbittorrent, chance: random.Random) -> None:
    """Endless cycles. Each change claims another original, of which only the first may count."""
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


def run_until_killed(work: str, folder: Path, seed: int, lines: int, grace_s: float) -> None:
    """Start `work`, let it report `lines` times, then kill it in the midst of what it does next."""
    process = subprocess.Popen([sys.executable, __file__, work, str(folder), str(seed)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    for _ in range(lines):
        process.stdout.readline()
    try:
        process.wait(grace_s)
    except subprocess.TimeoutExpired:
        process.kill()
    process.stdout.close()
    assert process.wait() in (0, -9)


def originals(client: LoggedQbittorrent, folder: Path) -> dict[str, int]:
    """Each torrent gets its own, so that a mix-up shows. Larger than all that the guard writes."""
    (folder / "qbittorrent").touch()
    limits = {torrent: 1_000_000 + number for number, torrent in enumerate(TORRENTS)}
    for torrent, limit in limits.items():
        client.set_upload_limit(limit, [torrent])
    return limits


def test_a_guard_killed_at_any_point_leaves_a_journal_that_knows_originals_and_all_writes(tmp_path: Path) -> None:
    client = LoggedQbittorrent(tmp_path / "qbittorrent")
    expected = originals(client, tmp_path)
    chance = random.Random(2)
    for round_ in range(ROUNDS):
        run_until_killed("guard", tmp_path, round_, chance.randint(0, 12), chance.uniform(0, 0.01))
        journal = SqliteJournal(tmp_path / "journal.db")
        touched = journal.touched()
        for torrent, limits in client.written().items():
            ours = limits[1:]
            if ours:
                assert touched[torrent].original == expected[torrent]
                assert ours[-1] in touched[torrent].written
            assert all(journal.wrote(torrent, limit) for limit in ours)
        journal.close()
    assert sum(map(len, client.written().values())) > 10 * len(TORRENTS)

    journal = SqliteJournal(tmp_path / "journal.db")
    report = rollback(client, journal)
    assert report.complete
    assert client.upload_limits(TORRENTS) == expected
    assert journal.touched() == {}
    journal.close()


def test_a_rollback_killed_at_any_point_is_finished_by_the_next(tmp_path: Path) -> None:
    client = LoggedQbittorrent(tmp_path / "qbittorrent")
    expected = originals(client, tmp_path)
    journal = SqliteJournal(tmp_path / "journal.db")
    chance = random.Random(4)
    for round_ in range(ROUNDS // 2):
        journal.set_paused(None)
        with journal.exclusive(0):  # the kernel has released the lock of the one that was killed
            now = client.upload_limits(TORRENTS)
            journal.applied(journal.intend([Change(name, now[name], 77, now[name], "") for name in TORRENTS]))
            client.set_upload_limit(77, TORRENTS)
        run_until_killed("roll_back", tmp_path, round_, chance.randint(1, len(TORRENTS)), chance.uniform(0, 0.003))
        assert journal.paused() in (BEGUN_REASON, "rolled back")
        in_force = client.upload_limits(TORRENTS)
        for name in TORRENTS:
            if name in journal.touched():
                assert journal.touched()[name].original == expected[name]
            else:
                assert in_force[name] == expected[name]
    report = rollback(client, journal)
    assert report.complete
    assert client.upload_limits(TORRENTS) == expected
    journal.close()


if __name__ == "__main__":
    work = {"guard": guard, "roll_back": roll_back}[sys.argv[1]]
    folder = Path(sys.argv[2])
    work(SqliteJournal(folder / "journal.db"), LoggedQbittorrent(folder / "qbittorrent"), random.Random(sys.argv[3]))
