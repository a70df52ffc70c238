"""Torrents as packed rows and objects: whatever is put comes back, and nothing else."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from qguardarr.core.measure.rate_estimator import RateEstimator
from qguardarr.core.model import MAX_LIMIT, UNLIMITED, Activity, Labels, Torrent
from qguardarr.core.reconcile.ownership import Owner
from qguardarr.core.reconcile.rows import KEY_BYTES, Rows, SlotQueue
from qguardarr.core.reconcile.torrent_table import TorrentState, TorrentTable
from qguardarr.core.reconcile.why import Why
from qguardarr.core.select.matcher import Verdict
from tests.support.guard_loop import hash_of

LIMITS = st.one_of(st.integers(1, MAX_LIMIT), st.just(UNLIMITED))
COUNTS = st.integers(0, 2**31 - 1)
LABELS = st.builds(
    Labels,
    category=st.sampled_from(["", "movies", "movies/uhd"]),
    tags=st.sampled_from([(), ("keep",), ("gold", "keep")]),
    private=st.sampled_from([None, False, True]),
)
HASHES = [hash_of(number) for number in range(30)]


def torrents(hashes: st.SearchStrategy[str]) -> st.SearchStrategy[Torrent]:
    return st.builds(
        Torrent,
        hash=hashes,
        urls=st.just(()),
        activity=st.sampled_from(Activity),
        up_limit=LIMITS,
        uploaded=st.integers(0, 2**63 - 1),
        leechers=COUNTS,
        swarm_leechers=COUNTS,
        downloading=st.booleans(),
        active_s=st.just(0),
        urls_digest=st.integers(1, 2**32 - 1),
        labels=LABELS,
        ratio=st.floats(0, 1e9, width=32) | st.just(math.inf),
        size=st.integers(0, 2**63 - 1),
        added_on=st.integers(0, 2**32 - 1),
        uploaded_ever=st.integers(0, 2**63 - 1),
    )


def states(hashes: st.SearchStrategy[str]) -> st.SearchStrategy[TorrentState]:
    return st.builds(
        TorrentState,
        original=LIMITS,
        current=st.one_of(LIMITS, st.just(0)),
        owner=st.sampled_from(Owner),
        previous=LIMITS,
        highest=st.integers(0, MAX_LIMIT),
        unanswered=st.integers(0, UNLIMITED),
        foreign=st.integers(0, UNLIMITED),
        lower_to=st.integers(0, UNLIMITED),
        torrent=torrents(hashes),
        rule=st.integers(0, 1000),
        verdict=st.builds(
            Verdict, urls=st.lists(st.integers(0, 2**70), max_size=3).map(tuple), name=st.integers(0, 2**70)
        ),
        why=st.one_of(st.none(), st.sampled_from(Why)),
    )


def fields(state: TorrentState | None) -> dict[str, object] | None:
    return None if state is None else msgspec.structs.asdict(state)


@given(state=states(st.text("0123456789abcdef", min_size=40, max_size=40)))
def test_a_torrent_comes_back_as_it_was_put(state: TorrentState) -> None:
    table = TorrentTable()
    table.put(state)
    assert fields(table.get(state.torrent.hash)) == fields(state)
    assert [fields(found) for found in table.copies()] == [fields(state)]
    assert (state.torrent.hash in table.objects) is not state.is_settled
    assert table.limited() == state.is_limited


def test_what_is_no_hash_is_unknown() -> None:
    table = TorrentTable()
    assert [table.get(name) for name in ("", "zz", "a" * 39, "a" * 41, "ä" * 40)] == [None] * 5


def test_a_copy_stays_as_it_was() -> None:
    table = TorrentTable()
    state = TorrentState(
        UNLIMITED, UNLIMITED, torrent=Torrent(HASHES[0], (), Activity.IDLE, UNLIMITED, 0, 0, 0, False), rule=0
    )
    table.put(state)
    copies = table.copies()
    first = next(copies)
    state.wrote(50_000, UNLIMITED)
    table.put(state)
    assert first.current == UNLIMITED


class Life(RuleBasedStateMachine):
    """A table beside a dictionary; torrents begin and cease to upload, and come and go."""

    def __init__(self) -> None:
        super().__init__()
        self.table = TorrentTable()
        self.model: dict[str, TorrentState] = {}

    @rule(state=states(st.sampled_from(HASHES)), uploads=st.booleans())
    def put(self, state: TorrentState, uploads: bool) -> None:
        hash_ = state.torrent.hash
        if hash_ in self.table.objects:  # of an uploading one there is one object
            return
        state.estimator = RateEstimator(0.0, 0, 50_000) if uploads else None
        self.table.put(state)
        self.model[hash_] = msgspec.structs.replace(state)

    @rule(hash_=st.sampled_from(HASHES))
    def fall_quiet(self, hash_: str) -> None:
        state = self.table.objects.get(hash_)
        if state is not None:
            state.estimator, state.owner = None, Owner.APPLIED
            self.table.put(state)
            self.model[hash_] = msgspec.structs.replace(state)

    @rule(hash_=st.sampled_from(HASHES))
    def remove(self, hash_: str) -> None:
        self.table.remove(hash_)
        self.model.pop(hash_, None)

    @precondition(lambda self: self.model)
    @rule(rule_=st.integers(0, 9), data=st.data())
    def belong_elsewhere(self, rule_: int, data: st.DataObject) -> None:
        hash_ = data.draw(st.sampled_from(sorted(self.model)))
        state = self.table.get(hash_)
        assert state is not None
        self.table.set_rule(state, rule_)
        self.model[hash_].rule = rule_

    @invariant()
    def both_know_the_same(self) -> None:
        assert len(self.table) == len(self.model)
        assert {h: fields(self.table.get(h)) for h in HASHES if h in self.table} == {
            h: fields(state) for h, state in self.model.items()
        }
        assert {state.torrent.hash for state in self.table.copies()} == set(self.model)
        assert self.table.label_counts() == Counter(state.torrent.labels for state in self.model.values())
        assert self.table.limited() == sum(state.is_limited for state in self.model.values())
        assert all(self.table.rule_at(self.table.slot(h)) == state.rule for h, state in self.model.items())


TestLife = Life.TestCase


@settings(max_examples=30)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["add", "discard", "front", "end", "replace", "remove"]), st.integers(0, 11)),
        max_size=60,
    )
)
def test_the_queue_is_an_ordered_set(steps: list[tuple[str, int]]) -> None:
    rows = Rows(KEY_BYTES)
    slots = [rows.add(bytes([number]) * KEY_BYTES) for number in range(12)]
    queue, model = SlotQueue(rows), list[int]()
    for step, slot in steps:
        others = [each for each in model if each != slot]
        match step:
            case "add":
                queue.add(slot)
                model = model if slot in model else _back_in_place(queue)
            case "discard":
                queue.discard(slot)
                model = others
            case "front":
                queue.move_to_front([slot])
                model = [slot, *others]
            case "end":
                queue.move_to_end([slot])
                model = [*others, slot] if slot in model else model
            case "replace":
                queue.replace([slot, slots[0]] if slot else [slot])
                model = [slot, slots[0]] if slot else [slot]
            case "remove":
                queue.discard(slot)
                rows.remove(slot)
                assert rows.add(bytes([slot]) * KEY_BYTES) == slot, "the free slot is used again"
                model = others
        assert list(queue) == model
        assert {each for each in slots if each in queue} == set(model)


def _back_in_place(slots: Iterable[int]) -> list[int]:
    """A slot that was discarded may come back to its old place: all that counts is that it comes once."""
    found = list(slots)
    assert len(found) == len(set(found))
    return found
