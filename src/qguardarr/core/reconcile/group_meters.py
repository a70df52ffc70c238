"""Meter what the torrents beneath each parent upload together, and all torrents: the line."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence

from qguardarr.core.measure.usage_meter import UsageMeter
from qguardarr.core.model import UNLIMITED
from qguardarr.core.policy import Policy
from qguardarr.core.reconcile.group_tree import LINE, ancestors


class GroupMeters:
    """A usage meter for each parent and the line. A parent's debt is what its groups sent over its own cap."""

    def __init__(self, policy: Policy) -> None:
        self._meters: dict[str, UsageMeter] = {}
        self.adopt_policy(policy)

    def __getitem__(self, id_: str) -> UsageMeter:
        """Return the meter of a parent, or of the line (`LINE`)."""
        return self._meters[id_]

    def __iter__(self) -> Iterator[UsageMeter]:
        return iter(self._meters.values())

    def adopt_policy(self, policy: Policy) -> None:
        """Go on under another policy: parents that stay keep their meters."""
        ids = [*(parent.id for parent in policy.parents), LINE]
        self._meters = {id_: self._meters.get(id_) or UsageMeter() for id_ in ids}
        self._caps = {parent.id: UNLIMITED if parent.when_busy else parent.cap for parent in policy.parents}
        self._caps[LINE] = policy.uplink
        self._above = ancestors(policy)

    def with_policy(self, policy: Policy) -> GroupMeters:
        """Return the meters as they would be under another policy, to read from."""
        found = GroupMeters(policy)
        found._meters = {id_: self._meters.get(id_) or meter for id_, meter in found._meters.items()}
        return found

    def add(self, at: float, moved: Sequence[float]) -> None:
        """Take in what the torrents of each class moved until `at`, bytes, in the order of the policy's classes."""
        sums = dict.fromkeys(self._meters, 0.0)
        for bytes_, ids in zip(moved, self._above, strict=True):
            for id_ in ids:
                sums[id_] += bytes_
        for id_, meter in self._meters.items():
            if not meter.samples or at > meter.samples[-1][0]:
                meter.add(at, round(sums[id_]), self._caps[id_])

    def send_before(self, missed: Mapping[int, float]) -> None:
        """Add bytes of classes, by their indices, to all that was sent so far."""
        for i, bytes_ in missed.items():
            for id_ in self._above[i]:
                send_before(self._meters[id_], bytes_)

    def forgive(self) -> None:
        """Forget bytes over the caps."""
        for meter in self:
            meter.debt = 0.0


def send_before(meter: UsageMeter, missed: float) -> None:
    """Add bytes to all that a meter has counted so far."""
    meter.total += missed
    meter.samples = deque((at, total + missed) for at, total in meter.samples)
