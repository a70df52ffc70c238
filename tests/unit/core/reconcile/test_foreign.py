"""Whose a limit is that neither we nor the torrent had: a person's, or another program's."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qguardarr.core.model import UNLIMITED
from qguardarr.core.reconcile.foreign import (
    BULK,
    BULK_LEAST,
    CONTEST_S,
    KEPT_S,
    MOST_VALUES,
    ONCE_S,
    RAISE_EVERY_S,
    RECURRING,
    ROUNDS,
    VARIOUS,
    ForeignLimits,
    Judgement,
    Mode,
    Note,
    bulk_values,
    is_bulk,
    is_rounded,
    read_note,
    write_note,
)
from qguardarr.core.reconcile.signature import marked

ORIGINAL = 70_000
MANAGED = 60
X = 100 * 1024


def names(count: int, start: int = 0) -> list[str]:
    return [f"torrent {n}" for n in range(start, start + count)]


def see(
    foreign: ForeignLimits,
    at: float,
    changed: dict[str, int],
    returned: Iterable[str] = (),
    *,
    managed: int = MANAGED,
    explained: bool = False,
) -> Judgement:
    """One read; `returned` show X."""
    return foreign.judge(
        changed,
        dict.fromkeys(returned, X),
        lambda hash_: ORIGINAL,
        at=at,
        managed=managed,
        explained=explained,
    )


class TestBulk:
    def test_one_value_on_many_is_a_programs(self) -> None:
        judged = see(ForeignLimits(), 0.0, dict.fromkeys(names(BULK), X))
        assert (len(judged.program), judged.person) == (BULK, {})

    def test_a_handful_is_a_persons(self) -> None:
        judged = see(ForeignLimits(), 0.0, dict.fromkeys(names(5), X))
        assert (judged.program, len(judged.person)) == ({}, 5)

    @pytest.mark.parametrize(("managed", "program"), [(BULK_LEAST, True), (30, True), (31, False)])
    def test_of_few_torrents_a_smaller_number_is_many(self, managed: int, program: bool) -> None:
        assert is_bulk(BULK_LEAST, managed) is program
        assert not is_bulk(BULK_LEAST - 1, managed)

    def test_a_program_that_goes_through_them_one_by_one_is_found_out_and_all_is_taken_back(self) -> None:
        foreign = ForeignLimits()
        first = see(foreign, 0.0, dict.fromkeys(names(4), X))
        second = see(foreign, 2.0, dict.fromkeys(names(8, 4), X))
        assert set(first.person) == set(names(4))
        assert set(second.program) == set(names(8, 4))
        assert second.revoked == dict.fromkeys(names(4), ORIGINAL)

    def test_torrents_whose_original_it_is_count_as_well(self) -> None:
        judged = see(ForeignLimits(), 0.0, {"a": X, "b": X}, names(20))
        assert set(judged.program) == {"a", "b"}

    def test_many_that_return_to_their_originals_are_named_too(self) -> None:
        foreign = ForeignLimits()
        see(foreign, 0.0, {}, names(20))
        assert [(p.value, p.torrents) for p in foreign.at_work(1.0)] == [(X, 20)]

    def test_but_not_when_qbittorrent_lost_writes_or_somebody_restored_originals(self) -> None:
        foreign = ForeignLimits()
        see(foreign, 0.0, {}, names(20), explained=True)
        assert foreign.at_work(1.0) == []

    def test_many_different_values_within_one_read_are_a_programs(self) -> None:
        foreign = ForeignLimits()
        judged = see(foreign, 0.0, {name: 1000 * (n + 9) for n, name in enumerate(names(20))})
        assert len(judged.program) == 20
        assert [p.value for p in foreign.at_work(1.0)] == [VARIOUS]

    def test_but_while_we_looked_away_a_person_may_have_set_them(self) -> None:
        changed = {name: 1000 * (n + 9) for n, name in enumerate(names(20))}
        assert see(ForeignLimits(), 0.0, changed, explained=True).person == changed

    def test_a_lone_change_in_the_same_read_is_a_persons(self) -> None:
        judged = see(ForeignLimits(), 0.0, dict.fromkeys(names(30), X) | {"mine": 12_000})
        assert judged.person == {"mine": 12_000}


class TestRecurrence:
    def test_a_value_that_comes_back_on_some_torrents_is_a_programs_and_their_originals_count_again(self) -> None:
        foreign = ForeignLimits()
        few = names(3)
        assert set(see(foreign, 0.0, dict.fromkeys(few, X)).person) == set(few)
        assert see(foreign, 77.0, {}, few).revoked == {}  # it is their original now, and shows again
        assert see(foreign, 90.0, {}, few).revoked == dict.fromkeys(few, ORIGINAL)
        assert set(see(foreign, 200.0, dict.fromkeys(few, X)).program) == set(few)

    def test_on_a_single_torrent_only_regular_intervals_tell(self) -> None:
        regular, irregular = ForeignLimits(), ForeignLimits()
        for foreign, times in ((regular, (0.0, 60.0, 121.0, 181.0)), (irregular, (0.0, 20.0, 300.0, 310.5))):
            see(foreign, times[0], {"a": X})
            judged = [see(foreign, at, {}, ["a"]).revoked for at in times[1:]]
            assert judged[:-1] == [{}, {}]
            assert judged[-1] == ({"a": ORIGINAL} if foreign is regular else {})

    def test_a_person_who_sets_one_value_on_one_torrent_after_another_stays_a_person(self) -> None:
        foreign = ForeignLimits()
        for n in range(60):
            assert see(foreign, 30.0 * n, {f"torrent {n}": X}, managed=1000).program == {}


class TestMemory:
    def test_one_bulk_is_remembered_for_minutes_and_repeated_ones_for_days(self) -> None:
        foreign = ForeignLimits()
        see(foreign, 0.0, dict.fromkeys(names(20), X))
        assert see(foreign, ONCE_S - 1, {"a": X}).program == {"a": X}
        assert see(foreign, ONCE_S + KEPT_S - 2, {"a": X}).program == {"a": X}
        assert see(foreign, ONCE_S + 2 * KEPT_S, {"a": X}).person == {"a": X}

    def test_a_restart_remembers(self) -> None:
        before, after = ForeignLimits(), ForeignLimits()
        for at in (0.0, 60.0):
            see(before, at, dict.fromkeys(names(20), X))
        note = read_note(write_note(before.note(60.0, 1e9)))
        after.remember(note, 5.0, 1e9 + 10)
        assert see(after, 5.0, {"a": X}).program == {"a": X}
        assert X in note.known(1e9 + 10)
        assert X not in note.known(1e9 + 2 * KEPT_S)

    def test_a_note_that_is_damaged_is_none(self) -> None:
        assert read_note("{") == read_note("") == Note()

    def test_it_does_not_change_from_one_cycle_to_the_next(self) -> None:
        foreign = ForeignLimits()
        see(foreign, 0.0, dict.fromkeys(names(20), X))
        assert len({write_note(foreign.note(at, 1e9 + at)) for at in (1.0, 3.0, 5.0)}) == 1

    @pytest.mark.parametrize(("others", "kept"), [(MOST_VALUES - 1, True), (MOST_VALUES + 1, False), (1000, False)])
    def test_of_too_many_values_the_oldest_is_forgotten(self, others: int, kept: bool) -> None:
        """A value that comes a third time is a program's, if the first two times are remembered."""
        foreign, three = ForeignLimits(), dict.fromkeys(names(RECURRING), X)
        for n in range(ROUNDS - 1):
            assert see(foreign, 20.0 * n, three).person == three
        for n in range(others):
            see(foreign, 100.0 + 20.0 * n, {f"torrent {n}": 5_000 + n * 2})
        judged = see(foreign, 200.0 + 20.0 * others, three)
        assert (judged.program if kept else judged.person) == three


