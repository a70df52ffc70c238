"""See that the journal's limits belong to qBittorrents that the configuration names."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from qguardarr.adapters.sqlite.journal import SqliteJournal
from qguardarr.adapters.sqlite.store import SqliteStore
from qguardarr.engine.settings import QBittorrentSettings
from qguardarr.errors import ConfigError, StoreError

log = structlog.get_logger("qguardarr.daemon")


def claim_names(journal: SqliteJournal, store: SqliteStore, connections: Sequence[QBittorrentSettings]) -> None:
    """Give what journal and store know under earlier names (`formerly`) to the present ones.

    Raises `ConfigError` if it then holds limits of a qBittorrent that is not configured: nobody would restore them, and
    they would be taken for a person's.
    """
    held = journal.instances()
    for each in connections:
        if each.formerly is not None:
            _rename_usage(store, each.formerly, each.name)
        if each.formerly is not None and each.formerly in held:
            journal.rename_instance(each.formerly, each.name)
            log.info("instance_renamed", before=each.formerly, name=each.name, torrents=held[each.formerly])
    names = {each.name for each in connections}
    for name, count in journal.instances().items():
        if name not in names:
            raise orphaned(name, count, connections)


def _rename_usage(store: SqliteStore, old: str, new: str) -> None:
    try:
        store.rename_instance(old, new)
    except StoreError as error:
        advice = "what it uploaded since the last copy of its counters is not counted"
        log.warning("usage_not_renamed", before=old, name=new, reason=str(error), advice=advice)


def orphaned(name: str, count: int, connections: Sequence[QBittorrentSettings]) -> ConfigError:
    """Return the error about limits of a qBittorrent that is not configured (any more)."""
    restore = "`qguardarr rollback`" if not name else f"`qguardarr rollback --instance {name}`"
    whom = f"the qBittorrent {name!r}" if name else "the qBittorrent that had no name"
    entry = "its entry" if any(each.name for each in connections) else "an entry of a list with it"
    if not name:
        entry = "the entry that is this one"
    reason = f"the journal holds limits of {count} torrents of {whom}, which is not in the file"
    hint = f'write `formerly: "{name}"` into {entry}, if it is there under another name; else put it back as it was, '
    named = name or "''"
    gone = f"`qguardarr forget --instance {named}` if it is gone for good"
    return ConfigError(reason, place="qbittorrent", hint=f"{hint}run {restore}, and then take it out; {gone}")
