"""Time zones: by IANA name, or that of this machine."""

from __future__ import annotations

import os
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Final

_MACHINE: Final = Path("/etc/localtime")


def zone_of(name: str) -> tzinfo:
    """Return an IANA time zone; that of this machine for an empty name. ValueError if it is not known here.

    UTC if the machine has none.
    """
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError  # noqa: PLC0415 # 0.4 MB, for those who use it

    try:
        if name:
            return ZoneInfo(name)
        given = os.environ.get("TZ", "").removeprefix(":")
        if given:
            return ZoneInfo(given)
        with _MACHINE.open("rb") as file:
            return ZoneInfo.from_file(file, key="local")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        if name:
            raise ValueError(f"{name!r} is no time zone that this machine knows") from None
        return UTC
