"""Refuse the unsafe part of a plan, and write the rest: caps hold whatever is refused."""

from __future__ import annotations

from collections.abc import Callable

from qguardarr.core.model import UNLIMITED, Change
from qguardarr.core.reconcile.plan import Plan, refuse_if_unsafe
from qguardarr.core.reconcile.registry import TorrentRegistry
from qguardarr.core.reconcile.release import CarriedOut, carried_out, read_carried_out, released, write_carried_out
from qguardarr.engine.ports import Journal
from qguardarr.errors import UnsafePlan


class Safety:
    """Knows which configuration was carried out last, also over a restart, and so which liftings a person wants."""

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
        if now != self._carried_out and not plan.lifts and not plan.deferred:
            self._journal.set_configuration(write_carried_out(now))
            self._carried_out = now

    def _unwanted(self) -> Callable[[Change], bool]:
        """Return a function that tells liftings which no change of the configuration asks for."""
        policy = self._registry.policy
        release = released(self._carried_out, policy)
        rules = {i for i, tracker in enumerate(policy.classes) if tracker.id in release.rules}

        def is_unwanted(change: Change) -> bool:
            if change.new != UNLIMITED:
                return False
            state = self._registry.get(change.hash)
            if state is None or state.rule in rules:
                return False
            return not (release.unmanaged and not self._registry.manages(change.hash))

        return is_unwanted
