"""The daemon: puts the parts together, and answers signals until it is told to end.

The engine runs the cycles in a thread of its own; the main thread waits for signals (`sigwait`, so that no handler ever
runs in the middle of anything) and, when told to end, gives the engine a moment and then wakes whatever call it is in.
If even that does not help, the process leaves all the same: the journal is written so that it may die at any point.
What runs beside the engine is in `features`. systemd hears from the engine's thread that it is alive.

SIGTERM, SIGINT: end within 5 s; once more: at once. SIGHUP: read the configuration again.
"""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import structlog

from qguardarr import __version__
from qguardarr.adapters import keys, logs
from qguardarr.adapters.backtrack import Backtracker
from qguardarr.adapters.clock import SystemClock
from qguardarr.adapters.qbittorrent import QBittorrentClient
from qguardarr.adapters.sqlite.journal_place import resolved
from qguardarr.adapters.statusfile import write_status
from qguardarr.adapters.systemd import Systemd
from qguardarr.adapters.watch import FileWatch
from qguardarr.app.features import Features
from qguardarr.app.settings import Settings, load_settings, python_command
from qguardarr.app.state_files import Files
from qguardarr.core.model import UNLIMITED
from qguardarr.engine import rollback
from qguardarr.engine.controller import Controller
from qguardarr.engine.rounds import Rounds
from qguardarr.engine.status import Snapshot, State, Status, overrun_troubles, tracker_row
from qguardarr.errors import ConfigError, QguardarrError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ENGINE_GRACE_S: Final = 2.0
"""How long a cycle may go on after the call to end."""
WAKE_GRACE_S: Final = 1.5
"""… and then, with its connection closed under it."""
RESTORE_STALL_S: Final = 4.0
"""`on_shutdown: restore` goes on for as long as originals come back, and gives up after this long without any."""

SWITCH_S: Final = 0.0001
"""How long a thread may keep the interpreter while another waits for it. A cycle with 3,000 active torrents computes
for a twentieth of a second, and the webhook is to answer in milliseconds meanwhile; Python's default, 5 ms, would be
taken at each of its half a dozen system calls."""

OPEN_FILES: Final = 4096
"""Twice what the API may hold for a moment, and more; many systems allow 1024."""

_END: Final = frozenset({signal.SIGTERM, signal.SIGINT})
_RELOAD: Final = signal.SIGHUP

log = structlog.get_logger("qguardarr.daemon")


