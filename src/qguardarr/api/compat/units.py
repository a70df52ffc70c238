"""The units of the earlier Qguardarr."""

from __future__ import annotations

import math
from typing import Final

from qguardarr.core.model import UNLIMITED
from qguardarr.core.units import format_speed

MIB: Final = 2**20


def old_limit(limit: float) -> int:
    """Return a limit in bytes/s; -1 is unlimited."""
    return -1 if limit >= UNLIMITED else int(limit)


def mib(rate: float | None) -> float | None:
    """Return a rate in MiB/s, to two decimals; None if it has no bound."""
    return None if rate is None or not math.isfinite(rate) or rate >= UNLIMITED else round(rate / MIB, 2)


def words(rate: float) -> str:
    """Return a rate with its unit."""
    return "unlimited" if rate >= UNLIMITED else format_speed(int(rate))
