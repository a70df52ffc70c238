"""What is used of a quota, when the store cannot be read at first."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from qguardarr.adapters.sqlite.store import SqliteStore
from qguardarr.core.timed import Quota
from qguardarr.engine.feature_ports import Counted, UsageRow
from qguardarr.engine.usage_book import RETRY_S, UsageBook
from qguardarr.errors import StoreError
from tests.support.guard_loop import MB, policy_of, tracker

NOW = 1_700_000_000.0
QUOTA = Quota(bytes=100 * MB, per="every", starts=int(NOW) - 60, length_s=86_400, then=1000)
POLICY = policy_of(msgspec.structs.replace(tracker("t1", MB), quota=QUOTA))


class Locked(SqliteStore):
    """A store that another program may keep locked."""

    locked = True

    def usage_period(self, group: str) -> tuple[float, int] | None:
        if self.locked:
            raise StoreError("another program keeps it locked")
        return super().usage_period(group)


@pytest.fixture
def store(tmp_path: Path) -> Locked:
    store = Locked(tmp_path / "q.db.store")
    store.add_usage(Counted("", NOW, [], {}, {"t1": (NOW - 60, 90 * MB)}))
    return store


def test_what_a_locked_store_knows_of_a_quota_counts_as_soon_as_it_can_be_read(store: Locked) -> None:
    book = UsageBook(store)
    assert not (book.allowances(POLICY, NOW)["t1"].settled and book.is_sure)
    book.add("t1", (NOW - 60, 5 * MB))
    store.locked = False
    assert book.allowances(POLICY, NOW + RETRY_S / 2)["t1"].used == 5 * MB
    later = book.allowances(POLICY, NOW + RETRY_S)["t1"]
    assert (later.used, later.settled) == (95 * MB, True)
    assert book.allowances(POLICY, NOW + 3 * RETRY_S)["t1"].used == 95 * MB
    store.close()


def test_a_clock_that_is_set_back_does_not_keep_it_from_asking_again(store: Locked) -> None:
    book = UsageBook(store)
    book.allowances(POLICY, NOW + 3600)
    store.locked = False
    assert book.allowances(POLICY, NOW)["t1"].used == 90 * MB
    store.close()


def test_a_clock_that_was_in_a_later_period_for_a_while_forgets_nothing(store: Locked) -> None:
    """The store keeps one period, that of the wrong clock; the hours tell the rest."""
    store.locked = False
    book, hour = UsageBook(store), NOW - NOW % 3600
    store.add_usage(Counted("", NOW, [UsageRow("t1", int(hour), "2023-11-14", 90 * MB)], {}))
    assert book.allowances(POLICY, NOW + 86_400)["t1"].used == 0
    store.add_usage(Counted("", NOW, [], {}, {"t1": (NOW - 60 + 86_400, MB)}))
    part = 60 / (NOW - hour)
    assert book.allowances(POLICY, NOW)["t1"].used == pytest.approx(90 * MB * part, rel=1e-6)
    assert book.allowances(POLICY, NOW + 86_400)["t1"].used == MB
    store.close()
