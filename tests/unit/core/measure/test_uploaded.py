"""What was uploaded meanwhile, from two copies of the all-time counters."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from qguardarr.core.measure.uploaded import PARTS, Counters, missed, spread

AT = 1_700_000_000.0


def key(number: int) -> bytes:
    return number.to_bytes(2, "big") + bytes(18)


def copy_of(*torrents: tuple[int, int, int, int]) -> Counters:
    """Of (number, rule, added_on, uploaded)."""
    found = Counters(key(number) for number, *_ in torrents)
    for number, rule, added_on, uploaded in torrents:
        found.add(key(number), rule, added_on, uploaded)
    return found


def since(before: Counters, now: Counters, rules: int = 2) -> list[int]:
    sent = [0] * rules
    for number in range(PARTS):
        now.since(number, before.part(number), AT, sent)
    return sent


def test_what_counters_have_grown_by_was_sent() -> None:
    before = copy_of((1, 0, 5, 100), (300, 1, 5, 10**13), (7, 1, 5, 9))
    now = copy_of((1, 0, 5, 150), (300, 1, 5, 10**13 + 7), (7, 0, 5, 12))
    assert since(before, now) == [53, 7]


def test_a_counter_that_fell_and_a_torrent_that_is_gone_have_sent_nothing() -> None:
    assert since(copy_of((1, 0, 5, 100), (2, 0, 5, 50)), copy_of((1, 0, 5, 40))) == [0, 0]


def test_a_torrent_added_since_counts_whole_and_one_that_came_with_its_counter_not() -> None:
    assert since(copy_of(), copy_of((1, 0, int(AT) + 60, 70), (2, 1, int(AT) - 9000, 10**12))) == [70, 0]


@given(st.dictionaries(st.integers(0, 60_000), st.tuples(st.integers(0, 1), st.integers(0, 2**62)), max_size=50))
def test_a_copy_compared_with_itself_has_sent_nothing(torrents: dict[int, tuple[int, int]]) -> None:
    one = copy_of(*((number, rule, 5, uploaded) for number, (rule, uploaded) in torrents.items()))
    assert since(one, one) == [0, 0]


groups = st.dictionaries(st.sampled_from("abc"), st.integers(0, 10**15), max_size=3)


@given(sent=groups, counted=groups)
def test_nothing_is_counted_twice_and_nothing_below_zero(sent: dict[str, int], counted: dict[str, int]) -> None:
    found = missed(sent, counted)
    assert all(0 <= bytes_ <= sent[group] for group, bytes_ in found.items())
    assert sum(found.values()) <= max(0, sum(sent.values()) - sum(counted.values()))


def test_a_torrent_that_changed_its_group_counts_once() -> None:
    assert missed({"a": 0, "b": 130}, {"a": 100, "b": 0}) == {"b": 30}
    assert missed({"a": 150, "b": 60}, {"a": 100, "b": 50}) == {"a": 50, "b": 10}


@given(st.integers(0, 10**15), st.lists(st.floats(0.001, 3600), min_size=1, max_size=50))
def test_spread_bytes_are_all_there(bytes_: int, lengths: list[float]) -> None:
    ends = [sum(lengths[: i + 1]) for i in range(len(lengths))]
    shares = spread(bytes_, list(zip([0.0, *ends], ends, strict=False)))
    assert sum(shares) == bytes_
    assert all(share >= 0 for share in shares)


def test_what_is_left_of_a_damaged_copy_is_used() -> None:
    before, sent = copy_of((16, 0, 5, 100), (32, 0, 5, 50)).part(0), [0]
    copy_of((16, 0, 5, 130), (32, 0, 5, 60)).since(0, before[:-1], AT, sent)
    assert sent == [30]
