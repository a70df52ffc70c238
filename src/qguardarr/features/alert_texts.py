"""Words of notifications: what is the matter, since when, and what to do. Free of secrets and of torrents' names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

import msgspec

from qguardarr.core.units import format_speed
from qguardarr.engine.feature_ports import Notification
from qguardarr.engine.instance_row import InstanceRow
from qguardarr.engine.status import ParentRow, State, Status, TrackerRow

Phase: TypeAlias = Literal["begun", "lasts", "over"]
Severity: TypeAlias = Literal["info", "warning", "failure"]

_MOST_TOGETHER: Final = 10
"""Subjects that one message describes; it counts the others."""
_PREFIX: Final = "Qguardarr: "
_LONGEST_PROBLEM: Final = 500
_ADVICE: Final = {
    "Unreachable": "See whether it runs, and whether `qguardarr check --connect` reaches it.",
    "AuthRejected": "Mend user name, password or API key in the configuration; it is read again by itself.",
    "Banned": "Wait until the ban is over, or restart qBittorrent; then see who logs in with a wrong password.",
    "Refused": "See the log; perhaps this version of qBittorrent is not supported.",
}


def over_cap(id_: str, row: TrackerRow | ParentRow | None, phase: Phase, lasted_s: float) -> Notification:
    """Return the message about a group over its cap. `row` is None if it is gone; the line has an empty id."""
    name = (row is not None and row.name) or id_ if id_ else "The line"
    if row is None or row.effective is None:
        return _over("over_cap", f"{name} has no cap any more", "It was over its cap before.")
    allowed = format_speed(row.effective)
    rates = f"It uploaded {format_speed(row.rate_60s)} over the last minute, and may use {allowed}"
    if phase == "over":
        return _over("over_cap", f"{name} is within its cap again", f"{rates}. It was over for {_words(lasted_s)}.")
    body = (
        f"{rates}: {row.rate_60s / row.effective - 1:.0%} more, for {_words(lasted_s)} now. `qguardarr status` shows "
        "what is wrong; perhaps another program sets limits too. If it must not go on, set a global upload limit in "
        "qBittorrent."
    )
    return _message("over_cap", phase, f"{name} is over its cap", body, "warning")


def qbittorrent_lost(status: Status, phase: Phase, lasted_s: float) -> Notification:
    """Return the message about a qBittorrent that cannot be read, for whatever reason."""
    if phase == "over":
        return _over("qbittorrent_lost", "qBittorrent is back", f"It was away for {_words(lasted_s)}.{_again(status)}")
    body = (
        f"For {_words(lasted_s)} nothing could be read: {_problem(status.problem)} Limits stay as they are, but nobody "
        f"adapts them. {_ADVICE.get(status.problem_kind, '')}".rstrip()
    )
    return _message("qbittorrent_lost", phase, "qBittorrent cannot be used", body)


def one_lost(row: InstanceRow, phase: Phase, lasted_s: float) -> Notification:
    """Return the message about one of several qBittorrents that cannot be read, for whatever reason."""
    if phase == "over":
        return _over("qbittorrent_lost", f"qBittorrent {row.name} is back", f"It was away for {_words(lasted_s)}.")
    body = (
        f"For {_words(lasted_s)} nothing could be read: {_problem(row.problem)} Its limits stay as they are; those of "
        f"the others are adapted. {_ADVICE.get(row.problem_kind, '')}".rstrip()
    )
    return _message("qbittorrent_lost", phase, f"qBittorrent {row.name} cannot be used", body)


def breaker_open(status: Status, phase: Phase, lasted_s: float) -> Notification:
    """Return the message about a lost qBittorrent for people who want it after several failures in a row only."""
    if phase == "over":
        body = f"It was left alone for {_words(lasted_s)}.{_again(status)}"
        return _over("breaker_open", "qBittorrent answers again", body)
    body = (
        f"After several failures in a row it is only tried now and then, for {_words(lasted_s)} now: "
        f"{_problem(status.problem)} Limits stay as they are. {_ADVICE['Unreachable']}"
    )
    return _message("breaker_open", phase, "qBittorrent is left alone for a while", body)


def plan_refused(status: Status, phase: Phase, lasted_s: float) -> Notification:
    """Return the message about plans that would lift limits from most torrents."""
    if phase == "over":
        body = f"For {_words(lasted_s)} they were refused as unsafe.{_again(status)}"
        return _over("plan_refused", "plans are no longer refused", body)
    problem = _problem(status.problem)
    body = f"For {_words(lasted_s)} nothing was written: {problem} `qguardarr preview` shows the plan."
    return _message("plan_refused", phase, "a plan was refused as unsafe", body)


def errors(count: int, problem: str, phase: Phase, lasted_s: float) -> Notification:
    """Return the message about many cycles that fail, though not all of them."""
    if phase == "over":
        return _over("errors", "cycles succeed again", f"For {_words(lasted_s)} many of them failed.")
    body = (
        f"{count} cycles failed within the last ten minutes, with others between them that did not. "
        f"The last failure: {_problem(problem)} The log has all of them."
    )
    return _message("errors", phase, "many cycles fail", body, "warning")


def manual_limit(count: int) -> Notification:
    """Return the message about limits that a person set."""
    what = "1 upload limit was" if count == 1 else f"{count} upload limits were"
    body = (
        "In qBittorrent, while Qguardarr managed the torrents. They count as the torrents' own limits from now on: a "
        "rollback restores them. `qguardarr history` lists them. If it was not you, another program sets limits."
    )
    return _message("manual_limit", "begun", f"{what} changed by hand", body, "info")


def foreign_limits(status: Status, phase: Phase, lasted_s: float) -> Notification:
    """Return the message about another program that sets upload limits."""
    if phase == "over":
        return _over("foreign_limits", "no other program sets limits any more", f"It did for {_words(lasted_s)}.")
    body = f"For {_words(lasted_s)}: {_problem(status.foreign)}"
    return _message("foreign_limits", phase, "another program sets upload limits", body, "warning")


def together(notifications: Sequence[Notification]) -> Notification:
    """Make one message of those about one kind of event."""
    first = next((one for one in notifications if one.severity != "success"), notifications[0])
    others = [one for one in notifications if one is not first]
    if not others:
        return first
    shown = [f"{one.title.removeprefix(_PREFIX)}." for one in others[: _MOST_TOGETHER - 1]]
    left = len(others) - len(shown)
    tail = [f"And {left} more."] if left else []
    title = f"{first.title}, and {len(others)} more"
    return msgspec.structs.replace(first, title=title, body=" ".join([first.body, "Also:", *shown, *tail]))


def _message(event: str, phase: Phase, what: str, body: str, severity: Severity = "failure") -> Notification:
    return Notification(event, f"{_PREFIX}{what}{', still' if phase == 'lasts' else ''}", body, severity)


def _over(event: str, what: str, body: str) -> Notification:
    return Notification(event, _PREFIX + what, body, "success")


def _again(status: Status) -> str:
    return " Limits are adapted again." if status.state == State.HOLDING else ""


def _problem(problem: str) -> str:
    """Return a problem as one sentence, bounded."""
    text = " ".join(problem.split()) or "no reason is known"
    if len(text) > _LONGEST_PROBLEM:
        return text[: _LONGEST_PROBLEM - 1] + "…"
    return text if text.endswith((".", "!", "?")) else text + "."


def _words(seconds: float) -> str:
    """Return a duration as `45 s`, `12 min`, `3.5 h` or `2.1 days`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} days"
