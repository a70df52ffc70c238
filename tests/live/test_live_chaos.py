"""Whatever happens to the daemon and to a real qBittorrent: the loop goes on, and every original comes back exactly."""

from __future__ import annotations

import contextlib
import resource
import sqlite3
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from lab.qbittorrent import WebUI
from lab.torrents import make_torrent
from lab.versions import VERSIONS
from qguardarr.adapters.sqlite.journal import SqliteJournal
from tests.support.chaos import APPLIED, CAPS, GREEDY, INTENDED, ORIGINALS, Guard, Place, cycles
from tests.support.daemon_process import PATIENCE_S, DaemonProcess, until

pytestmark = pytest.mark.shared


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
