"""Settings of the service's parts, as plain values; made by `qguardarr.app.settings` from the configuration."""

from __future__ import annotations

import msgspec


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
    """As configured, or of QGUARDARR_API_KEY. None: the one that `adapters.keys` keeps."""
    username: str | None
    password_hash: str | None
    """argon2id, in its text form. The same at each load as long as name and password are."""
    metrics_open: bool
    """Whether metrics may be read without a key."""
    allowed_hosts: tuple[str, ...] = ()
    """Host names under which it is reached; asked for only where nobody is asked for a key."""

    def __repr__(self) -> str:
        return f"<API at {self.host} port {self.port}{', open' if self.open else ''}>"


class CrossSeedSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How to tell cross-seed of completed torrents. Secrets are left out of `repr`."""

    url: str | None
    """Address of its webhook, which may hold a key; None: nobody is told."""
    api_key: str | None
    timeout_s: float
    """Longest wait for an answer, seconds."""

    def __repr__(self) -> str:
        return f"<CrossSeedSettings, {'off' if self.url is None else 'on'}, {self.timeout_s:g} s>"


class NotificationSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Who is told of what."""

    urls: tuple[str, ...]
    """Of Apprise."""
    events: tuple[str, ...]
    after_s: float
    """How long something must last before it is told."""
    repeat_s: float
    """… and after how long again, while it lasts."""

    def __repr__(self) -> str:
        return f"<notifications of {', '.join(self.events) or 'nothing'} to {len(self.urls)} addresses>"
