"""`history`: the limits that were written, from the journal."""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer

from qguardarr.cli.opening import clients_for, config_at, journal_of, sections_at, whole_hash
from qguardarr.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, InstanceName
from qguardarr.cli.tables import Column, print_table
from qguardarr.cli.terminal import out, print_json, say
from qguardarr.cli.text import speed
from qguardarr.core.units import limit_or_none
from qguardarr.errors import AuthRejected, Banned, ClientError, ConfigError

if TYPE_CHECKING:
    from qguardarr.config import Config
    from qguardarr.engine.ports import HistoryEntry

_HASH: Final = re.compile(r"[0-9a-f]{1,40}")
_HASH_DIGITS: Final = 10
"""Shown in a table; `--hash` and `reset` accept the beginning of a hash."""
_NAMES_TIMEOUT_S: Final = 2.0


def history(
    config: ConfigPath = DEFAULT_CONFIG,
    torrent: Annotated[str | None, typer.Option("--hash", help="Only this torrent; its first digits will do.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Most lines.")] = 50,
    instance: InstanceName = None,
    before: Annotated[int | None, typer.Option(help="Only lines with a smaller number, to page back.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the limits that were written, newest first.

    With the torrents' names if qBittorrent answers at once; --json has whole hashes instead.
    """
    if torrent is not None and not _HASH.fullmatch(torrent.lower()):
        raise ConfigError("--hash: must be a hash as qBittorrent and `history` show it, or how one begins")
    from qguardarr.engine.ports import HistoryFilter

    loaded = config_at(config, "rollback")
    with journal_of(loaded) as journal:
        name = None if torrent is None or journal is None else whole_hash(journal, torrent)
        wanted = HistoryFilter(instance=instance)
        lines = (
            [] if journal is None else journal.of_all().history(hash=name, limit=limit, before_id=before, wanted=wanted)
        )
    if as_json:
        rows = map(msgspec.structs.asdict, lines)
        print_json([row | {side: limit_or_none(row[side]) for side in ("old", "new")} for row in rows])
    elif not lines:
        where = "" if torrent is None else " to that torrent"
        out(f"Nothing was written{where} {'yet' if before is None else 'before that'}.")
    else:
        _print_history(lines, _names(config, loaded, {line.hash for line in lines}))


def _names(path: Path, loaded: Config, hashes: Collection[str]) -> dict[str, str]:
    """Return the torrents' names; empty if qBittorrent does not answer at once.

    It is asked only if it accepts the daemon's login, since each failed login brings its ban nearer.
    """
    from qguardarr.adapters.statusfile import read_status, status_path

    daemon = read_status(status_path(loaded.rollback.database_path))
    found = sections_at(path, "qbittorrent")
    let_in = daemon is not None and daemon.qbittorrent_version and daemon.problem_kind not in ("AuthRejected", "Banned")
    if found is None or not let_in:
        return {}
    try:
        with clients_for(found.config, timeout_s=_NAMES_TIMEOUT_S) as clients:
            return {name: text for client in clients.values() for name, text in client.names(list(hashes)).items()}
    except (AuthRejected, Banned):
        say("note: no names, since qBittorrent refuses the login (`qguardarr check --connect` says why)")
    except (ClientError, ConfigError):
        pass  # the hashes tell as much
    return {}


def _print_history(lines: Sequence[HistoryEntry], names: Mapping[str, str]) -> None:
    table: list[Column[HistoryEntry]] = [
        Column(">number", lambda line: line.id, drop=2),
        Column("when", lambda line: time.strftime("%m-%d %H:%M:%S", time.localtime(line.at))),
        Column("at", lambda line: line.instance or "-"),
        Column("torrent", lambda line: line.hash[:_HASH_DIGITS], drop=1),
        Column(">from", lambda line: speed(line.old)),
        Column("", lambda _: "→"),
        Column(">to", lambda line: speed(line.new)),
        Column("result", lambda line: line.status),
        Column("name", lambda line: names.get(line.hash, ""), least=20, beneath=True),
        Column("why", lambda line: line.reason, least=24, beneath=True),
    ]
    left_out = {"name": not names, "at": not any(line.instance for line in lines)}
    print_table([column for column in table if not left_out.get(column.head)], lines)
