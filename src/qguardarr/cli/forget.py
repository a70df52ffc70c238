"""`forget`: give up the limits of a qBittorrent that is gone for good, so that nothing waits for it any more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from qguardarr.cli.opening import config_at, journal_of, no_journal, quiet_logs
from qguardarr.cli.options import DEFAULT_CONFIG, AsJson, ConfigPath, Yes
from qguardarr.cli.terminal import confirm, out, print_json
from qguardarr.cli.text import counted
from qguardarr.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qguardarr.config import Config


def forget(
    instance: Annotated[
        str,
        typer.Option("--instance", metavar="NAME", help="Its name; '' for one that had none."),
    ],
    config: ConfigPath = DEFAULT_CONFIG,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Give up the limits of a qBittorrent that is gone for good.

    For one of several that is not in the configuration any more. Its torrents are not counted, waited for or restored
    from then on; their history stays. Nothing is written to any qBittorrent. Not beside a running daemon.
    """
    quiet_logs()
    from qguardarr.adapters.statusfile import only_daemon

    loaded = config_at(config, "qbittorrent", "rollback")
    _refuse_configured(loaded, instance)
    with journal_of(loaded, check=True) as journal:
        if journal is None:
            raise no_journal(loaded)
        _refuse_unknown(instance, journal.instances(), loaded)
        with only_daemon(loaded.rollback.database_path):
            count = journal.instances().get(instance, 0)
            if not yes:
                limits = counted(count, "torrent", "torrents")
                confirm(
                    f"Forget {_called(instance)}? Nobody gives {limits} there their own limits back then: if it still "
                    "runs somewhere, the limits in force stay."
                )
            journal.give_up(instance)
    if as_json:
        print_json({"instance": instance, "torrents": count})
        return
    torrents = counted(count, "torrent is", "torrents are")
    out(f"Forgotten: {torrents} no longer counted, waited for or restored. History keeps what was written to them.")


def _called(name: str) -> str:
    return f"the qBittorrent {name!r}" if name else "the qBittorrent that had no name"


def _refuse_configured(config: Config, name: str) -> None:
    servers = config.servers
    if name in servers:
        whose = f"{_called(name)} is" if name else "the only qBittorrent is"
        hint = "take its entry out first; `qguardarr rollback` gives limits back while it is there"
        raise ConfigError(f"--instance: {whose} in the file", hint=hint)
    for other, server in servers.items():
        if getattr(server, "formerly", None) == name:
            raise ConfigError(f"--instance: {name!r} is an earlier name of {other!r}, which is in the file")


def _refuse_unknown(name: str, held: Mapping[str, int], config: Config) -> None:
    if name in held:
        return
    others = [repr(other) for other in held if other not in config.servers]
    hint = f"it holds some of: {', '.join(others)}" if others else "nothing has to be forgotten"
    raise ConfigError(f"--instance: the journal holds no limits of {_called(name)}", hint=hint)
