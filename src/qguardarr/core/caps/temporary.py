"""Replace a tracker's cap for a while. The store keeps temporary caps over restarts."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from qguardarr.core.caps.chain import Cap, Modifier
from qguardarr.core.model import TrackerClass, checked_limit


class Override(msgspec.Struct, frozen=True):
    """A temporary cap of one tracker. ValueError if `cap` is no limit."""

    cap: int
    """Bytes/s, or UNLIMITED; above or below the cap of the configuration."""
    until: float
    """Unix time at which it ends, seconds."""

    def __post_init__(self) -> None:
        checked_limit(self.cap)


def temporary_caps(overrides: Mapping[str, Override]) -> Modifier:
    """Return the modifier for overrides by tracker id. Those that have ended, or of unknown trackers, do nothing."""

    def modify(rule: TrackerClass, cap: Cap, now: float) -> Cap:
        override = overrides.get(rule.id)
        if override is None or override.until <= now:
            return cap
        return Cap(override.cap, "temporary cap", override.until)

    return modify
