"""What the running parts need of a configuration, as plain values.

The daemon reads its file through a short-lived child process (`python -m qguardarr.app.settings FILE`), which hands
these values back as JSON over a pipe: the YAML parser and the schema would take about 10 MB in a process that runs for
months and needs them for a moment.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import unquote

import msgspec

from qguardarr.core.policy import Policy
from qguardarr.engine.next_step import NextSteps
from qguardarr.engine.origins import Origin, dotted, leaves
from qguardarr.engine.settings import ApiSettings, CrossSeedSettings, NotificationSettings
from qguardarr.errors import ConfigError, Fault, JournalError
from qguardarr.smallfile import is_missing, read_small, write_new

if TYPE_CHECKING:
    from qguardarr.adapters.qbittorrent import QBittorrentSettings
    from qguardarr.adapters.sqlite.journal import SqliteJournal
    from qguardarr.config import Config
    from qguardarr.config.load import Loaded
    from qguardarr.config.schema import QBittorrent
    from qguardarr.config.source import Source
    from qguardarr.errors import KeyPath

FIRST_START: Final = "--first-start"
"""Argument of the processes behind `qguardarr serve`."""

_LOAD_TIMEOUT_S: Final = 60.0
_FAULTY: Final = 2
_MOST_CERTIFICATES: Final = 8 * 1024 * 1024
_TELLING: Final = r"(?:pass|secret|key|token|pwd|cred)"
_SECRET_NAME: Final = re.compile(rf"\w{{0,99}}{_TELLING}\w{{0,99}}", re.IGNORECASE)
_NAMED_IN_URL: Final = re.compile(
    rf"://[^/?#@:]*:([^/?#@]+)@|[?&][\w+.-]{{0,99}}{_TELLING}[\w.-]{{0,99}}=([^&#]+)", re.IGNORECASE
)
_LONG: Final = 12


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """How to reach qBittorrent; see `QBittorrentSettings`."""

    url: str
    username: str | None
    password: str
    api_key: str | None
    auth: Literal["cookie", "basic"]
    timeout_s: float
    verify_tls: bool
    ca_file: str | None
    ca_digest: str | None
    """Of what `ca_file` holds: certificates are renewed under the same name."""
    inventory_s: float

    def settings(self) -> QBittorrentSettings:
        """As the client takes it."""
        from qguardarr.adapters.qbittorrent import QBittorrentSettings  # noqa: PLC0415

        return QBittorrentSettings(
            url=self.url,
            username=self.username,
            password=self.password,
            api_key=self.api_key,
            auth=self.auth,
            timeout_s=self.timeout_s,
            verify_tls=self.verify_tls,
            ca_file=None if self.ca_file is None else Path(self.ca_file),
            inventory_s=self.inventory_s,
        )

    def __repr__(self) -> str:
        return f"<Connection to {self.url}>"


class LogSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The section `logging`."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"]
    style: Literal["console", "json"]
    file: str | None
    max_bytes: int
    backup_count: int


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All of a configuration that the daemon uses."""

    policy: Policy
    connection: Connection
    database_path: str
    former_database_paths: tuple[str, ...]
    """Where earlier versions may have kept it."""
    retention_s: float
    """How long history is kept, seconds …"""
    give_up_s: float
    """… and originals of torrents that qBittorrent lacks."""
    restore_on_shutdown: bool
    log: LogSettings
    api: ApiSettings
    cross_seed: CrossSeedSettings
    notifications: NotificationSettings
    dry_run_path: str
    """File to which a dry run writes the limits that it decides."""
    shown: str
    """The configuration as JSON text for `GET /config`, without secrets; see `qguardarr.config.redacted`."""
    origins: str
    """Where each value that is no default comes from, as JSON; see `qguardarr.engine.origins`."""
    secrets: tuple[str, ...]
    """Texts that must never be shown."""
    notes: tuple[str, ...]
    """What a person should know about the file; see `Loaded.notes`."""
    next_steps: NextSteps
    """What a person has to do until caps are held."""
    secret_files: tuple[str, ...] = ()
    """Files that variables name, whose content is a part of the configuration."""
    file: Literal["read", "written", "absent"] = "read"
    """The configuration file. `written`: it was missing, and made. `absent`: that failed (see `notes`)."""

    def __repr__(self) -> str:
        return f"<Settings for {self.connection.url}>"


def connection_of(section: QBittorrent, inventory_s: float) -> Connection:
    """The section `qbittorrent`; `inventory_s` is `global.cache_ttl_seconds`."""
    return Connection(
        url=section.base_url,
        username=section.username,
        password=section.password.get_secret_value() if section.password else "",
        api_key=section.api_key.get_secret_value() if section.api_key else None,
        auth=section.auth,
        timeout_s=section.timeout,
        verify_tls=section.verify_tls,
        ca_file=None if section.ca_file is None else str(section.ca_file),
        ca_digest=None if section.ca_file is None else _digest(section.ca_file),
        inventory_s=inventory_s,
    )


