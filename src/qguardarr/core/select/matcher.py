"""Find the rule of a torrent, by its announce URLs, its name, and what qBittorrent says of it.

A rule's pattern is searched, case-insensitively, in the announce URL, and its other conditions (`conditions`) are held
against the torrent; the first rule in the order of the file that matches is the rule of that URL. A torrent with
several URLs gets one of the rules of its URLs: the first in the order of the file (`first`) or the one with the lowest
cap (`strictest`).

That is done in two steps. `read_urls` and `read_name` search the texts when they are shown, and give a `Verdict`, which
is kept in place of them; `choose` finds the rule for a verdict and all else, from memory for torrents that are alike.

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
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property, lru_cache
from typing import Final, Literal, Protocol
from urllib.parse import unquote

import msgspec

from qguardarr.core.model import (
    LONGEST_URL,
    NO_LABELS,
    UNLIMITED,
    Activity,
    Labels,
    Selector,
    Torrent,
    TrackerClass,
    float32,
)
from qguardarr.core.select.conditions import Bands, Conditions, Facts, Field, failing, needs, selectors_in
from qguardarr.core.select.pattern import Backtrack, PatternSet, compile_pattern
from qguardarr.core.select.texts import RuleTexts, TextVerdicts

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


class Verdict(msgspec.Struct, frozen=True, gc=False, cache_hash=True):
    """Which patterns of the rules match a torrent's texts; see `texts`. All that is kept of them."""

    urls: tuple[int, ...]
    """One for all announce URLs together (`first`), or each that occurs (`strictest`)."""
    name: int


NO_VERDICT: Final = Verdict((0,), 0)
"""No pattern matches."""
NOTHING_KNOWN: Final = Torrent("", (), Activity.IDLE, UNLIMITED, 0, 0, 0, False)


class Selectable(Protocol):
    """What a rule may ask about a torrent, besides its texts; see `Torrent`."""

    @property
    def labels(self) -> Labels: ...
    @property
    def downloading(self) -> bool: ...
    @property
    def ratio(self) -> float: ...
    @property
    def size(self) -> int: ...
    @property
    def added_on(self) -> int: ...


