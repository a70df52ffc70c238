"""`status` and `health`: the state of the daemon, and its errors."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import msgspec

from qguardarr.cli.opening import config_at, journal_of, journal_path
from qguardarr.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath
from qguardarr.cli.tables import Column, print_table
from qguardarr.cli.terminal import out, print_json
from qguardarr.cli.text import LONGEST, clean, counted, duration, moment, speed
from qguardarr.core.units import format_size
from qguardarr.errors import Busy, JournalError
from qguardarr.exits import Exit, report

if TYPE_CHECKING:
    from qguardarr.engine.instance_row import InstanceRow
    from qguardarr.engine.status import QuotaRow, Status
    from qguardarr.engine.tree_rows import Row


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The result of `status`."""

    running: bool
    stale_s: float | None
    """Seconds since the last cycle ended, if that is overdue; else None."""
    paused: str | None
    daemon: Status | None
    """The status that the daemon published last."""

    @property
    def unseen(self) -> bool:
        """Whether the published status is older than the start or the end of a pause."""
        if self.daemon is None or self.daemon.state in ("starting", "waiting", "failing"):
            return False
        return self.paused != (self.daemon.problem if self.daemon.state == "paused" else None)

    @property
    def well(self) -> bool:
        """Whether a daemon runs, and nothing is wrong with it."""
        return (
            self.running
            and self.stale_s is None
            and self.daemon is not None
            and self.daemon.state not in ("waiting", "failing")
            and not self.daemon.reload_error
            and not self.daemon.troubles
        )


