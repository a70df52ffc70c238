"""One decision: what every torrent's limit should be now, and why."""

from __future__ import annotations

import enum
import math
from typing import Final

import msgspec

from qguardarr.core.allocate.shares import OVERCOMMIT, Borrower, Want, as_limit, divide_cap, divide_line
from qguardarr.core.measure.rate_estimator import RateEstimator
from qguardarr.core.measure.saved_quota import Overrun, above_limits, flush_limits, left_to_others, overrun
from qguardarr.core.model import UNLIMITED, Activity, Change, TrackerClass
from qguardarr.core.policy import Policy
from qguardarr.core.reconcile.plan import IMPLAUSIBLE_COUNT, Plan, make_plan
from qguardarr.core.reconcile.registry import TorrentRegistry
from qguardarr.core.reconcile.signature import marked
from qguardarr.core.reconcile.torrent_table import TorrentState
from qguardarr.core.units import format_speed

PARK_PER_S: Final = 40.0
"""Idle torrents whose limit is rewritten each second at most: each costs qBittorrent a file."""
PARK_SUM: Final = 0.5
"""Parked limits of as many as wake at once sum to about this fraction of their tracker's cap …"""
PARK_FEW: Final = 40
"""So many may all wake at once; of more, a part that falls with the square root. Were it all of them, each of some
hundreds would have so little that its first blocks took ten seconds."""
PARK_MOST: Final = 0.1
"""… but none is more than this fraction of it …"""
PARK_LEAST: Final = 2048
"""… nor less than this, bytes/s: below it blocks take longer than peers wait."""
PARK_SLACK: Final = 2.0
"""An idle torrent's limit is left as it is while it is within this factor of what it should be."""
PROVEN_S: Final = 0.8
"""A limit has proven its effect when it was watched for so long, seconds."""
FORGIVEN_S: Final = 0.5
"""Bytes over the cap that are not worth a write, in seconds of the cap: lumps look like that."""
CAUTIOUS_S: Final = 2.0
"""Debt beyond that at which limits sum to no more than the cap, in seconds of the cap: torrents that seem content but
are not (many, each too slow to tell) would take what is promised to them."""
LINE_LEAST: Final = 0.5
"""Of the line this is left to the capped trackers, whatever the unlimited ones take."""
REPAY_S: Final = 100.0
"""Bytes over the cap are paid back over about so many seconds …"""
REPAY_MOST: Final = 0.02
"""… but with no more than this part of the cap: most of it stays in use."""
MEDDLED_REPAY_S: Final = 20.0
MEDDLED_REPAY_MOST: Final = 0.3
"""The same while another program sets limits every now and then, so that the cap holds in the mean
(tests/loop/test_foreign_loop.py: unlimited every 20 s gives 1.06 × the cap instead of 1.18 ×; with 10 s and 0.5 it is
1.04, for 10 % more writes)."""
MADE_UP_S: Final = 15.0
"""What bursty torrents left of the cap, or took above it, is made up for over about so many seconds …"""
MADE_UP_DOUBT: Final = 0.5
"""… with no more than this part of what is in doubt about them, …"""
MADE_UP_MOST: Final = 0.06
"""… nor this part of the cap: ten seconds stay within 1.10 × the cap."""


class Why(enum.Enum):
    """Kinds of reasons, with their words. `cap` is the tracker's name; speeds are written out."""

    FAIR = "fair share of {tracker}: {limit}; wants more"
    CUT = "fair share of {tracker}: {limit}; used {rate}"
    ROOM = "uses {rate} of {tracker}; room up to {limit}"
    PARKED = "idle on {tracker}; held at {limit} until it uploads"
    HELD = "beyond max_managed_torrents on {tracker}; held at {limit}"
    BOUND = "limit set by hand: {limit}; wants more"
    LIFTED = "{tracker} is unlimited; the original is restored"
    LEFT = "not managed (rollout_percentage); the original is restored"
    QUIET = "idle on {tracker}; the original is restored (auto_unlimit_on_inactive)"
    SAVED = "runs above its limit of {limit} on {tracker}: it spends quota saved under {earlier}"

    def words(self, *, tracker: str, limit: int, rate: float, earlier: int = 0) -> str:
        """The reason as a sentence for a person. `earlier`: the highest limit that the torrent had, 0 if unknown."""
        under = f"its earlier limit of {format_speed(earlier)}" if earlier > limit else "an earlier limit"
        return self.value.format(
            tracker=tracker, limit=format_speed(limit), rate=format_speed(int(rate)), earlier=under
        )


