"""Recognise torrents that come under another id, or come back.

A hybrid torrent that was added by a v1 magnet gets another id when its metadata arrives: its v2 hash in place of its v1
hash; our limit goes with it. 5.1 does not even say that the old id is gone.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import structlog

from qguardarr.core.model import UNLIMITED, Observation
from qguardarr.core.reconcile.ownership import Claim
from qguardarr.core.reconcile.registry import TorrentRegistry
from qguardarr.core.reconcile.signature import looks_like_ours
from qguardarr.engine.ports import Journal, TorrentClient

MOST_LOOKED_UP: Final = 1000
"""Torrents of the first list that are looked up because they may have had another id before."""

log = structlog.get_logger("qguardarr.controller")


def claims_at_start(
    registry: TorrentRegistry, journal: Journal, client: TorrentClient, seen: Observation
) -> Iterator[Claim]:
    """Return what the journal knows of the torrents of the first list, by their present ids."""
    _follow(registry, journal, client, seen, _perhaps_renamed(journal, seen))
    return _claims(journal, None)


def claims_of_new(
    registry: TorrentRegistry, journal: Journal, client: TorrentClient, seen: Observation
) -> Iterator[Claim]:
    """Return what the journal knows of torrents that are new.

    One that was deleted may be added again, with our limit or with one that its person gave it.
    """
    new = [hash_ for hash_ in seen.torrents if hash_ not in registry]
    if not new:
        return iter(())
    _follow(registry, journal, client, seen, [hash_ for hash_ in new if seen.torrents[hash_].up_limit < UNLIMITED])
    return _claims(journal, new)


def _claims(journal: Journal, hashes: Sequence[str] | None) -> Iterator[Claim]:
    return (Claim(found.hash, found.original, found.written, held) for found, held in journal.recall(hashes))


def _perhaps_renamed(journal: Journal, seen: Observation) -> Iterable[str]:
    """Return torrents of the first list that may have had another id before, if touched ones are missing from it.

    Those with a limit that is or may be ours come first, since a program may have set another meanwhile.
    """
    missing = [found.written for found, held in journal.recall() if held and found.hash not in seen.torrents]
    if not missing:
        return ()
    written = set(itertools.chain.from_iterable(missing))
    strangers = dict.fromkeys(seen.torrents)
    for found, held in journal.recall():
        if held:
            strangers.pop(found.hash, None)

    def is_unlikely(hash_: str) -> bool:
        limit = seen.torrents[hash_].up_limit
        return limit not in written and not looks_like_ours(limit)

    return sorted(strangers, key=is_unlikely)[:MOST_LOOKED_UP]


def _follow(
    registry: TorrentRegistry, journal: Journal, client: TorrentClient, seen: Observation, strangers: Iterable[str]
) -> None:
    """Have the journal know touched torrents by their present ids, which are among `strangers`."""
    looked_up = list(strangers)
    if not looked_up:
        return
    old_ids = {v1: new for new, v1 in client.v1_hashes(looked_up).items() if v1 and v1 != new}
    for old in journal.touched(list(old_ids)):
        new = old_ids[old]
        journal.renamed(old, new)
        registry.forget(old)
        seen.torrents.pop(old, None)
        client.request_full()
        log.info("torrent_renamed", old=old, torrent=new)
