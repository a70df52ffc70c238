"""Parts of the daemon around the engine that heed a reload and may have something to warn of, each a `Feature`."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator

from qguardarr.adapters import logs
from qguardarr.adapters.backtrack import Backtracker
from qguardarr.adapters.qbittorrent import QBittorrentClient
from qguardarr.adapters.redaction import Redactor
from qguardarr.app.state_files import Files
from qguardarr.engine.controller import Controller
from qguardarr.engine.settings import QBittorrentSettings, Settings
from qguardarr.engine.status import Status
from qguardarr.engine.unknown_private import private_unknown
from qguardarr.errors import ConfigError
from qguardarr.features.feature import Commit, Feature


def new_client(settings: QBittorrentSettings, progress: Callable[[], None]) -> QBittorrentClient:
    """Return a client that is not connected yet. `progress` is called when a request begins and ends. `ConfigError`."""
    try:
        return QBittorrentClient(settings, progress)
    except (ValueError, OSError) as error:  # a certificate file that is none, for example
        place = f"qbittorrent[{settings.name}]" if settings.name else "qbittorrent"
        raise ConfigError(f"{place}: {error}") from None


class Connections(Feature):
    """The clients in use. Another one takes the place of each whose settings change."""

    name = "qBittorrent"

    def __init__(self, settings: Settings, progress: Callable[[], None]) -> None:
        self.clients = {each.name: new_client(each, progress) for each in settings.connections}
        """By name of the qBittorrent, in the order of the file; the only one has none."""
        self.controller: Controller | None = None
        """To be told of other clients."""
        self._settings = settings.connections
        self._progress = progress
        self._prepared: dict[str, QBittorrentClient] = {}

    @property
    def first(self) -> QBittorrentClient:
        """The client of the first one, as a rule the only one."""
        return next(iter(self.clients.values()))

    def prepare(self, settings: Settings) -> Commit:
        if [each.name for each in settings.connections] != list(self.clients):
            reason = "other qBittorrents, or other names of them, take effect at a restart only"
            raise ConfigError(reason, place="qbittorrent", hint="restart Qguardarr, or put the old list back")
        before = {each.name: each for each in self._settings}
        for each in settings.connections:
            if each != before[each.name]:
                self._prepared[each.name] = new_client(each, self._progress)
        if not self._prepared:
            return super().prepare(settings)
        return lambda: self._swap(settings)

    def abandon(self) -> None:
        prepared, self._prepared = self._prepared, {}
        for client in prepared.values():
            client.close()

    def shut(self) -> None:
        """Give up all connections: calls that wait end."""
        for client in self.clients.values():
            client.close()

    def retry_login(self) -> None:
        """Log in again at the next call, wherever it was refused."""
        for client in self.clients.values():
            client.retry_login()

    def _swap(self, settings: Settings) -> None:
        prepared, self._prepared = self._prepared, {}
        self._settings = settings.connections
        for name, new in prepared.items():
            old = self.clients[name]
            new.follow(old)
            self.clients[name] = new
            if self.controller is not None:
                self.controller.adopt_client(new, name)
            old.close()


class JournalUpkeep(Feature):
    """How long the journal keeps things, and what a person should know of its file."""

    name = "journal"

    def __init__(self, files: Files, controller: Controller) -> None:
        self._files = files
        self._controller = controller

    def adopt(self, settings: Settings) -> None:
        upkeep = self._controller.upkeep
        upkeep.retention_s, upkeep.give_up_s = settings.retention_s, settings.give_up_s

    def problems(self) -> Iterable[str]:
        return filter(None, [self._files.warning])


class SlowPatterns(Feature):
    """Patterns that RE2 cannot take, and the process that searches for them. URLs are left out: they hold passkeys."""

    name = "patterns"

    def __init__(self, settings: Settings, backtracker: Backtracker, undecided: Callable[[], int]) -> None:
        """`undecided`: see `Selection`."""
        self._rules = settings.policy.classes
        self._backtracker = backtracker
        self._undecided = undecided

    def adopt(self, settings: Settings) -> None:
        self._rules = settings.policy.classes
        self._backtracker.forget()

    def problems(self) -> Iterator[str]:
        for rule in self._rules:
            if missed := self._backtracker.unanswered.get(rule.pattern, 0):
                yield (
                    f"trackers: the pattern of {rule.id!r} took too long on an announce URL ({missed} times), which "
                    "counts as not matching it; write it without look-around, back-references and possessive repeats"
                )
        if undecided := self._undecided():
            problem = self._backtracker.problem or "did not answer"
            yield (
                f"trackers: the process for patterns with look-around {problem}; until it answers, torrents keep the "
                f"rules and limits that they have ({undecided} wait, tried again each cycle)"
            )


class PrivateTorrents(Feature):
    """Rules that ask whether torrents are private of a qBittorrent that does not tell."""

    name = "selectors"

    def __init__(self, settings: Settings, connections: Connections) -> None:
        self._rules = settings.policy.classes
        self._connections = connections

    def adopt(self, settings: Settings) -> None:
        self._rules = settings.policy.classes

    def problems(self) -> Iterator[str]:
        for name, client in self._connections.clients.items():
            yield from private_unknown(self._rules, client.stats.server_version, name)


class LogFile(Feature):
    """Whether the log can be written."""

    name = "log"

    def problems(self) -> Iterable[str]:
        return filter(None, [logs.warning()])


class FrozenHeap(Feature):
    """Take the torrents out of garbage collection once they are known: they live on, and to search them is in vain."""

    name = "memory"

    def __init__(self) -> None:
        self._done = False

    def on_cycle(self, status: Status) -> None:
        if not self._done and status.torrents:
            self._done = True
            gc.collect()
            gc.freeze()


def prepare_logging(settings: Settings) -> Commit:
    """Open the log as the settings say (`ConfigError`), and return what takes it up."""
    return logs.prepare(Redactor(settings.secrets, username=settings.connection.username), settings.log)