class Matcher:
    """Finds the rule of a torrent. Immutable except for its caches: a reload makes a new one."""

    def __init__(
        self,
        classes: Sequence[TrackerClass],
        mode: Literal["first", "strictest"] = "first",
        backtrack: Backtrack | None = None,
        instance: str = "",
    ) -> None:
        """Compile the rules.

        `backtrack`: for patterns beyond RE2; without it, such a pattern is a ValueError. `instance`: name of the
        qBittorrent whose torrents are matched.
        """
        if not classes or not _takes_all(classes[-1]):
            raise ValueError("the last rule must be a catch-all")
        self._caps = [rule.selecting_cap for rule in classes]
        self._mode = mode
        self._instance = instance
        rules = [rule.selector for rule in classes[:-1]]
        here = [rule for rule in rules if self._is_here(rule)]
        fields = set[Field]().union(*map(needs, here))
        self._looks_beyond_urls = bool(fields - {"pattern", "not", "instance"})
        self._looks_at_labels = not fields.isdisjoint(("category", "tags", "private"))
        self._urls = TextVerdicts(
            [RuleTexts(r.pattern, _given(x.pattern for x in r.unless), _asks_only(r, "pattern")) for r in here],
            backtrack,
            apart=mode == "strictest",
        )
        self._names = TextVerdicts(
            [RuleTexts(r.name, _given(x.name for x in r.unless), _asks_only(r, "name")) for r in here], backtrack
        )
        selectors = selectors_in(classes[:-1])
        self._ratios = Bands((selector.ratio for selector in selectors), float32)
        self._ages = Bands(selector.age for selector in selectors)
        self._sizes = Bands(selector.size for selector in selectors)
        self.conditions = tuple(self._compiled(rule) for rule in rules)
        """Of each rule but the last."""
        self.read_urls: Callable[[tuple[str, ...]], tuple[int, ...]] = lru_cache(maxsize=CACHED)(self._read_urls)
        """Verdict on the announce URLs of a torrent. SearchFailed, which is not cached."""
        self._of_url: Callable[[str], int | None] = lru_cache(maxsize=CACHED)(self._read_url)
        """Verdict on a URL; None if it is not usable."""
        self._last = len(self.conditions)
        self._left = lru_cache(maxsize=CACHED)(self._rules_left)
        self._unconditional = self._compiled(Selector())
        self._chosen: dict[tuple[Verdict, Labels, bool, tuple[int, int, int]], int] = {}

    def __repr__(self) -> str:
        return f"<Matcher of {len(self._caps)} rules, {self._mode}>"

    @property
    def exact(self) -> bool:
        """Whether no search can fail (see `PatternSet.exact`)."""
        return self._urls.exact and self._names.exact

    @property
    def wants_names(self) -> bool:
        """Whether a rule looks at names."""
        return bool(self._names)

    @property
    def looks_beyond_urls(self) -> bool:
        """Whether a rule looks at more than announce URLs."""
        return self._looks_beyond_urls

    @property
    def ages(self) -> Sequence[float]:
        """Ages at which torrents may come to belong to another rule, seconds, in order."""
        return self._ages.thresholds

    def reads_alike(self, other: Matcher) -> bool:
        """Return whether verdicts on texts mean the same to another matcher."""
        mine, others = (self._mode, self._urls.key, self._names.key), (other._mode, other._urls.key, other._names.key)
        return mine == others

    def read_name(self, name: str) -> int:
        """Return the verdict on a torrent's name. SearchFailed."""
        return self._names.of((name,)) if self._names else 0

    def choose(self, verdict: Verdict, torrent: Selectable, now: float) -> int:
        """Return the rule of a torrent whose texts were read. `now`: Unix seconds."""
        left = [self._left(urls) for urls in verdict.urls]
        if not any(unsure for unsure, _ in left):
            return self._one_of([sure for _, sure in left])
        bands = self._bands(torrent, now)
        key = (verdict, torrent.labels if self._looks_at_labels else NO_LABELS, torrent.downloading, bands)
        rule = self._chosen.get(key)
        if rule is None:
            if len(self._chosen) >= CACHED:
                self._chosen.clear()
            facts = self._facts(verdict, torrent, bands)
            rule = self._chosen[key] = self._one_of([_first(*few, fact) for few, fact in zip(left, facts, strict=True)])
        return rule

    def match(self, urls: tuple[str, ...], like: Torrent = NOTHING_KNOWN, now: float = 0.0) -> int:
        """Return the rule of a torrent with these announce URLs that is otherwise like this one, name included.

        `now`: Unix seconds. SearchFailed.
        """
        return self.choose(Verdict(self.read_urls(urls), self.read_name(like.name)), like, now)

    def whole_verdict(self, urls: tuple[str, ...], name: str) -> Verdict:
        """Return the verdict on a torrent's texts by all patterns, also those of rules that cannot count. SearchFailed.

        For questions of people: it takes longer, and is not to be kept.
        """
        found = [self._urls.of(forms, whole=True) for forms in map(_forms_of, urls) if forms]
        return Verdict(tuple(found) or (self._urls.of([""], whole=True),), self._names.of([name], whole=True))

    def failing(self, verdict: Verdict, torrent: Selectable, now: float) -> Iterator[Field | None]:
        """Yield for each rule but the last the first condition that a torrent does not fulfil; None if it does all."""
        facts = self._facts(verdict, torrent, self._bands(torrent, now))
        for wanted in self.conditions:
            found: list[Field | None] = [failing(wanted, fact) for fact in facts]
            yield None if None in found else found[0]

    def _one_of(self, rules: list[int]) -> int:
        """Return the one that counts of the rules of a torrent's URLs."""
        if len(rules) == 1:
            return rules[0]
        return min(rules, key=lambda rule: (self._caps[rule], rule)) if self._mode == "strictest" else min(rules)

    def _rules_left(self, urls: int) -> tuple[tuple[tuple[int, Conditions], ...], int]:
        """Return the rules that a verdict on announce URLs leaves possible, and the one that counts if none of them."""
        unsure: list[tuple[int, Conditions]] = []
        for index, wanted in enumerate(self.conditions):
            if not wanted.urls or wanted.urls & urls:
                if wanted._replace(urls=0) == self._unconditional:
                    return tuple(unsure), index
                unsure.append((index, wanted))
        return tuple(unsure), self._last

    def _facts(self, verdict: Verdict, torrent: Selectable, bands: tuple[int, int, int]) -> list[Facts]:
        """Return what counts, for each verdict on announce URLs."""
        together = 0
        for urls in verdict.urls:
            together |= urls
        rest = (together, verdict.name, torrent.labels, torrent.downloading, *bands)
        return [Facts(urls, *rest) for urls in verdict.urls]

    def _bands(self, torrent: Selectable, now: float) -> tuple[int, int, int]:
        age = now - torrent.added_on if torrent.added_on else 0.0
        return self._ratios.of(torrent.ratio), self._ages.of(age), self._sizes.of(torrent.size)

    def _read_urls(self, urls: tuple[str, ...]) -> tuple[int, ...]:
        found = {verdict for verdict in map(self._of_url, urls) if verdict is not None}
        if not found:
            return (self._without_url,)
        if self._mode == "strictest":
            return tuple(sorted(found))
        together = 0
        for verdict in found:
            together |= verdict
        return (self._urls.cut(together),)

    @cached_property
    def _without_url(self) -> int:
        """Verdict on a torrent without a usable URL. Searched when first needed, since that may fail."""
        return self._urls.of([""])

    def _read_url(self, url: str) -> int | None:
        forms = _forms_of(url)
        return self._urls.of(forms) if forms else None

    def _is_here(self, selector: Selector) -> bool:
        return not selector.instance or self._instance in selector.instance

    def _compiled(self, selector: Selector) -> Conditions:
        here = self._is_here(selector)
        return Conditions(
            urls=self._urls.bit(selector.pattern) if here else 0,
            name=self._names.bit(selector.name) if here else 0,
            category=selector.category,
            tags=frozenset(selector.tags),
            private=selector.private,
            downloading=None if selector.state is None else selector.state == "downloading",
            ratio=self._ratios.band(selector.ratio),
            age=self._ages.band(selector.age),
            size=self._sizes.band(selector.size),
            here=here,
            unless=tuple(map(self._compiled, selector.unless)) if here else (),
        )


def _first(unsure: Iterable[tuple[int, Conditions]], sure: int, facts: Facts) -> int:
    return next((index for index, wanted in unsure if failing(wanted, facts) is None), sure)


def _given(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(text for text in texts if text)


def _asks_only(selector: Selector, field: Field) -> bool:
    """Return whether a selector that is for this qBittorrent has one condition."""
    return needs(selector) - {"instance"} == {field}


def _takes_all(rule: TrackerClass) -> bool:
    """Return whether a rule may be the last: it has no condition but a pattern that matches everything."""
    return rule.where == Selector() and is_catch_all(rule.pattern) is not False


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
