"""Lay out the live overview for a terminal of any width: pure functions from a status to lines."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Final

import msgspec
from rich.cells import cell_len
from rich.text import Text

from qguardarr.cli.text import LONGEST, clean, counted, duration, moment, speed
from qguardarr.cli.top_table import GAP, table
from qguardarr.engine.health import login_outlook, longest_silence_s
from qguardarr.engine.instance_row import InstanceRow
from qguardarr.engine.status import Status
from qguardarr.engine.tree_rows import Row

MOST_REASONS: Final = 3
"""Groups of which is told why their cap is what it is."""
MOST_INSTANCES: Final = 4
"""Lines about single qBittorrents, those that are away first."""

_DOING: Final = {
    "starting": "Starting: qBittorrent has not answered yet.",
    "waiting": "Waiting: the configuration does not say where qBittorrent is.",
    "holding": "Caps are held.",
    "observing": "Dry run: limits are decided, and nothing is written.",
    "paused": "Paused: limits stay as they are until you resume.",
    "failing": "Caps cannot be held now; limits stay as they are.",
}
_STYLES: Final = {"holding": "green", "observing": "cyan", "paused": "yellow", "failing": "red"}


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """The last look at the daemon."""

    status: Status | None = None
    """As published last; None if it was never seen."""
    running: bool = False
    usage: Mapping[str, int] | None = None
    """Bytes that each group uploaded this month, by id; None if that is not known."""
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
    head = [_title(seen, columns, now), *_summary(status, columns, now)]
    for text, style in _said(seen, now):
        wrapped = textwrap.wrap(clean(text, LONGEST), max(8, columns - 2))
        head += [Text(f"{'  ' if number else ''}{line}", style) for number, line in enumerate(wrapped)]
    foot = _foot(view, columns, plain=plain)
    head = head[: max(2, rows - 6)]
    body = table(status, seen.usage, view.sort, columns, plain=plain) if status is not None else []
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


def _summary(status: Status | None, columns: int, now: float) -> list[Text]:
    if status is None:
        return []
    up = sum(row.rate_10s for row in status.trackers)
    parts = [
        f"up {speed(up)}",
        f"{counted(status.torrents, 'torrent')}, {status.limited} limited",
        _connected(status),
        f"{counted(status.written_limits, 'limit')} written",
    ]
    while len(parts) > 1 and cell_len(" | ".join(parts)) > columns:
        parts.pop()
    return [Text(" | ".join(parts)), *_instances(status, now)]


def _connected(status: Status) -> str:
    if len(status.instances) > 1:
        read = sum(row.state == "read" for row in status.instances)
        return f"{read} of {len(status.instances)} qBittorrents connected"
    return f"qBittorrent {status.qbittorrent_version or 'not reached'}"


def _instances(status: Status, now: float) -> list[Text]:
    """Return a line for each of several qBittorrents. Why one is away is among the warnings."""
    if len(status.instances) < 2:
        return []
    rows = sorted(status.instances, key=lambda row: row.state == "read")
    most = min(len(rows), MOST_INSTANCES)
    lines = [_instance(row, now) for row in rows[:most]]
    return [*lines, Text(f"  and {len(rows) - most} more", "dim")] if len(rows) > most else lines


def _instance(row: InstanceRow, now: float) -> Text:
    known = f"{counted(row.torrents, 'torrent')}, {row.limited} limited"
    if row.state == "read":
        return Text(f"  {clean(row.name)}: {clean(row.version or 'version unknown')}, {known}", "dim")
    since = "" if row.away_since is None else f" for {duration(max(0.0, now - row.away_since))}"
    state = f"away{since}" if row.state == "away" else "not read yet"
    kept = {
        "last": f"{speed(row.held_back)} of the caps kept for it",
        "equal": "an equal part of each cap kept for it",
        "nothing": "nothing kept for it",
    }
    more = f", {kept[row.counts]}" if row.counts in kept else ""
    return Text(f"  {clean(row.name)}: {state}{more}", "red")


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
    while len(keys) > 1 and cell_len(GAP.join(keys)) > columns:
        keys.pop()
    return [Text(GAP.join(keys), "dim")]


def _fitted(line: Text, columns: int) -> Text:
    line.truncate(columns, overflow="crop")
    return line
