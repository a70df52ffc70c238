"""Values of torrents as front ends show and sort them.

The engine may change or take away each part of a torrent at any moment, so each is read once.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Final, Literal

import msgspec

from qguardarr.core.reconcile.torrent_table import TorrentState
from qguardarr.core.reconcile.why import Why

Sort = Literal["rate", "limit", "original", "demand", "leechers", "tracker", "reason", "hash"]


def rate_of(state: TorrentState) -> float | None:
    """Return its upload rate, bytes/s; None if it does not upload."""
    estimator = state.estimator
    return None if estimator is None else estimator.rate


def is_hungry(state: TorrentState) -> bool:
    """Return whether it uses its limit, and wants more."""
    estimator = state.estimator
    return estimator is not None and estimator.backlogged


def limit_in_force(state: TorrentState) -> int:
    """Return the limit in force, bytes/s or UNLIMITED."""
    return state.current or state.torrent.up_limit


_REASONS: Final = {why: number for number, why in enumerate(Why)}
KEYS: Final[dict[Sort, Callable[[TorrentState], float]]] = {
    "rate": lambda state: -1.0 if (rate := rate_of(state)) is None else rate,
    "limit": limit_in_force,
    "original": lambda state: state.original,
    "demand": lambda state: -1.0 if (rate := rate_of(state)) is None else math.inf if is_hungry(state) else rate,
    "leechers": lambda state: state.torrent.leechers,
    "tracker": lambda state: state.rule,
    "reason": lambda state: _REASONS.get(state.why, -1) if isinstance(state.why, Why) else -1,
    "hash": lambda state: int(state.torrent.hash, 16),
}
"""What a list is sorted by."""


class AnnounceBudget(msgspec.Struct, frozen=True, kw_only=True):
    """What a torrent with an overspeed rule has uploaded since its last announce, as the site sees it at most."""

    at: float
    """Latest time at which that announce may have been, Unix seconds."""
    sent: int
    """Most bytes that it may have uploaded since then."""
    allowed: int
    """Bytes that the site's rule allows since then."""
    limit: int
    """The site's rule, bytes/s on average between two announces."""
    mode: Literal["steady", "saved"]
    """saved: what it leaves unused may be used before the next announce; steady: it may not."""


def announce_budget(state: TorrentState) -> AnnounceBudget | None:
    """Return what a torrent has uploaded since its last announce; None if that is not known."""
    budget = state.budget
    found = None if budget is None else budget.announced
    if budget is None or found is None:
        return None
    rule, ago_s = budget.rule, time.monotonic() - found.at
    return AnnounceBudget(
        at=time.time() - ago_s,
        sent=found.sent,
        allowed=found.allowed,
        limit=rule.limit,
        mode="saved" if rule.saves else "steady",
    )
