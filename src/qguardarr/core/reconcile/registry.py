"""Everything that is known of the torrents of one qBittorrent from cycle to cycle: the only state of the core.

`TorrentRegistry.observe` takes in a read, the methods named after the events of `ownership` take in writes and what was
found out about limits. Between them nothing changes.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from typing import Final

import msgspec

from qguardarr.core.measure.saved_quota import AGAIN_MOST_S, AGAIN_S
from qguardarr.core.model import UNLIMITED, Change, Observation, Torrent, digest_of
from qguardarr.core.policy import Policy
from qguardarr.core.reconcile.ownership import Claim, Owner, Ownership, Shown
from qguardarr.core.reconcile.rows import SlotQueue
from qguardarr.core.reconcile.torrent_table import TorrentState, TorrentTable
from qguardarr.core.reconcile.uploads import Uploads
from qguardarr.core.select.matcher import Matcher
from qguardarr.core.select.pattern import Backtrack

UNFINISHED: Final = "ends what makes it lose saved quota, which was cut off between its two writes"
"""A change's reason."""
STALE_REFRESHES: Final = 2
STALE_MORE_S: Final = 2.0
"""An answer may be older than a write for STALE_REFRESHES refreshes of the counters and this many seconds."""


class TorrentRegistry:
    """All torrents: which rule each belongs to, who owns its limit, and which ones have to be looked at."""

    def __init__(self, policy: Policy, backtrack: Backtrack | None = None) -> None:
        """`backtrack`: for patterns that are beyond RE2; see `Matcher`."""
        self.policy = policy
        self._backtrack = backtrack
        self.matcher = Matcher(policy.classes, policy.match_mode, backtrack)
        self.table = TorrentTable()
        self.uploads = Uploads(policy)
        self.global_limit = UNLIMITED
        self.loaded = False
        """A complete list was read."""
        self.meddled = False
        """Another program sets limits: what goes over the caps by that is paid back sooner."""
        self.idle_limits: dict[str, int] = {}
        """Limit of each tracker's idle torrents, bytes/s, by id: sticky, so that small changes rewrite nothing."""
        self.counts = [0] * len(policy.classes)
        """Torrents of each tracker class."""
        self.returned: dict[str, int] = {}
        """Torrents that the last read showed with their originals again, though we had written another limit."""
        self._dirty = SlotQueue(self.table.rows)
        """Torrents whose limit while idle has to be looked at."""
        self._new: dict[str, None] = {}
        """Torrents that were added since the last settled plan."""
        self._written: dict[str, float] = {}
        """When we last wrote each, monotonic seconds, oldest first; as long as an answer may be older than that."""
        self._doubted: dict[str, None] = {}
        """Torrents that showed the limit before our last write: a stale answer, or set back since."""
        self._selecting = False
        """Rules were changed: only a complete list tells which torrents belong to which."""

    # -- looking ------------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.table)

    def __contains__(self, hash_: object) -> bool:
        return hash_ in self.table

    def get(self, hash_: str) -> TorrentState | None:
        """Return a torrent to read from, None if it is unknown. For any thread."""
        return self.table.get(hash_)

    def copies(self) -> Iterator[TorrentState]:
        """Yield all torrents as they are now, to read from, for any thread."""
        return self.table.copies()

    def known(self, hash_: str) -> Torrent | None:
        """Return a torrent as it was shown last, for a client that merges what changed into it."""
        found = self.table.get(hash_)
        if found is None:
            return None
        return msgspec.structs.replace(found.torrent, urls_digest=0) if self._selecting else found.torrent

    def limit_shown(self, hash_: str) -> int | None:
        """Return the limit that the last read showed of a torrent, bytes/s or UNLIMITED; None if it is unknown."""
        found = self.table.get(hash_)
        return None if found is None else found.torrent.up_limit

    def states(self) -> Iterator[TorrentState]:
        """Yield all torrents, to read from. For the engine's thread; others ask for `copies`."""
        return self.table.states()

    def manages(self, hash_: str) -> bool:
        """Return whether `rollout_percentage` includes a torrent: stable, so that a larger one only adds some."""
        percentage = self.policy.rollout_percentage
        return percentage >= 100 or zlib.crc32(hash_.encode()) % 100 < percentage

    def is_capped(self, hash_: str) -> bool:
        """Return whether the tracker of a torrent has a cap; False for an unknown one."""
        found = self.table.get(hash_)
        return found is not None and self.policy.classes[found.rule].cap < UNLIMITED

    def capped(self) -> int:
        """Return how many torrents have a tracker with a cap."""
        return sum(n for tracker, n in zip(self.policy.classes, self.counts, strict=True) if tracker.cap < UNLIMITED)

    @property
    def limited(self) -> int:
        """How many torrents have a limit that is not their person's."""
        return self.table.limited()

    def is_ours(self, hash_: str) -> bool:
        """Return whether the limit in force is not the person's; False for an unknown torrent."""
        found = self.table.get(hash_)
        return found is not None and found.ours

    def newcomers(self) -> Iterator[TorrentState]:
        """Yield the torrents that were added since the last settled plan, after the first complete list."""
        return (state for hash_ in self._new if (state := self.table.get(hash_)) is not None)

    def dirty(self) -> Iterator[TorrentState]:
        """Yield the torrents whose limit while idle has to be looked at. Mark none clean before that has ended."""
        return map(self.table.at, self._dirty)

    # -- reading ------------------------------------------------------------------------------------------------------

    def adopt_policy(self, policy: Policy) -> bool:
        """Take up another configuration, and return whether a complete list is needed to go on.

        That is so if the rules select other torrents. A changed cap, as any other number, leaves each torrent where it
        is, and what trackers borrow stays lent.
        """
        before, self.policy = self.policy, policy
        self.uploads.adopt_policy(policy)
        if _selectors(policy) != _selectors(before):
            self.matcher = Matcher(policy.classes, policy.match_mode, self._backtrack)
            self._selecting = True
            self._renumber([tracker.id for tracker in before.classes])
        self.idle_limits = {t.id: self.idle_limits[t.id] for t in policy.classes if t.id in self.idle_limits}
        if _without_caps(policy) != _without_caps(before):
            self.mark_all_dirty()
        else:
            caps = zip(before.classes, policy.classes, strict=True)
            self._mark_rules_dirty({i for i, (a, b) in enumerate(caps) if (a.cap < UNLIMITED) != (b.cap < UNLIMITED)})
        return self._selecting

    def observe(self, seen: Observation, claims: Iterable[Claim] = ()) -> list[tuple[str, int]]:
        """Take in one read.

        Args:
            seen: what was read.
            claims: what the journal knows of the torrents that are new.

        Returns:
            Torrents whose limit is neither ours nor the original, with that limit (bytes/s or UNLIMITED): set by a
            person or a program, unless the journal knows better. The caller answers with `set_by_hand`,
            `set_by_program` or `drifted`. Those that have their originals again are in `returned`.
        """
        self.returned = {}
        if seen.global_limit is not None:
            self.global_limit = seen.global_limit
        was_at = self.uploads.clock.at or seen.at
        at = self.uploads.copied_at(seen)
        added = self._enlist(seen.torrents)
        for claim in claims:
            self.claim(claim)
        moved = [0] * len(self.policy.classes)
        suspects: list[tuple[str, int]] = []
        objects = self.table.objects
        for hash_, torrent in seen.torrents.items():
            state = known = objects.get(hash_)
            if state is None:
                state = self.table.at(self.table.slot(hash_))
            was = None if hash_ in added else state.torrent
            if was is not None:
                state.torrent = self._selected(state, torrent) if torrent.urls or self._selecting else torrent
                if torrent.activity is not was.activity:
                    self.mark_dirty(hash_)
            if state.estimator is None and at is not None:
                moved[state.rule] += self.uploads.start(state, was, was_at, at, loaded=self.loaded)
            if torrent.up_limit != state.current and self._is_strange(state, torrent.up_limit, seen.at):
                suspects.append((hash_, torrent.up_limit))
            if known is None or state.estimator is None:
                self.table.put(state)
        suspects += self._look_again(seen)
        gone = [h for h in self.table.hashes() if h not in seen.torrents] if seen.full else seen.removed
        for hash_ in gone:
            self.forget(hash_)
        if at is not None:
            for state in self.uploads.measure(at, moved):
                self.table.put(state)
                self.mark_dirty(state.torrent.hash)
        self.uploads.choose(seen.at, self.manages)
        if seen.full:
            self._selecting = False
            if not self.loaded:
                self.loaded = True
                self.uploads.forget_known()
                self.mark_all_dirty()
        return suspects

    def forget(self, hash_: str) -> None:
        """Forget a torrent that is gone."""
        slot = self.table.slot(hash_)
        if slot < 0:
            return
        self.counts[self.table.rule_at(slot)] -= 1
        self._dirty.discard(slot)
        self.table.remove(hash_)
        for register in (self.uploads.flowing, self._new, self._doubted, self._written):
            register.pop(hash_, None)

    # -- what is to be looked at --------------------------------------------------------------------------------------

    def mark_dirty(self, hash_: str) -> None:
        """Have the limit of a torrent looked at while it is idle."""
        if (slot := self.table.slot(hash_)) >= 0:
            self._dirty.add(slot)

    def mark_all_dirty(self) -> None:
        """Have all torrents looked at, those with leechers first."""
        self._dirty.replace(sorted(self.table.rows.slots(), key=lambda slot: -self.table.leechers_at(slot)))

    def mark_clean(self, hash_: str) -> None:
        """Have a torrent left alone until something about it changes: its limit is as it should be."""
        if (slot := self.table.slot(hash_)) >= 0:
            self._dirty.discard(slot)

    def postpone(self, hashes: Iterable[str]) -> None:
        """Have these torrents looked at after all others: their changes were refused."""
        self._dirty.move_to_end(slot for hash_ in hashes if (slot := self.table.slot(hash_)) >= 0)

    def note_decision(self, reasons: Mapping[str, Enum], clean: Iterable[str]) -> None:
        """Keep what a decision found, carried out or not: why torrents have their limits, and which need no change."""
        objects = self.table.objects
        for hash_, why in reasons.items():
            state = objects.get(hash_)
            if state is not None:
                state.why = why
            elif (state := self.table.get(hash_)) is not None:
                state.why = why
                self.table.put(state)
        for hash_ in clean:
            self.mark_clean(hash_)

    def settle_decision(self, effective: dict[str, float], idle_limits: dict[str, int]) -> None:
        """Take in that a decision was carried out as far as it could be: the next one starts from its results."""
        self.uploads.effective = effective
        if idle_limits != self.idle_limits:
            changed = {
                i for i, t in enumerate(self.policy.classes) if idle_limits.get(t.id) != self.idle_limits.get(t.id)
            }
            self.idle_limits = idle_limits
            self._mark_rules_dirty(changed)
        if self._new:
            self._dirty.move_to_front(slot for hash_ in self._new if (slot := self.table.slot(hash_)) >= 0)
            self._new = {}

    # -- who owns a limit ---------------------------------------------------------------------------------------------

    def claim(self, claim: Claim) -> None:
        """Apply what the journal knows to a torrent; without effect on one that is unknown."""
        state = self.table.get(claim.hash)
        if state is None:
            return
        if state.claimed(claim, state.torrent.up_limit):
            self.returned[claim.hash] = state.torrent.up_limit
        self.table.put(state)

    def wrote(self, hash_: str, limit: int, original: int, at: float) -> None:
        """Take in that we wrote this limit (bytes/s or UNLIMITED) at `at` (monotonic seconds)."""
        state = self.table.get(hash_)
        if state is not None:
            self._note_write(hash_, at)
            state.wrote(limit, original)
            if state.estimator is not None:
                state.estimator.relimit(limit, at)
            self.table.put(state)

    def wrote_flush(self, hash_: str, limit: int, at: float) -> None:
        """Take in that we wrote this limit, bytes/s, so that the torrent loses its saved quota; a low one follows."""
        state = self.table.get(hash_)
        if state is not None:
            self._note_write(hash_, at)
            state.wrote_flush(limit)
            if state.estimator is not None:
                state.estimator.flush(at, again_s=AGAIN_S, again_most_s=AGAIN_MOST_S)
            self.table.put(state)

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
        self.mark_dirty(hash_)

    def restored(self) -> list[str]:
        """Return torrents whose originals, which we wrote, are in force as a read shows: nothing of ours is left."""
        found = [s for s in list(self.table.objects.values()) if s.confirm(s.torrent.up_limit)]
        for state in found:
            self.table.put(state)
        return [state.torrent.hash for state in found]

    def unfinished(self) -> list[Change]:
        """Return what ends flushes that were cut in two, while nothing is decided: else high limits stay in force."""
        return [
            Change(hash_, state.current, state.lower_to, state.original, UNFINISHED)
            for hash_, state in self.table.objects.items()
            if state.owner is Owner.FLUSHED and state.lower_to < state.current
        ]

    def trust_reads(self) -> None:
        """Believe every limit that a read shows: others may have written limits after us."""
        self._written.clear()

    # -- inside -------------------------------------------------------------------------------------------------------

    def _enlist(self, torrents: Mapping[str, Torrent]) -> Container[str]:
        """Take in the torrents that are new, and return their hashes."""
        added: Mapping[str, object] = torrents
        if len(self.table):
            objects = self.table.objects
            added = {h: None for h in torrents if h not in objects and self.table.slot(h) < 0}
        for hash_ in added:
            torrent = torrents[hash_]
            limit, rule = torrent.up_limit, self.matcher.match(torrent.urls)
            highest = limit if limit < UNLIMITED else 0
            self.table.put(TorrentState(limit, limit, highest=highest, torrent=_without_urls(torrent), rule=rule))
            self.counts[rule] += 1
            if self.loaded:
                self._new[hash_] = None
            else:
                self.mark_dirty(hash_)
        return added

    def _selected(self, state: TorrentState, torrent: Torrent) -> Torrent:
        """Have a torrent belong to the rule of its announce URLs, and return it without them."""
        kept = _without_urls(torrent)
        if self._selecting or kept.urls_digest != state.torrent.urls_digest:
            rule = self.matcher.match(torrent.urls)
            if rule != state.rule:
                self.counts[state.rule] -= 1
                self.counts[rule] += 1
                self.table.set_rule(state, rule)
                self.mark_dirty(torrent.hash)
        return kept

    def _renumber(self, before: Sequence[str]) -> None:
        """Have torrents belong to the rules of the same ids, or else the last one, until a complete list is read."""
        now = {tracker.id: i for i, tracker in enumerate(self.policy.classes)}
        last = len(self.policy.classes) - 1
        self.counts = [0] * len(self.policy.classes)
        for state in self.states():
            rule = now.get(before[state.rule], last)
            self.table.set_rule(state, rule)
            self.counts[rule] += 1

    def _mark_rules_dirty(self, rules: Collection[int]) -> None:
        """Have the torrents of these rules looked at, those with leechers first."""
        if rules:
            slots = [slot for slot in self.table.rows.slots() if self.table.rule_at(slot) in rules]
            for slot in sorted(slots, key=lambda slot: -self.table.leechers_at(slot)):
                self._dirty.add(slot)

    def _change(self, hash_: str, event: Callable[[Ownership], None]) -> None:
        """Have an event change who owns a limit; without effect on a torrent that is unknown."""
        state = self.table.get(hash_)
        if state is not None:
            event(state)
            self.table.put(state)

    def _found(self, hash_: str, event: Callable[[Ownership], None]) -> None:
        """The same where the event also tells which limit is in force."""

        def change(state: Ownership) -> None:
            event(state)
            self.uploads.relimit(hash_, state.current)

        self._change(hash_, change)

    def _note_write(self, hash_: str, at: float) -> None:
        self._written.pop(hash_, None)
        self._written[hash_] = at

    def _is_strange(self, state: TorrentState, limit: int, now: float) -> bool:
        """Reconcile the limit shown with the one that we think is in force; True if somebody else may have set it."""
        hash_ = state.torrent.hash
        shown = state.judge(limit, may_be_stale=now - self._written.get(hash_, -math.inf) < self._stale_s)
        if shown is Shown.STALE:
            self._doubted[hash_] = None
            return False
        self.mark_dirty(hash_)
        if shown is Shown.STRANGE:
            return True
        if shown is Shown.RETURNED:
            self.returned[hash_] = limit
        self.uploads.relimit(hash_, limit)
        return False

    @property
    def _stale_s(self) -> float:
        """For how long after a write an answer may be older than it, seconds."""
        return STALE_REFRESHES * self.uploads.refresh_s + STALE_MORE_S

    def _look_again(self, seen: Observation) -> list[tuple[str, int]]:
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
            state = self.table.get(hash_)
            if state is not None and (limit := state.torrent.up_limit) != state.current:
                if self._is_strange(state, limit, seen.at):
                    suspects.append((hash_, limit))
                self.table.put(state)
        return suspects


def _without_urls(torrent: Torrent) -> Torrent:
    """Return a torrent as it is kept: a digest in place of the announce URLs, which hold passkeys and take room."""
    if torrent.urls or not torrent.urls_digest:
        return msgspec.structs.replace(torrent, urls=(), urls_digest=torrent.urls_digest or digest_of(torrent.urls))
    return torrent


def _selectors(policy: Policy) -> tuple[object, ...]:
    """Return all of a policy that decides which rule a torrent belongs to."""
    rules = tuple((tracker.id, tracker.pattern) for tracker in policy.classes)
    if policy.match_mode == "first":
        return policy.match_mode, rules
    return policy.match_mode, rules, sorted(range(len(rules)), key=lambda i: policy.classes[i].cap)


def _without_caps(policy: Policy) -> Policy:
    classes = tuple(msgspec.structs.replace(tracker, cap=UNLIMITED) for tracker in policy.classes)
    return msgspec.structs.replace(policy, classes=classes)
