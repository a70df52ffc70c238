"""Find the numbers in force of each group: the configured ones, as modifiers change them one after another.

    configuration → schedule → boost → quota → temporary cap → hush → in force

A modifier is a pure function of the group, its numbers so far and the time; the last one has the last word. Groups are
those that select torrents, their parents, and the line. A modifier that says until when its numbers hold is asked again
then, with no further timer. `engine.cap_chain` makes the list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias, TypeVar

import msgspec

from qguardarr.core.model import UNLIMITED, ParentGroup, TrackerClass, checked_limit
from qguardarr.core.policy import Policy

Group: TypeAlias = TrackerClass | ParentGroup
_G = TypeVar("_G", TrackerClass, ParentGroup)


class Cap(msgspec.Struct, frozen=True):
    """A group's numbers, and why they are what they are. ValueError if `ceiling` is no limit."""

    ceiling: int
    """Most bytes/s, or UNLIMITED."""
    reason: str = "configured"
    """In words, for a person."""
    until: float | None = None
    """Unix time at which it changes by itself, seconds; None if it does not."""
    rate: int | None = None
    """Bytes/s that the group may always use; None: `ceiling`."""
    priority: int = 1
    """1 … 10."""
    may_rise: bool = True
    """False: limits stay as they are, and none is raised."""
    holds_all: bool = False
    """Of the line: groups without a cap are held as well, which `uplink` by itself leaves alone."""

    def __post_init__(self) -> None:
        checked_limit(self.ceiling)


Modifier: TypeAlias = Callable[[Group, Cap, float], Cap]
"""Returns the numbers of a group at a Unix time, given those so far."""


def cap_in_force(group: Group, modifiers: Sequence[Modifier], now: float) -> Cap:
    """Return the numbers of a group at Unix time `now`."""
    cap = Cap(group.cap, rate=group.rate, priority=group.priority)
    for modify in modifiers:
        cap = modify(group, cap, now)
    return cap


def groups_of(policy: Policy) -> Iterator[Group]:
    """Yield all groups: those that select torrents, their parents, the line."""
    yield from policy.classes
    yield from policy.parents
    yield policy.line


def with_caps(policy: Policy, modifiers: Sequence[Modifier], now: float) -> Policy:
    """Return the policy in force at Unix time `now`; the same object if it is the configured one.

    The cap of a group is then the least of its own and those of its parents, the line left out: so a group without a
    cap beneath a parent with one counts as capped, and so does every group while the line's cap holds all.
    """
    parents = tuple(_modified(parent, modifiers, now) for parent in policy.parents)
    by_id = {parent.id: parent for parent in parents}
    parents = tuple(_with_cap(parent, _least_cap(parent, by_id)) for parent in parents)
    line = cap_in_force(policy.line, modifiers, now)
    most = line.ceiling if line.holds_all else UNLIMITED
    classes = tuple(_modified(group, modifiers, now) for group in policy.classes)
    classes = tuple(
        _selecting(_with_cap(group, _held(_least_cap(group, by_id), most)), was.selecting_cap)
        for was, group in zip(policy.classes, classes, strict=True)
    )
    uplink = line.ceiling
    if not line.may_rise or not all(parent.may_rise for parent in parents):
        classes = tuple(_resting(group, by_id, whole=not line.may_rise) for group in classes)
    if (classes, parents, uplink) == (policy.classes, policy.parents, policy.uplink):
        return policy
    return msgspec.structs.replace(policy, classes=classes, parents=parents, uplink=uplink)


def with_selecting_caps(policy: Policy) -> Policy:
    """Return a policy of the configuration in which the caps of parents count for how `strictest` selects torrents."""
    by_id = {parent.id: parent for parent in policy.parents}
    classes = tuple(_selecting(group, _least_cap(group, by_id)) for group in policy.classes)
    return msgspec.structs.replace(policy, classes=classes)


def next_change(policy: Policy, modifiers: Sequence[Modifier], now: float) -> float | None:
    """Return the Unix time at which the next number changes by itself, seconds; None if none does."""
    ends = (cap_in_force(group, modifiers, now).until for group in groups_of(policy))
    return min((end for end in ends if end is not None), default=None)


def _modified(group: _G, modifiers: Sequence[Modifier], now: float) -> _G:
    cap = cap_in_force(group, modifiers, now)
    changed = (cap.ceiling, cap.rate, cap.priority, cap.may_rise)
    if changed == (group.cap, group.rate, group.priority, group.may_rise):
        return group
    ceiling, rate, priority, may_rise = changed
    return msgspec.structs.replace(group, cap=ceiling, rate=rate, priority=priority, may_rise=may_rise)


def _resting(group: TrackerClass, parents: Mapping[str, ParentGroup], *, whole: bool) -> TrackerClass:
    """Raise no limit of a group beneath a parent that raises none. `whole`: the line raises none."""
    above = parents.get(group.parent)
    for _ in parents:
        if above is None:
            break
        whole = whole or not above.may_rise
        above = parents.get(above.parent)
    return msgspec.structs.replace(group, may_rise=False) if whole and group.may_rise else group


def _selecting(group: TrackerClass, cap: int) -> TrackerClass:
    """Have torrents selected by this cap of the configuration, whichever is in force."""
    kept = None if group.cap == cap else cap
    return group if kept == group.file_cap else msgspec.structs.replace(group, file_cap=kept)


def _with_cap(group: _G, cap: int) -> _G:
    return group if cap == group.cap else msgspec.structs.replace(group, cap=cap)


def _held(cap: int, most: int) -> int:
    """Return the cap of a group beneath a line that holds what has no cap to `most`."""
    return most if cap >= UNLIMITED else cap


def _least_cap(group: Group, parents: Mapping[str, ParentGroup]) -> int:
    """Return the least cap on the way from a group to the line. One that is `when_busy` bounds nothing by itself."""
    least, above = group.cap, parents.get(group.parent)
    for _ in parents:
        if above is None:
            break
        if not above.when_busy:
            least = min(least, above.cap)
        above = parents.get(above.parent)
    return min(least, UNLIMITED)
