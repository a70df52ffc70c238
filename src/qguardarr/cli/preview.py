"""`preview`: the limits that the next cycle would write, and why. It runs the daemon's decision, without the writes."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

import msgspec
import typer

from qguardarr.cli.opening import backtracker, clients_for, config_at, journal_of, journal_path
from qguardarr.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath
from qguardarr.cli.tables import Column, print_table
from qguardarr.cli.terminal import out, print_json, progress
from qguardarr.cli.text import LONGEST, clean, counted, moment, speed
from qguardarr.core.model import UNLIMITED, Selector
from qguardarr.core.units import limit_or_none
from qguardarr.errors import JournalError

if TYPE_CHECKING:
    from qguardarr.adapters.sqlite.journal import SqliteJournal
    from qguardarr.config import Config
    from qguardarr.core.model import Change
    from qguardarr.core.policy import Policy
    from qguardarr.core.reconcile.decide import Decision, TrackerReport
    from qguardarr.engine.controller import Controller
    from qguardarr.engine.judging import RuleJudgement
    from qguardarr.engine.ports import Clock

_CYCLES: Final = 4
_LONGEST_CYCLE_S: Final = 5.0
"""Seconds. With a longer interval the preview does not wait for whole cycles: demand shows sooner."""
_SHOWN: Final = 40
_GONE: Final = "(gone)"


class Preview(NamedTuple):
    """The outcome of a preview."""

    decision: Decision
    counts: Counter[str]
    """Number of changes by the tracker's id."""
    shown: Sequence[Change]
    """The changes to list."""
    names: Mapping[str, str]
    """Names of their torrents, by hash."""
    paused: str | None
    told: Sequence[str]
    """Orders to the running daemon that the preview includes, such as a temporary cap."""
    refused: str
    """Why nothing would be written, if the journal was lost; else empty."""
    undecided: int
    """Number of torrents that are left out, since the search for their rules failed."""
    notes: Sequence[str]
    """What is remarkable about rules: those without torrents, and those that ask in vain."""
    selected: Mapping[tuple[str, str], RuleJudgement]
    """Why the torrents that are listed have their rules, by instance and hash."""
    plain: Collection[str]
    """Ids of the rules that select by announce URLs alone."""


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
    from qguardarr.adapters.clock import SystemClock
    from qguardarr.adapters.sqlite.journal_preview import PreviewJournal
    from qguardarr.engine.controller import Controller
    from qguardarr.engine.everywhere import Everywhere
    from qguardarr.engine.judging import why_selected

    loaded = config_at(config)
    policy, told = _policy_in_force(loaded)
    with (
        clients_for(loaded) as clients,
        journal_of(loaded) as kept,
        closing(PreviewJournal(journal_path(loaded), kept)) as journal,
    ):
        clock = SystemClock()
        controller = Controller(dict(clients), journal, policy, clock, backtrack=backtracker())
        decision = _watch(controller, clock, min(policy.interval_s, _LONGEST_CYCLE_S))
        registries, changes = controller.registries, decision.plan.changes
        changed = filter(None, (registries[change.instance].get(change.hash) for change in changes))
        counts = Counter(policy.classes[state.rule].id for state in changed)
        shown = changes[: limit or (None if as_json else _SHOWN)]
        names = Everywhere(lambda: clients, registries).names([change.hash for change in shown]) if shown else {}
        paused = None if kept is None else kept.paused()
        limits = (state.torrent.up_limit for registry in registries.values() for state in registry.states())
        refused = _refusal(kept, limits)
        versions = {name: client.stats.server_version for name, client in clients.items()}
    undecided = controller.undecided()
    notes = list(_notes(policy, decision, versions))
    now = time.time()
    judged = ((c, why_selected(registries[c.instance], c.hash, now)) for c in shown)
    selected = {(change.instance, change.hash): its[-1] for change, its in judged if its}
    plain = {rule.id for rule in policy.classes if rule.where == Selector()}
    found = Preview(decision, counts, shown, names, paused, told, refused, undecided, notes, selected, plain)
    if as_json:
        print_json(_as_json(found))
    else:
        _print(found, dry_run=loaded.global_.dry_run)


def _policy_in_force(config: Config) -> tuple[Policy, tuple[str, ...]]:
    """Return the policy of the file, changed by the orders to a running daemon; and these orders as text."""
    from qguardarr.adapters.statusfile import daemon_runs, read_status, status_path
    from qguardarr.core.caps.quota import Allowance
    from qguardarr.core.caps.temporary import Override
    from qguardarr.engine.cap_chain import CapChain

    policy, path, chain = config.policy(), journal_path(config), CapChain()
    daemon = read_status(status_path(path)) if daemon_runs(path) else None
    if daemon is None:
        return chain.in_force(policy, time.time()), ()
    told = []
    if daemon.rollout_percentage != policy.rollout_percentage:
        told.append(f"rollout_percentage {daemon.rollout_percentage}")
    chain.overrides = overrides = {
        row.id: Override(UNLIMITED if row.cap is None else row.cap, until)
        for row in daemon.groups
        if (until := row.cap_until if row.cap_reason in ("boost", "hush") else row.override_until) is not None
    }
    chain.allowances = {
        row.id: Allowance(row.quota.start, row.quota.end, row.quota.used, time.time())
        for row in daemon.groups
        if row.quota is not None
    }
    told += [
        f"cap of {group or 'the line'}: {speed(one.cap)} until {moment(one.until)}" for group, one in overrides.items()
    ]
    changed = msgspec.structs.replace(policy, rollout_percentage=daemon.rollout_percentage)
    return chain.in_force(changed, time.time()), tuple(told)


