"""Settings of the service's parts, as plain values; made by `qguardarr.wiring` from the configuration."""

from __future__ import annotations

import msgspec


class CrossSeedSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How to tell cross-seed of completed torrents. Secrets are left out of `repr`."""

    url: str | None
    """Address of its webhook, which may hold a key; None: nobody is told."""
    api_key: str | None
    timeout_s: float
    """Longest wait for an answer, seconds."""

    def __repr__(self) -> str:
        return f"<CrossSeedSettings, {'off' if self.url is None else 'on'}, {self.timeout_s:g} s>"
