"""Refuse to write where that could do harm: with another journal, or a plan that would lift most limits."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from qguardarr.core.model import UNLIMITED, Change
from qguardarr.core.reconcile.plan import Plan, refuse_if_unsafe
from qguardarr.core.reconcile.registry import TorrentRegistry
from qguardarr.core.reconcile.release import CarriedOut, carried_out, read_carried_out, released, write_carried_out
from qguardarr.core.reconcile.signature import looks_like_ours, may_be_ours
from qguardarr.engine.ports import Journal
from qguardarr.errors import JournalError, UnsafePlan

LEAST: Final = 5
"""Fewer may be a coincidence: people type odd numbers, too."""


def refuse_limits_of_ours(limits: Iterable[int], *, least: int = LEAST, marks_only: bool = False) -> None:
    """Raise `JournalError` if these limits (bytes/s or UNLIMITED) were probably written by Qguardarr.

    That is so if at least `least` of them carry its mark, or LEAST of them may have been computed (earlier versions set
    no mark) and are not all the same, as a person's would be; and these are most of those that are limited.
    `marks_only`: the journal knows others, so it is an older one of this version, and what carries no mark is the
    person's.
    """
    limited = [limit for limit in limits if limit < UNLIMITED]
    marked = list(filter(looks_like_ours, limited))
    computed = list(filter(may_be_ours, limited))
    signs = [(marked, least)] if marks_only or len(set(computed)) < 2 else [(marked, least), (computed, LEAST)]
    ours = next((len(found) for found, needed in signs if len(found) >= needed and 2 * len(found) > len(limited)), 0)
    if not ours:
        return
    if marks_only:
        raise JournalError(
            f"the journal is older than the last one in use: it does not know {ours} torrents with limits in "
            "qBittorrent that look like Qguardarr's own. Nothing is written",
            hint="bring the newer journal back; or have `qguardarr rollback` restore what this one knows, and then, if "
            "the limits left in force are to count as your own, `qguardarr begin-anew`",
        )
    raise JournalError(
        f"the journal knows of no limit, but {ours} of {len(limited)} limits in qBittorrent look like Qguardarr's "
        "own, so it is not the journal that they were written with, and nothing is written",
        hint="name that journal in rollback.database_path, or `qguardarr restore FILE` from a backup; or, if the "
        "limits in force are to count as your own from now on, `qguardarr begin-anew`",
    )


def refuse_held(journal: Journal) -> None:
    """Raise `JournalError` if the journal stands where another one should be."""
    problem = journal.holding()
    if problem:
        raise JournalError(problem)


class JournalTrust:
    """Whether the journal is known to be the one that the limits in force were written with."""

    def __init__(self, registry: TorrentRegistry, journal: Journal) -> None:
        self._registry = registry
        self._journal = journal
        self._trusted = False

    def check(self, *, writes: bool) -> None:
        """Raise `JournalError` if it is not: our own limits would be taken for originals.

        `writes`: limits are about to be written; else it is enough that the journal does not say so itself.
        """
        if self._trusted:
            return
        refuse_held(self._journal)
        if self._journal.has_begun():
            self._trusted = True
        elif writes:
            unknown = [state.torrent.up_limit for state in self._registry.states() if not state.ours]
            refuse_limits_of_ours(unknown, marks_only=len(unknown) < len(self._registry))
            self._trusted = self._registry.loaded


class Safety:
    """Refuses the unsafe part of a plan, and lets the rest be written, so that caps hold.

    It knows which configuration was carried out last, also over a restart, and so which liftings a person wants.
    """

    def __init__(self, registry: TorrentRegistry, journal: Journal) -> None:
        self._registry = registry
        self._journal = journal
        self._carried_out: CarriedOut | None = None

    def recall(self) -> None:
        """Take up from the journal which configuration was carried out last."""
        self._carried_out = read_carried_out(self._journal.configuration(), self._registry.policy)

    def check(self, plan: Plan) -> tuple[Plan, UnsafePlan | None]:
        """Return the part of a plan that is safe to write, and the error about the rest if there is any."""
        is_unwanted = self._unwanted()
        unwanted = plan.without(lambda change: not is_unwanted(change))
        wanted = plan.lifts - unwanted.lifts
        try:
            refuse_if_unsafe(unwanted, limited=lambda: self._registry.limited - wanted)
        except UnsafePlan as error:
            self._registry.queue.postpone(change.hash for change in unwanted.changes)
            return plan.without(is_unwanted), error
        return plan, None

    def note(self, plan: Plan) -> None:
        """Take in that a plan was written: when it lifts nothing more, the configuration is carried out."""
        now = carried_out(self._registry.policy)
        if self._registry.selection.undecided():  # their limits may be lifted later on
            return
        if now != self._carried_out and not plan.lifts and not plan.deferred:
            self._journal.set_configuration(write_carried_out(now))
            self._carried_out = now

    def _unwanted(self) -> Callable[[Change], bool]:
        """Return a function that tells liftings which nobody asks for, by the configuration or by a label."""
        policy = self._registry.policy
        release = released(self._carried_out, policy)
        rules = {i for i, tracker in enumerate(policy.classes) if tracker.id in release.rules}

        def is_unwanted(change: Change) -> bool:
            if change.new != UNLIMITED or change.hash in self._registry.freed:
                return False
            state = self._registry.get(change.hash)
            if state is None or state.rule in rules:
                return False
            return not (release.unmanaged and not self._registry.manages(change.hash))

        return is_unwanted