FLUSHED: Final = "lowered from {earlier} to {limit}, so that quota saved under the old limit is lost"
"""Why a torrent has two changes in one cycle."""


class TrackerReport(msgspec.Struct, frozen=True):
    """A tracker in this decision. Rates in bytes/s."""

    id: str
    name: str
    cap: int
    """As configured, or UNLIMITED."""
    effective: float
    """What it may use now: cap, less what the line lacks, plus what it borrows; `math.inf` if unlimited."""
    borrowed: float
    rate: float
    """Newest rate of all its torrents."""
    demand: float
    """What its torrents are known to want; `math.inf` if some want more than they have."""
    level: float
    """Water level: the share of a hungry torrent of weight 1; `math.inf` if all get what they want."""
    torrents: int
    active: int
    hungry: int
    priority: int
    overrun: Overrun = Overrun()
    """Those of its torrents that run above their own limits."""


class Decision(msgspec.Struct, frozen=True):
    """What to write, and what was found."""

    plan: Plan
    trackers: tuple[TrackerReport, ...]
    effective: dict[str, float]
    """To be settled: effective caps by tracker id, bytes/s."""
    parked_at: dict[str, int]
    """To be settled: limits of idle torrents by tracker id, bytes/s."""
    reasons: dict[str, Why]
    """Why each torrent looked at has, or gets, its limit; by hash."""
    clean: tuple[str, ...]
    """Hashes of idle torrents whose limits are as they should be."""


class _Draft:
    """A decision while it is made."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.flushes: list[Change] = []
        self.reasons: dict[str, Why] = {}
        self.clean: list[str] = []

    def change(self, member: TorrentState, limit: int, why: Why, tracker: str) -> None:
        """Change a torrent's limit to `limit`, bytes/s or UNLIMITED, unless that is in force."""
        if limit == member.current:
            return
        rate = member.estimator.rate if member.estimator else 0.0
        words = why.words(tracker=tracker, limit=limit, rate=rate, earlier=member.highest)
        hash_ = member.torrent.hash
        self.changes.append(Change(hash_, member.current or UNLIMITED, limit, member.original, words))
        self.reasons[hash_] = why


def decide(registry: TorrentRegistry) -> Decision:
    """Decide all limits from the state of the registry, and change nothing in it.

    `TorrentRegistry.note_decision` and `settle_decision` take the outcome in.
    """
    policy = registry.policy
    estimators: list[list[TorrentState]] = [[] for _ in policy.classes]
    for member in registry.flowing.values():
        estimators[member.rule].append(member)
    effective = _effective_caps(registry, estimators)
    parked_at = _parked_limits(registry)
    draft = _Draft()
    reports = []
    levels = []
    for i, tracker in enumerate(policy.classes):
        level = math.inf
        if tracker.cap < UNLIMITED:
            owed = _owed(registry.meters[i].debt, tracker.cap, estimators[i])
            capacity = effective[i] - _side(registry, estimators[i]) - _repayment(registry, owed, tracker.cap)
            capacity += _made_up(estimators[i], registry.meters[i].lack, tracker.cap)
            level = _share_out(registry, i, estimators[i], capacity, parked_at[tracker.id], owed, draft)
            _flush(registry, tracker, estimators[i], draft)
        levels.append(level)
        rate = sum(m.estimator.rate for m in estimators[i] if m.estimator)
        hungry = sum(
            1 for m in estimators[i] if m.estimator and m.estimator.hungry and registry.manages(m.torrent.hash)
        )
        reports.append(
            TrackerReport(
                id=tracker.id,
                name=tracker.name,
                cap=tracker.cap,
                effective=effective[i],
                borrowed=max(0.0, effective[i] - tracker.cap) if tracker.cap < UNLIMITED else 0.0,
                rate=rate,
                demand=math.inf if hungry else rate,
                level=level,
                torrents=registry.counts[i],
                active=sum(
                    1
                    for m in estimators[i]
                    if m.estimator and (m.estimator.hungry or m.estimator.rate >= policy.active_threshold)
                ),
                hungry=hungry,
                priority=tracker.priority,
                overrun=overrun(estimators[i]),
            )
        )
    _decide_idle(registry, parked_at, levels, int(PARK_PER_S * policy.interval_s), draft)
    return Decision(
        plan=make_plan(draft.changes, max_calls=policy.max_calls_per_cycle, flushes=draft.flushes),
        trackers=tuple(reports),
        effective={t.id: e for t, e in zip(policy.classes, effective, strict=True)},
        parked_at=parked_at,
        reasons=draft.reasons,
        clean=tuple(draft.clean),
    )


