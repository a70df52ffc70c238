"""The trackers that qBittorrent knows, by host: how many torrents, how fast, and which rules take them."""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from functools import lru_cache, partial
from typing import Final, TypeAlias

import msgspec

from qguardarr.core.caps.chain import groups_of
from qguardarr.core.policy import Policy
from qguardarr.core.select.matcher import Matcher, host_of
from qguardarr.core.select.pattern import Backtrack
from qguardarr.engine.ports import ListedTorrent, TorrentLister
from qguardarr.engine.turn import Turn
from qguardarr.errors import SearchFailed
from qguardarr.printable import printable

Search: TypeAlias = Callable[[], AbstractContextManager[Backtrack]]
"""Makes a search for patterns beyond RE2, with a budget of its own: no question takes from that of the live rules."""

KEPT_S: Final = 15.0
"""A list is shown again for this long."""
MOST_HOSTS: Final = 1000
"""Listed hosts: those with most torrents. Whoever makes a torrent chooses what its trackers are called."""
NO_TRACKER: Final = "(none)"

_MOST_SEEN: Final = 20_000
_LONGEST_ID: Final = 60


class HostRow(msgspec.Struct, kw_only=True):
    """A tracker that qBittorrent knows."""

    host: str
    """Its name, with the port if that is unusual; `(none)` for torrents without a tracker."""
    torrents: int = 0
    """Number of torrents; one on several trackers counts at each."""
    uploading: int = 0
    """Number of those that upload."""
    rate: int = 0
    """What they upload, bytes/s."""
    rules: tuple[str, ...] = ()
    """Ids of the rules that take its announce URLs."""
    named: bool = False
    """Whether a rule other than the last, the catch-all, does, or may do (`undecided`)."""
    undecided: bool = False
    """Whether not all of its rules are known: a pattern with look-around takes too long."""
    pattern: str = ""
    """A pattern for a rule of its own; empty for `(none)`."""
    suggested_id: str = ""
    """An id for that rule that is free now; empty for `(none)`."""


class HostList(msgspec.Struct, frozen=True, kw_only=True):
    """All trackers that qBittorrent knows."""

    at: float
    """When qBittorrent was asked, Unix seconds."""
    torrents: int
    """Number of torrents."""
    hosts: tuple[HostRow, ...]
    """Fastest first."""
    left_out: int
    """Number of hosts beyond the first 1000, and torrents with more trackers than are counted."""


class Hosts:
    """Lists trackers on request, and shows a list again for some seconds. For any thread; one reads, another waits."""

    def __init__(
        self,
        client: Callable[[], TorrentLister],
        policy: Callable[[], Policy],
        hashes: Callable[[bool], Iterable[str]],
        search: Search,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`client` and `policy` return what is in use, `hashes` all torrents (ClientError, Busy): with those just
        added, if True is given."""
        self._client = client
        self._policy = policy
        self._hashes = hashes
        self._search = search
        self._now = now
        self._turn = Turn("another list of trackers")
        self._kept: tuple[Policy, HostList] | None = None

    def list(self, *, fresh: bool = False) -> HostList:
        """Return all trackers. `fresh`: also if a list is at hand. Raises ClientError, Busy."""
        asked = self._now()
        with self._turn.taken():
            policy = self._policy()
            if self._kept is not None and self._kept[0] == policy:
                age = asked - self._kept[1].at
                if age < (0.0 if fresh else KEPT_S):
                    return self._kept[1]
            with self._search() as search:
                matchers = lru_cache(maxsize=None)(partial(Matcher, policy.classes, policy.match_mode, search))
                found = self._listed(self._client().listed(self._hashes(fresh)), matchers, policy)
            self._kept = policy, found
            return found

    def forget(self) -> None:
        """Drop a list that is not shown any longer."""
        kept = self._kept
        if kept is not None and self._now() - kept[1].at >= KEPT_S:
            self._kept = None

    def _listed(
        self, torrents: Iterable[ListedTorrent], matcher_of: Callable[[str], Matcher], policy: Policy
    ) -> HostList:
        """Return what these torrents announce themselves to. `matcher_of`: by name of the qBittorrent."""
        at, count, left_out = self._now(), 0, 0
        hosts: dict[str, HostRow] = {}
        rules: dict[str, set[int]] = defaultdict(set)
        undecided: set[str] = set()
        for torrent in torrents:
            count += 1
            matcher = matcher_of(torrent.instance)
            usable = {url: host for url in torrent.urls if (host := host_of(url))} or {"": NO_TRACKER}
            for url, host in usable.items():
                if host in hosts or len(hosts) < _MOST_SEEN:
                    try:
                        rules[host].add(matcher.match((url,), torrent.about, at))
                    except SearchFailed:
                        undecided.add(host)
            for host in set(usable.values()):
                if host not in hosts and len(hosts) >= _MOST_SEEN:
                    left_out += 1
                    continue
                row = hosts.setdefault(host, HostRow(host=host))
                row.torrents += 1
                row.rate += torrent.rate
                row.uploading += torrent.rate > 0
        most = sorted(hosts.values(), key=lambda row: -row.torrents)
        shown = sorted(most[:MOST_HOSTS], key=lambda row: (-row.rate, -row.torrents, row.host))
        last, used = len(policy.classes) - 1, {group.id for group in groups_of(policy)}
        for row in shown:
            found = rules[row.host]
            row.rules = tuple(policy.classes[index].id for index in sorted(found))
            row.undecided = row.host in undecided
            row.named = row.undecided or any(index != last for index in found)
            if row.host != NO_TRACKER:
                row.pattern, row.suggested_id = host_pattern(row.host), host_id(row.host, used)
            row.host = printable(row.host)
        left_out += len(most) - len(shown)
        return HostList(at=at, torrents=count, hosts=tuple(shown), left_out=left_out)


def moved_torrents(
    torrents: Iterable[ListedTorrent], matcher: Matcher, rule_of: Callable[[str], int | None], now: float
) -> Mapping[str, int]:
    """Return the torrents that belong to another rule than `rule_of` says, and to which. Raises SearchFailed.

    `now`: Unix seconds, as ages count.
    """
    found = ((torrent.hash, matcher.match(torrent.urls, torrent.about, now)) for torrent in torrents)
    return {hash_: rule for hash_, rule in found if rule_of(hash_) not in (None, rule)}


def host_pattern(host: str) -> str:
    """Return a pattern for the announce URLs of a host."""
    end = r"\b" if host[-1:].isalnum() else ""
    return "//" + re.sub(r"([^\w:-])", r"\\\1", printable(host)) + end


def host_id(host: str, used: set[str]) -> str:
    """Return an id for the rule of a host that is not in `used`."""
    name = re.sub(r"[^a-z0-9]+", "-", host)[:_LONGEST_ID].strip("-") or "tracker"
    candidate, number = name, 2
    while candidate in used:
        candidate, number = f"{name}-{number}", number + 1
    return candidate
