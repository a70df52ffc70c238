"""Notice that two names stand for the same qBittorrent: each of its torrents would count twice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, islice
from typing import Final

from qguardarr.core.model import Torrent
from qguardarr.core.reconcile.registry import TorrentRegistry

SURE: Final = 5
"""Copies of the counters one after another that are alike in both. Those of two qBittorrents may be once: the same
torrent under the same limit, counted in blocks."""
LOOKED_AT: Final = 50
"""Torrents that are compared each time: of the same qBittorrent, all are alike."""


class Twins:
    """Compares torrents that upload."""

    def __init__(self) -> None:
        self._alike: dict[tuple[str, str], set[int]] = {}
        """Sums of the counters that were alike, since one was not, by the names of two."""

    def found(self, registries: Sequence[TorrentRegistry]) -> tuple[str, str] | None:
        """Return the names of two that are the same, if that is known by now. `registries`: those read just now."""
        for one, other in combinations(registries, 2):
            alike = self._alike.setdefault((one.instance, other.instance), set())
            pairs = list(islice(_common(one, other), LOOKED_AT))
            if any(not _are_alike(mine, its) for mine, its in pairs):
                alike.clear()
            elif pairs:
                alike.add(sum(mine.uploaded for mine, _ in pairs))
            if len(alike) >= SURE:
                return one.instance, other.instance
        return None


def twin_words(first: str, second: str) -> str:
    """Say that two are the same, and what to do."""
    return (
        f"qBittorrent {second!r} is the same as {first!r}: its torrents count twice, and half of each cap is unused. "
        f"Run `qguardarr rollback --instance {second}`, take {second!r} out of the configuration, and restart."
    )


def _common(one: TorrentRegistry, other: TorrentRegistry) -> Iterator[tuple[Torrent, Torrent]]:
    flowing = other.uploads.flowing
    for hash_, state in one.uploads.flowing.items():
        if (twin := flowing.get(hash_)) is not None:
            yield state.torrent, twin.torrent


def _are_alike(one: Torrent, other: Torrent) -> bool:
    fields = ("uploaded", "uploaded_ever", "added_on", "active_s", "downloading")
    return all(getattr(one, field) == getattr(other, field) for field in fields)
