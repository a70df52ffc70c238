"""The command line. Exit codes: `qguardarr.exits`."""

from __future__ import annotations

import io
import os
import signal
import sys
import traceback
from collections.abc import Callable
from importlib.util import cache_from_source
from pathlib import Path
from typing import Annotated, Final

import typer

from qguardarr import __version__
from qguardarr.cli import (
    access,
    backup,
    check,
    forget,
    history,
    hook,
    init,
    notify,
    orders,
    preview,
    status,
    top,
    trackers,
    undo,
    usage,
)
from qguardarr.cli.opening import known_secrets
from qguardarr.cli.options import DEFAULT_CONFIG, FIRST_START_VARIABLE, ConfigPath
from qguardarr.cli.terminal import all_written
from qguardarr.errors import QguardarrError
from qguardarr.exits import HELP, Exit, report
from qguardarr.printable import printable_lines

_ALLOCATOR: Final = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "65536"}
"""For glibc, which others ignore: one heap for all threads, and large blocks go back to the system at once. Without it
the daemon grows by up to 8 MiB for good once the API is used by several clients at a time."""

app = typer.Typer(
    name="qguardarr",
    help="Gives each tracker one shared upload cap in qBittorrent, and holds it.",
    epilog=HELP,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def _qguardarr(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


def serve(
    config: ConfigPath = DEFAULT_CONFIG,
    first_start: Annotated[
        bool,
        typer.Option(
            "--first-start",
            envvar=FIRST_START_VARIABLE,
            help="If there is no configuration, write one that only observes; its folder has to exist.",
        ),
    ] = False,
) -> None:
    """Hold the caps until told to end.

    Ctrl-C or SIGTERM ends it within seconds. SIGHUP reads the configuration again.
    """
    from qguardarr.app.settings import FIRST_START, python_command

    command = python_command("qguardarr.app.process", str(config), *([FIRST_START] if first_start else []))
    command[1:1] = _without_docstrings()
    # They wait while the daemon loads, and it is the one that answers them; nobody gets a traceback for a Ctrl-C.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    os.execve(command[0], command, {**_ALLOCATOR, **os.environ})  # noqa: S606 # this process becomes the daemon


def _without_docstrings() -> list[str]:
    """Return `-OO`, which saves 2 MB, if the modules are compiled for it, as `make install` and the image do.

    Elsewhere each start might have to compile them all: seconds, and memory that the daemon would not give back.
    """
    module = Path(__file__).parents[1] / "app" / "daemon.py"
    return ["-OO"] if Path(cache_from_source(str(module), optimization="2")).exists() else []


def _add(command: Callable[..., None], *examples: str) -> None:
    """Add a command, whose help ends with `examples`, their lines kept as they are."""
    heading = "Example" if len(examples) == 1 else "Examples"
    app.command(epilog="\n  ".join((f"\b\n{heading}:", *examples)))(command)


_add(serve, "qguardarr serve", "qguardarr serve --config /etc/qguardarr/qguardarr.yaml")
_add(
    init.init,
    "qguardarr init",
    "qguardarr init --url http://nas:8080 --username admin",
    "qguardarr init --non-interactive --cap tracker.example.org=10MB/s",
)
_add(check.check, "qguardarr check --connect", "qguardarr check --sources")
_add(trackers.trackers, "qguardarr trackers", "qguardarr trackers --url http://nas:8080 --username admin --yaml")
_add(preview.preview, "qguardarr preview --limit 20", "qguardarr preview --json")
_add(status.status, "qguardarr status", "qguardarr status --json")
_add(top.top, "qguardarr top", "qguardarr top --url http://nas:8089")
_add(status.health, "qguardarr health --config /config/qguardarr.yaml")
_add(undo.rollback, "qguardarr rollback", "qguardarr rollback --yes --json")
_add(undo.reset, "qguardarr reset 8c31 77aa", "qguardarr reset --yes")
_add(undo.pause, "qguardarr pause --reason 'moving house'")
_add(undo.resume, "qguardarr resume")
_add(orders.boost, "qguardarr boost --for 2h", "qguardarr boost private", "qguardarr boost --end")
_add(orders.hush, "qguardarr hush --for 90m", "qguardarr hush --to 500kB/s", "qguardarr hush --end")
_add(forget.forget, "qguardarr forget --instance seedbox", "qguardarr forget --instance '' --yes")
_add(history.history, "qguardarr history --limit 10", "qguardarr history --hash 8c31 --json")
_add(usage.usage, "qguardarr usage", "qguardarr usage --from 2026-01-01 --by month --csv")
_add(backup.backup, "qguardarr backup /mnt/backup/qguardarr.db")
_add(backup.restore, "qguardarr restore /mnt/backup/qguardarr.db")
_add(backup.begin_anew, "qguardarr begin-anew")
_add(access.api_key, "qguardarr api-key", "qguardarr api-key --new")
_add(access.hash_password, "qguardarr hash-password")
_add(
    hook.install_hook,
    "qguardarr install-hook",
    "qguardarr install-hook --url http://nas:8089 --header-file /config/header",
    "qguardarr install-hook --remove",
)
_add(notify.notify_test, "qguardarr notify-test")


def main() -> None:
    """Run a command. An expected error becomes a line on stderr and an exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal of another age still gets the rest of the line
    try:
        with all_written():
            app()
    except QguardarrError as error:
        sys.exit(report(error))
    except Exception:
        from qguardarr.adapters.redaction import Redactor

        print(printable_lines(Redactor(known_secrets).text(traceback.format_exc())), file=sys.stderr)
        print("qguardarr: a defect; please report it with the lines above", file=sys.stderr)
        sys.exit(Exit.DEFECT)
