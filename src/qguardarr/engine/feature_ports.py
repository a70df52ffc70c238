"""Protocols of what features and the API need besides the engine: the store, completions, metrics, messages.

Adapters implement them; tests bring fakes held to the same contract. The ports of the engine are in `ports.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Literal, Protocol

import msgspec

from qguardarr.core.caps.scaled import Order
from qguardarr.core.caps.temporary import Override


class OverrideStore(Protocol):
    """Keeps temporary caps, boosts and hushes over restarts. Every method raises `StoreError` when it cannot."""

    def overrides(self) -> dict[str, Override]: ...

    def set_override(self, tracker: str, cap: int, until: float) -> None: ...

    def clear_override(self, tracker: str) -> None: ...

    def orders(self) -> dict[str, Order]: ...

    def set_orders(self, groups: Iterable[str], order: Order) -> None: ...

    def clear_orders(self, kind: str, groups: Collection[str] = ()) -> int: ...


class LearntStore(Protocol):
    """Keeps bytes under names. Both methods raise `StoreError` when they cannot."""

    def learnt(self) -> dict[str, bytes]: ...

    def keep_learnt(self, parts: Mapping[str, bytes]) -> None: ...


class RateSample(msgspec.Struct, frozen=True, gc=False):
    """Upload of one tracker in one stretch of time. bytes ÷ seconds is the mean rate."""

    tracker: str
    seconds: float
    """How much of the time was observed, seconds; the rest is unknown, and not zero."""
    bytes: float
    peak: float
    """Highest rate over 10 s, bytes/s."""
    cap: float | None
    """Cap in force at the end, bytes/s; None: none."""
    effective: float | None
    """Effective cap at the end, bytes/s; None: unlimited."""
    over_s: float
    """Seconds over the cap; see `TrackerRow.over_cap_s`."""


class RatePoint(RateSample, frozen=True, gc=False, kw_only=True):
    """A `RateSample` in the history."""

    at: float
    """Start of the stretch, Unix time, seconds."""


class RateTotal(msgspec.Struct, frozen=True, gc=False):
    """Upload of one tracker since a time."""

    tracker: str
    seconds: float
    bytes: float
    over_s: float


class RateHistory(Protocol):
    """The history of rates. Every method raises `StoreError` when it cannot."""

    def record(self, at: float, rows: Sequence[RateSample]) -> None:
        """Add what was uploaded in the minute that begins at `at`, Unix seconds."""
        ...

    def thin(self, now: float) -> int:
        """Delete what is older than is kept; return the number of points deleted. `now`: Unix seconds."""
        ...

    def rates(self, tracker: str | None, start: float, end: float, step_s: float | None) -> list[RatePoint]:
        """Return points between two Unix times."""
        ...

    def totals(self, start: float) -> list[RateTotal]:
        """Return sums since a Unix time, of trackers that have any."""
        ...


class UsageRow(msgspec.Struct, frozen=True, gc=False):
    """Bytes that a group uploaded in an hour, a day or a month."""

    group: str
    """Its id; empty: the line."""
    hour: int
    """Unix time at which the hour begins; 0 for a day or a month."""
    day: str
    """The local day, as `2026-11-30`, or the month, as `2026-11`."""
    bytes: int


class Counted(msgspec.Struct, frozen=True):
    """What was counted of one instance since the last time."""

    instance: str
    until: float
    """Unix time up to which everything is counted."""
    rows: Sequence[UsageRow]
    """By group, hour and day."""
    since: Mapping[str, int]
    """The same by group."""
    periods: Mapping[str, tuple[float, int]] = {}
    """Start (Unix time) of the present period of each quota, and the bytes to add to it, by group."""


class CountedSince(msgspec.Struct, frozen=True):
    """What was counted of one instance since its counters were copied. Times are Unix seconds."""

    copied_at: float
    counted_until: float
    bytes: Mapping[str, int]
    """By group."""


class UsageStore(Protocol):
    """Keeps usage for ever. Every method raises `StoreError` when it cannot, and has changed nothing then."""

    def add_usage(self, counted: Counted) -> None: ...

    def copy_counters(self, counted: Counted, parts: Iterable[bytes]) -> None: ...

    def counted_since_copy(self, instance: str) -> CountedSince | None: ...

    def counters(self, instance: str, part: int) -> bytes: ...

    def usage_hours(self, group: str | None, start: float, end: float) -> list[UsageRow]: ...

    def usage_days(self, group: str | None, first: str, last: str, *, months: bool = False) -> list[UsageRow]: ...

    def usage_totals(self) -> dict[str, int]: ...

    def usage_period(self, group: str) -> tuple[float, int] | None: ...


class Completions(Protocol):
    """Takes note of completed torrents."""

    def complete(self, info_hash: str) -> None:
        """Take note of a completed torrent, and return at once."""
        ...


class Entry(msgspec.Struct, frozen=True, gc=False):
    """A completed torrent that cross-seed does not know yet. Times are Unix seconds."""

    info_hash: str
    """qBittorrent's id, 40 hex digits in lower case."""
    added_at: float
    attempts: int = 0
    next_try_at: float = 0.0
    """Earliest time of the next attempt."""
    last_error: str = ""
    """Why the last attempt failed, in words and free of secrets; empty before the first."""


class Outbox(Protocol):
    """Keeps entries over restarts. Every method raises `StoreError` when it fails, and has changed nothing then."""

    def outbox(self, limit: int) -> list[Entry]:
        """Return the oldest entries, oldest first, `limit` of them at most."""
        ...

    def outbox_put(self, entry: Entry) -> None:
        """Keep an entry; it replaces an earlier one of the same torrent."""
        ...

    def outbox_remove(self, info_hash: str) -> None:
        """Delete the entry of a torrent, if there is one."""
        ...


class MetricsPage(Protocol):
    """The metrics, as the API needs them."""

    def observe_webhook(self, seconds: float) -> None:
        """A request to the webhook was answered within that time."""
        ...

    def render(self, accept: str | None) -> tuple[bytes, str]:
        """Return body and content type; `accept`: the header of that name."""
        ...


class Notification(msgspec.Struct, frozen=True):
    """A message to people."""

    event: str
    """An `AlertEvent`, or `test`."""
    title: str
    body: str
    severity: Literal["info", "warning", "failure", "success"]


class Messenger(Protocol):
    """Delivers notifications to people, in a thread of its own. No method waits or raises."""

    @property
    def problem(self) -> str:
        """Why the last message did not arrive everywhere; empty if it did. Free of secrets."""
        ...

    def configure(self, urls: Sequence[str]) -> None:
        """Use other addresses."""
        ...

    def send(self, notifications: Iterable[Notification]) -> None: ...

    def close(self) -> None: ...
