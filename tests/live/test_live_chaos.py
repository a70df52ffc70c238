"""Whatever happens to the daemon and to a real qBittorrent: the loop goes on, and every original comes back exactly."""

from __future__ import annotations

import contextlib
import json
import random
import re
import resource
import sqlite3
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from lab.peers import Swarm
from lab.processes import free_port
from lab.qbittorrent import QBittorrent, WebUI
from lab.torrents import LabTorrent, make_torrent
from lab.tracker import Trackers
from lab.versions import VERSIONS
from qguardarr.adapters.sqlite.journal import SqliteJournal
from tests.support.daemon_process import PATIENCE_S, DaemonProcess, daemon, until

pytestmark = pytest.mark.shared

CAPS: Final = {"t1": 600_000, "t2": 200_000}
ORIGINALS: Final = {
    "t1": (0, 0, 0, 1, 123_457, 500_000, 2_147_483_646, 16_384),
    "t2": (0, 3_000_017, 2_048, 0),
}
"""What the person had set, by tracker, bytes/s; 0 = unlimited."""
GREEDY: Final = 800_000.0
"""Bytes/s, more than a cap; not boundless, since without limits that would take the whole machine."""
INTERVAL_S: Final = 0.5
INTENDED, APPLIED, ADOPTED = 0, 1, 4


class Place:
    """One qBittorrent with limits of every kind, peers that want much, and what each torrent's person had set."""

    def __init__(self, version: str, folder: Path, cleanup: contextlib.ExitStack) -> None:
        self.dice = random.Random(version)
        self.trackers = cleanup.enter_context(Trackers(list(ORIGINALS)))
        self.qbittorrent = QBittorrent(version, folder, refresh_interval_ms=500)
        self.originals: dict[str, int] = {}
        self.torrents: list[LabTorrent] = []
        self.of_tracker: dict[str, list[str]] = {}
        """Info hashes."""
        for tracker, limits in ORIGINALS.items():
            url = self.trackers[tracker].announce_url
            torrents = [make_torrent(f"{tracker}-{n}", [url]) for n in range(len(limits))]
            self.torrents += torrents
            self.of_tracker[tracker] = [torrent.info_hash for torrent in torrents]
            self.originals |= dict(zip(self.of_tracker[tracker], limits, strict=True))
        self.qbittorrent.plant(self.torrents)
        cleanup.enter_context(self.qbittorrent)
        self.qbittorrent.wait_until_seeding(len(self.torrents))
        self.swarm = cleanup.enter_context(Swarm((self.qbittorrent.host, self.qbittorrent.peer_port)))
        self.swarm.join({torrent.info_hash: torrent.size for torrent in self.torrents}, peers=2)
        self.swarm.wait_until_connected()  # before the limits: at 1 byte/s a handshake takes a minute
        for info_hash, limit in self.originals.items():
            self.set_limit(info_hash, limit)
        self.wait_until_saved(self.originals)

    def limits(self) -> dict[str, int]:
        return self.qbittorrent.web.upload_limits()

    def limits_of(self, tracker: str) -> list[int]:
        limits = self.limits()
        return [limits[info_hash] for info_hash in self.of_tracker[tracker]]

    def set_limit(self, info_hash: str, limit: int) -> None:
        self.qbittorrent.web.set_upload_limit(limit, [info_hash])

    def unlimited(self) -> list[str]:
        """Torrents without a limit of their own: all of them get one of ours."""
        return [info_hash for info_hash, limit in self.originals.items() if limit == 0]

    def all_limited(self) -> bool:
        limits = self.limits()
        return all(limits[info_hash] for info_hash in self.unlimited())

    def all_greedy(self) -> None:
        self.swarm.set_demand(dict.fromkeys(self.originals, GREEDY))

    def shift_demand(self) -> None:
        """New wishes: each torrent's peers want much, nothing, or something."""
        wishes = (GREEDY, GREEDY, 0.0, self.dice.uniform(5_000, 400_000))
        self.swarm.set_demand({info_hash: self.dice.choice(wishes) for info_hash in self.originals})

    def wait_until_saved(self, limits: dict[str, int]) -> None:
        """Until these limits are in qBittorrent's files, and so outlive SIGKILL."""
        until(lambda: all(self._saved(info_hash) == limit for info_hash, limit in limits.items()), "limits in files")

    def saves(self) -> list[Path]:
        """The files in which qBittorrent keeps limits."""
        return sorted((self.qbittorrent.profile / "data" / "BT_backup").glob("*.fastresume"))

    def _saved(self, info_hash: str) -> int:
        for path in self.saves():
            if path.stem == info_hash:
                found = re.search(rb"17:upload_rate_limiti(-?\d+)e", path.read_bytes())
                return max(0, int(found[1])) if found else 0
        raise AssertionError(f"no resume data of {info_hash}")


