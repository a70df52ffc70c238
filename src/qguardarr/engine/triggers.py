"""Queue the webhook's hints about torrents until the next cycle: bounded, one entry for each torrent.

A hint only brings the next cycle forward. A lost one costs seconds, never correctness, so a full queue drops hints and
asks for a full read instead.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final, Literal

import msgspec

from qguardarr.engine.status import WebhookCounts

Event = Literal["add", "complete", "delete"]

CAPACITY: Final = 10_000
"""Torrents; about 1.5 MB."""


class Hints(msgspec.Struct, frozen=True):
    """Torrents to read in the next cycle."""

    hashes: frozenset[str]
    overflow: bool
    """Some hints were dropped: read everything."""
    instances: Mapping[str, str] = {}
    """Name of the qBittorrent, by hash, where the event told."""

    def of(self, instance: str) -> frozenset[str]:
        """Return the hashes that concern one qBittorrent."""
        if not self.instances:
            return self.hashes
        return frozenset(hash_ for hash_ in self.hashes if self.instances.get(hash_, instance) == instance)


class Triggers:
    """The queue: the API fills it, the engine empties it. For any thread."""

    def __init__(
        self, wake: Callable[[], None], *, capacity: int = CAPACITY, wall_clock: Callable[[], float] = time.time
    ) -> None:
        self._wake = wake
        self._capacity = capacity
        self._wall_clock = wall_clock
        self._lock = threading.Lock()
        self.dropped_at = -math.inf
        """When an event was dropped last, by the monotonic clock, seconds."""
        self._events: dict[str, Event] = {}
        self._instances: dict[str, str] = {}
        self._overflow = False
        self._counts = WebhookCounts()

    def put(self, event: Event, hash: str, instance: str = "") -> bool:  # noqa: A002 # what it is
        """Take note of an event, and bring the next cycle forward. False if the queue is full.

        `instance`: name of the qBittorrent that sent it; empty if it is not known, or has none.
        """
        with self._lock:
            first = not self._events
            known = hash in self._events
            room = known or len(self._events) < self._capacity
            if room:
                if instance and self._instances.get(hash, "" if known else instance) == instance:
                    self._instances[hash] = instance
                else:  # any of them
                    self._instances.pop(hash, None)
                self._events[hash] = event
            else:
                self._overflow = True
                self.dropped_at = time.monotonic()
            self._counts = msgspec.structs.replace(
                self._counts,
                received=self._counts.received + 1,
                coalesced=self._counts.coalesced + known,
                dropped=self._counts.dropped + (not room),
                last_at=self._wall_clock(),
            )
        if first:  # the others come along: to wake a thread costs more than all of the above
            self._wake()
        return room

    def reject(self) -> None:
        """Count a request that held no usable event."""
        with self._lock:
            self._counts = msgspec.structs.replace(self._counts, rejected=self._counts.rejected + 1)

    def take(self) -> Hints:
        """Empty the queue."""
        with self._lock:
            hints = Hints(frozenset(self._events), self._overflow, self._instances)
            self._events, self._instances = {}, {}
            self._overflow = False
        return hints

    def __len__(self) -> int:
        return len(self._events)

    def counts(self) -> WebhookCounts:
        """Return the counts since the start."""
        with self._lock:
            return msgspec.structs.replace(self._counts, queued=len(self._events))
