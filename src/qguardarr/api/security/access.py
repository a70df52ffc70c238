"""Who may ask: programs by API key, people by a session or by a trusted proxy's word, or anyone (`auth: none`).

A foreign page that a browser shows gains nothing. A session's cookie needs its CSRF token and the same origin, and so
does a person whom a proxy names. With `auth: none`, a change needs the same origin, and the Host must be a name that no
foreign page can point at us (DNS rebinding); a proxy's word, too, counts under such a Host only. No CORS header is ever
sent.
"""

from __future__ import annotations

import hmac
import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import TYPE_CHECKING, Annotated, Final, Literal, NoReturn

import anyio
import msgspec
import structlog

from qguardarr.addresses import is_loopback
from qguardarr.api.bodies import validated
from qguardarr.api.problems import Problem
from qguardarr.api.security.forwarded import ForwardedUsers
from qguardarr.api.security.login import Login
from qguardarr.api.security.logins import LoginLimiter
from qguardarr.api.security.origins import check_same_origin, host_is_private
from qguardarr.api.security.request import Asking, address_of, cookies_of, headers, is_secure, keys_of, send_cookie
from qguardarr.api.security.sessions import DEVICE_COOKIE, MAX_AGE_S, Session, Sessions, check_password_hash
from qguardarr.errors import ConfigError

if TYPE_CHECKING:
    from qguardarr.engine.settings import ApiSettings

CHALLENGE: Final = {"WWW-Authenticate": 'ApiKey realm="qguardarr"'}
_WITH_PASSWORD: Final = {"WWW-Authenticate": 'ApiKey realm="qguardarr", Password realm="qguardarr"'}
"""Tells the dashboard that people have a name and a password here."""
CSRF_HEADER: Final = "X-CSRF-Token"
RECONNECT_S: Final = 3600.0
"""A stream of events ends this long before its session would."""
NOTICE_INTERVAL_S: Final = 60.0
"""Wrong keys of one address are logged once in this time.

They are neither counted nor delayed: a key has 16 characters or more and cannot be guessed at any speed, and a counter
could be used to hold up programs that have the right one."""
MAX_NOTICES: Final = 20
"""Addresses that are logged in that time, so that a crowd cannot push everything else out of the log."""

_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_UNKNOWN: Final = "/problems/unauthenticated"
_TOO_MANY: Final = (
    "too many failed logins: come again after the seconds of Retry-After, when it is your turn. The API key, and "
    "browsers and addresses from which you have logged in before, need not wait"
)
_NO_USER: Final = "no user and password are set up (auth.username, auth.password)"
log = structlog.get_logger("qguardarr.api")


class Identity(msgspec.Struct, frozen=True):
    """Who asks."""

    kind: Literal["key", "session", "proxy", "anyone"]
    user: str
    session: Session | None = None


_ANYONE: Final = Identity("anyone", "anyone")
_KEY: Final = Identity("key", "api-key")


class SessionInfo(msgspec.Struct, frozen=True):
    """Who one is, and what to send along."""

    kind: Literal["key", "session", "proxy", "anyone"]
    """How one was let in. proxy: a trusted proxy named the person (`auth.forward_header`)."""
    user: Annotated[str, msgspec.Meta(examples=["admin"])]
    """`auth.username`, the name that a proxy tells, `api-key`, or `anyone` where nobody is asked for a key."""
    csrf_token: Annotated[str, msgspec.Meta(examples=["9f86d081…"])] | None = None
    """Of a session, or of a person whom a proxy names: to be sent as `X-CSRF-Token` with whatever is neither GET nor
    HEAD."""
    expires_in_s: Annotated[int, msgspec.Meta(examples=[MAX_AGE_S])] | None = None
    """Of a session: seconds until it ends unless it is used."""

    def __repr__(self) -> str:
        return f"<SessionInfo {self.kind} {self.user!r}>"


