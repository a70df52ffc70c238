"""The HTTP API as a feature: it listens, moves to another address at a reload, and streams each status."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Final

import structlog

from qguardarr.api.app import build
from qguardarr.api.dependencies import ApiContext
from qguardarr.api.events import Events
from qguardarr.api.security.access import Access, check
from qguardarr.api.server import Server, listen
from qguardarr.engine.commands import Commands
from qguardarr.engine.ports import Completions, LimitHistory, MetricsPage, RateHistory
from qguardarr.engine.settings import ApiSettings, Settings
from qguardarr.engine.status import Status
from qguardarr.engine.torrent_list import TorrentQuery
from qguardarr.engine.triggers import Triggers
from qguardarr.errors import ConfigError, QguardarrError
from qguardarr.features.feature import Commit, Feature

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from qguardarr.api.server import Listening
    from qguardarr.engine.workshop import Workshop

LISTEN_AGAIN_S: Final = 5.0
"""Time between two tries to listen at an address that is taken."""
MOVE_S: Final = 12.0
"""Longer than a move to other settings takes."""

log = structlog.get_logger("qguardarr.features")


class HttpApi(Feature):
    """Serve the API in threads of its own."""

    name = "event stream"

    def __init__(
        self,
        settings: Settings,
        *,
        status: Callable[[], Status],
        torrents: TorrentQuery,
        commands: Commands,
        reload: Callable[[], Future[QguardarrError | None]],
        journal: LimitHistory,
        triggers: Triggers,
        completions: Completions,
        rates: RateHistory,
        metrics: MetricsPage,
        workshop: Workshop,
    ) -> None:
        """See `ApiContext`. Raises `ConfigError`."""
        self._settings = settings
        self._access = Access(settings.api, _key(settings))
        self._events = Events(status)
        self._server = Server(self._application)
        self._context: Callable[[ApiSettings], ApiContext] = lambda api: ApiContext(
            settings=api,
            access=self._access,
            events=self._events,
            status=status,
            torrents=torrents,
            commands=commands,
            reload=reload,
            configuration=lambda: self._settings.shown,
            origins=lambda: self._settings.origins,
            journal=journal,
            triggers=triggers,
            completions=completions,
            rates=rates,
            metrics=metrics,
            workshop=workshop,
        )
        self._mover: threading.Thread | None = None
        self._moving = threading.Lock()
        self._prepared: Listening | None = None
        self._socket_lock = threading.Lock()
        self._next_socket: Listening | None = None
        """Socket to listen on from the next move on."""
        self._problem = ""
        self._closed = False

    def start(self) -> None:
        self._try_to_listen()

    def prepare(self, settings: Settings) -> Commit:
        """Listen at the new address, if there is one, so that nothing can fail later."""
        check(settings.api, _key(settings))
        old, new = self._settings.api, settings.api
        if (new.host, new.port) != (old.host, old.port):
            if self._mover is not None:  # it may be about to give up the very address
                self._mover.join(MOVE_S)
            self._prepared = self._server.listen(new)
        return lambda: self._take_up(settings)

    def abandon(self) -> None:
        if self._prepared is not None:
            self._prepared.close()
            self._prepared = None

    def on_cycle(self, _status: Status) -> None:
        self._events.tick()

    def problems(self) -> Iterable[str]:
        return filter(None, [self._problem])

    def close(self) -> None:
        self._closed = True
        self._events.close()
        self._server.close()

    def _take_up(self, new: Settings) -> None:
        old, self._settings = self._settings, new
        listening, self._prepared = self._prepared, None
        if new.api == old.api:
            return
        with self._socket_lock:
            if listening is not None and self._next_socket is not None:
                self._next_socket.close()
            self._next_socket = listening or self._next_socket
        # In a thread of its own: the reload may have been asked for through the very server that is to end.
        self._mover = threading.Thread(target=self._serve_anew, name="move", daemon=True)
        self._mover.start()

    def _serve_anew(self) -> None:
        with self._moving:  # the last one to come finds the settings in force
            with self._socket_lock:
                settings, listening, self._next_socket = self._settings, self._next_socket, None
            if listening is None and not self._server.address:
                return  # a timer tries again to listen
            self._events.end_streams()
            self._serve(settings, listening)

    def _try_to_listen(self) -> None:
        """Serve with the settings in force unless it does already; if that fails, try again later."""
        with self._moving:
            if self._closed:
                return
            if not self._server.address:
                try:
                    listening = listen(self._settings.api)
                except ConfigError as error:
                    if not self._problem:
                        log.error("api_not_listening", reason=str(error), advice="caps are held all the same")
                    self._problem = str(error)
                    again = threading.Timer(LISTEN_AGAIN_S, self._try_to_listen)
                    again.daemon = True
                    again.start()
                    return
                self._serve(self._settings, listening)
            self._problem = ""

    def _serve(self, settings: Settings, listening: Listening | None) -> None:
        self._server.serve(settings.api, listening, between=lambda: self._access.adopt(settings.api, _key(settings)))
        self._problem = ""

    def _application(self, settings: ApiSettings) -> ASGIApp:
        return build(self._context(settings))


def _key(settings: Settings) -> str:
    """Return the API key in force; empty with `auth: none`."""
    return settings.api.api_key or ""
