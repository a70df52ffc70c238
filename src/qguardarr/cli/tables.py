"""Print tables that fit the terminal: cells are cut first, then whole columns are left out."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Generic, NamedTuple, TypeVar

from rich.cells import cell_len

from qguardarr.cli.terminal import columns_of, out
from qguardarr.cli.text import clean

_GAP: Final = "  "
_INDENT: Final = "    "

Row = TypeVar("Row")


class Column(NamedTuple, Generic[Row]):
    """A column, and how it yields in a terminal that is too narrow for the table."""

    head: str
    """Its name. One that begins with `>` is aligned right, for numbers."""
    cell: Callable[[Row], object]
    """Returns the content of its cell in a row."""
    least: int | None = None
    """It may be cut to this width. None: never."""
    beneath: bool = False
    """If cutting is not enough, it moves to a second line beneath the row."""
    drop: int = 0
    """If that is not enough either, it is left out, the highest number first. 0: never."""

    @property
    def name(self) -> str:
        """The head without its mark."""
        return self.head.removeprefix(">")


def print_table(table: Sequence[Column[Row]], rows: Iterable[Row]) -> None:
    """Print a table. If stdout is no terminal, nothing is cut or left out."""
    lines = [[column.name for column in table]]
    lines += [[clean(str(column.cell(row))) for column in table] for row in rows]
    widths = [max(cell_len(line[i]) for line in lines) for i in range(len(table))]
    room = columns_of(sys.stdout)
    shown, beneath = list(range(len(table))), list[int]()
    if room is not None:
        shown, beneath = _fitted(table, widths, room)
    for number, line in enumerate(lines):
        cells = (_padded(clean(line[i], widths[i]), widths[i], table[i].head[:1] == ">") for i in shown)
        out(_GAP.join(cells).rstrip())
        if beneath and number > 0:
            out(_INDENT + _GAP.join(clean(line[i], widths[i]) for i in beneath if line[i]))
    left_out = [column.name for i, column in enumerate(table) if i not in (*shown, *beneath)]
    if left_out:
        out(clean(f"(no room for: {', '.join(left_out)})", room))


def _fitted(table: Sequence[Column[Row]], widths: list[int], room: int) -> tuple[list[int], list[int]]:
    """Return the indices of the columns in the row, and of those beneath it. Narrows `widths`."""
    least = [
        width if (to := column.least) is None else min(width, to) for column, width in zip(table, widths, strict=True)
    ]
    shown, beneath = list(range(len(table))), list[int]()

    def excess(of: Sequence[int], among: Sequence[int]) -> int:
        return sum(of[i] for i in among) + len(_GAP) * (len(among) - 1) - room

    def cut(among: Sequence[int], indent: int = 0) -> None:
        while excess(widths, among) + indent > 0 and (cuttable := [i for i in among if widths[i] > least[i]]):
            widths[max(cuttable, key=lambda i: widths[i])] -= 1

    if excess(least, shown) > 0:
        beneath = [i for i in shown if table[i].beneath]
        shown = [i for i in shown if not table[i].beneath]
    for index in sorted((i for i in shown if table[i].drop), key=lambda i: -table[i].drop):
        if excess(least, shown) <= 0:
            break
        shown.remove(index)
    cut(shown)
    cut(beneath, len(_INDENT))
    return shown, beneath


def _padded(cell: str, width: int, right: bool) -> str:
    space = " " * (width - cell_len(cell))
    return space + cell if right else cell + space
