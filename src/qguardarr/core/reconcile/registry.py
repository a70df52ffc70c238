"""What is known of every torrent from cycle to cycle: the only state of the core.

`TorrentRegistry.observe` takes in what was read, `TorrentRegistry.settle` what was written; between them everything
only reads. What a decision found is kept by `note_decision`, and by `settle_decision` once it was carried out.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from functools import lru_cache
from typing import Final

import msgspec

from qguardarr.core.measure.learnt import Learnt, LearntTracker, Memory
from qguardarr.core.measure.rate_estimator import RateEstimator
from qguardarr.core.measure.refresh_clock import RefreshClock, counted_s, implied_s
from qguardarr.core.measure.saved_quota import AGAIN_MOST_S, AGAIN_S
from qguardarr.core.measure.usage_meter import YIELD_WINDOW_S, UsageMeter
from qguardarr.core.model import UNLIMITED, Activity, Change, Observation, Torrent
from qguardarr.core.policy import Policy
from qguardarr.core.reconcile.foreign import is_rounded
from qguardarr.core.select.matcher import Matcher
from qguardarr.core.select.pattern import Backtrack

UNKNOWN: Final = 0
"""Stands for a limit in force that no one has explained yet."""
UNFINISHED: Final = "ends what makes it lose saved quota, which was cut off between its two writes"
"""A change's reason."""
QUIET_AFTER_S: Final = 30.0
"""An active torrent that moved nothing for so long counts as idle …"""
BURSTS_APART_S: Final = 90.0
"""… but one that is known for bursts only after so long: its next one is no wish for more."""
KEPT_SHARE: Final = 2.0
"""Who has a share of its own (`max_managed_torrents`) loses it only to another that is faster by this factor …"""
RANK_EVERY_S: Final = 10.0
"""… and not more often than so."""
FEW: Final = 300
"""While so many torrents upload or fewer, a read costs next to nothing and is made at the best moment."""
BEARABLE_S: Final = 0.3
"""A burst of so many seconds of the cap is borne: ten seconds with it are within 1.03 × the cap."""
KNOWN_S: Final = 0.5
"""A rate measured over so long, and …"""
TELLING: Final = 8192
"""… of more than this, bytes/s, tells how much time has passed."""


class TorrentState(msgspec.Struct, gc=False, eq=False):
    """One torrent in the registry. Only what is needed of each: there are tens of thousands."""

    torrent: Torrent
    rule: int
    """Index of the tracker class."""
    original: int
    """What the person had set, bytes/s or UNLIMITED."""
    current: int
    """Limit in force as far as we know, bytes/s or UNLIMITED; UNKNOWN until a stranger's limit is explained."""
    previous: int = 0
    """Limit before our last write: an answer may still show it for a moment. 0 if none."""
    ours: bool = False
    """The limit was changed by us and not restored since."""
    estimator: RateEstimator | None = None
    highest: int = 0
    """Highest limit below UNLIMITED that is known of it: its bucket may hold SAVED_S of that (see `saved_quota`)."""
    why: Enum | None = None
    """Why it has the limit that was decided last, a `decide.Why`; a note for people, never read by a decision."""


@lru_cache(maxsize=256)
def _claim(original: int, written: tuple[int, ...], held: bool) -> tuple[int, tuple[int, ...], bool]:
    """Thousands of torrents have the same few limits: equal ones are one object."""
    return original, written, held


