"""`rollback`, `reset`, `pause`, `resume`: restore limits, and stop and start writing; also beside a daemon."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer

from qguardarr.cli.opening import (
    clients_for,
    config_at,
    journal_of,
    journal_path,
    no_journal,
    targets_of,
    whole_hash,
)
from qguardarr.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, InstanceName, Yes
from qguardarr.cli.terminal import Advance, confirm, out, print_json, progress, say
from qguardarr.cli.text import counted, speed
from qguardarr.core.units import limit_or_none
from qguardarr.errors import ConfigError, JournalError
from qguardarr.exits import Exit

if TYPE_CHECKING:
    from qguardarr.adapters.sqlite.journal import SqliteJournal
    from qguardarr.config import Config
    from qguardarr.engine.restoring import RollbackReport
    from qguardarr.engine.rollback import Target

_SHOWN: Final = 20
_LONGEST_REASON: Final = 200
"""Characters, as in the API."""
_SECTIONS: Final = ("qbittorrent", "rollback")


def rollback(
    config: ConfigPath = DEFAULT_CONFIG,
    instance: InstanceName = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Restore every torrent's own limit, and pause.

    The pause survives restarts and ends with `resume`. Works with and without a running daemon.
    """
    from qguardarr.engine import rollback as service

    question = "Give {limits} back, and pause Qguardarr?"

    def restore(targets: Sequence[Target], _journal: SqliteJournal, *, progress: Advance) -> RollbackReport:
        return service.rollback_all(targets, progress=progress)

    _restore(config_at(config, *_SECTIONS), instance, restore, question, yes=yes, as_json=as_json)


