"""Real BitTorrent clients that download, each steered by its own interface and counting by itself.

    python -m lab.clients          # makes sure that all are installed

They run inside `lab.namespace`, each on an address of its own, and find qBittorrent by the lab's trackers.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import Final

from lab.clients.aria2 import Aria2
from lab.clients.base import Client
from lab.clients.qbittorrent import QBittorrentLeecher
from lab.clients.rtorrent import RTorrent
from lab.clients.transmission import Transmission
from lab.versions import install, locked

FAMILIES: Final[Mapping[str, type[Client]]] = {
    client.family: client for client in (Aria2, Transmission, QBittorrentLeecher, RTorrent)
}

__all__ = ["FAMILIES", "Client", "ensure"]


def ensure(family: str) -> None:
    """Install the client if it is missing; LabError says what to do if that takes root."""
    client = FAMILIES[family]
    if shutil.which(client.program) is None:
        with locked():
            install(client.package)
