"""How a cap is divided: between trackers as Linux HTB does it, then among a tracker's torrents by water-filling.

Plain numbers in, plain numbers out. Rates, caps and limits are bytes/s.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import msgspec

from qguardarr.core.allocate.water_filling import shares, water_level
from qguardarr.core.model import UNLIMITED

GROWTH: Final = 8.0
"""A torrent of unknown demand may be raised by this factor at once while others want the same bytes."""
FIRST_STEP: Final = 0.05
"""… or to this fraction of the cap, if that is more."""
ROOM: Final = 1.3
"""A torrent that does not reach its limit is given its rate times this, so that it can show more when it wants more."""
TIGHT: Final = 1.1
"""… and is given room anew when its limit is less than its rate times this."""
SPARE: Final = 0.9
"""… or, if that is more, its rate and an equal part of this much of OVERCOMMIT: bursts are served out of it."""
FICKLE_SPARE: Final = 1.7
"""One that is known for bursts gets this much more of that: not all burst at a time, and with no more than that scarce
upload slots had limits rewritten twice as often."""
MORE: Final = 1.02
"""A torrent that takes this much more than its share is held to it, whether its limit holds it back yet or not."""
SURPLUS: Final = 0.2
"""Bursts larger than any before that together take this much of the cap beyond what is expected of them are counted as
they are: ten seconds bear 1.0 s of the cap, and it takes 4 s to see and to end them."""
MUCH_ROOM: Final = 200_000
"""… but no more than so much above its rate, bytes/s: more shows nothing sooner."""
OVERCOMMIT: Final = 0.5
"""Limits of a tracker's active torrents may sum to the cap times 1 + this. Not all wake at once."""
NUDGE: Final = 0.1
"""Torrents among many may be given so much more or less than their shares (no more than half of the differential
threshold), so that a small correction takes few writes …"""
NUDGED_LEAST: Final = 8192
"""… if no share is less than this, bytes/s: whether a smaller one is used shows late."""
DEADBAND: Final = 0.01
"""Share of the cap that limits may exceed or strand before they are written anew, …"""
DOUBT: Final = 0.5
"""… and this part of what is in doubt about the torrents besides: limits do not follow each burst."""
ROOMIER: Final = 1.2
"""Room is taken back from torrents that have this much more than they would be given, …"""
MUCH_ROOMIER: Final = 3.0
"""… or this much more while it is for others that burst: a torrent that wanted more for good leaves that much."""
OVERDUE: Final = 1.15
"""Limits that promise this much more than they may are trimmed."""
SETTLING_BAND: Final = 0.04
"""The same while most of the limits are too new to have shown what comes of them."""


class Borrower(msgspec.Struct, frozen=True):
    """A tracker as the division of the line sees it."""

    cap: float
    """Its rate: what it may always use, bytes/s."""
    ceil: float
    """Most it may use with what it borrows, bytes/s; ≥ cap."""
    demand: float
    """What its torrents want, bytes/s; `math.inf` if some want more than they have."""
    priority: int
    """Higher borrows first."""


def divide_line(trackers: Sequence[Borrower], line: float) -> list[float]:
    """What each tracker may use now, bytes/s: rate first, then the rest by priority up to the ceiling.

    The model is Linux HTB (M. Devera, *HTB manual*): every class has its rate; what a class does not use is lent to the
    classes of the highest priority first, in proportion to their rates. The lender's own rate comes first again the
    moment it wants it. The effective caps of those that have demand sum to at most `line`. A tracker without demand
    keeps its cap on paper: it costs nothing, and is divided again when it wakes.
    """
    caps = [t.cap for t in trackers]
    got = shares([min(t.cap, t.demand) for t in trackers], caps, line) if trackers else []
    left = line - math.fsum(got)
    for priority in sorted({t.priority for t in trackers}, reverse=True):
        rank = [i for i, t in enumerate(trackers) if t.priority == priority and t.demand > got[i] and t.ceil > t.cap]
        wants = [max(0.0, min(trackers[i].ceil, trackers[i].demand) - got[i]) for i in rank]
        if rank and left > 0:
            for i, extra in zip(rank, shares(wants, [caps[i] for i in rank], left), strict=True):
                got[i] += extra
                left -= extra
    return [g if t.demand > g else max(g, t.cap) for t, g in zip(trackers, got, strict=True)]