class Guard:
    """A configuration and a journal; daemon and commands with them."""

    def __init__(self, place: Place, folder: Path) -> None:
        self.place = place
        self.config, self.database = folder / "qguardarr.yaml", folder / "journal.db"
        self.port = free_port()
        self.configure()
        SqliteJournal(self.database).close()

    def configure(
        self, *, caps: dict[str, int] = CAPS, password: str = QBittorrent.password, **settings: object
    ) -> None:
        """Write the file; `settings` belong to `global`."""
        qbittorrent = self.place.qbittorrent
        rules = [{"id": name, "pattern": self.place.trackers[name].pattern} for name in CAPS]
        rules += [{"id": "rest", "pattern": ".*"}]
        content = {
            "global": {"port": self.port, "update_interval": INTERVAL_S, **settings},
            "qbittorrent": {"url": qbittorrent.url, "username": qbittorrent.username, "password": password},
            "trackers": [{**rule, "max_upload_speed": caps.get(rule["id"], -1)} for rule in rules],
            "rollback": {"database_path": str(self.database)},
        }
        self.config.write_text(json.dumps(content))

    def serve(self) -> contextlib.AbstractContextManager[DaemonProcess]:
        return daemon(self.config, self.database)

    def run(self, *arguments: str) -> str:
        """What a command that succeeds prints."""
        done = subprocess.run(
            [sys.executable, "-m", "qguardarr", *arguments, "--config", str(self.config)],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout

    def resume(self) -> None:
        with contextlib.closing(SqliteJournal(self.database)) as journal:
            journal.set_paused(None)

    def roll_back(self) -> Any:
        """By the command; what it reports. All originals are in force then, and nothing is left in the journal."""
        report = json.loads(self.run("rollback", "--yes", "--json"))
        assert self.place.limits() == self.place.originals
        with contextlib.closing(SqliteJournal(self.database)) as journal:
            assert journal.touched().keys() == set(report["gone"])
        return report

    def lines(self, after: int = 0) -> list[tuple[int, str, int, int]]:
        """Id, info hash, new limit and status of the journal's lines, newest first."""
        with contextlib.closing(sqlite3.connect(self.database)) as journal:
            journal.execute("PRAGMA query_only = 1")
            return journal.execute(
                """SELECT changes.id, lower(hex(hash)), new, status FROM changes JOIN torrents ON torrents.id = torrent
                WHERE changes.id > ? ORDER BY changes.id DESC""",
                (after,),
            ).fetchall()

    def newest_line(self) -> int:
        return max((line[0] for line in self.lines()), default=0)

    def set_by_hand(self, info_hash: str, limit: int) -> None:
        """Beside the daemon, as a person does it who looks whether it took: a write of the daemon's may cross it."""
        before = self.newest_line()
        noticed = (info_hash, limit, ADOPTED)
        for _ in range(5):
            self.place.set_limit(info_hash, limit)
            deadline = time.monotonic() + 4.0
            while time.monotonic() < deadline:
                if noticed in {line[1:] for line in self.lines(before)}:
                    self.place.originals[info_hash] = limit
                    return
                time.sleep(0.05)
        raise AssertionError(f"{limit} set by hand was never noticed: {self.lines(before)}")


def cycles(running: DaemonProcess, count: int) -> Iterable[int]:
    """The numbers of the next cycles, each as soon as it is over."""
    status = running.status
    last = first = 0 if status is None else status.cycle
    while last < first + count:
        until(lambda: (s := running.status) is not None and s.cycle > last, "another cycle")  # noqa: B023
        assert running.status is not None
        last = running.status.cycle
        yield last


# -- chaos ------------------------------------------------------------------------------------------------------------

Moment = Callable[[Guard, int], None]
"""Waits for a moment in a daemon's life; what it writes comes after that line of the journal."""


def any_time(guard: Guard, after: int) -> None:
    time.sleep(guard.place.dice.uniform(0.0, 1.5))


def before_its_writes(guard: Guard, after: int) -> None:
    wait_for_line(guard, after, INTENDED)


def amid_its_writes(guard: Guard, after: int) -> None:
    wait_for_line(guard, after, INTENDED)
    time.sleep(guard.place.dice.uniform(0.0, 0.015))


def after_its_writes(guard: Guard, after: int) -> None:
    wait_for_line(guard, after, APPLIED)


def wait_for_line(guard: Guard, after: int, status: int) -> None:
    """Until the journal's newest line is one after `after` with this status; demand shifts until then."""
    with contextlib.closing(sqlite3.connect(guard.database, isolation_level=None)) as journal:
        journal.execute("PRAGMA query_only = 1")
        deadline, shift_at = time.monotonic() + PATIENCE_S, time.monotonic() + 2.0
        while True:
            newest = journal.execute("SELECT id, status FROM changes ORDER BY id DESC LIMIT 1").fetchone()
            if newest is not None and newest[0] > after and newest[1] == status:
                return
            now = time.monotonic()
            assert now < deadline, "nothing was written"
            if now > shift_at:
                guard.place.shift_demand()
                shift_at = now + 2.0
            time.sleep(0.001)


def die(guard: Guard, running: DaemonProcess, moment: Moment) -> None:
    """Killed at that moment, early after being resumed."""
    after = guard.newest_line()
    guard.resume()
    guard.place.shift_demand()
    moment(guard, after)
    running.kill()


def live_and_die(guard: Guard, moment: Moment) -> None:
    """Another daemon, killed at that moment, from its very start on."""
    after = guard.newest_line()
    with guard.serve() as running:
        guard.place.shift_demand()
        moment(guard, after)
        running.kill()


def roll_back_beside_a_daemon(guard: Guard) -> None:
    """It is at work when the command comes, and leaves the originals alone from then on."""
    after = guard.newest_line()
    with guard.serve() as running:
        after_its_writes(guard, after)
        any_time(guard, after)
        guard.roll_back()
        list(cycles(running, 2))
        running.wait_for_state("paused")
        assert guard.place.limits() == guard.place.originals
        running.kill()


def roll_back_twice(guard: Guard) -> None:
    """qBittorrent dies right after the first time, which it may not have saved."""
    guard.roll_back()
    restart_qbittorrent(guard.place)
    guard.roll_back()


def restart_qbittorrent(place: Place) -> None:
    """What it had not saved is lost."""
    place.qbittorrent.kill()
    place.qbittorrent.start()


def it_dies_at_any_time(guard: Guard, running: DaemonProcess) -> None:
    die(guard, running, any_time)
    live_and_die(guard, any_time)
    guard.roll_back()


def it_dies_before_its_writes(guard: Guard, running: DaemonProcess) -> None:
    die(guard, running, before_its_writes)
    live_and_die(guard, before_its_writes)
    guard.roll_back()


def it_dies_amid_its_writes(guard: Guard, running: DaemonProcess) -> None:
    die(guard, running, amid_its_writes)
    roll_back_beside_a_daemon(guard)


def it_dies_after_its_writes(guard: Guard, running: DaemonProcess) -> None:
    die(guard, running, after_its_writes)
    roll_back_beside_a_daemon(guard)


def qbittorrent_dies_and_then_the_daemon(guard: Guard, running: DaemonProcess) -> None:
    after = guard.newest_line()
    guard.resume()
    amid_its_writes(guard, after)
    guard.place.qbittorrent.kill()
    running.wait_for_state("failing")
    guard.place.qbittorrent.start()
    running.wait_for_state("holding")
    die(guard, running, any_time)
    guard.roll_back()


def both_die_amid_writes(guard: Guard, running: DaemonProcess) -> None:
    die(guard, running, amid_its_writes)
    restart_qbittorrent(guard.place)
    live_and_die(guard, after_its_writes)
    restart_qbittorrent(guard.place)
    roll_back_twice(guard)


def a_person_sets_limits(guard: Guard, running: DaemonProcess) -> None:
    place = guard.place
    beside, between = place.dice.sample(place.unlimited(), 2)
    guard.resume()
    running.wait_for_state("holding")
    until(lambda: place.limits()[beside] != 0, "a limit of ours: only then is another one worth a line")
    guard.set_by_hand(beside, place.dice.randrange(700_001, 900_000, 16))
    die(guard, running, any_time)
    limit = place.dice.randrange(20_001, 60_000, 16)
    place.set_limit(between, limit)
    place.originals[between] = limit
    live_and_die(guard, amid_its_writes)
    roll_back_twice(guard)


ROUNDS: Final = (
    it_dies_at_any_time,
    it_dies_before_its_writes,
    qbittorrent_dies_and_then_the_daemon,
    it_dies_amid_its_writes,
    a_person_sets_limits,
    both_die_amid_writes,
    it_dies_after_its_writes,
)
"""Each begins with a daemon that is paused, and ends with a rollback."""


@pytest.fixture(scope="module", params=VERSIONS)
def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guard]:
    """One qBittorrent and one journal for all rounds with a version; paused."""
    folder = tmp_path_factory.mktemp(f"chaos-{request.param}")
    with contextlib.ExitStack() as cleanup:
        guard = Guard(Place(request.param, folder / "lab", cleanup), folder)
        guard.roll_back()
        yield guard


