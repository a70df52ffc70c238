"""Tell which secrets can be distinguished from other text, so that a log may be searched for them.

Hiding a short secret or a common word would tear other sentences apart ("[hidden] user name" with the password
"wrong"), and so tell the password to anyone who misses the word. Such secrets are protected by place alone: no message
holds them.
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
"""Words of at least `SHORTEST` characters: popular passwords, and words of our own messages and settings."""


def is_distinct(secret: str) -> bool:
    """Tell whether a text that contains `secret` can only mean the secret."""
    return len(secret) >= SHORTEST and secret.casefold() not in COMMON_WORDS
