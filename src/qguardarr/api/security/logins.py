"""A bound on guessing the password that slows guessers down and does not lock the owner out.

Failed logins are counted by caller. There are three kinds of callers:

- A *known device* is a browser with the cookie of an earlier login. Nobody can forge one, so it answers for its own
  failures alone.
- A *known address* is one from which somebody has logged in since the start. Guessers may share it (one router, one
  proxy), but strangers elsewhere do not hold it up.
- *Strangers* are all others. They share two lines, one for addresses that have not failed yet and one for those that
  have, so that a new address does not wait behind guessers that come again and again.

A known caller that fails too often waits for its answer, a little longer each time, but is never refused for that. A
stranger is sent away with a place in the line and the time of its turn, so that no connection is held for it. Nobody
can jump the line, and one address has one place in it, however often it asks.

A try counts before its password is looked at, so that many at once gain nothing. Times are monotonic seconds.
"""

from __future__ import annotations

import ipaddress
import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, NamedTuple

FREE_FAILURES: Final = 5
"""Failed logins of one caller before its waits begin."""
STRANGER_DELAY_S, STRANGER_LONGEST_S = 30.0, 3600.0
"""First and longest wait of a stranger between its tries; doubles with each failure."""
KNOWN_DELAY_S, KNOWN_LONGEST_S = 1.0, 10.0
"""The same for a known caller, whose answer is held back for this time."""
NEW_INTERVAL_S, NEW_BURST = 3.0, 30
"""Line of addresses that have not failed yet: seconds between two tries, and tries that need no wait."""
AGAIN_INTERVAL_S, AGAIN_BURST = 10.0, 10
"""The same for the line of addresses that have failed."""
LONGEST_LINE_S: Final = 3600.0
"""No place further off is given out."""
PLACE_KEPT_S: Final = 60.0
"""A turn may be taken this late."""
FORGET_S: Final = 86400.0
"""A caller's failures are forgotten this long after its last wait."""
MAX_STRANGERS: Final = 4096
"""More than twice the places that both lines can give out, so that nobody who stands in one is forgotten."""
MAX_KNOWN: Final = 256
"""Known addresses, and known devices. A guesser cannot become one."""
MOST_WAITING, MOST_WAITING_IN_ALL = 4, 16
"""Answers that are held back at one time, for one known caller and for all."""

_ROUNDING_S: Final = 1e-6


class Turn(NamedTuple):
    """Answer to a caller that wants to try."""

    granted: bool
    """Check the password after `wait_s`, then call `done`. If false, the caller has to come again after `wait_s`."""
    wait_s: float
    address: str = ""
    known: _Known | None = None


class LoginLimiter:
    """Decide who may try a password, and when. Used by one thread."""

    def __init__(self) -> None:
        self._new = _Line(NEW_INTERVAL_S, NEW_BURST)
        self._again = _Line(AGAIN_INTERVAL_S, AGAIN_BURST)
        self.strangers: OrderedDict[str, _Stranger] = OrderedDict()
        self.addresses: OrderedDict[str, _Known] = OrderedDict()
        self.devices: OrderedDict[str, _Known] = OrderedDict()
        self._waiting = 0

    def take(self, address: str, device: str | None, now: float) -> Turn:
        """Ask for a try. `device`: id of a known device, if the caller has shown one."""
        known = self.addresses.get(address) if device is None else self._remember(self.devices, device)
        return self._take_stranger(address, now) if known is None else self._take_known(address, known, now)

    def done(self, turn: Turn, *, right: bool, now: float) -> None:
        """End a try that was granted. A right password makes its address known."""
        if turn.known is not None:
            turn.known.waiting -= 1
            self._waiting -= 1
        if right:
            if turn.known is not None:
                turn.known.failures, turn.known.next_at = 0, now
            self.strangers.pop(turn.address, None)
            self._remember(self.addresses, turn.address)

    def _remember(self, table: OrderedDict[str, _Known], name: str) -> _Known:
        known = table[name] = table.pop(name) if name in table else _Known()
        if len(table) > MAX_KNOWN:
            table.popitem(last=False)
        return known

    def _take_known(self, address: str, known: _Known, now: float) -> Turn:
        if known.waiting >= MOST_WAITING or self._waiting >= MOST_WAITING_IN_ALL:
            return Turn(False, KNOWN_LONGEST_S)
        if now - known.next_at > FORGET_S:
            known.failures = 0
        at = max(now, known.next_at)
        known.failures += 1
        known.next_at = at + _delay(known.failures, KNOWN_DELAY_S, KNOWN_LONGEST_S)
        known.waiting += 1
        self._waiting += 1
        return Turn(True, at - now, address, known)

    def _take_stranger(self, address: str, now: float) -> Turn:
        found = self.strangers.get(address)
        if found is None or (now - found.next_at > FORGET_S and not found.in_line(now)):
            found = _Stranger(next_at=now)
        if found.next_at - now > _ROUNDING_S:
            return Turn(False, found.next_at - now)
        if not found.in_line(now):
            turn = (self._again if found.failures else self._new).book(now)
            if turn is None:
                return Turn(False, LONGEST_LINE_S)
            found.turn = turn
            self._keep(address, found, now)
        if found.turn - now > _ROUNDING_S:
            return Turn(False, found.turn - now)
        found.turn = -math.inf
        found.failures += 1
        found.next_at = now + _delay(found.failures, STRANGER_DELAY_S, STRANGER_LONGEST_S)
        return Turn(True, 0.0, address)

    def _keep(self, address: str, stranger: _Stranger, now: float) -> None:
        self.strangers.pop(address, None)
        self.strangers[address] = stranger
        while len(self.strangers) > MAX_STRANGERS:
            oldest, other = self.strangers.popitem(last=False)
            if other.in_line(now):
                self.strangers[oldest] = other


@dataclass(slots=True)
class _Known:
    failures: int = 0
    next_at: float = -math.inf
    waiting: int = 0


@dataclass(slots=True)
class _Stranger:
    next_at: float
    """When its own wait ends."""
    failures: int = 0
    turn: float = -math.inf
    """Its place in a line."""

    def in_line(self, now: float) -> bool:
        return now <= self.turn + PLACE_KEPT_S


class _Line:
    """Turns at a bounded rate: a token bucket, kept as one number (GCRA), whose tokens are given out in advance."""

    def __init__(self, interval_s: float, burst: int) -> None:
        self._interval_s = interval_s
        self._burst_s = (burst - 1) * interval_s
        self._full_at = -math.inf

    def book(self, now: float) -> float | None:
        """Return the next free turn; None if it is too far off."""
        full_at = max(self._full_at, now)
        turn = max(now, full_at - self._burst_s)
        if turn - now > LONGEST_LINE_S:
            return None
        self._full_at = full_at + self._interval_s
        return turn


def _delay(failures: int, first_s: float, longest_s: float) -> float:
    return 0.0 if failures < FREE_FAILURES else min(first_s * 2.0 ** min(failures - FREE_FAILURES, 30), longest_s)


def address_group(host: str) -> str:
    """Return the name under which an address is counted: itself, or of IPv6 the /64, which one customer has."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "unknown"
    if isinstance(address, ipaddress.IPv4Address):
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return f"{ipaddress.IPv6Address(int(address) >> 64 << 64)}/64"
