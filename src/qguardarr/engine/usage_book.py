"""How much of each quota is used: what the accounting counts, by the present period of each."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from datetime import tzinfo
from typing import TYPE_CHECKING, Final

import structlog

from qguardarr.core.caps.chain import groups_of
from qguardarr.core.policy import Policy
from qguardarr.core.timed import Quota
from qguardarr.engine.calendar import period_of
from qguardarr.engine.feature_ports import UsageStore
from qguardarr.engine.status import Status
from qguardarr.errors import QguardarrError, StoreError
from qguardarr.zones import zone_of

if TYPE_CHECKING:
    from qguardarr.core.caps.quota import Allowance

RATE_S: Final = 4.0
"""Shortest time that a rate is measured over: two copies of the counters at least."""
RETRY_S: Final = 20.0
"""A store that could not be read is asked again after this time."""
HOUR_S: Final = 3600.0
AWAY_S: Final = 10.0
"""Counters that are older are not waited for: that qBittorrent is away."""

log = structlog.get_logger("qguardarr.usage")


class UsageBook:
    """The present period of each quota. From any thread."""

    def __init__(
        self,
        store: UsageStore | None = None,
        *,
        settled: bool = True,
        earlier: Callable[[], Status | None] = lambda: None,
    ) -> None:
        """`settled`: False until somebody says that what was used while nobody looked is counted.

        `earlier` returns the status that was published last, before the daemon started. It knows what was used if the
        store is lost.
        """
        self.settled = settled
        self._store = store
        self._earlier = earlier
        self._lock = threading.Lock()
        self._totals: dict[str, int] | None = None
        """All bytes of each group; None if they could not be read."""
        self._periods: dict[str, tuple[float, float, int]] = {}
        """Start, end (Unix time) and bytes, by group id."""
        self._unrecalled: dict[str, float] = {}
        """When the store is asked again how much of a period was used, Unix time, by group id."""
        self._unkept: dict[str, tuple[float, int]] = {}
        self._made_of: dict[str, tuple[Quota, str]] = {}
        self._flows: dict[str, deque[tuple[float, int]]] = {}
        """Unix times at which a group was counted, and all bytes by then; oldest first."""
        self._counted: dict[str, float] = {}
        """Unix time of the counters, by instance."""
        self._unseen: dict[str, float] = {}
        """Bytes that a start may have missed, by group id."""
        self._zone: tuple[str, tzinfo | None] = ("", None)

    @property
    def is_sure(self) -> bool:
        """Return whether all that was used is counted: what the store knows, and what was while nobody looked."""
        return self.settled and not self._unrecalled

    def allowances(self, policy: Policy, now: float) -> dict[str, Allowance]:
        """Return what is used of each quota at a Unix time, by group id. Periods begin and end here."""
        groups = [group for group in groups_of(policy) if group.quota is not None]
        if not groups:
            return {}
        from qguardarr.core.caps.quota import Allowance  # noqa: PLC0415 # 20 kB for quotas alone

        with self._lock:
            found = {}
            for group in groups:
                assert group.quota is not None
                known = self._periods.get(group.id)
                made_of = group.quota, policy.timezone
                if known is not None and now >= known[1]:
                    self._unseen.pop(group.id, None)
                if known is None or not known[0] <= now < known[1] or self._made_of.get(group.id) != made_of:
                    start, end = period_of(group.quota, self._zone_of(policy), now)
                    used = known[2] if known is not None and known[0] == start else self._recalled(group.id, start, now)
                    known = self._periods[group.id] = (start, end, used)
                    self._made_of[group.id] = made_of
                elif group.id in self._unrecalled and not 0 < self._unrecalled[group.id] - now <= RETRY_S:
                    # What was counted meanwhile may be among it: it counts twice rather than not at all.
                    used = known[2] + self._recalled(group.id, known[0], now)
                    known = self._periods[group.id] = (known[0], known[1], used)
                found[group.id] = Allowance(
                    *known, now, self.is_sure, self._age_s(now), self._rate(group.id), self._unseen.get(group.id, 0.0)
                )
            return found

    def count(self, instance: str, moved: Mapping[str, int], start: float, end: float) -> dict[str, tuple[float, int]]:
        """Take in what groups uploaded in a stretch of Unix time, and return their parts of present periods.

        `end`: when the counters of the instance were copied.
        """
        parts = {group: part for group, bytes_ in moved.items() if (part := self.part(group, bytes_, start, end))}
        with self._lock:
            self._counted[instance] = end
            self._add_to_totals(moved)
            for group in self._periods:
                flow = self._flows.setdefault(group, deque())
                flow.append((end, (flow[-1][1] if flow else 0) + moved.get(group, 0)))
                while len(flow) > 2 and not 0 <= end - flow[1][0] < RATE_S:  # the clock may be set back
                    flow.popleft()
        for group, part in parts.items():
            self.add(group, part)
        return parts

    def part(self, group: str, bytes_: int, start: float, end: float) -> tuple[float, int] | None:
        """Return the start of a group's present period, and which of its bytes of a stretch of time fall into that."""
        with self._lock:
            known = self._periods.get(group)
        if known is None:
            return None
        inside = min(end, known[1]) - max(start, known[0])
        part = inside / (end - start) if end > start else float(known[0] <= end < known[1])
        return (known[0], round(bytes_ * min(1.0, part))) if part > 0 else None

    def found(self, bytes_: Mapping[str, int]) -> None:
        """Take in what groups uploaded while nobody looked."""
        with self._lock:
            self._add_to_totals(bytes_)

    def total(self, group: str) -> int | None:
        """Return all bytes that a group uploaded since usage is counted; None if that is not known."""
        return None if self._totals is None else self._totals.get(group, 0)

    def periods(self) -> dict[str, tuple[float, int]]:
        """Return start and bytes of the present period of each quota."""
        with self._lock:
            return {group: (start, used) for group, (start, _, used) in self._periods.items()}

    def add(self, group: str, part: tuple[float, int]) -> None:
        """Take in bytes of a group in the period that began at a time."""
        with self._lock:
            known = self._periods.get(group)
            if known is not None and known[0] == part[0]:
                self._periods[group] = (known[0], known[1], known[2] + part[1])

    def missed(self, group: str, bytes_: float) -> None:
        """Take in that so many bytes of the present period may have been sent before this run began to count."""
        with self._lock:
            self._unseen[group] = self._unseen.get(group, 0.0) + bytes_

    def take_recalled(self) -> dict[str, tuple[float, int]]:
        """Return what is to be kept once of periods that began before anybody counted them: start and bytes."""
        with self._lock:
            found, self._unkept = self._unkept, {}
            return found

    def _age_s(self, now: float) -> float:
        """Return how old the counters are: those of several qBittorrents on average, without those that are away."""
        ages = [max(0.0, now - at) for at in self._counted.values()]
        fresh = [age for age in ages if age <= AWAY_S] or [min(ages, default=0.0)]
        return min(AWAY_S, sum(fresh) / len(fresh))

    def _rate(self, group: str) -> float:
        flow = self._flows.get(group)
        if flow is None or flow[-1][0] <= flow[0][0]:
            return 0.0
        return max(0, flow[-1][1] - flow[0][1]) / (flow[-1][0] - flow[0][0])

    def _recalled(self, group: str, start: float, now: float) -> int:
        """Return what the store knows of a period: its own count, or else that of the hours; 0 if it cannot be read."""
        was_told = self._unrecalled.pop(group, None) is not None
        if self._store is None:
            return 0
        try:
            kept = self._store.usage_period(group)
            if kept is not None and kept[0] == start:
                return kept[1]
            hours = self._store.usage_hours(group, start - HOUR_S, float(10**11))
            used = round(sum(row.bytes * _part_since(start, row.hour, now) for row in hours))
        except StoreError as error:
            self._unrecalled[group] = now + RETRY_S
            if not was_told:
                advice = "what was used before is not known; the store is asked again"
                log.warning("quota_not_recalled", group=group or "line", reason=str(error), advice=advice)
            return 0
        if kept is None and (told := self._told(group, start)) > used:
            log.warning("usage_lost", group=group or "line", used=told, advice="the store lacks it; the status had it")
            used = told
        self._unkept[group] = (start, used)
        return used

    def _told(self, group: str, start: float) -> int:
        """Return what the last status says of the period of a quota that began at a time."""
        try:
            before = self._earlier()
        except QguardarrError as error:
            log.warning("quota_not_recalled", group=group or "line", reason=str(error))
            return 0
        rows = () if before is None else before.groups
        quotas = (row.quota for row in rows if row.id == group)
        return next((quota.used for quota in quotas if quota is not None and quota.start == start), 0)

    def _add_to_totals(self, bytes_: Mapping[str, int]) -> None:
        if self._totals is None and self._store is not None:
            try:
                self._totals = self._store.usage_totals()
            except StoreError as error:
                log.warning("usage_not_recalled", reason=str(error))
        if self._totals is not None:
            for group, moved in bytes_.items():
                self._totals[group] = self._totals.get(group, 0) + moved

    def _zone_of(self, policy: Policy) -> tzinfo | None:
        if self._zone[0] != policy.timezone:
            self._zone = policy.timezone, zone_of(policy.timezone) if policy.timezone else None
        return self._zone[1]


def _part_since(start: float, hour: float, now: float) -> float:
    """Return which part of what was uploaded in an hour that began at `hour` counts from `start` on: evenly."""
    end = min(hour + HOUR_S, now) if hour < now else hour + HOUR_S
    return min(1.0, max(0.0, (end - start) / (end - hour)))
