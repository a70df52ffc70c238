"""Refuse to take limits that look like Qguardarr's own for the person's, when the journal does not know of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from qguardarr.core.model import UNLIMITED
from qguardarr.core.reconcile.registry import TorrentRegistry
from qguardarr.core.reconcile.signature import looks_like_ours, may_be_ours
from qguardarr.engine.ports import Journal
from qguardarr.errors import JournalError

LEAST: Final = 5
"""Fewer may be a coincidence: people type odd numbers, too."""


def refuse_limits_of_ours(limits: Iterable[int], *, least: int = LEAST, marks_only: bool = False) -> None:
    """Raise `JournalError` if these limits (bytes/s or UNLIMITED) were probably written by Qguardarr.

    That is so if at least `least` of them carry its mark, or LEAST of them may have been computed (earlier versions set
    no mark) and are not all the same, as a person's would be; and these are most of those that are limited.
    `marks_only`: the journal knows others, so it is an older one of this version, and what carries no mark is the
    person's.
    """
    limited = [limit for limit in limits if limit < UNLIMITED]
    marked = list(filter(looks_like_ours, limited))
    computed = list(filter(may_be_ours, limited))
    signs = [(marked, least)] if marks_only or len(set(computed)) < 2 else [(marked, least), (computed, LEAST)]
    ours = next((len(found) for found, needed in signs if len(found) >= needed and 2 * len(found) > len(limited)), 0)
    if not ours:
        return
    if marks_only:
        raise JournalError(
            f"the journal is older than the last one in use: it does not know {ours} torrents with limits in "
            "qBittorrent that look like Qguardarr's own. Nothing is written",
            hint="bring the newer journal back; or have `qguardarr rollback` restore what this one knows, and then, if "
            "the limits left in force are to count as your own, `qguardarr begin-anew`",
        )
    raise JournalError(
        f"the journal knows of no limit, but {ours} of {len(limited)} limits in qBittorrent look like Qguardarr's "
        "own, so it is not the journal that they were written with, and nothing is written",
        hint="name that journal in rollback.database_path, or `qguardarr restore FILE` from a backup; or, if the "
        "limits in force are to count as your own from now on, `qguardarr begin-anew`",
    )


class JournalTrust:
    """Whether the journal is known to be the one that the limits in force were written with."""

    def __init__(self, registry: TorrentRegistry, journal: Journal) -> None:
        self._registry = registry
        self._journal = journal
        self._trusted = False

    def check(self, *, writes: bool) -> None:
        """Raise `JournalError` if it is not: our own limits would be taken for originals.

        `writes`: limits are about to be written; else it is enough that the journal does not say so itself.
        """
        if self._trusted:
            return
        problem = self._journal.holding()
        if problem:
            raise JournalError(problem)
        if self._journal.has_begun():
            self._trusted = True
        elif writes:
            unknown = [state.torrent.up_limit for state in self._registry.states() if not state.ours]
            refuse_limits_of_ours(unknown, marks_only=len(unknown) < len(self._registry))
            self._trusted = self._registry.loaded
