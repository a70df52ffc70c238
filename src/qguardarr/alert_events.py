"""Kinds of events that people can be notified of, by the names that the configuration uses."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, get_args

AlertEvent: TypeAlias = Literal[
    "over_cap", "qbittorrent_lost", "breaker_open", "plan_refused", "manual_limit", "foreign_limits", "errors"
]
ALERT_EVENTS: Final[tuple[AlertEvent, ...]] = get_args(AlertEvent)
