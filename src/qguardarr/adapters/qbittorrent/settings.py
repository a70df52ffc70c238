"""What the adapter needs to know to reach one qBittorrent."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import SplitResult, urlsplit


@dataclass(frozen=True, slots=True)
class QBittorrentSettings:
    """Where qBittorrent is and how to log in. Secrets are left out of `repr`."""

    url: str
    """Base address, `http://host:8080` or `https://host/prefix`. No user name in it. Empty: not known, so that
    every call raises `NoAddress`."""
    username: str | None = None
    """None: no login (qBittorrent lets this address in without one)."""
    password: str = field(default="", repr=False)
    api_key: str | None = field(default=None, repr=False)
    """Used instead of user name and password (qBittorrent 5.2 and newer)."""
    auth: Literal["cookie", "basic"] = "cookie"
    """How `username` logs in: the login form, or HTTP Basic (qBittorrent 5.2 and newer)."""
    timeout_s: float = 30.0
    """Longest silence of qBittorrent before a call is given up, seconds."""
    verify_tls: bool = True
    ca_file: Path | None = None
    """Certificates to trust instead of the system's."""
    inventory_s: float = 300.0
    """Before qBittorrent 4.6: longest time between two complete listings, seconds."""

    def __post_init__(self) -> None:
        self.location()
        if self.timeout_s <= 0 or self.inventory_s <= 0:
            raise ValueError("times must be greater than 0 seconds")

    def location(self) -> SplitResult:
        """The parsed `url`, empty if that is; ValueError if it is none that can be used."""
        try:
            location = urlsplit(self.url)
            _ = location.port
        except ValueError:
            raise ValueError("the qBittorrent url cannot be read") from None
        if not self.url:
            return location
        if location.scheme not in {"http", "https"} or not location.hostname:
            raise ValueError("the qBittorrent url must look like http://host:port or https://host/path")
        if "@" in location.netloc or location.query or location.fragment:
            raise ValueError("the qBittorrent url must hold no user name, query or fragment")
        return location
