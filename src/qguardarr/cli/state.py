"""`status` and `history`: what the daemon does, and what it did."""

from __future__ import annotations

import re
import sys
import time
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer

from qguardarr.cli.common import (
    DEFAULT_CONFIG,
    AsJson,
    ConfigPath,
    config_at,
    counted,
    duration,
    journal_of,
    journal_path,
    limit_json,
    moment,
    print_json,
    print_table,
    speed,
)
from qguardarr.errors import ConfigError, JournalError
from qguardarr.exits import Exit, report

if TYPE_CHECKING:
    from qguardarr.service.status import Status

_HASH: Final = re.compile(r"[0-9a-f]{40}")


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What `status` says."""

    running: bool
    stale_s: float | None
    """Seconds since the last cycle ended, if that is too long; None if it is not."""
    paused: str | None
    daemon: Status | None
    """What the daemon published last."""

    @property
    def unseen(self) -> bool:
        """Whether the daemon's picture is older than the pause, or than its end."""
        if self.daemon is None or self.daemon.state in ("starting", "failing"):
            return False
        return self.paused != (self.daemon.problem if self.daemon.state == "paused" else None)

    @property
    def well(self) -> bool:
        """Whether a daemon runs, and nothing is wrong with it."""
        return (
            self.running
            and self.stale_s is None
            and self.daemon is not None
            and self.daemon.state != "failing"
            and not self.daemon.reload_error
            and not self.daemon.troubles
        )