def _side(registry: TorrentRegistry, members: list[TorrentState]) -> float:
    """Bytes/s of torrents that we do not manage: they use the cap all the same."""
    if registry.policy.rollout_percentage >= 100:
        return 0.0
    return sum(m.estimator.rate for m in members if m.estimator and not registry.manages(m.torrent.hash))


def _effective_caps(registry: TorrentRegistry, estimators: list[list[TorrentState]]) -> list[float]:
    """What each tracker may use now, bytes/s; `math.inf` for unlimited ones."""
    policy = registry.policy
    result = [math.inf] * len(policy.classes)
    finite = [i for i, tracker in enumerate(policy.classes) if tracker.cap < UNLIMITED]
    borrowers = [_borrower(registry, i, estimators[i]) for i in finite]
    for i, target in zip(finite, divide_line(borrowers, _line(registry, estimators, finite)), strict=True):
        tracker = policy.classes[i]
        result[i] = _smoothed(registry.effective.get(tracker.id), target, tracker.cap, policy)
    return result


def _line(registry: TorrentRegistry, estimators: list[list[TorrentState]], finite: list[int]) -> float:
    """Bytes/s that all capped trackers may use together. What unlimited ones take comes off it, down to a part."""
    policy = registry.policy
    line = math.inf
    if policy.strategy == "soft" and policy.uplink >= UNLIMITED:
        line = float(sum(policy.classes[i].cap for i in finite))
    whole = min(policy.uplink, registry.global_limit)
    if whole < UNLIMITED:
        others = sum(m.estimator.rate for i, ms in enumerate(estimators) if i not in finite for m in ms if m.estimator)
        line = min(line, max(whole - others, LINE_LEAST * whole))
    return line


def _borrower(registry: TorrentRegistry, i: int, members: list[TorrentState]) -> Borrower:
    policy, tracker = registry.policy, registry.policy.classes[i]
    rate = sum(m.estimator.rate for m in members if m.estimator)
    borrows = registry.effective.get(tracker.id, 0.0) > tracker.cap
    ceil = float(tracker.cap)
    if policy.strategy == "soft" and (borrows or rate >= policy.borrow_threshold_ratio * tracker.cap):
        ceil *= 1 + policy.max_borrow_fraction
    hungry = any(m.estimator and m.estimator.hungry and m.current < m.original for m in members)
    return Borrower(tracker.cap, ceil, math.inf if hungry else rate, tracker.priority)


def _smoothed(before: float | None, target: float, cap: float, policy: Policy) -> float:
    """Damp the rise of what is borrowed; a tracker's own rate, and every fall, is had at once."""
    if before is None or target <= max(before, cap):
        return target
    before = max(before, cap)
    gap, borrowed = target - before, target - cap
    if gap < policy.min_effective_delta * borrowed and before > cap:
        return before
    left = gap * (1 - policy.smoothing_alpha) ** policy.interval_s
    return target if left < policy.min_effective_delta * borrowed else target - left


def _parked_limits(registry: TorrentRegistry) -> dict[str, int]:
    """Limit of each capped tracker's idle torrents, bytes/s; kept until it is wrong by more than a factor of two."""
    result = {}
    for tracker, count in zip(registry.policy.classes, registry.counts, strict=True):
        if isinstance(registry.policy.idle_limit, int):
            result[tracker.id] = registry.policy.idle_limit
        elif tracker.cap < UNLIMITED:
            ideal = max(PARK_LEAST, min(PARK_MOST * tracker.cap, PARK_SUM * tracker.cap / _wakers(count)))
            kept = registry.parked_at.get(tracker.id, 0)
            result[tracker.id] = kept if ideal / 2.0 <= kept <= ideal * 2.0 else marked(as_limit(ideal))
    return result


def _wakers(count: int) -> float:
    """How many of so many idle torrents are taken to wake at once."""
    return max(1.0, min(count, math.sqrt(PARK_FEW * count)))


def _repayment(registry: TorrentRegistry, owed: float, cap: float) -> float:
    """Bytes/s that are held back to pay for bytes over the cap; most of it at once where another program keeps taking
    limits off."""
    if registry.meddled:
        return min(owed / MEDDLED_REPAY_S, MEDDLED_REPAY_MOST * cap)
    return min(owed / REPAY_S, REPAY_MOST * cap)


