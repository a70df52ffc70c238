"""Print tables that fit the terminal: cells are cut first, then whole columns are left out."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from qguardarr.cli.terminal import columns_of, out
from qguardarr.cli.text import clean, columns

_GAP: Final = "  "
_INDENT: Final = "    "


class Column(NamedTuple):
    """A column, and how it yields in a terminal that is too narrow for the table."""

    head: str
    right: bool = False
    """Aligned right, for numbers."""
    least: int | None = None
    """It may be cut to this width. None: never."""
    beneath: bool = False
    """If cutting is not enough, it moves to a second line beneath the row."""
    drop: int = 0
    """If that is not enough either, it is left out, the highest number first. 0: never."""


def print_table(heads: Sequence[str | Column], rows: Iterable[Sequence[str]]) -> None:
    """Print a table. A head that is a text stands for a column of full width, aligned right if it begins with `>`.

    If stdout is no terminal, nothing is cut or left out.
    """
    table = [_column(head) for head in heads]
    lines = [[column.head for column in table], *([clean(cell) for cell in row] for row in rows)]
    widths = [max(columns(line[i]) for line in lines) for i in range(len(table))]
    room = columns_of(sys.stdout)
    shown, beneath = list(range(len(table))), list[int]()
    if room is not None:
        shown, beneath = _fitted(table, widths, room)
    left_out = [column.head for i, column in enumerate(table) if i not in (*shown, *beneath)]
    for number, line in enumerate(lines):
        cells = (_padded(clean(line[i], widths[i]), widths[i], table[i].right) for i in shown)
        out(_GAP.join(cells).rstrip())
        if beneath and number > 0:
            out(_INDENT + _GAP.join(clean(line[i], widths[i]) for i in beneath if line[i]))
    if left_out:
        out(clean(f"(no room for: {', '.join(left_out)})", room))


def _column(head: str | Column) -> Column:
    return head if isinstance(head, Column) else Column(head.removeprefix(">"), right=head.startswith(">"))


def _fitted(table: Sequence[Column], widths: list[int], room: int) -> tuple[list[int], list[int]]:
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
    space = " " * (width - columns(cell))
    return space + cell if right else cell + space
