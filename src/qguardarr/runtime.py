"""The daemon: puts the parts together, and answers signals until it is told to end.

Two threads. The engine runs the cycles; the main thread waits for signals (`sigwait`, so that no handler ever runs in
the middle of anything) and, when told to end, gives the engine a moment and then wakes whatever call it is in. If even
that does not help, the process leaves all the same: the journal is written so that it may die at any point.

SIGTERM, SIGINT: end within 5 s; once more: at once. SIGHUP: read the configuration again.
"""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

from qguardarr import __version__
from qguardarr.adapters import logs
from qguardarr.adapters.clock import SystemClock
from qguardarr.adapters.qbittorrent import QBittorrentClient
from qguardarr.adapters.statusfile import only_daemon, status_path, write_status
from qguardarr.core.model import UNLIMITED
from qguardarr.errors import ConfigError, QguardarrError
from qguardarr.service import rollback
from qguardarr.service.controller import Controller
from qguardarr.service.status import Snapshot, State, Status, tracker_row
from qguardarr.wiring import Settings, load_settings, open_journal

if TYPE_CHECKING:
    from collections.abc import Callable

    from qguardarr.adapters.journal import SqliteJournal

ENGINE_GRACE_S: Final = 2.0
"""How long a cycle may go on after the call to end."""
WAKE_GRACE_S: Final = 1.5
"""… and then, with its connection closed under it."""
RESTORE_STALL_S: Final = 4.0
"""`on_shutdown: restore` goes on for as long as originals come back, and gives up after this long without any."""

_END: Final = frozenset({signal.SIGTERM, signal.SIGINT})
_RELOAD: Final = signal.SIGHUP

log = structlog.get_logger("qguardarr.daemon")


