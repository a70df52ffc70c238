"""`history`: the limits that were written, from the journal."""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer

from qguardarr.cli.common import (
    DEFAULT_CONFIG,
    AsJson,
    ConfigPath,
    client_for,
    config_at,
    journal_of,
    quick_config,
    short_hash,
    speed,
    whole_hash,
)
from qguardarr.cli.tables import Column, print_table
from qguardarr.cli.terminal import out, print_json, say
from qguardarr.core.units import limit_or_none
from qguardarr.errors import AuthRejected, Banned, ClientError, ConfigError

if TYPE_CHECKING:
    from qguardarr.config import Config

_HASH: Final = re.compile(r"[0-9a-f]{1,40}")
_NAMES_TIMEOUT_S: Final = 2.0


class HistoryRow(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the journal. Limits are in bytes/s; None is unlimited."""

    id: int
    at: float
    hash: str
    old: int | None
    new: int | None
    status: str
    reason: str


def history(
    config: ConfigPath = DEFAULT_CONFIG,
    torrent: Annotated[str | None, typer.Option("--hash", help="Only this torrent; its first digits will do.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Most lines.")] = 50,
    before: Annotated[int | None, typer.Option(help="Only lines with a smaller number, to page back.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the limits that were written, newest first.

    With the torrents' names if qBittorrent answers at once; --json has whole hashes instead.
    """
    if torrent is not None and not _HASH.fullmatch(torrent.lower()):
        raise ConfigError("--hash: must be a hash as qBittorrent and `history` show it, or how one begins")
    loaded = config_at(config, "rollback")
    with journal_of(loaded) as journal:
        name = None if torrent is None or journal is None else whole_hash(journal, torrent)
        entries = [] if journal is None else journal.history(hash=name, limit=limit, before_id=before)
    rows = [
        HistoryRow(
            id=entry.id,
            at=entry.at,
            hash=entry.hash,
            old=limit_or_none(entry.old),
            new=limit_or_none(entry.new),
            status=entry.status,
            reason=entry.reason,
        )
        for entry in entries
    ]
    if as_json:
        print_json(rows)
    elif not rows:
        where = "" if torrent is None else " to that torrent"
        out(f"Nothing was written{where} {'yet' if before is None else 'before that'}.")
    else:
        _print_history(rows, _names(config, loaded, {row.hash for row in rows}))


def _names(path: Path, loaded: Config, hashes: Collection[str]) -> dict[str, str]:
    """Return the torrents' names; empty if qBittorrent does not answer at once.

    It is asked only if it accepts the daemon's login, since each failed login brings its ban nearer.
    """
    from qguardarr.adapters.statusfile import read_status, status_path

    daemon = read_status(status_path(loaded.rollback.database_path))
    config = quick_config(path, "qbittorrent")
    let_in = daemon is not None and daemon.qbittorrent_version and daemon.problem_kind not in ("AuthRejected", "Banned")
    if config is None or not let_in:
        return {}
    try:
        with client_for(config, timeout_s=_NAMES_TIMEOUT_S) as client:
            return client.names(list(hashes))
    except (AuthRejected, Banned):
        say("note: no names, since qBittorrent refuses the login (`qguardarr check --connect` says why)")
    except (ClientError, ConfigError):
        pass  # the hashes tell as much
    return {}


def _print_history(rows: Sequence[HistoryRow], names: Mapping[str, str]) -> None:
    heads = [
        Column("number", right=True, drop=2),
        Column("when"),
        Column("torrent", drop=1),
        Column("from", right=True),
        Column(""),
        Column("to", right=True),
        Column("result"),
        Column("name", least=20, beneath=True),
        Column("why", least=24, beneath=True),
    ]
    table = [
        [
            str(row.id),
            time.strftime("%m-%d %H:%M:%S", time.localtime(row.at)),
            short_hash(row.hash),
            speed(row.old),
            "→",
            speed(row.new),
            row.status,
            names.get(row.hash, ""),
            row.reason,
        ]
        for row in rows
    ]
    if not names:
        del heads[-2]
        for line in table:
            del line[-2]
    print_table(heads, table)