def reset(
    hashes: Annotated[
        list[str] | None,
        typer.Argument(metavar="HASH", help="Hashes, or their first digits. Default: all."),
    ] = None,
    config: ConfigPath = DEFAULT_CONFIG,
    instance: InstanceName = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Restore torrents' own limits, without a pause.

    A running daemon decides again at its next cycle.
    """
    from qguardarr.engine import rollback as service

    def restore(targets: Sequence[Target], journal: SqliteJournal, *, progress: Advance) -> RollbackReport:
        wanted = [whole_hash(journal, given) for given in hashes or ()]
        owners = [target for target in targets if target.journal.touched(wanted)] if wanted else []
        if len(owners) > 1 and len(wanted) == 1 and instance is None:
            names = ", ".join(target.name for target in owners)
            raise ConfigError(f"several qBittorrents have this torrent: {names}", hint="give --instance")
        return service.reset_all(owners or targets, wanted or None, progress=progress)

    question = "Give {limits} back?"
    _restore(config_at(config, *_SECTIONS), instance, restore, question, yes=yes or bool(hashes), as_json=as_json)


def pause(
    config: ConfigPath = DEFAULT_CONFIG,
    reason: Annotated[str, typer.Option(help="Shown by `status`.")] = "by hand",
    as_json: AsJson = False,
) -> None:
    """Stop writing to qBittorrent until `resume`.

    The pause survives restarts. Limits in force stay as they are.
    """
    if len(reason) > _LONGEST_REASON:
        raise ConfigError(f"--reason: has {len(reason)} characters; {_LONGEST_REASON} are the most")
    _set_paused(config_at(config, "rollback"), reason)
    if as_json:
        print_json({"paused": reason})
    else:
        out("Paused: limits stay as they are until `resume`.")


def resume(config: ConfigPath = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """End a pause.

    A running daemon holds the caps again from its next cycle.
    """
    loaded = config_at(config, "rollback")
    before = _set_paused(loaded, None)
    if as_json:
        print_json({"paused": None})
    else:
        out(f"{'Nothing was paused' if before is None else 'Resumed'}: {_doing(loaded, resumed=before is not None)}")


def _set_paused(config: Config, reason: str | None) -> str | None:
    """Set or end the pause; return the reason of the one before."""
    with journal_of(config, last_resort=reason is not None) as journal:
        if journal is None:
            raise no_journal(config)
        before = journal.paused()
        journal.set_paused(reason)
    return before


def _doing(config: Config, *, resumed: bool) -> str:
    """Describe a daemon that is not paused."""
    from qguardarr.adapters.statusfile import daemon_runs, read_status, status_path

    path = journal_path(config)
    if not daemon_runs(path):
        return "no daemon runs; `qguardarr serve` starts one."
    daemon = read_status(status_path(path))
    if daemon is not None and daemon.dry_run:
        return "the daemon only observes (global.dry_run); it decides, and writes nothing."
    if daemon is not None and daemon.state == "failing":
        return "the daemon cannot work at the moment; `qguardarr status` says why."
    return f"the daemon holds the caps{' from its next cycle on' if resumed else ''}."


def _restore(
    config: Config,
    instance: str | None,
    restore: Callable[..., RollbackReport],
    question: str,
    *,
    yes: bool,
    as_json: bool,
) -> None:
    from qguardarr.engine.restoring import RollbackReport

    with journal_of(config, last_resort=True, check=True) as journal:
        if journal is not None and (problem := journal.holding()):
            raise JournalError(problem)
        if journal is None or not (journal.has_begun() or journal.originals()):
            _refuse_lost_journal(config)
        if journal is None:
            if as_json:
                print_json(_as_json(RollbackReport(), paused=False))
            else:
                out(f"There is no journal at {config.rollback.database_path}: no limit was ever changed with it.")
            return
        if not yes:
            count = len(journal.of(instance).touched()) if instance else journal.originals()
            confirm(question.format(limits=counted(count, "torrent its own limit", "torrents their own limits")))
        with clients_for(config, instance=instance) as clients, progress("restoring", unit="torrents") as advance:
            try:
                report = restore(targets_of(journal, clients, config), journal, progress=advance)
            except KeyboardInterrupt:
                say("Interrupted. What was restored is noted; the rest stays for the next attempt.")
                raise
        paused = journal.paused() is not None
        left = {} if instance else {name: n for name, n in journal.instances().items() if name not in clients}
    if as_json:
        print_json(_as_json(report, paused=paused))
    else:
        _print(report, paused=paused)
    for name, count in left.items():
        whom = f"the qBittorrent {name!r}" if name else "the qBittorrent that had no name"
        limits = counted(count, "limit")
        named = name or "''"
        gone = f"or `qguardarr forget --instance {named}` if it is gone for good"
        say(f"warning: {limits} left at {whom}, which is not in the file; put it back, and try again, {gone}")
    sys.exit(Exit.INCOMPLETE if report.failed or report.untouched or report.unnoted or left else Exit.OK)


def _refuse_lost_journal(config: Config) -> None:
    """Raise `JournalError` if limits in qBittorrent show that there was a journal before."""
    from qguardarr.adapters.keys import FILE_NAME
    from qguardarr.engine.safety import LEAST, refuse_limits_of_ours

    path = config.rollback.database_path
    has_key = (path.parent / FILE_NAME).exists()  # `api-key` makes it, too: by itself it says nothing
    with clients_for(config) as clients:
        seen = [client.observe().torrents.values() for client in clients.values()]
        limits = [torrent.up_limit for torrents in seen for torrent in torrents]
    try:
        refuse_limits_of_ours(limits, least=1 if has_key else LEAST)
    except JournalError as error:
        looked = dict.fromkeys(map(str, (path, *config.rollback.former_paths)))
        raise JournalError(f"{error.reason} (looked for it at {', '.join(looked)})", hint=error.hint) from None


def _as_json(report: RollbackReport, *, paused: bool) -> dict[str, object]:
    """Return the outcome for each torrent, by hash, and whether writing is paused now. A limit of None is unlimited."""
    return {
        "restored": report.restored,
        "already_original": report.already_original,
        "set_by_hand": {name: limit_or_none(limit) for name, limit in report.by_hand.items()},
        "gone": report.gone,
        "failed": report.failed,
        "unknown": report.untouched,
        "unnoted": report.unnoted,
        "unnoted_why": report.unnoted_why,
        "paused": paused,
    }


def _print(report: RollbackReport, *, paused: bool) -> None:
    if report.restored:
        have = counted(len(report.restored), "torrent has its own limit", "torrents have their own limits")
        out(f"{have} back, read back from qBittorrent.")
    elif not (report.already_original or report.by_hand or report.gone or report.untouched or report.failed):
        out("No torrent had a limit of ours: there was nothing to restore.")
    if report.already_original:
        out(f"{counted(len(report.already_original), 'torrent had its own', 'torrents had their own')} already.")
    if report.by_hand:
        out(f"{counted(len(report.by_hand), 'limit')} set by hand meanwhile, and left so:")
        _print_some([f"{name}  {speed(limit)}" for name, limit in report.by_hand.items()])
    if report.gone:
        out(f"{counted(len(report.gone), 'torrent')} not in qBittorrent any more; noted in case of a return.")
    if report.untouched:
        out(f"{counted(len(report.untouched), 'torrent has', 'torrents have')} no limit of Qguardarr's to take back:")
        _print_some(report.untouched)
    if report.failed:
        out(f"{counted(len(report.failed), 'torrent')} could not be restored; noted for the next attempt:")
        reasons = Counter(report.failed.values()).most_common()
        _print_some([f"{counted(count, 'torrent')}: {why}" for why, count in reasons])
    if report.unnoted:
        out(
            f"{len(report.unnoted)} of these torrents could not be noted as restored: {report.unnoted_why}. Free some "
            "space, and run `qguardarr rollback` again."
        )
    if paused:
        out("Qguardarr is paused, over restarts too, until `qguardarr resume`.")


def _print_some(lines: Sequence[str]) -> None:
    for line in lines[:_SHOWN]:
        out(f"  {line}")
    if len(lines) > _SHOWN:
        out(f"  … and {len(lines) - _SHOWN} more")
