"""What each qBittorrent uses of the caps, remembered over a restart."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from qguardarr.adapters.sqlite.journal import SqliteJournal
from qguardarr.engine.held_parts import NOTED_EVERY_S, HeldParts


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[SqliteJournal]:
    with closing(SqliteJournal(tmp_path / "journal.db")) as journal:
        yield journal


def parts_of(journal: SqliteJournal) -> HeldParts:
    return HeldParts({name: journal.of(name) for name in ("home", "box")})


def test_each_is_remembered_apart_and_noted_now_and_then(journal: SqliteJournal) -> None:
    parts = parts_of(journal)
    assert parts.of("home") == {}
    parts.note("home", lambda: {"t1": 1e6}, 5.0)
    assert parts.of("home") == {}, "at first little is measured"
    parts.note("home", lambda: {"t1": 1e6, "t2": 0.0}, 5.0 + NOTED_EVERY_S)
    parts.note("home", lambda: {"t1": 2e6}, 6.0 + NOTED_EVERY_S)
    parts.note("box", lambda: {"t1": 5e6}, 6.0 + NOTED_EVERY_S)
    again = parts_of(journal)
    assert (again.of("home"), again.of("box")) == ({"t1": 1e6}, {})


def test_small_changes_are_not_written_and_large_ones_are(journal: SqliteJournal) -> None:
    parts, now = parts_of(journal), 0.0

    def noted(**used: float) -> object:
        nonlocal now
        now += NOTED_EVERY_S
        parts.note("home", lambda: used, now)
        return dict(parts_of(journal).of("home"))

    noted()
    assert noted(t1=1e6) == {"t1": 1e6}
    assert noted(t1=1.04e6) == {"t1": 1e6}
    assert noted(t1=1.06e6) == {"t1": 1.06e6}
    assert noted(t2=1.0) == {"t2": 1.0}
    assert noted() == {}


def test_what_another_version_wrote_is_nothing(journal: SqliteJournal) -> None:
    journal.of("home").set_in_use("[1]")
    assert parts_of(journal).of("home") == {}


def test_it_follows_a_name_and_is_given_up_with_it(journal: SqliteJournal) -> None:
    journal.of("home").set_in_use('{"t1":5.0}')
    journal.rename_instance("home", "box")
    assert (parts_of(journal).of("home"), parts_of(journal).of("box")) == ({}, {"t1": 5.0})
    journal.give_up("box")
    assert parts_of(journal).of("box") == {}
