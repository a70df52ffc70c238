"""When a login may be tried, so that our attempts never add up to a ban.

qBittorrent bans an address for an hour after five failed logins, whoever behind that address made them. A failed login
is forgotten when one succeeds, when a ban is over, and when qBittorrent restarts; never by itself. While a ban lasts,
attempts are answered with 403; they do not count and do not prolong it. (Tried on 4.5.2, 5.1.0 and 5.3.0:
`tests/live/test_live_login.py`.)

So a refused password is tried three times at most by itself, and the rest is left to other clients and to people.
"""

from __future__ import annotations

import math
from typing import Final

from qguardarr.errors import Banned, LoginRefused

REFUSED_PAUSES_S: Final = (900.0, 7200.0)
"""Pause after the first and after the second refusal in a row. After the third, nothing is tried without a reason."""
BANNED_PAUSE_S: Final = 600.0
"""Attempts during a ban cost nothing; this is how late the end of one may be noticed."""
UNCOUNTED_PAUSE_S: Final = 60.0
"""After refusals that qBittorrent does not count: of an API key, or where no user name is configured."""
ASKED_PAUSES_S: Final = (0.0, 10.0, 600.0, 3600.0)
"""How soon after the first, second … refusal a person may have it tried again: at once, but whoever clicks ten times in
a row causes one attempt, and the fifth refusal, which means a ban, takes more than an hour of asking."""


class LoginPolicy:
    """Counts refused logins and decides whether one may be sent now. Times are monotonic seconds, and are passed in."""

    def __init__(self, refusals: int = 0) -> None:
        self.refusals = refusals
        """Refusals in a row that qBittorrent counts, as far as we know."""
        self._error: LoginRefused | None = None
        self._next_at = -math.inf
        self._ask_from = -math.inf

    @property
    def paused(self) -> bool:
        """Whether the last attempt was refused."""
        return self._error is not None

    def may_try(self, now: float) -> bool:
        """Tell whether a login may be sent."""
        return self._error is None or now >= self._next_at

    def refused(self, error: LoginRefused, now: float, *, counted: bool) -> float | None:
        """Note a refusal; `counted`: by qBittorrent. Return the pause in seconds; None: never without a reason."""
        self._error = error
        pause_s = UNCOUNTED_PAUSE_S
        if isinstance(error, Banned):
            pause_s = BANNED_PAUSE_S
        elif counted:
            self.refusals += 1
            pause_s = math.inf if self._spent else REFUSED_PAUSES_S[self.refusals - 1]
        self._next_at = now + pause_s
        asked = min(self.refusals, len(ASKED_PAUSES_S)) - 1 if counted else 0
        self._ask_from = now + ASKED_PAUSES_S[max(0, asked)]
        return pause_s if math.isfinite(pause_s) else None

    def let_in(self) -> None:
        """Note that a login succeeded, or that none was needed."""
        self.refusals, self._error = 0, None

    def ask(self, now: float) -> None:
        """Let the login be tried now, as a person wants, unless that comes too soon after the last attempt."""
        if now >= self._ask_from:
            self._next_at = min(self._next_at, now)

    def restarted(self, now: float) -> None:
        """Note that qBittorrent has certainly restarted: it has forgotten all failures."""
        self.refusals, self._next_at = 0, now

    def came_back(self, now: float) -> None:
        """Note that qBittorrent was away and may have restarted; one of the tries left is used to find out."""
        if isinstance(self._error, Banned) or not self._spent:
            self._next_at = min(self._next_at, now)

    def error(self, now: float, wall_now: float) -> LoginRefused:
        """Return the last refusal, with the times of the next tries. `wall_now`: Unix seconds at `now`."""
        assert self._error is not None
        next_try_at = wall_now + self._next_at - now if math.isfinite(self._next_at) else None
        ask_from = wall_now + self._ask_from - now
        return type(self._error)(str(self._error), next_try_at=next_try_at, ask_from=ask_from)

    @property
    def _spent(self) -> bool:
        return self.refusals > len(REFUSED_PAUSES_S)
