"""Who owns the limit of a torrent: the state machine, over random sequences of all that may happen."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from qguardarr.core.model import UNLIMITED
from qguardarr.core.reconcile.ownership import UNKNOWN, Claim, Owner, Ownership, Shown

HASH = "a" * 40
OURS = st.sampled_from([40_011, 50_011, 60_011, 70_011])
PERSONS = st.sampled_from([30_000, 80_000, 5_000_000, UNLIMITED])
PROGRAMS = st.sampled_from([11_000, 12_000])
ANY = st.one_of(OURS, PERSONS, PROGRAMS)
EVENTS = st.sampled_from(
    ["wrote", "wrote_flush", "got_no_answer", "set_by_hand", "set_by_program", "found", "confirm", "judge", "restore"]
)


def holding(owner: Owner) -> Ownership:
    """An ownership in each state, by the shortest way."""
    held = Ownership(UNLIMITED, UNLIMITED)
    match owner:
        case Owner.RESTORING:
            held.wrote(50_011, UNLIMITED)
            held.wrote(UNLIMITED, UNLIMITED)
        case Owner.APPLIED:
            held.wrote(50_011, UNLIMITED)
        case Owner.IN_DOUBT:
            held.got_no_answer(50_011)
        case Owner.FLUSHED:
            held.wrote(50_011, UNLIMITED)
            held.wrote_flush(9_000_000)
        case Owner.OVERRULED:
            held.set_by_program(11_000)
        case Owner.UNEXPLAINED:
            held.claimed(Claim(HASH, UNLIMITED, (50_011,)), 12_345)
        case Owner.PERSON:
            pass
    assert held.owner is owner
    return held


def happen(held: Ownership, event: str, limit: int) -> None:
    """Have one of EVENTS happen."""
    match event:
        case "wrote":
            held.wrote(limit, held.original)
        case "restore":
            held.wrote(held.original, held.original)
        case "confirm":
            held.confirm(limit)
        case "judge":
            held.judge(limit, may_be_stale=False)
        case _:
            getattr(held, event)(limit)


class TestEveryState:
    @pytest.mark.parametrize("owner", Owner)
    @given(event=EVENTS, limit=ANY)
    def test_every_event_is_defined(self, owner: Owner, event: str, limit: int) -> None:
        held = holding(owner)
        happen(held, event, limit)
        assert held.owner in Owner
        assert (held.lower_to != 0) is (held.owner is Owner.FLUSHED)

    @pytest.mark.parametrize("owner", Owner)
    def test_once_the_original_is_written_and_shown_nothing_of_ours_is_left(self, owner: Owner) -> None:
        held = holding(owner)
        held.wrote(held.original, held.original)
        assert not held.confirm(12_345), "another limit is no proof"
        assert held.confirm(held.original)
        assert (held.owner, held.current, held.ours, held.unanswered) == (Owner.PERSON, UNLIMITED, False, 0)
        assert not held.confirm(held.original), "once is enough"

    @pytest.mark.parametrize("owner", Owner)
    def test_a_persons_limit_is_the_original_from_then_on(self, owner: Owner) -> None:
        held = holding(owner)
        held.set_by_hand(30_000)
        assert (held.owner, held.original, held.current, held.ours) == (Owner.PERSON, 30_000, 30_000, False)

    @pytest.mark.parametrize("owner", Owner)
    def test_a_programs_limit_leaves_the_original(self, owner: Owner) -> None:
        held = holding(owner)
        held.set_by_program(11_000)
        assert (held.owner, held.original, held.current) == (Owner.OVERRULED, UNLIMITED, 11_000)
        assert held.judge(11_000, may_be_stale=False) is Shown.STRANGE, "seen again, it is no write of ours"

    @pytest.mark.parametrize("owner", Owner)
    def test_a_program_taken_for_a_person_gives_the_original_back(self, owner: Owner) -> None:
        held = holding(owner)
        held.set_by_hand(11_000)
        held.correct_original(30_000)
        assert (held.owner, held.original, held.current, held.ours) == (Owner.OVERRULED, 30_000, 11_000, True)


class TestFlush:
    def test_the_limit_to_go_back_to_is_the_one_before_the_first_high_one(self) -> None:
        held = holding(Owner.FLUSHED)
        held.wrote_flush(20_000_000)
        assert held.lower_to == 50_011

    def test_it_survives_a_second_write_without_an_answer(self) -> None:
        held = holding(Owner.FLUSHED)
        held.got_no_answer(40_011)
        assert (held.owner, held.lower_to) == (Owner.FLUSHED, 50_011)

    def test_one_cut_in_two_by_a_kill_is_recognised(self) -> None:
        held = Ownership(UNLIMITED, 9_000_000)
        assert not held.claimed(Claim(HASH, UNLIMITED, (50_011, 9_000_000)), 9_000_000)
        assert (held.owner, held.lower_to) == (Owner.FLUSHED, 50_011)


class TestReading:
    def test_an_answer_older_than_the_write_is_told_from_a_lost_write(self) -> None:
        held = holding(Owner.APPLIED)
        assert held.judge(UNLIMITED, may_be_stale=True) is Shown.STALE
        assert held.current == 50_011
        assert held.judge(UNLIMITED, may_be_stale=False) is Shown.RETURNED
        assert (held.owner, held.current) == (Owner.PERSON, UNLIMITED)

    @pytest.mark.parametrize("limit", [50_011, UNLIMITED])
    def test_a_write_without_an_answer_is_settled_by_what_is_shown(self, limit: int) -> None:
        held = holding(Owner.IN_DOUBT)
        held.judge(limit, may_be_stale=False)
        assert (held.current, held.ours) == (limit, limit != UNLIMITED)

    def test_a_limit_of_ours_as_a_dialog_in_kib_rounds_it_is_no_persons(self) -> None:
        held = Ownership(UNLIMITED, UNLIMITED)
        held.wrote(51_211, UNLIMITED)
        assert held.judge(51_200, may_be_stale=False) is Shown.EXPLAINED
        assert (held.owner, held.original) == (Owner.APPLIED, UNLIMITED)

    def test_a_claim_tells_ours_the_original_and_neither(self) -> None:
        claim = Claim(HASH, UNLIMITED, (60_011, 50_011))
        held = Ownership(50_011, 50_011)
        assert not held.claimed(claim, 50_011)
        assert (held.owner, held.original, held.current) == (Owner.APPLIED, UNLIMITED, 50_011)
        assert held.claimed(claim, UNLIMITED), "somebody gave it back"
        assert held.owner is Owner.PERSON
        assert not held.claimed(msgspec.structs.replace(claim, held=False), UNLIMITED), "it was we"
        assert not held.claimed(claim, 12_345)
        assert (held.owner, held.current) == (Owner.UNEXPLAINED, UNKNOWN)


class Life(RuleBasedStateMachine):
    """A torrent in a qBittorrent that tells the truth late or not at all, a journal, a guard, a person and a program.

    `in_force` is the truth; `original` is what the person wants.
    """

    @initialize(limit=PERSONS)
    def begin(self, limit: int) -> None:
        self.original = self.in_force = limit
        self.held = Ownership(limit, limit)
        self.written: list[int] = []
        self.by_program: set[int] = set()

    @rule(limit=OURS)
    def write(self, limit: int) -> None:
        self.written.append(limit)
        self.in_force = limit
        self.held.wrote(limit, self.held.original)

    @rule(limit=OURS, happened=st.booleans())
    def write_without_an_answer(self, limit: int, happened: bool) -> None:
        self.written.append(limit)
        self.in_force = limit if happened else self.in_force
        self.held.got_no_answer(limit)

    @rule()
    def flush(self) -> None:
        self.written.append(9_000_011)
        self.in_force = 9_000_011
        self.held.wrote_flush(9_000_011)

    @rule()
    def restore(self) -> None:
        self.in_force = self.held.original
        self.held.wrote(self.held.original, self.held.original)

    @rule()
    def crash(self) -> None:
        """qBittorrent loses the newest write."""
        self.in_force = self.written[-2] if len(self.written) > 1 else self.original

    @rule(limit=PERSONS)
    def person(self, limit: int) -> None:
        self.original = self.in_force = limit

    @rule(limit=PROGRAMS)
    def program(self, limit: int) -> None:
        self.in_force = limit
        if limit not in (self.original, self.held.original):
            self.by_program.add(limit)

    @rule()
    def read(self) -> None:
        """A read shows the truth; the journal knows every limit that we wrote, `foreign` every program's."""
        limit = self.in_force
        if limit != self.held.current and self.held.judge(limit, may_be_stale=False) is Shown.STRANGE:
            if limit in self.written:
                self.held.found(limit)
            elif limit in self.by_program:
                self.held.set_by_program(limit)
            else:
                self.held.set_by_hand(limit)
        self.held.confirm(limit)
        assert self.held.current == limit
        if limit == self.original:
            self.original_was_seen()

    @rule()
    def restart(self) -> None:
        """The guard is killed; the journal is all that it keeps. What it never touched has the limit in force."""
        claim = Claim(HASH, self.held.original, tuple(reversed(self.written)))
        self.held = Ownership(self.in_force, self.in_force)
        if self.written:
            self.held.claimed(claim, self.in_force)
            self.read()
        else:
            self.original = self.in_force
            self.by_program.discard(self.in_force)

    def original_was_seen(self) -> None:
        """The person's limit is in force and was seen: whatever we thought before, it is the original now."""
        assert self.held.original == self.original or self.held.current == self.held.original

    @invariant()
    def no_limit_of_ours_or_of_a_program_is_an_original(self) -> None:
        if hasattr(self, "held"):
            assert self.held.original not in self.written
            assert self.held.original not in self.by_program

    @invariant()
    def whoever_has_another_limit_than_its_original_is_known_to_have_it(self) -> None:
        if hasattr(self, "held") and self.held.current not in (self.held.original, UNKNOWN):
            assert self.held.ours

    @invariant()
    def a_torrent_that_is_not_ours_has_its_original(self) -> None:
        if hasattr(self, "held") and not self.held.ours:
            assert self.held.current == self.held.original


TestLife = Life.TestCase
