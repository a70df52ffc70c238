"""Everything that is known of the torrents of one qBittorrent from cycle to cycle: the only state of the core.

`TorrentRegistry.observe` takes in a read, the methods of `TorrentRegistry.limits` take in writes and what was found out
about limits. Between them nothing changes.

The class is long because a read changes the table, the rules, the counts, the queue and the limits in one step, and in
an order that matters: `observe` is that order. What each of them does alone stands in a module of its own.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum

import msgspec

from qguardarr.core.model import UNLIMITED, Labels, Observation, Torrent
from qguardarr.core.policy import Policy, without_caps
from qguardarr.core.reconcile.idle_queue import IdleQueue
from qguardarr.core.reconcile.limits import Limits
from qguardarr.core.reconcile.ownership import Claim
from qguardarr.core.reconcile.selection import Selection, was_labelled, without_texts
from qguardarr.core.reconcile.torrent_bounds import TorrentBounds
from qguardarr.core.reconcile.torrent_table import TorrentState, TorrentTable
from qguardarr.core.reconcile.uploads import Uploads
from qguardarr.core.select.pattern import Backtrack


class TorrentRegistry:
    """All torrents: which rule each belongs to, whom its limit belongs to, and which ones have to be looked at."""

    def __init__(self, policy: Policy, backtrack: Backtrack | None = None, instance: str = "") -> None:
        """`backtrack`: for patterns that are beyond RE2; see `Matcher`. `instance`: name of the qBittorrent.

        A torrent's key is (instance, hash); in here, where all are of one qBittorrent, the hash alone.
        """
        self.policy = policy
        self.instance = instance
        self.selection = Selection(policy, backtrack, instance)
        self.table = TorrentTable()
        self.bounds = TorrentBounds(policy)
        self.uploads = Uploads(policy, self.bounds)
        self.global_limit = UNLIMITED
        self.loaded = False
        """A complete list was read."""
        self.meddled = False
        """Another program sets limits: what goes over the caps by that is paid back sooner."""
        self.idle_limits: dict[str, int] = {}
        """Limit of each tracker's idle torrents, bytes/s, by id: sticky, so that small changes rewrite nothing."""
        self.counts = [0] * len(policy.classes)
        """Torrents of each tracker class."""
        self.freed: set[str] = set()
        """Torrents that a label moved to a group which does not limit them: whoever gave it wants their limits lifted.
        Until their originals are in force."""
        self.queue = IdleQueue(self.table)
        self.limits = Limits(self.table, self.uploads, self.queue, instance)

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

    def label_counts(self) -> Mapping[Labels, int]:
        """Return how many torrents have which categories and tags, for any thread."""
        return self.table.label_counts()

    def hashes(self) -> Iterator[str]:
        """Yield the hashes of all torrents, for any thread; one that is just removed may be among them."""
        return self.table.hashes()

    def known(self, hash_: str) -> Torrent | None:
        """Return a torrent as it was shown last, for a client that merges what changed into it."""
        found = self.table.get(hash_)
        return self.selection.known(hash_, None if found is None else found.torrent)

    def original_of(self, hash_: str) -> int:
        """Return the original of a torrent, bytes/s or UNLIMITED. KeyError if it is unknown."""
        found = self.table.get(hash_)
        if found is None:
            raise KeyError(hash_)
        return found.original

    def limit_shown(self, hash_: str) -> int | None:
        """Return the limit that the last read showed of a torrent, bytes/s or UNLIMITED; None if it is unknown."""
        found = self.table.get(hash_)
        return self.selection.limit_shown(hash_) if found is None else found.torrent.up_limit

    def states(self) -> Iterator[TorrentState]:
        """Yield all torrents, to read from. For the engine's thread; others ask for `copies`."""
        return self.table.states()

    def manages(self, hash_: str) -> bool:
        """Return whether `rollout_percentage` includes a torrent: stable, so that a larger one only adds some."""
        return is_managed(self.policy, hash_)

    def may_limit(self, hash_: str) -> bool:
        """Return whether the tracker of a torrent has a cap, or bounds for its torrents; False for an unknown one."""
        found = self.table.get(hash_)
        return found is not None and self.policy.classes[found.rule].limits_torrents

    def is_limited_by_rule(self, state: TorrentState) -> bool:
        """Return whether the rule of a torrent has a cap, or a bound that is lower than what its person set."""
        group = self.policy.classes[state.rule]
        return group.is_capped or (group.bounds_torrents and self.bounds.needs_limit(state))

    def limitable(self) -> int:
        """Return how many torrents have a tracker with a cap, or with bounds for its torrents."""
        return sum(n for tracker, n in zip(self.policy.classes, self.counts, strict=True) if tracker.limits_torrents)

    @property
    def limited(self) -> int:
        """How many torrents have a limit that is not their person's."""
        return self.table.limited()

    def is_ours(self, hash_: str) -> bool:
        """Return whether the limit in force is not the person's; False for an unknown torrent."""
        found = self.table.get(hash_)
        return found is not None and found.ours

    # -- reading ------------------------------------------------------------------------------------------------------

    def adopt_policy(self, policy: Policy) -> bool:
        """Take up another configuration, and return whether a complete list is needed to go on.

        That is so if their texts have to be searched for other patterns. A changed cap, as any other number, leaves
        each torrent where it is, and what trackers borrow stays lent.
        """
        before, self.policy = self.policy, policy
        self.bounds.adopt_policy(policy)
        self.uploads.adopt_policy(policy)
        if self.selection.adopt_policy(before, policy):
            self._renumber([tracker.id for tracker in before.classes])
            if not self.selection.changed:
                self._select_again()
        self.idle_limits = {t.id: self.idle_limits[t.id] for t in policy.classes if t.id in self.idle_limits}
        if without_caps(policy) != without_caps(before):
            self.queue.mark_all_dirty()
        else:
            pairs = zip(before.classes, policy.classes, strict=True)
            self.queue.mark_rules_dirty({i for i, (was, now) in enumerate(pairs) if was.is_capped != now.is_capped})
        return self.selection.changed

    def bring_back(self, seen: Observation) -> None:
        """Try undecided torrents again, before a read is taken in: those that are new are put into it."""
        for torrent in self.selection.due(seen):
            state = self.table.get(torrent.hash)
            if state is None:
                seen.torrents[torrent.hash] = torrent
            else:
                shown = msgspec.structs.replace(
                    state.torrent, urls=torrent.urls, urls_digest=torrent.urls_digest, name=torrent.name
                )
                self._read(state, shown)
                self.table.put(state)

    def observe(self, seen: Observation, claims: Iterable[Claim] = ()) -> list[tuple[str, int]]:
        """Take in one read.

        Args:
            seen: what was read, after `bring_back`; ages count as of `selection.now`.
            claims: what the journal knows of the torrents that are new.

        Returns:
            Torrents whose limit is neither ours nor the original, with that limit (bytes/s or UNLIMITED): set by a
            person or a program, unless the journal knows better. The caller answers with `set_by_hand`,
            `set_by_program` or `drifted` of `limits`. Those that have their originals again are in `limits.returned`.
        """
        if seen.global_limit is not None:
            self.global_limit = seen.global_limit
        added = self._enlist(seen.torrents)
        self._claim(claims, added)
        was_at = self.uploads.clock.at or seen.at
        at = self.uploads.copied_at(seen)
        moved = [0] * len(self.policy.classes)
        suspects: list[tuple[str, int]] = []
        objects, selection = self.table.objects, self.selection
        is_told = seen.full or not selection.changed
        """Whether this read tells which rule a torrent belongs to."""
        looks_further = is_told and selection.matcher.looks_beyond_urls
        for hash_, torrent in seen.torrents.items():
            state = known = objects.get(hash_)
            if state is None and (slot := self.table.slot(hash_)) >= 0:
                state = self.table.at(slot)
            if state is None:  # undecided
                continue
            was, rule = None if hash_ in added else state.torrent, state.rule
            if was is not None:
                has_texts = bool(torrent.urls or torrent.name) or torrent.urls_digest != was.urls_digest
                has_texts = has_texts or selection.changed or selection.is_undecided(hash_)
                if has_texts and is_told:
                    self._read(state, torrent)
                    if selection.is_left_out(hash_):  # what the journal knows of it stays
                        self.forget(hash_)
                        selection.leave_out(torrent)
                        continue
                else:
                    state.torrent = without_texts(torrent) if has_texts else torrent
                    if looks_further:
                        self._select(state)
                if state.rule != rule:
                    self._note_move(state, by_label=was_labelled(was.labels, torrent.labels))
                if torrent.activity is not was.activity:
                    self.queue.mark_dirty(hash_)
            if state.estimator is None and at is not None:
                moved[state.rule] += self.uploads.start(state, was, was_at, at, loaded=self.loaded)
            if torrent.up_limit != state.current and self.limits.is_strange(state, torrent.up_limit, seen.at):
                suspects.append((hash_, torrent.up_limit))
            if known is None or state.estimator is None:
                self.table.put(state)
        for state in selection.aged(self.table):
            self._select(state)
            self.table.put(state)
        suspects += self.limits.look_again(seen)
        gone = [h for h in self.table.hashes() if h not in seen.torrents] if seen.full else seen.removed
        for hash_ in gone:
            self.forget(hash_)
        if at is not None:
            self.bounds.observe(at, self.uploads.flowing.values(), added if self.loaded else ())
            for state in self.uploads.measure(at, moved):
                self.bounds.rest(state)
                self.table.put(state)
                self.queue.mark_dirty(state.torrent.hash)
        self.queue.mark_rules_dirty(self.bounds.aging())
        self.uploads.choose(seen.at, self.manages)
        if seen.full:
            selection.settle()
            if not self.loaded:
                self.loaded = True
                self.uploads.forget_known()
                self.queue.mark_all_dirty()
        return suspects

    def forget(self, hash_: str) -> None:
        """Forget a torrent that is gone."""
        self.selection.forget(hash_)
        slot = self.table.slot(hash_)
        if slot < 0:
            return
        self.counts[self.table.rule_at(slot)] -= 1
        self.queue.forget(hash_)
        self.limits.forget(hash_)
        self.uploads.flowing.pop(hash_, None)
        self.bounds.forget(hash_)
        self.freed.discard(hash_)
        self.table.remove(hash_)

    # -- deciding -----------------------------------------------------------------------------------------------------

    def note_decision(self, reasons: Mapping[str, Enum], clean: Iterable[int]) -> None:
        """Keep what a decision found, carried out or not: why torrents have their limits, and which need no change."""
        objects = self.table.objects
        for hash_, why in reasons.items():
            state = objects.get(hash_)
            if state is not None:
                state.why = why
            elif (state := self.table.get(hash_)) is not None:
                state.why = why
                self.table.put(state)
        for slot in clean:
            self.queue.mark_clean(slot)

    def settle_decision(self, effective: dict[str, float], idle_limits: dict[str, int]) -> None:
        """Take in that a decision was carried out as far as it could be: the next one starts from its results."""
        self.uploads.effective = effective
        if idle_limits != self.idle_limits:
            changed = {
                i for i, t in enumerate(self.policy.classes) if idle_limits.get(t.id) != self.idle_limits.get(t.id)
            }
            self.idle_limits = idle_limits
            self.queue.mark_rules_dirty(changed)
        self.queue.settle_newcomers()

    # -- inside -------------------------------------------------------------------------------------------------------

    def _enlist(self, torrents: Mapping[str, Torrent]) -> Mapping[str, object]:
        """Take in the torrents that are new, and return their hashes."""
        added: Mapping[str, object] = torrents
        if len(self.table):
            objects = self.table.objects
            added = {h: None for h in torrents if h not in objects and self.table.slot(h) < 0}
        for hash_ in added:
            torrent = torrents[hash_]
            limit, verdict = torrent.up_limit, self.selection.verdict_on(torrent, None)
            if verdict is None:
                continue
            highest, rule = limit if limit < UNLIMITED else 0, self.selection.rule_of(torrent, verdict)
            kept = without_texts(torrent)
            self.table.put(TorrentState(limit, limit, highest=highest, torrent=kept, rule=rule, verdict=verdict))
            self.counts[rule] += 1
            if self.loaded:
                self.queue.add_newcomer(hash_)
            else:
                self.queue.mark_dirty(hash_)
        return added

    def _claim(self, claims: Iterable[Claim], added: Iterable[str]) -> None:
        """Apply what the journal knows of torrents that were added.

        If it cannot be read, they are forgotten: else their limits would be taken for originals.
        """
        self.limits.returned = {}
        try:
            for claim in claims:
                self.limits.claim(claim)
        except BaseException:
            for hash_ in list(added):
                self.forget(hash_)
            raise

    def _read(self, state: TorrentState, torrent: Torrent) -> None:
        """Take in a torrent with the texts that it is shown with; it then belongs to its rule, or is undecided."""
        verdict = self.selection.verdict_on(torrent, state)
        state.torrent = without_texts(torrent)
        if verdict is not None:
            state.verdict = verdict
            self._select(state)

    def _select(self, state: TorrentState) -> None:
        """Have a torrent belong to its rule. It keeps the one that it has while it is undecided."""
        if self.selection.is_undecided(state.torrent.hash):
            return
        rule = self.selection.rule_of(state.torrent, state.verdict)
        if rule != state.rule:
            self.counts[state.rule] -= 1
            self.counts[rule] += 1
            self.table.set_rule(state, rule)
            self.queue.mark_dirty(state.torrent.hash)

    def _note_move(self, state: TorrentState, *, by_label: bool) -> None:
        """Take in that a torrent belongs to another rule, perhaps since it was given a label."""
        if by_label and state.ours and not self.is_limited_by_rule(state):
            self.freed.add(state.torrent.hash)
        else:
            self.freed.discard(state.torrent.hash)

    def _select_again(self) -> None:
        """Have all torrents belong to their rules by what is kept of their texts."""
        for state in list(self.table.objects.values()):
            self._select(state)
        matcher, now = self.selection.matcher, self.selection.now
        moved = [row.slot for row in self.table.selectable() if matcher.choose(row.verdict, row, now) != row.rule]
        for state in map(self.table.at, moved):
            self._select(state)

    def _renumber(self, before: Sequence[str]) -> None:
        """Have torrents belong to the rules of the same ids, or else the last one, until a complete list is read."""
        now = {tracker.id: i for i, tracker in enumerate(self.policy.classes)}
        if list(now) == list(before):
            return
        self.freed.clear()
        last = len(self.policy.classes) - 1
        self.counts = [0] * len(self.policy.classes)
        for state in self.states():
            rule = now.get(before[state.rule], last)
            if before[state.rule] not in now:
                self.selection.displace(state.torrent.hash)
            self.table.set_rule(state, rule)
            self.counts[rule] += 1


def is_managed(policy: Policy, hash_: str) -> bool:
    """See `TorrentRegistry.manages`."""
    percentage = policy.rollout_percentage
    return percentage >= 100 or zlib.crc32(hash_.encode()) % 100 < percentage
