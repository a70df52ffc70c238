"""The torrents that upload: when their counters were copied, how fast each goes, and how full each cap is.

`Uploads` is fed by `TorrentRegistry.observe` and read by `decide`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from qguardarr.core.measure.learnt import Learnt
from qguardarr.core.measure.rate_estimator import RateEstimator
from qguardarr.core.measure.refresh_clock import RefreshClock, counted_s, implied_s
from qguardarr.core.measure.usage_meter import YIELD_WINDOW_S, UsageMeter
from qguardarr.core.model import UNLIMITED, Activity, Observation, Torrent
from qguardarr.core.policy import Policy
from qguardarr.core.reconcile.group_meters import GroupMeters
from qguardarr.core.reconcile.torrent_bounds import TorrentBounds
from qguardarr.core.reconcile.torrent_table import TorrentState

QUIET_AFTER_S: Final = 30.0
"""A torrent that moved nothing for this long counts as idle, seconds; three times as long if qBittorrent shows it as
active."""
BURSTS_APART_S: Final = 90.0
"""The same for one that is known for bursts: its next burst is no wish for more."""
KEPT_SHARE: Final = 2.0
"""A torrent with a share of its own (`max_managed_torrents`) loses it only to one that is faster by this factor."""
RANK_EVERY_S: Final = 10.0
"""Shares change hands no more often than this, seconds."""
FEW: Final = 300
"""Up to this many uploading torrents, a read costs next to nothing and is made at the best moment."""
BEARABLE_S: Final = 0.3
"""A burst of this many seconds of the cap is borne: ten seconds with it are within 1.03 × the cap."""
KNOWN_S: Final = 0.5
"""A rate that was measured over this long, and is more than TELLING, tells how much time has passed."""
TELLING: Final = 8192
"""Bytes/s."""


class Uploads:
    """Rate estimators of uploading torrents, a usage meter for each tracker, and the clock of the counters."""

    def __init__(self, policy: Policy, bounds: TorrentBounds) -> None:
        self.flowing: dict[str, TorrentState] = {}
        """Torrents with a `RateEstimator`: active, or lately so."""
        self.meters = [UsageMeter() for _ in policy.classes]
        self.group_meters = GroupMeters(policy)
        self.clock = RefreshClock()
        self.refresh_s = 1.5
        self.effective: dict[str, float] = {}
        """Effective cap of each tracker as last settled, bytes/s, by id."""
        self._policy = policy
        self._bounds = bounds
        self._individual: dict[str, None] | None = None
        self._ranked_at = 0.0
        self._moved_read_at = 0.0
        self._still_at = 0.0
        """Last read before anything flowed, seconds: the one after it may well show the same copy."""
        self._read_at: float | None = None
        self._known: dict[str, Learnt] = {}
        """What was known of torrents before a restart, until the first complete list."""
        self._recalled_at: float | None = None
        """When the last copy before a restart was taken, until the first read; monotonic seconds."""

    def adopt_policy(self, policy: Policy) -> None:
        """Go on under another policy: trackers that stay keep their meters, and what they borrow."""
        before = {tracker.id: meter for tracker, meter in zip(self._policy.classes, self.meters, strict=True)}
        capped = {tracker.id: tracker.cap < UNLIMITED for tracker in self._policy.classes}
        self.meters = [before.get(tracker.id) or UsageMeter() for tracker in policy.classes]
        self.group_meters.adopt_policy(policy)
        stay = {t.id for t in policy.classes if capped.get(t.id) is (t.cap < UNLIMITED)}
        self.effective = {name: cap for name, cap in self.effective.items() if name in stay}
        if policy.max_managed != self._policy.max_managed:
            self._individual = None
        self._policy = policy

    def next_look(self, now: float, due: float) -> float:
        """Return when to read again, `due` at the latest: a read right after a copy is acted on sooner.

        All times in monotonic seconds.
        """
        return self.clock.next_look(now, due, self.refresh_s) if len(self.flowing) <= FEW else due

    @property
    def copied_ago_s(self) -> float:
        """Return how old the counters were when they were last read, seconds."""
        return 0.0 if self._read_at is None or self.clock.at is None else max(0.0, self._read_at - self.clock.at)

    def is_individual(self, hash_: str) -> bool:
        """Return whether a torrent gets a share of its own, or is one too many (`max_managed_torrents`)."""
        return self._individual is None or hash_ in self._individual

    def forgive(self) -> None:
        """Forget bytes over the caps: while nothing is written, they are not to be paid back later."""
        for meter in self.meters:
            meter.debt = 0.0
        self.group_meters.forgive()

    def go_on_from(self, known: dict[str, Learnt], copied_at: float | None) -> None:
        """Take up what was known before a restart. `copied_at`: when counters were last copied, monotonic seconds."""
        self._known, self._recalled_at = known, copied_at

    def forget_known(self) -> None:
        """Drop what was known before a restart: every torrent was seen by now."""
        self._known = {}

    # -- one read -----------------------------------------------------------------------------------------------------

    def copied_at(self, seen: Observation) -> float | None:
        """Return when the counters of this read were copied, monotonic seconds; None if they were seen before."""
        self.refresh_s = seen.refresh_s
        copied_at = None
        if self._is_fresh(seen):
            if self._recalled_at is not None:  # the copy that was read before the restart may be the one shown now
                self.clock.recall(self._recalled_at - seen.refresh_s)
                self._recalled_at = None
            copied_at = self.clock.advance(
                seen.at,
                seen.refresh_s,
                counted_s=counted_s(self._counted(seen)),
                implied_s=implied_s(self._moved(seen)),
                not_before=self._read_at if self._moved_read_at == seen.at else None,
            )
        self._read_at = seen.at
        return copied_at

    def start(self, state: TorrentState, was: Torrent | None, was_at: float, at: float, *, loaded: bool) -> int:
        """Begin to measure a torrent if it uploads, and return the bytes that it moved by now.

        Args:
            state: the torrent, without an estimator so far.
            was: the torrent as shown before; None if it is new.
            was_at: when the counters were copied before, monotonic seconds.
            at: when they were copied now.
            loaded: a complete list was read before, so that a new torrent was added meanwhile.
        """
        torrent = state.torrent
        delta = 0 if was is None else torrent.uploaded - was.uploaded
        known = self._known.get(torrent.hash) if was is None else None
        flowed = known is not None and at - known.at <= QUIET_AFTER_S and torrent.activity is not Activity.STOPPED
        if torrent.activity is not Activity.ACTIVE and delta <= 0 and not flowed:
            return 0
        estimator = state.estimator = RateEstimator(at, torrent.uploaded, state.current or UNLIMITED)
        self.flowing[torrent.hash] = state
        if known is not None:
            estimator.recall(known)
        if delta > 0:
            estimator.wake(delta, at - was_at)
            return delta
        if was is None and loaded:
            estimator.wake(None, 0.0)  # new, and already uploading: limited at first sight
        return 0

    def relimit(self, hash_: str, limit: int) -> None:
        """Have a torrent, if it uploads, measured under the limit that a read shows, bytes/s or UNLIMITED."""
        state = self.flowing.get(hash_)
        if state is not None and state.estimator is not None and self.clock.at is not None:
            state.estimator.relimit(limit, self.clock.at)

    def measure(self, at: float, moved: list[int]) -> list[TorrentState]:
        """Measure what every torrent and tracker moved, and return the torrents that fell quiet.

        Args:
            at: when the counters were copied, monotonic seconds.
            moved: bytes of each tracker's torrents that were measured for the first time; is added to.
        """
        quiet: list[TorrentState] = []
        policy = self._policy
        rates, limits, wanted = [0.0] * len(moved), [0.0] * len(moved), [False] * len(moved)
        bearable = [BEARABLE_S * tracker.cap for tracker in policy.classes]
        for state in self.flowing.values():
            estimator, torrent, rule = state.estimator, state.torrent, state.rule
            assert estimator is not None
            moved[rule] += estimator.measure(at, torrent.uploaded, torrent.leechers, bearable=bearable[rule])
            if policy.strategy != "equal":
                estimator.weigh(torrent.leechers, torrent.swarm_leechers)
            if estimator.backlogged:
                if self._bounds.could_use_more(state):
                    wanted[rule] = True
                if estimator.window_s > YIELD_WINDOW_S:
                    rates[rule] += estimator.rate
                    limits[rule] += estimator.limit
                    if estimator.overrun.flushes and estimator.heeds_limit:  # its limit binds: its bucket is empty
                        estimator.overrun.flushes, state.highest = 0, estimator.limit
            still_s = at - max(estimator.moved_at, estimator.burstiness.raised_at)
            if still_s > QUIET_AFTER_S and still_s > _patience_s(state, estimator):
                quiet.append(state)
        for state in quiet:
            del self.flowing[state.torrent.hash]
            state.estimator = None
        for i, (tracker, meter) in enumerate(zip(policy.classes, self.meters, strict=True)):
            meter.learn_yield(rates[i], limits[i], at - meter.samples[-1][0] if meter.samples else 0.0)
            meter.add(at, moved[i], self.effective.get(tracker.id, tracker.cap), wanted=wanted[i])
        self.group_meters.add(at, moved)
        return quiet

    def choose(self, now: float, manages: Callable[[str], bool]) -> None:
        """Choose the torrents with a share of their own where there are more than `max_managed`: the fastest.

        A torrent keeps its share while it uploads, but now and then clearly faster ones take its place, which costs
        two writes.
        """
        most, before, self._individual = self._policy.max_managed, self._individual or {}, None
        if len(self.flowing) <= most:
            return
        capped = [tracker.cap < UNLIMITED for tracker in self._policy.classes]
        rates = {
            hash_: state.estimator.rate if state.estimator else 0.0
            for hash_, state in self.flowing.items()
            if capped[state.rule] and manages(hash_)
        }
        if len(rates) <= most:
            return
        kept = math.inf
        if now - self._ranked_at >= RANK_EVERY_S:
            self._ranked_at, kept = now, KEPT_SHARE
        fastest = sorted(rates, key=lambda hash_: -(kept * (1.0 + rates[hash_]) if hash_ in before else rates[hash_]))
        self._individual = dict.fromkeys(fastest[:most])

    def _is_fresh(self, seen: Observation) -> bool:
        """Return whether the answer shows a copy of the counters that was not seen before."""
        for hash_, state in self.flowing.items():
            torrent = seen.torrents.get(hash_)
            if torrent is not None and torrent.uploaded != state.torrent.uploaded:
                self._moved_read_at = seen.at
                return True
        if not self.flowing:
            self._still_at = seen.at
            return True
        return seen.at - max(self._moved_read_at, self._still_at) > 1.3 * self.refresh_s

    def _counted(self, seen: Observation) -> Iterator[int]:
        """Yield the seconds that each torrent which moved has counted since the last copy."""
        for before, now in self._pairs(seen.torrents):
            if now.active_s > before.torrent.active_s > 0 and now.uploaded > before.torrent.uploaded:
                yield now.active_s - before.torrent.active_s

    def _moved(self, seen: Observation) -> Iterator[tuple[float, float]]:
        """Yield the bytes of each torrent of known rate since the last copy, and that rate."""
        for state, now in self._pairs(seen.torrents):
            estimator = state.estimator
            if estimator is None or estimator.window_s < KNOWN_S:
                continue
            rate = float(estimator.limit) if estimator.backlogged else estimator.rate
            moved = now.uploaded - estimator.last_bytes
            if rate > TELLING and moved > 0:
                yield moved, rate

    def _pairs(self, torrents: Mapping[str, Torrent]) -> Iterator[tuple[TorrentState, Torrent]]:
        """Yield each uploading torrent as it was known, and as it is shown now."""
        for hash_, state in self.flowing.items():
            if (now := torrents.get(hash_)) is not None:
                yield state, now


def _patience_s(state: TorrentState, estimator: RateEstimator) -> float:
    """Return for how long a torrent may move nothing before it counts as idle: QUIET_AFTER_S or more, seconds."""
    patience = QUIET_AFTER_S if state.torrent.activity is not Activity.ACTIVE else 3 * QUIET_AFTER_S
    if state.ours:  # it may only wait for its next step
        patience = max(patience, 2.0 * estimator.step / estimator.limit)
    if estimator.burstiness.burst > 0.0:
        patience = max(patience, BURSTS_APART_S)
    return patience
