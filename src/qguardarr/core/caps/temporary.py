"""Replace a tracker's cap for a while. The store keeps temporary caps over restarts."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from qguardarr.core.model import checked_limit
from qguardarr.core.policy import Policy


class Override(msgspec.Struct, frozen=True):
    """A temporary cap of one tracker. ValueError if `cap` is no limit."""

    cap: int
    """Bytes/s, or UNLIMITED; above or below the cap of the configuration."""
    until: float
    """Unix time at which it ends, seconds."""

    def __post_init__(self) -> None:
        checked_limit(self.cap)


def with_overrides(policy: Policy, overrides: Mapping[str, Override], now: float) -> Policy:
    """Return `policy` with the temporary caps in force at Unix time `now`; unknown trackers are ignored."""
    classes = tuple(
        msgspec.structs.replace(tracker, cap=override.cap)
        if (override := overrides.get(tracker.id)) is not None and override.until > now
        else tracker
        for tracker in policy.classes
    )
    return policy if classes == policy.classes else msgspec.structs.replace(policy, classes=classes)


def next_expiry(overrides: Mapping[str, Override], now: float) -> float | None:
    """Return the Unix time at which the next of those in force ends; None if none is in force."""
    return min((override.until for override in overrides.values() if override.until > now), default=None)
