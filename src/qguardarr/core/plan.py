"""From current and desired limits to the writes of one cycle: grouped, ordered, bounded, and refused if implausible."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from qguardarr.core.model import UNLIMITED, Change
from qguardarr.errors import UnsafePlan

IMPLAUSIBLE_COUNT: Final = 20
IMPLAUSIBLE_SHARE: Final = 0.5


class Write(msgspec.Struct, frozen=True):
    """One call: one limit for many torrents."""

    limit: int
    """Bytes/s or UNLIMITED."""
    changes: tuple[Change, ...]


class Plan(msgspec.Struct, frozen=True):
    """What one cycle writes, in order: decreases first."""

    writes: tuple[Write, ...] = ()
    flushes: tuple[Write, ...] = ()
    """Written before all others, which follow after `saved.FLUSH_GAP_S` and lower each of these torrents again."""
    deferred: int = 0
    """Changes that did not fit into this cycle's calls; they are decided anew at the next."""

    @property
    def lifts(self) -> int:
        """How many limits are taken off."""
        return sum(len(write.changes) for write in self.writes if write.limit == UNLIMITED)

    def without_lifts(self) -> Plan:
        """All but those."""
        kept = tuple(write for write in self.writes if write.limit != UNLIMITED)
        return Plan(kept, self.flushes, self.deferred)

    @property
    def changes(self) -> list[Change]:
        """All changes in the order in which they are written."""
        return [change for write in (*self.flushes, *self.writes) for change in write.changes]


def make_plan(changes: Iterable[Change], *, max_calls: int, flushes: Sequence[Change] = ()) -> Plan:
    """Group changes by value, decreases before increases, the largest sums first, at most `max_calls` calls.

    Since decreases stand first, no increase is written while a decrease has to wait: else the limits in force would sum
    to more than decided. `flushes` are for torrents that `changes` lower again; those whose turn does not come are left
    out. All of them are written with one limit, by one call.
    """
    cuts: dict[int, list[Change]] = defaultdict(list)
    raises: dict[int, list[Change]] = defaultdict(list)
    for change in changes:
        if change.new != change.old:
            (cuts if change.new < change.old else raises)[change.new].append(change)
    ordered = sorted(cuts.items(), key=_weight) + sorted(raises.items(), key=_weight)
    keep = min(len(ordered), max_calls)
    if flushes and keep == max_calls:
        keep, flushes = (keep - 1, flushes) if max_calls > 1 else (keep, ())
    writes = tuple(Write(limit, tuple(group)) for limit, group in ordered[:keep])
    lowered = {change.hash for write in writes for change in write.changes}
    raised = [change for change in flushes if change.hash in lowered]
    first = max((change.new for change in raised), default=0)
    together = tuple(msgspec.structs.replace(change, new=first) for change in raised)
    return Plan(writes, (Write(first, together),) if raised else (), sum(len(group) for _, group in ordered[keep:]))


def refuse_if_unsafe(plan: Plan, *, limited: Callable[[], int]) -> None:
    """UnsafePlan if the plan would give most of the torrents that we limit their unlimited state back at once.

    Args:
        limited: asked, when it matters, how many torrents carry a limit of ours now.
    """
    lifted = plan.lifts
    if lifted > IMPLAUSIBLE_COUNT and lifted > IMPLAUSIBLE_SHARE * (ours := limited()):
        raise UnsafePlan(
            f"the plan would lift the limits of {lifted} of {ours} torrents at once, though the configuration did not "
            "change; these stay as they are. If this is what you want, give them back with `qguardarr reset`."
        )


def _weight(item: tuple[int, Sequence[Change]]) -> float:
    return -sum(abs(min(c.old, 10**9) - min(c.new, 10**9)) for c in item[1])