def _made_up(members: list[TorrentState], lack: float, cap: float) -> float:
    """Bytes/s by which bursty torrents are given more than the cap (or less), so that it is used in the mean."""
    doubt = math.sqrt(math.fsum(m.estimator.burstiness.doubt(m.estimator.limit) ** 2 for m in members if m.estimator))
    most = min(MADE_UP_MOST * cap, MADE_UP_DOUBT * doubt)
    return max(-min(most, REPAY_MOST * cap), min(most, lack / MADE_UP_S))


def _owed(debt: float, cap: float, members: list[TorrentState]) -> float:
    """Bytes over the cap that are to be paid back: what lumps, all sent at the same time, can look like is forgiven."""
    lumps = sum(
        m.estimator.lump
        for m in members
        if m.estimator and (m.estimator.hungry or m.estimator.limit < m.estimator.lump)
    )
    return max(0.0, debt - max(FORGIVEN_S * cap, lumps))


def _share_out(
    registry: TorrentRegistry,
    i: int,
    members: list[TorrentState],
    capacity: float,
    parked: int,
    owed: float,
    draft: _Draft,
) -> float:
    """Divide a capped tracker among its active torrents, drafting changes; returns the water level."""
    policy, tracker = registry.policy, registry.policy.classes[i]
    active: list[tuple[TorrentState, RateEstimator]] = []
    quiet: list[tuple[TorrentState, RateEstimator]] = []
    held: list[tuple[TorrentState, RateEstimator]] = []
    for member in members:
        estimator = member.estimator
        if estimator is None or not estimator.measured or not registry.manages(member.torrent.hash):
            continue  # what was uploading when we came is measured first: a cycle later
        if not registry.uploads.is_individual(member.torrent.hash):
            held.append((member, estimator))
        elif not estimator.hungry and estimator.rate < policy.active_threshold and member.current <= parked:
            quiet.append((member, estimator))
        else:
            active.append((member, estimator))
    above = above_limits(estimator for _, estimator in (*active, *held))
    capacity = left_to_others(capacity, above)
    capacity -= _hold(policy, tracker.name, held, parked, capacity, draft)
    crumbs = sum(max(estimator.rate, estimator.expected) for _, estimator in quiet)
    crowded = crumbs > PARK_SUM * capacity  # each is next to nothing, and too slow to tell; together they are the cap
    if not crowded:
        capacity -= crumbs  # not active: they stay parked, and what they use is not shared out
    shared = [(member, _want(policy, member, estimator)) for member, estimator in active]
    if crowded:
        shared += [(member, _crumb(policy, member, estimator)) for member, estimator in quiet]
    level = divide_cap(
        [want for _, want in shared],
        capacity,
        idle_limit=parked,
        differential_threshold=policy.differential_threshold,
        gain=registry.meters[i].gain,
        overcommit=OVERCOMMIT * max(0.0, 1.0 - owed / (CAUTIOUS_S * tracker.cap)),
    )
    for member, want in shared:
        why = draft.reasons[member.torrent.hash] = _why(member, want)
        draft.change(member, _signed(policy, member, want.limit), why, tracker.name)
    return level


def _signed(policy: Policy, member: TorrentState, limit: int) -> int:
    """Return `limit` with our mark, unless it is in force, a person's own, or one that the configuration names."""
    exact = limit in (member.current, member.original) or limit == policy.idle_limit
    return limit if exact else marked(limit)


def _flush(
    registry: TorrentRegistry,
    tracker: TrackerClass,
    members: list[TorrentState],
    draft: _Draft,
) -> None:
    """Note what makes torrents lose their saved quota (see `saved_quota`): a high limit, and the low one after it."""
    found = [m for m in members if m.current and m.current < UNLIMITED and registry.manages(m.torrent.hash)]
    noted = {change.hash: change.new for change in draft.changes}
    limits = [noted.get(member.torrent.hash, member.current) for member in found]
    for i, raised in flush_limits(found, limits, tracker.cap).items():
        member = found[i]
        if member.estimator is not None and member.estimator.overruns:
            words = Why.SAVED.words(tracker=tracker.name, limit=limits[i], rate=0.0, earlier=member.highest)
        else:
            words = FLUSHED.format(limit=format_speed(limits[i]), earlier=format_speed(member.current))
        draft.flushes.append(
            Change(member.torrent.hash, member.current, marked(as_limit(raised)), member.original, words)
        )


def _want(policy: Policy, member: TorrentState, estimator: RateEstimator) -> Want:
    return Want(
        rate=estimator.rate if estimator.lasting else estimator.expected,
        latest=estimator.latest,
        hungry=estimator.lasting,
        held_back=estimator.hungry,
        usual=estimator.burstiness.usual,
        fickle=estimator.burstiness.fickle,
        doubt=estimator.burstiness.doubt(estimator.limit),
        current=member.current or UNLIMITED,
        bound=_bound(policy, member),
        appetite=estimator.appetite,
        weight=(estimator.weight if policy.strategy != "equal" else 1.0) or 1.0,
        proven=estimator.window_s > PROVEN_S,
    )