class Want(msgspec.Struct, gc=False):
    """One active torrent as the division of a cap sees it."""

    rate: float
    """What it takes, in the mean if it is not hungry, bytes/s."""
    hungry: bool
    """Held back by its limit for good: wants more than `rate`, no one knows how much."""
    current: int
    """Limit in force, bytes/s or UNLIMITED."""
    bound: int
    """Never to be given more, bytes/s or UNLIMITED."""
    appetite: float
    """Most that a hungry one may want, bytes/s; `math.inf` if unknown."""
    weight: float
    proven: bool
    """The limit in force has been seen to hold it back (or not) for long enough."""
    held_back: bool = False
    """Its limit holds it back now, maybe for a burst."""
    latest: float = 0.0
    """Measured in the newest copy, bytes/s."""
    usual: bool = False
    """If it bursts, it is known for bursts of that size …"""
    fickle: bool = False
    """… or at least for bursts."""
    doubt: float = 0.0
    """By how much its rate differs from what is expected, in the mean, bytes/s."""
    fit: float = 0.0
    """Out: what it is expected to use, bytes/s."""
    limit: int = 0
    """Out: the limit to have, bytes/s; equal to `current` where a write is not worth it."""


def divide_cap(
    wants: Sequence[Want],
    capacity: float,
    *,
    idle_limit: float,
    differential_threshold: float,
    gain: float = 1.0,
    overcommit: float = OVERCOMMIT,
) -> float:
    """Divide `capacity` bytes/s among a tracker's active torrents; fills in `fit` and `limit` of each.

    What torrents that are not hungry take in the mean is left to them, and the hungry share the rest by weight. Limits
    move only where it matters: the hungry when more than DEADBAND of the cap is stranded or exceeded or one's share is
    unfair; the others when their room gets tight, or when the limits together promise too much. Bursts are served out
    of the room that their torrents have.

    `idle_limit` is the least that a content torrent is given, as long as that is no more than an equal part of the
    capacity. `gain` is what comes of a limit ÷ the limit (see `meter.UsageMeter.gain`). `overcommit` is OVERCOMMIT or
    less.

    Returns:
        The water level, bytes/s for each unit of weight; `math.inf` if all fit.
    """
    capacity = max(1.0, capacity)
    level = _level_with_bursts(wants, capacity, overcommit)
    for want in wants:
        want.limit = min(want.current, want.bound)
    greedy = _level_if_greedy(wants, capacity)
    held = [w.hungry or w.rate > MORE * level * w.weight for w in wants]
    hungry = [want for want, h in zip(wants, held, strict=True) if h]
    others = [want for want, h in zip(wants, held, strict=True) if not h]
    doubt = DOUBT * math.sqrt(math.fsum(w.doubt**2 for w in wants))
    _limit_hungry(hungry, level, greedy, capacity, differential_threshold, gain, doubt)
    spare = SPARE * overcommit * capacity / max(1, len(others))
    idle_limit = min(idle_limit, capacity / max(1, len(wants)))
    for want in others:
        if not want.held_back:
            _room(want, level, _roomy(want, idle_limit, spare), differential_threshold)
    allowed = overcommit * capacity + max(0.0, capacity - math.fsum(w.fit for w in wants))
    wished = sum(min(capacity, GROWTH * w.limit) - w.limit for w in others if w.held_back) if level == math.inf else 0.0
    if wished > 0.0:
        _trim(wants, level, idle_limit, spare, max(0.0, allowed - wished), roomier=MUCH_ROOMIER)
    _trim(wants, level, idle_limit, spare, allowed)
    beyond = max(0.0, math.fsum(w.latest for w in wants) - capacity)
    _make_room([w for w in others if w.held_back], level, idle_limit, spare, allowed - _promised(wants) - beyond)
    return level


def _promised(wants: Sequence[Want]) -> float:
    """Bytes/s that limits let through beyond what is expected to be used."""
    return math.fsum(max(0.0, w.limit - w.fit) for w in wants)


