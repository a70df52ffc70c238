"""A bound on guessing the password that slows guessers down and does not lock the owner out.

Failed logins are counted by caller, and for the account as a whole. There are three kinds of callers:

- a *known device*: a browser with the cookie that a login leaves there. Nobody can forge one, so it answers only for
  its own failures;
- a *known address*: one from which somebody has logged in since the start. Guessers may share it (one router, one
  proxy), but strangers elsewhere do not hold it up;
- *strangers*: everybody else. They share two lines, one for addresses that have not failed yet and one for those that
  have, so that a new address need not wait behind guessers that come again and again.

A known caller that fails too often waits for its answer, a little longer each time, but is never refused for that. A
stranger is sent away with a place in the line and the time of its turn, so no connection has to be held. Nobody can
jump the line, and one address has one place in it, however often it asks.

A try is counted before its password is looked at, so that many at once gain nothing. Times are monotonic seconds.
"""

from __future__ import annotations

import ipaddress
import math
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final, NamedTuple

FREE_FAILURES: Final = 5
"""Failed logins of one caller before its own waits begin."""
STRANGER_DELAY_S, STRANGER_LONGEST_S = 30.0, 3600.0
"""First and longest wait of a stranger between its tries; doubles with each failure."""
KNOWN_DELAY_S, KNOWN_LONGEST_S = 1.0, 10.0
"""The same for a known caller, whose answer is held back so long."""
NEW_INTERVAL_S, NEW_BURST = 3.0, 30
"""The line of addresses that have not failed yet: seconds between two tries, and tries that need no wait."""
AGAIN_INTERVAL_S, AGAIN_BURST = 10.0, 10
"""The line of addresses that have."""
LONGEST_LINE_S: Final = 3600.0
"""No place is given out that is further off."""
PLACE_KEPT_S: Final = 60.0
"""How long a turn may be taken late."""
FORGET_S: Final = 86400.0
"""A stranger that has not tried for this long is as one that never failed."""
MAX_STRANGERS: Final = 4096
"""More than twice the places that both lines can give out, so that somebody who stands in one is never forgotten."""
MAX_KNOWN: Final = 256
"""Of known addresses, and of known devices. A guesser cannot become one."""
MOST_WAITING, MOST_WAITING_IN_ALL = 4, 16
"""Answers that are held back at one time: for one known caller, and for all."""

_ROUNDING_S: Final = 1e-6


class Turn(NamedTuple):
    """Whether a try may go ahead."""

    granted: bool
    """Look at the password after `wait_s`, and call `done`. If not: the caller has to come again after `wait_s`."""
    wait_s: float
    address: str = ""
    known: _Known | None = None


class LoginLimiter:
    """Decides who may try a password, and when. Used by one thread."""

    def __init__(self) -> None:
        self._new = _Line(NEW_INTERVAL_S, NEW_BURST)
        self._again = _Line(AGAIN_INTERVAL_S, AGAIN_BURST)
        self._strangers: OrderedDict[str, _Stranger] = OrderedDict()
        self._addresses: OrderedDict[str, _Known] = OrderedDict()
        self._devices: OrderedDict[str, _Known] = OrderedDict()
        self._waiting = 0

    def take(self, address: str, device: str | None, now: float) -> Turn:
        """Ask for a try. `device`: id of the known device, if the caller has shown one."""
        known = self._addresses.get(address) if device is None else self._remember(self._devices, device)
        return self._take_stranger(address, now) if known is None else self._take_known(address, known, now)

    def done(self, turn: Turn, *, right: bool, now: float) -> None:
        """End a try that was granted. Where the password was right, the address is known from now on."""
        if turn.known is not None:
            turn.known.waiting -= 1
            self._waiting -= 1
        if right:
            if turn.known is not None:
                turn.known.failures, turn.known.next_at = 0, now
            self._strangers.pop(turn.address, None)
            self._remember(self._addresses, turn.address)

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
        found = self._strangers.get(address)
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
        self._strangers.pop(address, None)
        self._strangers[address] = stranger
        while len(self._strangers) > MAX_STRANGERS:
            oldest, other = self._strangers.popitem(last=False)
            if other.in_line(now):
                self._strangers[oldest] = other


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
    turn: float = field(default=-math.inf)
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
        """The next free turn; None if it is too far off."""
        full_at = max(self._full_at, now)
        turn = max(now, full_at - self._burst_s)
        if turn - now > LONGEST_LINE_S:
            return None
        self._full_at = full_at + self._interval_s
        return turn


def _delay(failures: int, first_s: float, longest_s: float) -> float:
    return 0.0 if failures < FREE_FAILURES else min(first_s * 2.0 ** min(failures - FREE_FAILURES, 30), longest_s)


def address_group(host: str) -> str:
    """Whom to count an address for: itself; of IPv6 the /64, which is what one customer has."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "unknown"
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return f"{ipaddress.IPv6Address(int(address) >> 64 << 64)}/64"