class TestModes:
    @pytest.mark.parametrize(("mode", "kept"), [("person", 30), ("ignore", 0)])
    def test_the_setting_decides(self, mode: Mode, kept: int) -> None:
        foreign = ForeignLimits(mode)
        judged = see(foreign, 0.0, dict.fromkeys(names(30), X))
        assert (len(judged.person), len(judged.program)) == (kept, 30 - kept)
        assert foreign.at_work(0.0) == []
        assert foreign.note(0.0, 1e9) == Note(mode)


class TestAnotherQguardarr:
    def test_limits_with_our_mark_that_we_never_wrote_are_no_persons(self) -> None:
        foreign = ForeignLimits()
        changed = {name: marked(50_000 + 1000 * n) for n, name in enumerate(names(3))}
        assert see(foreign, 0.0, changed).program == changed
        assert foreign.contested(1.0) == set(changed)
        assert foreign.contested(CONTEST_S + 1) == frozenset()

    def test_one_or_two_are_not_another_yet(self) -> None:
        foreign = ForeignLimits()
        see(foreign, 0.0, {"a": marked(50_000), "b": marked(60_000)})
        assert foreign.contested(1.0) == frozenset()

    def test_a_contested_torrent_is_raised_seldom(self) -> None:
        foreign = ForeignLimits()
        see(foreign, 0.0, {name: marked(50_000) for name in names(3)})
        times = [at for at in range(200) if foreign.may_raise("torrent 0", float(at))]
        assert times == [0, 60, 120, 180]
        assert RAISE_EVERY_S == 60