class Access:
    """Decide who may ask. Used by one thread, the event loop's; times come from the two clocks given."""

    def __init__(
        self,
        settings: ApiSettings,
        key: str,
        *,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        """`key` is the API key in force. Raises `ConfigError`."""
        self._monotonic = monotonic
        self._sleep = sleep
        self.logins = LoginLimiter()
        self._noticed: OrderedDict[str, float] = OrderedDict()
        self.sessions = Sessions(now)
        self.adopt(settings, key)

    def adopt(self, settings: ApiSettings, key: str) -> None:
        """Take up other settings. Sessions end if credentials differ; counters stay. `ConfigError`: nothing changed."""
        check(settings, key)
        self.sessions.adopt(key, settings.username, settings.password_hash, base_path=settings.base_path)
        self._open = settings.open
        self._user = settings.username or _KEY.user
        self._key_digest = sha256(key.encode("utf-8", "surrogatepass")).digest() if key.strip() else None
        self._forwarded = ForwardedUsers(settings.forward_header, settings.trusted_proxies)
        self._names = frozenset(name.lower() for name in (*settings.allowed_hosts, settings.host))

    @property
    def has_user(self) -> bool:
        """Whether a user and a password are set up."""
        return self.sessions.possible

    @property
    def is_open(self) -> bool:
        """Whether nobody is asked for anything (`auth: none`)."""
        return self._open

    def presents_key(self, scope: Asking) -> bool:
        """Whether an API key comes along, a right or a wrong one."""
        return bool(keys_of(scope, query_key=False))

    def identify(self, scope: Asking, *, query_key: bool = False) -> Identity | None:
        """Return who asks; None without credentials, or with wrong ones. `query_key`: `?apikey=` counts, too.

        Nothing outweighs a wrong key; a proxy's word outweighs an older session. With `auth: none` everybody under a
        trusted Host is let in.
        """
        if self._open:
            return _ANYONE if host_is_private(scope, self._names) else None
        keys = keys_of(scope, query_key=query_key)
        if keys:
            return _KEY if self._right(keys) else None
        person = self._forwarded.name(scope)
        if person and host_is_private(scope, self._names):
            return Identity("proxy", person)
        for value in cookies_of(scope, self.sessions.cookie_name(secure=is_secure(scope))):
            session = self.sessions.find(value)
            if session is not None:
                return Identity("session", self._user, session)
        return None

    def require(self, scope: Asking, *, query_key: bool = False) -> Identity:
        """Return who asks. `Problem` 401 for strangers, 403 if a foreign page may have made a browser ask.

        A session past half of its time is renewed.
        """
        who = self.identify(scope, query_key=query_key)
        if who is None:
            self._refuse(scope, query_key=query_key)
        if who.kind != "key" and scope["method"] not in _SAFE_METHODS:
            check_same_origin(scope)
            self._check_token(scope, self._csrf_token(who))
        if who.session is not None and who.session.age_s > MAX_AGE_S / 2:
            send_cookie(scope, self.sessions.cookie(who.session.id, secure=is_secure(scope)))
            return Identity("session", who.user, Session(who.session.id, 0.0))
        return who

    def may_listen(self, scope: Asking) -> bool:
        """Return whether who asked a while ago may still be told: neither logged out nor under other credentials.

        False also in a session's last hour, so that its page connects again, which renews the session.
        """
        who = self.identify(scope)
        return who is not None and (who.session is None or who.session.age_s < MAX_AGE_S - RECONNECT_S)

    def describe(self, who: Identity) -> SessionInfo:
        """Return what a caller may know of itself."""
        left_s = None if who.session is None else int(MAX_AGE_S - who.session.age_s)
        return SessionInfo(who.kind, who.user, self._csrf_token(who), left_s)

    async def login(self, scope: Asking, body: bytes) -> SessionInfo:
        """Begin a session for the credentials in `body` (a `Login`); its cookie goes along with the answer.

        `Problem` 400: not a login; 401: wrong credentials; 403: a foreign page asks, or no user is set up; 415: not
        JSON (any page can send a form); 429: too many tries; 503: no memory to verify.
        """
        check_same_origin(scope)
        kinds = [kind.partition(b";")[0].strip().lower() for kind in headers(scope, b"content-type")]
        if kinds != [b"application/json"]:
            raise Problem(415, "the body must be application/json")
        if self._open:
            raise Problem(403, _NO_USER, type="/problems/no-login")
        wanted: Login = validated(Login, body)
        address, device = address_of(scope), self._device(scope)
        if wanted.api_key:
            if not self._right([wanted.api_key.strip().encode("utf-8", "surrogatepass")]):
                self._notice(address, self._monotonic())
                raise Problem(401, "the API key is wrong", type=_UNKNOWN, headers=CHALLENGE)
            return self._begin(scope)
        if not self.sessions.possible:
            raise Problem(403, _NO_USER, type="/problems/no-login")
        turn = self.logins.take(address, device, self._monotonic())
        if not turn.granted:
            again = {"Retry-After": str(math.ceil(turn.wait_s))}
            raise Problem(429, _TOO_MANY, type="/problems/too-many-logins", headers=again)
        right = False
        try:
            if turn.wait_s > 0:
                await self._sleep(turn.wait_s)
            right = await self.sessions.verify(wanted.username, wanted.password)
        finally:
            self.logins.done(turn, right=right, now=self._monotonic())
        if not right:
            log.warning("login_refused", address=address)
            raise Problem(401, "the user name or the password is wrong", type=_UNKNOWN, headers=CHALLENGE)
        found = self._begin(scope)
        send_cookie(scope, self.sessions.device_cookie(device, secure=is_secure(scope)))
        return found

    def logout(self, scope: Asking) -> None:
        """End the session that asks, for good, and make the browser forget it. `Problem` as `require`."""
        session = self.require(scope).session
        if session is not None:
            self.sessions.revoke(session.id)
            send_cookie(scope, self.sessions.no_cookie(secure=is_secure(scope)))

    def _begin(self, scope: Asking) -> SessionInfo:
        log.info("login", address=address_of(scope))
        session = self.sessions.new()
        send_cookie(scope, self.sessions.cookie(session.id, secure=is_secure(scope)))
        return self.describe(Identity("session", self._user, session))

    def _device(self, scope: Asking) -> str | None:
        values = cookies_of(scope, self.sessions.cookie_name(DEVICE_COOKIE, secure=is_secure(scope)))
        return next(filter(None, map(self.sessions.device, values)), None)

    def _right(self, keys: list[bytes]) -> bool:
        expected = self._key_digest
        return expected is not None and all(hmac.compare_digest(sha256(key).digest(), expected) for key in keys)

    def _csrf_token(self, who: Identity) -> str | None:
        """Return the token that changes have to bring along; None if they need none."""
        if who.session is not None:
            return self.sessions.csrf_token(who.session.id)
        return self.sessions.csrf_token(f"proxy {who.user}") if who.kind == "proxy" else None

    def _refuse(self, scope: Asking, *, query_key: bool) -> NoReturn:
        if self._open:
            detail = "with auth: none this host name is not trusted; use the address, or add it to http.allowed_hosts"
            raise Problem(403, detail, type="/problems/untrusted-host")
        if not keys_of(scope, query_key=query_key):
            if self._forwarded.name(scope):
                detail = "a proxy's word on who asks does not count under this host name; add it to http.allowed_hosts"
                raise Problem(403, detail, type="/problems/untrusted-host")
            challenge = _WITH_PASSWORD if self.sessions.possible else CHALLENGE
            raise Problem(401, "send the API key as X-Api-Key, or log in", type=_UNKNOWN, headers=challenge)
        self._notice(address_of(scope), self._monotonic())
        raise Problem(401, "the API key is wrong", type=_UNKNOWN, headers=CHALLENGE)

    def _notice(self, address: str, now: float) -> None:
        while self._noticed and now - next(iter(self._noticed.values())) >= NOTICE_INTERVAL_S:
            self._noticed.popitem(last=False)
        if address not in self._noticed and len(self._noticed) < MAX_NOTICES:
            self._noticed[address] = now
            log.warning("api_key_refused", address=address)

    def _check_token(self, scope: Asking, expected: str | None) -> None:
        sent = headers(scope, b"x-csrf-token")
        if expected is not None and (len(sent) != 1 or not hmac.compare_digest(sent[0], expected.encode())):
            detail = f"the header {CSRF_HEADER} is missing or wrong; GET /api/v1/session tells it"
            raise Problem(403, detail, type="/problems/csrf")


def check(settings: ApiSettings, key: str) -> None:
    """Raise `ConfigError` for settings that `Access` cannot take.

    Without a key, a public address needs `auth: none`, so that nobody opens the API by accident.
    """
    if not settings.open and not key.strip() and not is_loopback(settings.host):
        raise ConfigError(
            f"the HTTP API would listen on {settings.host} without an API key",
            hint="set auth.api_key, or write 'auth: none' if everyone who reaches it may do everything",
        )
    if settings.password_hash:
        check_password_hash(settings.password_hash)
