"""Ask several qBittorrents as if they were one: each for the torrents that it has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from qguardarr.core.reconcile.registry import TorrentRegistry
from qguardarr.engine.ports import ListedTorrent
from qguardarr.errors import ClientError


class Asked(Protocol):
    """What front ends ask a qBittorrent for; see `TorrentClient` and `TorrentLister`."""

    def names(self, hashes: Sequence[str]) -> dict[str, str]: ...

    def listed(self, hashes: Iterable[str]) -> Iterator[ListedTorrent]: ...


class Everywhere:
    """Answers for all. One that is away is left out; `ClientError` if nothing can be told."""

    def __init__(self, clients: Callable[[], Mapping[str, Asked]], registries: Mapping[str, TorrentRegistry]) -> None:
        """`clients` returns those in use; both by name."""
        self._clients = clients
        self._registries = registries

    def names(self, hashes: Sequence[str]) -> dict[str, str]:
        """Return names by hash; see `TorrentClient.names`."""
        found: dict[str, str] = {}
        failed: ClientError | None = None
        clients = self._clients()
        for name, registry in self._registries.items():
            its = [hash_ for hash_ in hashes if hash_ not in found and hash_ in registry]
            try:
                found |= clients[name].names(its) if its else {}
            except ClientError as error:
                failed = error
        if failed is not None and not found:
            raise failed
        return found

    def listed(self, hashes: Iterable[str]) -> Iterator[ListedTorrent]:
        """Yield these torrents; see `TorrentLister.listed`."""
        clients, wanted = self._clients(), list(hashes)
        failed: ClientError | None = None
        came = False
        for name, registry in self._registries.items():
            its = [hash_ for hash_ in wanted if hash_ in registry]
            try:
                for torrent in clients[name].listed(its) if its else ():
                    came = True
                    yield torrent._replace(instance=name) if name else torrent
            except ClientError as error:
                failed = error
        if failed is not None and not came:
            raise failed