def status(config: ConfigPath = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Show the state of the daemon, caps, rates and errors.

    Exit code 1 if no daemon runs or something is wrong. A pause is not wrong.
    """
    from qguardarr.adapters.statusfile import daemon_runs, read_status, status_path
    from qguardarr.engine.health import longest_silence_s

    loaded = config_at(config, "rollback")
    path, paused, lost = journal_path(loaded), None, None
    try:
        with journal_of(loaded) as journal:
            paused = None if journal is None else journal.paused()
    except (JournalError, Busy) as error:
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


def health(config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Ask the daemon whether caps are held; needs no key.

    For the health check of a container: exit code 0 if they are, or deliberately not (paused, dry run), else 1.
    """
    from qguardarr import probe

    sys.exit(probe.health(config))


def _print(found: Report) -> None:
    daemon = found.daemon
    if not found.running:
        out(f"No daemon runs.{_last_seen(daemon)}")
    elif daemon is None:
        out("A daemon has just been started.")
    else:
        _print_running(daemon, found)
    if found.paused is not None:
        out(f"Paused: {clean(found.paused, LONGEST)}. Nothing is written until `qguardarr resume`.")
    if daemon is not None and found.running:
        _print_details(daemon, found)


def _last_seen(daemon: Status | None) -> str:
    if daemon is None:
        return " `qguardarr serve` starts one."
    if daemon.ended_at is not None:
        return f" The last one ended at {moment(daemon.ended_at)}."
    return f" The last one (pid {daemon.pid}) died without a word after {moment(daemon.at)}."


def _print_running(daemon: Status, found: Report) -> None:
    from qguardarr.engine.health import login_outlook

    words = {
        "starting": "is starting: qBittorrent has not answered yet",
        "waiting": "waits: the configuration does not say where qBittorrent is",
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
    out(f"Qguardarr {daemon.version} (pid {daemon.pid}) {doing}.")
    if found.stale_s is not None:
        out(
            f"But it last wrote its status {duration(found.stale_s)} ago: it waits for qBittorrent's answer, or hangs, "
            "or cannot write to its folder."
        )
    if daemon.state == "failing":
        since = f", for {duration(time.time() - daemon.problem_since)}" if daemon.problem_since else ""
        out(f"Problem{since}: {clean(daemon.problem, LONGEST)}")
        if daemon.login_pause is not None:
            outlook = login_outlook(daemon.login_pause, time.time())
            out(f"{outlook[0].upper()}{outlook[1:]}.")
    if daemon.next_step:
        out(f"Next: {daemon.next_step}")
    if daemon.reload_error:
        out("The configuration was changed, but has faults; the old one stays in force:")
        for line in daemon.reload_error.split("\n"):
            out(f"  {line}")
    for trouble in daemon.troubles:
        out(f"Trouble: {trouble}")


def _print_details(daemon: Status, found: Report) -> None:
    now = time.time()
    out()
    out(f"Configuration  {daemon.config_path}, looks every {daemon.interval_s:g} s")
    version = (
        f"qBittorrent {daemon.qbittorrent_version}" if daemon.qbittorrent_version else "qBittorrent, not reached yet"
    )
    breaker = "" if daemon.breaker == "closed" else f" (left alone after failures: {daemon.breaker})"
    where = f" at {daemon.qbittorrent_url}" if daemon.qbittorrent_url else ""
    if len(daemon.instances) > 1:
        for one in daemon.instances:
            out(f"{one.name:<14} {_instance_words(one)}")
    else:
        out(f"Connection     {version}{where}{breaker}")
    out(
        f"Since start    {duration(now - daemon.started_at)}: {counted(daemon.cycle, 'cycle')}, "
        f"{counted(daemon.reads, 'read')}, {counted(daemon.written_limits, 'limit')} written in "
        f"{counted(daemon.written_calls, 'call')}"
    )
    when = " at its last look" if found.unseen else ""
    waiting = ""
    if daemon.deferred and daemon.state == "holding" and not found.unseen:
        waiting = f", {counted(daemon.deferred, 'change waits', 'changes wait')} for the next cycle"
    out(f"Torrents       {daemon.torrents}, {daemon.limited} of them with a limit of ours{when}{waiting}")
    if daemon.rollout_percentage != 100:
        out(f"Rollout        only {daemon.rollout_percentage} % of the torrents are managed")
    if daemon.set_by_hand:
        out(f"By hand        {counted(daemon.set_by_hand, 'limit')} set in qBittorrent since the start")
    if daemon.set_by_program:
        out(f"By a program   {counted(daemon.set_by_program, 'limit')} set since the start, and not kept")
    if daemon.flushed:
        out(f"Saved quota    of {counted(daemon.flushed, 'torrent')} was flushed since the start")
    if daemon.dry_run:
        out(f"Dry run        {counted(daemon.planned + daemon.deferred, 'limit')} would be changed now")
    for note in daemon.notes:
        out(f"Note           {note}")
    if daemon.trackers:
        from qguardarr.engine.tree_rows import in_tree

        out()
        rows = list(in_tree(daemon.trackers, daemon.parents))
        table: list[Column[tuple[int, Row]]] = [
            Column("tracker", lambda at: f"{'  ' * at[0]}{_name(at[1])}", least=16),
            Column(">cap", lambda at: f"{'* ' if _is_moved(at[1]) else ''}{speed(at[1].cap)}"),
            Column(">in effect", lambda at: speed(at[1].effective), drop=2),
            Column(">10 s", lambda at: speed(at[1].rate_10s)),
            Column(">60 s", lambda at: speed(at[1].rate_60s), drop=1),
            Column(">torrents", lambda at: at[1].torrents, drop=3),
            Column(">active", lambda at: at[1].active, drop=4),
            Column(">want more", lambda at: at[1].hungry, drop=5),
            Column(">over cap", lambda at: "-" if at[1].cap is None else duration(at[1].over_cap_s)),
        ]
        print_table(table, rows)
    groups: list[Row] = [*daemon.trackers, *daemon.parents]
    for row in filter(_is_moved, groups):
        until = "" if row.cap_until is None else f" until {moment(row.cap_until)}"
        was = "" if row.cap == row.configured else f" instead of {speed(row.configured)}"
        out(f"* {_name(row)}: {speed(row.cap)}{was}{until} ({row.cap_reason})")
    for row in groups:
        if row.quota is not None:
            out(f"  {_name(row)}: {_quota_words(row.quota)}")


def _quota_words(quota: QuotaRow) -> str:
    """Return a quota as a sentence."""
    forecast = ""
    if quota.forecast is not None:
        forecast = f"; {format_size(quota.forecast)} by then if it goes on as so far"
    return f"{format_size(quota.used)} of {format_size(quota.bytes)} used until {moment(quota.end)}{forecast}"


def _name(row: Row) -> str:
    return row.id or "(line)"


def _is_moved(row: Row) -> bool:
    """Return whether another cap than the configured one is in force."""
    return row.cap_reason != "configured"


def _instance_words(row: InstanceRow) -> str:
    version = f"qBittorrent {row.version}" if row.version else "qBittorrent, not reached yet"
    breaker = "" if row.breaker == "closed" else f" (left alone after failures: {row.breaker})"
    state = f"{counted(row.torrents, 'torrent')}, {row.limited} with a limit of ours"
    if row.state == "away":
        since = "" if row.away_since is None else f" for {duration(time.time() - row.away_since)}"
        state = f"away{since}: {clean(row.problem, LONGEST)}"
    return f"{version} at {row.url}{breaker}; {state}"
