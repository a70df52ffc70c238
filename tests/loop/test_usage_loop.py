"""Usage is what the torrents really sent, whatever happens to the daemon: in virtual time, with the store on disk."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from qguardarr.adapters.sqlite.store import SqliteStore
from qguardarr.core.model import ParentGroup
from qguardarr.core.policy import Policy
from qguardarr.engine.usage_book import UsageBook
from qguardarr.features.accounting import COPY_S, FLUSH_S, Accounting
from tests.support.guard_loop import MB, Guard, Guarded, policy_of, torrents_of, tracker, truth
from tests.support.samples import status

EPOCH = 1e9
POLICY = policy_of(
    tracker("t1", MB),
    tracker("t2", 2 * MB),
)


class Counting:
    """A daemon's engine and its accounting, which may be killed."""

    def __init__(self, guarded: Guarded, path: Path) -> None:
        self.guarded, self.path = guarded, path
        self.start()

    def start(self) -> None:
        self.store = SqliteStore(self.path)
        controller = self.guarded.controller
        self.book = UsageBook(self.store)
        self.accounting = Accounting(lambda: controller.instances.all, self.store, self.book)

    def now(self) -> float:
        return EPOCH + self.guarded.sim.now

    def run(self, seconds: float) -> None:
        end = self.guarded.sim.now + seconds
        while self.guarded.sim.now < end:
            snapshot = self.guarded.controller.cycle()
            self.accounting.on_cycle(status(state=snapshot.state, at=self.now()))
            if self.accounting.copying is not None:
                self.accounting.copying.join()
            assert list(self.accounting.problems()) == []
            self.guarded.sim.run_until(self.guarded.sim.now + self.guarded.controller.rest_s(self.guarded.sim.now))

    def off(self, seconds: float, *, killed: bool) -> None:
        if not killed:
            self.accounting.close()
        self.store.close()
        self.guarded.sim.run_until(self.guarded.sim.now + seconds)
        self.guarded.restart_daemon()
        self.start()

    def counted(self, group: str) -> int:
        return sum(row.bytes for row in self.store.usage_days(group, "0000", "9999"))


@pytest.fixture
def counting(guard: Guard, tmp_path: Path) -> Iterator[Counting]:
    torrents = torrents_of("t1", [math.inf] * 3) + torrents_of("t2", [300_000, 0.0])
    one = Counting(guard(POLICY, torrents), tmp_path / "q.db.store")
    yield one
    one.store.close()


def sent(guarded: Guarded, group: str) -> float:
    return truth(guarded.sim, group).totals[-1]


def test_with_kills_and_off_times_at_random_usage_is_what_was_sent(counting: Counting) -> None:
    """A kill loses nothing either, since the counters of qBittorrent tell what was not written yet."""
    dice = random.Random(7)
    for _ in range(12):
        counting.run(dice.uniform(5.0, 2 * FLUSH_S))
        counting.off(dice.uniform(0.0, 40.0), killed=dice.random() < 0.7)
    counting.run(20.0)
    counting.accounting.close()
    for group in ("t1", "t2"):
        assert counting.counted(group) == pytest.approx(sent(counting.guarded, group), rel=0.01)
    assert counting.counted("") == counting.counted("t1") + counting.counted("t2") + counting.counted("rest")
    assert counting.book.total("t1") == counting.counted("t1"), "the counter of Prometheus goes on after a kill"


def test_a_kill_loses_less_than_a_minute_while_the_daemon_is_off(counting: Counting) -> None:
    counting.run(COPY_S + 100.0)
    written, total = counting.counted("t1"), sent(counting.guarded, "t1")
    assert 0 <= total - written < 60 * 1.1 * MB


def test_what_was_sent_meanwhile_falls_on_the_hours_in_which_it_may_have_been(counting: Counting) -> None:
    counting.run(30.0)
    counting.off(2.5 * 3600, killed=False)
    counting.run(10.0)
    hours = [row.bytes for row in counting.store.usage_hours("t2", 0.0, 1e11)]
    assert len(hours) in (3, 4)
    assert max(hours) == pytest.approx(3600 * 300_000, rel=0.02)
    assert sum(hours) == pytest.approx(sent(counting.guarded, "t2"), rel=0.01)


def test_a_store_that_is_lost_begins_anew(counting: Counting) -> None:
    counting.run(60.0)
    counting.accounting.close()
    counting.store.close()
    for file in counting.path.parent.glob("q.db.store*"):
        file.unlink()
    before = sent(counting.guarded, "t1")
    counting.guarded.restart_daemon()
    counting.start()
    counting.run(60.0)
    counting.accounting.close()
    assert counting.counted("t1") == pytest.approx(sent(counting.guarded, "t1") - before, rel=0.05)


def test_parents_and_the_line_count_what_is_beneath_them(guard: Guard, tmp_path: Path) -> None:
    classes = (tracker("t1", MB), tracker("t2", MB))
    inner = ParentGroup("inner", "inner", 5 * MB, parent="top")
    one, other = (msgspec.structs.replace(g, parent=p) for g, p in zip(classes, ("inner", "top"), strict=True))
    policy: Policy = policy_of(one, other, parents=(inner, ParentGroup("top", "top", 9 * MB)))
    counting = Counting(guard(policy, torrents_of("t1", [400_000]) + torrents_of("t2", [100_000])), tmp_path / "s")
    counting.run(60.0)
    counting.accounting.close()
    t1, t2 = counting.counted("t1"), counting.counted("t2")
    assert (counting.counted("inner"), counting.counted("top")) == (t1, t1 + t2)
    assert counting.counted("") == t1 + t2
    counting.store.close()