def status(config: ConfigPath = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Show what the daemon does, and what is wrong.

    Exit code 1 if no daemon runs or something is wrong. A pause is nothing wrong.
    """
    from qguardarr.adapters.statusfile import daemon_runs, read_status, status_path
    from qguardarr.service.health import longest_silence_s

    loaded = config_at(config, "rollback")
    path, paused, lost = journal_path(loaded), None, None
    try:
        with journal_of(loaded) as journal:
            paused = None if journal is None else journal.paused()
    except JournalError as error:
        lost = error
    running, daemon = daemon_runs(path), read_status(status_path(path))
    silent_s = abs(time.time() - daemon.at) if daemon is not None else 0.0
    too_long = daemon is not None and silent_s > longest_silence_s(daemon)
    found = Report(running=running, stale_s=silent_s if running and too_long else None, paused=paused, daemon=daemon)
    if as_json:
        print_json(found)
    else:
        _print(found)
    if lost is not None:
        sys.exit(report(lost))
    sys.exit(Exit.OK if found.well else Exit.INCOMPLETE)


def _print(found: Report) -> None:
    daemon = found.daemon
    if not found.running:
        print(f"No daemon runs.{_last_seen(daemon)}")
    elif daemon is None:
        print("A daemon has just been started.")
    else:
        _print_running(daemon, found)
    if found.paused is not None:
        print(f"Paused: {found.paused}. Nothing is written until `qguardarr resume`.")
    if daemon is not None and found.running:
        _print_details(daemon, found)


def _last_seen(daemon: Status | None) -> str:
    if daemon is None:
        return " `qguardarr serve` starts one."
    if daemon.ended_at is not None:
        return f" The last one ended at {moment(daemon.ended_at)}."
    return f" The last one (pid {daemon.pid}) died without a word after {moment(daemon.at)}."


def _print_running(daemon: Status, found: Report) -> None:
    from qguardarr.service.health import login_outlook

    words = {
        "starting": "is starting: qBittorrent has not answered yet",
        "holding": "holds the caps",
        "observing": "only observes (global.dry_run): it decides, and writes nothing",
        "paused": "is paused",
        "failing": "cannot work at the moment; limits stay as they are",
    }
    doing = words.get(daemon.state, daemon.state)
    if found.unseen and found.paused is None:
        doing = "goes on with its next cycle: the pause is over"
    elif found.unseen and daemon.state != "paused":
        doing = "has not seen the pause yet, and pauses with its next cycle"
    print(f"Qguardarr {daemon.version} (pid {daemon.pid}) {doing}.")
    if found.stale_s is not None:
        print(
            f"But it last wrote its status {duration(found.stale_s)} ago: it waits for qBittorrent's answer, or hangs, "
            "or cannot write to its folder."
        )
    if daemon.state == "failing":
        since = f", for {duration(time.time() - daemon.problem_since)}" if daemon.problem_since else ""
        print(f"Problem{since}: {daemon.problem}")
        if daemon.login_pause is not None:
            outlook = login_outlook(daemon.login_pause, time.time())
            print(f"{outlook[0].upper()}{outlook[1:]}.")
    if daemon.reload_error:
        print("The configuration was changed, but has faults; the old one stays in force:")
        print("\n".join(f"  {line}" for line in daemon.reload_error.splitlines()))
    for trouble in daemon.troubles:
        print(f"Trouble: {trouble}")


def _print_details(daemon: Status, found: Report) -> None:
    now = time.time()
    print()
    print(f"Configuration  {daemon.config_path}, looks every {daemon.interval_s:g} s")
    version = (
        f"qBittorrent {daemon.qbittorrent_version}" if daemon.qbittorrent_version else "qBittorrent, not reached yet"
    )
    breaker = "" if daemon.breaker == "closed" else f" (left alone after failures: {daemon.breaker})"
    print(f"Connection     {version} at {daemon.qbittorrent_url}{breaker}")
    print(
        f"Since start    {duration(now - daemon.started_at)}: {counted(daemon.cycle, 'cycle')}, "
        f"{counted(daemon.reads, 'read')}, {counted(daemon.written_limits, 'limit')} written in "
        f"{counted(daemon.written_calls, 'call')}"
    )
    when = " at its last look" if found.unseen else ""
    waiting = ""
    if daemon.deferred and daemon.state == "holding" and not found.unseen:
        waiting = f", {counted(daemon.deferred, 'change waits', 'changes wait')} for the next cycle"
    print(f"Torrents       {daemon.torrents}, {daemon.limited} of them with a limit of ours{when}{waiting}")
    if daemon.rollout_percentage != 100:
        print(f"Rollout        only {daemon.rollout_percentage} % of the torrents are managed")
    if daemon.set_by_hand:
        print(f"By hand        {counted(daemon.set_by_hand, 'limit')} set in qBittorrent since the start")
    if daemon.set_by_program:
        print(f"By a program   {counted(daemon.set_by_program, 'limit')} set since the start, and not kept")
    if daemon.flushed:
        print(f"Saved quota    of {counted(daemon.flushed, 'torrent')} was flushed since the start")
    if daemon.dry_run:
        print(f"Dry run        {counted(daemon.planned + daemon.deferred, 'limit')} would be changed now")
    for note in daemon.notes:
        print(f"Note           {note}")
    if daemon.trackers:
        print()
        heads = ("tracker", ">cap", ">in effect", ">10 s", ">60 s", ">torrents", ">active", ">want more", ">over cap")
        rows = (
            (
                row.id,
                speed(row.cap) if row.override_until is None else f"* {speed(row.cap)}",
                speed(row.effective),
                speed(row.rate_10s),
                speed(row.rate_60s),
                str(row.torrents),
                str(row.active),
                str(row.hungry),
                duration(row.over_cap_s) if row.cap is not None else "-",
            )
            for row in daemon.trackers
        )
        print_table(heads, rows)
    for row in daemon.trackers:
        if row.override_until is not None:
            print(f"* {row.id}: {speed(row.cap)} instead of {speed(row.configured)} until {moment(row.override_until)}")


class HistoryRow(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the journal. Limits in bytes/s; None is unlimited."""

    id: int
    at: float
    hash: str
    old: int | None
    new: int | None
    status: str
    reason: str


def history(
    config: ConfigPath = DEFAULT_CONFIG,
    torrent: Annotated[str | None, typer.Option("--hash", help="Only this torrent.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Most lines.")] = 50,
    before: Annotated[int | None, typer.Option(help="Only lines with a smaller number, to page back.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show what was written, newest first."""
    name = None if torrent is None else torrent.lower()
    if name is not None and not _HASH.fullmatch(name):
        raise ConfigError("--hash: must be a whole hash, of 40 digits, as qBittorrent and `history` show it")
    loaded = config_at(config, "rollback")
    with journal_of(loaded) as journal:
        entries = [] if journal is None else journal.history(hash=name, limit=limit, before_id=before)
    rows = [
        HistoryRow(
            id=entry.id,
            at=entry.at,
            hash=entry.hash,
            old=limit_json(entry.old),
            new=limit_json(entry.new),
            status=entry.status,
            reason=entry.reason,
        )
        for entry in entries
    ]
    if as_json:
        print_json(rows)
    elif not rows:
        where = "" if torrent is None else " to that torrent"
        print(f"Nothing was written{where} {'yet' if before is None else 'before that'}.")
    else:
        print_table(
            (">number", "when", "torrent", ">from", "", ">to", "what became of it", "why"),
            ((str(r.id), moment(r.at), r.hash, speed(r.old), "→", speed(r.new), r.status, r.reason) for r in rows),
        )
