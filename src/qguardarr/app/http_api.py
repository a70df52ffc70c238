"""The HTTP API as a feature: it listens, moves to another address at a reload, and streams each status."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import structlog

from qguardarr.api.app import build
from qguardarr.api.dependencies import ApiContext
from qguardarr.api.security.access import check
from qguardarr.api.server import Server, listen
from qguardarr.engine.settings import Settings
from qguardarr.engine.status import Status
from qguardarr.errors import ConfigError
from qguardarr.features.feature import Commit, Feature

if TYPE_CHECKING:
    from qguardarr.api.server import Listening

LISTEN_AGAIN_S: Final = 5.0
"""Time between two tries to listen at an address that is taken."""
MOVE_S: Final = 12.0
"""Longer than a move to other settings takes."""

log = structlog.get_logger("qguardarr.features")


class HttpApi(Feature):
    """Serve the API in threads of its own."""

    name = "event stream"

    def __init__(self, settings: Settings, context: ApiContext) -> None:
        self._settings = settings
        self._context = context
        self._server = Server(lambda api: build(replace(context, settings=api)))
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
        check(settings.api, key_of(settings))
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

    def on_cycle(self, status: Status) -> None:
        self._context.events.rates.add(status)
        self._context.events.tick()

    def problems(self) -> Iterable[str]:
        return filter(None, [self._problem])

    def close(self) -> None:
        self._closed = True
        self._context.events.close()
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
        self._mover = threading.Thread(target=self._serve_again, name="move", daemon=True)
        self._mover.start()

    def _serve_again(self) -> None:
        with self._moving:  # the last one to come finds the settings in force
            with self._socket_lock:
                settings, listening, self._next_socket = self._settings, self._next_socket, None
            if listening is None and not self._server.address:
                return  # a timer tries again to listen
            self._context.events.end_streams()
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
        self._server.serve(
            settings.api, listening, between=lambda: self._context.access.adopt(settings.api, key_of(settings))
        )
        self._problem = ""


def key_of(settings: Settings) -> str:
    """Return the API key in force; empty with `auth: none`."""
    return settings.api.api_key or ""