def _level_with_bursts(wants: Sequence[Want], capacity: float, overcommit: float) -> float:
    """The level. A torrent that its limit holds back for a burst is expected to take its mean; it counts as hungry
    where that costs nobody anything (known bursts last), or where all of those might take too much."""
    level = _level(wants, capacity)
    bursting = [want for want in wants if want.held_back and not want.hungry]
    unusual = [want for want in bursting if not want.usual]
    steadfast = [want for want in bursting if not want.fickle]
    if level == math.inf and steadfast:
        level = _count_as_hungry(steadfast, wants, capacity)
    free = max(0.0, capacity - math.fsum(w.fit for w in wants)) if level == math.inf else 0.0
    most = overcommit * capacity + free
    if sum(max(0.0, w.current - w.rate) for w in bursting if not w.hungry) > most:
        level = _count_as_hungry(bursting, wants, capacity)
    elif level < math.inf and sum(max(0.0, w.latest - w.rate) for w in unusual if not w.hungry) > SURPLUS * capacity:
        for want in unusual:
            want.rate = max(want.rate, want.latest)
        level = _level(wants, capacity)
    return level


def _count_as_hungry(some: Sequence[Want], wants: Sequence[Want], capacity: float) -> float:
    """The level if these want more for good."""
    for want in some:
        want.hungry = True
    return _level(wants, capacity)


def _make_room(bursting: Sequence[Want], level: float, idle_limit: float, spare: float, allowed: float) -> None:
    """Raise those that their limits hold back for a burst, as far as limits may promise more; the lowest first. One
    that is known for bursts gets all that it wants, if later, under a limit above its mean."""
    for want in sorted(bursting, key=lambda w: w.limit):
        if want.fickle and want.limit >= ROOM * want.rate:
            continue
        roomy = _roomy(want, idle_limit, spare)
        if level == math.inf:  # nobody else wants it
            roomy = max(roomy, min(GROWTH * want.limit, want.limit + allowed))
        limit = as_limit(min(want.bound, level * want.weight, roomy))
        if limit > ROOMIER * want.limit and limit - want.limit <= allowed:
            allowed -= limit - want.limit
            want.limit = limit


def _level(wants: Sequence[Want], capacity: float) -> float:
    demands = [min(w.appetite if w.hungry else w.rate, w.bound if w.bound < UNLIMITED else math.inf) for w in wants]
    weights = [w.weight for w in wants]
    level = water_level(demands, weights, capacity)
    if level < math.inf:
        # Newcomers of unknown demand rise in steps while others could use the bytes; what they may not yet use is
        # left to those others. Where no one else wants it, they get it at once.
        stepping = [w.hungry and w.current < UNLIMITED and _step(w, capacity) < level * w.weight for w in wants]
        if any(stepping):
            for i, want in enumerate(wants):
                if stepping[i]:
                    demands[i] = min(demands[i], 2.0 * want.current)
            stepped = water_level(demands, weights, capacity)
            if stepped < math.inf:
                steps = {i: _step(wants[i], capacity) - demands[i] for i in range(len(wants)) if stepping[i]}
                part = min(1.0, OVERCOMMIT * capacity / max(1.0, math.fsum(steps.values())))
                for i, step in steps.items():
                    wants[i].bound = min(wants[i].bound, max(1, int(demands[i] + part * step)))
                level = stepped
    for want, demand in zip(wants, demands, strict=True):
        want.fit = min(demand, level * want.weight)
        if want.fit == math.inf:
            want.fit = want.rate
    return level


def _level_if_greedy(wants: Sequence[Want], capacity: float) -> float:
    """The level if all hungry torrents took whatever they can get. What is known of appetites may be out of date: it
    leaves the hungry room up to here, whatever else they seem to leave to others, and never takes their limits off."""
    bounds = [w.bound if w.bound < UNLIMITED else math.inf for w in wants]
    demands = [bound if w.hungry else min(w.rate, bound) for w, bound in zip(wants, bounds, strict=True)]
    return water_level(demands, [w.weight for w in wants], capacity)


def _step(want: Want, capacity: float) -> float:
    """Most that a hungry torrent of unproven demand is raised to at once."""
    return max(GROWTH * want.current if want.proven else float(want.current), FIRST_STEP * capacity)


