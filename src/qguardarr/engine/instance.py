"""One qBittorrent: its client, its torrents, and whose their limits are.

A torrent's key is (instance, hash). Each instance has its own registry, in which the hash alone is the key, and its own
view of the journal (`SqliteJournal.of`). Changes of limits name their instance.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final

import structlog

from qguardarr.core.model import UNLIMITED, Change, Observation
from qguardarr.core.policy import Policy
from qguardarr.core.reconcile.ownership import Claim
from qguardarr.core.reconcile.plan import Plan
from qguardarr.core.reconcile.registry import TorrentRegistry
from qguardarr.core.reconcile.signature import looks_like_ours
from qguardarr.core.select.pattern import Backtrack
from qguardarr.engine.instance_row import Counts
from qguardarr.engine.others_limits import OthersLimits
from qguardarr.engine.ports import Clock, Journal, TorrentClient
from qguardarr.engine.safety import JournalTrust, Safety
from qguardarr.engine.writer import Sending, Writer
from qguardarr.errors import ClientError, UnsafePlan

UNATTENDED: Final = "lowered while it is not looked after, so that its site's overspeed rule holds"
"""A change's reason."""
MOST_LOOKED_UP: Final = 1000
"""Torrents of the first list that are looked up because they may have had another id before."""
PRUNE_EVERY_S: Final = 3 * 3600.0
"""Each time takes a complete list, which at 30,000 torrents keeps qBittorrent busy for seconds."""

