"""What a site makes of announces: bytes since a peer's last one ÷ whole seconds since then, as NexusPHP computes it.

A session of a peer begins with the first announce that the site does not know it by, and ends with `stopped`. Times are
whole seconds. A repeated announce within REPEATED_S is answered and does not count; an interval of no second has no
speed. Sites that use NexusPHP refuse early announces without an event, too; here all count, which is stricter.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

REPEATED_S: Final = 5
"""Time for which NexusPHP takes a further announce for a repeated one, seconds."""


@dataclass(frozen=True)
class Announce:
    """What one announce told."""

    at: float
    """When it came, Unix seconds."""
    info_hash: str
    peer: str
    """Address, port and id of the peer."""
    uploaded: int
    """Bytes in this session of the peer."""
    event: str
    """`started`, `completed`, `stopped` or empty."""


@dataclass(frozen=True)
class Interval:
    """What a site computes when an announce comes."""

    start: float
    """When the announce before it came, Unix seconds."""
    end: float
    info_hash: str
    seconds: int
    """Whole seconds in between, as the site counts."""
    sent: int
    """Bytes uploaded in between."""
    event: str
    """Of the announce at its end."""

    @property
    def rate(self) -> float:
        """Bytes/s."""
        return self.sent / self.seconds


def intervals(announces: Iterable[Announce]) -> Iterator[Interval]:
    """Yield all intervals that a site computes a speed of, in order."""
    known: dict[tuple[str, str], Announce] = {}
    for announce in announces:
        key = announce.info_hash, announce.peer
        before = known.get(key)
        if before is not None:
            seconds = math.floor(announce.at) - math.floor(before.at)
            if announce.at - before.at < REPEATED_S and not announce.event:
                continue
            if seconds > 0:
                sent = max(0, announce.uploaded - before.uploaded)
                yield Interval(before.at, announce.at, announce.info_hash, seconds, sent, announce.event)
        if announce.event == "stopped":
            known.pop(key, None)
        else:
            known[key] = announce
