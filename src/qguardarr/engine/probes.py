"""Trying things out for people: what is asked for, and what comes of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, Literal, Protocol

import msgspec

from qguardarr.errors import QguardarrError

ConnectionKind = Literal["", "unreachable", "credentials", "banned", "refused", "no-address", "invalid", "timeout"]


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A connection to try. None: as configured."""

    instance: str | None = None
    """Name of the qBittorrent whose configuration counts; None: the first."""
    url: str | None = None
    username: str | None = None
    password: str | None = None
    api_key: str | None = None

    def __repr__(self) -> str:
        return "<Wanted>"


class ConnectionAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a test of a connection."""

    ok: bool
    """Whether qBittorrent let us in."""
    version: str = ""
    """Its version; empty if it did not."""
    webapi: str = ""
    """The version of its Web API."""
    kind: ConnectionKind = ""
    """Which failure it was; empty if there was none."""
    reason: str = ""
    """What went wrong, in words."""
    hint: str = ""
    """What to do."""
    took_s: float = 0.0
    """How long it took, seconds."""


class MessageResult(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a message at one service."""

    place: str
    """Place in the configuration, or number in the request: `notifications.urls[0]`."""
    service: str
    """Name, such as `Telegram`; empty if it is not known."""
    ok: bool
    """Whether the service took it."""
    problem: str
    """Why it did not; empty if it did."""


class MessageAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a test message."""

    ok: bool
    """Whether it arrived everywhere."""
    results: tuple[MessageResult, ...]
    """One for each address."""


MINUTES_FROM_S: Final = 120.0


class TooSoon(QguardarrError):
    """Another login would bring a ban nearer."""

    def __init__(self, wait_s: float) -> None:
        again = f"{math.ceil(wait_s)} s" if wait_s <= MINUTES_FROM_S else f"{math.ceil(wait_s / 60)} minutes"
        super().__init__(
            "logins have just been refused at this port, under whatever name, and qBittorrent blocks an address after "
            f"five; try again in {again}, or restart qBittorrent"
        )
        self.wait_s = wait_s


class Probes(Protocol):
    """Tries things out. Each call may take half a minute."""

    @property
    def has_addresses(self) -> bool:
        """Whether notifications are configured."""
        ...

    def connection(self, wanted: Wanted) -> ConnectionAnswer:
        """Log in as `wanted` says. Raises `TooSoon`."""
        ...

    def message(self, urls: Sequence[str] | None) -> MessageAnswer:
        """Send a test message to these Apprise addresses; None: to the configured ones."""
        ...
