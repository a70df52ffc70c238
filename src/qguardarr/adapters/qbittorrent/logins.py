"""When a login may be tried, so that our attempts never add up to a ban.

qBittorrent bans an address for an hour after five failed logins, whoever behind that address made them. A failed login
is forgotten when one succeeds, when a ban ends, and when qBittorrent restarts; never by itself. During a ban, attempts
are answered with 403; they do not count and do not prolong it. (Tried on 4.5.2, 5.1.0 and 5.3.0:
`tests/live/test_live_login.py`.) So a refused password is tried three times at most by itself, and the rest is left to
other clients and to people.

While a login is held back, a request asks for the login page instead: that needs no session, counts as no login, takes
2 ms, and holds a mark that qBittorrent draws by lot at its start. Another mark means another process, which has
forgotten failures and bans.
"""

from __future__ import annotations

import contextlib
import math
import re
import time
from collections.abc import Callable
from typing import Final

import structlog

from qguardarr.adapters.qbittorrent.transport import ConnectionLost
from qguardarr.errors import Banned, LoginRefused, Unreachable

REFUSED_PAUSES_S: Final = (900.0, 7200.0)
"""Pause after the first and after the second refusal in a row. After the third, nothing is tried without a reason."""
BANNED_PAUSE_S: Final = 600.0
"""Attempts during a ban cost nothing; this is how late the end of one may be noticed."""
UNCOUNTED_PAUSE_S: Final = 60.0
"""After refusals that qBittorrent does not count: of an API key, or where no user name is configured."""
ASKED_PAUSES_S: Final = (0.0, 10.0, 600.0, 3600.0)
"""How soon after the first, second … refusal a person may have it tried again: at once, but whoever clicks ten times in
a row causes one attempt, and the fifth refusal, which means a ban, takes more than an hour of asking."""
PROBE_S: Final = 1.5
"""Shortest time between two looks at the login page."""
_MARK: Final = re.compile(rb"css/login\.css\?v=(\w+)")
"""On the login page of all versions from 4.5.2 to 5.3.0 (`m_cacheID` in its source). Other web interfaces lack it."""

_log = structlog.get_logger(__name__)


