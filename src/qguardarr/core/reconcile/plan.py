"""Turn changes into the writes of one cycle: grouped, ordered, bounded, and refused if implausible."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from qguardarr.core.model import UNLIMITED, Change
from qguardarr.errors import UnsafePlan

IMPLAUSIBLE_COUNT: Final = 20
"""A plan is refused if it takes off more limits than this, and more than IMPLAUSIBLE_SHARE of ours."""
IMPLAUSIBLE_SHARE: Final = 0.5
"""An outage was once read as "no torrents", and took all limits off."""


class Write(msgspec.Struct, frozen=True):
    """One call: one limit for many torrents of one qBittorrent."""

    limit: int
    """Bytes/s or UNLIMITED."""
    changes: tuple[Change, ...]
    """Either decreases or increases; never empty."""

    @property
    def raises(self) -> bool:
        """Whether the changes are increases."""
        return self.limit > self.changes[0].old


class Plan(msgspec.Struct, frozen=True):
    """Writes of one cycle, in order: decreases first."""

    writes: tuple[Write, ...] = ()
    flushes: tuple[Write, ...] = ()
    """High limits of torrents that are to lose saved quota (see `saved_quota`); written before all others."""
    lowers: tuple[Write, ...] = ()
    """Limits that those torrents had, where `writes` has no others; written `saved_quota.FLUSH_GAP_S` after `flushes`.

    Neither is a change: each of these torrents ends with the limit that it has, or with that of `writes`.
    """
    deferred: int = 0
    """Changes that did not fit into this cycle's calls; they are decided again at the next."""

    @property
    def lifts(self) -> int:
        """Number of limits that are taken off."""
        return sum(len(write.changes) for write in self.writes if write.limit == UNLIMITED)

    def without_lifts(self) -> Plan:
        """Return the plan without taking limits off."""
        return self.without(lambda change: change.new == UNLIMITED)

    def without(self, unwanted: Callable[[Change], bool]) -> Plan:
        """Return the plan without unwanted changes."""
        writes = ((write, tuple(c for c in write.changes if not unwanted(c))) for write in self.writes)
        kept = tuple(Write(write.limit, changes) for write, changes in writes if changes)
        return msgspec.structs.replace(self, writes=kept)

    @property
    def cuts_wait(self) -> bool:
        """Whether a decrease may be among the changes that did not fit."""
        return self.deferred > 0 and not self.raises().writes

    def cuts(self) -> Plan:
        """Return the decreases, and the flushes."""
        return msgspec.structs.replace(self, writes=tuple(write for write in self.writes if not write.raises))

    def raises(self) -> Plan:
        """Return the increases."""
        return Plan(tuple(write for write in self.writes if write.raises))

    @property
    def changes(self) -> list[Change]:
        """All changes in the order in which they are written."""
        return [change for write in self.writes for change in write.changes]

    @property
    def steps(self) -> list[Change]:
        """All that goes to qBittorrent in order, flushes included."""
        return [change for write in (*self.flushes, *self.lowers, *self.writes) for change in write.changes]


def make_plan(changes: Iterable[Change], *, max_calls: int, flushes: Sequence[Change] = ()) -> Plan:
    """Group changes by value, decreases before increases, the largest sums first, at most `max_calls` calls.

    Decreases stand first, so no increase is written while a decrease has to wait: else limits in force would sum to
    more than decided.

    Args:
        changes: one for each torrent; those that change nothing are left out.
        max_calls: most limit-writing calls of this cycle.
        flushes: high limits for torrents that are to lose saved quota; one call writes them all. They wait for another
            cycle if they do not fit into the calls of this one.
    """
    cuts: dict[int, list[Change]] = defaultdict(list)
    raises: dict[int, list[Change]] = defaultdict(list)
    changed = set()
    for change in changes:
        if change.new != change.old:
            (cuts if change.new < change.old else raises)[change.new].append(change)
            changed.add(change.hash)
    ordered = sorted(cuts.items(), key=_weight) + sorted(raises.items(), key=_weight)
    keep = min(len(ordered), max_calls)
    writes = tuple(Write(limit, tuple(group)) for limit, group in ordered[:keep])
    deferred = sum(len(group) for _, group in ordered[keep:])
    lowers: dict[int, list[Change]] = defaultdict(list)
    for raised in flushes:
        if raised.hash not in changed:
            lowers[raised.old].append(msgspec.structs.replace(raised, old=raised.new, new=raised.old))
    if not flushes or len(ordered) + len(lowers) + 1 > max_calls:
        return Plan(writes, deferred=deferred)
    high = max(raised.new for raised in flushes)
    together = Write(high, tuple(msgspec.structs.replace(raised, new=high) for raised in flushes))
    return Plan(writes, (together,), tuple(Write(limit, tuple(group)) for limit, group in lowers.items()), deferred)


def refuse_if_unsafe(plan: Plan, *, limited: Callable[[], int]) -> None:
    """Raise UnsafePlan if the plan would make most of the torrents that we limit unlimited at once.

    Args:
        limited: returns the number of torrents with a limit of ours; called only when it matters.
    """
    lifted = plan.lifts
    if lifted > IMPLAUSIBLE_COUNT and lifted > IMPLAUSIBLE_SHARE * (ours := limited()):
        raise UnsafePlan(
            f"the plan would lift the limits of {lifted} of {ours} torrents at once, though the configuration did not "
            "change; these stay as they are. If this is what you want, give them back with `qguardarr reset`."
        )


def _weight(item: tuple[int, Sequence[Change]]) -> float:
    return -sum(abs(min(c.old, 10**9) - min(c.new, 10**9)) for c in item[1])
