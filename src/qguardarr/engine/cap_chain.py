"""Make the modifiers of caps: what the configuration says over time, and what people ask for.

    configuration → schedule → boost → quota → temporary cap → hush → in force

The modifiers are pure functions (`core.caps`). Here local times become Unix times.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from qguardarr.core.caps.chain import Cap, Group, Modifier, cap_in_force, groups_of, next_change, with_caps
from qguardarr.core.caps.scaled import Order, boosted, hushed
from qguardarr.core.caps.schedule import Segment, scheduled
from qguardarr.core.caps.temporary import Override, temporary_caps
from qguardarr.core.policy import Policy
from qguardarr.engine.calendar import timeline
from qguardarr.engine.usage_book import UsageBook
from qguardarr.zones import zone_of

if TYPE_CHECKING:
    from qguardarr.core.caps.quota import Allowance

BACK_S: Final = 86_400.0
"""How far back schedules are worked out: the clock may be set."""
AHEAD_S: Final = 9 * 86_400.0
"""How far ahead. A week and a day hold every change that a schedule may have next."""


class CapChain:
    """The modifiers in force. Not for several threads at a time."""

    def __init__(self, book: UsageBook | None = None) -> None:
        """`book`: None for one that knows no usage."""
        self.book = book or UsageBook()
        self.allowances: Mapping[str, Allowance] = {}
        """What was used of each quota at the last look, by group id."""
        self.overrides: Mapping[str, Override] = {}
        """Temporary caps by group id."""
        self.orders: Mapping[str, Order] = {}
        """Boosts and hushes by group id, or ALL."""
        self._timelines: dict[str, Sequence[Segment]] = {}
        self._made_of: object = None
        self._made_at = 0.0

    def look(self, policy: Policy, now: float) -> None:
        """Look at usage. A paced cap is worked out from here on with it."""
        self.allowances = self.book.allowances(policy, now)

    def has_news(self, policy: Policy, now: float) -> bool:
        """Return whether a quota gives a much lower cap than at the last look, or is known for sure only now."""
        if not self.allowances:
            return False
        if any(allowance.settled != self.book.is_sure for allowance in self.allowances.values()):
            return True
        from qguardarr.core.caps.quota import is_due, within_quota  # noqa: PLC0415 # 20 kB for quotas alone

        schedule, boost, quota = self.modifiers(policy, now)[:3]
        fresh = within_quota(self.book.allowances(policy, now))
        return any(
            is_due(
                cap_in_force(group, (schedule, boost, quota), now), cap_in_force(group, (schedule, boost, fresh), now)
            )
            for group in groups_of(policy)
            if group.quota is not None
        )

    def modifiers(self, policy: Policy, now: float) -> list[Modifier]:
        """Return all that changes a configured cap, in the order in which it does. `now`: Unix time."""
        quota: Modifier = _leave
        if self.allowances:  # else the module is not loaded
            from qguardarr.core.caps.quota import within_quota  # noqa: PLC0415 # 20 kB for quotas alone

            quota = within_quota(self.allowances)
        return [
            scheduled(self._scheduled(policy, now)),
            boosted(self.orders, policy.uplink),
            quota,
            temporary_caps(self.overrides),
            hushed(self.orders),
        ]

    def in_force(self, policy: Policy, now: float) -> Policy:
        """Return the policy of the file with the caps that are in force."""
        return with_caps(policy, self.modifiers(policy, now), now)

    def caps(self, policy: Policy, now: float) -> dict[str, Cap]:
        """Return each group's numbers, with their reasons, by group id."""
        modifiers = self.modifiers(policy, now)
        return {group.id: cap_in_force(group, modifiers, now) for group in groups_of(policy)}

    def next_change(self, policy: Policy, now: float) -> float | None:
        """Return the Unix time at which to look again; None if nothing changes by itself."""
        again = now + AHEAD_S / 2 if self._timelines else None
        modifiers = self.modifiers(policy, now)
        hidden = modifiers, modifiers[:3], modifiers[:1]  # a hush hides a boundary, and so does a boost
        changes = [next_change(policy, some, now) for some in hidden]
        looks = [
            self.allowances[group.id].look_again_at(group.quota)
            for group in groups_of(policy)
            if group.quota is not None and group.id in self.allowances
        ]
        return min((at for at in (again, *changes, *looks) if at is not None), default=None)

    def _scheduled(self, policy: Policy, now: float) -> Mapping[str, Sequence[Segment]]:
        schedules = {group.id: group.schedule for group in groups_of(policy) if group.schedule}
        made_of = schedules, policy.timezone
        if made_of != self._made_of or not self._made_at <= now + BACK_S <= self._made_at + AHEAD_S:
            zone = zone_of(policy.timezone) if schedules else None
            self._timelines = {
                id_: timeline(windows, zone, now - BACK_S, now + AHEAD_S)
                for id_, windows in schedules.items()
                if zone is not None
            }
            self._made_of, self._made_at = made_of, now
        return self._timelines


def _leave(_group: Group, cap: Cap, _now: float) -> Cap:
    """Leave a cap as it is."""
    return cap