class LoginGate:
    """Hold the last refusal back until there is a reason to try again: time, a person, or a restart of qBittorrent."""

    def __init__(
        self,
        read_page: Callable[[], bytes],
        *,
        monotonic: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """`read_page`: reads the login page without credentials; raises `Unreachable`."""
        self._read_page = read_page
        self._now, self._wall_now = monotonic, wall_clock
        self._refusals = 0
        """Refusals of ours in a row that qBittorrent counts, as far as we know."""
        self._elsewhere = 0
        """Refusals since the last login that succeeded which a person's tests of the connection added."""
        self._error: LoginRefused | None = None
        """The last refusal; None after a login that succeeded."""
        self._next_at = self._ask_from = -math.inf
        """When we try again by ourselves, and from when on a person may ask for it. Monotonic seconds."""
        self._mark: bytes | None = None
        """Of the process that refused the login; None: unknown."""
        self._was_away = False
        """Whether qBittorrent could not be reached since it refused the login."""
        self._probe_from = 0.0

    def pass_or_raise(self) -> None:
        """Return if a login may be sent; else raise the last refusal, or `Unreachable` if qBittorrent is away."""
        if self._error is None:
            return
        now = self._now()
        if self._probe_from <= now < self._next_at:
            self._probe(now)
            self._probe_from = now + PROBE_S
        if now < self._next_at:
            raise self._with_times(self._error, now)

    def refused(self, error: LoginRefused, *, counted: bool) -> LoginRefused:
        """Note a refusal. Return it with the time of the next try. `counted`: it brings a ban nearer."""
        now, pause_s = self._now(), UNCOUNTED_PAUSE_S
        if isinstance(error, Banned):
            pause_s = BANNED_PAUSE_S
        elif counted:
            self._refusals += 1
            pause_s = math.inf if self._tries_are_used_up() else REFUSED_PAUSES_S[self._refusals - 1]
        self._error, self._mark, self._was_away = error, None, False
        self._next_at, self._ask_from = now + pause_s, now + (asked_pause_s(self._all()) if counted else 0.0)
        self._probe_from = now + PROBE_S
        next_try_in_s = pause_s if math.isfinite(pause_s) else None
        _log.error("qbittorrent.login_refused", reason=str(error), next_try_in_s=next_try_in_s)
        return self._with_times(error, now)

    def remember_process(self) -> None:
        """Look which process has refused, over the same connection as the login."""
        with contextlib.suppress(Unreachable):
            self._mark = self._read_mark()

    def let_in(self) -> None:
        """Note that a login succeeded, or that none was needed."""
        self._refusals = self._elsewhere = 0
        self._error = None

    def refused_elsewhere(self) -> None:
        """Note that a person's test of a connection was refused, perhaps by this qBittorrent. From any thread."""
        self._elsewhere += 1
        self._ask_from = max(self._ask_from, self._now() + asked_pause_s(self._all()))
        if self._tries_are_used_up() and not isinstance(self._error, Banned):
            self._next_at = math.inf

    def let_in_elsewhere(self) -> None:
        """Note that this qBittorrent let in such a test: it has forgotten the refusals. From any thread."""
        self._refusals = self._elsewhere = 0
        self._ask_from = -math.inf

    @property
    def refusals(self) -> int:
        """Refusals of ours in a row."""
        return self._refusals

    @property
    def wait_s(self) -> float:
        """Seconds until a person may have a login tried again."""
        return max(0.0, self._ask_from - self._now())

    def ask(self) -> None:
        """Try at the next request, as a person wants, unless that comes too soon after the last attempt."""
        now = self._now()
        if now >= self._ask_from:
            self._next_at = min(self._next_at, now)

    def follow(self, before: LoginGate, *, same_server: bool, same_credentials: bool) -> None:
        """Take the place of another gate: remember what the same qBittorrent refused, and what tests added."""
        self._elsewhere = before._elsewhere
        if same_server:
            self._refusals = before._refusals
        if same_server and same_credentials:
            self._error, self._next_at, self._ask_from = before._error, before._next_at, before._ask_from
            self._mark, self._was_away = before._mark, before._was_away

    def _probe(self, now: float) -> None:
        """See, without a login, whether qBittorrent is another process than the one that refused."""
        try:
            mark = self._read_mark()
        except Unreachable as error:
            self._was_away |= not isinstance(error, ConnectionLost)  # that one is asked again at once
            raise
        if mark is not None and self._mark is not None:
            if mark != self._mark:
                _log.info("qbittorrent.restarted", advice="the login is tried again")
                self._refusals = self._elsewhere = 0
                self._next_at = now
        elif self._was_away:  # it may have restarted: one of the tries left is used to find out
            _log.info("qbittorrent.back", advice="the login is tried again if that cannot lead to a ban")
            if isinstance(self._error, Banned) or not self._tries_are_used_up():
                self._next_at = min(self._next_at, now)
        self._was_away = False
        self._mark = mark or self._mark

    def _read_mark(self) -> bytes | None:
        """Return the mark of qBittorrent's process; None if the page does not show one."""
        found = _MARK.search(self._read_page())
        return None if found is None else found[1]

    def _with_times(self, error: LoginRefused, now: float) -> LoginRefused:
        """Return the refusal with the Unix times of the next tries."""
        wall_now = self._wall_now()
        next_try_at = wall_now + self._next_at - now if math.isfinite(self._next_at) else None
        return type(error)(str(error), next_try_at=next_try_at, ask_from=wall_now + self._ask_from - now)

    def _tries_are_used_up(self) -> bool:
        return self._all() > len(REFUSED_PAUSES_S)

    def _all(self) -> int:
        return self._refusals + self._elsewhere


def asked_pause_s(refusals: int) -> float:
    """Return the seconds that a person has to wait after this number of refusals in a row."""
    return ASKED_PAUSES_S[min(max(refusals, 1), len(ASKED_PAUSES_S)) - 1]
