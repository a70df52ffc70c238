"""Holds back a refused login until there is a reason to try it again: time, a person, or a restart of qBittorrent.

While a login is held back, a request asks for the login page instead (no oftener than every `PROBE_S`): that needs no
session, counts as no login, takes 2 ms, and holds a mark that qBittorrent draws by lot at its start. Another mark means
another process, which has forgotten failures and bans.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable
from typing import Final

import structlog

from qguardarr.adapters.qbittorrent.logins import LoginPolicy
from qguardarr.adapters.qbittorrent.transport import ConnectionLost
from qguardarr.errors import LoginRefused, Unreachable

PROBE_S: Final = 1.5
"""Shortest time between two looks at the login page."""
_MARK: Final = re.compile(rb"css/login\.css\?v=(\w+)")
"""On the login page of all versions from 4.5.2 to 5.3.0 (`m_cacheID` in its source). Other web interfaces lack it."""

_log = structlog.get_logger(__name__)


class LoginGate:
    """Knows the last refusal, and which process of qBittorrent made it."""

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
        self._policy = LoginPolicy()
        self._mark: bytes | None = None
        """Of the process that refused the login; None: unknown."""
        self._was_away = False
        """Whether qBittorrent could not be reached since it refused the login."""
        self._probe_from = 0.0

    def pass_or_raise(self) -> None:
        """Return if a login may be sent; else raise the last refusal, or `Unreachable` if qBittorrent is away."""
        if not self._policy.paused:
            return
        now = self._now()
        if not self._policy.may_try(now) and now >= self._probe_from:
            self._probe(now)
            self._probe_from = now + PROBE_S
        if not self._policy.may_try(now):
            raise self._policy.error(now, self._wall_now())

    def refused(self, error: LoginRefused, *, counted: bool) -> LoginRefused:
        """Note a refusal. Return it with the time of the next try. `counted`: it brings a ban nearer."""
        now = self._now()
        pause_s = self._policy.refused(error, now, counted=counted)
        self._mark, self._was_away = None, False
        self._probe_from = now + PROBE_S
        _log.error("qbittorrent.login_refused", reason=str(error), next_try_in_s=pause_s)
        return self._policy.error(now, self._wall_now())

    def remember_process(self) -> None:
        """Look which process has refused, over the same connection as the login."""
        with contextlib.suppress(Unreachable):
            self._mark = self._read_mark()

    def let_in(self) -> None:
        """Note that a login succeeded, or that none was needed."""
        self._policy.let_in()

    def ask(self) -> None:
        """Try at the next request, if a person may have that so soon."""
        self._policy.ask(self._now())

    def follow(self, before: LoginGate, *, same_credentials: bool) -> None:
        """Take the place of another gate before the same qBittorrent: remember what it refused."""
        if same_credentials:
            self._policy, self._mark, self._was_away = before._policy, before._mark, before._was_away
        else:
            self._policy = LoginPolicy(before._policy.refusals)

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
                self._policy.restarted(now)
        elif self._was_away:
            _log.info("qbittorrent.back", advice="the login is tried again if that cannot lead to a ban")
            self._policy.came_back(now)
        self._was_away = False
        self._mark = mark or self._mark

    def _read_mark(self) -> bytes | None:
        """Return what tells one process of qBittorrent from another; None if the page does not show it."""
        found = _MARK.search(self._read_page())
        return None if found is None else found[1]