@pytest.mark.parametrize("mishap", ROUNDS)
def test_rollback_is_exact_and_stays(stage: Guard, mishap: Callable[[Guard, DaemonProcess], None]) -> None:
    with stage.serve() as running:  # after the rollback of the round before
        running.wait_for_state("paused")
        list(cycles(running, 2))
        assert running.status is not None
        assert running.status.written_calls == 0
        assert stage.place.limits() == stage.place.originals
        mishap(stage, running)


# -- the loop goes on --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with contextlib.ExitStack() as cleanup:
        yield Place("5.1.0", tmp_path_factory.mktemp("loop") / "lab", cleanup)


@pytest.fixture
def guard(place: Place, tmp_path: Path) -> Iterator[Guard]:
    """With all peers greedy; at the end everything is rolled back."""
    place.all_greedy()
    guard = Guard(place, tmp_path)
    yield guard
    guard.roll_back()


def test_qbittorrent_may_be_away_at_the_start_and_die_later(guard: Guard) -> None:
    place = guard.place
    kept = {path: path.read_bytes() for path in place.saves()}
    place.qbittorrent.kill()
    with guard.serve() as running:
        assert "qBittorrent" in running.wait_for_state("failing").problem
        place.qbittorrent.start()
        running.wait_for_state("holding")
        until(place.all_limited, "limits")

        place.qbittorrent.kill()
        assert running.wait_for_state("failing").problem_since is not None
        for path, content in kept.items():
            path.write_bytes(content)
        place.qbittorrent.start()
        assert running.wait_for_state("holding").problem == ""
        until(place.all_limited, "the limits that were lost, again")


