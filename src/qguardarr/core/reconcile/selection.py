"""Which rule each torrent belongs to, also while that cannot be told.

The search for a pattern with look-around may fail (`SearchFailed`). No answer is not "no match": to take it for one
would move the torrent to another rule, which may have no cap. So a torrent that had a rule keeps it, and its limit; a
new one stays out of the registry, and keeps the limit that it has. Both are *undecided*, and are tried again at each
read. Their announce URLs are kept for that, since partial reads do not show them again.
"""

from __future__ import annotations

import msgspec

from qguardarr.core.model import Observation, Torrent, digest_of
from qguardarr.core.policy import Policy, selectors
from qguardarr.core.select.matcher import Matcher
from qguardarr.core.select.pattern import Backtrack
from qguardarr.errors import SearchFailed


class Selection:
    """The rules, and the torrents for which they have to be searched again. Everything else is with the registry."""

    def __init__(self, policy: Policy, backtrack: Backtrack | None) -> None:
        """`backtrack`: see `Matcher`."""
        self.matcher = Matcher(policy.classes, policy.match_mode, backtrack)
        self.changed = False
        """Rules were changed: only a complete list tells which torrents belong to which."""
        self._backtrack = backtrack
        self._undecided: dict[str, Torrent] = {}
        """Undecided torrents by hash, as shown last, with their URLs; the one whose search failed last comes last."""
        self._displaced: set[str] = set()
        """Torrents whose rule is no longer in the configuration, until the next complete list."""

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
        torrent = self._undecided.get(hash_)
        return None if torrent is None else torrent.up_limit

    def adopt_policy(self, before: Policy, policy: Policy) -> bool:
        """Take up another configuration. Return whether its rules select other torrents."""
        if selectors(policy) == selectors(before):
            return False
        self.matcher = Matcher(policy.classes, policy.match_mode, self._backtrack)
        self.changed = True
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
        base = torrent or undecided
        if base is None or (undecided is None and not self.changed):
            return base
        digest = 0 if self.changed or undecided is None else undecided.urls_digest
        return msgspec.structs.replace(base, urls=(), urls_digest=digest)

    def rule_of(self, torrent: Torrent) -> int | None:
        """Return the rule of a torrent that is shown with its URLs; None if it is undecided."""
        self._undecided.pop(torrent.hash, None)
        try:
            return self.matcher.match(torrent.urls)
        except SearchFailed:
            self._undecided[torrent.hash] = torrent
            return None

    def due(self, seen: Observation) -> list[Torrent]:
        """Return the undecided torrents that a read does not name, to be tried again; give those that it names URLs.

        None are due while the search still fails, as it tells of the first of them: there may be thousands.
        """
        waiting: list[Torrent] = []
        for hash_, torrent in list(self._undecided.items()):
            shown = seen.torrents.get(hash_)
            if shown is not None:
                if not shown.urls and shown.urls_digest in (0, torrent.urls_digest):
                    seen.torrents[hash_] = msgspec.structs.replace(shown, urls=torrent.urls)
            elif seen.full or hash_ in seen.removed:
                self.forget(hash_)
            else:
                waiting.append(torrent)
        if not waiting or self.rule_of(waiting[0]) is None:
            return []
        self._undecided[waiting[0].hash] = waiting[0]
        return waiting

    def leave_out(self, torrent: Torrent) -> None:
        """Have a torrent that the registry has forgotten tried again as a new one."""
        self._undecided[torrent.hash] = torrent

    def settle(self) -> None:
        """Take in that a complete list was read: every torrent belongs to its rule, or is undecided."""
        self.changed = False
        self._displaced.clear()

    def forget(self, hash_: str) -> None:
        """Forget a torrent, if there is such a one."""
        self._undecided.pop(hash_, None)


def without_urls(torrent: Torrent) -> Torrent:
    """Return a torrent as it is kept: a digest in place of the announce URLs, which hold passkeys and take room."""
    if torrent.urls or not torrent.urls_digest:
        return msgspec.structs.replace(torrent, urls=(), urls_digest=torrent.urls_digest or digest_of(torrent.urls))
    return torrent
