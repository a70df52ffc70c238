"""Numbers as text, and texts from outside made fit for a terminal."""

from __future__ import annotations

import time
from typing import Final

from rich.cells import cell_len

from qguardarr.core.units import format_speed
from qguardarr.printable import printable

LONGEST: Final = 300
"""Columns that a text from outside, such as a reason, may take in a sentence of ours."""
_CHARACTERS_PER_COLUMN: Final = 4
"""A name of a thousand accents on one letter takes one column, and a screen to read."""


def speed(bytes_per_s: float | None) -> str:
    """Return a speed as text. None is unlimited."""
    return "unlimited" if bytes_per_s is None else format_speed(bytes_per_s)


def counted(number: int, one: str, many: str | None = None) -> str:
    """Return `1 torrent` or `2 torrents`; `many` is the plural if it is not `one` with an s."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def duration(seconds: float) -> str:
    """Return seconds as `45 s`, `12 min`, `3.5 h` or `2.1 days`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} days"


def moment(unix_s: float) -> str:
    """Return the local date and time of a Unix time."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(unix_s))


def clean(text: str, width: int | None = None) -> str:
    """Return a text that is fit for a terminal, cut to `width` columns."""
    shown = printable(text)
    if width is None or (len(shown) <= _CHARACTERS_PER_COLUMN * width and cell_len(shown) <= width):
        return shown
    used, kept = 0, 0
    for sign in shown[: _CHARACTERS_PER_COLUMN * width - 1]:
        used += cell_len(sign)
        if used > width - 1:
            break
        kept += 1
    return shown[:kept] + "…"