def test_a_wrong_password_is_tried_once(guard: Guard) -> None:
    guard.configure(password="wrong")
    with guard.serve() as running:
        assert "wrong user name or password" in running.wait_for_state("failing").problem
        list(cycles(running, 8))
        status = running.wait_for_state("failing")
        assert (status.logins, status.written_calls) == (1, 0)
        WebUI(guard.place.qbittorrent.url).login()  # a ban would hit everybody at this address
        guard.configure()
        running.reload()
        running.wait_for_state("holding")


def test_torrents_come_and_go(guard: Guard) -> None:
    place = guard.place
    visitor = make_torrent("visitor", [place.trackers["t1"].announce_url])
    with guard.serve() as running:
        running.wait_for_state("holding")
        place.qbittorrent.add([visitor])
        place.swarm.join({visitor.info_hash: visitor.size}, peers=1)
        place.swarm.set_demand({visitor.info_hash: GREEDY})
        until(lambda: _torrents(running) == len(place.torrents) + 1, "the newcomer is seen")
        seen_at = running.status.cycle if running.status else 0
        until(lambda: place.limits()[visitor.info_hash] > 0, "the newcomer is limited")
        assert running.status is not None
        assert running.status.cycle <= seen_at + 2

        place.qbittorrent.web.delete([visitor.info_hash])
        until(lambda: _torrents(running) == len(place.torrents), "its end is seen")
        list(cycles(running, 3))
        running.wait_for_state("holding")

        place.qbittorrent.add([visitor], upload_limit=777_001)
        until(lambda: 0 < place.limits()[visitor.info_hash] < 777_001, "it is limited again")
    place.originals[visitor.info_hash] = 777_001
    try:
        guard.roll_back()
    finally:
        del place.originals[visitor.info_hash]
        place.swarm.leave([visitor.info_hash])
        place.qbittorrent.web.delete([visitor.info_hash])


