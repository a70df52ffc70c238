"""Announce URLs → tracker rule.

A rule's pattern is searched, case-insensitively, in the announce URL; the first rule in the order of the file that
matches a URL is that URL's rule. A torrent with several URLs gets, of the rules of its URLs, the first in the order of
the file (`first`) or the one with the lowest cap (`strictest`).

* A URL is searched as qBittorrent gives it and, if they differ, with `%xx` decoded and without the dot that may end the
  host name: a rule that matches any of these forms matches. Ports, IPv6 brackets, udp:// and wss:// are plain text.
* qBittorrent's pseudo rows (`** [DHT] **`), empty and malformed URLs (no `scheme://host`) count for nothing. A torrent
  with no usable URL is matched as the empty text: `^$` can be a rule for such, else the catch-all takes them.
* The last rule must be a catch-all; it is not searched, it takes what is left.

URLs hold passkeys: nothing here puts one into a message or a repr.

Speed: most of 30,000 torrents may have URLs of their own (passkeys), so that caching URLs is no help, and a large cache
would be memory for nothing. Instead, each pattern's longest text that every match must contain is looked for first,
which is some twenty times as fast as the search.

Python's `re` has no time limit. Patterns that repeat a repeat, such as `(a+)+` or `(.*x)*`, are refused, and the search
for texts keeps patterns away from most URLs that they do not match. Alternatives that overlap under a repeat, such as
`(ab|a|b)+$`, can still take exponential time on a long URL that nearly matches.
"""

from __future__ import annotations

import importlib
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, Final, Literal
from urllib.parse import unquote

from qguardarr.core.model import TrackerClass

_CACHED: Final = 2048
"""Entries in each cache."""

_LONGEST_URL: Final = 1024
"""Who uploads a torrent chooses its announce URLs, and a search may take the square of their length. Longer ones are
none."""
_REPEATS: Final = ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT")
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


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """The pattern as rules use it. ValueError says what is wrong with it, if it is no regular expression."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compiled = re.compile(pattern, re.IGNORECASE)
    except re.error as error:
        place = "" if error.pos is None else f" at character {error.pos + 1}"
        raise ValueError(f"is not a regular expression: {error.msg}{place}") from None
    except (OverflowError, RecursionError):
        raise ValueError("is not a regular expression: too large") from None
    if _runs_away(_parsed(pattern)):
        raise ValueError("repeats a repeat, which can take forever; write 'a+' instead of '(a+)+'")
    return compiled


def is_catch_all(pattern: str) -> bool:
    """Whether the pattern takes every torrent: it matches the empty text (no usable URL) and URLs of every kind.

    `.*` does; `.+` does not, since a torrent without trackers would belong to no rule.
    """
    search = compile_pattern(pattern).search
    return all(search(probe) for probe in _PROBES)


def host_of(url: str) -> str:
    """Host of an announce URL for display: lower case, port only if unusual, nothing secret. Empty if not usable."""
    match = _URL.match(url.strip()) if len(url) <= _LONGEST_URL else None
    if match is None:
        return ""
    host = unquote(match["host"]).lower().rstrip(".")
    port = match["port"]
    return f"{host}:{port}" if port and port != _USUAL_PORT.get(match["scheme"].lower()) else host


class Matcher:
    """Finds the rule of a torrent. Not changed after it is made, but for its caches: a reload makes a new one."""

    def __init__(self, classes: Sequence[TrackerClass], mode: Literal["first", "strictest"] = "first") -> None:
        if not classes or not is_catch_all(classes[-1].pattern):
            raise ValueError("the last rule must be a catch-all")
        self._caps = [rule.cap for rule in classes]
        self._mode = mode
        searches = [compile_pattern(_bare(rule.pattern)).search for rule in classes[:-1]]
        self._searches = tuple(enumerate(searches))
        self._sieve = tuple(
            (needle, index, search) for index, search in self._searches for needle in needles(classes[index].pattern)
        )
        self._without_url = self._first_of([""])
        self.match: Callable[[tuple[str, ...]], int] = lru_cache(maxsize=_CACHED)(self._choose)
        """Index of the rule for a torrent with these announce URLs."""
        self._rule_of: Callable[[str], int | None] = lru_cache(maxsize=_CACHED)(self._search)
        """First rule that matches the URL; None if it is not usable."""

    def __repr__(self) -> str:
        return f"<Matcher of {len(self._caps)} rules, {self._mode}>"

    def _choose(self, urls: tuple[str, ...]) -> int:
        rules = {rule for rule in map(self._rule_of, urls) if rule is not None}
        if not rules:
            return self._without_url
        if self._mode == "first":
            return min(rules)
        return min(rules, key=lambda rule: (self._caps[rule], rule))

    def _search(self, url: str) -> int | None:
        text = url.strip()
        parts = _URL.match(text) if len(text) <= _LONGEST_URL else None
        return None if parts is None else self._first_of(_forms(text, parts))

    def _first_of(self, forms: Iterable[str]) -> int:
        """First rule that matches any of the forms; the last rule if none does."""
        best = len(self._caps) - 1
        for form in forms:
            if form.isascii():
                lower = form.lower()
                for needle, index, search in self._sieve:
                    if needle in lower and search(form):
                        best = min(best, index)
                        break
            else:  # case folding beyond ASCII is for `re` to know
                best = min(best, next((index for index, search in self._searches if search(form)), best))
        return best


def _bare(pattern: str) -> str:
    """Without a `.*` at either end, which means nothing to a search but time: the square of the URL's length."""
    bare = pattern.removeprefix(".*")
    if bare.endswith(".*") and not bare.endswith("\\.*"):
        bare = bare.removesuffix(".*")
    return pattern if bare[:1] in ("?", "+", "*", "{") else bare


