"""Choose the next step for a person on the way from the first start to held caps."""

from __future__ import annotations

from typing import Final

import msgspec

from qguardarr.engine.status import Snapshot, State

_UNTENDED: Final = (
    "Limits of an earlier run are in force, and a dry run does not adapt them. If a configuration was lost, put it "
    "back; `qguardarr rollback` restores your own limits. "
)
_LOST: Final = frozenset({"Unreachable", "Refused", "Banned"})


class NextSteps(msgspec.Struct, frozen=True, kw_only=True):
    """The steps in words. The first one left counts."""

    address: str
    """Shown while the address of qBittorrent is unknown."""
    login: str
    """Shown while qBittorrent has never answered, or refuses the login."""
    caps: str
    """Shown when qBittorrent has answered; empty if a rule has a cap."""
    live: str
    """Shown when there are caps; empty if this is no dry run."""

    def left(self, snapshot: Snapshot, *, answered: bool) -> str:
        """Return the next step; empty if none is left, or if it is unknown now. `answered`: qBittorrent has once."""
        match snapshot.state:
            case State.STARTING:
                return ""
            case State.WAITING:
                return self.address
            case State.FAILING:
                kind = snapshot.problem_kind
                return self.login if kind == "AuthRejected" or (kind in _LOST and not answered) else ""
            case State.OBSERVING if snapshot.limited:
                return _UNTENDED + (self.caps or self.live)
            case _:
                return self.caps or self.live