log = structlog.get_logger("qguardarr.controller")


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
        self.name = name
        self.client = client
        self.registry = registry = TorrentRegistry(policy, backtrack, name)
        self.trust = JournalTrust(registry, journal)
        self.others = OthersLimits(registry, journal, policy.foreign_limits, wall_clock)
        self.writer = Writer(registry, journal, clock)
        self.safety = Safety(registry, journal)
        self.journal = journal
        """As it knows the torrents of this instance."""
        self._clock = clock
        self._wall_clock = wall_clock
        self._recalled = False
        self._v1_hashes: Mapping[str, str] = {}
        """Of torrents of the last read that may have had another id before."""
        self._generation: int | None = None
        """Of the journal, as this instance has heeded it."""
        self.problem: ClientError | None = None
        """Why it is away, if it is one of several; None if it is not."""
        self.away_since = 0.0
        """When that began, monotonic seconds."""
        self.away_at = 0.0
        """The same in Unix seconds."""
        self.seen_at: float | None = None
        """When it was read last, Unix seconds."""
        self.used_before: Mapping[str, float] = {}
        """What it used of the caps when it went away, or before the start, bytes/s by id of the group."""
        self.back_at = -math.inf
        """When it came back, or was read first, monotonic seconds."""
        self.hangs = False
        """The last call did not end in time: nobody waits for it any longer."""
        self.sent_late: Sending | None = None
        """What was written meanwhile, to be taken in."""
        self.twin = ""
        """In words, that it is the same as another one; empty as far as is known."""
        self.stale = False
        """It has to be read before anything can be decided for it."""
        self.fresh = True
        """It was read since the last decision."""
        self.read_at: float | None = None
        """When it was read last, if it is one of several; monotonic seconds."""
        self.due_at = 0.0
        """When to read it next, if it is one of several; monotonic seconds."""
        self.counts: Counts = "now"
        """What of it counted for the caps in the last decision; see `InstanceRow`."""
        self.held_back = 0.0
        """Bytes/s of all caps that were kept for it then, if it was read before."""

    @property
    def is_ready(self) -> bool:
        """Whether one of several can be decided for from memory."""
        return self.read_at is not None and self.problem is None and not self.stale

    def adopt_policy(self, policy: Policy) -> None:
        """Take up another policy."""
        if self.registry.adopt_policy(policy):
            self.client.request_full()
        self.others.adopt_mode(policy.foreign_limits)

    def read(self, hints: Collection[str] = ()) -> Observation:
        """Read once; see `TorrentClient.observe`. Raises ClientError and JournalError."""
        if self._generation is None:  # before the first read, which may be older than a restoring by another process
            self._generation = self.journal.generation()
        seen = self.client.observe(hints, self.registry.known, names=self.registry.selection.matcher.wants_names)
        try:
            strangers = list(self._strangers(seen))
            self._v1_hashes = self.client.v1_hashes(strangers) if strangers else {}
        except BaseException:
            self.client.request_full()
            raise
        return seen

    def heed_others(self) -> bool:
        """Believe what the next reads show if another process may have restored limits that we wrote a moment ago.

        Return whether that is so.
        """
        generation = self.journal.generation()
        changed = generation != self._generation
        if changed:
            self.registry.limits.trust_reads()
            self.client.request_full()
            self.others.expect_originals(self._clock.monotonic())
        self._generation = generation
        return changed

    def expect_generation(self, other: Instance, before: int | None) -> None:
        """Take for our own doing what `other` did to the journal, which it had heeded up to `before`."""
        if self._generation == before:
            self._generation = other.generation

    @property
    def generation(self) -> int | None:
        """Generation of the journal that was heeded last; None if none was."""
        return self._generation

    def until_others_restore(self) -> Callable[[], bool]:
        """Return a function that tells whether limits may still be written: nobody has paused or restored any since."""
        generation = self.journal.generation()
        return lambda: self.journal.paused() is None and self.journal.generation() == generation

    def take_in(self, seen: Observation) -> None:
        """Have the registry take in a read, with what the journal knows of torrents that are new."""
        self.registry.selection.now = self.registry.bounds.now = self._wall_clock()
        self.registry.bring_back(seen)
        if self._recalled:
            claims = self._claims_of_new(seen)
        else:
            claims = self._claims_at_start(seen)
            self.others.recall(seen.at)
            self.safety.recall()
            self._recalled = True
        first = not self.registry.loaded
        self.others.explain(self.registry.observe(seen, claims), seen)
        if first and self.registry.loaded:
            self.journal.settle_unknown(self.registry.limit_shown)
        restored = self.registry.limits.restored()
        if restored:
            self.registry.freed.difference_update(restored)
            self.journal.restored(restored)
            self._generation = self.journal.generation()  # our own doing

    def carry_out(self, plan: Plan) -> tuple[Plan, UnsafePlan | None]:
        """Write the safe part of a plan. Return that, and the error about the rest if there is any.

        Raises ClientError when a write fails, and JournalError before anything is written.
        """
        plan, refused = self.checked(plan)
        self.writer.apply(plan, self.client)
        return plan, refused

    def checked(self, plan: Plan) -> tuple[Plan, UnsafePlan | None]:
        """Return the safe part of a plan, and the error about the rest if there is any."""
        return self.safety.check(self.others.without_contested_raises(plan, self._clock.monotonic()))

    def unfinished(self) -> list[Change]:
        """Return what has to be written even if nothing is decided, except for torrents that have their originals back.

        That is what ends flushes that were cut in two, and limits that would break an overspeed rule after a while.

        The journal says which these are: a read may be older than the restoring, on 5.x even a complete one.
        """
        changes = [*self.registry.limits.unfinished(), *self._unattended()]
        held = self.journal.touched([change.hash for change in changes]) if changes else {}
        return [change for change in changes if change.hash in held]

    def note_missing(self) -> None:
        """Note in the journal which limited torrents are gone. After a complete list."""
        touched = (found.hash for found, held in self.journal.recall() if held)
        self.journal.missing([hash_ for hash_ in touched if self.registry.limit_shown(hash_) is None])

    @property
    def needs_care(self) -> bool:
        """Whether there are limits that only hold while somebody looks after them."""
        return next(self._unattended(), None) is not None

    def _unattended(self) -> Iterator[Change]:
        """Yield what lowers limits that use saved bytes under an overspeed rule, and so have to be looked after."""
        for state, steady in self.registry.bounds.unattended(list(self.registry.uploads.flowing.values())):
            yield Change(state.torrent.hash, state.current, steady, state.original, UNATTENDED, self.name)

    # -- torrents that come under another id, or come back ------------------------------------------------------------

    def _claims_at_start(self, seen: Observation) -> Iterator[Claim]:
        """Return what the journal knows of the torrents of the first list, by their present ids."""
        self._follow(seen)
        return self._claims(None)

    def _claims_of_new(self, seen: Observation) -> Iterator[Claim]:
        """Return what the journal knows of torrents that are new.

        One that was deleted may be added again, with our limit or with one that its person gave it.
        """
        new = [hash_ for hash_ in seen.torrents if hash_ not in self.registry]
        if not new:
            return iter(())
        self._follow(seen)
        return self._claims(new)

    def _strangers(self, seen: Observation) -> Iterable[str]:
        """Return torrents of a read that may have had another id before: those that are new and have a limit."""
        if not self._recalled:
            return self._perhaps_renamed(seen)
        return (
            hash_ for hash_, its in seen.torrents.items() if its.up_limit < UNLIMITED and hash_ not in self.registry
        )

    def _claims(self, hashes: Sequence[str] | None) -> Iterator[Claim]:
        recalled = self.journal.recall(hashes)
        return (Claim(found.hash, found.original, found.written, held) for found, held in recalled)

    def _perhaps_renamed(self, seen: Observation) -> Iterable[str]:
        """Return torrents of the first list that may have had another id, if touched ones are missing from it.

        Those with a limit that is or may be ours come first, since a program may have set another meanwhile.
        """
        recall = self.journal.recall
        missing = [found.written for found, held in recall() if held and found.hash not in seen.torrents]
        if not missing:
            return ()
        written = set(itertools.chain.from_iterable(missing))
        strangers = dict.fromkeys(seen.torrents)
        for found, held in recall():
            if held:
                strangers.pop(found.hash, None)

        def is_unlikely(hash_: str) -> bool:
            limit = seen.torrents[hash_].up_limit
            return limit not in written and not looks_like_ours(limit)

        return sorted(strangers, key=is_unlikely)[:MOST_LOOKED_UP]

    def _follow(self, seen: Observation) -> None:
        """Have the journal know touched torrents by their present ids.

        A hybrid torrent that was added by a v1 magnet gets another id when its metadata arrives: its v2 hash in place
        of its v1 hash; our limit goes with it. 5.1 does not even say that the old id is gone.
        """
        old_ids = {v1: new for new, v1 in self._v1_hashes.items() if v1 and v1 != new}
        self._v1_hashes = {}
        if not old_ids:
            return
        for old in self.journal.touched(list(old_ids)):
            new = old_ids[old]
            self.journal.renamed(old, new)
            self.registry.forget(old)
            seen.torrents.pop(old, None)
            self.client.request_full()
            log.info("torrent_renamed", old=old, torrent=new)


class Upkeep:
    """Prunes the journal now and then, while a complete list tells which limited torrents are gone."""

    def __init__(self, now: float, *, retention_s: float, give_up_s: float) -> None:
        """`now`: monotonic seconds."""
        self.retention_s = retention_s
        """How long history is kept, seconds."""
        self.give_up_s = give_up_s
        """How long originals of torrents are kept that qBittorrent lacks, seconds."""
        self.pruned_at = now
        """When the journal was pruned last, monotonic seconds."""
        self._asked_for_all_at = now - 1.0

    def prune_now_and_then(self, instances: Sequence[Instance], full: Collection[Instance], now: float) -> None:
        """Prune the journal if it is time. `full`: those whose last read was a complete list."""
        if now - self.pruned_at < PRUNE_EVERY_S:
            return
        if not full and self._asked_for_all_at < self.pruned_at:
            self._asked_for_all_at = now
            for one in instances:
                one.client.request_full()
            return
        for one in full:
            one.note_missing()
        self.pruned_at = now
        instances[0].journal.prune(older_than_s=self.retention_s, give_up_s=max(self.retention_s, self.give_up_s))
