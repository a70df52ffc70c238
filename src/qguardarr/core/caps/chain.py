"""Find the cap in force of each tracker: the configured one, as modifiers change it one after another.

    configuration → schedule → quota → temporary cap → cap in force

A modifier is a pure function of the tracker, the cap so far and the time; the last one has the last word. Today there
is only the temporary cap (`temporary`); a schedule or a quota is one more function, put before it in the list of
`Commands._modifiers`. A modifier that says until when its cap holds is asked again then, with no further timer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import msgspec

from qguardarr.core.model import TrackerClass, checked_limit
from qguardarr.core.policy import Policy


class Cap(msgspec.Struct, frozen=True):
    """A cap, and why it is what it is. ValueError if `rate` is no limit."""

    rate: int
    """Bytes/s, or UNLIMITED."""
    reason: str = "configured"
    """In words, for a person."""
    until: float | None = None
    """Unix time at which it changes by itself, seconds; None if it does not."""

    def __post_init__(self) -> None:
        checked_limit(self.rate)


Modifier: TypeAlias = Callable[[TrackerClass, Cap, float], Cap]
"""Returns the cap of a tracker at a Unix time, given the cap so far."""


def cap_in_force(rule: TrackerClass, modifiers: Sequence[Modifier], now: float) -> Cap:
    """Return the cap of a tracker at Unix time `now`."""
    cap = Cap(rule.cap)
    for modify in modifiers:
        cap = modify(rule, cap, now)
    return cap


def with_caps(policy: Policy, modifiers: Sequence[Modifier], now: float) -> Policy:
    """Return the policy with the caps in force at Unix time `now`; the same object if they are the configured ones."""
    classes = tuple(_with_cap(rule, cap_in_force(rule, modifiers, now).rate) for rule in policy.classes)
    return policy if classes == policy.classes else msgspec.structs.replace(policy, classes=classes)


def next_change(policy: Policy, modifiers: Sequence[Modifier], now: float) -> float | None:
    """Return the Unix time at which the next cap changes by itself, seconds; None if none does."""
    ends = (cap_in_force(rule, modifiers, now).until for rule in policy.classes)
    return min((end for end in ends if end is not None), default=None)


def _with_cap(rule: TrackerClass, rate: int) -> TrackerClass:
    return rule if rate == rule.cap else msgspec.structs.replace(rule, cap=rate)
