"""Settings of the running parts, as plain values; `qguardarr.app.read_settings` makes them from the configuration."""

from __future__ import annotations

from typing import Literal

import msgspec

from qguardarr.core.policy import Policy
from qguardarr.engine.next_step import NextSteps


class QBittorrentSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How to reach qBittorrent and log in. Secrets are left out of `repr`."""

    name: str = ""
    """Name of one of several; the only one has none."""
    formerly: str | None = None
    """Name that it had before, under which the journal may know it; None if it had no other."""
    url: str
    """Base address, `http://host:8080` or `https://host/prefix`. Empty: not known, so that calls raise `NoAddress`."""
    username: str | None = None
    """None: no login, since qBittorrent lets this address in without one."""
    password: str = ""
    api_key: str | None = None
    """Used instead of user name and password (qBittorrent 5.2 and newer)."""
    auth: Literal["cookie", "basic"] = "cookie"
    """How `username` logs in: the login form, or HTTP Basic (qBittorrent 5.2 and newer)."""
    timeout_s: float = 30.0
    """Longest silence of qBittorrent before a call is given up, seconds."""
    verify_tls: bool = True
    ca_file: str | None = None
    """Certificates to trust instead of the system's."""
    ca_digest: str | None = None
    """Digest of `ca_file`: certificates are renewed under the same name."""
    inventory_s: float = 300.0
    """Before qBittorrent 4.6: longest time between two complete listings, seconds."""

    def __repr__(self) -> str:
        return f"<QBittorrentSettings, {self.url}>"


class LogSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The section `logging`."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    style: Literal["console", "json"] = "console"
    file: str | None = None
    max_bytes: int = 50 * 1024 * 1024
    """Size at which the file is put aside and a new one begun."""
    backup_count: int = 5
    """Number of files put aside that are kept."""


class ApiSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The HTTP API: where it is, and who may use it."""

    host: str
    """Address or host name to listen at; IPv6 without brackets."""
    port: int
    base_path: str
    """Empty, or `/prefix` without a slash at the end."""
    trusted_proxies: tuple[str, ...]
    """IP addresses, and networks with their prefix."""
    open: bool
    """Nobody is asked for anything (`auth: none`); the next three are None then."""
    api_key: str | None
    """From the configuration or QGUARDARR_API_KEY; None if neither has one, until `with_kept_key` fills it in."""
    username: str | None
    password_hash: str | None
    """argon2id, in its text form. The same at each load as long as name and password are."""
    metrics_open: bool
    """Whether metrics may be read without a key."""
    allowed_hosts: tuple[str, ...] = ()
    """Host names under which it is reached; asked for only where nobody is asked for a key, or a proxy names people."""
    forward_header: str = ""
    """Header in which trusted proxies name the person that they have let in, in lower case; empty: none."""

    def __repr__(self) -> str:
        return f"<API at {self.host} port {self.port}{', open' if self.open else ''}>"


class CrossSeedSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How to tell cross-seed of completed torrents. Secrets are left out of `repr`."""

    url: str | None
    """Address of its webhook, which may hold a key; None turns forwarding off."""
    api_key: str | None
    timeout_s: float
    """Longest wait for an answer, seconds."""

    def __repr__(self) -> str:
        return f"<CrossSeedSettings, {'off' if self.url is None else 'on'}, {self.timeout_s:g} s>"


class NotificationSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The section `notifications`."""

    urls: tuple[str, ...]
    """Addresses, as Apprise takes them."""
    events: tuple[str, ...]
    after_s: float
    """Seconds that something must last before people are told."""
    repeat_s: float
    """Seconds after which they are told again while it lasts."""

    def __repr__(self) -> str:
        return f"<notifications of {', '.join(self.events) or 'nothing'} to {len(self.urls)} addresses>"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All parts of a configuration that the daemon uses."""

    policy: Policy
    connections: tuple[QBittorrentSettings, ...]
    """One for each qBittorrent, at least one."""
    database_path: str
    former_database_paths: tuple[str, ...]
    """Places where earlier versions may have kept the journal."""
    retention_s: float
    """Seconds for which history is kept."""
    give_up_s: float
    """Seconds for which originals of torrents that qBittorrent lacks are kept."""
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
    """Hints about the file that are no errors; see `Loaded.notes`."""
    next_steps: NextSteps
    """Steps for a person until caps are held."""
    secret_files: tuple[str, ...] = ()
    """Files that variables name, whose content is a part of the configuration."""
    file: Literal["read", "written", "absent"] = "read"
    """The configuration file. `written`: it was missing, and made. `absent`: that failed (see `notes`)."""

    @property
    def connection(self) -> QBittorrentSettings:
        """The first qBittorrent, as a rule the only one."""
        return self.connections[0]

    @property
    def longest_silence_s(self) -> float:
        """The longest that any qBittorrent may be silent, seconds."""
        return max(connection.timeout_s for connection in self.connections)

    def __repr__(self) -> str:
        return f"<Settings for {self.connection.url}>"