class TorrentRegistry:
    """All torrents, the clock of their counters, and each tracker's meter."""

    def __init__(self, policy: Policy, backtrack: Backtrack | None = None) -> None:
        """`backtrack`: for patterns that are beyond RE2; see `Matcher`."""
        self.policy = policy
        self._backtrack = backtrack
        self.meters = [UsageMeter() for _ in policy.classes]
        self.members: dict[str, TorrentState] = {}
        self.flowing: dict[str, TorrentState] = {}
        """Those with a `RateEstimator`: active, or lately so."""
        self.clock = RefreshClock()
        self.global_limit = UNLIMITED
        self.refresh_s = 1.5
        self.loaded = False
        """A complete list was read."""
        self.meddled = False
        """Another program sets limits: what goes over the caps by that is paid back sooner."""
        self.counts: list[int] = []
        """Torrents of each tracker class."""
        self._loose: dict[str, None] = {}
        self._new: dict[str, None] = {}
        self._wrote_at: dict[str, float] = {}
        """When we last wrote each, monotonic seconds, oldest first; for as long as an answer may be older than that."""
        self._raised: dict[str, int] = {}
        """Torrents with the high limit of a flush, to be lowered at once, and the limit to go back to if nothing else
        is decided, bytes/s."""
        self._unconfirmed: dict[str, int] = {}
        """Limits that we wrote without getting an answer."""
        self._doubts: dict[str, None] = {}
        """Torrents that showed the limit before our last write: a stale answer, or set back since."""
        self.returned: dict[str, int] = {}
        """Torrents that the last read showed with their originals again, though we had written another limit."""
        self._foreign: dict[str, int] = {}
        """Limits of other programs that we wrote over: seen again, they are no write of ours that was lost."""
        self._individual: dict[str, None] | None = None
        self._ranked_at = 0.0
        self._moved_read_at = 0.0
        self._still_at = 0.0
        """Last read before anything flowed, seconds: the one after it may well show the same copy."""
        self._read_at: float | None = None
        self._owned: dict[str, tuple[int, tuple[int, ...], bool]] = {}
        self._memory: dict[str, Learnt] = {}
        """What was known of torrents before a restart, until the first complete list."""
        self._copied_at: float | None = None
        """When the last copy before a restart was taken, until the first read; monotonic seconds."""
        self.adopt_policy(policy)

    def adopt_policy(self, policy: Policy) -> None:
        """A new configuration: match every torrent anew; meters of trackers that stay go on."""
        before = {tracker.id: meter for tracker, meter in zip(self.policy.classes, self.meters, strict=True)}
        self.policy = policy
        self.matcher = Matcher(policy.classes, policy.match_mode, self._backtrack)
        self.meters = [before.get(c.id) or UsageMeter() for c in policy.classes]
        self.effective: dict[str, float] = {}
        """Effective cap of each tracker as last settled, bytes/s, by id."""
        self.parked_at: dict[str, int] = {}
        """Limit of each tracker's idle torrents, bytes/s, by id: sticky, so that small changes rewrite nothing."""
        for member in self.members.values():
            member.rule = self.matcher.match(member.torrent.urls)
        self._recount()
        self._individual = None
        self.loosen()

    def manages(self, hash: str) -> bool:
        """Whether `rollout_percentage` includes this torrent: stable by hash, so a larger percentage only adds some."""
        percentage = self.policy.rollout_percentage
        return percentage >= 100 or zlib.crc32(hash.encode()) % 100 < percentage

    def is_capped(self, hash: str) -> bool:
        """Whether the torrent's tracker has a cap."""
        return self.policy.classes[self.members[hash].rule].cap < UNLIMITED

    def capped(self) -> int:
        """How many torrents have a tracker with a cap."""
        return sum(n for tracker, n in zip(self.policy.classes, self.counts, strict=True) if tracker.cap < UNLIMITED)

    def individual(self, member: TorrentState) -> bool:
        """Whether the torrent gets a share of its own, or is one too many (`max_managed_torrents`)."""
        return self._individual is None or member.torrent.hash in self._individual

    def newcomers(self) -> Iterator[str]:
        """Torrents that were seen for the first time since the last settled plan, after the first complete list."""
        return iter(list(self._new))

    def loose(self) -> Iterator[str]:
        """Torrents whose limit while idle has to be looked at. Not to be tied before the iteration has ended."""
        return iter(self._loose)

    def postpone(self, hashes: Iterable[str]) -> None:
        """Look at these after all others: what they need was refused."""
        for hash_ in hashes:
            if self._loose.pop(hash_, self) is None:
                self._loose[hash_] = None

    def tie(self, hash: str) -> None:
        """This torrent's limit is as it should be: no need to look at it again until something changes."""
        self._loose.pop(hash, None)
        if not self._loose:
            self._loose = {}  # a dictionary does not shrink by itself, and this one had all torrents

    def loosen(self) -> None:
        """Look at every torrent again; those with leechers first."""
        order = sorted(self.members.values(), key=lambda m: -m.torrent.leechers)
        self._loose = {m.torrent.hash: None for m in order}

    def claim(self, hash: str, original: int, written: tuple[int, ...], *, held: bool = True) -> None:
        """The journal says that we touched this torrent before: its original, and what may be in force by our hand.

        `held`: it was not given its original back since.
        """
        self._owned[hash] = _claim(original, written, held)
        member = self.members.get(hash)
        if member is not None:
            self._own(member)

    def observe(self, seen: Observation) -> list[tuple[str, int]]:
        """Take in one read.

        Returns:
            Torrents whose limit is neither what we wrote nor what it was, with that limit (bytes/s or UNLIMITED): set
            by a person or a program, unless the journal knows better. The caller answers with `adopt`, `overruled` or
            `drifted`. Those that have their originals again are in `returned`.
        """
        self.returned = {}
        if seen.global_limit is not None:
            self.global_limit = seen.global_limit
        self.refresh_s = seen.refresh_s
        fresh = self._is_fresh(seen)
        before = self.clock.at or seen.at
        snapshot = self._snapshot_at(seen) if fresh else None
        self._read_at = seen.at
        moved = [0] * len(self.meters)
        suspects: list[tuple[str, int]] = []
        for hash_, torrent in seen.torrents.items():
            member = self.members.get(hash_)
            if member is None:
                member = self._enlist(torrent)
                first = True
            else:
                if torrent.urls is not member.torrent.urls and torrent.urls:
                    self._rematch(member, torrent)
                if torrent.activity is not member.torrent.activity:
                    self._loose[hash_] = None
                first = False
            was, member.torrent = member.torrent, torrent
            if member.estimator is None and snapshot is not None:
                self._maybe_start_flow(member, was, before, snapshot, first=first, moved=moved)
            if torrent.up_limit != member.current and self._differs(member, torrent.up_limit, seen.at):
                suspects.append((hash_, torrent.up_limit))
        suspects += self._doubted(seen)
        suspects += self._never_shown(seen)
        gone = [h for h in self.members if h not in seen.torrents] if seen.full else seen.removed
        changed = bool(gone) or bool(self._new) or not self.loaded
        for hash_ in gone:
            self.forget(hash_)
        if snapshot is not None:
            self._measure(snapshot, moved)
        if changed:
            self._recount()
        self._choose(seen.at)
        if seen.full and not self.loaded:
            self.loaded = True
            self._memory = {}
            self._owned = dict(self._owned)  # most were taken out, and a dictionary does not shrink by itself
            self.loosen()
        return suspects

    def next_look(self, now: float, due: float) -> float:
        """When to read again, `due` at the latest: what is read right after it was copied is acted on sooner.

        All times in monotonic seconds.
        """
        return self.clock.next_look(now, due, self.refresh_s) if len(self.flowing) <= FEW else due

    def adopt(self, hash: str, limit: int) -> None:
        """A person set this limit by hand: it is the original and the upper bound from now on."""
        member = self.members.get(hash)
        if member is not None:
            member.original = member.previous = limit  # what was before it is no write of ours that may have been lost
            self._now_in_force(member, limit)

    def overruled(self, hash: str, limit: int) -> None:
        """Another program set this limit: it is in force, and to be written over; the original stays."""
        member = self.members.get(hash)
        if member is not None:
            self._foreign[hash] = limit
            self._now_in_force(member, limit)
            member.ours = True  # still to be given its original back

    def reclaim(self, hash: str, original: int) -> None:
        """What was taken for a person's limit was another program's: this was the original, and is it again."""
        member = self.members.get(hash)
        if member is not None:
            self._foreign[hash] = member.original
            member.original = original
            member.ours = member.current != original
            self._loose[hash] = None

    def forget(self, hash: str) -> None:
        """This torrent is gone."""
        for register in (
            self.members,
            self.flowing,
            self._loose,
            self._new,
            self._doubts,
            self._raised,
            self._unconfirmed,
            self._foreign,
        ):
            register.pop(hash, None)

    def drifted(self, hash: str, limit: int) -> None:
        """This limit is an older one of ours: qBittorrent lost what we wrote after it."""
        member = self.members.get(hash)
        if member is not None:
            self._now_in_force(member, limit)

    def note_decision(self, reasons: Mapping[str, Enum], clean: Iterable[str]) -> None:
        """Keep what a decision found, carried out or not: why torrents have their limits, and which need no change."""
        for hash_, why in reasons.items():
            self.members[hash_].why = why
        for hash_ in clean:
            self.tie(hash_)

    def settle_decision(self, effective: dict[str, float], parked_at: dict[str, int]) -> None:
        """The decision was carried out as far as it could be: what it found is where the next one starts."""
        self.effective = effective
        if parked_at != self.parked_at:
            self.parked_at = parked_at
            self.loosen()
        if self._new:  # else a dictionary of thousands would be copied for nothing
            self._loose = dict.fromkeys(self._new) | self._loose
            self._new = {}

    def forgive(self) -> None:
        """Nothing is written now: what goes over the caps is not to be paid back when that changes."""
        for meter in self.meters:
            meter.debt = 0.0

    def settle(self, hash: str, limit: int, original: int, at: float) -> None:
        """We wrote this limit (bytes/s or UNLIMITED) at `at` (monotonic seconds)."""
        member = self.members.get(hash)
        if member is None:
            return
        if self._raised.pop(hash, None) is None:  # else an answer may still show the limit before the flush
            member.previous = member.current
        member.current = limit
        self._unconfirmed.pop(hash, None)
        self._wrote_at.pop(hash, None)
        self._wrote_at[hash] = at
        member.ours = limit != original
        member.original = original
        if limit < UNLIMITED:
            member.highest = max(member.highest, limit)
        if member.estimator is not None:
            member.estimator.relimit(limit, at)

    def flushing(self, hash: str, limit: int, at: float) -> None:
        """We wrote this limit, bytes/s, at `at`, so that the torrent loses its saved quota; a low one follows."""
        member = self.members.get(hash)
        if member is None:
            return
        self._raised.setdefault(hash, member.current)
        member.previous, member.current, member.ours = member.current, limit, True
        self._wrote_at.pop(hash, None)
        self._wrote_at[hash] = at
        if member.estimator is not None:
            member.estimator.overrun.flush(at, again_s=AGAIN_S, again_most_s=AGAIN_MOST_S)

    def uncertain(self, hash: str, limit: int) -> None:
        """A write of ours got no answer: whether this limit is in force is known at the next read only."""
        member = self.members.get(hash)
        if member is not None:
            self._unconfirmed[hash] = limit
            member.ours = True

    def unfinished(self) -> list[Change]:
        """What ends flushes that were cut in two, while nothing is decided: else high limits would stay in force."""
        return [
            Change(hash_, member.current, limit, member.original, UNFINISHED)
            for hash_, limit in self._raised.items()
            if limit < (member := self.members[hash_]).current
        ]

    def trust_reads(self) -> None:
        """Others may have written limits after us: no limit that a read shows is older than our own writes."""
        self._wrote_at.clear()

    # -- inside one observation ---------------------------------------------------------------------------------------

    def _enlist(self, torrent: Torrent) -> TorrentState:
        limit = torrent.up_limit
        member = TorrentState(torrent, self.matcher.match(torrent.urls), limit, limit)
        member.highest = limit if limit < UNLIMITED else 0
        self.members[torrent.hash] = member
        (self._new if self.loaded else self._loose)[torrent.hash] = None
        if torrent.hash in self._owned:
            self._own(member)
        return member

    def _rematch(self, member: TorrentState, torrent: Torrent) -> None:
        rule = self.matcher.match(torrent.urls)
        if rule != member.rule:
            self.counts[member.rule] -= 1
            self.counts[rule] += 1
            member.rule = rule
            self._loose[torrent.hash] = None

    def _recount(self) -> None:
        """Count torrents of each class."""
        counts = [0] * len(self.policy.classes)
        for member in self.members.values():
            counts[member.rule] += 1
        self.counts = counts

    def _choose(self, now: float) -> None:
        """Choose those that get a share of their own where there are more than `max_managed`: the fastest. Who has one
        keeps it while it uploads, but that now and then clearly faster ones take its place: that costs two limits."""
        most, before, self._individual = self.policy.max_managed, self._individual or {}, None
        if len(self.flowing) <= most:
            return
        capped = [tracker.cap < UNLIMITED for tracker in self.policy.classes]
        rates = {
            hash_: member.estimator.rate if member.estimator else 0.0
            for hash_, member in self.flowing.items()
            if capped[member.rule] and self.manages(hash_)
        }
        if len(rates) <= most:
            return
        kept = math.inf
        if now - self._ranked_at >= RANK_EVERY_S:
            self._ranked_at, kept = now, KEPT_SHARE
        fastest = sorted(rates, key=lambda hash_: -(kept * (1.0 + rates[hash_]) if hash_ in before else rates[hash_]))
        self._individual = dict.fromkeys(fastest[:most])

    def _own(self, member: TorrentState) -> None:
        """Apply what the journal knows of this torrent to what is seen of it."""
        member.original, written, held = self._owned.pop(member.torrent.hash)
        member.highest = max(limit for limit in (0, member.highest, member.original, *written) if limit < UNLIMITED)
        limit = member.torrent.up_limit
        member.ours = limit != member.original
        member.current = limit if limit == member.original or limit in written else UNKNOWN
        if held and limit == member.original and limit not in written:
            self.returned[member.torrent.hash] = limit
        if held and written and written[0] < limit == member.current and limit == member.highest != member.original:
            self._raised[member.torrent.hash] = written[0]  # killed before the second write of a flush

    def _differs(self, member: TorrentState, limit: int, now: float) -> bool:
        """Reconcile the limit shown with what we think is in force; True if a stranger may have set it."""
        hash_ = member.torrent.hash
        if limit == member.previous and now - self._wrote_at.get(hash_, -math.inf) < self._stale_s:
            self._doubts[hash_] = None
            return False  # the answer is older than our write
        self._loose[hash_] = None
        if limit == self._foreign.get(hash_) and limit != member.original:
            return True
        if limit == member.original and member.ours and limit != self._unconfirmed.get(hash_):
            self.returned[hash_] = limit
        # The last two: a write that was lost, or not.
        lost = limit in (member.original, member.previous, self._unconfirmed.get(hash_))
        if lost or self._is_ours_rounded(member, limit):
            self._now_in_force(member, limit)
            return False
        return True

    def _is_ours_rounded(self, member: TorrentState, limit: int) -> bool:
        """Whether somebody confirmed a dialog in KiB/s that showed a limit of ours."""
        mine = (member.current, member.previous) if member.ours else ()
        return any(is_rounded(limit, value) for value in mine if value not in (UNKNOWN, member.original))

    def _doubted(self, seen: Observation) -> list[tuple[str, int]]:
        """Look again at limits that were passed over as stale: a partial answer does not show them a second time."""
        suspects = []
        for hash_ in [h for h in self._doubts if h not in seen.torrents]:
            del self._doubts[hash_]
            member = self.members.get(hash_)
            if member is not None and member.torrent.up_limit != member.current:
                limit = member.torrent.up_limit
                if self._differs(member, limit, seen.at):
                    suspects.append((hash_, limit))
        return suspects

    @property
    def _stale_s(self) -> float:
        """For so long after a write an answer may be older than it, seconds."""
        return 2 * self.refresh_s + 2.0

    def _never_shown(self, seen: Observation) -> list[tuple[str, int]]:
        """Forget old writes. One that no answer has shown by now is not in force: somebody wrote over it before
        qBittorrent noticed, and its answers, which name changes alone, are never going to say so."""
        suspects = []
        while self._wrote_at and seen.at - self._wrote_at[oldest := next(iter(self._wrote_at))] >= self._stale_s:
            del self._wrote_at[oldest]
            member = self.members.get(oldest)
            if member is not None and seen.names_all_changes and member.torrent.up_limit != member.current:
                limit = member.torrent.up_limit
                if self._differs(member, limit, seen.at):
                    suspects.append((oldest, limit))
        return suspects

    def _now_in_force(self, member: TorrentState, limit: int) -> None:
        if limit != member.current:
            self._raised.pop(member.torrent.hash, None)
        member.current = limit
        member.ours = limit != member.original
        if limit < UNLIMITED:
            member.highest = max(member.highest, limit)
        if member.estimator is not None and self.clock.at is not None:
            member.estimator.relimit(limit, self.clock.at)

    def _is_fresh(self, seen: Observation) -> bool:
        """Whether the answer shows a copy of the counters that was not seen before."""
        for hash_, member in self.flowing.items():
            torrent = seen.torrents.get(hash_)
            if torrent is not None and torrent.uploaded != member.torrent.uploaded:
                self._moved_read_at = seen.at
                return True
        if not self.flowing:
            self._still_at = seen.at
            return True
        return seen.at - max(self._moved_read_at, self._still_at) > 1.3 * self.refresh_s

    def _snapshot_at(self, seen: Observation) -> float:
        if self._copied_at is not None:  # the copy that was read before the restart may be the one that is shown now
            self.clock.recall(self._copied_at - seen.refresh_s)
            self._copied_at = None
        return self.clock.advance(
            seen.at,
            seen.refresh_s,
            counted_s=counted_s(self._counted(seen)),
            implied_s=implied_s(self._moved(seen)),
            not_before=self._read_at if self._moved_read_at == seen.at else None,
        )

    def _counted(self, seen: Observation) -> Iterator[int]:
        """Seconds that each torrent which moved has counted since the last copy."""
        for hash_, member in self.flowing.items():
            before, now = member.torrent, seen.torrents.get(hash_)
            if now is not None and now.active_s > before.active_s > 0 and now.uploaded > before.uploaded:
                yield now.active_s - before.active_s

    def _moved(self, seen: Observation) -> Iterator[tuple[float, float]]:
        """Bytes of each torrent of known rate since the last copy, and that rate."""
        for hash_, member in self.flowing.items():
            estimator, torrent = member.estimator, seen.torrents.get(hash_)
            if estimator is None or torrent is None or estimator.window_s < KNOWN_S:
                continue
            rate = float(estimator.limit) if estimator.backlogged else estimator.rate
            moved = torrent.uploaded - estimator.last_bytes
            if rate > TELLING and moved > 0:
                yield moved, rate

    def _maybe_start_flow(
        self, member: TorrentState, was: Torrent, was_at: float, at: float, *, first: bool, moved: list[int]
    ) -> None:
        torrent = member.torrent
        delta = torrent.uploaded - was.uploaded
        known = self._memory.get(torrent.hash) if first else None
        flowed = known is not None and at - known.at <= QUIET_AFTER_S and torrent.activity is not Activity.STOPPED
        if torrent.activity is not Activity.ACTIVE and (first or delta <= 0) and not flowed:
            return
        member.estimator = RateEstimator(at, torrent.uploaded, member.current or UNLIMITED)
        self.flowing[torrent.hash] = member
        if known is not None:
            member.estimator.recall(known)
        if delta > 0 and not first:
            moved[member.rule] += delta
            member.estimator.wake(delta, at - was_at)
        elif first and self.loaded:
            member.estimator.wake(None, 0.0)  # new, and already uploading: limited at first sight

    def _measure(self, at: float, moved: list[int]) -> None:
        quiet: list[str] = []
        rates, limits, wanted = [0.0] * len(moved), [0.0] * len(moved), [False] * len(moved)
        for hash_, member in self.flowing.items():
            estimator = member.estimator
            assert estimator is not None
            bearable = BEARABLE_S * self.policy.classes[member.rule].cap
            moved[member.rule] += estimator.measure(
                at, member.torrent.uploaded, member.torrent.leechers, bearable=bearable
            )
            if self.policy.strategy != "equal":
                estimator.weigh(member.torrent.leechers, member.torrent.swarm_leechers)
            if estimator.backlogged and member.current < member.original:
                wanted[member.rule] = True
            if estimator.backlogged and estimator.window_s > YIELD_WINDOW_S:
                rates[member.rule] += estimator.rate
                limits[member.rule] += estimator.limit
                if estimator.overrun.flushes and estimator.heeds_limit:
                    estimator.overrun.flushes, member.highest = (
                        0,
                        estimator.limit,
                    )  # its limit binds: its bucket is empty
            patience = QUIET_AFTER_S if member.torrent.activity is not Activity.ACTIVE else 3 * QUIET_AFTER_S
            if member.ours:  # it may only wait for its next lump
                patience = max(patience, 2.0 * estimator.step / estimator.limit)
            if estimator.burstiness.burst > 0.0:
                patience = max(patience, BURSTS_APART_S)
            if at - max(estimator.moved_at, estimator.burstiness.raised_at) > patience:
                quiet.append(hash_)
        for hash_ in quiet:
            self.flowing.pop(hash_).estimator = None
            self._loose[hash_] = None
        for i, (tracker, meter) in enumerate(zip(self.policy.classes, self.meters, strict=True)):
            meter.learn_yield(rates[i], limits[i], at - meter.samples[-1][0] if meter.samples else 0.0)
            meter.add(at, moved[i], self.effective.get(tracker.id, tracker.cap), wanted=wanted[i])

    # -- over a restart -----------------------------------------------------------------------------------------------

    def learnt(self, epoch: float) -> Memory:
        """What is known of the torrents that upload, and of the trackers, to outlive a restart.

        `epoch`: Unix time at which the monotonic clock was 0, seconds.
        """
        estimators = ((hash_, member.estimator) for hash_, member in list(self.flowing.items()))
        found = (estimator.learnt(hash_, epoch) for hash_, estimator in estimators if estimator is not None)
        soft = self.policy.strategy == "soft"
        return Memory(
            [learnt for learnt in found if learnt is not None],
            [
                LearntTracker(
                    tracker.id,
                    meter.limiter_yield,
                    self.effective.get(tracker.id, tracker.cap) / tracker.cap if soft else 1.0,
                )
                for tracker, meter in zip(self.policy.classes, self.meters, strict=True)
                if tracker.cap < UNLIMITED
            ],
            epoch + self.clock.at if self.clock.at is not None else 0.0,
        )

    def recall(self, memory: Memory, epoch: float) -> None:
        """Go on from what was known before a restart. To be called before the first `observe`; `epoch`: as above."""
        self._memory = {
            learnt.hash: msgspec.structs.replace(learnt, at=learnt.at - epoch) for learnt in memory.torrents
        }
        known = {tracker.id: tracker for tracker in memory.trackers}
        for tracker, meter in zip(self.policy.classes, self.meters, strict=True):
            if (before := known.get(tracker.id)) is not None and tracker.cap < UNLIMITED:
                meter.recall(before.gain)
                if self.policy.strategy == "soft" and before.level > 1.0:
                    self.effective[tracker.id] = tracker.cap * min(before.level, 1 + self.policy.max_borrow_fraction)
        self._copied_at = memory.copied_at - epoch if memory.copied_at > 0.0 else None
