"""The tree of groups, as a policy in force describes it: who is above whom, and what each may use.

The root is the line, with an empty id. A group without a cap, beneath no parent with one, takes part in nothing: its
torrents are not limited, and what they use comes off the line.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from qguardarr.core.allocate.between import Node
from qguardarr.core.model import UNLIMITED, ParentGroup, TrackerClass
from qguardarr.core.policy import Policy

LINE: Final = ""
"""Id of the root."""
TRICKLE: Final = 0.01
"""Least rate of a group, as a part of what it shares with others: without any it could not show that it wants more."""


class Leaf(msgspec.Struct, frozen=True):
    """What the torrents of a class do now."""

    demand: float
    """Bytes/s that they want; `math.inf` if some are backlogged."""
    borrows: bool = False
    """It may borrow under `strategy: soft`."""


def ancestors(policy: Policy) -> list[tuple[str, ...]]:
    """Return the ids of all that is above each class: its parent first, the line last."""
    by_id = {parent.id: parent for parent in policy.parents}
    return [(*(parent.id for parent in _above(group.parent, by_id)), LINE) for group in policy.classes]


def group_nodes(
    policy: Policy, leaves: Mapping[int, Leaf], line: float, held_back: Callable[[ParentGroup], float]
) -> list[Node]:
    """Return the nodes to divide the line between: one for each of `leaves`, in their order, then one for each parent.

    Args:
        policy: the one in force.
        leaves: by index of the class; classes with a cap only.
        line: bytes/s of the whole line; `math.inf` for no bound.
        held_back: returns the bytes/s that a parent with a cap holds back now, to pay for bytes over it.
    """
    by_id = {parent.id: parent for parent in policy.parents}
    index = {parent.id: len(leaves) + k for k, parent in enumerate(policy.parents)}
    nodes = []
    for i, leaf in leaves.items():
        group = policy.classes[i]
        share = 1 + policy.max_borrow_fraction if leaf.borrows and group.rate is None else 1.0
        room = _room(group.parent, by_id, line)
        nodes.append(_node(group, float(group.cap), room, share, leaf.demand, index.get(group.parent, -1)))
    for parent in policy.parents:
        cap = parent.cap - held_back(parent) if parent.cap < UNLIMITED else math.inf
        nodes.append(_node(parent, cap, _room(parent.parent, by_id, line), 1.0, 0.0, index.get(parent.parent, -1)))
    for k in sorted(range(len(leaves), len(nodes)), key=lambda k: -_depth(policy.parents[k - len(leaves)], by_id)):
        if nodes[k].rate == math.inf:  # no cap of its own, so no rate either but those beneath it
            rate = math.fsum(node.rate for node in nodes if node.parent == k)
            nodes[k] = msgspec.structs.replace(nodes[k], rate=rate)
    groups: list[TrackerClass | ParentGroup] = [*(policy.classes[i] for i in leaves), *policy.parents]
    weights = _weights(nodes, groups)
    return [msgspec.structs.replace(node, weight=weight) for node, weight in zip(nodes, weights, strict=True)]


def sum_of_caps(policy: Policy, beneath: str = LINE) -> float:
    """Return the bytes/s that the groups beneath the line, or beneath a parent, may use together at most."""
    parents = [parent for parent in policy.parents if parent.parent == beneath]
    total = sum(group.cap for group in policy.classes if group.parent == beneath and group.is_capped)
    total += sum(parent.cap for parent in parents if parent.cap < UNLIMITED)
    return total + math.fsum(sum_of_caps(policy, parent.id) for parent in parents if parent.cap >= UNLIMITED)


def caps_on_waking(policy: Policy, counts: Sequence[int]) -> list[float]:
    """Return each class's cap, scaled so that those beneath a parent with a cap sum to no more than that, bytes/s.

    Torrents of several groups may wake at once. `counts`: torrents of each class; those without any do not count.
    """
    by_id = {parent.id: parent for parent in policy.parents}
    caps = [float(group.cap) for group in policy.classes]
    above = ancestors(policy)
    for parent in sorted(policy.parents, key=lambda parent: -_depth(parent, by_id)):
        beneath = [i for i, ids in enumerate(above) if parent.id in ids and counts[i]]
        total = math.fsum(caps[i] for i in beneath)
        if parent.cap < UNLIMITED and parent.cap < total and not parent.when_busy:
            for i in beneath:
                caps[i] *= parent.cap / total
    return caps


def _above(id_: str, by_id: Mapping[str, ParentGroup]) -> list[ParentGroup]:
    """Return a parent and all that is above it, without the line. A cycle ends where it begins."""
    found: list[ParentGroup] = []
    while (parent := by_id.get(id_)) is not None and parent not in found:
        found.append(parent)
        id_ = parent.parent
    return found


def _depth(parent: ParentGroup, by_id: Mapping[str, ParentGroup]) -> int:
    return len(_above(parent.parent, by_id))


def _room(id_: str, by_id: Mapping[str, ParentGroup], line: float) -> float:
    """Return the most that groups beneath a parent may use together, bytes/s; `math.inf` for no bound."""
    caps = [parent.cap for parent in _above(id_, by_id) if not parent.when_busy and parent.cap < UNLIMITED]
    return min([line, *caps])


def _node(group: TrackerClass | ParentGroup, cap: float, room: float, share: float, demand: float, parent: int) -> Node:
    """Return the node of a group. `share`: part of its cap that it may use, loans included."""
    sure = last = 0.0
    rate = cap
    if room < math.inf:  # there is something to share
        if group.rate is not None:
            sure = min(float(group.rate), cap)
            rate = max(sure, min(cap, TRICKLE * room))
            last = cap
        if group.when_busy:
            last = room
    return Node(
        rate=rate,
        ceil=cap * share,
        demand=demand,
        priority=group.priority,
        sure=sure,
        last=last,
        parent=parent,
    )


def _weights(nodes: Sequence[Node], groups: Sequence[TrackerClass | ParentGroup]) -> list[float]:
    """Return what decides between siblings: their weights if one of them has a weight, else their rates.

    A sibling without a rate then counts like the mean of the others.
    """
    siblings: dict[int, list[int]] = {}
    for i, node in enumerate(nodes):
        siblings.setdefault(node.parent, []).append(i)
    result = [1.0] * len(nodes)
    for found in siblings.values():
        if any(groups[i].weight is not None for i in found):
            for i in found:
                result[i] = float(groups[i].weight or 1)
            continue
        rates = {i: nodes[i].rate if groups[i].rate is None else nodes[i].sure for i in found}
        known = [rate for rate in rates.values() if rate > 0]
        for i, rate in rates.items():
            result[i] = rate or (math.fsum(known) / len(known) if known else 1.0)
    return result