def _forms(text: str, parts: re.Match[str]) -> list[str]:
    forms = [text]
    if parts["host"].endswith("."):
        end = parts.end("host")
        forms.append(text[:end].rstrip(".") + text[end:])
    if "%" in text:
        forms += [unquote(form) for form in forms]
    return forms


def _parsed(pattern: str) -> Any:
    """Tokens of a valid pattern; none if `re`'s own parser, which is undocumented, is not where it was."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module("re._parser").parse(pattern, re.IGNORECASE)
    except (ImportError, AttributeError):
        return ()


def _runs_away(tokens: Iterable[tuple[object, Any]]) -> bool:
    """Whether a repeat holds a repeat with nothing firm beside it, or `.*` beside anything: exponential time."""
    for operation, argument in tokens:
        name = str(operation)
        if name == "BRANCH":
            inner = argument[1]
        elif name in _REPEATS:
            inner = [argument[2]]
            body = list(_flat(argument[2])) if argument[1] > 1 and name != "POSSESSIVE_REPEAT" else []
            endless = [item for kind, item in body if kind in _REPEATS and item[1] > 1]
            firm = [kind for kind, item in body if kind != "AT" and not (kind in _REPEATS and item[0] != item[1])]
            if endless and (not firm or any(str(step) == "ANY" for item in endless for step, _ in item[2])):
                return True
        else:
            inner = [argument[-1]] if name == "SUBPATTERN" else []
        if any(map(_runs_away, inner)):
            return True
    return False


def _flat(tokens: Iterable[tuple[object, Any]]) -> Iterator[tuple[str, Any]]:
    for operation, argument in tokens:
        if str(operation) == "SUBPATTERN":
            yield from _flat(argument[-1])
        else:
            yield str(operation), argument


def needles(pattern: str) -> tuple[str, ...]:
    """Lower-case ASCII texts of which every ASCII match of the pattern contains at least one. `("",)` if unknown."""
    return _needles(_parsed(pattern)) or ("",)


def _needles(tokens: Iterable[tuple[object, Any]]) -> tuple[str, ...]:
    best: tuple[str, ...] = ()
    run = ""
    for operation, argument in tokens:
        name = str(operation)
        if name == "LITERAL" and argument < 128:
            run += chr(argument).lower()
            continue
        if name == "AT":  # anchors take no room
            continue
        best = _better(best, (run,))
        run = ""
        if name == "SUBPATTERN":
            best = _better(best, _needles(argument[-1]))
        elif name == "BRANCH":
            branches = [_needles(branch) for branch in argument[1]]
            if all(branches):
                best = _better(best, tuple(needle for branch in branches for needle in branch))
        elif name in _REPEATS and argument[0] >= 1:
            best = _better(best, _needles(argument[2]))
    return _better(best, (run,))


def _better(best: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    """The set whose shortest text is longer: it sieves more."""
    if not other or not all(other):
        return best
    return other if not best or min(map(len, other)) > min(map(len, best)) else best
