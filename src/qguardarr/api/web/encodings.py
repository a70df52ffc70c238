"""Which compressed copies of a file a caller takes (RFC 9110, 12.5.3)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

_NEVER: Final = re.compile(r"\s*q\s*=\s*0(\.0*)?\s*", re.IGNORECASE)


def accepted(header: str, ours: Iterable[str]) -> list[str]:
    """Return the encodings among ours that an Accept-Encoding names, other than with `q=0`, in our order."""
    named = {}
    for part in header.split(","):
        name, _, weight = part.partition(";")
        named[name.strip().lower()] = not _NEVER.fullmatch(weight)
    return [encoding for encoding in ours if named.get(encoding, False)]
