"""Keep track of the limits of all torrents: what we wrote, what reads show, and whom each limit belongs to.

`Limits` finds the torrent and its estimator for each event of `ownership`, and knows what only time tells: whether an
answer may be older than our last write, and which writes no answer has shown.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from qguardarr.core.measure.saved_quota import AGAIN_MOST_S, AGAIN_S
from qguardarr.core.model import Change, Observation
from qguardarr.core.reconcile.idle_queue import IdleQueue
from qguardarr.core.reconcile.ownership import Claim, Owner, Ownership, Shown
from qguardarr.core.reconcile.torrent_table import TorrentState, TorrentTable
from qguardarr.core.reconcile.uploads import Uploads

UNFINISHED: Final = "ends what makes it lose saved quota, which was cut off between its two writes"
"""A change's reason."""
STALE_REFRESHES: Final = 2
"""An answer may be older than a write for this many refreshes of the counters and STALE_MORE_S."""
STALE_MORE_S: Final = 2.0
"""Seconds."""


class Limits:
    """The limits of all torrents of a registry. Events that name an unknown torrent are without effect."""

    def __init__(self, table: TorrentTable, uploads: Uploads, queue: IdleQueue, instance: str) -> None:
        """`instance`: see `Change`."""
        self._table = table
        self._uploads = uploads
        self._queue = queue
        self._instance = instance
        self.returned: dict[str, int] = {}
        """Torrents that the last read showed with their originals again, though we had written another limit."""
        self._written: dict[str, float] = {}
        """When we last wrote each, monotonic seconds, oldest first; as long as an answer may be older than that."""
        self._doubted: dict[str, None] = {}
        """Torrents that showed the limit before our last write: a stale answer, or set back since."""

    def forget(self, hash_: str) -> None:
        """Forget a torrent."""
        self._written.pop(hash_, None)
        self._doubted.pop(hash_, None)

    def claim(self, claim: Claim) -> None:
        """Apply what the journal knows to a torrent; without effect on one that is unknown."""
        state = self._table.get(claim.hash)
        if state is None:
            return
        if state.claimed(claim, state.torrent.up_limit):
            self.returned[claim.hash] = state.torrent.up_limit
        self._table.put(state)

    def wrote(self, hash_: str, limit: int, original: int, at: float) -> None:
        """Take in that we wrote this limit (bytes/s or UNLIMITED) at `at` (monotonic seconds)."""
        state = self._table.get(hash_)
        if state is not None:
            self._note_write(hash_, at)
            state.wrote(limit, original)
            if state.estimator is not None:
                state.estimator.relimit(limit, at)
            self._table.put(state)

    def wrote_flush(self, hash_: str, limit: int, at: float) -> None:
        """Take in that we wrote this limit, bytes/s, so that the torrent loses its saved quota; a low one follows."""
        state = self._table.get(hash_)
        if state is not None:
            self._note_write(hash_, at)
            state.wrote_flush(limit)
            if state.estimator is not None:
                state.estimator.overrun.flush(at, again_s=AGAIN_S, again_most_s=AGAIN_MOST_S)
            self._table.put(state)

    def got_no_answer(self, hash_: str, limit: int) -> None:
        """Take in that a write of ours got no answer: the next read tells whether this limit is in force."""
        self._change(hash_, lambda state: state.got_no_answer(limit))

    def set_by_hand(self, hash_: str, limit: int) -> None:
        """Take in that a person set this limit: it is the original and the upper bound from now on."""
        self._found(hash_, lambda state: state.set_by_hand(limit))

    def set_by_program(self, hash_: str, limit: int) -> None:
        """Take in that another program set this limit: it is to be written over, and the original stays."""
        self._found(hash_, lambda state: state.set_by_program(limit))

    def drifted(self, hash_: str, limit: int) -> None:
        """Take in that an older limit of ours is in force: qBittorrent lost the ones that we wrote after it."""
        self._found(hash_, lambda state: state.found(limit))

    def correct_original(self, hash_: str, original: int) -> None:
        """Take in that the limit taken for a person's is a program's: this one was the original, and is it again."""
        self._change(hash_, lambda state: state.correct_original(original))
        self._queue.mark_dirty(hash_)

    def restored(self) -> list[str]:
        """Return torrents whose originals, which we wrote, are in force as a read shows: nothing of ours is left."""
        found = [s for s in list(self._table.objects.values()) if s.confirm(s.torrent.up_limit)]
        for state in found:
            self._table.put(state)
        return [state.torrent.hash for state in found]

    def unfinished(self) -> list[Change]:
        """Return what ends flushes that were cut in two, while nothing is decided: else high limits stay in force."""
        return [
            Change(hash_, state.current, state.lower_to, state.original, UNFINISHED, self._instance)
            for hash_, state in self._table.objects.items()
            if state.owner is Owner.FLUSHED and state.lower_to < state.current
        ]

    def trust_reads(self) -> None:
        """Believe every limit that a read shows: others may have written limits after us."""
        self._written.clear()

    # -- reading ------------------------------------------------------------------------------------------------------

    def is_strange(self, state: TorrentState, limit: int, now: float) -> bool:
        """Reconcile the limit shown with the one that we think is in force; True if somebody else may have set it."""
        hash_ = state.torrent.hash
        shown = state.judge(limit, may_be_stale=now - self._written.get(hash_, -math.inf) < self._stale_s)
        if shown is Shown.STALE:
            self._doubted[hash_] = None
            return False
        self._queue.mark_dirty(hash_)
        if shown is Shown.STRANGE:
            return True
        if shown is Shown.RETURNED:
            self.returned[hash_] = limit
        self._uploads.relimit(hash_, limit)
        return False

    def look_again(self, seen: Observation) -> list[tuple[str, int]]:
        """Look at limits that this read does not name, though they may differ; returns those that are strange.

        - A limit that was passed over as stale: a partial answer does not show it a second time.
        - A write that no answer has shown by now: somebody wrote over it before qBittorrent noticed, and its answers,
          which name changes alone, are never going to say so.
        """
        again = [hash_ for hash_ in self._doubted if hash_ not in seen.torrents]
        for hash_ in again:
            del self._doubted[hash_]
        while self._written and seen.at - self._written[oldest := next(iter(self._written))] >= self._stale_s:
            del self._written[oldest]
            if seen.names_all_changes:
                again.append(oldest)
        suspects = []
        for hash_ in again:
            state = self._table.get(hash_)
            if state is not None and (limit := state.torrent.up_limit) != state.current:
                if self.is_strange(state, limit, seen.at):
                    suspects.append((hash_, limit))
                self._table.put(state)
        return suspects

    # -- inside -------------------------------------------------------------------------------------------------------

    def _change(self, hash_: str, event: Callable[[Ownership], None]) -> None:
        """Have an event change who owns a limit; without effect on a torrent that is unknown."""
        state = self._table.get(hash_)
        if state is not None:
            event(state)
            self._table.put(state)

    def _found(self, hash_: str, event: Callable[[Ownership], None]) -> None:
        """The same where the event also tells which limit is in force."""

        def change(state: Ownership) -> None:
            event(state)
            self._uploads.relimit(hash_, state.current)

        self._change(hash_, change)

    def _note_write(self, hash_: str, at: float) -> None:
        self._written.pop(hash_, None)
        self._written[hash_] = at

    @property
    def _stale_s(self) -> float:
        """For how long after a write an answer may be older than it, seconds."""
        return STALE_REFRESHES * self._uploads.refresh_s + STALE_MORE_S
