"""Which limits a change of the configuration asks to lift, so that many lifted at once are no sign of a fault.

A plan that lifts most limits at once is refused (`plan.refuse_if_unsafe`), unless a person asked for just that: by
taking the cap off a tracker, by changing which torrents its rule selects, by changing the bounds of single torrents in
a group without a cap, or by lowering `rollout_percentage`. All other torrents stay protected meanwhile. A changed cap
that stays a cap releases nothing.
"""

from __future__ import annotations

import hashlib

import msgspec

from qguardarr.core.model import UNLIMITED, Selector, TrackerClass
from qguardarr.core.policy import Policy


class CarriedOut(msgspec.Struct, frozen=True):
    """What of a configuration says which torrents have limits. Kept in the journal once all limits follow from it."""

    capped: tuple[str, ...]
    """Ids of the rules with a cap."""
    selectors: str
    """Digest of what decides which torrents belong to which rule."""
    rollout_percentage: int
    bounds: dict[str, str] = {}
    """Bounds of single torrents, by id of the rule, as text."""


class Release(msgspec.Struct, frozen=True):
    """Torrents whose limits may be lifted, however many they are."""

    rules: frozenset[str] = frozenset()
    """Ids of rules."""
    unmanaged: bool = False
    """Those that `rollout_percentage` leaves out."""


def carried_out(policy: Policy) -> CarriedOut:
    """Return what is to be kept of a configuration once all limits follow from it."""
    rules = [
        (t.id, t.pattern) if t.where == Selector() else (t.id, t.pattern, t.where)  # as earlier versions did
        for t in policy.classes
    ]
    text = msgspec.json.encode((policy.match_mode, rules))
    return CarriedOut(
        tuple(tracker.id for tracker in policy.classes if tracker.cap < UNLIMITED),
        hashlib.blake2b(text, digest_size=16).hexdigest(),
        policy.rollout_percentage,
        {group.id: _bounds_text(group) for group in policy.classes if group.bounds_torrents},
    )


def released(before: CarriedOut | None, policy: Policy) -> Release:
    """Return which limits a configuration asks to lift. `before`: the last one carried out, None if unknown."""
    now = carried_out(policy)
    free = frozenset(tracker.id for tracker in policy.classes if tracker.cap >= UNLIMITED)
    if before is None:
        return Release(free, unmanaged=True)
    if before.selectors == now.selectors:
        ids = before.bounds.keys() | now.bounds.keys()
        free &= {*before.capped, *(id_ for id_ in ids if before.bounds.get(id_) != now.bounds.get(id_))}
    return Release(free, unmanaged=now.rollout_percentage < before.rollout_percentage)


def read_carried_out(text: str, policy: Policy) -> CarriedOut | None:
    """Return what `write_carried_out` made; None if it is empty or not to be understood.

    Earlier versions kept a digest of the whole policy: if it is that of `policy`, nothing has changed since.
    """
    if text == hashlib.blake2b(msgspec.json.encode(policy), digest_size=16).hexdigest():
        return carried_out(policy)
    try:
        return msgspec.json.decode(text, type=CarriedOut)
    except msgspec.DecodeError:
        return None


def _bounds_text(group: TrackerClass) -> str:
    return msgspec.json.encode((group.overspeed, group.tiers)).decode()


def write_carried_out(kept: CarriedOut) -> str:
    """Return it as text, for the journal."""
    return msgspec.json.encode(kept).decode()
