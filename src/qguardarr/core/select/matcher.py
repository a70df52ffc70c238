"""Find the tracker rule of a torrent by its announce URLs.

A rule's pattern is searched, case-insensitively, in the announce URL; the first rule in the order of the file that
matches a URL is the rule of that URL. A torrent with several URLs gets one of the rules of its URLs: the first in the
order of the file (`first`) or the one with the lowest cap (`strictest`).

* A URL is searched in the form that qBittorrent gives, and also with `%xx` decoded and without a dot at the end of the
  host name. A rule matches if it matches any of these forms. Ports, IPv6 brackets, udp:// and wss:// are plain text.
* qBittorrent's pseudo rows (`** [DHT] **`), empty URLs and malformed URLs (no `scheme://host`) are ignored. A torrent
  without a usable URL is matched as the empty text: `^$` can be a rule for it, else the catch-all takes it.
* The last rule must be a catch-all. It is not searched; it takes the rest.

URLs hold passkeys: nothing here puts one into a message or a repr.

The uploader of a torrent chooses its announce URLs, so the search takes time linear in their length (see `pattern`).
Each of 30,000 torrents may have URLs of its own (passkeys): a large cache of URLs would cost memory and find nothing.
All rules are searched in one pass instead (bench/match.py: 30,000 torrents with two URLs each take 0.4 s, with one rule
or with 50).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, lru_cache
from typing import Final, Literal
from urllib.parse import unquote

from qguardarr.core.model import LONGEST_URL, TrackerClass
from qguardarr.core.select.pattern import Backtrack, PatternSet, compile_pattern

CACHED: Final = 2048
"""Entries in each cache."""

_URL: Final = re.compile(
    r"""(?P<scheme> [a-z][a-z0-9+.-]* ) :// (?: [^/?\#\s@]* @ )*
        (?P<host> \[ [0-9a-f:.%]+ [^\]/?\#\s@]* \] | [^/?\#\s@:\[\]]+ ) (?: : (?P<port> \d* ) )? (?= [/?\#] | $ )""",
    re.IGNORECASE | re.VERBOSE,
)
_USUAL_PORT: Final = {"http": "80", "https": "443", "ws": "80", "wss": "443"}

_PROBES: Final = (
    "",
    "http://tracker.example.org/announce",
    "https://a.example.com:2053/0123456789abcdef0123456789abcdef/announce",
    "udp://tracker.example.net:1337",
    "wss://xn--bcher-kva.example/",
    "HTTP://203.0.113.7:6969/announce.php?passkey=Zz9&x=%20~",
    "http://[2001:db8::1]:80/announce",
    "https://bücher.example./a b/ñ",
)


def is_catch_all(pattern: str) -> bool | None:
    """Return whether a pattern takes every torrent: it matches the empty text (no usable URL) and URLs of every kind.

    `.*` does; `.+` does not, since a torrent without trackers would belong to no rule. None if only Python's `re` could
    tell. ValueError if it is no regular expression.
    """
    compiled = compile_pattern(pattern)
    search = PatternSet([compiled], lambda _pattern, _text: True)
    found = all(any(True for _ in search.found(probe)) for probe in _PROBES)
    return None if found and not compiled.exact else found


def host_of(url: str) -> str:
    """Return the host of an announce URL for display, without secrets: lower case, with an unusual port.

    Empty if the URL is not usable.
    """
    match = _URL.match(url.strip()) if len(url) <= LONGEST_URL else None
    if match is None:
        return ""
    host = unquote(match["host"]).lower().rstrip(".")
    port = match["port"]
    return f"{host}:{port}" if port and port != _USUAL_PORT.get(match["scheme"].lower()) else host


class Matcher:
    """Finds the rule of a torrent. Immutable except for its caches: a reload makes a new one."""

    def __init__(
        self,
        classes: Sequence[TrackerClass],
        mode: Literal["first", "strictest"] = "first",
        backtrack: Backtrack | None = None,
    ) -> None:
        """Compile the rules. `backtrack`: for patterns beyond RE2; without it, such a pattern is a ValueError."""
        if not classes or is_catch_all(classes[-1].pattern) is False:
            raise ValueError("the last rule must be a catch-all")
        self._caps = [rule.selecting_cap for rule in classes]
        self._mode = mode
        self._patterns = PatternSet([compile_pattern(rule.pattern) for rule in classes[:-1]], backtrack)
        self.match: Callable[[tuple[str, ...]], int] = lru_cache(maxsize=CACHED)(self._choose)
        """Index of the rule for a torrent with these announce URLs. SearchFailed, which is not cached."""
        self._rule_of: Callable[[str], int | None] = lru_cache(maxsize=CACHED)(self._search)
        """First rule that matches the URL; None if it is not usable."""

    def __repr__(self) -> str:
        return f"<Matcher of {len(self._caps)} rules, {self._mode}>"

    @property
    def exact(self) -> bool:
        """Whether no search can fail (see `PatternSet.exact`)."""
        return self._patterns.exact

    def matching(self, url: str) -> list[int]:
        """Return all rules that match a URL, in the order of the file. The URL is not cached. SearchFailed."""
        found = {index for form in _forms_of(url) or [""] for index in self._patterns.found(form)}
        return [*sorted(found), len(self._caps) - 1]

    @cached_property
    def _without_url(self) -> int:
        """Rule of a torrent without a usable URL. Searched when first needed, since that may fail."""
        return self._first_of([""])

    def _choose(self, urls: tuple[str, ...]) -> int:
        rules = {rule for rule in map(self._rule_of, urls) if rule is not None}
        if not rules:
            return self._without_url
        if self._mode == "first":
            return min(rules)
        return min(rules, key=lambda rule: (self._caps[rule], rule))

    def _search(self, url: str) -> int | None:
        forms = _forms_of(url)
        return self._first_of(forms) if forms else None

    def _first_of(self, forms: Iterable[str]) -> int:
        """Return the first rule that matches any of the forms; the last rule if none does."""
        found = [rule for form in forms if (rule := self._patterns.first(form)) is not None]
        return min(found, default=len(self._caps) - 1)


def _forms_of(url: str) -> list[str]:
    """Return the forms of a URL to search; none if it is not usable."""
    text = url.strip()
    parts = _URL.match(text) if len(text) <= LONGEST_URL else None
    if parts is None:
        return []
    forms = [text]
    if parts["host"].endswith("."):
        end = parts.end("host")
        forms.append(text[:end].rstrip(".") + text[end:])
    if "%" in text:
        forms += [unquote(form).rstrip() for form in forms]  # no line break at the end: see `pattern`
    return forms
