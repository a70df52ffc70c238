"""The HTTP server, in a thread of its own. It moves to other settings, another address or port while it runs."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import structlog
from starlette.types import ASGIApp
from uvicorn.config import Config
from uvicorn.server import Server as UvicornServer

from qguardarr.api.protocol import BoundedProtocol
from qguardarr.engine.settings import ApiSettings
from qguardarr.errors import ConfigError

BACKLOG: Final = 512
END_S: Final = 1
"""Time for requests under way when the server ends."""
MOVE_END_S: Final = 5
"""The same when the server is set up again: one of the requests may have asked for that."""
JOIN_S: Final = 2.0
MOST_CONNECTIONS: Final = 200
"""Each may hold 96 KiB of a request."""

UNREAD_TIMEOUT_S: Final = 30.0
"""The kernel ends a connection whose client has taken nothing of an answer for this long."""
UNSENT_BYTES: Final = 16 * 1024
"""Bytes of an answer that the kernel takes beside those on their way. By itself it takes megabytes, and a client that
does not read is noticed only when those are full."""

ABSENT: Final = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
"""Errors of an address whose family this machine lacks: the others of the same name will do."""

log = structlog.get_logger("qguardarr.api")


class Listening:
    """The sockets at one address, or at all addresses of a host name."""

    def __init__(self, sockets: Sequence[socket.socket]) -> None:
        self.sockets = tuple(sockets)

    @property
    def port(self) -> int:
        port: int = self.sockets[0].getsockname()[1]
        return port

    def __str__(self) -> str:
        hosts = [one.getsockname()[0] for one in self.sockets]
        return " and ".join(f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}" for host in hosts)

    @property
    def host(self) -> str:
        """The first address, as it stands in a URL; empty if it stands for all addresses of this machine."""
        host: str = self.sockets[0].getsockname()[0]
        return "" if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host  # noqa: S104 # is compared

    def share(self, yes: bool) -> None:
        """Let another socket listen on the same port, if that socket agrees to it too."""
        for one in self.sockets:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, yes)

    def close(self) -> None:
        for one in self.sockets:
            one.close()


def page_address(listening: Listening | None, base_path: str) -> str:
    """Return the address of the dashboard for a person to open; empty if nothing listens."""
    if listening is None:
        return ""
    return f"http://{listening.host or '<this machine>'}:{listening.port}{base_path}/"


def listen(settings: ApiSettings, beside: Listening | None = None) -> Listening:
    """Listen at all addresses of a name, with `::` at IPv4, too. Raises `ConfigError`.

    `beside`: sockets of ours that listen on the same port and will be closed soon. Of 127.0.0.1 and 0.0.0.0, for
    example, only one can have the port unless both sockets agree to share it.
    """
    host, port = settings.host, settings.port
    sharing = [beside] if beside is not None else []
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for other in sharing:
            other.share(True)
        try:
            addresses = dict.fromkeys((family, address[0]) for family, _, _, _, address in found)
            listening = _bind(addresses, port, shared=bool(sharing))
        finally:
            for other in sharing:
                other.share(False)
        listening.share(False)
        return listening
    except (OSError, ValueError) as error:  # ValueError: a text that can be no host name
        # asyncio and `create_server` add the address to the text of the system
        reason = (getattr(error, "strerror", None) or "it is no name or address").partition(" (while")[0]
        raise ConfigError(
            f"the HTTP API cannot listen at {host} port {port}: {reason}",
            place="global.host, global.port",
            hint="choose another port, or end what uses it",
        ) from None


def _bind(addresses: Iterable[tuple[int, Any]], port: int, *, shared: bool) -> Listening:
    """Listen at each address; those of a family that this machine does not have are left out."""
    sockets: list[socket.socket] = []
    absent: OSError | None = None
    for family, host in addresses:
        both = family == socket.AF_INET6 and host == "::" and socket.has_dualstack_ipv6()
        try:
            sockets.append(
                socket.create_server(
                    (host, sockets[0].getsockname()[1] if sockets else port),
                    family=family,
                    backlog=BACKLOG,
                    reuse_port=shared,
                    dualstack_ipv6=both,
                )
            )
        except OSError as error:
            if error.errno not in ABSENT:
                Listening(sockets).close()
                raise
            absent = error
    for one in sockets:  # accepted ones inherit these
        # asyncio sets this only on sockets whose protocol number is spelled out, which those of create_server lack; a
        # head and a body that are written one after the other would take 40 ms on a connection that is used again.
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(1000 * UNREAD_TIMEOUT_S))
    if not sockets:
        raise absent or OSError(errno.EADDRNOTAVAIL, "it has no address")
    return Listening(sockets)


class _Uvicorn(UvicornServer):
    """End at once when told to. Uvicorn itself looks ten times a second, which takes a tenth of the daemon's CPU."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._loop: asyncio.AbstractEventLoop | None = None

    async def main_loop(self) -> None:
        self._told = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        while not await self.on_tick(0):  # renews the header `Date`
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._told.wait(), 1.0)

    def end(self) -> None:
        """Ask it to end, from any thread."""
        self.should_exit = True
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it has ended
                self._loop.call_soon_threadsafe(self._told.set)