def serve(config_path: Path) -> int:
    """Hold caps until a signal ends it; the process's exit code. Raises `QguardarrError` if it cannot start."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {*_END, _RELOAD})  # before any thread, so that all have it so
    settings = load_settings(config_path)
    _configure_logging(settings)
    database_path = Path(settings.database_path)
    with only_daemon(database_path):
        journal = open_journal(database_path)
        daemon = Daemon(settings, config_path, journal)
        orderly = daemon.run()
        if not orderly:
            os._exit(1)  # the engine is stuck in a call that nothing wakes; waiting for it would be for ever
        journal.close()
    return 0


class Daemon:
    """The running parts. `run` is called once, in the main thread, with the signals blocked."""

    def __init__(self, settings: Settings, config_path: Path, journal: SqliteJournal) -> None:
        self._settings = settings
        self._config_path = config_path
        self._journal = journal
        self._clock = SystemClock()
        self._client = _new_client(settings)
        self._controller = Controller(
            self._client, journal, settings.policy, self._clock, retention_s=settings.retention_s
        )
        self._engine = threading.Thread(target=self._run_engine, name="engine", daemon=True)
        self._stopping = threading.Event()
        self._reload_wanted = threading.Event()
        self._reload_error = ""
        self._status_path = status_path(Path(settings.database_path))
        self._status_failed = False
        self._started_at = time.time()
        self._state = State.STARTING
        self._settled_memory = False

    def run(self) -> bool:
        """Until a signal ends it. False if the engine could not be ended: leave the process at once."""
        self._announce()
        self._publish(self._controller.snapshot)
        self._engine.start()
        while (received := signal.sigwait({*_END, _RELOAD})) not in _END:
            self._reload_wanted.set()
            self._clock.wake()
        log.info("ending", signal=signal.Signals(received).name)
        orderly = self._end_engine()
        if orderly and self._settings.restore_on_shutdown:
            self._restore()
        self._publish(self._controller.snapshot, ended_at=time.time())
        log.info("ended", limits="restored" if self._settings.restore_on_shutdown else "kept")
        return orderly

    # -- in the engine's thread ---------------------------------------------------------------------------------------

    def _run_engine(self) -> None:
        try:
            self._controller.run(self._between_cycles, self._publish)
        finally:
            if not self._stopping.is_set():
                log.error("engine_ended", advice="a defect of Qguardarr; limits stay as they are")
                os.kill(os.getpid(), signal.SIGTERM)

    def _between_cycles(self) -> bool:
        """Take up a new configuration if one is asked for; True if it is time to end."""
        if self._reload_wanted.is_set() and not self._stopping.is_set():
            self._reload_wanted.clear()
            self._reload()
        return self._stopping.is_set()

    def _reload(self) -> None:
        try:
            new = load_settings(self._config_path)
            client = _new_client(new) if new.connection != self._settings.connection else None
            _configure_logging(new)
        except QguardarrError as error:
            self._reload_error = str(error)
            log.error("reload_failed", advice="nothing was changed", faults=str(error))
            return
        if new.database_path != self._settings.database_path:
            log.warning("restart_needed", setting="rollback.database_path", advice="it takes effect at the next start")
        self._reload_error = ""
        old, self._settings = self._settings, new
        if client is not None:
            self._client.close()
            self._client = client
            self._controller.adopt_client(client)
        else:
            self._client.reset_auth()
        if new.policy != old.policy:
            self._controller.adopt_policy(new.policy)
        self._controller.retention_s = new.retention_s
        log.info("reloaded", file=str(self._config_path))
        self._announce()

    def _publish(self, snapshot: Snapshot, ended_at: float | None = None) -> None:
        self._note_state(snapshot)
        try:
            write_status(self._status_path, self._status(snapshot, ended_at))
        except OSError as error:
            if not self._status_failed:
                log.warning("status_not_written", file=str(self._status_path), reason=error.strerror)
            self._status_failed = True
        else:
            self._status_failed = False

    def _note_state(self, snapshot: Snapshot) -> None:
        if snapshot.state is not self._state:
            self._state = snapshot.state
            if snapshot.state is not State.FAILING:  # the controller says why itself
                log.info(str(snapshot.state), torrents=snapshot.torrents, limited=snapshot.limited)
        if not self._settled_memory and snapshot.torrents:
            self._settled_memory = True
            gc.collect()
            gc.freeze()  # what is known of the torrents lives on; to look through it again and again is in vain

    # -- ending -------------------------------------------------------------------------------------------------------

    def _end_engine(self) -> bool:
        self._stopping.set()
        self._clock.wake()
        self._engine.join(ENGINE_GRACE_S)
        if self._engine.is_alive():
            log.info("cycle_abandoned", advice="whatever it has written is in the journal")
        self._client.close()
        self._engine.join(WAKE_GRACE_S)
        if self._engine.is_alive():
            log.error("engine_stuck")
            return False
        return True

    def _restore(self) -> None:
        """Put originals back in a thread of its own, for as long as it gets on and no further signal comes."""
        client = _new_client(self._settings)
        task = _Restoring(lambda progress: rollback.reset(client, self._journal, progress=progress, lock_timeout_s=2.0))
        while not task.done.is_set() and time.monotonic() - task.moved_at < RESTORE_STALL_S:
            if signal.sigtimedwait(_END, 0.1) is not None:
                break
        client.close()
        task.done.wait(1.0)
        if task.report is not None and not task.report.pending:
            log.info("restored", torrents=len(task.report.restored))
        else:
            problem = task.problem or "it took too long"
            log.error("not_all_restored", problem=problem, advice="run `qguardarr rollback` when qBittorrent is back")

    # -- what it says -------------------------------------------------------------------------------------------------

    def _announce(self) -> None:
        policy = self._settings.policy
        log.info(
            "serving",
            version=__version__,
            config=str(self._config_path),
            qbittorrent=self._settings.connection.url,
            capped=sum(1 for tracker in policy.classes if tracker.cap < UNLIMITED),
            interval_s=policy.interval_s,
            dry_run=policy.dry_run,
        )
        for note in self._settings.notes:
            log.warning("configuration", note=note)

    def _status(self, snapshot: Snapshot, ended_at: float | None) -> Status:
        stats, policy = self._client.stats, self._controller.fleet.policy
        return Status(
            pid=os.getpid(),
            version=__version__,
            started_at=self._started_at,
            at=snapshot.at,
            ended_at=ended_at,
            state=str(snapshot.state),
            problem=snapshot.problem,
            problem_kind=snapshot.problem_kind,
            problem_since=snapshot.problem_since or None,
            troubles=(),
            config_path=str(self._config_path.absolute()),
            reload_error=self._reload_error,
            notes=self._settings.notes,
            interval_s=policy.interval_s,
            strategy=policy.strategy,
            dry_run=policy.dry_run,
            rollout_percentage=policy.rollout_percentage,
            cycle=snapshot.cycle,
            cycle_s=snapshot.cycle_s,
            failed_cycles=snapshot.failed_cycles,
            qbittorrent_url=self._settings.connection.url,
            qbittorrent_version=stats.server_version,
            webapi_version=stats.webapi_version,
            breaker=self._client.breaker_state,
            reads=stats.reads,
            writes=stats.writes,
            logins=stats.auths,
            bytes_received=stats.bytes_received,
            torrents=snapshot.torrents,
            limited=snapshot.limited,
            planned=snapshot.planned,
            deferred=snapshot.deferred,
            written_calls=snapshot.written_calls,
            written_limits=snapshot.written_limits,
            set_by_hand=snapshot.set_by_hand,
            trackers=tuple(map(tracker_row, snapshot.trackers)),
        )


class _Restoring:
    """A restoring that runs in a thread of its own."""

    def __init__(self, restore: Callable[[rollback.Progress], rollback.RollbackReport]) -> None:
        self.done = threading.Event()
        self.moved_at = time.monotonic()
        self.report: rollback.RollbackReport | None = None
        self.problem = ""
        self._restore = restore
        threading.Thread(target=self._run, name="restore", daemon=True).start()

    def _run(self) -> None:
        try:
            self.report = self._restore(self._moved)
            self.problem = next(iter(self.report.failed.values()), "")
        except QguardarrError as error:
            self.problem = str(error)
        finally:
            self.done.set()

    def _moved(self, _done: int, _total: int) -> None:
        self.moved_at = time.monotonic()


def _new_client(settings: Settings) -> QBittorrentClient:
    try:
        return QBittorrentClient(settings.connection.settings())
    except (ValueError, OSError) as error:  # a certificate file that is none, for example
        raise ConfigError(f"qbittorrent: {error}") from None


def _configure_logging(settings: Settings) -> None:
    redactor = logs.Redactor(settings.secrets, username=settings.connection.username)
    target = settings.log
    logs.configure(
        redactor,
        level=target.level,
        style=target.style,
        file=None if target.file is None else Path(target.file),
        max_bytes=target.max_bytes,
        backup_count=target.backup_count,
    )
