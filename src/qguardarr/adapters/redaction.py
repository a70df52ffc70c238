"""Take secrets out of texts on their way to a log: known ones, and texts that look like one."""

from __future__ import annotations

import base64
import contextlib
import json
import re
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import quote, quote_plus

from qguardarr.secrecy import is_distinct

HIDDEN: Final = "[hidden]"

# Names under which secrets stand: of settings and parameters, of headers, and of keys in mappings.
_NAME: Final = (
    r"(?:[\w.-]{0,40}[_.-])?"
    r"(?:pass(?:key|word|wd|phrase)?|pwd|auth_?key|api[_-]?key|secret|token|session|credentials?)(?:[_-]?hash)?"
)
_HEADER: Final = r"(?:x-api-key|x-csrf-token|(?:proxy-)?authorization|(?:set-)?cookie)"
_SECRET_KEY: Final = re.compile(
    r"(?i).*(?:(?:^|[_.\s-])pass|passkey|password|passwd|passphrase|pwd|secret|token|cookie|authorization|api[_-]?key"
    r"|auth_?key|credential|session)s?(?:[_-]?hash)?"
)
_SCHEME: Final = r"[a-z][a-z0-9+.-]{0,30}"
_IN_QUOTES: Final = r"b?(?P<mark>['\"]))(?:\\.|(?!(?P=mark))[^\\\n])*"

_PATTERNS: Final = tuple(
    (re.compile(pattern), instead)
    for pattern, instead in (
        # Addresses of notification services hold tokens anywhere: only the scheme is shown.
        (rf"(?i)\b(?!(?:https?|udp|wss?)://)({_SCHEME})://[^\s'\"<>]+", r"\1://…"),
        # An announce URL holds a passkey after the host, and may hold credentials before it.
        (rf"(?i)\b({_SCHEME}://)[^\s/?#'\"<>@]*@", r"\1"),
        (r"(?i)\b((?:https?|udp|wss?)://[^\s/?#'\"<>\\]+)[/?#][^\s'\"<>]*", r"\1/…"),
        (r"(?i)\bmagnet:[^\s'\"<>]*", "magnet:…"),
        (r"(?i)\b(?:https?|udp|wss?)%(?:25)*3a%(?:25)*2f%(?:25)*2f[^\s&'\"<>]*", HIDDEN),
        (r"(?i)/[^\s/?#'\"<>]{8,}(?=/announce)", f"/{HIDDEN}"),
        (r"(?i)(/announce(?:\.php)?/)[^\s/?#'\"<>]{8,}", rf"\1{HIDDEN}"),
        (r"(?i)([?&]key=)[^\s&'\"<>]+", rf"\1{HIDDEN}"),
        (rf"(?i)\b({_HEADER}\s*[:=]\s*)(?:(?:basic|bearer|digest)\s+)?[^\s'\",;]+(?:;\s*[^\s'\",;]+)*", rf"\1{HIDDEN}"),
        (r"(?i)\b(bearer\s+)[\w.~+/=-]{8,}", rf"\1{HIDDEN}"),
        (r"\b([Bb]asic\s+)(?=[\w+/]*[A-Z0-9=])(?!Auth)[\w+/=]{8,}", rf"\1{HIDDEN}"),
        (rf"(?i)\b({_NAME}\s*=\s*)[^\s&;,'\"\\]+", rf"\1{HIDDEN}"),
        (rf"(?im)((?:^|\\n)[ \t|]*(?:- )?{_NAME}:[ \t]+)\S.*?(?=\\n|$)", rf"\1{HIDDEN}"),  # a line of YAML
        (r"(?i)((?:\b|_)sid(?:_\d+)?\s*=\s*)[^\s;,'\"]+", rf"\1{HIDDEN}"),
        # The same for a secret in quotation marks; also within a text that is itself quoted.
        (rf"(?i)\b((?:{_NAME}\s*=|{_HEADER}\s*[:=])\s*{_IN_QUOTES}", rf"\1{HIDDEN}"),
        (rf"(?i)(['\"](?:{_NAME}|{_HEADER})['\"]\s*[:,]\s*{_IN_QUOTES}", rf"\1{HIDDEN}"),
        (rf"(?i)(\\{{1,9}}['\"](?:{_NAME}|{_HEADER})\\{{1,9}}['\"]\s*[:,]\s*\\{{1,9}}['\"])[^'\"\\]+", rf"\1{HIDDEN}"),
    )
)
_FORMS: Final = tuple(
    re.compile(pattern)
    for pattern in (
        r"\bqbt_\w{8,}",  # keys of qBittorrent
        r"(?i)(?<![0-9a-z])[0-9a-f]{32}(?![0-9a-z])",  # passkeys; torrent hashes (40 digits) stay
        r"\$(?:argon2\w*|scrypt|pbkdf2[\w-]*|2[abxy]|[156y])\$[^\s'\"<>\\]{8,}",  # hashes of passwords
        r"\beyJ[\w-]{8,}\.[\w-]{4,}\.[\w-]{16,}",  # signed tokens
    )
)


class Redactor:
    """Hide secrets: known ones in every usual spelling, and texts whose form or place marks them as one.

    Known secrets that are short or a common word are hidden by form and place alone (`qguardarr.secrecy`).
    """

    def __init__(self, secrets: Iterable[str] = (), *, username: str | None = None) -> None:
        """`secrets`: known ones. `username`: hides its pair with each of them in HTTP Basic, too."""
        spellings: dict[str, None] = {}
        for secret in secrets:
            spellings |= dict.fromkeys(_spellings(secret, username))
        longest_first = sorted(filter(is_distinct, spellings), key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def text(self, text: str) -> str:
        """Return `text` without secrets."""
        text = self.line(text)
        for pattern, instead in _PATTERNS:
            text = pattern.sub(instead, text)
        return text

    def line(self, line: str) -> str:
        """Return a line made of redacted texts without secrets that only appear as a whole. Its syntax stays intact."""
        if self._known is not None:
            line = self._known.sub(HIDDEN, line)
        for form in _FORMS:
            line = form.sub(HIDDEN, line)
        return line

    def value(self, value: Any) -> Any:
        """Return a value of a log event (texts, numbers, lists and mappings of them) without secrets."""
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, dict):
            return {
                self.text(_plain(key)): HIDDEN if _names_a_secret(key) else self.value(inner)
                for key, inner in value.items()
            }
        if isinstance(value, list | tuple | set | frozenset):
            items = list(value)
            if len(items) == 2 and isinstance(items[0], str | bytes) and _names_a_secret(items[0]):  # as headers are
                return [self.text(_plain(items[0])), HIDDEN]
            return [self.value(inner) for inner in items]
        return self.text(_plain(value))


def _plain(value: object) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes | bytearray) else str(value)


def _names_a_secret(key: object) -> bool:
    return bool(_SECRET_KEY.fullmatch(_plain(key)))


def _spellings(secret: str, username: str | None) -> Iterable[str]:
    """Yield the spellings of a secret in URLs, forms, JSON, reprs and the header of HTTP Basic."""
    yield secret
    for quoted in (quote(secret), quote(secret, safe=""), quote_plus(secret)):
        yield quoted
        yield re.sub("%[0-9A-F]{2}", lambda match: match[0].lower(), quoted)
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    yield repr(secret)[1:-1]
    with contextlib.suppress(UnicodeEncodeError):
        yield repr(secret.encode())[2:-1]
        yield base64.b64encode(secret.encode()).decode()
        if username is not None:
            yield base64.b64encode(f"{username}:{secret}".encode()).decode()
