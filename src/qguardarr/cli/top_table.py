"""Lay out the table of `top`: groups as a tree, each with a bar, its rates, its quota and what it used this month."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from rich.cells import cell_len
from rich.text import Text

from qguardarr.cli.text import clean, duration, speed
from qguardarr.core.units import format_size
from qguardarr.engine.status import Status, TrackerRow
from qguardarr.engine.tree_rows import Row, in_tree

NARROW: Final = 64
"""Below this width a tracker takes two lines."""
OVER: Final = 1.02
"""A rate above this times the effective cap counts as over it, as in the status."""

GAP: Final = "  "
_LEAST_NAME: Final = 10
_MOST_NAME: Final = 32
_LEAST_BAR: Final = 8
_MOST_BAR: Final = 40

SORTS: Final[dict[str, Callable[[TrackerRow], tuple[float, str]]]] = {
    "rules": lambda _row: (0.0, ""),
    "rate": lambda row: (-row.rate_10s, ""),
    "used": lambda row: (-(row.utilisation or 0.0), ""),
    "over cap": lambda row: (-row.over_cap_s, ""),
    "name": lambda row: (0.0, row.name.casefold()),
}


def table(status: Status, usage: Mapping[str, int] | None, sort: str, columns: int, *, plain: bool) -> list[list[Text]]:
    """Return the header, then the lines of each tracker."""
    rows = _in_order(status, sort)
    if columns < NARROW:
        return [[], *(_narrow(row, name, columns, plain=plain) for row, name in rows)]
    heads = ["rate", "cap", "used", "over cap", "effective", "borrowed"]
    cells = [(row, name, list(_figures(row))) for row, name in rows]
    more: list[tuple[int, str, Callable[[Row], str]]] = []
    if any(row.quota is not None for row, _ in rows):
        more.append((3, "quota", _quota))
    if usage is not None:
        more.append((4 + len(more), "month", lambda row: format_size(usage.get(row.id, 0))))
    for place, title, told in more:
        heads.insert(place, title)
        for row, _, figures in cells:
            figures.insert(place, told(row))
    widths = [max([len(head), *(len(figures[i]) for *_, figures in cells)]) for i, head in enumerate(heads)]
    names = max([len("tracker"), *(cell_len(clean(name)) for _, name in rows)])
    shown = len(heads)
    while shown > 3 and _LEAST_NAME + _LEAST_BAR + sum(widths[:shown]) + len(GAP) * (shown + 1) > columns:
        shown -= 1
    room = columns - sum(widths[:shown]) - len(GAP) * (shown + 1)
    name_width = max(_LEAST_NAME, min(names, _MOST_NAME, room - _LEAST_BAR))
    bar_width = max(1, min(_MOST_BAR, room - name_width))
    header = Text(_padded("tracker", name_width) + GAP + " " * bar_width, "bold")
    for head, width in zip(heads[:shown], widths, strict=False):
        header.append(GAP + head.rjust(width))
    found = [[header]]
    for row, name, figures in cells:
        line = Text(_padded(clean(name, name_width), name_width) + GAP)
        line.append_text(_bar(row, bar_width, plain=plain))
        for number, (figure, width) in enumerate(zip(figures[:shown], widths, strict=False)):
            line.append(GAP + figure.rjust(width), _style(row) if number == 0 else "")
        found.append([line])
    return found


def _in_order(status: Status, sort: str) -> list[tuple[Row, str]]:
    """Return the rows with their names: in the order of the rules as a tree, beneath their parents."""
    if sort != "rules":
        return [(row, row.name) for row in sorted(status.trackers, key=SORTS[sort])]
    return [(row, f"{GAP * depth}{row.name}") for depth, row in in_tree(status.trackers, status.parents)]


def _narrow(row: Row, name: str, columns: int, *, plain: bool) -> list[Text]:
    rate, cap, used, over, *_ = _figures(row)
    figures = f"{rate} of {cap}" if row.cap is not None else rate
    room = max(4, columns - len(figures) - 1)
    first = Text(_padded(clean(name, room), room) + " ")
    first.append(figures, _style(row))
    tail = f" {used}" + (f" over {over}" if row.cap is not None else "")
    if row.quota is not None:
        tail += f" quota {_quota(row)}"
    if row.borrowed > 0:
        tail += f" +{speed(row.borrowed)}"
    second = _bar(row, max(1, columns - max(len(tail), 16)), plain=plain)
    second.append(tail)
    return [first, second]


def _figures(row: Row) -> Sequence[str]:
    used = "-" if row.utilisation is None else f"{100 * row.utilisation:.0f} %"
    return (
        speed(row.rate_10s),
        ("*" if row.cap_reason != "configured" else "") + speed(row.cap),
        f"{used}!" if _is_over(row) else used,
        "-" if row.cap is None else duration(row.over_cap_s),
        speed(row.effective),
        speed(row.borrowed) if row.borrowed > 0 else "-",
    )


def _quota(row: Row) -> str:
    """Return what is used of a quota, and what it comes to at the end of its period: `62 -> 98 %`."""
    quota = row.quota
    if quota is None:
        return "-"
    used, forecast = (
        None if part is None else 100 * part / max(1, quota.bytes) for part in (quota.used, quota.forecast)
    )
    return f"{used:.0f} %" if forecast is None else f"{used:.0f} -> {forecast:.0f} %"


def _bar(row: Row, width: int, *, plain: bool) -> Text:
    """Draw the rate against the cap; a mark shows where the cap ends if more than that may be used."""
    if row.cap is None:
        return Text("no cap".ljust(width)[:width], "dim")
    full, empty = ("#", ".") if plain else ("█", "░")
    scale = max(row.cap, row.effective or 0.0, 1.0)
    filled = min(width, round(width * row.rate_10s / scale))
    bar = Text(full * filled, _style(row))
    bar.append(empty * (width - filled), "dim")
    mark = round(width * row.cap / scale)
    if mark < width:
        bar = Text.assemble(bar[:mark], ("|", "bold"), bar[mark + 1 :])
    return bar


def _style(row: Row) -> str:
    if row.cap is None:
        return ""
    return "red" if _is_over(row) else "green" if row.rate_10s >= 0.9 * (row.effective or row.cap) else "cyan"


def _is_over(row: Row) -> bool:
    return row.effective is not None and row.rate_10s > OVER * row.effective


def _padded(text: str, width: int) -> str:
    return text + " " * max(0, width - cell_len(text))