def _limit_hungry(
    hungry: Sequence[Want],
    level: float,
    greedy: float,
    capacity: float,
    differential_threshold: float,
    gain: float,
    doubt: float,
) -> None:
    targets = [as_limit(min(w.bound, _most(w, level, greedy) / gain)) for w in hungry]
    excess = sum(min(w.current, 2 * capacity) - target for w, target in zip(hungry, targets, strict=True))
    settling = sum(target for w, target in zip(hungry, targets, strict=True) if not w.proven) > 0.5 * sum(targets)
    band = (SETTLING_BAND if settling else DEADBAND) * capacity + doubt
    unfair = any(
        abs(w.current - target) > differential_threshold * target for w, target in zip(hungry, targets, strict=True)
    )
    if -band <= excess <= band and not unfair:
        return
    nudge = min(NUDGE, differential_threshold / 2)
    many = min(targets) >= NUDGED_LEAST and nudge * max(targets) <= DEADBAND * capacity
    if many and not unfair and abs(excess) <= nudge * sum(targets) and _nudge(hungry, targets, excess, nudge):
        return
    for want, target in zip(hungry, targets, strict=True):
        want.limit = target if abs(want.current - target) > 0.004 * target else want.current


def _nudge(hungry: Sequence[Want], targets: Sequence[int], excess: float, nudge: float) -> bool:
    """Make up for `excess` bytes/s (less than 0: stranded) by a few torrents, those furthest off, instead of all; False
    if they cannot. They get the part `nudge` more or less than their targets."""
    sign = math.copysign(1.0, excess)
    left = abs(excess)
    pairs = sorted(zip(hungry, targets, strict=True), key=lambda pair: (-sign * pair[0].current / pair[1], pair[1]))
    for want, target in pairs:
        limit = min(want.bound, as_limit((1 - sign * nudge) * target))
        change = sign * (min(want.current, 2 * target) - limit)
        if change > 0.0 and (sign > 0 or want.appetite >= limit):
            want.limit = limit
            left -= change
            if left <= 0.0:
                return True
    return False


def _most(want: Want, level: float, greedy: float) -> float:
    """Most for a hungry torrent. What is known of its appetite bounds it only above the level if all were greedy."""
    fair = greedy * want.weight
    return fair if level == math.inf else min(level * want.weight, max(fair, ROOM * want.appetite))


def _room(want: Want, level: float, roomy: float, differential_threshold: float) -> None:
    """Room for a torrent that comes close to its limit: a share like a hungry one has: no value of its own."""
    top = min(want.bound, level * want.weight)
    if want.current >= min(TIGHT * want.rate, 0.98 * top):
        return
    target = min(top, roomy) if level == math.inf else top
    if target > want.current * (1 + differential_threshold) or want.current >= UNLIMITED:
        want.limit = as_limit(target)


def _trim(
    wants: Sequence[Want], level: float, idle_limit: float, spare: float, allowed: float, roomier: float = ROOMIER
) -> None:
    """Take back room that is not used until the limits promise no more than they may; the roomiest first."""
    total = _promised(wants)
    if total <= OVERDUE * allowed:
        return
    for want in sorted(wants, key=lambda w: w.fit - w.limit):
        target = as_limit(min(want.bound, max(1.0, level * want.weight), _roomy(want, idle_limit, spare)))
        if want.hungry or want.held_back or want.limit <= roomier * target:
            continue
        total -= max(0.0, want.limit - want.fit) - max(0.0, target - want.fit)
        want.limit = target
        if total <= allowed:
            return


def _roomy(want: Want, idle_limit: float, spare: float) -> float:
    """A limit that leaves room above its rate, on a grid of ten a decade, so that many torrents share one value."""
    part = spare * FICKLE_SPARE if want.fickle else spare
    room = max(ROOM * want.rate, want.rate + min(part, MUCH_ROOM), 1.0)
    if room <= idle_limit:
        return float(idle_limit)
    return float(math.ceil(10 ** (math.ceil(10 * math.log10(room) - 1e-9) / 10)))


def as_limit(rate: float) -> int:
    """The nearest limit that qBittorrent takes at or below `rate` bytes/s, at least 1, or UNLIMITED."""
    return UNLIMITED if rate >= UNLIMITED else max(1, int(rate))
