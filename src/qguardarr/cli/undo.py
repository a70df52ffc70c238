"""`rollback`, `reset`, `pause`, `resume`: restore limits, and stop and start writing; also beside a daemon."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer

from qguardarr.cli.common import (
    DEFAULT_CONFIG,
    AsJson,
    ConfigPath,
    client_for,
    config_at,
    counted,
    journal_of,
    journal_path,
    speed,
    whole_hash,
)
from qguardarr.cli.terminal import Advance, confirmed, out, print_json, progress, say
from qguardarr.core.units import limit_or_none
from qguardarr.errors import ConfigError, JournalError
from qguardarr.exits import Exit

if TYPE_CHECKING:
    from qguardarr.adapters.qbittorrent import QBittorrentClient
    from qguardarr.adapters.sqlite.journal import SqliteJournal
    from qguardarr.config import Config
    from qguardarr.engine.rollback import RollbackReport

Restore = Callable[["QBittorrentClient", "SqliteJournal", "Advance"], "RollbackReport"]
_SHOWN: Final = 20
_LONGEST_REASON: Final = 200
"""Characters, as in the API."""
_SECTIONS: Final = ("qbittorrent", "rollback")
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """The result for each torrent, by hash."""

    restored: tuple[str, ...] = ()
    already_original: tuple[str, ...] = ()
    set_by_hand: dict[str, int | None] = {}
    """Limits that a person set in the meantime, and that stay, bytes/s; None is unlimited."""
    gone: tuple[str, ...] = ()
    """Not in qBittorrent; kept in the journal in case they return."""
    failed: dict[str, str] = {}
    """Reason by hash; kept in the journal for the next attempt."""
    unknown: tuple[str, ...] = ()
    """Requested, but not limited by us."""
    unnoted: tuple[str, ...] = ()
    """Restored in qBittorrent, but not recorded in the journal."""
    unnoted_why: str = ""
    paused: bool
    """Whether writing is paused now."""


def rollback(config: ConfigPath = DEFAULT_CONFIG, yes: Yes = False, as_json: AsJson = False) -> None:
    """Restore every torrent's own limit, and pause.

    The pause survives restarts and ends with `resume`. Works with and without a running daemon.
    """
    from qguardarr.engine import rollback as service

    def restore(client: QBittorrentClient, journal: SqliteJournal, advance: Advance) -> RollbackReport:
        return service.rollback(client, journal, progress=advance)

    question = "Give {limits} back, and pause Qguardarr?"
    _restore(config_at(config, *_SECTIONS), restore, question, yes=yes, as_json=as_json)


def reset(
    hashes: Annotated[
        list[str] | None,
        typer.Argument(metavar="HASH", help="Hashes, or their first digits. Default: all."),
    ] = None,
    config: ConfigPath = DEFAULT_CONFIG,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Restore torrents' own limits, without a pause.

    A running daemon decides again at its next cycle.
    """
    from qguardarr.engine import rollback as service

    def restore(client: QBittorrentClient, journal: SqliteJournal, advance: Advance) -> RollbackReport:
        wanted = [whole_hash(journal, given) for given in hashes or ()]
        return service.reset(client, journal, wanted or None, progress=advance)

    question = "Give {limits} back?"
    _restore(config_at(config, *_SECTIONS), restore, question, yes=yes or bool(hashes), as_json=as_json)


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
            raise JournalError(f"journal {config.rollback.database_path}: it is not there: nothing has run with it yet")
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


