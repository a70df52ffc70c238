"""Which secrets can be told from other text, so that they may be searched for in lines and taken out.

Taking out a short one or a common word would tear other sentences apart ("wrong user name" with the password "wrong"),
and so tell the password to whoever misses the word. Such secrets are protected by place alone: nothing puts them into a
message.
"""

from __future__ import annotations

from typing import Final

SHORTEST: Final = 8
"""Characters. qBittorrent itself asks for 6."""

COMMON_WORDS: Final = frozenset(
    {
        "computer", "configuration", "connection", "database", "download", "forwarded", "internet", "localhost",
        "password", "passwords", "qbittorrent", "qguardarr", "torrents", "trackers", "unlimited", "username",
    }
)  # fmt: skip
"""Of eight signs and more: popular as passwords, and words of our own messages and settings."""


def is_distinct(secret: str) -> bool:
    """Whether a text that holds `secret` can only mean it."""
    return len(secret) >= SHORTEST and secret.casefold() not in COMMON_WORDS
