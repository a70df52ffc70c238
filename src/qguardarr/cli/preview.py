"""`preview`: the limits that the next cycle would write, and why. It runs the daemon's decision, without the writes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer

from qguardarr.cli.common import (
    DEFAULT_CONFIG,
    AsJson,
    ConfigPath,
    backtracker,
    client_for,
    config_at,
    counted,
    journal_of,
    journal_path,
    moment,
    speed,
)
from qguardarr.cli.onlooker import OnlookersJournal
from qguardarr.cli.tables import Column, print_table
from qguardarr.cli.terminal import LONGEST, clean, out, print_json, progress
from qguardarr.core.model import UNLIMITED, Change
from qguardarr.core.units import limit_or_none
from qguardarr.engine.ports import Journal
from qguardarr.engine.safety import refuse_limits_of_ours
from qguardarr.errors import JournalError

if TYPE_CHECKING:
    from qguardarr.adapters.qbittorrent import QBittorrentClient
    from qguardarr.config import Config
    from qguardarr.core.policy import Policy
    from qguardarr.core.reconcile.decide import Decision

_CYCLES: Final = 4
_LONGEST_CYCLE_S: Final = 5.0
"""Seconds. With a longer interval the preview does not wait for whole cycles: demand shows sooner."""
_SHOWN: Final = 40


class ChangeRow(msgspec.Struct, frozen=True, kw_only=True):
    """One limit that would be written. Limits in bytes/s; None is unlimited."""

    hash: str
    name: str
    old: int | None
    new: int | None
    reason: str


class TrackerLine(msgspec.Struct, frozen=True, kw_only=True):
    """A tracker in the decision. Rates are in bytes/s; None is unlimited."""

    id: str
    name: str
    cap: int | None
    effective: float | None
    rate: float
    torrents: int
    active: int
    hungry: int
    changes: int


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """The result of `preview`."""

    trackers: tuple[TrackerLine, ...]
    changes: tuple[ChangeRow, ...]
    total_changes: int
    calls: int
    deferred: int
    paused: str | None
    told: tuple[str, ...]
    """Orders to the running daemon that the preview includes, such as a temporary cap."""
    refused: str
    """Why nothing would be written, if the journal was lost; else empty."""


def preview(
    config: ConfigPath = DEFAULT_CONFIG,
    limit: Annotated[
        int | None, typer.Option(min=1, help=f"Most changes to list. Default {_SHOWN}; with --json all.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the limits that the next cycle would write, and why.

    Watches for four cycles first, and writes nothing. Includes orders to a running daemon: another rollout, temporary
    caps.
    """
    loaded = config_at(config)
    with client_for(loaded) as client, journal_of(loaded) as journal:
        policy, told = _policy_in_force(loaded)
        decision, counts, limits = _watch(client, onlooker := OnlookersJournal(journal), policy)
        shown = decision.plan.changes[: limit or (None if as_json else _SHOWN)]
        names = client.names([change.hash for change in shown])
        found = _described(decision, counts, names, shown, onlooker.paused(), told, _refusal(onlooker, limits))
    if as_json:
        print_json(found)
    else:
        _print(found, dry_run=loaded.global_.dry_run)


def _policy_in_force(config: Config) -> tuple[Policy, tuple[str, ...]]:
    """Return the policy of the file, changed by the orders to a running daemon; and these orders as text."""
    from qguardarr.adapters.statusfile import daemon_runs, read_status, status_path

    policy, path = config.policy(), journal_path(config)
    daemon = read_status(status_path(path)) if daemon_runs(path) else None
    if daemon is None:
        return policy, ()
    told = []
    if daemon.rollout_percentage != policy.rollout_percentage:
        told.append(f"rollout_percentage {daemon.rollout_percentage}")
    classes = []
    for tracker in policy.classes:
        row = next((row for row in daemon.trackers if row.id == tracker.id), None)
        if row is not None and row.override_until is not None:
            cap = UNLIMITED if row.cap is None else row.cap
            told.append(f"cap of {tracker.id}: {speed(cap)} until {moment(row.override_until)}")
            tracker = msgspec.structs.replace(tracker, cap=cap)  # noqa: PLW2901
        classes.append(tracker)
    changed = msgspec.structs.replace(policy, classes=tuple(classes), rollout_percentage=daemon.rollout_percentage)
    return changed, tuple(told)