class Server:
    """Serve one application after the other, on one `Listening` after the other."""

    def __init__(self, build: Callable[[ApiSettings], ASGIApp]) -> None:
        self._build = build
        self._moving = threading.Lock()
        self._listening: Listening | None = None
        self._server: _Uvicorn | None = None
        self._thread: threading.Thread | None = None

    @property
    def address(self) -> str:
        """Address `host:port` at which it listens; empty if it does not."""
        return "" if self._listening is None else str(self._listening)

    def listen(self, settings: ApiSettings) -> Listening:
        """Return sockets for the next `serve`; see the function `listen`."""
        with self._moving:
            here = self._listening
            return listen(settings, here if here is not None and here.port == settings.port else None)

    def serve(
        self,
        settings: ApiSettings,
        listening: Listening | None = None,
        *,
        between: Callable[[], None] = lambda: None,
    ) -> None:
        """Serve with these settings from now on, on `listening` or else on the present sockets.

        `between` is called when the old application has ended and the new one has not begun.
        """
        with self._moving:
            self._end_thread(MOVE_END_S)
            between()
            self._begin(settings, listening)
        from qguardarr.api.web import dashboard  # noqa: PLC0415 # loaded by now, with the application

        page = {"page": page_address(self._listening, settings.base_path)} if dashboard.is_built() else {}
        log.info("api_listens", address=self.address, **page)

    def _begin(self, settings: ApiSettings, listening: Listening | None) -> None:
        if listening is not None:
            if self._listening is not None:
                self._listening.close()
            self._listening = listening
        if self._listening is None:
            raise ValueError("there is no socket to listen on")
        config = Config(
            self._build(settings),
            http=BoundedProtocol,
            loop="asyncio",
            ws="none",
            lifespan="on",
            log_config=None,
            log_level="critical",  # defects are logged where they happen; all else is what callers do wrong
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=MOST_CONNECTIONS,
            backlog=BACKLOG,
        )
        self._server = _Uvicorn(config)
        arguments = {"sockets": [one.dup() for one in self._listening.sockets]}  # which it closes
        self._thread = threading.Thread(target=self._server.run, kwargs=arguments, name="api", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End serving; requests under way get a second."""
        with self._moving:
            self._end_thread(END_S)
            if self._listening is not None:
                self._listening.close()
                self._listening = None

    def _end_thread(self, grace_s: int) -> None:
        if self._server is not None and self._thread is not None:
            self._server.config.timeout_graceful_shutdown = grace_s
            self._server.end()
            self._thread.join(grace_s + JOIN_S)
            if self._thread.is_alive():
                self._server.force_exit = True
                self._thread.join(JOIN_S)
        self._server = self._thread = None