class TestRounding:
    @given(st.integers(1024, 2**30))
    def test_our_limit_as_a_dialog_in_kib_sets_it_is_ours(self, ours: int) -> None:
        for rounded in {ours // 1024 * 1024, -(-ours // 1024) * 1024} - {ours}:
            assert is_rounded(rounded, ours)

    @given(st.integers(1, 2**30), st.integers(1, 2**30))
    def test_nothing_further_off_is(self, limit: int, ours: int) -> None:
        if is_rounded(limit, ours):
            assert abs(limit - ours) < 1024
            assert limit % 1024 == 0


def test_at_a_rollback_the_values_in_force_tell() -> None:
    assert bulk_values([X] * 10, [], 60) == {X}
    assert bulk_values([X] * 5, [UNLIMITED] * 40, 60) == frozenset()
    assert bulk_values([UNLIMITED] * 2, [UNLIMITED] * 40, 60) == {UNLIMITED}


HASHES = st.sampled_from(names(30))
LIMITS = st.sampled_from([X, 2 * X, UNLIMITED, marked(70_000), 5_000])
READS = st.lists(
    st.tuples(st.floats(0.0, 500.0), st.dictionaries(HASHES, LIMITS, max_size=15), st.booleans()), max_size=12
)


@given(READS, st.sampled_from(["auto", "person", "ignore"]))
def test_every_change_has_one_owner_and_what_is_taken_back_was_given(
    reads: list[tuple[float, dict[str, int], bool]], mode: Mode
) -> None:
    foreign, at = ForeignLimits(mode), 0.0
    originals = {name: 1_000 + n for n, name in enumerate(names(30))}
    first = dict(originals)
    for pause, shown, explained in reads:
        at += pause
        changed = {h: limit for h, limit in shown.items() if limit != originals[h]}
        returned = {h: limit for h, limit in shown.items() if limit == originals[h]}
        judged = foreign.judge(changed, returned, originals.__getitem__, at=at, managed=30, explained=explained)
        assert judged.program.keys().isdisjoint(judged.person)
        assert judged.program | judged.person == changed
        originals |= judged.person
        for hash_, original in judged.revoked.items():
            assert original in (first[hash_], *LIMITS.elements)  # type: ignore[attr-defined]
        originals |= judged.revoked
