"""Replace a tracker's cap for a while. The store keeps temporary caps over restarts."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from qguardarr.core.caps.chain import Cap, Group, Modifier
from qguardarr.core.model import checked_limit


class Override(msgspec.Struct, frozen=True):
    """A temporary cap of one tracker. ValueError if `cap` is no limit."""

    cap: int
    """Bytes/s, or UNLIMITED; above or below the cap of the configuration."""
    until: float
    """Unix time at which it ends, seconds."""

    def __post_init__(self) -> None:
        checked_limit(self.cap)


def temporary_caps(overrides: Mapping[str, Override]) -> Modifier:
    """Return the modifier for overrides by group id. Those that have ended, or of unknown groups, do nothing."""

    def modify(group: Group, cap: Cap, now: float) -> Cap:
        override = overrides.get(group.id)
        if override is None or override.until <= now:
            return cap
        return msgspec.structs.replace(
            cap, ceiling=override.cap, reason="temporary cap", until=override.until, may_rise=True
        )

    return modify
