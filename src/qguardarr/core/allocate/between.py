"""Divide the line between groups, as Linux HTB does.

Plain numbers in, plain numbers out. Rates and caps are bytes/s. The names are those of M. Devera's *HTB manual*: every
class has a `rate` that is its own, a `ceil` up to which it borrows, a `prio`, and a `quantum` (here `weight`) for its
part of what is lent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from qguardarr.core.allocate.water_filling import shares, water_level

LINE_LEAST: Final = 0.5
"""Part of the line that capped groups keep, whatever unlimited ones take: a promise of the README."""

SLACK: Final = 1.5
"""Part of its demand that a node keeps on paper, if that is more than its rate. With 1.0 the limits of its torrents
hold them back at what they were seen to use, so that they seem to want everything, and take it from those who borrow:
0.4 of what a group with priority leaves is used (test_tree_loop.py). 1.25 … 3.0: no difference."""


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """A group as the division of the line sees it. Inner ones have the demand of their children."""

    rate: float
    """Bytes/s of its own: they come before all loans."""
    ceil: float
    """Most bytes/s that it may use, loans included; ≥ `rate`."""
    demand: float = 0.0
    """Bytes/s that its torrents want; `math.inf` if some are backlogged. Of leaves only."""
    priority: int = 1
    """Higher borrows first."""
    weight: float = 1.0
    """Its part, beside siblings, of what does not suffice for all; > 0."""
    sure: float = 0.0
    """Part of `rate` that somebody asked for by that name: it comes before rates that only follow from a cap."""
    last: float = 0.0
    """Most bytes/s that it may use of what nobody else wants; 0.0 for none beyond `ceil`."""
    parent: int = -1
    """Index of its parent; -1 for the line."""

    @property
    def most(self) -> float:
        """Most bytes/s that it may ever use."""
        return max(self.ceil, self.last)


class _Wish(msgspec.Struct):
    """What a node and all beneath it want, bytes/s."""

    demand: float
    sure: float
    """Part of the demand that is promised."""


def divide_line(nodes: Sequence[Node], line: float) -> list[float]:
    """Return the bytes/s that each node may use now.

    First everybody's rate, as far as it is wanted; then the rest by priority, among equals by weight, up to the
    ceilings; at last what nobody wanted, to nodes that may have it (`last`). Each inner node divides what it got in the
    same way. The lender's own rate comes first again the moment it wants it. Where rates do not fit, what is `sure` of
    them comes first, then weights decide.

    What is wanted of the results sums to at most `line`, and beneath each inner node to at most its result. A node that
    wants less than it may use keeps more on paper, which costs nothing, since the line is divided again when it wakes:
    its rate (beneath an inner node: its part of that, if the children's rates exceed it), and up to `last` its part of
    what is left. Where its demand may exceed that, it keeps SLACK of the demand.
    """
    children = _children(nodes)
    order, wishes = _parents_first(children), _wishes(nodes, children)
    result = [0.0] * len(nodes)
    for parent in order:
        capacity = line if parent < 0 else result[parent]
        found = children[parent]
        paper = 1.0
        if parent >= 0 and (rates := math.fsum(nodes[i].rate for i in found)) > capacity:
            paper = capacity / rates
        got = _divide([nodes[i] for i in found], [wishes[i] for i in found], capacity, paper)
        for i, share in zip(found, got, strict=True):
            result[i] = share
    return result


def demands(nodes: Sequence[Node]) -> list[float]:
    """Return the bytes/s that each node and all beneath it want; `math.inf` for a leaf with backlogged torrents."""
    return [wish.demand for wish in _wishes(nodes, _children(nodes))]


def loans(nodes: Sequence[Node], shares_: Sequence[float]) -> list[tuple[float, float]]:
    """Return the bytes/s that each node borrows, and lends to its siblings, if it may use these bytes/s."""
    wanted = demands(nodes)
    used = [min(share, demand) for share, demand in zip(shares_, wanted, strict=True)]
    result = [(0.0, 0.0)] * len(nodes)
    for siblings in _children(nodes).values():
        borrowed = {i: max(0.0, used[i] - nodes[i].rate) for i in siblings}
        unused = {i: max(0.0, nodes[i].rate - used[i]) for i in siblings}
        part = min(1.0, math.fsum(borrowed.values()) / max(1.0, math.fsum(unused.values())))
        for i in siblings:
            result[i] = borrowed[i], part * unused[i]
    return result


def _children(nodes: Sequence[Node]) -> dict[int, list[int]]:
    """Return the indices of the children of each inner node; -1 is the line."""
    children: dict[int, list[int]] = {}
    for i, node in enumerate(nodes):
        children.setdefault(node.parent, []).append(i)
    return children


def _parents_first(children: Mapping[int, Sequence[int]]) -> list[int]:
    """Return the indices of all inner nodes, -1 for the line, each after its own parent."""
    order, found = [], [-1] if children else []
    while found:
        parent = found.pop()
        order.append(parent)
        found += [i for i in children[parent] if i in children]
    return order


def _wishes(nodes: Sequence[Node], children: Mapping[int, Sequence[int]]) -> list[_Wish]:
    """Return what each node wants: an inner one what its children may use of what they want."""
    wishes = [_Wish(node.demand, min(node.sure, node.demand)) for node in nodes]
    for parent in reversed(_parents_first(children)):
        if parent >= 0:
            node, wish = nodes[parent], wishes[parent]
            wish.demand = math.fsum(min(nodes[i].most, wishes[i].demand) for i in children[parent])
            promised = math.fsum(wishes[i].sure for i in children[parent])
            wish.sure = min(node.ceil, max(promised, min(node.sure, wish.demand)))
    return wishes


def _divide(nodes: Sequence[Node], wishes: Sequence[_Wish], capacity: float, paper: float) -> list[float]:
    """Divide `capacity` between siblings. `paper`: part of its rate that a node keeps while it does not want it."""
    weights = [node.weight for node in nodes]
    own = [max(wish.sure, min(node.rate, wish.demand)) for node, wish in zip(nodes, wishes, strict=True)]
    got = _shares_above([wish.sure for wish in wishes], own, weights, capacity)
    left = capacity - math.fsum(got)
    for most in ([node.ceil for node in nodes], [node.last for node in nodes]):
        for priority in sorted({node.priority for node in nodes}, reverse=True):
            rank = [i for i, node in enumerate(nodes) if node.priority == priority and wishes[i].demand > got[i]]
            wants = [max(0.0, min(most[i], wishes[i].demand) - got[i]) for i in rank]
            if left > 0 and any(wants):
                for i, extra in zip(rank, shares(wants, [weights[i] for i in rank], left), strict=True):
                    got[i] += extra
                    left -= extra
    content = [i for i, wish in enumerate(wishes) if not wish.demand > got[i]]
    result = list(got)
    room = math.fsum(weights[i] for i in content if nodes[i].last > 0)
    for i in content:
        spare = max(0.0, left) * weights[i] / room if nodes[i].last > 0 else 0.0
        kept = max(wishes[i].sure, paper * nodes[i].rate)
        if nodes[i].last > 0 or paper < 1.0:  # it may want more than that
            kept = max(kept, min(nodes[i].most, SLACK * wishes[i].demand))
        result[i] = max(got[i], kept, min(nodes[i].last, got[i] + spare))
    return result


def _shares_above(
    least: Sequence[float], wants: Sequence[float], weights: Sequence[float], capacity: float
) -> list[float]:
    """Divide `capacity` by weight up to `wants`, so that everybody has `least` first (in proportion if it is short)."""
    promised = math.fsum(least)
    if promised > capacity:
        return [capacity * part / promised for part in least]
    free = list(range(len(wants)))
    got = list(least)
    while True:
        held = promised - math.fsum(least[i] for i in free)
        level = water_level([wants[i] for i in free], [weights[i] for i in free], capacity - held)
        above = [i for i in free if weights[i] * level >= least[i]]
        if len(above) == len(free):
            break
        free = above
    for i in free:
        got[i] = min(wants[i], weights[i] * level)
    return got


def left_of_line(line: float, unlimited: float) -> float:
    """Return the part of `line` that capped groups may use while unlimited ones take `unlimited` bytes/s."""
    return max(line - unlimited, LINE_LEAST * line)


def smoothed(
    before: float | None, target: float, rate: float, *, alpha: float, least_change: float, elapsed_s: float
) -> float:
    """Return the effective cap on its way from `before` to `target`, bytes/s.

    Only the rise of the borrowed part is damped; the group's own rate, and every fall, takes effect at once.

    Args:
        before: effective cap so far; None if there was none.
        rate: what is its own.
        alpha: part (0 … 1) of the way that a rise goes in one second.
        least_change: part of what is borrowed below which an effective cap does not rise.
        elapsed_s: time since `before` was decided.
    """
    if before is None or target <= max(before, rate):
        return target
    before = max(before, rate)
    gap, borrowed = target - before, target - rate
    if gap < least_change * borrowed and before > rate:
        return before
    left = gap * (1 - alpha) ** elapsed_s
    return target if left < least_change * borrowed else target - left
