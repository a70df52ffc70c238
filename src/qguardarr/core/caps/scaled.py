"""Scale caps for a while: `boost` raises them, `hush` lowers them, of one group or of all and the line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from qguardarr.core.caps.chain import Cap, Group, Modifier
from qguardarr.core.model import UNLIMITED, checked_limit
from qguardarr.core.units import as_limit

ALL: Final = "*"
"""In place of a group's id: every group, and the line."""
HUSHED: Final = 0.1
BOOSTED: Final = 2.0


class Order(msgspec.Struct, frozen=True):
    """A boost or a hush. ValueError if its numbers mean nothing."""

    kind: Literal["boost", "hush"]
    until: float
    """Unix time at which it ends, seconds."""
    factor: float
    """What caps are multiplied by: above 1 for a boost, 0 … 1 for a hush."""
    speed: int | None = None
    """Speed of the line in place of a factor, bytes/s; of a hush of all."""

    def __post_init__(self) -> None:
        if not (1 <= self.factor <= 100 if self.kind == "boost" else 0 < self.factor <= 1):
            raise ValueError(f"not a factor of a {self.kind}: {self.factor}")
        if self.speed is not None:
            checked_limit(self.speed)


def boosted(orders: Mapping[str, Order], uplink: int) -> Modifier:
    """Return the modifier for boosts by group id, or ALL. See `_counting`.

    `uplink`: a boost goes no further than the line, and never beyond what an unlimited cap means; it leaves the line as
    it is. Quotas come after it, so that none is broken.
    """
    return _scaled(orders, uplink, "boost")


def hushed(orders: Mapping[str, Order]) -> Modifier:
    """Return the modifier for hushes by group id, or ALL. See `_counting`.

    What is unlimited stays so by itself; a hush of the line holds it.
    """
    return _scaled(orders, UNLIMITED, "hush")


def _scaled(orders: Mapping[str, Order], uplink: int, kind: Literal["boost", "hush"]) -> Modifier:

    def modify(group: Group, cap: Cap, now: float) -> Cap:
        order = _counting(orders, group, now)
        if order is None or order.kind != kind:
            return cap
        if order.speed is not None:
            if group.id:
                return cap
            return _changed(cap, min(cap.ceiling, order.speed), order)
        if cap.ceiling >= UNLIMITED or (order.kind == "boost" and not group.id):
            return cap
        ceiling = as_limit(cap.ceiling * order.factor)
        if order.kind == "boost":
            ceiling = max(cap.ceiling, min(ceiling, uplink, UNLIMITED - 1))
        return _changed(cap, ceiling, order)

    return modify


def _counting(orders: Mapping[str, Order], group: Group, now: float) -> Order | None:
    """Return the order that counts for a group: its own, but a hush of all before its own boost."""
    own, all_ = (orders.get(scope) for scope in (group.id, ALL))
    own, all_ = (order if order is not None and order.until > now else None for order in (own, all_))
    is_hushed = own is not None and all_ is not None and (own.kind, all_.kind) == ("boost", "hush")
    return all_ if own is None or is_hushed else own


def _changed(cap: Cap, ceiling: int, order: Order) -> Cap:
    if ceiling == cap.ceiling:
        return cap
    rate = None if cap.rate is None else min(ceiling, as_limit(cap.rate * ceiling / cap.ceiling))
    holds_all = cap.holds_all or order.kind == "hush"
    return msgspec.structs.replace(
        cap, ceiling=ceiling, rate=rate, reason=order.kind, until=order.until, holds_all=holds_all
    )
