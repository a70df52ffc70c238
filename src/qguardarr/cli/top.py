"""`top`: trackers, rates and caps, live in the terminal."""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import sys
import threading
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Annotated, Any, Final, Protocol

import typer

from qguardarr.cli.opening import config_at, journal_of, journal_path, no_journal
from qguardarr.cli.options import DEFAULT_CONFIG, ConfigPath
from qguardarr.cli.terminal import secret
from qguardarr.errors import ConfigError, QguardarrError

if TYPE_CHECKING:
    from pathlib import Path

    from qguardarr.cli.screen import Screen
    from qguardarr.cli.top_view import Seen, View
    from qguardarr.config import Config

LOOK_S: Final = 1.0
"""Time between two looks at the daemon."""
USAGE_S: Final = 60.0
"""The same between two questions about the usage of the month."""
TIMEOUT_S: Final = 5.0
MESSAGE_S: Final = 4.0
"""How long the outcome of a command is shown."""
KEY_VARIABLE: Final = "QGUARDARR_API_KEY"
_REASON: Final = "paused in qguardarr top"
_MOST_BYTES: Final = 16 * 1024 * 1024


def top(
    config: ConfigPath = DEFAULT_CONFIG,
    url: Annotated[
        str,
        typer.Option(
            help=f"Address of a daemon elsewhere, http://nas:8089; its key: {KEY_VARIABLE}, or it is asked for."
        ),
    ] = "",
) -> None:
    """Show trackers, rates and caps, live.

    Keys: q quits, p pauses, r resumes, s sorts, arrows scroll.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()) or os.environ.get("TERM", "dumb") in ("", "dumb"):
        raise ConfigError("top needs a terminal that can be redrawn", hint="`qguardarr status` prints the state once")
    source: Source = OverHttp(url, os.environ.get(KEY_VARIABLE) or secret("API key")) if url else Beside(config)
    from qguardarr.cli.screen import screen

    with screen() as terminal:
        _run(source, terminal)


class Source(Protocol):
    """Where the daemon is looked at and told to pause. Commands raise `QguardarrError`."""

    def look(self) -> Seen: ...

    def usage(self) -> dict[str, int]:
        """Return the bytes that each group uploaded this month, by id."""
        ...

    def set_paused(self, reason: str | None) -> None: ...


class Beside:
    """A daemon on this machine, by the files that it publishes. It is seen while its API is away, too."""

    def __init__(self, path: Path) -> None:
        self._config: Config = config_at(path, "rollback")
        self._journal = journal_path(self._config)

    def look(self) -> Seen:
        from qguardarr.adapters.statusfile import daemon_runs, read_status, status_path
        from qguardarr.cli.top_view import Seen

        try:
            return Seen(status=read_status(status_path(self._journal)), running=daemon_runs(self._journal))
        except QguardarrError as error:
            return Seen(problem=str(error))

    def usage(self) -> dict[str, int]:
        from qguardarr.adapters.sqlite.store import SqliteStore, store_path
        from qguardarr.engine.usage import this_month, usage
        from qguardarr.zones import zone_of

        path, name = store_path(self._config.rollback.database_path), self._config.global_.timezone
        if not path.exists():
            return {}
        zone = zone_of(name) if name else None
        with contextlib.closing(SqliteStore(path, is_guest=True)) as store:
            return {row.group: row.bytes for row in usage(store, None, *this_month(time.time(), zone), "month", zone)}

    def set_paused(self, reason: str | None) -> None:
        with journal_of(self._config, last_resort=reason is not None) as journal:
            if journal is None:
                raise no_journal(self._config)
            journal.set_paused(reason)


class OverHttp:
    """A daemon anywhere, by its API."""

    def __init__(self, url: str, key: str) -> None:
        if not url.startswith(("http://", "https://")):
            raise ConfigError("--url: must be an address", hint="write it like http://nas:8089")
        self._url, self._key = url.rstrip("/"), key.strip()
        # The key goes to this address alone: neither to a proxy of the environment nor where an answer points.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirects())

    def look(self) -> Seen:
        import msgspec

        from qguardarr.cli.top_view import Seen
        from qguardarr.engine.status import Status

        try:
            return Seen(status=msgspec.json.decode(self._ask("GET", "status"), type=Status), running=True)
        except msgspec.MsgspecError:
            return Seen(problem=f"{self._url} gives another answer than a Qguardarr of this version.")
        except QguardarrError as error:
            return Seen(problem=f"{error}. Trying again.")

    def usage(self) -> dict[str, int]:
        rows = json.loads(self._ask("GET", "usage?step=month"))["rows"]
        return {row["group"]: row["bytes"] for row in rows}

    def set_paused(self, reason: str | None) -> None:
        if reason is None:
            self._ask("POST", "resume")
        else:
            self._ask("POST", "pause", json.dumps({"reason": reason}).encode())

    def _ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        headers = {"X-Api-Key": self._key, "Accept": "application/json", "Content-Type": "application/json"}
        try:
            request = urllib.request.Request(  # noqa: S310 # http or https, see above
                f"{self._url}/api/v1/{path}", body, headers, method=method
            )
            with self._opener.open(request, timeout=TIMEOUT_S) as answer:
                found: bytes = answer.read(_MOST_BYTES)
                return found
        except urllib.error.HTTPError as error:
            error.close()
            reason = "the API key is wrong" if error.code == 401 else f"it answers with {error.code}"
        except (OSError, ValueError) as error:
            cause = getattr(error, "reason", error)
            reason = getattr(cause, "strerror", None) or "it gives no answer"
        raise QguardarrError(f"{self._url}: {reason}")


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_args: Any, **_rest: Any) -> None:
        return None


class _Watch:
    """Look at the daemon in a thread of its own, so that one that hangs does not hold up the keys."""

    def __init__(self, source: Source, terminal: Screen) -> None:
        from qguardarr.cli.top_view import Seen

        self.seen: Seen = Seen(problem="Looking …")
        self._source, self._terminal = source, terminal
        self._again = threading.Event()
        threading.Thread(target=self._run, name="look", daemon=True).start()

    def soon(self) -> None:
        self._again.set()

    def _run(self) -> None:
        import msgspec

        usage, asked_at = None, -math.inf
        while True:
            found = self._source.look()
            if found.status is None and self.seen.status is not None:  # what was known last stays
                found = msgspec.structs.replace(found, status=self.seen.status)
            if time.monotonic() - asked_at >= USAGE_S and found.status is not None:
                asked_at = time.monotonic()
                with contextlib.suppress(QguardarrError, LookupError, ValueError, TypeError):  # then without it
                    usage = self._source.usage()
            self.seen = msgspec.structs.replace(found, usage=usage)
            self._terminal.wake()
            self._again.wait(LOOK_S)
            self._again.clear()


def _run(source: Source, terminal: Screen) -> None:
    from qguardarr.cli.top_table import SORTS
    from qguardarr.cli.top_view import View, frame

    watch, view = _Watch(source, terminal), View()
    asking, message_until = False, 0.0
    while True:
        if not asking and view.message and time.monotonic() >= message_until:
            view.message = ""
        columns, rows = terminal.size()
        terminal.draw(frame(watch.seen, view, columns=columns, rows=rows, now=time.time(), plain=terminal.plain))
        key = terminal.key(LOOK_S)
        if asking and key:
            asking = False
            view.message = _told(source, _REASON) if key in "yY" else ""
            message_until = time.monotonic() + MESSAGE_S
            watch.soon()
        elif key in ("q", "Q", "\x04"):
            return
        elif key in ("p", "P"):
            asking, view.message = (
                True,
                "Pause? Limits stay as they are, and nothing is written until you resume. [y/n]",
            )
        elif key in ("r", "R"):
            view.message, message_until = _told(source, None), time.monotonic() + MESSAGE_S
            watch.soon()
        elif key in ("s", "S"):
            names = list(SORTS)
            view.sort, view.scroll = names[(names.index(view.sort) + 1) % len(names)], 0
        else:
            _scroll(view, key, rows)


def _scroll(view: View, key: str, rows: int) -> None:
    steps = {"up": -1, "k": -1, "down": 1, "j": 1, "page up": -(rows // 2), "page down": rows // 2}
    view.scroll += steps.get(key, 0)


def _told(source: Source, reason: str | None) -> str:
    """Pause or resume, and return the outcome in words."""
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # remarks would be drawn over
            source.set_paused(reason)
    except QguardarrError as error:
        return f"That did not work: {error}"
    return "Resumed: caps are held again from the next cycle on." if reason is None else "Paused."