def _digest(path: Path) -> str | None:
    """None if it cannot be read, which whoever wants to use it will say."""
    try:
        return hashlib.sha256(read_small(path, _MOST_CERTIFICATES)).hexdigest()
    except OSError:
        return None


def api_key_of(config: Config) -> str | None:
    """The API key that the file or the environment names; None if neither does, or with `auth: none`."""
    key = None if config.auth is None else config.auth.api_key
    return None if key is None else key.get_secret_value()


def settings_of(loaded: Loaded, path: Path) -> Settings:
    """The plain values of a configuration, read at `path`."""
    from qguardarr.config.redacted import redacted  # noqa: PLC0415
    from qguardarr.config.steps import first_steps  # noqa: PLC0415

    config = loaded.config
    connection = connection_of(config.qbittorrent, float(config.global_.cache_ttl_seconds))
    api, cross_seed, told = _api_settings(config), config.cross_seed, config.notifications
    secrets = secrets_of(config, loaded.source)
    tree = redacted(config, _secret_variables(loaded.source), _places_of_secret_variables(loaded.source))
    hashed = () if api.password_hash is None else (api.password_hash,)
    return Settings(
        policy=config.policy(),
        connection=connection,
        database_path=str(config.rollback.database_path),
        former_database_paths=tuple(map(str, config.rollback.former_paths)),
        retention_s=config.retention_s,
        give_up_s=config.rollback.retention_days * 86400.0,
        restore_on_shutdown=config.rollback.on_shutdown == "restore",
        log=LogSettings(
            level=config.logging.level,
            style=config.logging.format,
            file=None if config.logging.file is None else str(config.logging.file),
            max_bytes=config.logging.max_size_mb * 1024 * 1024,
            backup_count=config.logging.backup_count,
        ),
        api=api,
        cross_seed=CrossSeedSettings(
            url=cross_seed.url.get_secret_value() if cross_seed.enabled and cross_seed.url else None,
            api_key=cross_seed.api_key.get_secret_value() if cross_seed.api_key else None,
            timeout_s=cross_seed.timeout,
        ),
        notifications=NotificationSettings(
            urls=tuple(url.get_secret_value() for url in told.urls),
            events=told.events,
            after_s=told.after,
            repeat_s=told.repeat,
        ),
        dry_run_path=str(config.global_.dry_run_store_path),
        shown=tree,
        origins=_origins(loaded, tree),
        secrets=tuple(dict.fromkeys((*secrets, *hashed))),
        notes=loaded.notes,
        next_steps=NextSteps(**first_steps(loaded, path)),
        secret_files=tuple(map(str, loaded.overrides.files)),
    )


def _origins(loaded: Loaded, tree: str) -> str:
    found = {dotted(path): loaded.origin(path) for path, _ in leaves(msgspec.json.decode(tree))}
    given = {name: Origin(origin.line, origin.variables) for name, origin in found.items() if origin is not None}
    return msgspec.json.encode(given).decode()


def _api_settings(config: Config) -> ApiSettings:
    auth = config.auth
    return ApiSettings(
        host=config.global_.host,
        port=config.global_.port,
        base_path=config.http.base_path,
        trusted_proxies=config.http.trusted_proxies,
        allowed_hosts=config.http.allowed_hosts,
        open=auth is None,
        api_key=api_key_of(config),
        username=None if auth is None else auth.username,
        password_hash=(
            _password_hash(auth.username or "", auth.password.get_secret_value()) if auth and auth.password else None
        ),
        metrics_open=config.http.metrics == "open",
    )


def _password_hash(username: str, password: str) -> str:
    """The hash that the daemon gets in place of the password.

    It must come out the same at each load, or every reload would end all sessions; so its salt is made of the name. It
    is not made of the password, however keyed: the salt stands in the hash for all to read, and guesses could then be
    tried on it, far quicker than argon2 allows. A salt that others can foresee helps only who prepares tables for
    hashes that he will steal; this one is never stored, and whoever can read it in memory finds the password in the
    file.
    """
    from qguardarr.adapters.keys import hash_password  # noqa: PLC0415
    from qguardarr.config.validators import is_password_hash  # noqa: PLC0415

    if is_password_hash(password):
        return password
    return hash_password(password, hashlib.sha256(f"qguardarr:{username}".encode()).digest()[:16])


def load_settings(path: Path, *, first_start: bool = False) -> Settings:
    """The settings in a file, read by a child process. `ConfigError` lists every fault.

    `first_start`: a missing file is written; where that is not possible, its text stands in for it.
    """
    command = python_command("qguardarr.app.settings", str(path), *([FIRST_START] if first_start else []))
    try:
        done = subprocess.run(command, capture_output=True, timeout=_LOAD_TIMEOUT_S, check=False)  # noqa: S603 # our own
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(f"cannot be read ({type(error).__name__})", place=str(path)) from None
    if done.returncode == 0:
        return msgspec.json.decode(done.stdout, type=Settings)
    if done.returncode == _FAULTY:
        raise ConfigError(faults=msgspec.json.decode(done.stdout, type=list[Fault]))
    raise ConfigError(f"cannot be read (the process that reads it ended with {done.returncode})", place=str(path))


