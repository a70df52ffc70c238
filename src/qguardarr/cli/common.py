"""What the commands share: options, the configuration, connections, and ways to print."""

from __future__ import annotations

import contextlib
import sys
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from qguardarr.core.model import UNLIMITED
from qguardarr.core.units import format_speed
from qguardarr.errors import ConfigError

if TYPE_CHECKING:
    from qguardarr.adapters.backtrack import Backtracker
    from qguardarr.adapters.journal import SqliteJournal
    from qguardarr.adapters.qbittorrent import QBittorrentClient
    from qguardarr.config import Config
    from qguardarr.wiring import Connection

DEFAULT_CONFIG: Final = Path("config/qguardarr.yaml")
ConfigPath = Annotated[
    Path,  # `readable`: we say it better than Typer
    typer.Option("--config", "-c", envvar="QGUARDARR_CONFIG", readable=False, help="Configuration file."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]

_TALK_AFTER_S: Final = 2.0

known_secrets: list[str] = []
"""Of the configuration in use; hidden should an unexpected error be shown."""


# -- the configuration ------------------------------------------------------------------------------------------------


def config_at(path: Path, *sections: str) -> Config:
    """The configuration in a file. With `sections`, faults anywhere else are only mentioned: to see and to undo what
    was done must be possible with a file that is being edited."""
    from qguardarr.config import load

    try:
        config = load(path)
    except ConfigError as error:
        partial = _partial(path, sections) if sections else None
        if partial is None:
            raise
        say(f"note: {path} has faults (`qguardarr check` lists them): {str(error).splitlines()[0]}")
        config = partial
    _remember_secrets(config)
    return config


def _partial(path: Path, sections: Sequence[str]) -> Config | None:
    from qguardarr.config.sections import load_sections

    try:
        return load_sections(path, sections)
    except ConfigError:
        return None


def config_for(url: str, username: str | None, password: str | None, api_key: str | None) -> Config:
    """A configuration that only says how to reach qBittorrent."""
    from qguardarr.config import Config
    from qguardarr.config.sections import CATCH_ALL

    section = {"url": url, "username": username, "password": password, "api_key": api_key}
    given = {key: value for key, value in section.items() if value is not None}
    config = Config.model_validate({"qbittorrent": given, "trackers": CATCH_ALL})
    _remember_secrets(config)
    return config


def _remember_secrets(config: Config) -> None:
    from qguardarr.wiring import secrets_of

    known_secrets.extend(secrets_of(config))


# -- connections ------------------------------------------------------------------------------------------------------


def connection(config: Config) -> Connection:
    """How to reach the configured qBittorrent."""
    from qguardarr.wiring import connection_of

    return connection_of(config.qbittorrent, float(config.global_.cache_ttl_seconds))


@contextlib.contextmanager
def client_for(config: Config) -> Iterator[QBittorrentClient]:
    """A client for the configured qBittorrent."""
    quiet_logs()
    from qguardarr.adapters.qbittorrent import QBittorrentClient

    try:
        client = QBittorrentClient(connection(config).settings())
    except (ValueError, OSError) as error:
        raise ConfigError(f"qbittorrent: {error}") from None
    try:
        yield client
    finally:
        client.close()


def backtracker() -> Backtracker:
    """For patterns that are beyond RE2; its process, if it is needed, ends with this one."""
    from qguardarr.adapters.backtrack import Backtracker
    from qguardarr.wiring import python_command

    return Backtracker(python_command("qguardarr.adapters._backtrack_child"))


def journal_path(config: Config) -> Path:
    """Where the journal is: where the configuration says, or still where an earlier version kept it."""
    from qguardarr.adapters._journal_place import finish_moves, in_use

    path = config.rollback.database_path
    found = in_use(path, config.rollback.former_paths)
    if found == path:
        finish_moves(path, config.rollback.former_paths)
    else:
        say(f"note: the journal is still at {found}; the next `qguardarr serve` brings it to {path}")
    return found


@contextlib.contextmanager
def journal_of(config: Config, *, last_resort: bool = False) -> Iterator[SqliteJournal | None]:
    """The journal; None if there never was one: looking does not make one. `JournalError` if it is lost.

    `last_resort`: also if it can only be read.
    """
    quiet_logs()
    from qguardarr.adapters import _journal_place as places
    from qguardarr.adapters._originals import Originals
    from qguardarr.wiring import open_journal

    path = journal_path(config)
    found = places.look(path)
    if found in (places.Found.NOTHING, places.Found.EMPTY) and Originals(path).state() is None:
        signs = places.signs_of(path)
        if signs:
            raise places.lost(path, found, signs)
        yield None
        return
    journal = open_journal(path, moves=path != config.rollback.database_path, last_resort=last_resort)
    if journal.recovered:
        say(f"warning: {journal.recovered}")
    try:
        yield journal
    finally:
        journal.close()


def quiet_logs() -> None:
    """Commands speak for themselves: what goes wrong is raised, and said once."""
    import logging

    import structlog

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


# -- printing ---------------------------------------------------------------------------------------------------------


def say(text: str) -> None:
    """To the person, on stderr: stdout is for what was asked for."""
    print(text, file=sys.stderr, flush=True)


def print_json(value: Any) -> None:
    """Structs, mappings and lists, as indented JSON."""
    import msgspec

    print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def speed(bytes_per_s: float | None) -> str:
    """In words; None is unlimited."""
    if bytes_per_s is None or bytes_per_s >= UNLIMITED:
        return "unlimited"
    return format_speed(bytes_per_s)


def limit_json(limit: int) -> int | None:
    """A limit as JSON says it: null is unlimited."""
    return None if limit >= UNLIMITED else limit


def counted(number: int, one: str, many: str | None = None) -> str:
    """`1 torrent`, `2 torrents`; `many` if that is not `one` with an s."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def duration(seconds: float) -> str:
    """`45 s`, `12 min`, `3.5 h`, `2.1 days`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} days"


