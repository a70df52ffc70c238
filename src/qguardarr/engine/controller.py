"""The control loop.

    observe → decide → refuse if unsafe → journal the intent → apply → settle → Snapshot

A preview and a dry run are the same line stopped after the decision. A read or a journal that fails ends the cycle
before anything is written.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import math
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Final

import msgspec
import structlog

from qguardarr.core.measure.saved_quota import FLUSH_GAP_S, OTHER_GAP_S
from qguardarr.core.model import UNLIMITED, Change, Observation
from qguardarr.core.policy import Policy
from qguardarr.core.reconcile.decide import Decision, decide
from qguardarr.core.reconcile.foreign import ForeignLimits, read_note, write_note
from qguardarr.core.reconcile.ownership import Claim
from qguardarr.core.reconcile.plan import Plan, Write, make_plan, refuse_if_unsafe
from qguardarr.core.reconcile.registry import TorrentRegistry
from qguardarr.core.reconcile.signature import looks_like_ours
from qguardarr.core.select.pattern import Backtrack
from qguardarr.engine.first_start import refuse_limits_of_ours
from qguardarr.engine.foreign_words import foreign_words
from qguardarr.engine.ports import Clock, Journal, TorrentClient, Touched
from qguardarr.engine.rounds import Rounds
from qguardarr.engine.status import LoginPause, Snapshot, State, tracker_status
from qguardarr.engine.triggers import Triggers
from qguardarr.errors import (
    Busy,
    ClientError,
    JournalError,
    LoginRefused,
    NoAddress,
    QguardarrError,
    Unreachable,
    UnsafePlan,
)

LOCK_TIMEOUT_S: Final = 10.0
"""A rollback by another process may hold the lock for some seconds."""
PRUNE_EVERY_S: Final = 3 * 3600.0
"""Each time takes a complete list, which at 30,000 torrents keeps qBittorrent busy for seconds."""
HURRY_S: Final = 0.25
"""A cycle that is brought forward begins so long after the start of the one before …"""
FLOOD_S: Final = 1.0
"""… and so long (half an interval if that is shorter) if that one had been brought forward, too: a flood of hints must
not become a flood of calls."""
TRY_AGAIN_S: Final = 5.0
"""A cycle that failed is tried again after so long, or an interval if that is shorter: an interval may be minutes."""
MOST_LOOKED_UP: Final = 1000
"""Torrents of the first list that are looked up because they may have had another id before."""
MEDDLING_S: Final = 600.0
"""A program that comes back within so many seconds breaks caps often enough to be paid for sooner."""
RESTORING_S: Final = 15.0
"""So long after another process or thread restored originals, they may still be seen to come back."""
DRY_RUN_TOLD: Final = 0.2
"""A dry run logs a torrent again when its limit would differ by more than this part."""
DRY_RUN_LINES: Final = 20
"""Torrents that a dry run names in the log in one cycle."""
TURN_TIMEOUT_S: Final = 20.0
"""A cycle may wait for qBittorrent for long; whoever wants its turn meanwhile waits no longer than this."""

log = structlog.get_logger("qguardarr.controller")


class Controller:
    """Runs cycles, one at a time. Everything that changes limits or policy while it runs goes through it."""

    def __init__(
        self,
        client: TorrentClient,
        journal: Journal,
        policy: Policy,
        clock: Clock,
        *,
        retention_s: float = 30 * 86400.0,
        give_up_s: float = 30 * 86400.0,
        wall_clock: Callable[[], float] = time.time,
        triggers: Triggers | None = None,
        backtrack: Backtrack | None = None,
    ) -> None:
        self.registry = TorrentRegistry(policy, backtrack)
        self.foreign = ForeignLimits(policy.foreign_limits)
        self.snapshot = Snapshot(State.STARTING, wall_clock(), 0)
        self.decided: Decision | None = None
        """By the last cycle that came so far."""
        self._client = client
        self._journal = journal
        self._clock = clock
        self.retention_s = retention_s
        """How long history is kept, seconds …"""
        self.give_up_s = give_up_s
        """… and originals of torrents that qBittorrent lacks."""
        self._wall_clock = wall_clock
        self.triggers = triggers or Triggers(clock.wake)
        self._turn = threading.Lock()
        self._rounds: Rounds[Snapshot] = Rounds()
        self._recalled = False
        self._trusted = False
        """Whether the journal is known to be the one that limits in force were written with."""
        self._generation: int | None = None
        self._policy_changed = False
        self._next_policy: Policy | None = None
        self._next_client: TorrentClient | None = None
        self._gaps_s = [FLUSH_GAP_S, OTHER_GAP_S]
        """Between the two writes of the coming flushes, in turns, seconds."""
        self._explained_until = -math.inf
        """Until then originals may come back because somebody restored them, monotonic seconds."""
        self._foreign_note = ""
        self._dry_run_told: dict[str, int] = {}
        """Limits that a dry run has logged, by torrent."""
        self._pruned_at = clock.monotonic()
        self._asked_for_all_at = self._pruned_at - 1.0

    def run(self, stopped: Callable[[], bool], publish: Callable[[Snapshot], None]) -> None:
        """Run cycles until `stopped`. A late cycle is followed by the next at once; missed ones are not made up for."""
        hurried = False
        while not stopped():
            started = self._clock.monotonic()
            publish(self.cycle())
            gap = self._clock.monotonic() - started + self.rest_s(started)
            soonest = max(HURRY_S, min(FLOOD_S, gap / 2)) if hurried else min(HURRY_S, gap)
            hurried = False
            while not stopped() and (left := started + gap - self._clock.monotonic()) > 0:
                if not self._clock.wait(left):
                    break
                gap, hurried = min(gap, soonest), True

    def rest_s(self, started: float) -> float:
        """Seconds to wait after a cycle that began at `started` (monotonic): the interval at most, 0 if it is over."""
        now = self._clock.monotonic()
        if self.snapshot.state is State.FAILING:
            return max(0.0, started + min(self.policy.interval_s, TRY_AGAIN_S) - now)
        return max(0.0, self.registry.uploads.next_look(now, started + self.policy.interval_s) - now)

    def next_cycle(self, timeout_s: float) -> Snapshot:
        """Bring the next cycle forward and wait for it: the snapshot of one that began after this call.

        `Busy` if none has ended after `timeout_s` seconds. For any thread but the engine's.
        """
        asked = self._rounds.ask()
        self._clock.wake()
        try:
            return asked.result(timeout_s)
        except TimeoutError:
            raise Busy("the cycle has not ended yet: it waits for qBittorrent, or for a rollback; try again") from None

    def hurry(self) -> None:
        """Bring the next cycle forward. From any thread."""
        self._clock.wake()

    def cycle(self) -> Snapshot:
        """One cycle. Never raises: what went wrong stands in the snapshot."""
        with self._turn:
            end_round = self._rounds.begin()
            started = self._clock.monotonic()
            self._take_up()
            try:
                snapshot = self._cycle()
            except QguardarrError as error:
                snapshot = self._failed(error)
            except Exception as error:  # the loop survives its own defects; limits stay as they are
                fault = QguardarrError(f"internal error: {type(error).__name__}; see the log")
                if str(fault) != self.snapshot.problem:  # else the log would fill with one trace each cycle
                    log.exception("defect")
                snapshot = self._failed(fault)
            took = self._clock.monotonic() - started
            self.snapshot = msgspec.structs.replace(snapshot, cycle_s=took)
            end_round(self.snapshot)
            return self.snapshot

    def preview(self) -> Decision:
        """What a cycle would do, from one more read; nothing is written or settled. Raises ClientError, Busy."""
        with self._taking_turn():
            self._take_up()
            seen = self._client.observe(known=self.registry.known)
            with self._all_or_anew():
                self._take_in(seen)
            return decide(self.registry)

    @property
    def policy(self) -> Policy:
        """In force, or about to be."""
        return self._next_policy or self.registry.policy

    def adopt_policy(self, policy: Policy) -> None:
        """Swap the policy before the next cycle. Never waits; from any thread."""
        self._next_policy = policy

    def adopt_client(self, client: TorrentClient) -> None:
        """Speak to qBittorrent through another client from the next cycle on. Never waits; from any thread."""
        self._next_client = client

    def _take_up(self) -> None:
        """What was handed over since the last cycle."""
        client, self._next_client = self._next_client, None
        if client is not None:
            self._client = client
        policy, self._next_policy = self._next_policy, None
        if policy is not None:
            if self.registry.adopt_policy(policy):
                self._client.request_full()
            self.foreign.mode = policy.foreign_limits
            self._policy_changed = True

    def forget_borrowed(self, tracker: str | None = None) -> int:
        """Begin anew with what a tracker (None: each) borrows; how many had something to forget. `Busy` as above."""
        with self._taking_turn():
            borrowing = self.registry.uploads.effective
            known = [name for name in borrowing if tracker in (None, name)]
            for name in known:
                del borrowing[name]
            return len(known)

    @contextlib.contextmanager
    def _taking_turn(self) -> Iterator[None]:
        if not self._turn.acquire(timeout=TURN_TIMEOUT_S):
            raise Busy("a cycle waits for qBittorrent's answer; try again in a moment")
        try:
            yield
        finally:
            self._turn.release()

    # -- one cycle, step by step --------------------------------------------------------------------------------------

    def _cycle(self) -> Snapshot:
        hints = self.triggers.take()
        if hints.overflow:
            self._client.request_full()
        if self._generation is None:  # before the first read, which may be older than a restoring by another process
            self._generation = self._journal.generation()
        seen, refused = self._client.observe(hints.hashes, self.registry.known), None
        full = seen.full
        with contextlib.ExitStack() as held:
            with self._all_or_anew():
                held.enter_context(self._journal.exclusive(LOCK_TIMEOUT_S))
                paused = self._journal.paused()
                self._heed_others()
                self._take_in(seen)
                del seen  # a complete list takes megabytes
            self._refuse_lost_journal(writes=paused is None and not self.registry.policy.dry_run)
            self.decided = decision = decide(self.registry)
            self.registry.note_decision(decision.reasons, decision.clean)
            if paused is None and not self.registry.policy.dry_run:
                plan, refused = self._safe(self._without_contested_raises(decision.plan))
                self._apply(plan)
                self.registry.settle_decision(decision.effective, decision.idle_limits)
                self._note_configuration(plan)
            else:
                self.registry.uploads.forgive()
                self._apply(make_plan(self._unfinished(), max_calls=self.policy.max_calls_per_cycle))
            if self.registry.policy.dry_run:
                self._tell_dry_run(decision.plan)
            self._prune_now_and_then(full=full)
        return self._picture(decision, paused, refused)

    @contextlib.contextmanager
    def _all_or_anew(self) -> Iterator[None]:
        """What was read and could not be taken in is read again: a partial answer shows nothing a second time."""
        try:
            yield
        except BaseException:
            self._client.request_full()
            raise

    def _safe(self, plan: Plan) -> tuple[Plan, UnsafePlan | None]:
        """What of the plan is written, and what is wrong with the rest. Caps are held whatever is refused."""
        if not self._policy_changed:
            try:
                refuse_if_unsafe(plan, limited=lambda: self.registry.limited)
            except UnsafePlan as error:
                self.registry.postpone(change.hash for change in plan.changes if change.new == UNLIMITED)
                return plan.without_lifts(), error
        return plan, None

    def _note_configuration(self, plan: Plan) -> None:
        """A change of the policy may lift limits until it has lifted all; also if a restart comes in between."""
        if self._policy_changed and not plan.lifts and not plan.deferred:
            self._journal.set_configuration(_digest(self.registry.policy))
            self._policy_changed = False

    def _heed_others(self) -> None:
        """Another process may have restored limits that we wrote a moment ago: believe what the next reads show."""
        generation = self._journal.generation()
        if generation != self._generation:
            self.registry.trust_reads()
            self._client.request_full()
            self._explained_until = self._clock.monotonic() + RESTORING_S
        self._generation = generation

    def _unfinished(self) -> list[Change]:
        """Return what ends flushes that were cut in two, except for torrents that have their originals back.

        The journal says which these are: a read may be older than the restoring, on 5.x even a complete one.
        """
        changes = self.registry.unfinished()
        held = self._journal.touched([change.hash for change in changes]) if changes else {}
        return [change for change in changes if change.hash in held]

    def _take_in(self, seen: Observation) -> None:
        if not self._recalled:
            self._carry_over(seen, self._renamed_meanwhile(seen))
            self._foreign_note = self._journal.foreign()
            self.foreign.remember(read_note(self._foreign_note), seen.at, self._wall_clock())
            self._policy_changed |= self._journal.configuration() != _digest(self.registry.policy)
            claims = self._journal.recall()
            self._recalled = True
        else:
            claims = self._recognise_returners(seen)
        first = not self.registry.loaded
        claimed = (Claim(found.hash, found.original, found.written, held) for found, held in claims)
        self._explain(self.registry.observe(seen, claimed), seen)
        if first and self.registry.loaded:
            self._journal.settle_unknown(self.registry.limit_shown)
        restored = self.registry.restored()
        if restored:
            self._journal.restored(restored)
            self._generation = self._journal.generation()  # our own doing

    def _refuse_lost_journal(self, *, writes: bool) -> None:
        """Without the journal that they were written with, our own limits would be taken for originals."""
        if self._trusted:
            return
        problem = self._journal.holding()
        if problem:
            raise JournalError(problem)
        if self._journal.has_begun():
            self._trusted = True
        elif writes:
            unknown = [state.torrent.up_limit for state in self.registry.states() if not state.ours]
            refuse_limits_of_ours(unknown, marks_only=len(unknown) < len(self.registry))
            self._trusted = self.registry.loaded

    def _recognise_returners(self, seen: Observation) -> Iterator[tuple[Touched, bool]]:
        """A limited torrent that was deleted may be added again, with our limit or with one that its person gave it."""
        new = [hash_ for hash_ in seen.torrents if hash_ not in self.registry]
        if not new:
            return iter(())
        self._carry_over(seen, [hash_ for hash_ in new if seen.torrents[hash_].up_limit < UNLIMITED])
        return self._journal.recall(new)

    def _renamed_meanwhile(self, seen: Observation) -> list[str]:
        """Torrents of the first list that may have had another id before, if some that we touched are missing from it:
        those with a limit that is or may be ours first, since a program may have set another meanwhile."""
        missing = [t.written for t, held in self._journal.recall() if held and t.hash not in seen.torrents]
        if not missing:
            return []
        written = set(itertools.chain.from_iterable(missing))
        strangers = dict.fromkeys(seen.torrents)
        for touched, held in self._journal.recall():
            if held:
                strangers.pop(touched.hash, None)

        def is_unlikely(hash_: str) -> bool:
            limit = seen.torrents[hash_].up_limit
            return limit not in written and not looks_like_ours(limit)

        return sorted(strangers, key=is_unlikely)[:MOST_LOOKED_UP]

    def _carry_over(self, seen: Observation, strangers: Sequence[str]) -> None:
        """Recognise a hybrid torrent that was added by a v1 magnet: when its metadata arrives, its id changes from its
        v1 hash to its v2 hash, and our limit with it. 5.1 does not even say that the old id is gone."""
        if not strangers:
            return
        old_ids = {v1: new for new, v1 in self._client.v1_hashes(strangers).items() if v1 and v1 != new}
        for old in self._journal.touched(list(old_ids)):
            new = old_ids[old]
            self._journal.renamed(old, new)
            self.registry.forget(old)
            seen.torrents.pop(old, None)
            self._client.request_full()
            log.info("torrent_renamed", old=old, torrent=new)

    def _explain(self, suspects: Sequence[tuple[str, int]], seen: Observation) -> None:
        """Limits that we do not remember: older ones of ours that came back, another program's, or set by a person."""
        foreign: dict[str, int] = {}
        for hash_, limit in suspects:
            if self._journal.wrote(hash_, limit):
                self.registry.drifted(hash_, limit)
                log.info("limit_came_back", torrent=hash_, limit=limit)
            else:
                foreign[hash_] = limit
        ours = self._owned(foreign)
        judged = self.foreign.judge(
            {hash_: limit for hash_, limit in foreign.items() if hash_ in ours},
            self.registry.returned,
            self._original_of,
            at=seen.at,
            managed=self.registry.capped(),
            explained=seen.full or seen.at < self._explained_until,
        )
        self._adopt({hash_: limit for hash_, limit in foreign.items() if hash_ not in judged.program}, ours)
        for hash_, limit in judged.program.items():
            self.registry.set_by_program(hash_, limit)
        self._revoke(judged.revoked)
        self.snapshot = msgspec.structs.replace(
            self.snapshot, set_by_program=self.snapshot.set_by_program + len(judged.program) + len(judged.revoked)
        )
        self._note_foreign(seen.at)

    def _owned(self, limits: dict[str, int]) -> Collection[str]:
        """Those of these torrents whose originals we keep: we limited them, or another Qguardarr did."""
        unsure = [hash_ for hash_ in limits if not self.registry.is_ours(hash_)]
        touched = self._journal.touched(unsure) if unsure else {}
        others = {hash_ for hash_ in unsure if looks_like_ours(limits[hash_]) and self.registry.is_capped(hash_)}
        return {hash_ for hash_ in limits if hash_ not in unsure or hash_ in touched or hash_ in others}

    def _original_of(self, hash_: str) -> int:
        state = self.registry.get(hash_)
        assert state is not None  # the last read named it
        return state.original

    def _adopt(self, by_hand: dict[str, int], ours: Collection[str]) -> None:
        """A person set these limits. Where we limit the torrent, it is told."""
        if by_hand:
            self._journal.adopt(by_hand)  # which ignores those that we never touched
        for hash_, limit in by_hand.items():
            self.registry.set_by_hand(hash_, limit)
            if hash_ in ours:
                log.info("limit_set_by_hand", torrent=hash_, limit=limit)
        count = sum(1 for hash_ in by_hand if hash_ in ours)
        self.snapshot = msgspec.structs.replace(self.snapshot, set_by_hand=self.snapshot.set_by_hand + count)

    def _revoke(self, originals: dict[str, int]) -> None:
        """These were taken for a person's limits, and are another program's: the originals before them count again."""
        touched = self._journal.touched([hash_ for hash_ in originals if hash_ in self.registry])
        back = {hash_: originals[hash_] for hash_ in touched}
        if back:
            self._journal.adopt(back, "another program's limit is not the torrent's own")
        for hash_, original in back.items():
            self.registry.correct_original(hash_, original)

    def _note_foreign(self, at: float) -> None:
        """Have the journal, and people, know which programs set limits."""
        programs, contested = self.foreign.at_work(at), len(self.foreign.contested(at))
        words = foreign_words(programs, contested)
        self.registry.meddled = any(0.0 < program.gap_s < MEDDLING_S for program in programs)
        if bool(words) != bool(self.snapshot.foreign):
            if words:
                log.warning("foreign_limits", problem=words)
            else:
                log.info("foreign_limits_over")
        self.snapshot = msgspec.structs.replace(self.snapshot, foreign=words)
        note = write_note(self.foreign.note(at, self._wall_clock()))
        if note != self._foreign_note:
            self._journal.set_foreign(note)
            self._foreign_note = note

    def _without_contested_raises(self, plan: Plan) -> Plan:
        """What another Qguardarr limits too is lowered at once and seldom raised: caps hold, and the two do not write
        against each other at full speed."""
        now = self._clock.monotonic()
        contested = self.foreign.contested(now)
        if not contested:
            return plan
        return plan.without(
            lambda change: (
                change.new > change.old and change.hash in contested and not self.foreign.may_raise(change.hash, now)
            )
        )

    def _apply(self, plan: Plan) -> None:
        steps = plan.steps
        if not steps:
            return
        ids = list(self._journal.intend(steps))
        sent = 0
        try:
            for write in plan.flushes:
                self._write(write)
                self._flushing(write.changes)
                sent += len(write.changes)
            if plan.flushes:
                self._pause(self._gaps_s[0])
                self._gaps_s.reverse()
            for write in (*plan.lowers, *plan.writes):
                self._write(write)
                self._settle(write.changes)
                sent += len(write.changes)
        except ClientError as error:
            if isinstance(error, Unreachable):
                for change in steps[sent : sent + len(write.changes)]:
                    self.registry.got_no_answer(change.hash, change.new)
            self._journal.failed(ids[sent:])
            raise
        finally:
            self._journal.applied(ids[:sent])

    def _write(self, write: Write) -> None:
        self._client.set_upload_limit(write.limit, [change.hash for change in write.changes])
        self.snapshot = msgspec.structs.replace(
            self.snapshot,
            written_calls=self.snapshot.written_calls + 1,
            written_limits=self.snapshot.written_limits + len(write.changes),
        )

    def _flushing(self, changes: Sequence[Change]) -> None:
        now = self._clock.monotonic()
        for change in changes:
            self.registry.wrote_flush(change.hash, change.new, now)
        self.snapshot = msgspec.structs.replace(self.snapshot, flushed=self.snapshot.flushed + len(changes))
        log.info("saved_quota_flushed", torrents=len(changes), reason=changes[0].reason)

    def _pause(self, seconds: float) -> None:
        """Wait that long; a hint that comes meanwhile is kept for the wait after this cycle."""
        end, woken = self._clock.monotonic() + seconds, False
        while (left := end - self._clock.monotonic()) > 0:
            woken |= self._clock.wait(left)
        if woken:
            self._clock.wake()

    def _settle(self, changes: Sequence[Change]) -> None:
        now = self._clock.monotonic()
        for change in changes:
            self.registry.wrote(change.hash, change.new, change.original, now)

    def _tell_dry_run(self, plan: Plan) -> None:
        """Log what would be written: each torrent once, and again when it would get a clearly different limit."""
        told = self._dry_run_told
        news = [
            change
            for change in plan.changes
            if abs(change.new - told.get(change.hash, 0)) > DRY_RUN_TOLD * told.get(change.hash, 0)
        ]
        for change in news[:DRY_RUN_LINES]:
            log.info(
                "would_change",
                torrent=change.hash,
                old=None if change.old == UNLIMITED else change.old,
                new=None if change.new == UNLIMITED else change.new,
                reason=change.reason,
            )
        if len(news) > DRY_RUN_LINES:
            log.info("would_change_more", torrents=len(news) - DRY_RUN_LINES, advice="`qguardarr preview` lists all")
        self._dry_run_told = {hash_: new for hash_, new in told.items() if hash_ in self.registry} | {
            change.hash: change.new for change in news
        }

    # -- what it says -------------------------------------------------------------------------------------------------

    def _picture(self, decision: Decision, paused: str | None, refused: UnsafePlan | None) -> Snapshot:
        state = State.HOLDING
        if paused is not None:
            state = State.PAUSED
        elif self.registry.policy.dry_run:
            state = State.OBSERVING
        now, since = self._wall_clock(), self.snapshot.problem_since  # a pause is no failure
        if since and refused is None:
            log.info("recovered", after_s=round(now - since, 1))
        if refused is not None and self.snapshot.problem_kind != "UnsafePlan":
            log.warning("plan_refused", problem=str(refused))
        return msgspec.structs.replace(
            self.snapshot,
            state=state,
            at=now,
            cycle=self.snapshot.cycle + 1,
            problem=str(refused) if refused is not None else paused or "",
            problem_kind="" if refused is None else "UnsafePlan",
            problem_since=0.0 if refused is None else since or now,
            login_pause=None,
            trackers=tracker_status(self.registry, decision.trackers),
            torrents=len(self.registry),
            limited=self.registry.limited,
            planned=len(decision.plan.changes),
            deferred=decision.plan.deferred,
        )

    def _failed(self, error: QguardarrError) -> Snapshot:
        now = self._wall_clock()
        problem = str(error) or type(error).__name__
        kind = next(kind.__name__ for kind in type(error).mro() if kind.__module__ == QguardarrError.__module__)
        waiting = isinstance(error, NoAddress)
        if problem != self.snapshot.problem and not waiting:
            log.warning("cycle_failed", kind=kind, problem=problem)
        paused = LoginPause(error.next_try_at, error.ask_from) if isinstance(error, LoginRefused) else None
        return msgspec.structs.replace(
            self.snapshot,
            state=State.WAITING if waiting else State.FAILING,
            at=now,
            cycle=self.snapshot.cycle + 1,
            problem=problem,
            problem_kind=kind,
            problem_since=0.0 if waiting else self.snapshot.problem_since or now,
            login_pause=paused,
            failed_cycles=self.snapshot.failed_cycles + (not waiting),
        )

    def _prune_now_and_then(self, *, full: bool) -> None:
        now = self._clock.monotonic()
        if now - self._pruned_at < PRUNE_EVERY_S:
            return
        if not full and self._asked_for_all_at < self._pruned_at:
            self._asked_for_all_at = now
            self._client.request_full()  # a complete list tells which limited torrents are gone
            return
        if full:
            touched = (found.hash for found, held in self._journal.recall() if held)
            self._journal.missing([hash_ for hash_ in touched if hash_ not in self.registry])
        self._pruned_at = now
        self._journal.prune(older_than_s=self.retention_s, give_up_s=max(self.retention_s, self.give_up_s))


def _digest(policy: Policy) -> str:
    return hashlib.blake2b(msgspec.json.encode(policy), digest_size=16).hexdigest()
