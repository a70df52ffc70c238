"""The store: temporary caps and the outbox, from several threads."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from qguardarr.adapters.sqlite.store import SqliteStore, store_path
from qguardarr.core.caps.temporary import Override
from qguardarr.core.model import UNLIMITED
from qguardarr.engine.feature_ports import Entry, Outbox
from qguardarr.errors import StoreError
from tests.support.stores import DAY_S, HOUR_S, NOON, A, B, sample


def test_it_stands_beside_the_journal() -> None:
    assert store_path(Path("data/qguardarr.db")) == Path("data/qguardarr.db.store")


def test_it_is_the_outbox_of_the_service(store: SqliteStore) -> None:
    port: Outbox = store
    assert port.outbox(10) == []


class TestOverrides:
    def test_they_are_kept_replaced_and_cleared(self, store: SqliteStore, path: Path) -> None:
        store.set_override("a", 5, NOON)
        store.set_override("b", UNLIMITED, NOON + 0.5)
        store.set_override("a", 7, NOON + 1)
        store.close()
        again = SqliteStore(path)
        assert again.overrides() == {"a": Override(7, NOON + 1), "b": Override(UNLIMITED, NOON + 0.5)}
        again.clear_override("a")
        again.clear_override("nobody")
        assert set(again.overrides()) == {"b"}
        again.close()

    @pytest.mark.parametrize("cap", [0, -1, UNLIMITED + 1, 2**64])
    def test_an_invalid_cap_is_not_kept(self, store: SqliteStore, cap: int) -> None:
        with pytest.raises(StoreError):
            store.set_override("a", cap, NOON)
        assert store.overrides() == {}

    def test_thinning_deletes_caps_that_ended_long_ago(self, store: SqliteStore) -> None:
        store.set_override("a", 5, NOON)
        store.set_override("b", 5, NOON + 2 * DAY_S)
        store.thin(NOON + HOUR_S)
        assert set(store.overrides()) == {"a", "b"}
        store.thin(NOON + 2 * DAY_S)
        assert set(store.overrides()) == {"b"}


class TestOutbox:
    def test_the_oldest_come_first(self, store: SqliteStore, path: Path) -> None:
        entries = [Entry(f"{number:040x}", NOON + number % 3) for number in range(9)]
        for entry in entries:
            store.outbox_put(entry)
        store.close()
        again = SqliteStore(path)
        assert again.outbox(100) == sorted(entries, key=lambda entry: entry.added_at)
        assert len(again.outbox(4)) == 4
        again.close()

    def test_an_entry_replaces_the_one_before_and_keeps_its_place(self, store: SqliteStore) -> None:
        store.outbox_put(Entry(A, NOON))
        store.outbox_put(Entry(B, NOON))
        store.outbox_put(Entry(A, NOON, 3, NOON + 40.5, "no answer"))
        assert store.outbox(9) == [Entry(A, NOON, 3, NOON + 40.5, "no answer"), Entry(B, NOON)]

    def test_a_removed_one_is_gone(self, store: SqliteStore) -> None:
        store.outbox_put(Entry(A, NOON))
        store.outbox_remove(A)
        store.outbox_remove(B)
        assert store.outbox(9) == []


def test_threads_may_share_it(store: SqliteStore) -> None:
    failed: list[Exception] = []
    start = threading.Barrier(4)

    def work(number: int) -> None:
        start.wait()
        try:
            for turn in range(50):
                store.record(NOON + 60 * turn, [sample(f"t{number}")])
                store.outbox_put(Entry(f"{number * 100 + turn:040x}", NOON))
                store.rates(None, NOON, NOON + HOUR_S)
                store.thin(NOON)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(store.rates(None, NOON, NOON + HOUR_S)) == 200
    assert len(store.outbox(1000)) == 200