def _refusal(journal: Journal, limits: Iterable[int]) -> str:
    """Return why the daemon would write nothing: these limits belong to a journal that is gone. Else empty."""
    if problem := journal.holding():
        return problem
    try:
        if not journal.has_begun():
            refuse_limits_of_ours(limits)
    except JournalError as error:
        return str(error)
    return ""


def _watch(
    client: QBittorrentClient, journal: Journal, policy: Policy
) -> tuple[Decision, dict[str, int], tuple[int, ...]]:
    """Return the decision, its number of changes for each tracker, and the limits in force."""
    from qguardarr.adapters.clock import SystemClock
    from qguardarr.engine.controller import Controller

    clock = SystemClock()
    controller = Controller(client, journal, policy, clock, backtrack=backtracker())
    cycle_s = min(policy.interval_s, _LONGEST_CYCLE_S)
    total_s = _CYCLES * cycle_s
    with progress("watching the torrents", unit="s") as advance:
        advance(0.0, total_s)
        decision = controller.preview()
        began = clock.monotonic()
        for cycle in range(1, _CYCLES + 1):
            while (left := began + cycle * cycle_s - clock.monotonic()) > 0:
                advance(clock.monotonic() - began, total_s)
                clock.wait(min(left, 0.5))
            decision = controller.preview()
    registry = controller.registry
    changed = filter(None, (registry.get(change.hash) for change in decision.plan.changes))
    counts = Counter(policy.classes[state.rule].id for state in changed)
    return decision, counts, tuple(state.torrent.up_limit for state in registry.states())


def _described(
    decision: Decision,
    counts: dict[str, int],
    names: dict[str, str],
    shown: Sequence[Change],
    paused: str | None,
    told: tuple[str, ...],
    refused: str,
) -> Preview:
    return Preview(
        trackers=tuple(
            TrackerLine(
                id=tracker.id,
                name=tracker.name,
                cap=limit_or_none(tracker.cap),
                effective=tracker.effective if math.isfinite(tracker.effective) else None,
                rate=tracker.rate,
                torrents=tracker.torrents,
                active=tracker.active,
                hungry=tracker.hungry,
                changes=counts.get(tracker.id, 0),
            )
            for tracker in decision.trackers
        ),
        changes=tuple(
            ChangeRow(
                hash=change.hash,
                name=names.get(change.hash, "(gone)"),
                old=limit_or_none(change.old),
                new=limit_or_none(change.new),
                reason=change.reason,
            )
            for change in shown
        ),
        total_changes=len(decision.plan.changes),
        calls=len(decision.plan.writes),
        deferred=decision.plan.deferred,
        paused=paused,
        told=told,
        refused=refused,
    )


def _print(found: Preview, *, dry_run: bool) -> None:
    rows = (
        (
            tracker.id,
            speed(tracker.cap),
            speed(tracker.effective),
            speed(tracker.rate),
            str(tracker.torrents),
            str(tracker.active),
            str(tracker.hungry),
            str(tracker.changes),
        )
        for tracker in found.trackers
    )
    heads = (
        Column("tracker", least=12),
        ">cap",
        Column("in effect", right=True, drop=1),
        ">rate",
        Column("torrents", right=True, drop=3),
        Column("active", right=True, drop=2),
        Column("want more", right=True, drop=4),
        ">changes",
    )
    print_table(heads, rows)
    for line in found.told:
        out(f"As the running daemon was told: {line}.")
    out()
    if found.refused:
        out(f"Nothing would be written: {found.refused}")
        return
    if not found.total_changes:
        out("The next cycle would change nothing.")
        return
    out(f"The next cycle would change {counted(found.total_changes, 'limit')} in {counted(found.calls, 'call')}:")
    print_table(
        (Column("torrent", least=30), ">now", "", ">then", Column("why", least=40, beneath=True)),
        ((c.name, speed(c.old), "→", speed(c.new), c.reason) for c in found.changes),
    )
    if (left := found.total_changes - len(found.changes)) > 0:
        out(f"… and {left} more (--limit, or --json for all)")
    if found.deferred:
        out(f"{counted(found.deferred, 'change')} would wait for later cycles (max_api_calls_per_cycle).")
    if found.paused is not None:
        out(f"But Qguardarr is paused ({clean(found.paused, LONGEST)}): nothing is written until `qguardarr resume`.")
    elif dry_run:
        out("But global.dry_run is on: nothing is written until it is switched off.")
