"""Find out whose the limits are that we do not remember, and act accordingly."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from typing import Final

import structlog

from qguardarr.core.model import UNLIMITED, Observation
from qguardarr.core.reconcile.foreign import VARIOUS, ForeignLimits, Mode, Program, read_note, write_note
from qguardarr.core.reconcile.plan import Plan
from qguardarr.core.reconcile.registry import TorrentRegistry
from qguardarr.core.reconcile.signature import looks_like_ours
from qguardarr.core.units import format_speed
from qguardarr.engine.ports import Journal

MEDDLING_S: Final = 600.0
"""A program that comes back within this many seconds breaks caps often enough to be paid for sooner."""
RESTORING_S: Final = 15.0
"""For this long after another process or thread restored originals, they may still be seen to come back, seconds."""

log = structlog.get_logger("qguardarr.controller")


class OthersLimits:
    """Limits of persons and of other programs. The counters are since the start."""

    def __init__(
        self, registry: TorrentRegistry, journal: Journal, mode: Mode, wall_clock: Callable[[], float]
    ) -> None:
        self._registry = registry
        self._journal = journal
        self._wall_clock = wall_clock
        self._foreign = ForeignLimits(mode)
        self._note = ""
        """As the journal has it."""
        self._explained_until = -math.inf
        """Until then originals may come back because somebody restored them, monotonic seconds."""
        self.set_by_hand = 0
        """Limits that a person set while we managed the torrent."""
        self.set_by_program = 0
        """Limits that another program set, and that are written over."""
        self.words = ""
        """What another program does to limits, and what to do; empty if there is none."""

    def adopt_mode(self, mode: Mode) -> None:
        """Take up whose limits those of others are to be."""
        self._foreign.mode = mode

    def recall(self, at: float) -> None:
        """Take up from the journal what an earlier run knew. `at`: monotonic seconds."""
        self._note = self._journal.foreign()
        self._foreign.remember(read_note(self._note), at, self._wall_clock())

    def expect_originals(self, at: float) -> None:
        """Take in that somebody restored originals, at `at` (monotonic seconds): that explains them."""
        self._explained_until = at + RESTORING_S

    def explain(self, strange: Sequence[tuple[str, int]], seen: Observation) -> None:
        """Find out whose these limits are: older ones of ours that came back, another program's, or a person's."""
        foreign: dict[str, int] = {}
        for hash_, limit in strange:
            if self._journal.wrote(hash_, limit):
                self._registry.limits.drifted(hash_, limit)
                log.info("limit_came_back", torrent=hash_, limit=limit)
            else:
                foreign[hash_] = limit
        owned = self._owned(foreign)
        judged = self._foreign.judge(
            {hash_: limit for hash_, limit in foreign.items() if hash_ in owned},
            self._registry.limits.returned,
            self._registry.original_of,
            at=seen.at,
            managed=self._registry.limitable(),
            explained=seen.full or seen.at < self._explained_until,
        )
        self._take_as_originals({h: limit for h, limit in foreign.items() if h not in judged.program}, owned)
        for hash_, limit in judged.program.items():
            self._registry.limits.set_by_program(hash_, limit)
        self._correct_originals(judged.revoked)
        self.set_by_program += len(judged.program) + len(judged.revoked)
        self._tell(seen.at)

    def without_contested_raises(self, plan: Plan, now: float) -> Plan:
        """Return a plan that raises torrents seldom which another Qguardarr limits too, and lowers them at once.

        So caps hold, and the two do not write against each other at full speed. `now`: monotonic seconds.
        """
        contested = self._foreign.contested(now)
        if not contested:
            return plan
        return plan.without(
            lambda change: (
                change.new > change.old and change.hash in contested and not self._foreign.may_raise(change.hash, now)
            )
        )

    def _owned(self, limits: dict[str, int]) -> Collection[str]:
        """Return those of these torrents whose originals we keep: we limited them, or another Qguardarr did."""
        unsure = [hash_ for hash_ in limits if not self._registry.is_ours(hash_)]
        touched = self._journal.touched(unsure) if unsure else {}
        others = {hash_ for hash_ in unsure if looks_like_ours(limits[hash_]) and self._registry.may_limit(hash_)}
        return limits.keys() - unsure | touched.keys() | others

    def _take_as_originals(self, by_hand: dict[str, int], owned: Collection[str]) -> None:
        """Take in limits that a person set, and log those of torrents that we limit."""
        if by_hand:
            self._journal.adopt(by_hand)  # which ignores those that we never touched
        for hash_, limit in by_hand.items():
            self._registry.limits.set_by_hand(hash_, limit)
            if hash_ in owned:
                log.info("limit_set_by_hand", torrent=hash_, limit=limit)
                self.set_by_hand += 1

    def _correct_originals(self, originals: dict[str, int]) -> None:
        """Restore originals in place of limits that were taken for a person's, and are another program's."""
        touched = self._journal.touched([hash_ for hash_ in originals if hash_ in self._registry])
        back = {hash_: originals[hash_] for hash_ in touched}
        if back:
            self._journal.adopt(back, "another program's limit is not the torrent's own")
        for hash_, original in back.items():
            self._registry.limits.correct_original(hash_, original)

    def _tell(self, at: float) -> None:
        """Have the journal, and people, know which programs set limits."""
        programs = self._foreign.at_work(at)
        before, self.words = self.words, foreign_words(programs, len(self._foreign.contested(at)))
        self._registry.meddled = any(0.0 < program.gap_s < MEDDLING_S for program in programs)
        if self.words and not before:
            log.warning("foreign_limits", problem=self.words)
        elif before and not self.words:
            log.info("foreign_limits_over")
        note = write_note(self._foreign.note(at, self._wall_clock()))
        if note != self._note:
            self._journal.set_foreign(note)
            self._note = note


def foreign_words(programs: Sequence[Program], contested: int) -> str:
    """Say who else sets limits, how it is dealt with and what to do; empty if nobody does.

    `contested`: torrents with limits of another Qguardarr.
    """
    if contested:
        return (
            f"another Qguardarr sets upload limits on {contested} torrents of this qBittorrent. The lower limit is in "
            "force meanwhile, so that caps hold but are not used up. Stop one of the two, with `qguardarr rollback`."
        )
    if not programs:
        return ""
    first = programs[0]
    value = {UNLIMITED: "unlimited", VARIOUS: "different values"}.get(first.value) or format_speed(first.value)
    torrents = "1 torrent" if first.torrents == 1 else f"{first.torrents} torrents"
    times = "once" if first.times == 1 else f"{first.times} times"
    others = f", and {len(programs) - 1} other values" if len(programs) > 1 else ""
    return (
        f"another program sets upload limits: {torrents} to {value}, {times}{others}. They are written over, and are "
        "not taken for the torrents' own. Have it leave upload limits alone; if it was you, set global.foreign_limits: "
        "person."
    )
