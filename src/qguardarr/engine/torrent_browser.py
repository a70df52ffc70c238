"""Long lists of torrents for people who scroll: an order that stays while they do, and a search by name.

Making an order of 30,000 torrents takes a tenth of a second, a page of it a millisecond. So the order is kept, as the
bytes of the hashes, and pages of it show the present values: nothing jumps while one scrolls, and little is computed.
"""

from __future__ import annotations

import itertools
import re
import secrets
import threading
import time
from collections.abc import Callable, Collection, Iterable
from typing import Final, Literal

import msgspec

from qguardarr.core.reconcile.rows import KEY_BYTES
from qguardarr.core.select.matcher import host_of
from qguardarr.engine.all_names import AllNames
from qguardarr.engine.judging import RuleJudgement, why_selected
from qguardarr.engine.ports import TorrentLister
from qguardarr.engine.torrent_list import Place, TorrentFilter, TorrentPage, TorrentQuery
from qguardarr.engine.torrent_values import KEYS, Sort
from qguardarr.engine.torrent_watch import TorrentWatch
from qguardarr.printable import printable

Order = Literal[Sort, "name"]
NEW: Final = "new"
"""Given as the name of a view, it makes one."""
KEPT_S: Final = 60.0
"""A view is kept for this long after its last page."""
MOST_VIEWS: Final = 8
"""Views kept at a time; the one unused for longest gives way. One of 30,000 torrents takes 600 KB."""
SHARED_S: Final = 2.0
"""Who wants a new view of the same list within this time gets the one that is there."""
MOST_HOSTS: Final = 64
"""Announce hosts shown of one torrent."""

_PLACE_BYTES: Final = 1 + KEY_BYTES
_HASH_BEGIN: Final = re.compile(r"[0-9a-f]{6,40}")


class TorrentHost(msgspec.Struct, frozen=True, kw_only=True):
    """A tracker that a torrent announces itself to."""

    host: str
    """Its name, with the port if that is unusual."""
    rule: str
    """Id of the rule that takes the torrent by this announce URL."""


class TorrentHosts(msgspec.Struct, frozen=True, kw_only=True):
    """The trackers of a torrent, in its order."""

    hosts: tuple[TorrentHost, ...]
    """By host name alone: announce URLs hold passkeys."""
    rules: tuple[RuleJudgement, ...] = ()
    """The rules up to its own: why those before do not select it, and why the last does."""


class ListQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which torrents, in which order."""

    wanted: TorrentFilter
    sort: Order = "rate"
    descending: bool = True
    search: str = ""
    """Words of the name; or the beginning of the hash, six digits or more."""


class _View:
    def __init__(self, query: ListQuery, order: list[Place], unnamed: int, made_at: float) -> None:
        self.name = secrets.token_hex(8)
        self.query = query
        self.keys = b"".join(bytes((place,)) + bytes.fromhex(hash_) for place, hash_ in order)
        self.total = len(order)
        self.unnamed = unnamed
        self.made_at = self.used_at = made_at

    def places(self, offset: int, limit: int) -> list[Place]:
        part = self.keys[offset * _PLACE_BYTES : (offset + limit) * _PLACE_BYTES]
        return [(part[at], part[at + 1 : at + _PLACE_BYTES].hex()) for at in range(0, len(part), _PLACE_BYTES)]


class TorrentBrowser:
    """For any thread, but for `on_cycle`, which is the engine's."""

    def __init__(
        self,
        torrents: TorrentQuery,
        names: AllNames,
        lister: Callable[[str], TorrentLister],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`lister` returns the client in use, by name of the qBittorrent. `now`: monotonic clock, seconds."""
        self._torrents = torrents
        self._names = names
        self._lister = lister
        self._now = now
        self._lock = threading.Lock()
        self._views: dict[str, _View] = {}
        self.watch = TorrentWatch(torrents)

    def page(self, query: ListQuery, *, offset: int, limit: int, view: str = NEW) -> TorrentPage:
        """Return a page of a list. `view`: as an earlier page named it; an unknown or outdated one is made again."""
        kept = self._kept(view, query) or self._made(query)
        places = kept.places(offset, limit)
        rows = self._torrents.rows(places, self._names.of(hash_ for _, hash_ in places))
        if len(rows) < len(places):  # some are gone, and places have shifted
            kept = self._made(query, shared_s=0.0)
            places = kept.places(offset, limit)
            rows = self._torrents.rows(places, self._names.of(hash_ for _, hash_ in places))
        return TorrentPage(total=kept.total, offset=offset, torrents=rows, view=kept.name, unnamed=kept.unnamed)

    def named(self, text: str) -> Collection[str]:
        """Return the hashes of torrents whose names hold each word, in those names that come within a moment."""
        self._names.read()
        return self._names.matching(text)

    def names(self, hashes: Iterable[str]) -> dict[str, str]:
        """Return names that are at hand."""
        return self._names.of(hashes)

    def hosts(self, hash: str, instance: str | None = None) -> TorrentHosts | None:  # noqa: A002 # what it is
        """Ask qBittorrent for a torrent's trackers. None if it does not have it.

        Raises ClientError, SearchFailed, `SeveralHaveIt`.
        """
        now = time.time()
        registry = self._torrents.owner_of(hash, instance)
        found = [] if registry is None else list(self._lister(registry.instance).listed([hash]))
        if registry is None or not found:
            return None
        rules, matcher = registry.policy.classes, registry.selection.matcher
        hosts: dict[str, str] = {}
        for torrent in found:
            for url in itertools.islice(torrent.urls, MOST_HOSTS):
                host = host_of(url)
                if host and host not in hosts:
                    rule = matcher.match((url,), torrent.about, now)
                    hosts[host] = rules[min(rule, len(rules) - 1)].id  # the policy may have just been swapped
        shown = tuple(TorrentHost(host=printable(host), rule=rule) for host, rule in hosts.items())
        return TorrentHosts(hosts=shown, rules=why_selected(registry, hash, now))

    def on_cycle(self, at: float) -> None:
        """Record what is watched, and drop what nobody uses. `at`: end of the cycle, Unix seconds."""
        self.watch.on_cycle(at)
        self._names.forget()
        if self._views:
            with self._lock:
                self._drop(self._now() - KEPT_S)

    def _kept(self, name: str, query: ListQuery) -> _View | None:
        with self._lock:
            view = self._views.get(name)
            if view is None or view.query != query:
                return None
            view.used_at = self._now()
            return view

    def _made(self, query: ListQuery, shared_s: float = SHARED_S) -> _View:
        began = self._now()
        with self._lock:
            for view in self._views.values():
                if view.query == query and began - view.made_at < shared_s and not view.unnamed:
                    view.used_at = began
                    return view
        unnamed = self._names.read() if query.search or query.sort == "name" else 0
        view = _View(query, self._ordered(query), unnamed, self._now())
        with self._lock:
            while len(self._views) >= MOST_VIEWS:
                self._drop(min(view.used_at for view in self._views.values()))
            self._views[view.name] = view
        return view

    def _drop(self, unused_since: float) -> None:
        self._views = {name: view for name, view in self._views.items() if view.used_at > unused_since}

    def _ordered(self, query: ListQuery) -> list[Place]:
        found = self._torrents.matching(query.wanted)
        if query.search:
            named, digits = self._names.matching(query.search), query.search.strip().lower()
            if _HASH_BEGIN.fullmatch(digits) is None:
                digits = "-"  # no hash begins so
            found = ((p, s) for p, s in found if s.torrent.hash in named or s.torrent.hash.startswith(digits))
        if query.sort == "name":
            places = sorted((state.torrent.hash, place) for place, state in found)
            names = {h: name.casefold() for h, name in self._names.of(hash_ for hash_, _ in places).items()}
            nameless = "" if query.descending else "\U0010ffff"  # last, whichever way it is sorted
            places.sort(key=lambda each: names.get(each[0], nameless), reverse=query.descending)
            return [(place, hash_) for hash_, place in places]
        key, sign = KEYS[query.sort], -1 if query.descending else 1
        ordered = sorted((sign * key(state), state.torrent.hash, place) for place, state in found)
        return [(place, hash_) for _, hash_, place in ordered]
