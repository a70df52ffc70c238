"""Sessions of people: a password, a signed cookie, a token against forged requests; and browsers that are known.

Nothing is stored. The cookie carries its id and its age, signed. The secret is made of the API key, the user name and
the password's hash, so that a change of any of them ends all sessions, and a restart ends none. Only memory knows which
sessions a logout revoked: a cookie that was copied before a logout is good again after a restart, for the rest of its
12 h.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import secrets
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import anyio.to_thread
import msgspec
from itsdangerous import BadData, TimestampSigner

from qguardarr.api.problems import Problem
from qguardarr.errors import ConfigError

MAX_AGE_S: Final = 12 * 3600
"""Time from the last renewal to the end of a session. It is renewed when used past half of that."""
COOKIE: Final = "qguardarr_session"
MAX_REVOKED: Final = 1000
DEVICE_AGE_S: Final = 365 * 86400
"""A browser is known for this long after its last login."""
DEVICE_COOKIE: Final = "qguardarr_device"

_MAX_COOKIE: Final = 256
_MAX_MEMORY_KIB: Final = 64 * 1024
_MAX_ROUNDS: Final = 32
_MAX_LANES: Final = 16


def check_password_hash(text: str) -> None:
    """Raise `ConfigError` unless this is a hash that can be verified at a bearable cost."""
    import argon2  # noqa: PLC0415 # half a megabyte that only those need who set a password
    from argon2.exceptions import InvalidHashError  # noqa: PLC0415

    place, hint = "auth.password", "make one with hash-password"
    try:
        cost = argon2.extract_parameters(text)
    except InvalidHashError:
        raise ConfigError("the hash is none that is understood", place=place, hint=hint) from None
    if (
        cost.type is not argon2.Type.ID
        or not 8 * cost.parallelism <= cost.memory_cost <= _MAX_MEMORY_KIB
        or not 1 <= cost.time_cost <= _MAX_ROUNDS
        or not 1 <= cost.parallelism <= _MAX_LANES
    ):
        raise ConfigError(
            f"the hash must be argon2id of at most {_MAX_MEMORY_KIB} KiB, {_MAX_ROUNDS} rounds and {_MAX_LANES} lanes",
            place=place,
            hint=hint,
        )


class Session(msgspec.Struct, frozen=True):
    """A session that is in force."""

    id: str
    age_s: float
    """Since it was begun or last renewed."""

    def __repr__(self) -> str:
        return "<Session>"


class Sessions:
    """All sessions. Used by one thread, the event loop's. `adopt` comes first."""

    def __init__(self, now: Callable[[], float]) -> None:
        """`now` returns Unix seconds."""
        self._now = now
        self._one_at_a_time = anyio.CapacityLimiter(1)
        self.revoked: OrderedDict[str, float] = OrderedDict()
        """When each session was revoked, oldest first."""
        self._all_revoked_at = -math.inf

    def adopt(self, key: str, username: str | None, password_hash: str | None, *, base_path: str = "") -> None:
        """Take up other credentials; sessions end if they differ."""
        self._username = username or ""
        self._password_hash = password_hash or ""
        self._base_path = base_path
        material = msgspec.json.encode(["qguardarr session", _bytes(self._username).hex(), self._password_hash])
        self._secret = hmac.digest(_bytes(key), material, "sha256")
        self._signer = _Signer(self._secret, "qguardarr.session", self._now)
        self._devices = _Signer(self._secret, "qguardarr.device", self._now)

    @property
    def possible(self) -> bool:
        """Whether a user and a password are set at all."""
        return bool(self._username and self._password_hash)

    async def verify(self, username: str, password: str) -> bool:
        """Return whether these are the credentials. An unknown user takes the same time; one call at a time."""
        known = hmac.compare_digest(_bytes(username), _bytes(self._username))
        right = await anyio.to_thread.run_sync(
            _matches, self._password_hash, _bytes(password), limiter=self._one_at_a_time
        )
        return known and right

    def new(self) -> Session:
        """Begin a session."""
        return Session(secrets.token_urlsafe(18), 0.0)

    def find(self, value: bytes) -> Session | None:
        """Return the session of a cookie; None if that is forged, too old, or revoked."""
        session_id, at = self._unsigned(self._signer, value, MAX_AGE_S)
        if not session_id or session_id in self.revoked or at <= self._all_revoked_at:
            return None
        return Session(session_id, self._now() - at)

    def revoke(self, session_id: str) -> None:
        """End a session for whoever has its cookie. Too many of them end all sessions instead."""
        now = self._now()
        while self.revoked and next(iter(self.revoked.values())) < now - MAX_AGE_S:
            self.revoked.popitem(last=False)
        if len(self.revoked) >= MAX_REVOKED:
            self.revoked.clear()
            self._all_revoked_at = now
        self.revoked[session_id] = now

    def csrf_token(self, session_id: str) -> str:
        """Return the token that a change has to bring along, beside the cookie."""
        return hmac.digest(self._secret, b"csrf " + session_id.encode(), "sha256").hex()

    def device(self, value: bytes) -> str | None:
        """Return the id of a browser by the cookie of its last login; None if that is forged or too old.

        It lets nobody in. It only keeps this browser's logins apart from those of strangers.
        """
        return self._unsigned(self._devices, value, DEVICE_AGE_S)[0] or None

    def cookie_name(self, plain: str = COOKIE, *, secure: bool) -> str:
        """Return a cookie's name. Browsers take `__Host-` from this very host over https alone."""
        return f"__Host-{plain}" if secure and not self._base_path else plain

    def cookie(self, session_id: str, *, secure: bool) -> str:
        """Return the `Set-Cookie` that begins or renews a session; `secure` if the request came over https."""
        return self._set_cookie(COOKIE, self._signer.sign(session_id).decode("ascii"), MAX_AGE_S, secure)

    def no_cookie(self, *, secure: bool) -> str:
        """Return the `Set-Cookie` that makes a browser forget its session."""
        return self._set_cookie(COOKIE, "", 0, secure)

    def device_cookie(self, device: str | None, *, secure: bool) -> str:
        """Return the `Set-Cookie` that makes a browser known, or keeps it (`device`) known."""
        device = device or secrets.token_urlsafe(18)
        return self._set_cookie(DEVICE_COOKIE, self._devices.sign(device).decode("ascii"), DEVICE_AGE_S, secure)

    def _unsigned(self, signer: _Signer, value: bytes, max_age_s: int) -> tuple[str, float]:
        """Return the id in a cookie, and when it was signed, Unix seconds. The id is empty if the cookie is no good."""
        if not self.possible or len(value) > _MAX_COOKIE:
            return "", 0.0
        try:
            signed, at = signer.unsign(value, max_age=max_age_s, return_timestamp=True)
        except BadData:
            return "", 0.0
        return signed.decode("ascii"), at.timestamp()

    def _set_cookie(self, name: str, value: str, max_age_s: int, secure: bool) -> str:
        flags = "; Secure" if secure else ""
        return (
            f"{self.cookie_name(name, secure=secure)}={value}; Path={self._base_path or '/'}; Max-Age={max_age_s}; "
            f"HttpOnly; SameSite=Strict{flags}"
        )


class _Signer(TimestampSigner):
    def __init__(self, secret: bytes, salt: str, now: Callable[[], float]) -> None:
        super().__init__(secret, salt=salt, key_derivation="hmac", digest_method=hashlib.sha256)
        self._now = now

    def get_timestamp(self) -> int:
        return int(self._now())


def _matches(password_hash: str, password: bytes) -> bool:
    from argon2 import PasswordHasher  # noqa: PLC0415 # see `check_password_hash`
    from argon2.exceptions import VerificationError, VerifyMismatchError  # noqa: PLC0415

    try:
        return PasswordHasher().verify(password_hash, password)  # at the cost that the hash names
    except VerifyMismatchError:
        return False
    except VerificationError:  # no memory for it, for one
        raise Problem(503, "the password cannot be verified now", headers={"Retry-After": "5"}) from None


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
