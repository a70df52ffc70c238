"""Whether caps are held now, from what the daemon published last and how long ago."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from qguardarr.engine.instance_row import LoginPause
from qguardarr.engine.status import State, Status

STALE_S: Final = 10.0
"""A daemon hangs in a call when no cycle has ended for this long, for three intervals and for twice its last cycle."""


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """Whether caps are held, and the reason if they are not."""

    status: Literal["starting", "healthy", "degraded", "unhealthy"]
    """`degraded`: caps are held, and something else is wrong. `unhealthy`: caps cannot be held now."""
    ready: bool
    """Whether caps are held, or deliberately not (paused, dry run, no address yet)."""
    reason: str
    """The problem in words; empty if there is none."""
    troubles: tuple[str, ...] = ()
    """Warnings in words: caps are held all the same."""


def longest_silence_s(status: Status) -> float:
    """Return the seconds after the end of a cycle from which on the next one counts as hanging."""
    return max(STALE_S, 3 * status.interval_s, 2 * status.cycle_s)


def login_outlook(pause: LoginPause, now: float) -> str:
    """Say in words when a refused login is tried again. `now`: Unix time, seconds."""
    if pause.next_try_at is None:
        words = "the login is not tried again until qBittorrent restarts, the configuration changes, or you ask for it"
    else:
        words = f"the login is tried again {_in(pause.next_try_at - now)}, or when qBittorrent restarts, the "
        words += "configuration changes, or you ask for it"
    soonest = "" if pause.ask_from <= now else f", {_in(pause.ask_from - now)} at the earliest"
    return f"{words} (POST /cycle/force or SIGHUP{soonest})"


def _in(seconds: float) -> str:
    if seconds < 120:
        return f"in {max(1.0, seconds):.0f} s"
    return f"in {seconds / 60:.0f} min" if seconds < 5400 else f"in {seconds / 3600:.1f} h"


def health(status: Status, now: float) -> Health:
    """Judge a published status. `now`: Unix time, seconds."""
    silent_s = abs(now - status.at)  # a clock that was set back says no more than one that was set forward
    warnings = status.troubles
    if status.reload_error:
        first = status.reload_error.splitlines()[0]
        warnings = (f"the configuration was changed, but has faults; the old one stays in force: {first}", *warnings)
    if status.ended_at is not None:
        return Health(status="unhealthy", ready=False, reason="it has ended", troubles=warnings)
    if silent_s > longest_silence_s(status):
        reason = f"the last cycle ended {silent_s:.0f} s ago: it waits for qBittorrent's answer, or hangs"
        return Health(status="unhealthy", ready=False, reason=reason, troubles=warnings)
    if status.state == State.STARTING:
        return Health(status="starting", ready=False, reason="nothing was read yet", troubles=warnings)
    if status.state == State.WAITING:
        return Health(status="starting", ready=True, reason=status.problem, troubles=warnings)
    if status.state == State.FAILING:
        reason = status.problem
        if status.login_pause is not None:
            reason += f"; {login_outlook(status.login_pause, now)}"
        return Health(status="unhealthy", ready=False, reason=reason, troubles=warnings)
    return Health(status="degraded" if warnings else "healthy", ready=True, reason="", troubles=warnings)