def _notes(policy: Policy, decision: Decision, versions: Mapping[str, str | None]) -> Iterator[str]:
    """Yield what is remarkable about rules. `versions`: of each qBittorrent, by name."""
    from qguardarr.engine.unknown_private import private_unknown

    for name, version in versions.items():
        yield from private_unknown(policy.classes, version, name)
    if any(tracker.torrents for tracker in decision.trackers):
        for tracker in decision.trackers[:-1]:
            if not tracker.torrents:
                yield f"the rule {tracker.id!r} has selected no torrent so far"


def _refusal(journal: SqliteJournal | None, limits: Iterable[int]) -> str:
    """Return why the daemon would write nothing: these limits belong to a journal that is gone. Else empty."""
    from qguardarr.engine.safety import refuse_limits_of_ours

    if journal is not None and (problem := journal.holding()):
        return problem
    try:
        if journal is None or not journal.has_begun():
            refuse_limits_of_ours(limits)
    except JournalError as error:
        return str(error)
    return ""


def _watch(controller: Controller, clock: Clock, cycle_s: float) -> Decision:
    """Return the decision after some cycles."""
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
    return decision


def _as_json(found: Preview) -> dict[str, object]:
    """Return the result for scripts. Limits and rates are in bytes/s; None is unlimited."""
    plan = found.decision.plan
    return {
        "trackers": [
            {
                "id": tracker.id,
                "name": tracker.name,
                "cap": limit_or_none(tracker.cap),
                "effective": limit_or_none(tracker.effective),
                "rate": tracker.rate,
                "torrents": tracker.torrents,
                "active": tracker.active,
                "hungry": tracker.hungry,
                "changes": found.counts[tracker.id],
            }
            for tracker in found.decision.trackers
        ],
        "changes": [
            {
                **({"instance": change.instance} if change.instance else {}),
                "hash": change.hash,
                "name": found.names.get(change.hash, _GONE),
                "old": limit_or_none(change.old),
                "new": limit_or_none(change.new),
                "reason": change.reason,
                "tracker": None if (rule := _rule(found, change)) is None else rule.tracker,
                "selected_by": None if rule is None else rule.reason,
            }
            for change in found.shown
        ],
        "total_changes": len(plan.changes),
        "calls": len(plan.writes),
        "deferred": plan.deferred,
        "paused": found.paused,
        "told": found.told,
        "refused": found.refused,
        "undecided": found.undecided,
        "notes": found.notes,
    }


def _rule(found: Preview, change: Change) -> RuleJudgement | None:
    return found.selected.get((change.instance, change.hash))


def _why(found: Preview, change: Change) -> str:
    """Return the reason of a change, and why the torrent has its rule if that has conditions besides URLs."""
    rule = _rule(found, change)
    if rule is None or rule.tracker in found.plain:
        return change.reason
    return f"{change.reason}; selected by {rule.reason}"


def _print(found: Preview, *, dry_run: bool) -> None:
    plan = found.decision.plan
    table: list[Column[TrackerReport]] = [
        Column("tracker", lambda tracker: tracker.id, least=12),
        Column(">cap", lambda tracker: speed(tracker.cap)),
        Column(">in effect", lambda tracker: speed(tracker.effective), drop=1),
        Column(">rate", lambda tracker: speed(tracker.rate)),
        Column(">torrents", lambda tracker: tracker.torrents, drop=3),
        Column(">active", lambda tracker: tracker.active, drop=2),
        Column(">want more", lambda tracker: tracker.hungry, drop=4),
        Column(">changes", lambda tracker: found.counts[tracker.id]),
    ]
    print_table(table, found.decision.trackers)
    for note in found.notes:
        out(f"note: {note}")
    for line in found.told:
        out(f"As the running daemon was told: {line}.")
    if found.undecided:
        who = counted(found.undecided, "torrent")
        out(f"Left out: {who}; the process for patterns with look-around gave no answer. Try again.")
    out()
    if found.refused:
        out(f"Nothing would be written: {found.refused}")
        return
    if not plan.changes:
        out("The next cycle would change nothing.")
        return
    out(f"The next cycle would change {counted(len(plan.changes), 'limit')} in {counted(len(plan.writes), 'call')}:")
    changes: list[Column[Change]] = [
        Column("torrent", lambda change: found.names.get(change.hash, _GONE), least=30),
        Column(">now", lambda change: speed(change.old)),
        Column("", lambda _: "→"),
        Column(">then", lambda change: speed(change.new)),
        Column("why", lambda change: _why(found, change), least=40, beneath=True),
    ]
    if any(change.instance for change in found.shown):
        changes.insert(0, Column("on", lambda change: change.instance))
    print_table(changes, found.shown)
    if (left := len(plan.changes) - len(found.shown)) > 0:
        out(f"… and {left} more (--limit, or --json for all)")
    if plan.deferred:
        out(f"{counted(plan.deferred, 'change')} would wait for later cycles (max_api_calls_per_cycle).")
    if found.paused is not None:
        out(f"But Qguardarr is paused ({clean(found.paused, LONGEST)}): nothing is written until `qguardarr resume`.")
    elif dry_run:
        out("But global.dry_run is on: nothing is written until it is switched off.")
