"""Which rule each torrent belongs to, also while that cannot be told.

The search for a pattern with look-around may fail (`SearchFailed`). No answer is not "no match": to take it for one
would move the torrent to another rule, which may have no cap. So a torrent that had a rule keeps it, and its limit; a
new one stays out of the registry, and keeps the limit that it has. Both are *undecided*, and are tried again at each
read. Their announce URLs and names are kept for that, since partial reads do not show them again.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import Final

import msgspec

from qguardarr.core.model import Labels, Observation, Torrent, digest_of
from qguardarr.core.policy import Policy, selectors
from qguardarr.core.reconcile.torrent_table import TorrentState, TorrentTable
from qguardarr.core.select.matcher import Matcher, Verdict
from qguardarr.core.select.pattern import Backtrack
from qguardarr.errors import SearchFailed

AGES_EVERY_S: Final = 60.0
"""Time between two looks for torrents that have become older than an age asked for, seconds. One takes 15 ms for 30,000
torrents (bench/match.py)."""


class Undecided(msgspec.Struct, frozen=True):
    """A torrent whose texts could not all be searched."""

    torrent: Torrent
    """As shown last, with the texts that are to be searched."""
    urls: tuple[int, ...] | None
    """The verdict on its announce URLs; None if they are to be searched."""
    name: int | None
    """The same for its name."""


class Selection:
    """The rules, and the torrents for which they have to be searched again. Everything else is with the registry."""

    def __init__(self, policy: Policy, backtrack: Backtrack | None, instance: str = "") -> None:
        """`backtrack`, `instance`: see `Matcher`."""
        self.changed = False
        """Rules were changed: only a complete list tells which torrents belong to which."""
        self.now = 0.0
        """Unix time, seconds, as ages count; the registry sets it."""
        self._backtrack = backtrack
        self._instance = instance
        self.matcher = self._matcher(policy)
        self._undecided: dict[str, Undecided] = {}
        """Undecided torrents by hash; the one whose search failed last comes last."""
        self._displaced: set[str] = set()
        """Torrents whose rule is no longer in the configuration, until the next complete list."""
        self._looked_at: float | None = None
        """When ages were looked at last, Unix time."""

    def undecided(self) -> int:
        """Return the number of undecided torrents. For any thread."""
        return len(self._undecided)

    def is_undecided(self, hash_: str) -> bool:
        """Return whether a torrent is undecided."""
        return hash_ in self._undecided

    def is_left_out(self, hash_: str) -> bool:
        """Return whether a torrent is undecided and has no rule that it could keep."""
        return hash_ in self._undecided and hash_ in self._displaced

    def limit_shown(self, hash_: str) -> int | None:
        """Return the limit of an undecided torrent, bytes/s or UNLIMITED; None if it is none."""
        found = self._undecided.get(hash_)
        return None if found is None else found.torrent.up_limit

    def adopt_policy(self, before: Policy, policy: Policy) -> bool:
        """Take up another configuration. Return whether its rules select other torrents."""
        if selectors(policy) == selectors(before):
            return False
        matcher = self._matcher(policy)
        self.changed = self.changed or not matcher.reads_alike(self.matcher)
        self.matcher = matcher
        self._looked_at = self.now or None  # as of then the registry selects again; the next read may come much later
        return True

    def displace(self, hash_: str) -> None:
        """Take in that the rule of a torrent is no longer in the configuration."""
        if not self.matcher.exact:
            self._displaced.add(hash_)

    def known(self, hash_: str, torrent: Torrent | None) -> Torrent | None:
        """Return what a client is to merge an answer into. `torrent`: as the registry knows it.

        Its digest is the one of the URLs that are known here, so that an answer with other ones tells them.
        """
        undecided = self._undecided.get(hash_)
        base = torrent or (None if undecided is None else undecided.torrent)
        if base is None or (undecided is None and not self.changed):
            return base
        digest = 0 if self.changed or undecided is None else undecided.torrent.urls_digest
        return msgspec.structs.replace(base, urls=(), urls_digest=digest, name="")

    def verdict_on(self, torrent: Torrent, state: TorrentState | None) -> Verdict | None:
        """Return the verdict on the texts of a torrent as it is shown; None if it is undecided.

        Texts that are not shown are as they were. `state`: as the registry knows it, None if it does not.
        """
        waiting = self._undecided.pop(torrent.hash, None)
        urls: tuple[int, ...] | None = None
        name: int | None = None
        if waiting is not None:
            if not _shows_urls(torrent, waiting.torrent.urls_digest):
                urls, torrent = waiting.urls, msgspec.structs.replace(torrent, urls=waiting.torrent.urls)
            if not torrent.name:
                name, torrent = waiting.name, msgspec.structs.replace(torrent, name=waiting.torrent.name)
        elif state is not None and not self.changed:
            if not _shows_urls(torrent, state.torrent.urls_digest):
                urls = state.verdict.urls
            if not torrent.name:
                name = state.verdict.name
        try:
            urls = self.matcher.read_urls(torrent.urls) if urls is None else urls
            name = self.matcher.read_name(torrent.name) if name is None else name
        except SearchFailed:
            self._undecided[torrent.hash] = Undecided(torrent, urls, name)
            return None
        return Verdict(urls, name)

    def rule_of(self, torrent: Torrent, verdict: Verdict) -> int:
        """Return the rule of a torrent."""
        return self.matcher.choose(verdict, torrent, self.now)

    def due(self, seen: Observation) -> list[Torrent]:
        """Return the undecided torrents that a read does not name, to be tried again.

        None are due while the search still fails, as it tells of the first of them: there may be thousands.
        """
        waiting: list[Undecided] = []
        for hash_, undecided in list(self._undecided.items()):
            if hash_ in seen.torrents:
                continue
            if seen.full or hash_ in seen.removed:
                self.forget(hash_)
            else:
                waiting.append(undecided)
        if not waiting or self.verdict_on(waiting[0].torrent, None) is None:
            return []
        self._undecided[waiting[0].torrent.hash] = waiting[0]
        return [undecided.torrent for undecided in waiting]

    def aged(self, table: TorrentTable) -> Iterator[TorrentState]:
        """Yield, once in a while, the torrents that have passed an age which a rule asks for."""
        ages, before = self.matcher.ages, self._looked_at
        if not ages or (before is not None and abs(self.now - before) < AGES_EVERY_S):
            return
        self._looked_at = now = self.now
        if before is None:
            return

        def has_passed_one(added_on: int) -> bool:
            return added_on > 0 and bisect_right(ages, now - added_on) != bisect_right(ages, before - added_on)

        slots = [slot for slot, added_on in table.added_on() if has_passed_one(added_on)]
        yield from map(table.at, slots)

    def leave_out(self, torrent: Torrent) -> None:
        """Have a torrent that the registry has forgotten tried again as a new one."""
        self._undecided[torrent.hash] = Undecided(torrent, None, None)

    def settle(self) -> None:
        """Take in that a complete list was read: every torrent belongs to its rule, or is undecided."""
        self.changed = False
        self._displaced.clear()

    def forget(self, hash_: str) -> None:
        """Forget a torrent, if there is such a one."""
        self._undecided.pop(hash_, None)

    def _matcher(self, policy: Policy) -> Matcher:
        return Matcher(policy.classes, policy.match_mode, self._backtrack, self._instance)


def without_texts(torrent: Torrent) -> Torrent:
    """Return a torrent as it is kept: a digest in place of the announce URLs, which hold passkeys and take room."""
    if torrent.urls or torrent.name or not torrent.urls_digest:
        digest = torrent.urls_digest or digest_of(torrent.urls)
        return msgspec.structs.replace(torrent, urls=(), urls_digest=digest, name="")
    return torrent


def was_labelled(before: Labels, now: Labels) -> bool:
    """Return whether somebody gave a torrent a label: another category, or one more tag.

    No fault does that: one loses labels.
    """
    return now.category not in ("", before.category) or not set(now.tags) <= set(before.tags)


def _shows_urls(torrent: Torrent, digest: int) -> bool:
    """Return whether a torrent is shown with announce URLs other than those of this digest."""
    return bool(torrent.urls) or torrent.urls_digest not in (0, digest)
