"""The mark on limits that we write, by which another Qguardarr or one with a lost journal can tell them.

A marked limit is ≡ 11 (mod 16). That is an odd number, so nobody hits it who types KiB, kB or any other even number. It
costs at most 15 bytes/s, which is less than 0.4 % of the smallest limit that is marked.
"""

from __future__ import annotations

from typing import Final

from qguardarr.core.model import UNLIMITED

MARKED_FROM: Final = 4096
"""Smaller limits carry no mark, bytes/s: it would cost too much of them."""

_MODULUS: Final = 16
_REMAINDER: Final = 11


def looks_like_ours(limit: int) -> bool:
    """Return whether a limit (bytes/s or UNLIMITED) carries our mark. False for small limits, which carry none."""
    return MARKED_FROM <= limit < UNLIMITED and limit % _MODULUS == _REMAINDER


def may_be_ours(limit: int) -> bool:
    """Return whether a limit may have been computed: a weaker hint, for limits of versions that set no mark.

    People and other programs set multiples of 1000 or 1024 bytes/s.
    """
    return limit < UNLIMITED and limit % 1000 != 0 and limit % 1024 != 0


def marked(limit: int) -> int:
    """Return the largest marked limit at or below `limit` (bytes/s); `limit` itself if it is small or UNLIMITED."""
    if limit >= UNLIMITED:
        return limit
    below = limit - (limit - _REMAINDER) % _MODULUS
    return below if below >= MARKED_FROM else limit
