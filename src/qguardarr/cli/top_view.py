"""Lay out the live overview for a terminal of any width: pure functions from a status to lines."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
from rich.cells import cell_len
from rich.text import Text

from qguardarr.cli.text import LONGEST, clean, counted, duration, moment, speed
from qguardarr.engine.health import login_outlook, longest_silence_s
from qguardarr.engine.status import Status, TrackerRow
from qguardarr.engine.tree_rows import Row, in_tree

NARROW: Final = 64
"""Below this width a tracker takes two lines."""
OVER: Final = 1.02
"""A rate above this times the effective cap counts as over it, as in the status."""

MOST_REASONS: Final = 3
"""Groups of which is told why their cap is what it is."""

_GAP: Final = "  "
_LEAST_NAME: Final = 10
_MOST_NAME: Final = 32
_LEAST_BAR: Final = 8
_MOST_BAR: Final = 40
_DOING: Final = {
    "starting": "Starting: qBittorrent has not answered yet.",
    "waiting": "Waiting: the configuration does not say where qBittorrent is.",
    "holding": "Caps are held.",
    "observing": "Dry run: limits are decided, and nothing is written.",
    "paused": "Paused: limits stay as they are until you resume.",
    "failing": "Caps cannot be held now; limits stay as they are.",
}
_STYLES: Final = {"holding": "green", "observing": "cyan", "paused": "yellow", "failing": "red"}

SORTS: Final[dict[str, Callable[[TrackerRow], tuple[float, str]]]] = {
    "rules": lambda _row: (0.0, ""),
    "rate": lambda row: (-row.rate_10s, ""),
    "used": lambda row: (-(row.utilisation or 0.0), ""),
    "over cap": lambda row: (-row.over_cap_s, ""),
    "name": lambda row: (0.0, row.name.casefold()),
}


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """The last look at the daemon."""

    status: Status | None = None
    """As published last; None if it was never seen."""
    running: bool = False
    problem: str = ""
    """Why it cannot be looked at now; empty if it can."""


class View(msgspec.Struct, kw_only=True):
    """Choices of the person who looks on."""

    sort: str = "rules"
    scroll: int = 0
    """Trackers that are out of sight above."""
    message: str = ""
    """A question, or what became of a command; in place of the keys."""


def frame(seen: Seen, view: View, *, columns: int, rows: int, now: float, plain: bool) -> list[Text]:
    """Return the lines of a screen. `now`: Unix seconds. `plain`: ASCII only. Corrects `view.scroll`."""
    status = seen.status
    head = [_title(seen, columns, now), *_summary(status, columns)]
    for text, style in _said(seen, now):
        wrapped = textwrap.wrap(clean(text, LONGEST), max(8, columns - 2))
        head += [Text(f"{'  ' if number else ''}{line}", style) for number, line in enumerate(wrapped)]
    foot = _foot(view, columns, plain=plain)
    head = head[: max(2, rows - 6)]
    body = _table(status, view, columns, plain=plain) if status is not None else []
    header, blocks = body[:1], body[1:]
    height = len(blocks[0]) if blocks else 1
    room = max(1, (rows - len(head) - len(foot) - 1 - sum(map(len, header))) // height)
    view.scroll = max(0, min(view.scroll, len(blocks) - room))
    shown = [line for block in [*header, *blocks[view.scroll : view.scroll + room]] for line in block]
    lines = [*head, Text(""), *shown][: rows - len(foot)]
    lines += [Text("")] * (rows - len(foot) - len(lines))
    return [_fitted(line, columns) for line in (*lines, *foot)]


def _title(seen: Seen, columns: int, now: float) -> Text:
    status = seen.status
    line = Text("Qguardarr", "bold")
    if status is None:
        return line
    word = status.state if seen.running else "away"
    line.append(f" {status.version}", "default")
    line.append("  ")
    line.append(f" {word.upper()} ", f"reverse {_STYLES.get(word, 'red' if word == 'away' else 'default')}")
    ago = f"{duration(max(0.0, now - status.at))} ago"
    if line.cell_len + 2 + len(ago) <= columns:
        line.append(" " * (columns - line.cell_len - len(ago)))
        line.append(ago, "dim")
    return line


def _summary(status: Status | None, columns: int) -> list[Text]:
    if status is None:
        return []
    up = sum(row.rate_10s for row in status.trackers)
    parts = [
        f"up {speed(up)}",
        f"{counted(status.torrents, 'torrent')}, {status.limited} limited",
        f"qBittorrent {status.qbittorrent_version or 'not reached'}",
        f"{counted(status.written_limits, 'limit')} written",
    ]
    while len(parts) > 1 and cell_len(" | ".join(parts)) > columns:
        parts.pop()
    return [Text(" | ".join(parts))]


def _said(seen: Seen, now: float) -> list[tuple[str, str]]:
    """Return sentences on the state, and warnings, each with its style."""
    status = seen.status
    if status is None:
        return [(seen.problem or "No daemon runs. `qguardarr serve` starts one.", "red")]
    if not seen.running:
        why = seen.problem or "No daemon runs."
        return [(f"{why} These figures are of {moment(status.at)}.", "red")]
    found: list[tuple[str, str]] = []
    silent_s = abs(now - status.at)
    if silent_s > longest_silence_s(status):
        found.append((f"No cycle has ended for {duration(silent_s)}: it waits for qBittorrent, or hangs.", "red"))
    style = _STYLES.get(status.state, "default")
    problem = f" {status.problem}" if status.state in ("paused", "failing", "waiting") and status.problem else ""
    found.append((f"{_DOING.get(status.state, status.state)}{problem}", style))
    if status.login_pause is not None:
        found.append((login_outlook(status.login_pause, now), style))
    if status.reload_error:
        first = status.reload_error.split("\n", 1)[0]
        found.append((f"! The configuration has faults; the old one stays in force: {first}", "yellow"))
    found += [(f"! {trouble}", "yellow") for trouble in status.troubles]
    found += [(why, "cyan") for why in _cap_reasons(status, now)]
    if status.next_step:
        found.append((f"Next: {status.next_step}", "default"))
    return found


def _cap_reasons(status: Status, now: float) -> list[str]:
    """Return why caps are not the configured ones, and until when."""
    rows: list[Row] = [*status.parents, *status.trackers]
    changed = [row for row in rows if row.cap_reason != "configured"]
    told = []
    for row in changed[:MOST_REASONS]:
        left = "" if row.cap_until is None else f", for {duration(max(0.0, row.cap_until - now))} more"
        told.append(f"* {row.name}: {speed(row.cap)} ({row.cap_reason}){left}")
    left_out = len(changed) - len(told)
    return [*told, f"* and {counted(left_out, 'other cap')}"] if left_out else told


def _foot(view: View, columns: int, *, plain: bool) -> list[Text]:
    if view.message:
        return [Text(line, "bold") for line in textwrap.wrap(clean(view.message, LONGEST), max(8, columns))[:4]]
    arrows = "up/down" if plain else "↑↓"
    keys = ["q quit", "p pause", "r resume", f"s sort: {view.sort}", f"{arrows} scroll"]
    while len(keys) > 1 and cell_len(_GAP.join(keys)) > columns:
        keys.pop()
    return [Text(_GAP.join(keys), "dim")]


# -- trackers ---------------------------------------------------------------------------------------------------------


def _table(status: Status, view: View, columns: int, *, plain: bool) -> list[list[Text]]:
    """Return the header, then the lines of each tracker."""
    rows = _in_order(status, view)
    if columns < NARROW:
        return [[], *(_narrow(row, name, columns, plain=plain) for row, name in rows)]
    cells = [(row, name, _figures(row)) for row, name in rows]
    heads = ("rate", "cap", "used", "over cap", "effective", "borrowed")
    widths = [max([len(head), *(len(figures[i]) for *_, figures in cells)]) for i, head in enumerate(heads)]
    names = max([len("tracker"), *(cell_len(clean(name)) for _, name in rows)])
    shown = len(heads)
    while shown > 3 and _LEAST_NAME + _LEAST_BAR + sum(widths[:shown]) + len(_GAP) * (shown + 1) > columns:
        shown -= 1
    room = columns - sum(widths[:shown]) - len(_GAP) * (shown + 1)
    name_width = max(_LEAST_NAME, min(names, _MOST_NAME, room - _LEAST_BAR))
    bar_width = max(1, min(_MOST_BAR, room - name_width))
    header = Text(_padded("tracker", name_width) + _GAP + " " * bar_width, "bold")
    for head, width in zip(heads[:shown], widths, strict=False):
        header.append(_GAP + head.rjust(width))
    found = [[header]]
    for row, name, figures in cells:
        line = Text(_padded(clean(name, name_width), name_width) + _GAP)
        line.append_text(_bar(row, bar_width, plain=plain))
        for number, (figure, width) in enumerate(zip(figures[:shown], widths, strict=False)):
            line.append(_GAP + figure.rjust(width), _style(row) if number == 0 else "")
        found.append([line])
    return found


def _in_order(status: Status, view: View) -> list[tuple[Row, str]]:
    """Return the rows with their names: in the order of the rules as a tree, beneath their parents."""
    if view.sort != "rules":
        return [(row, row.name) for row in sorted(status.trackers, key=SORTS[view.sort])]
    return [(row, f"{_GAP * depth}{row.name}") for depth, row in in_tree(status.trackers, status.parents)]


def _narrow(row: Row, name: str, columns: int, *, plain: bool) -> list[Text]:
    rate, cap, used, over, *_ = _figures(row)
    figures = f"{rate} of {cap}" if row.cap is not None else rate
    room = max(4, columns - len(figures) - 1)
    first = Text(_padded(clean(name, room), room) + " ")
    first.append(figures, _style(row))
    tail = f" {used}" + (f" over {over}" if row.cap is not None else "")
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


def _fitted(line: Text, columns: int) -> Text:
    line.truncate(columns, overflow="crop")
    return line