def _crumb(policy: Policy, member: TorrentState, estimator: RateEstimator) -> Want:
    """A torrent too slow to tell whether it is content: it may want a lump more than was seen, no more."""
    want = _want(policy, member, estimator)
    want.hungry = True
    want.appetite = estimator.rate + estimator.lump / max(5.0, estimator.window_s)
    want.bound = min(want.bound, as_limit(2 ** math.ceil(math.log2(max(1.0, want.appetite)))))
    return want


def _hold(
    policy: Policy,
    tracker: str,
    held: list[tuple[TorrentState, RateEstimator]],
    parked: int,
    capacity: float,
    draft: _Draft,
) -> float:
    """Hold those beyond `max_managed_torrents` where idle ones are parked, or lower if they are many: together they get
    no more than PARK_SUM of the cap. Returns what they use, bytes/s."""
    if not held:
        return 0.0
    limit = parked
    if len(held) * parked > PARK_SUM * capacity:  # in powers of two, so that one more or less rewrites nothing
        limit = 2 ** int(math.log2(max(1.0, PARK_SUM * capacity / len(held))))
    for member, _ in held:
        target = min(limit, _bound(policy, member))
        if not target / PARK_SLACK <= member.current <= target:
            draft.change(member, _signed(policy, member, target), Why.HELD, tracker)
    return sum(min(estimator.rate, 1.02 * limit) for _, estimator in held)


def _bound(policy: Policy, member: TorrentState) -> int:
    return member.original if policy.respect_manual_limits else UNLIMITED


def _why(member: TorrentState, want: Want) -> Why:
    if member.estimator is not None and member.estimator.overruns:
        return Why.SAVED
    if want.hungry:
        return Why.BOUND if want.limit >= member.original else Why.FAIR
    return Why.CUT if want.limit < want.rate else Why.ROOM


def _decide_idle(
    registry: TorrentRegistry, parked_at: dict[str, int], levels: list[float], budget: int, draft: _Draft
) -> None:
    """Decide limits of torrents that do not upload: parked, or given back. New ones at once, the others in portions."""
    if registry.policy.unlimit_idle:
        budget = min(budget, IMPLAUSIBLE_COUNT)  # so that what is wanted does not look implausible
    start = len(draft.changes)
    for member in registry.newcomers():
        _decide_one_idle(registry, member, parked_at, levels, draft)
    for member in registry.dirty():
        before = len(draft.changes)
        if before - start >= budget:
            break
        _decide_one_idle(registry, member, parked_at, levels, draft)
        if len(draft.changes) == before:
            draft.clean.append(member.torrent.hash)


def _decide_one_idle(
    registry: TorrentRegistry, member: TorrentState, parked_at: dict[str, int], levels: list[float], draft: _Draft
) -> None:
    """Draft the change that an idle torrent needs, if any."""
    policy, tracker = registry.policy, registry.policy.classes[member.rule]
    if tracker.cap >= UNLIMITED or not registry.manages(member.torrent.hash):
        if member.ours:
            why = Why.LIFTED if tracker.cap >= UNLIMITED else Why.LEFT
            draft.change(member, member.original, why, tracker.name)
    elif member.estimator is None and member.torrent.activity is not Activity.STOPPED:
        if policy.unlimit_idle:
            if member.ours:
                draft.change(member, member.original, Why.QUIET, tracker.name)
        else:
            _park(policy, member, parked_at[tracker.id], levels[member.rule], tracker.name, draft)


def _park(policy: Policy, member: TorrentState, parked: int, level: float, tracker: str, draft: _Draft) -> None:
    """Hold an idle torrent at `parked`; what has less is raised no further than the share of a hungry one (`level`)."""
    if policy.idle_limit is None and not member.ours:
        return
    target = min(parked, member.original) if policy.respect_manual_limits else parked
    low, high = (target, target) if isinstance(policy.idle_limit, int) else (target / PARK_SLACK, target * PARK_SLACK)
    if policy.respect_manual_limits:
        high = min(high, member.original)
    if member.current < min(low, level / PARK_SLACK):
        target = as_limit(min(target, max(1.0, level)))
    elif member.current <= high:
        return
    draft.change(member, _signed(policy, member, target), Why.PARKED, tracker)
