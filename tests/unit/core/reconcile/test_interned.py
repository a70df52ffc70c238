"""Values as numbers in rows."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from qguardarr.core.reconcile.interned import Interned


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 5000)), max_size=200))
def test_a_row_keeps_its_value(steps: list[tuple[int, int]]) -> None:
    rows: dict[int, int] = {}
    values: dict[int, int] = {}
    interned: Interned[int] = Interned(rows.values)
    for row, value in steps:
        rows[row] = interned.number(value)
        values[row] = value
        assert {r: interned[number] for r, number in rows.items()} == values


def test_values_that_no_row_has_take_no_room_for_ever() -> None:
    rows: dict[int, int] = {}
    interned: Interned[int] = Interned(rows.values)
    for value in range(10_000):
        rows[value % 100] = interned.number(value)
    assert len(interned) <= 256
    assert max(rows.values()) < 256
    assert {row: interned[number] for row, number in rows.items()} == {v % 100: v for v in range(9_900, 10_000)}
