"""Open the configuration, qBittorrent and the journal for a command."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from qguardarr.cli.options import FIRST_START_VARIABLE
from qguardarr.cli.terminal import say
from qguardarr.errors import Busy, ConfigError, JournalError

if TYPE_CHECKING:
    from qguardarr.adapters.backtrack import Backtracker
    from qguardarr.adapters.qbittorrent import QBittorrentClient
    from qguardarr.adapters.sqlite.journal import SqliteJournal
    from qguardarr.config import Config
    from qguardarr.config.load import Loaded
    from qguardarr.config.servers import QBittorrent
    from qguardarr.engine.rollback import Target

_AMBIGUOUS: Final = 3

known_secrets: list[str] = []
"""Secrets of the configuration in use, hidden if a traceback is printed."""


# -- the configuration ------------------------------------------------------------------------------------------------


def config_at(path: Path, *sections: str) -> Config:
    """Return the configuration of a file and the environment. See `loaded_at`."""
    return loaded_at(path, *sections).config


def loaded_at(path: Path, *sections: str) -> Loaded:
    """Return the configuration, and where its values come from.

    With `sections`, errors in other sections are only mentioned: `status` and `rollback` must work while the file is
    being edited.
    """
    from qguardarr.config.load import read

    try:
        loaded = read(path, stand_in=_may_stand_in())
    except ConfigError as error:
        partial = sections_at(path, *sections) if sections else None
        if partial is None:
            raise
        say(f"note: {path} has faults (`qguardarr check` lists them): {error.faults[0]}")
        return partial
    if loaded.stands_in:
        say(f"note: there is no {path}; settings come from the environment alone")
    _remember_secrets(loaded.config)
    return loaded


def sections_at(path: Path, *sections: str) -> Loaded | None:
    """Return a configuration with these sections of the file and defaults for all others; None if they have errors."""
    from qguardarr.config.load import read

    try:
        loaded = read(path, stand_in=_may_stand_in(), sections=sections)
    except ConfigError:
        return None
    _remember_secrets(loaded.config)
    return loaded


def _may_stand_in() -> bool:
    """Return whether a missing file means a first start, as it does for a daemon with the same environment."""
    return os.environ.get(FIRST_START_VARIABLE, "").strip().lower() in ("1", "true", "t", "yes", "y", "on")


def config_for(url: str, username: str | None, password: str | None, api_key: str | None) -> Config:
    """Return a configuration that only says how to reach qBittorrent. Raises `ConfigError`."""
    from pydantic import ValidationError

    from qguardarr.config import Config
    from qguardarr.config.load import CATCH_ALL

    section = {"url": url, "username": username, "password": password, "api_key": api_key}
    given = {key: value for key, value in section.items() if value is not None}
    try:
        config = Config.model_validate({"qbittorrent": given, "trackers": CATCH_ALL})
    except ValidationError:
        raise ConfigError("the address or the login has characters that cannot be used") from None
    _remember_secrets(config)
    return config


def _remember_secrets(config: Config) -> None:
    from qguardarr.app.read_settings import secrets_of

    known_secrets.extend(secrets_of(config))


# -- connections ------------------------------------------------------------------------------------------------------


def server_of(config: Config, instance: str | None) -> QBittorrent:
    """Return how to reach the qBittorrent with this name; None: the only one. Raises `ConfigError`."""
    servers = config.servers
    if instance is None and len(servers) == 1:
        return next(iter(servers.values()))
    if instance is None:
        raise ConfigError("the configuration has several qBittorrents", hint=f"give --instance: {', '.join(servers)}")
    if instance not in servers:
        known = [name for name in servers if name]
        hint = f"known: {', '.join(known)}" if known else "leave it out: there is only one, which has no name"
        raise ConfigError(f"--instance: there is no qBittorrent {instance!r} in the file", hint=hint)
    return servers[instance]


@contextlib.contextmanager
def client_for(
    config: Config, *, timeout_s: float | None = None, instance: str | None = None
) -> Iterator[QBittorrentClient]:
    """Open a client for the configured qBittorrent. `timeout_s` replaces the configured timeout.

    `instance`: name of one of several, which has to be given then.
    """
    server_of(config, instance)
    with clients_for(config, timeout_s=timeout_s, instance=instance) as clients:
        yield next(iter(clients.values()))


@contextlib.contextmanager
def clients_for(
    config: Config, *, timeout_s: float | None = None, instance: str | None = None
) -> Iterator[dict[str, QBittorrentClient]]:
    """Open clients for all configured qBittorrents, or for one of them, by name."""
    quiet_logs()
    import msgspec

    from qguardarr.adapters.qbittorrent import QBittorrentClient
    from qguardarr.app.read_settings import connections_of

    if instance is not None:
        server_of(config, instance)
    with contextlib.ExitStack() as opened:
        clients = {}
        for settings in connections_of(config):
            if instance not in (None, settings.name):
                continue
            try:
                client = QBittorrentClient(msgspec.structs.replace(settings, timeout_s=timeout_s or settings.timeout_s))
            except (ValueError, OSError) as error:
                place = f"qbittorrent[{settings.name}]" if settings.name else "qbittorrent"
                raise ConfigError(f"{place}: {error}") from None
            clients[settings.name] = client
            opened.callback(client.close)
        yield clients


def targets_of(journal: SqliteJournal, clients: Mapping[str, QBittorrentClient], config: Config) -> list[Target]:
    """Return what the journal knows of each qBittorrent, also under an earlier name (`formerly`)."""
    from qguardarr.engine.rollback import Target

    held = journal.instances()
    found = []
    for name, client in clients.items():
        found.append(Target(client, journal.of(name) if name else journal, name))
        former = getattr(config.servers[name], "formerly", None)
        if former is not None and former in held:
            found.append(Target(client, journal.of(former), name))
    return found


def backtracker() -> Backtracker:
    """Return the matcher for patterns that RE2 cannot express. Its child process ends with this one."""
    from qguardarr.adapters.backtrack import Backtracker
    from qguardarr.app.settings import python_command

    return Backtracker(python_command("qguardarr.adapters.backtrack_child"))


def journal_path(config: Config) -> Path:
    """Return where the journal belongs. Raises `JournalError` if an earlier version left it elsewhere."""
    from qguardarr.adapters.sqlite.journal_place import refuse_left_behind

    refuse_left_behind(config.rollback.database_path, config.rollback.former_paths)
    return config.rollback.database_path


@contextlib.contextmanager
def journal_of(config: Config, *, last_resort: bool = False, check: bool = False) -> Iterator[SqliteJournal | None]:
    """Open the journal; None if there never was one, which makes none. Raises `JournalError` if it is lost, and
    `Busy` beside a daemon of an earlier version.

    `last_resort`: open it even if it can only be read. `check`: look for damage in all of it first, which takes
    seconds; else damage is found where it is read.
    """
    quiet_logs()
    from qguardarr.adapters.sqlite import journal_place as places
    from qguardarr.adapters.sqlite.originals import Originals
    from qguardarr.app.state_files import open_journal

    path = journal_path(config)
    found = places.look(path)
    if found in (places.Found.NOTHING, places.Found.EMPTY) and Originals(path).state() is None:
        signs = places.signs_of(path)
        if signs:
            raise places.lost(path, found, signs)
        yield None
        return
    refuse_beside_earlier_daemon(path)
    journal = open_journal(path, last_resort=last_resort, check=check)
    if journal.recovered:
        say(f"warning: {journal.recovered}")
    try:
        yield journal
    finally:
        journal.close()


def refuse_beside_earlier_daemon(path: Path) -> None:
    """Raise `Busy` if a daemon of an earlier version has this journal: it cannot write a format that it does not know,
    so its caps would not hold any more."""
    from qguardarr.adapters.sqlite.database import is_older
    from qguardarr.adapters.sqlite.journal_schema import JOURNAL
    from qguardarr.adapters.statusfile import daemon_runs

    if is_older(path, JOURNAL) and daemon_runs(path):
        raise Busy(
            "a daemon of an earlier version runs, and this command would change the journal's format under it",
            place=f"journal {path}",
            hint="restart the daemon first",
        )


def no_journal(config: Config) -> JournalError:
    """Return the error of a command that needs a journal where there never was one."""
    return JournalError(f"journal {config.rollback.database_path}: it is not there: nothing has run with it yet")


def whole_hash(journal: SqliteJournal, given: str) -> str:
    """Return the hash in the journal that begins with `given`, or `given` itself if there is none."""
    found = journal.of_all().hashes(given.lower(), limit=_AMBIGUOUS + 1)
    if len(found) > 1:
        some = ", ".join(name[: len(given) + 4] + "…" for name in found[:_AMBIGUOUS])
        raise ConfigError(f"more than one torrent's hash begins with {given}: {some}", hint="give more digits")
    return found[0] if found else given.lower()


def quiet_logs() -> None:
    """Silence the logs: a command raises its errors, and each is printed once."""
    import logging

    import structlog

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def closed_folder(path: Path) -> Path | None:
    """Return the nearest folder above `path` that exists, if this user may make no file there; else None."""
    folder = path.parent
    while not os.path.exists(folder) and folder != folder.parent:  # noqa: PTH110 # `Path` raises if it is closed to us
        folder = folder.parent
    return None if os.access(folder, os.W_OK | os.X_OK, effective_ids=True) and folder.is_dir() else folder