def serve(config_path: Path, *, first_start: bool = False) -> int:
    """Hold caps until a signal ends it; the process's exit code. Raises `QguardarrError` if it cannot start.

    `first_start`: a missing configuration file is written.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {*_END, _RELOAD})  # before any thread, so that all have it so
    sys.setswitchinterval(SWITCH_S)
    systemd = Systemd(os.environ, pid=os.getpid())
    _allow_open_files()
    watch = FileWatch(config_path)
    settings = load_settings(config_path, first_start=first_start)
    if settings.file == "written":
        watch = FileWatch(config_path)  # what was written is no change
    watch.also(map(Path, settings.secret_files))
    _prepare_logging(settings)()
    logs.catch_uncaught()
    former = map(Path, settings.former_database_paths)
    with (
        contextlib.closing(systemd),
        contextlib.closing(Files(Path(settings.database_path), tuple(former))) as files,
    ):
        daemon = Daemon(settings, config_path, files, watch, systemd)
        orderly = daemon.run()
        if not orderly:
            os._exit(1)  # the engine is stuck in a call that nothing wakes; waiting for it would be for ever
    return 0


class Daemon:
    """The running parts. `run` is called once, in the main thread, with the signals blocked."""

    def __init__(self, settings: Settings, config_path: Path, files: Files, watch: FileWatch, systemd: Systemd) -> None:
        """`watch`: made before `settings` were read from the file, so that no change is missed."""
        self._settings = settings
        self._config_path = config_path
        self._files = files
        self._systemd = systemd
        systemd.allow_for(settings.connection.timeout_s)
        self._clock = SystemClock(systemd.pulse, lambda: systemd.pulse_s)
        self._client = _new_client(settings, self._progress)
        self._backtracker = Backtracker(python_command("qguardarr.adapters.backtrack_child"))
        self._controller = Controller(
            self._client,
            files.journal,
            settings.policy,
            self._clock,
            retention_s=settings.retention_s,
            give_up_s=settings.give_up_s,
            backtrack=self._backtracker,
        )
        self._engine = threading.Thread(target=self._run_engine, name="engine", daemon=True)
        self._stopping = threading.Event()
        self._reloads: Rounds[QguardarrError | None] = Rounds()
        self._reload_error = ""
        self._requests = 0
        self._features = Features(
            settings,
            self._controller,
            files,
            lambda: self._client,
            look=self._look,
            reload=self._reloads.ask,
        )
        self._watch = watch
        self._status_trouble = ""
        self._next_step = ""
        self._started_at = time.time()
        self._state = State.STARTING
        self._settled_memory = False
        self._picture = self._status(self._controller.snapshot, None)

    def run(self) -> bool:
        """Until a signal ends it. False if the engine could not be ended: leave the process at once."""
        self._features.start()
        _prepare_logging(self._settings, self._features.key)()
        self._announce()
        self._publish(self._controller.snapshot)
        self._engine.start()
        threading.Thread(target=self._run_reloads, name="reload", daemon=True).start()
        self._watch.start(self._reloads.ask)
        while (received := signal.sigwait({*_END, _RELOAD})) not in _END:
            self._reloads.ask()
        log.info("ending", signal=signal.Signals(received).name)
        self._systemd.stopping()
        self._watch.close()
        orderly = self._end_engine()
        if orderly and self._settings.restore_on_shutdown:
            self._restore()
        self._features.close()
        self._publish(self._controller.snapshot, ended_at=time.time())
        log.info("ended", limits="restored" if self._settings.restore_on_shutdown else "kept")
        return orderly

    # -- another configuration, in a thread of its own ----------------------------------------------------------------

    def _run_reloads(self) -> None:
        """Read the configuration again whenever somebody has asked for it."""
        while True:
            self._reloads.wait()
            end_round = self._reloads.begin()
            self._systemd.reloading()
            failure = self._reload_or_say_why_not()
            self._systemd.reloaded()
            end_round(failure)

    def _reload_or_say_why_not(self) -> QguardarrError | None:
        """Read the configuration again, and take it up. Returns why nothing was changed; None if it was taken up."""
        failure: QguardarrError | None = None
        try:
            self._reload()
        except QguardarrError as error:
            failure = error
            log.error("reload_failed", advice="nothing was changed", faults=str(error))
        except Exception as error:
            log.exception("defect", part="reload")
            failure = ConfigError(f"internal error: {type(error).__name__}; see the log")
        self._reload_error = "" if failure is None else str(failure)
        self._client.retry_login()  # whoever asks for a reload has perhaps corrected something in qBittorrent
        self._controller.hurry()
        return failure

    def _reload(self) -> None:
        new = load_settings(self._config_path, first_start=self._settings.file == "absent")
        self._refuse_another_journal(Path(new.database_path))
        client = None
        with contextlib.ExitStack() as undo:
            if new.connection != self._settings.connection:
                client = _new_client(new, self._progress)
                undo.callback(client.close)
            take_up_sides, key = self._features.prepare(new, undo)
            take_up_logging = _prepare_logging(new, key)
            undo.pop_all()
        # From here on nothing can fail.
        take_up_logging()
        self._watch.also(map(Path, new.secret_files))
        self._backtracker.forget()
        self._settings = new
        if client is not None:
            client.follow(self._client)
            old, self._client = self._client, client
            self._controller.adopt_client(client)
            old.close()
        take_up_sides()
        upkeep = self._controller.upkeep
        upkeep.retention_s, upkeep.give_up_s = new.retention_s, new.give_up_s
        self._systemd.allow_for(new.connection.timeout_s)
        log.info("reloaded", file=str(self._config_path))
        self._announce()

    def _refuse_another_journal(self, path: Path) -> None:
        if resolved(path) != resolved(self._files.path):
            raise ConfigError(
                f"{self._config_path}: rollback.database_path: takes effect at a restart only. The journal in use "
                f"is {self._files.path}. hint: stop Qguardarr, move that file, all whose names begin so, and "
                f"{keys.FILE_NAME}, to {path.parent}, and start it again; or put the old path back"
            )

    # -- in the engine's thread ---------------------------------------------------------------------------------------

    def _run_engine(self) -> None:
        try:
            self._controller.run(self._stopping.is_set, self._publish)
        finally:
            if not self._stopping.is_set():
                log.error("engine_ended", advice="a defect of Qguardarr; limits stay as they are")
                os.kill(os.getpid(), signal.SIGTERM)

    def _progress(self) -> None:
        """A request begins or has ended. Those of the API say nothing of the engine."""
        if threading.current_thread() is self._engine:
            self._systemd.pulse()

    def _publish(self, snapshot: Snapshot, ended_at: float | None = None) -> None:
        self._note_state(snapshot)
        self._picture = status = self._status(snapshot, ended_at)
        if ended_at is None and snapshot.cycle:
            self._features.after_cycle(snapshot, status)
        try:
            write_status(self._files.status_path, status)
        except OSError as error:
            if not self._status_trouble:
                log.warning("status_not_written", file=str(self._files.status_path), reason=error.strerror)
            reason = error.strerror or "unknown reason"
            self._status_trouble = (
                f"`qguardarr status` sees old figures: {self._files.status_path} cannot be written: {reason}"
            )
        else:
            self._status_trouble = ""
        if ended_at is None:
            self._systemd.after_cycle(snapshot)

    def _note_state(self, snapshot: Snapshot) -> None:
        step = self._settings.next_steps.left(snapshot, answered=self._client.stats.server_version is not None)
        if step and step != self._next_step:
            log.info("next_step", advice=step)
        self._next_step = step
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
        self._backtracker.close()  # after the client: what is matched from here on is written nowhere
        self._engine.join(WAKE_GRACE_S)
        if self._engine.is_alive():
            log.error("engine_stuck")
            return False
        return True

    def _restore(self) -> None:
        """Put originals back in a thread of its own, for as long as it gets on and no further signal comes."""
        client = _new_client(self._settings, self._systemd.pulse)
        task = _Restoring(
            lambda progress: rollback.reset(client, self._files.journal, progress=progress, lock_timeout_s=2.0)
        )
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
        if self._settings.file == "written":
            log.info("first_start", wrote=str(self._config_path.absolute()), advice="it changes nothing in qBittorrent")
        if self._settings.file != "read" and any(held for _, held in self._files.journal.recall()):
            log.warning("configuration_missing", advice="the journal holds limits of an earlier one: put that back")
        for note in self._settings.notes:
            log.warning("configuration", note=note)

    def _look(self) -> Status:
        """The last cycle's picture, with what goes on meanwhile as it is now. From any thread."""
        return msgspec.structs.replace(
            self._picture,
            troubles=self._troubles(self._picture),
            reload_error=self._reload_error,
            webhook=self._controller.triggers.counts(),
            cross_seed=self._features.forwarder.counts(),
        )

    def _troubles(self, found: Snapshot | Status) -> tuple[str, ...]:
        refused = found.problem if found.state == State.HOLDING else ""  # a part of the plan
        own = (
            refused,
            found.foreign,
            *self._overruns,
            self._status_trouble,
            self._files.warning,
            logs.warning(),
            *self._slow_patterns(),
        )
        return (*self._features.troubles(), *(trouble for trouble in own if trouble))

    def _slow_patterns(self) -> Iterator[str]:
        """What the patterns that RE2 cannot take have done; the URLs are none of anybody's business."""
        for tracker in self._settings.policy.classes:
            if missed := self._backtracker.unanswered.get(tracker.pattern, 0):
                yield (
                    f"trackers: the pattern of {tracker.id!r} took too long on an announce URL ({missed} times), which "
                    "counts as not matching it; write it without look-around, back-references and possessive repeats"
                )
        if self._backtracker.problem:
            yield (
                f"trackers: the process for patterns with look-around {self._backtracker.problem}; "
                "they match nothing until the configuration is reloaded"
            )

    def _status(self, snapshot: Snapshot, ended_at: float | None) -> Status:
        stats, policy = self._client.stats, self._controller.registry.policy
        self._overruns = overrun_troubles(snapshot.trackers)
        requests = stats.reads + stats.writes
        configured = {tracker.id: tracker.cap for tracker in self._features.commands.file_policy.classes}
        overrides = self._features.commands.overrides
        rows = (
            tracker_row(
                tracker,
                configured=configured.get(tracker.report.id),
                override_until=o.until if (o := overrides.get(tracker.report.id)) is not None else None,
            )
            for tracker in snapshot.trackers
        )
        self._requests, cycle_calls = requests, max(0, requests - self._requests)
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
            journal_line=self._files.journal.newest_line,
            next_step=self._next_step,
            troubles=self._troubles(snapshot),
            config_path=str(self._config_path.absolute()),
            reload_error=self._reload_error,
            notes=self._settings.notes,
            interval_s=policy.interval_s,
            strategy=policy.strategy,
            dry_run=policy.dry_run,
            rollout_percentage=policy.rollout_percentage,
            cycle=snapshot.cycle,
            cycle_s=snapshot.cycle_s,
            cycle_calls=cycle_calls,
            failed_cycles=snapshot.failed_cycles,
            qbittorrent_url=self._settings.connection.url,
            qbittorrent_version=stats.server_version,
            webapi_version=stats.webapi_version,
            breaker=self._client.breaker_state,
            reads=stats.reads,
            writes=stats.writes,
            logins=stats.logins,
            bytes_received=stats.bytes_received,
            torrents=snapshot.torrents,
            limited=snapshot.limited,
            planned=snapshot.planned,
            deferred=snapshot.deferred,
            written_calls=snapshot.written_calls,
            written_limits=snapshot.written_limits,
            set_by_hand=snapshot.set_by_hand,
            login_pause=snapshot.login_pause,
            set_by_program=snapshot.set_by_program,
            foreign=snapshot.foreign,
            flushed=snapshot.flushed,
            trackers=tuple(rows),
            webhook=self._controller.triggers.counts(),
            cross_seed=self._features.forwarder.counts(),
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


def _allow_open_files() -> None:
    """Whoever opens many connections to the API must not leave the engine without a descriptor for its next cycle."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _new_client(settings: Settings, progress: Callable[[], None]) -> QBittorrentClient:
    try:
        return QBittorrentClient(settings.connection.settings(), progress)
    except (ValueError, OSError) as error:  # a certificate file that is none, for example
        raise ConfigError(f"qbittorrent: {error}") from None


def _prepare_logging(settings: Settings, key: str = "") -> Callable[[], None]:
    """`key`: the API's, which need not stand in the configuration. What is returned cannot fail."""
    redactor = logs.Redactor((*settings.secrets, *([key] if key else [])), username=settings.connection.username)
    target = settings.log
    return logs.prepare(
        redactor,
        level=target.level,
        style=target.style,
        file=None if target.file is None else Path(target.file),
        max_bytes=target.max_bytes,
        backup_count=target.backup_count,
    )
