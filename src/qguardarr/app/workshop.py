"""The parts that people use now and then. Each is loaded when it is first asked for, so that the daemon stays small."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Final

from qguardarr.app.parts import Connections
from qguardarr.app.settings import python_command
from qguardarr.engine.commands import Commands
from qguardarr.engine.controller import Controller
from qguardarr.engine.everywhere import Everywhere
from qguardarr.engine.names import Names
from qguardarr.engine.settings import Settings
from qguardarr.engine.status import State, Status
from qguardarr.engine.torrent_list import TorrentQuery
from qguardarr.errors import QguardarrError, Unreachable
from qguardarr.features.feature import Commit, Feature

if TYPE_CHECKING:
    from qguardarr.adapters.trial_search import TrialSearch
    from qguardarr.app.editor import Editor
    from qguardarr.app.probes import Prober
    from qguardarr.engine.hosts import Hosts
    from qguardarr.engine.torrent_browser import TorrentBrowser

CYCLE_S: Final = 15.0
"""Longest that a list of trackers waits for a cycle, which reads the torrents that there are."""


class LateWorkshop(Feature):
    """Implements `Workshop`. For any thread."""

    name = "workshop"

    def __init__(
        self,
        settings: Settings,
        config_path: Path,
        controller: Controller,
        connections: Connections,
        everywhere: Everywhere,
        commands: Commands,
        names: Names,
        torrents: TorrentQuery,
        reload: Callable[[], Future[QguardarrError | None]],
        writing: threading.Lock,
    ) -> None:
        self._settings = settings
        self._path = config_path
        self._controller = controller
        self._connections = connections
        self._everywhere = everywhere
        self._commands = commands
        self._names = names
        self._torrents = torrents
        self._reload = reload
        self._writing = writing
        self._loading = threading.Lock()
        self._editor: Editor | None = None
        self._probes: Prober | None = None
        self._hosts: Hosts | None = None
        self._browser: TorrentBrowser | None = None

    def prepare(self, settings: Settings) -> Commit:
        def commit() -> None:
            self._settings = settings

        return commit

    def on_cycle(self, status: Status) -> None:
        """Let go of what nobody has looked at for a while."""
        if self._hosts is not None:
            self._hosts.forget()
        if self._browser is not None:
            self._browser.on_cycle(status.at)

    @property
    def editor(self) -> Editor:
        """Edits the configuration file."""
        from qguardarr.app.editor import Editor  # noqa: PLC0415

        with self._loading:
            if self._editor is None:
                self._editor = Editor(
                    self._path,
                    settings=lambda: self._settings,
                    commands=self._commands,
                    client=lambda name: self._connections.clients[name],
                    names=self._names.of,
                    reload=self._reload,
                    writing=self._writing,
                    paused=lambda: self._controller.snapshot.state is State.PAUSED,
                    search=_search,
                )
            return self._editor

    @property
    def probes(self) -> Prober:
        """Tries connections and notifications."""
        from qguardarr.app.probes import Prober  # noqa: PLC0415

        with self._loading:
            if self._probes is None:
                self._probes = Prober(
                    lambda: self._settings,
                    lambda: {name: client.logins for name, client in self._connections.clients.items()},
                )
            return self._probes

    @property
    def hosts(self) -> Hosts:
        """Lists trackers that qBittorrent knows."""
        from qguardarr.engine.hosts import Hosts  # noqa: PLC0415

        with self._loading:
            if self._hosts is None:
                self._hosts = Hosts(lambda: self._everywhere, lambda: self._controller.policy, self._hashes, _search)
            return self._hosts

    @property
    def browser(self) -> TorrentBrowser:
        """Shows long lists of torrents, and one of them closely."""
        from qguardarr.engine.all_names import AllNames  # noqa: PLC0415
        from qguardarr.engine.torrent_browser import TorrentBrowser  # noqa: PLC0415

        with self._loading:
            if self._browser is None:
                names = AllNames(lambda: self._everywhere, self._known)
                self._browser = TorrentBrowser(self._torrents, names, lambda name: self._connections.clients[name])
            return self._browser

    def _hashes(self, fresh: bool) -> list[str]:
        """Return all torrents. Wait for a cycle if they are to be fresh. Raises `ClientError`, `Busy`."""
        registries = [one.registry for one in self._controller.instances.all]
        if fresh or not any(registry.loaded for registry in registries):
            if len(registries) == 1:
                self._connections.first.preferences([])  # to tell what is wrong, if something is
            self._controller.next_cycle(CYCLE_S)
        if not any(registry.loaded for registry in registries):
            raise Unreachable("qBittorrent has not been read yet")
        return list(self._known())

    def _known(self) -> Iterator[str]:
        """Yield all torrents; one that several qBittorrents have once."""
        registries = [one.registry for one in self._controller.instances.all]
        for place, registry in enumerate(registries):
            for hash_ in registry.hashes():
                if not any(hash_ in other for other in registries[:place]):
                    yield hash_


def _search() -> TrialSearch:
    from qguardarr.adapters.trial_search import TrialSearch  # noqa: PLC0415

    return TrialSearch(python_command("qguardarr.adapters.backtrack_child"))