def open_journal(path: Path, *, last_resort: bool = False) -> SqliteJournal:
    """Open the journal at `path`. `last_resort`: even if nothing can be written to it.

    Raises `JournalError`, which says what to do about a file that is not ours.
    """
    from qguardarr.adapters.sqlite.journal import SqliteJournal  # noqa: PLC0415
    from qguardarr.adapters.sqlite.journal_place import OF_ANOTHER  # noqa: PLC0415
    from qguardarr.adapters.statusfile import published_line, status_path  # noqa: PLC0415

    line = published_line(status_path(path))
    try:
        return SqliteJournal(path, known_line=line, last_resort=last_resort)
    except JournalError as error:
        if _is_foreign_database(path):
            example = path.with_name("qguardarr.db")
            raise JournalError(f"journal {path}: {OF_ANOTHER.format(example=example)}") from error
        raise


def python_command(module: str, *arguments: str) -> list[str]:
    """The command that runs a module of ours with this Python; files in the working directory are no part of it."""
    installed = str(Path(__file__).parents[2]) in sys.path[1:]
    return [sys.executable, *(["-P"] if installed else []), "-m", module, *arguments]


def secrets_of(config: Config, source: Source | None = None) -> tuple[str, ...]:
    """Texts that must never be shown, whether or not they are any good; `source`: its file, in which variables may hold
    secrets."""
    from qguardarr.config.environment import SHORT_SECRETS  # noqa: PLC0415

    fields = [
        config.qbittorrent.password,
        config.qbittorrent.api_key,
        config.cross_seed.url,
        config.cross_seed.api_key,
        *config.notifications.urls,
    ]
    if config.auth is not None:
        fields += [config.auth.api_key, config.auth.password]
    found = [field.get_secret_value() for field in fields if field is not None]
    for url in (config.cross_seed.url, *config.notifications.urls):
        found += _tokens(url.get_secret_value()) if url is not None else ()
    found += [*(os.environ.get(name, "") for name in SHORT_SECRETS), *_secret_variables(source)]
    return tuple(dict.fromkeys(secret for secret in found if secret))


def _secret_variables(source: Source | None) -> list[str]:
    names = () if source is None else itertools.chain.from_iterable(source.from_environment.values())
    return [os.environ.get(name, "") for name in names if _SECRET_NAME.fullmatch(name)]


def _places_of_secret_variables(source: Source) -> list[KeyPath]:
    """The settings in a file that take a variable that holds a secret."""
    places = source.from_environment.items()
    return [path for path, names in places if any(map(_SECRET_NAME.fullmatch, names))]


def _tokens(url: str) -> list[str]:
    """What in an address is a secret by itself: what is named so, and long parts that look like no word and no host."""
    named = [match[1] or match[2] for match in _NAMED_IN_URL.finditer(url)]
    parts = re.split(r"[/?#&=@:]+", url)
    long = [part for part in parts if len(part) >= _LONG and re.search(r"\d", part) and "." not in part]
    return [unquote(secret) for secret in (*named, *long)]


def _is_foreign_database(path: Path) -> bool:
    """Whether there is a SQLite file that no version of this journal made (it would carry its application id)."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        header = file.read(72)
        return header.startswith(b"SQLite format 3\0") and header[68:72] == bytes(4)
    return False


def _main(path: Path, *, first_start: bool) -> int:
    from qguardarr.config.load import read  # noqa: PLC0415

    try:
        file, problem = _begin(path) if first_start and is_missing(path) else ("read", "")
        settings = settings_of(read(path, stand_in=file == "absent"), path)
    except ConfigError as error:
        sys.stdout.buffer.write(msgspec.json.encode(error.faults))
        return _FAULTY
    notes = (*settings.notes, problem) if problem else settings.notes
    sys.stdout.buffer.write(msgspec.json.encode(msgspec.structs.replace(settings, file=file, notes=notes)))
    return 0


def _begin(path: Path) -> tuple[Literal["written", "absent"], str]:
    """Write a first configuration; whether that went well, and if not, a note for people. Only in a folder that exists:
    a path that was mistyped must not pass for a first start."""
    from qguardarr.config.starter import starter_file  # noqa: PLC0415

    path = path.absolute()
    if not path.parent.is_dir():
        reason = f"there is no folder {path.parent} to write a first configuration to"
        hint = "correct --config or QGUARDARR_CONFIG, or make the folder (in a container: mount one there)"
        raise ConfigError(reason, place=str(path), hint=hint)
    try:
        write_new(path, starter_file().encode())
    except OSError as error:
        return "absent", (
            f"{path} is missing and cannot be written ({error.strerror or 'unknown reason'}): settings come from the "
            f"environment alone. hint: make {path.parent} writable for user {os.geteuid()}, or put the file there"
        )
    return "written", ""


if __name__ == "__main__":
    sys.exit(_main(Path(sys.argv[1]), first_start=FIRST_START in sys.argv[2:]))
