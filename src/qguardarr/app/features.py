"""Everything that runs beside the engine: API, metrics, history, cross-seed, notifications, the watch on the file.

Whatever fails here is a trouble that is shown; caps are held all the same.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import structlog

from qguardarr.adapters.crossseed import CrossSeedForwarder
from qguardarr.adapters.keys import api_key
from qguardarr.adapters.metrics import Metrics
from qguardarr.adapters.notify import Notifier
from qguardarr.adapters.statusfile import replace_file
from qguardarr.api.app import build
from qguardarr.api.events import Events
from qguardarr.api.parts import ApiContext
from qguardarr.api.security.access import Access, check
from qguardarr.api.server import Server, listen
from qguardarr.app.settings import Settings, python_command
from qguardarr.app.state_files import Files
from qguardarr.core.model import UNLIMITED
from qguardarr.engine.commands import Commands
from qguardarr.engine.controller import Controller
from qguardarr.engine.learning import Learning
from qguardarr.engine.names import Names
from qguardarr.engine.torrent_list import TorrentQuery
from qguardarr.errors import ConfigError, StoreError
from qguardarr.features.alerts import Alerts
from qguardarr.features.history import RateRecorder

if TYPE_CHECKING:
    from concurrent.futures import Future

    from starlette.types import ASGIApp

    from qguardarr.api.server import Listening
    from qguardarr.engine.ports import TorrentClient
    from qguardarr.engine.settings import ApiSettings
    from qguardarr.engine.status import Snapshot, Status
    from qguardarr.errors import QguardarrError

LISTEN_AGAIN_S: Final = 5.0
"""An address that is taken is tried again so often."""
MOVE_S: Final = 12.0
"""Longer than it takes to serve anew."""
THIN_EVERY_S: Final = 600.0
STORE_TROUBLE_S: Final = 180.0
"""Longest that a trouble with the store is shown after its last occurrence; it is tried again each minute."""
REMEMBER_S: Final = 300.0
"""How long it is shown that something was lost for good."""

log = structlog.get_logger("qguardarr.features")


class Features:
    """Started once, told of each cycle, configured anew at each reload."""

    def __init__(
        self,
        settings: Settings,
        controller: Controller,
        files: Files,
        client: Callable[[], TorrentClient],
        *,
        look: Callable[[], Status],
        reload: Callable[[], Future[QguardarrError | None]],
    ) -> None:
        self._settings = settings
        self._controller = controller
        self._files = files
        self._store = files.store
        self.commands = Commands(controller, files.journal, client, settings.policy, self._store)
        self.forwarder = CrossSeedForwarder(self._store, settings.cross_seed)
        self.metrics = Metrics(look)
        self._alerts = Alerts(
            settings.notifications.events, settings.notifications.after_s, settings.notifications.repeat_s
        )
        self._notifier = Notifier(python_command("qguardarr.adapters.notify"))
        self._notifier.configure(settings.notifications.urls)
        self._recorder = RateRecorder()
        self._learning = Learning(controller.registry, self._store)
        self._learning.recall()
        self._events = Events(look)
        self._names = Names(client)
        self._access: Access | None = None
        self.key = self._key(settings)
        """The API key in force; empty with `auth: none`."""
        self._look, self._reload = look, reload
        self._server = Server(self._application)
        self._mover: threading.Thread | None = None
        self._moving = threading.Lock()
        self._api_lock = threading.Lock()
        """Guards what follows."""
        self._next_socket: Listening | None = None
        """Where to listen from the next move on."""
        self._api_trouble = ""
        self._store_trouble = ""
        self._store_failed_at = 0.0
        self._closed = False
        self._thinned_at = time.monotonic()
        self._dry_run_written: dict[str, int] | None = None
        self._dry_run_trouble = ""
        self._defects: dict[str, str] = {}
        self._logged_defects: set[str] = set()

    def start(self) -> None:
        """Begin to serve. An address that is taken is tried again."""
        self._access = Access(self._settings.api, self.key)
        self.forwarder.start()
        self._try_to_listen()

    def prepare(self, new: Settings, undo: contextlib.ExitStack) -> tuple[Callable[[], None], str]:
        """What may fail about new settings, now (`ConfigError`). `undo` is for when they are not taken up after all.

        Returns:
            What takes them up, and cannot fail; and the API key that will be in force.
        """
        old, listening = self._settings.api, None
        key = self._key(new)
        check(new.api, key)
        if (new.api.host, new.api.port) != (old.host, old.port):
            if self._mover is not None:  # perhaps it is about to give up the very address
                self._mover.join(MOVE_S)
            listening = self._server.listen(new.api)
            undo.callback(listening.close)
        return lambda: self._take_up(new, key, listening), key

    def _take_up(self, new: Settings, key: str, listening: Listening | None) -> None:
        old, self._settings = self._settings, new
        old_key, self.key = self.key, key
        self.commands.adopt_file(new.policy)
        self.forwarder.configure(new.cross_seed)
        self._alerts.configure(new.notifications.events, new.notifications.after_s, new.notifications.repeat_s)
        self._notifier.configure(new.notifications.urls)
        if new.notifications.urls and not old.notifications.urls:
            self._alerts.tell_anew()
        if new.api != old.api or key != old_key:
            with self._api_lock:
                if listening is not None and self._next_socket is not None:
                    self._next_socket.close()
                self._next_socket = listening or self._next_socket
            # In a thread of its own: the reload may have been asked for through the very server that is to end.
            self._mover = threading.Thread(target=self._serve_anew, name="move", daemon=True)
            self._mover.start()

    def _serve_anew(self) -> None:
        with self._moving:  # the last one to come finds the settings in force
            with self._api_lock:
                settings, listening, self._next_socket = self._settings.api, self._next_socket, None
            if listening is None and not self._server.address:
                return  # it is tried to listen again by and by
            self._events.end_streams()
            self._server.serve(settings, listening, between=lambda: self._adopt_access(settings))
            self._api_trouble = ""

    def _adopt_access(self, settings: ApiSettings) -> None:
        assert self._access is not None
        self._access.adopt(settings, self.key)

    def close(self) -> None:
        """End everything, within a few seconds."""
        self._closed = True
        self._events.close()
        self._server.close()
        self._notifier.close()
        self.forwarder.close()
        with contextlib.suppress(StoreError):
            for start, rows in self._recorder.flush().items():
                self._store.record(start, rows)
        self._learning.close()

    # -- after each cycle, in the engine's thread ---------------------------------------------------------------------

    def troubles(self) -> tuple[str, ...]:
        """What is wrong here now, in words. From any thread."""
        now, forwarder = time.monotonic(), self.forwarder.counts()
        found = [self._api_trouble, self._dry_run_trouble, self._notifier.problem, *self._defects.copy().values()]
        if now - self._store_failed_at < STORE_TROUBLE_S:
            found.append(self._store_trouble)
        if forwarder.problem and (forwarder.pending or now - self.forwarder.failed_at < REMEMBER_S):
            found.append(f"cross-seed: {forwarder.problem} ({forwarder.pending} completions wait)")
        if now - self.forwarder.dropped_at < REMEMBER_S:
            found.append("cross-seed: so many completions waited that it will never be told of some")
        if now - self._controller.triggers.dropped_at < REMEMBER_S:
            found.append("webhook: more events came than the queue holds; everything was looked at instead")
        return tuple(trouble for trouble in found if trouble)

    def after_cycle(self, snapshot: Snapshot, status: Status) -> None:
        """There is a new picture. Never raises: a part that fails is a trouble, and the others go on."""
        parts: dict[str, Callable[[], None]] = {
            "event stream": self._events.tick,
            "metrics": lambda: self.metrics.observe_cycle(snapshot.cycle_s),
            "temporary caps": self.commands.expire_overrides,
            "notifications": lambda: self._alert(status),
            "history of rates": lambda: self._keep(status),
            "file of the dry run": self._write_dry_run,
        }
        for name, part in parts.items():
            try:
                part()
            except Exception as error:
                defect = f"{name}: internal error ({type(error).__name__}); see the log"
                if defect not in self._logged_defects:
                    log.exception("defect", part=name)
                self._logged_defects.add(defect)
                self._defects[name] = defect
            else:
                self._defects.pop(name, None)

    def _alert(self, status: Status) -> None:
        notices = self._alerts.look(status, time.monotonic())
        if notices:
            self._notifier.send(notices)

    def _keep(self, status: Status) -> None:
        minutes = self._recorder.feed(status)
        try:
            for start, rows in minutes.items():
                self._store.record(start, rows)
                self._store_trouble = ""
            if minutes and time.monotonic() - self._thinned_at > THIN_EVERY_S:
                self._thinned_at = time.monotonic()
                self._store.thin(status.at)
            if minutes:  # the store is not asked for again for a minute: nobody waits for what is written beside
                self._learning.save_beside()
        except StoreError as error:
            trouble = f"the history of rates is not kept: {error}"
            if trouble != self._store_trouble:
                log.warning("history_not_kept", reason=str(error))
            self._store_trouble = trouble
            self._store_failed_at = time.monotonic()

    def _write_dry_run(self) -> None:
        """What a dry run would have written, for whoever wants to compare; -1 is unlimited."""
        policy, decided = self._controller.registry.policy, self._controller.decided
        if not policy.dry_run or decided is None:
            self._dry_run_written, self._dry_run_trouble = None, ""
            return
        limits = {change.hash: -1 if change.new >= UNLIMITED else change.new for change in decided.plan.changes}
        if limits == self._dry_run_written:
            return
        path = Path(self._settings.dry_run_path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, msgspec.json.encode(limits))
            self._dry_run_written, self._dry_run_trouble = limits, ""
        except OSError as error:
            reason = error.strerror or "unknown reason"
            self._dry_run_trouble = f"global.dry_run_store_path: {path} cannot be written: {reason}"

    # -- the API ------------------------------------------------------------------------------------------------------

    def _key(self, settings: Settings) -> str:
        return "" if settings.api.open else api_key(Path(settings.database_path).parent, settings.api.api_key)

    def _try_to_listen(self) -> None:
        """Serve with the settings in force, unless it does already; else again by and by, beside the engine's thread:
        a name may have to be looked up first."""
        with self._moving:
            if self._closed:
                return
            settings = self._settings.api
            if not self._server.address:
                try:
                    listening = listen(settings)
                except ConfigError as error:
                    if not self._api_trouble:
                        log.error("api_not_listening", reason=str(error), advice="caps are held all the same")
                    self._api_trouble = str(error)
                    again = threading.Timer(LISTEN_AGAIN_S, self._try_to_listen)
                    again.daemon = True
                    again.start()
                    return
                self._server.serve(settings, listening, between=lambda: self._adopt_access(settings))
            self._api_trouble = ""

    def _application(self, settings: ApiSettings) -> ASGIApp:
        assert self._access is not None
        return build(
            ApiContext(
                settings=settings,
                access=self._access,
                events=self._events,
                status=self._look,
                torrents=TorrentQuery(self._controller.registry, self._names),
                commands=self.commands,
                reload=self._reload,
                configuration=lambda: self._settings.shown,
                origins=lambda: self._settings.origins,
                journal=self._files.reading,
                triggers=self._controller.triggers,
                completions=self.forwarder,
                rates=self._store,
                metrics=self.metrics,
            )
        )
