"""The daemon: `build` puts the parts together in order, `Daemon` runs them until a signal ends it.

The engine runs the cycles in a thread of its own. The main thread waits for signals (`sigwait`, so that no handler ever
runs in the middle of anything) and, when told to end, gives the engine a moment and then closes its connection. If even
that does not help, the process leaves all the same: the journal is written so that it may die at any point.

SIGTERM, SIGINT: end within 5 s; a second one: at once. SIGHUP: read the configuration again.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from qguardarr import __version__
from qguardarr.adapters import logs
from qguardarr.adapters.backtrack import Backtracker
from qguardarr.adapters.clock import SystemClock
from qguardarr.adapters.crossseed import CrossSeedForwarder
from qguardarr.adapters.metrics import Metrics
from qguardarr.adapters.notify import Notifier
from qguardarr.adapters.statusfile import StatusFile, read_status, status_path
from qguardarr.adapters.systemd import Systemd
from qguardarr.adapters.watch import FileWatch
from qguardarr.api.dependencies import ApiContext
from qguardarr.api.events import Events
from qguardarr.api.security.access import Access
from qguardarr.app.ending import end_engine, restore_originals
from qguardarr.app.http_api import HttpApi, key_of
from qguardarr.app.names import claim_names
from qguardarr.app.parts import (
    Connections,
    FrozenHeap,
    JournalUpkeep,
    LogFile,
    PrivateTorrents,
    SlowPatterns,
    prepare_logging,
)
from qguardarr.app.reload import Reloader
from qguardarr.app.settings import load_settings, python_command, with_kept_key
from qguardarr.app.state_files import Files
from qguardarr.app.status_board import StatusBoard
from qguardarr.app.workshop import LateWorkshop
from qguardarr.core.caps.chain import with_caps
from qguardarr.engine.commands import Commands
from qguardarr.engine.controller import Controller
from qguardarr.engine.everywhere import Everywhere
from qguardarr.engine.names import Names
from qguardarr.engine.rounds import Rounds
from qguardarr.engine.settings import Settings
from qguardarr.engine.status import Snapshot
from qguardarr.engine.torrent_list import TorrentQuery
from qguardarr.engine.usage_book import UsageBook
from qguardarr.errors import QguardarrError
from qguardarr.features.accounting import Accounting
from qguardarr.features.alerts import Alerts
from qguardarr.features.dry_run import DryRunFile
from qguardarr.features.feature_set import FeatureSet
from qguardarr.features.history import History
from qguardarr.features.learning import LearntMemory, NamedLearnt
from qguardarr.features.upkeep import StateLog, TemporaryCaps, WebhookQueue

SWITCH_S: Final = 0.0001
"""How long a thread may keep the interpreter while another waits for it. A cycle with 3,000 active torrents computes
for a twentieth of a second, and the webhook is to answer in milliseconds meanwhile; Python's default, 5 ms, would be
taken at each of its half a dozen system calls."""
OPEN_FILES: Final = 4096
"""Twice the number that the API may hold for a moment, and more; many systems allow 1024."""

_ENGINE: Final = "engine"
_END: Final = frozenset({signal.SIGTERM, signal.SIGINT})
_RELOAD: Final = signal.SIGHUP

log = structlog.get_logger("qguardarr.daemon")


def serve(config_path: Path, *, first_start: bool = False) -> int:
    """Hold caps until a signal ends it, and return the exit code. Raises `QguardarrError` if it cannot start.

    `first_start`: a missing configuration file is written.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {*_END, _RELOAD})  # before any thread, so that all inherit it
    sys.setswitchinterval(SWITCH_S)
    systemd = Systemd(os.environ, pid=os.getpid())
    _allow_open_files()
    watch = FileWatch(config_path)  # before the file is read, so that no change is missed
    settings = load_settings(config_path, first_start=first_start)
    if settings.file == "written":
        watch = FileWatch(config_path)  # the file that was just written is no change
    prepare_logging(settings)()
    logs.catch_uncaught()
    former = map(Path, settings.former_database_paths)
    with (
        contextlib.closing(systemd),
        contextlib.closing(Files(Path(settings.database_path), tuple(former))) as files,
    ):
        orderly = build(settings, config_path, files, watch, systemd).run()
        if not orderly:
            os._exit(1)  # waiting for the engine would be for ever
    return 0


