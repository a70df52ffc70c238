"""One qBittorrent in the status."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

Counts: TypeAlias = Literal["now", "last", "equal", "nothing"]


class LoginPause(msgspec.Struct, frozen=True):
    """qBittorrent refused the login, and it is not sent again yet."""

    next_try_at: float | None
    """When it is tried again by itself, Unix seconds; null: not before qBittorrent restarts, the configuration changes,
    or a person asks."""
    ask_from: float
    """From when on it is tried if a person asks (`POST /cycle/force`, SIGHUP), Unix seconds."""


class InstanceRow(msgspec.Struct, frozen=True, kw_only=True):
    """One qBittorrent."""

    name: str
    """Its name; empty for the only one."""
    state: Literal["starting", "read", "away"]
    """starting: not read yet. read: it answers. away: the last request failed; its limits stay as they are."""
    problem: str
    """Why it is away, in words; empty if it is not."""
    problem_kind: str
    """Name of the error behind `problem`; empty if there is none."""
    away_since: float | None
    """When it went away, Unix seconds; null if it is not."""
    login_pause: LoginPause | None
    """Set while it refuses the login: when that is tried again."""
    read_at: float | None
    """When it was read last, Unix seconds; null if it was not."""
    torrents: int
    """Number of its torrents, as far as is known."""
    limited: int
    """Number of those whose limit is ours now."""
    counts: Counts = "now"
    """Its part of the caps. now: what its torrents upload. last: what their limits allow, `held_back`. equal:
    as much of each cap as if all qBittorrents had the same, or what it used before if that is more, since it was not
    read since the start. nothing: it has been away for longer than `away_after`."""
    held_back: float = 0.0
    """Bytes/s of all caps together that are kept for it, if `counts` is `last`."""
    url: str = ""
    """Address of its Web UI."""
    version: str | None = None
    """Its version; null before it has answered."""
    webapi_version: str | None = None
    """Version of its Web API; null before it has answered."""
    breaker: str = ""
    """See `breaker` of the status."""