def moment(unix_s: float) -> str:
    """Local date and time."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(unix_s))


def clean(text: str, width: int | None = None) -> str:
    """Fit for a terminal: names come from strangers, and may hold control codes. Cut to `width` columns."""
    shown = "".join(sign if sign.isprintable() else "?" for sign in text)
    if width is None or columns(shown) <= width:
        return shown
    while columns(shown) > width - 1:
        shown = shown[:-1]
    return shown + "…"


def columns(text: str) -> int:
    """Columns that a text takes in a terminal."""
    return sum(
        0 if unicodedata.combining(sign) else 2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text
    )


def print_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Columns; those whose head begins with `>` stand right."""
    right = [head.startswith(">") for head in heads]
    lines = [[head.removeprefix(">") for head in heads], *([clean(cell) for cell in row] for row in rows)]
    widths = [max(columns(line[i]) for line in lines) for i in range(len(heads))]
    for line in lines:
        cells = (_padded(cell, width, at) for cell, width, at in zip(line, widths, right, strict=True))
        print("  ".join(cells).rstrip())


def _padded(cell: str, width: int, right: bool) -> str:
    space = " " * (width - columns(cell))
    return space + cell if right else cell + space


Advance = Callable[[float, float], None]
"""Called with (done, total)."""


@contextlib.contextmanager
def progress(title: str, *, unit: str = "") -> Iterator[Advance]:
    """Shows how far something is, on stderr: a bar in a terminal, else a line now and then."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn(f"{{task.completed:.0f}}/{{task.total:.0f}} {unit}" if unit else ""),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        with bar:
            task = bar.add_task(title, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
        return
    said_at = time.monotonic() - _TALK_AFTER_S

    def talk(done: float, total: float) -> None:
        nonlocal said_at
        if time.monotonic() - said_at >= _TALK_AFTER_S:
            said_at = time.monotonic()
            say(f"{title}: {done:.0f} of {total:.0f} {unit}".rstrip())

    yield talk


@contextlib.contextmanager
def working(title: str) -> Iterator[None]:
    """Shows that something of unknown length goes on."""
    if not sys.stderr.isatty():
        say(f"{title} …")
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(title):
        yield
