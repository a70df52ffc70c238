"""Read a configuration and print the daemon's settings as JSON: `python -m qguardarr.app.read_settings FILE`.

The daemon runs this as a short-lived child process: the YAML parser and the schema take about 10 MB, and a process that
runs for months needs them for a moment. Commands use `settings_of` and its parts directly.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import os
import re
import sys
from pathlib import Path
from typing import Final, Literal
from urllib.parse import unquote

import msgspec

from qguardarr.app.settings import FAULTY, FIRST_START
from qguardarr.config import Config
from qguardarr.config.environment import SHORT_SECRETS
from qguardarr.config.load import Loaded, read
from qguardarr.config.redacted import redacted
from qguardarr.config.servers import NamedQBittorrent, QBittorrent
from qguardarr.config.source import Source
from qguardarr.config.starter import starter_file
from qguardarr.config.steps import first_steps
from qguardarr.config.validators import is_password_hash
from qguardarr.engine.next_step import NextSteps
from qguardarr.engine.origins import Origin, dotted, leaves
from qguardarr.engine.settings import (
    ApiSettings,
    CrossSeedSettings,
    LogSettings,
    NotificationSettings,
    QBittorrentSettings,
    Settings,
)
from qguardarr.errors import ConfigError, KeyPath, sentence
from qguardarr.smallfile import is_missing, read_small, write_new

_MOST_CERTIFICATES: Final = 8 * 1024 * 1024
_TELLING: Final = r"(?:pass|secret|key|token|pwd|cred)"
_SECRET_NAME: Final = re.compile(rf"\w{{0,99}}{_TELLING}\w{{0,99}}", re.IGNORECASE)
_NAMED_IN_URL: Final = re.compile(
    rf"://[^/?#@:]*:([^/?#@]+)@|[?&][\w+.-]{{0,99}}{_TELLING}[\w.-]{{0,99}}=([^&#]+)", re.IGNORECASE
)
_LONG: Final = 12
"""Parts of an address this long, with a digit, are taken for tokens."""


def connections_of(config: Config) -> tuple[QBittorrentSettings, ...]:
    """Return how to reach each qBittorrent, as plain values."""
    inventory_s = float(config.global_.cache_ttl_seconds)
    return tuple(connection_of(server, inventory_s, name) for name, server in config.servers.items())


def connection_of(section: QBittorrent, inventory_s: float, name: str = "") -> QBittorrentSettings:
    """Return a qBittorrent's settings as plain values; `inventory_s` is `global.cache_ttl_seconds`."""
    return QBittorrentSettings(
        name=name,
        formerly=section.formerly if isinstance(section, NamedQBittorrent) else None,
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
    """Return the digest of a file; None if it cannot be read, which its user reports."""
    try:
        return hashlib.sha256(read_small(path, _MOST_CERTIFICATES)).hexdigest()
    except OSError:
        return None


def api_key_of(config: Config) -> str | None:
    """Return the API key from the file or the environment; None if neither has one, or with `auth: none`."""
    key = None if config.auth is None else config.auth.api_key
    return None if key is None else key.get_secret_value()


def settings_of(loaded: Loaded, path: Path) -> Settings:
    """Return the plain values of a configuration, read at `path`."""
    config = loaded.config
    api, cross_seed, notifications = _api_settings(config), config.cross_seed, config.notifications
    secrets = secrets_of(config, loaded.source)
    tree = redacted(config, secret_variables(loaded.source), places_of_secret_variables(loaded.source))
    hashed = () if api.password_hash is None else (api.password_hash,)
    return Settings(
        policy=config.policy(),
        connections=connections_of(config),
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
            urls=tuple(url.get_secret_value() for url in notifications.urls),
            events=notifications.events,
            after_s=notifications.after,
            repeat_s=notifications.repeat,
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
        forward_header="" if auth is None else (auth.forward_header or "").lower(),
    )


def _password_hash(username: str, password: str) -> str:
    """Return the hash that the daemon gets in place of the password.

    It has to be the same at each load, or every reload would end all sessions, so its salt is made of the name. A salt
    made of the password would stand in the hash for all to read, and guesses could be tried on it far quicker than
    argon2 allows. That others can foresee this salt does no harm: the hash is kept in memory only, and whoever reads
    that finds the password in the file.
    """
    from qguardarr.adapters.keys import hash_password  # noqa: PLC0415 # argon2: for most configurations never needed

    if is_password_hash(password):
        return password
    return hash_password(password, hashlib.sha256(f"qguardarr:{username}".encode()).digest()[:16])


def secrets_of(config: Config, source: Source | None = None) -> tuple[str, ...]:
    """Return texts that must never be shown, valid or not. `source`: the file, in which variables may hold secrets."""
    fields = [
        *(server.password for server in config.servers.values()),
        *(server.api_key for server in config.servers.values()),
        config.cross_seed.url,
        config.cross_seed.api_key,
        *config.notifications.urls,
    ]
    if config.auth is not None:
        fields += [config.auth.api_key, config.auth.password]
    found = [field.get_secret_value() for field in fields if field is not None]
    for server in config.qbittorrents:
        if server.username and server.password:  # HTTP Basic
            pair = f"{server.username}:{server.password.get_secret_value()}"
            found.append(base64.b64encode(pair.encode()).decode())
    for url in (config.cross_seed.url, *config.notifications.urls):
        found += _tokens(url.get_secret_value()) if url is not None else ()
    found += [*(os.environ.get(name, "") for name in SHORT_SECRETS), *secret_variables(source)]
    return tuple(dict.fromkeys(secret for secret in found if secret))


def secret_variables(source: Source | None) -> list[str]:
    """Return the values of variables in a file whose names tell of secrets."""
    names = () if source is None else itertools.chain.from_iterable(source.from_environment.values())
    return [os.environ.get(name, "") for name in names if _SECRET_NAME.fullmatch(name)]


def places_of_secret_variables(source: Source) -> list[KeyPath]:
    """Return the settings in a file whose value comes from a variable that holds a secret."""
    places = source.from_environment.items()
    return [path for path, names in places if any(map(_SECRET_NAME.fullmatch, names))]


def _tokens(url: str) -> list[str]:
    """Return the secrets in an address: parts named so, and long parts that look like neither word nor host."""
    named = [match[1] or match[2] for match in _NAMED_IN_URL.finditer(url)]
    parts = re.split(r"[/?#&=@:]+", url)
    long = [part for part in parts if len(part) >= _LONG and re.search(r"\d", part) and "." not in part]
    return [unquote(secret) for secret in (*named, *long)]


def _main(path: Path, *, first_start: bool) -> int:
    try:
        file, problem = _begin(path) if first_start and is_missing(path) else ("read", "")
        settings = settings_of(read(path, stand_in=file == "absent"), path)
    except ConfigError as error:
        sys.stdout.buffer.write(msgspec.json.encode(error.faults))
        return FAULTY
    notes = (*settings.notes, problem) if problem else settings.notes
    sys.stdout.buffer.write(msgspec.json.encode(msgspec.structs.replace(settings, file=file, notes=notes)))
    return 0


def _begin(path: Path) -> tuple[Literal["written", "absent"], str]:
    """Write a first configuration. Return whether that succeeded, and if not, a note for people.

    Only in a folder that exists: a mistyped path must not pass for a first start.
    """
    path = path.absolute()
    if not path.parent.is_dir():
        reason = f"there is no folder {path.parent} to write a first configuration to"
        hint = "correct --config or QGUARDARR_CONFIG, or make the folder (in a container: mount one there)"
        raise ConfigError(reason, place=str(path), hint=hint)
    try:
        write_new(path, starter_file().encode())
    except OSError as error:
        reason = f"is missing and cannot be written ({error.strerror}): settings come from the environment alone"
        hint = f"make {path.parent} writable for user {os.geteuid()}, or put the file there"
        return "absent", sentence(f"{path} {reason}", hint=hint)
    return "written", ""


if __name__ == "__main__":
    sys.exit(_main(Path(sys.argv[1]), first_start=FIRST_START in sys.argv[2:]))
