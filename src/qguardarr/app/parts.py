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
from qguardarr.engine.settings import Settings
from qguardarr.engine.status import Status
from qguardarr.errors import ConfigError
from qguardarr.features.feature import Commit, Feature


def new_client(settings: Settings, progress: Callable[[], None]) -> QBittorrentClient:
    """Return a client that is not connected yet. `progress` is called when a request begins and ends. `ConfigError`."""
    try:
        return QBittorrentClient(settings.connection, progress)
    except (ValueError, OSError) as error:  # a certificate file that is none, for example
        raise ConfigError(f"qbittorrent: {error}") from None


class Connection(Feature):
    """The client in use. Another one takes its place when the settings of the connection change."""

    name = "qBittorrent"

    def __init__(
        self, settings: Settings, client: QBittorrentClient, controller: Controller, progress: Callable[[], None]
    ) -> None:
        self.client = client
        self._settings = settings.connection
        self._controller = controller
        self._progress = progress
        self._prepared: QBittorrentClient | None = None

    def prepare(self, settings: Settings) -> Commit:
        if settings.connection == self._settings:
            return super().prepare(settings)
        self._prepared = new_client(settings, self._progress)
        return lambda: self._swap(settings)

    def abandon(self) -> None:
        if self._prepared is not None:
            self._prepared.close()
            self._prepared = None

    def _swap(self, settings: Settings) -> None:
        new, self._prepared = self._prepared, None
        assert new is not None
        self._settings = settings.connection
        new.follow(self.client)
        old, self.client = self.client, new
        self._controller.adopt_client(new)
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
