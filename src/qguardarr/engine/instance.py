"""One qBittorrent: its client, its torrents, and whose their limits are.

A torrent's key is (instance, hash). Each instance has its own registry, in which the hash alone is the key, and its own
view of the journal (`SqliteJournal.of`). Changes of limits name their instance.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator

from qguardarr.core.model import Change, Observation
from qguardarr.core.policy import Policy
from qguardarr.core.reconcile.plan import Plan
from qguardarr.core.reconcile.registry import TorrentRegistry
from qguardarr.core.select.pattern import Backtrack
from qguardarr.engine.lost_journal import JournalTrust
from qguardarr.engine.others_limits import OthersLimits
from qguardarr.engine.ports import Clock, Journal, TorrentClient
from qguardarr.engine.renames import claims_at_start, claims_of_new
from qguardarr.engine.safety import Safety
from qguardarr.engine.writer import Writer
from qguardarr.errors import UnsafePlan


class Instance:
    """Reads one qBittorrent and writes to it. The controller says when; it holds the lock between processes."""

    def __init__(
        self,
        client: TorrentClient,
        journal: Journal,
        policy: Policy,
        clock: Clock,
        wall_clock: Callable[[], float],
        *,
        backtrack: Backtrack | None = None,
        name: str = "",
    ) -> None:
        """`journal`: as it knows the torrents of this instance. `backtrack`: see `Matcher`. `name`: see `Change`."""
        self.client = client
        self.registry = registry = TorrentRegistry(policy, backtrack, name)
        self.trust = JournalTrust(registry, journal)
        self.others = OthersLimits(registry, journal, policy.foreign_limits, wall_clock)
        self.writer = Writer(registry, journal, clock)
        self.safety = Safety(registry, journal)
        self._journal = journal
        self._clock = clock
        self._recalled = False
        self._generation: int | None = None
        """Of the journal, as this instance has heeded it."""

    def adopt_policy(self, policy: Policy) -> None:
        """Take up another policy."""
        if self.registry.adopt_policy(policy):
            self.client.request_full()
        self.others.adopt_mode(policy.foreign_limits)

    def read(self, hints: Collection[str] = ()) -> Observation:
        """Read once; see `TorrentClient.observe`. Raises ClientError."""
        if self._generation is None:  # before the first read, which may be older than a restoring by another process
            self._generation = self._journal.generation()
        return self.client.observe(hints, self.registry.known)

    @contextlib.contextmanager
    def all_or_anew(self) -> Iterator[None]:
        """Have everything read again if a read could not be taken in: a partial answer shows nothing twice."""
        try:
            yield
        except BaseException:
            self.client.request_full()
            raise

    def heed_others(self) -> None:
        """Believe what the next reads show if another process may have restored limits that we wrote a moment ago."""
        generation = self._journal.generation()
        if generation != self._generation:
            self.registry.limits.trust_reads()
            self.client.request_full()
            self.others.expect_originals(self._clock.monotonic())
        self._generation = generation

    def take_in(self, seen: Observation) -> None:
        """Have the registry take in a read, with what the journal knows of torrents that are new."""
        if self._recalled:
            claims = claims_of_new(self.registry, self._journal, self.client, seen)
        else:
            claims = claims_at_start(self.registry, self._journal, self.client, seen)
            self.others.recall(seen.at)
            self.safety.recall()
            self._recalled = True
        first = not self.registry.loaded
        self.others.explain(self.registry.observe(seen, claims), seen)
        if first and self.registry.loaded:
            self._journal.settle_unknown(self.registry.limit_shown)
        restored = self.registry.limits.restored()
        if restored:
            self._journal.restored(restored)
            self._generation = self._journal.generation()  # our own doing

    def carry_out(self, plan: Plan) -> tuple[Plan, UnsafePlan | None]:
        """Write the safe part of a plan. Return that, and the error about the rest if there is any.

        Raises ClientError when a write fails, and JournalError before anything is written.
        """
        plan = self.others.without_contested_raises(plan, self._clock.monotonic())
        plan, refused = self.safety.check(plan)
        self.writer.apply(plan, self.client)
        return plan, refused

    def unfinished(self) -> list[Change]:
        """Return what ends flushes that were cut in two, except for torrents that have their originals back.

        The journal says which these are: a read may be older than the restoring, on 5.x even a complete one.
        """
        changes = self.registry.limits.unfinished()
        held = self._journal.touched([change.hash for change in changes]) if changes else {}
        return [change for change in changes if change.hash in held]
