"""Shared by the commands: options, the configuration, connections, and numbers as text."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from qguardarr.cli.terminal import say
from qguardarr.core.units import format_speed
from qguardarr.errors import ConfigError

if TYPE_CHECKING:
    from qguardarr.adapters.backtrack import Backtracker
    from qguardarr.adapters.qbittorrent import QBittorrentClient
    from qguardarr.adapters.sqlite.journal import SqliteJournal
    from qguardarr.config import Config
    from qguardarr.config.load import Loaded
    from qguardarr.engine.settings import QBittorrentSettings

DEFAULT_CONFIG: Final = Path("config/qguardarr.yaml")
ConfigPath = Annotated[
    Path,  # `readable`: we say it better than Typer
    typer.Option("--config", "-c", envvar="QGUARDARR_CONFIG", readable=False, help="Configuration file."),
]
FIRST_START_VARIABLE: Final = "QGUARDARR_FIRST_START"
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]

_HASH_DIGITS: Final = 10
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
        if loaded.stands_in:
            say(f"note: there is no {path}; settings come from the environment alone")
    except ConfigError as error:
        partial = _partial(path, sections) if sections else None
        if partial is None:
            raise
        say(f"note: {path} has faults (`qguardarr check` lists them): {error.faults[0]}")
        loaded = partial
    _remember_secrets(loaded.config)
    return loaded


def _may_stand_in() -> bool:
    """Return whether a missing file means a first start, as it does for a daemon with the same environment."""
    return os.environ.get(FIRST_START_VARIABLE, "").strip().lower() in ("1", "true", "t", "yes", "y", "on")


def _partial(path: Path, sections: Sequence[str]) -> Loaded | None:
    from qguardarr.config.partial import load_sections

    try:
        return load_sections(path, sections, stand_in=_may_stand_in())
    except ConfigError:
        return None


def config_for(url: str, username: str | None, password: str | None, api_key: str | None) -> Config:
    """Return a configuration that only says how to reach qBittorrent."""
    from qguardarr.config import Config
    from qguardarr.config.partial import CATCH_ALL

    section = {"url": url, "username": username, "password": password, "api_key": api_key}
    given = {key: value for key, value in section.items() if value is not None}
    config = Config.model_validate({"qbittorrent": given, "trackers": CATCH_ALL})
    _remember_secrets(config)
    return config


def _remember_secrets(config: Config) -> None:
    from qguardarr.app.read_settings import secrets_of

    known_secrets.extend(secrets_of(config))


def quick_config(path: Path, section: str) -> Config | None:
    """Return a configuration with one section of the file; None if that section has errors."""
    partial = _partial(path, (section,))
    if partial is None:
        return None
    _remember_secrets(partial.config)
    return partial.config


# -- connections ------------------------------------------------------------------------------------------------------


def connection(config: Config) -> QBittorrentSettings:
    """Return how to reach the configured qBittorrent."""
    from qguardarr.app.read_settings import connection_of

    return connection_of(config.qbittorrent, float(config.global_.cache_ttl_seconds))


@contextlib.contextmanager
def client_for(config: Config, *, timeout_s: float | None = None) -> Iterator[QBittorrentClient]:
    """Open a client for the configured qBittorrent. `timeout_s` replaces the configured timeout."""
    quiet_logs()
    import msgspec

    from qguardarr.adapters.qbittorrent import QBittorrentClient

    settings = connection(config)
    try:
        client = QBittorrentClient(msgspec.structs.replace(settings, timeout_s=timeout_s or settings.timeout_s))
    except (ValueError, OSError) as error:
        raise ConfigError(f"qbittorrent: {error}") from None
    try:
        yield client
    finally:
        client.close()


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
def journal_of(config: Config, *, last_resort: bool = False) -> Iterator[SqliteJournal | None]:
    """Open the journal; None if there never was one, which makes none. Raises `JournalError` if it is lost.

    `last_resort`: open it even if it can only be read.
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
    journal = open_journal(path, last_resort=last_resort)
    if journal.recovered:
        say(f"warning: {journal.recovered}")
    try:
        yield journal
    finally:
        journal.close()


def whole_hash(journal: SqliteJournal, given: str) -> str:
    """Return the hash in the journal that begins with `given`, or `given` itself if there is none."""
    found = journal.hashes(given.lower(), limit=_AMBIGUOUS + 1)
    if len(found) > 1:
        some = ", ".join(name[: len(given) + 4] + "…" for name in found[:_AMBIGUOUS])
        raise ConfigError(f"more than one torrent's hash begins with {given}: {some}", hint="give more digits")
    return found[0] if found else given.lower()


def short_hash(name: str) -> str:
    """Return the first digits of a hash, which `--hash` and `reset` accept."""
    return name[:_HASH_DIGITS]


def quiet_logs() -> None:
    """Silence the logs: a command raises its errors, and each is printed once."""
    import logging

    import structlog

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


# -- as text ---------------------------------------------------------------------------------------------------------


def speed(bytes_per_s: float | None) -> str:
    """Return a speed as text. None is unlimited."""
    return "unlimited" if bytes_per_s is None else format_speed(bytes_per_s)


def counted(number: int, one: str, many: str | None = None) -> str:
    """Return `1 torrent` or `2 torrents`; `many` is the plural if it is not `one` with an s."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def duration(seconds: float) -> str:
    """Return seconds as `45 s`, `12 min`, `3.5 h` or `2.1 days`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} days"


def moment(unix_s: float) -> str:
    """Return the local date and time of a Unix time."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(unix_s))
