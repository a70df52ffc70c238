"""Remark where rules ask whether torrents are private of a qBittorrent that does not tell."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from qguardarr.core.model import Selector, TrackerClass

_TELLS_SINCE: Final = 5
"""Major version of qBittorrent from which on it tells."""
_MAJOR: Final = re.compile(r"v?(\d+)\.")


def private_unknown(rules: Iterable[TrackerClass], version: str | None, instance: str = "") -> list[str]:
    """Return a remark for each rule that asks in vain, in words.

    Args:
        version: of the qBittorrent, such as `v4.5.2`; None if it is not known.
        instance: its name; empty for the only one.
    """
    major = _MAJOR.match(version or "")
    if major is None or int(major[1]) >= _TELLS_SINCE:
        return []
    whose = f" at {instance!r}" if instance else ""
    begin = f"qBittorrent {version}{whose} does not tell which torrents are private (5.0 and newer do), so the rule"
    found = []
    for rule in rules:
        if not _asks(rule.where, instance):
            continue
        if rule.where.private is not None:
            found.append(f"{begin} {rule.id!r} takes none of its torrents")
        elif any(left_out.private is not None and _asks(left_out, instance) for left_out in rule.where.unless):
            found.append(f"{begin} {rule.id!r} leaves out all that may be")
    return found


def _asks(selector: Selector, instance: str) -> bool:
    """Return whether a selector is for the torrents of a qBittorrent."""
    return not selector.instance or instance in selector.instance