def build(settings: Settings, config_path: Path, files: Files, watch: FileWatch, systemd: Systemd) -> Daemon:
    """Make all parts in order, each with what it needs. Nothing runs yet."""
    settings = with_kept_key(settings)
    prepare_logging(settings)()

    def progress() -> None:
        """Tell systemd that a request begins or ends. Those of the API say nothing about the engine."""
        if threading.current_thread().name == _ENGINE:
            systemd.pulse()

    systemd.allow_for(settings.longest_silence_s)
    clock = SystemClock(systemd.pulse, lambda: systemd.pulse_s)
    connections = Connections(settings, progress)
    claim_names(files.journal, files.store, settings.connections)
    backtracker = Backtracker(python_command("qguardarr.adapters.backtrack_child"))
    controller = connections.controller = Controller(
        connections.clients,
        files.journal,
        settings.policy,
        clock,
        retention_s=settings.retention_s,
        give_up_s=settings.give_up_s,
        backtrack=backtracker,
    )
    book = UsageBook(files.store, settled=False, earlier=lambda: read_status(status_path(Path(settings.database_path))))
    commands = Commands(controller, files.journal, lambda: connections.clients, settings.policy, files.store, book=book)
    forwarder = CrossSeedForwarder(files.store, settings.cross_seed)
    features = FeatureSet()
    board = StatusBoard(settings, config_path, files, controller, connections, commands, forwarder, features)
    metrics = Metrics(board.current)
    rounds: Rounds[QguardarrError | None] = Rounds()
    registries = controller.registries
    everywhere = Everywhere(lambda: connections.clients, registries)
    names = Names(lambda: everywhere)
    torrents = TorrentQuery(list(registries.values()), names.of)
    writing = threading.Lock()
    workshop = LateWorkshop(
        settings, config_path, controller, connections, everywhere, commands, names, torrents, rounds.ask, writing
    )
    status_file = StatusFile(files.status_path)
    context = ApiContext(
        settings=settings.api,
        access=Access(settings.api, key_of(settings)),
        events=Events(board.current),
        status=board.current,
        torrents=torrents,
        commands=commands,
        reload=rounds.ask,
        configuration=lambda: board.settings.shown,
        origins=lambda: board.settings.origins,
        journal=files.reading.of_all() if len(registries) > 1 else files.reading,
        triggers=controller.triggers,
        completions=forwarder,
        rates=files.store,
        usage=files.store,
        metrics=metrics,
        workshop=workshop,
    )
    features.register(
        StateLog(),
        board,
        connections,
        JournalUpkeep(files, controller),
        SlowPatterns(settings, backtracker, controller.undecided),
        PrivateTorrents(settings, connections),
        LogFile(),
        FrozenHeap(),
        Accounting(lambda: controller.instances.all, files.store, book),
        TemporaryCaps(commands),
        metrics,
        History(files.store),
        *(
            LearntMemory(registry, NamedLearnt(files.store, name) if name else files.store)
            for name, registry in registries.items()
        ),
        forwarder,
        WebhookQueue(controller.triggers),
        Alerts(settings, Notifier(python_command("qguardarr.adapters.notify_child"))),
        workshop,
        DryRunFile(settings, lambda: controller.decided),
        HttpApi(settings, context),
        status_file,
        systemd,
    )

    def after_reload() -> None:
        connections.retry_login()  # whoever asks has perhaps corrected something in qBittorrent
        controller.hurry()

    reloader = Reloader(
        settings,
        config_path,
        watch,
        features,
        board,
        rounds,
        writing,
        around=systemd.while_reloading,
        log_settings=lambda new: _announce(new, config_path, files),
        after=after_reload,
    )
    return Daemon(files, clock, backtracker, controller, connections, features, board, status_file, reloader, systemd)


@dataclass(eq=False)
class Daemon:
    """The running parts. `run` is called once, in the main thread, with the signals blocked."""

    files: Files
    clock: SystemClock
    backtracker: Backtracker
    controller: Controller
    connections: Connections
    features: FeatureSet
    board: StatusBoard
    status_file: StatusFile
    reloader: Reloader
    systemd: Systemd

    def __post_init__(self) -> None:
        self._stopping = threading.Event()
        self._engine = threading.Thread(target=self._run_engine, name=_ENGINE, daemon=True)

    def run(self) -> bool:
        """Run until a signal comes. False if the engine could not be ended: leave the process at once."""
        self.features.start()
        self.reloader.log_settings(self.reloader.settings)
        self._publish(self.controller.snapshot)
        self._engine.start()
        self.reloader.start()
        while (received := signal.sigwait({*_END, _RELOAD})) not in _END:
            self.reloader.ask()
        log.info("ending", signal=signal.Signals(received).name)
        self.systemd.stopping()
        self.reloader.close()
        orderly = end_engine(self._engine, self._tell_engine_to_end, self._close_connection)
        settings = self.reloader.settings
        if orderly and settings.restore_on_shutdown:
            restore_originals(settings, self.files.journal, self.systemd.pulse, _END)
        self.features.close()
        self.status_file.write(self.board.publish(self.controller.snapshot, ended_at=time.time()))
        log.info("ended", limits="restored" if settings.restore_on_shutdown else "kept")
        return orderly

    def _tell_engine_to_end(self) -> None:
        self._stopping.set()
        self.clock.wake()

    def _close_connection(self) -> None:
        self.connections.shut()
        self.backtracker.close()  # after the client: nothing matched from here on is written anywhere

    # -- in the engine's thread ---------------------------------------------------------------------------------------

    def _run_engine(self) -> None:
        try:
            self.controller.run(self._stopping.is_set, self._publish)
        finally:
            if not self._stopping.is_set():
                log.error("engine_ended", advice="a defect of Qguardarr; limits stay as they are")
                os.kill(os.getpid(), signal.SIGTERM)

    def _publish(self, snapshot: Snapshot) -> None:
        status = self.board.publish(snapshot)
        if snapshot.cycle:
            self.features.on_cycle(status)
        else:  # nothing has happened yet
            self.status_file.write(status)
            self.systemd.on_cycle(status)


def _announce(settings: Settings, config_path: Path, files: Files) -> None:
    """Log the settings in force, and what a person should know of them."""
    policy = settings.policy
    log.info(
        "serving",
        version=__version__,
        config=str(config_path),
        qbittorrent=", ".join(each.url for each in settings.connections),
        capped=sum(group.is_capped for group in with_caps(policy, [], 0.0).classes),
        interval_s=policy.interval_s,
        dry_run=policy.dry_run,
    )
    if settings.file == "written":
        log.info("first_start", wrote=str(config_path.absolute()), advice="it changes nothing in qBittorrent")
    if settings.file != "read" and any(held for _, held in files.journal.recall()):
        log.warning("configuration_missing", advice="the journal holds limits of an earlier one: put that back")
    for note in settings.notes:
        log.warning("configuration", note=note)


def _allow_open_files() -> None:
    """Leave the engine a descriptor for its next cycle, however many connections to the API are open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