def _torrents(running: DaemonProcess) -> int:
    return running.status.torrents if running.status else 0


def test_a_limit_set_by_hand_is_never_raised(guard: Guard) -> None:
    place = guard.place
    chosen = place.of_tracker["t1"][0]
    with guard.serve() as running:
        running.wait_for_state("holding")
        until(place.all_limited, "limits")
        guard.set_by_hand(chosen, 30_013)
        try:
            place.swarm.set_demand({info_hash: 0.0 for info_hash in place.originals if info_hash != chosen})
            for _ in cycles(running, 12):
                assert 0 < place.limits()[chosen] <= 30_013
            guard.roll_back()
        finally:
            place.set_limit(chosen, 0)
            place.originals[chosen] = 0


def test_a_dry_run_ends_by_reload(guard: Guard) -> None:
    place = guard.place
    guard.configure(dry_run=True)
    with guard.serve() as running:
        running.wait_for_state("observing")
        for _ in cycles(running, 4):
            assert place.limits() == place.originals
        guard.configure()
        running.reload()
        running.wait_for_log("reloaded")
        first = running.status.cycle if running.status else 0
        until(lambda: place.limits() != place.originals, "limits")
        assert running.status is not None
        assert running.status.cycle <= first + 2


def test_a_cap_is_lowered_by_reload(guard: Guard) -> None:
    place = guard.place
    with guard.serve() as running:
        running.wait_for_state("holding")
        until(place.all_limited, "limits")
        guard.configure(caps={**CAPS, "t1": 150_000})
        running.reload()
        until(lambda: sum(place.limits_of("t1")) <= 1.1 * 150_000, "limits under the new cap")


def test_a_tracker_without_a_cap_has_its_originals_back(guard: Guard) -> None:
    place = guard.place
    with guard.serve() as running:
        running.wait_for_state("holding")
        until(place.all_limited, "limits")
        guard.configure(caps={**CAPS, "t1": -1})
        running.reload()
        until(lambda: place.limits_of("t1") == list(ORIGINALS["t1"]), "originals")
        until(lambda: not _touched(guard) & set(place.of_tracker["t1"]), "the journal forgets them")
        assert all(place.limits_of("t2"))
        assert running.wait_for_state("holding").limited > 0


def test_torrents_that_leave_the_rollout_have_their_originals_back(guard: Guard) -> None:
    place = guard.place
    left = {info_hash for info_hash in place.originals if zlib.crc32(info_hash.encode()) % 100 >= 30}
    stay = [info_hash for info_hash in place.unlimited() if info_hash not in left]
    assert left
    assert stay
    with guard.serve() as running:
        running.wait_for_state("holding")
        until(place.all_limited, "limits")
        guard.configure(rollout_percentage=30)
        running.reload()

        def divided() -> bool:
            limits = place.limits()
            return all(limits[h] == place.originals[h] for h in left) and all(limits[h] > 0 for h in stay)

        until(divided, "originals of those that leave")
        until(lambda: not _touched(guard) & left, "the journal forgets them")


def _touched(guard: Guard) -> set[str]:
    with contextlib.closing(SqliteJournal(guard.database)) as journal:
        return set(journal.touched())


def test_nothing_is_written_while_the_journal_cannot_be(guard: Guard) -> None:
    place = guard.place
    guard.run("pause")
    with guard.serve() as running:
        running.wait_for_state("paused")
        _, hard = resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, (4_096, hard))  # as on a full disk
        guard.resume()
        status = running.wait_for_state("failing")
        assert "journal" in status.problem
        assert "space" in status.problem
        for _ in cycles(running, 4):
            assert place.limits() == place.originals
        resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
        running.wait_for_state("holding")
        until(place.all_limited, "limits")