def _restore(config: Config, restore: Restore, question: str, *, yes: bool, as_json: bool) -> None:
    with journal_of(config, last_resort=True) as journal:
        if journal is not None and (problem := journal.holding()):
            raise JournalError(problem)
        if journal is None or not (journal.has_begun() or journal.touched()):
            _refuse_lost_journal(config)
        if journal is None:
            if as_json:
                print_json(Restored(paused=False))
            else:
                out(f"There is no journal at {config.rollback.database_path}: no limit was ever changed with it.")
            return
        if not yes:
            count = len(journal.touched())
            _confirm(question.format(limits=counted(count, "torrent its own limit", "torrents their own limits")))
        with client_for(config) as client, progress("restoring", unit="torrents") as advance:
            try:
                report = restore(client, journal, advance)
            except KeyboardInterrupt:
                say("Interrupted. What was restored is noted; the rest stays for the next attempt.")
                raise
        paused = journal.paused() is not None
    found = _described(report, paused=paused)
    if as_json:
        print_json(found)
    else:
        _print(found)
    sys.exit(Exit.INCOMPLETE if found.failed or found.unknown or found.unnoted else Exit.OK)


def _refuse_lost_journal(config: Config) -> None:
    """Raise `JournalError` if limits in qBittorrent show that there was a journal before."""
    from qguardarr.adapters.keys import FILE_NAME
    from qguardarr.engine.safety import LEAST, refuse_limits_of_ours

    path = config.rollback.database_path
    has_key = (path.parent / FILE_NAME).exists()  # `api-key` makes it, too: by itself it says nothing
    with client_for(config) as client:
        limits = [torrent.up_limit for torrent in client.observe().torrents.values()]
    try:
        refuse_limits_of_ours(limits, least=1 if has_key else LEAST)
    except JournalError as error:
        looked = dict.fromkeys(map(str, (path, *config.rollback.former_paths)))
        raise JournalError(f"{error.reason} (looked for it at {', '.join(looked)})", hint=error.hint) from None


def _confirm(question: str) -> None:
    if not sys.stdin.isatty():
        raise ConfigError("nobody is there to be asked", hint="add --yes")
    if not confirmed(question):
        say("Nothing was done.")
        sys.exit(Exit.INCOMPLETE)


def _described(report: RollbackReport, *, paused: bool) -> Restored:
    return Restored(
        restored=report.restored,
        already_original=report.already_original,
        set_by_hand={name: limit_or_none(limit) for name, limit in report.by_hand.items()},
        gone=report.gone,
        failed=report.failed,
        unknown=report.untouched,
        unnoted=report.unnoted,
        unnoted_why=report.unnoted_why,
        paused=paused,
    )


def _print(found: Restored) -> None:
    if found.restored:
        have = counted(len(found.restored), "torrent has its own limit", "torrents have their own limits")
        out(f"{have} back, read back from qBittorrent.")
    elif not (found.already_original or found.set_by_hand or found.gone or found.unknown or found.failed):
        out("No torrent had a limit of ours: there was nothing to restore.")
    if found.already_original:
        out(f"{counted(len(found.already_original), 'torrent had its own', 'torrents had their own')} already.")
    if found.set_by_hand:
        out(f"{counted(len(found.set_by_hand), 'limit')} set by hand meanwhile, and left so:")
        _print_some([f"{name}  {speed(limit)}" for name, limit in found.set_by_hand.items()])
    if found.gone:
        out(f"{counted(len(found.gone), 'torrent')} not in qBittorrent any more; noted in case of a return.")
    if found.unknown:
        out(f"{counted(len(found.unknown), 'torrent has', 'torrents have')} no limit of Qguardarr's to take back:")
        _print_some(list(found.unknown))
    if found.failed:
        out(f"{counted(len(found.failed), 'torrent')} could not be restored; noted for the next attempt:")
        _print_some(
            [f"{counted(count, 'torrent')}: {why}" for why, count in Counter(found.failed.values()).most_common()]
        )
    if found.unnoted:
        out(
            f"{counted(len(found.unnoted), 'of these torrents', 'of these torrents')} could not be noted as restored: "
            f"{found.unnoted_why}. Free some space, and run `qguardarr rollback` again."
        )
    if found.paused:
        out("Qguardarr is paused, over restarts too, until `qguardarr resume`.")


def _print_some(lines: list[str]) -> None:
    for line in lines[:_SHOWN]:
        out(f"  {line}")
    if len(lines) > _SHOWN:
        out(f"  … and {len(lines) - _SHOWN} more")
