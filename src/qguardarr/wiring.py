"""What the running parts need of a configuration, as plain values.

The daemon reads its file through a short-lived child process (`python -m qguardarr.wiring FILE`), which hands these
values back as JSON over a pipe: the YAML parser and the schema would take about 10 MB in a process that runs for
months and needs them for a moment.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from qguardarr.core.policy import Policy
from qguardarr.errors import ConfigError, JournalError

if TYPE_CHECKING:
    from qguardarr.adapters.journal import SqliteJournal
    from qguardarr.adapters.qbittorrent import QBittorrentSettings
    from qguardarr.config import Config
    from qguardarr.config.schema import QBittorrent

_LOAD_TIMEOUT_S: Final = 60.0
_FAULTY: Final = 2
_SECRET_NAME: Final = re.compile(r"\$\{(\w*(?:pass|secret|key|token|pwd|cred)\w*)\}", re.IGNORECASE)


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
    retention_s: float
    restore_on_shutdown: bool
    log: LogSettings
    secrets: tuple[str, ...]
    """Texts that must never be shown."""
    notes: tuple[str, ...]
    """What a person should know about the file; see `Config.notes`."""

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
        inventory_s=inventory_s,
    )


def settings_of(config: Config, text: str = "") -> Settings:
    """The plain values of `config`; `text` is its file, searched for variables that hold secrets."""
    connection = connection_of(config.qbittorrent, float(config.global_.cache_ttl_seconds))
    return Settings(
        policy=config.policy(),
        connection=connection,
        database_path=str(config.rollback.database_path),
        retention_s=config.rollback.retention_days * 86400.0,
        restore_on_shutdown=config.rollback.on_shutdown == "restore",
        log=LogSettings(
            level=config.logging.level,
            style=config.logging.format,
            file=None if config.logging.file is None else str(config.logging.file),
            max_bytes=config.logging.max_size_mb * 1024 * 1024,
            backup_count=config.logging.backup_count,
        ),
        secrets=_secrets(config, text),
        notes=config.notes,
    )


def load_settings(path: Path) -> Settings:
    """The settings in a file, read by a child process. `ConfigError` lists every fault."""
    command = python_command("qguardarr.wiring", str(path))
    try:
        done = subprocess.run(command, capture_output=True, timeout=_LOAD_TIMEOUT_S, check=False)  # noqa: S603 # our own
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(f"{path}: cannot be read ({type(error).__name__})") from None
    if done.returncode == 0:
        return msgspec.json.decode(done.stdout, type=Settings)
    if done.returncode == _FAULTY:
        raise ConfigError(done.stderr.decode("utf-8", "replace").strip())
    raise ConfigError(f"{path}: cannot be read (the process that reads it ended with {done.returncode})")


def open_journal(path: Path) -> SqliteJournal:
    """The journal at `path`; a `JournalError` says what to do about a file that is not ours."""
    from qguardarr.adapters.journal import SqliteJournal  # noqa: PLC0415

    try:
        return SqliteJournal(path)
    except JournalError as error:
        if _is_foreign_database(path):
            raise JournalError(
                f"journal {path}: it belongs to the earlier Qguardarr or to another program, and was not touched. "
                "If the earlier Qguardarr has limits in force, let it roll them back first (POST /rollback) and stop "
                f"it; then set rollback.database_path to a new file, for example {path.with_name('qguardarr.db')}"
            ) from error
        raise


def python_command(module: str, *arguments: str) -> list[str]:
    """The command that runs a module of ours with this Python; files in the working directory are no part of it."""
    installed = str(Path(__file__).parents[1]) in sys.path[1:]
    return [sys.executable, *(["-P"] if installed else []), "-m", module, *arguments]


def _secrets(config: Config, text: str) -> tuple[str, ...]:
    fields = (
        config.qbittorrent.password,
        config.qbittorrent.api_key,
        config.cross_seed.url,
        config.cross_seed.api_key,
    )
    found = [field.get_secret_value() for field in fields if field is not None]
    found += [os.environ.get(name, "") for name in _SECRET_NAME.findall(text)]
    return tuple(dict.fromkeys(secret for secret in found if secret))


def _is_foreign_database(path: Path) -> bool:
    """Whether there is a SQLite file that no version of this journal made (it would carry its application id)."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        header = file.read(72)
        return header.startswith(b"SQLite format 3\0") and header[68:72] == bytes(4)
    return False


def _main(path: Path) -> int:
    from qguardarr.config import load  # noqa: PLC0415

    try:
        config = load(path)
        text = path.read_text("utf-8-sig")
    except ConfigError as error:
        sys.stderr.buffer.write(str(error).encode("utf-8", "replace"))
        return _FAULTY
    sys.stdout.buffer.write(msgspec.json.encode(settings_of(config, text)))
    return 0


if __name__ == "__main__":
    sys.exit(_main(Path(sys.argv[1])))
