"""What people use now and then: the editor of the configuration, trials, lists of trackers and torrents."""

from __future__ import annotations

from typing import Protocol

from qguardarr.engine.editing import ConfigEditor
from qguardarr.engine.hosts import Hosts
from qguardarr.engine.probes import Probes
from qguardarr.engine.torrent_browser import TorrentBrowser


class Workshop(Protocol):
    """Loads each part when it is first asked for."""

    @property
    def editor(self) -> ConfigEditor:
        """Edits the configuration file."""
        ...

    @property
    def probes(self) -> Probes:
        """Tries connections and notifications."""
        ...

    @property
    def hosts(self) -> Hosts:
        """Lists trackers that qBittorrent knows."""
        ...

    @property
    def browser(self) -> TorrentBrowser:
        """Shows long lists of torrents, and one of them closely."""
        ...
